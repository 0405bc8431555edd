#include "cli/programs.h"

#include "base/clock.h"
#include "cli/command.h"
#include "rpc/token.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct token_request {
    struct rpc_token_claims claims;
    const char *keys;
};

static bool take_ttl(const char *text, int64_t *ret_us, error *err)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = {{'s', CLOCK_SECOND}, {'m', CLOCK_MINUTE}, {'h', CLOCK_HOUR}, {'d', CLOCK_DAY}};
    char *end;
    long long amount = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (end != text && end[0] == units[i].unit && !end[1] && amount > 0 && amount < 1000000) {
            *ret_us = amount * units[i].us;
            return true;
        }
    }
    return error_bad_field(err, "ttl", "\"%s\" is no duration like 90s, 15m, 1h or 30d", text);
}

static bool take_options(int argc, char **argv, struct token_request *request, error *err)
{
    static const struct option options[] = {
        {"account", required_argument, NULL, 'a'},
        {"role", required_argument, NULL, 'r'},
        {"agent", required_argument, NULL, 'g'},
        {"ttl", required_argument, NULL, 't'},
        {"subject", required_argument, NULL, 's'},
        {"keys", required_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    optind = 1;
    for (int got; (got = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (got) {
        case 'a':
            request->claims.account = optarg;
            break;
        case 'r':
            if (!rpc_role_parse(optarg, &request->claims.role))
                return error_bad_field(err, "role", "should be agent, admin, connector or service");
            break;
        case 'g':
            request->claims.agent = optarg;
            break;
        case 't':
            if (!take_ttl(optarg, &request->claims.ttl_us, err))
                return false;
            break;
        case 's':
            request->claims.subject = optarg;
            break;
        case 'k':
            request->keys = optarg;
            break;
        default:
            return error_set(err, STATUS_INVALID_ARGUMENT, "USAGE", "wrong flag");
        }
    }
    if (optind < argc || !request->claims.account || request->claims.role == RPC_ROLE_NONE)
        return error_set(err, STATUS_INVALID_ARGUMENT, "USAGE", "--account and --role are needed");
    if (!request->keys)
        return error_set(err, STATUS_INVALID_ARGUMENT, "USAGE",
                         "which keys? --keys DIRECTORY, AUTH_KEY_DIRECTORY or --ready-file FILE");
    return true;
}

int program_token(struct session *session, int argc, char **argv)
{
    struct token_request request = {.claims.ttl_us = CLOCK_HOUR, .keys = session->key_directory};
    const char *directory = getenv("AUTH_KEY_DIRECTORY");
    if (!request.keys && directory && *directory)
        request.keys = directory;
    error err;
    if (!take_options(argc, argv, &request, &err)) {
        command_fail(&err);
        fprintf(stderr,
                "usage: casework token --account A --role R [--agent ID] [--ttl 1h] [--subject S] [--keys "
                "DIRECTORY]\n");
        return 2;
    }
    char *token;
    if (!rpc_token_make(request.keys, &request.claims, &token, &err))
        return command_fail(&err);
    puts(token);
    free(token);
    return 0;
}

int program_keys(struct session *session, int argc, char **argv)
{
    (void)session;
    if (argc != 2) {
        fprintf(stderr, "usage: casework keys DIRECTORY\n");
        return 2;
    }
    error err;
    return rpc_keys_generate(argv[1], &err) ? 0 : command_fail(&err);
}
