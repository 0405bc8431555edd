#include "cli/command.h"

#include "base/clock.h"
#include "cli/field.h"
#include "cli/json_read.h"
#include "cli/print.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int command_fail(const error *err)
{
    fprintf(stderr, "casework: %s: %s\n", status_code_name(err->code), err->message);
    if (*err->detail)
        fprintf(stderr, "  %s\n", err->detail);
    for (int i = 0; i < err->info_count; i++)
        fprintf(stderr, "  %s: %s\n", err->info[i].key, err->info[i].value);
    return 1;
}

const char *command_expand(arena *memory, enum word_kind kind, const char *word, const char *account)
{
    static const char *const collections[] = {[WORD_AGENT] = "agents",
                                              [WORD_CONTACT] = "contacts",
                                              [WORD_CHANNEL] = "channels",
                                              [WORD_CASE] = "cases"};
    if (kind == WORD_TEXT || kind == WORD_FILE || strncmp(word, "accounts/", 9) == 0)
        return word;
    if (kind == WORD_ACCOUNT)
        return arena_printf(memory, "accounts/%s", word);
    if (kind == WORD_POLICY)
        return arena_printf(memory, "accounts/%s/slaPolicy", word);
    const char *slash = strchr(word, '/');
    if (kind == WORD_MESSAGE) {
        const char *second = slash ? strchr(slash + 1, '/') : NULL;
        if (!second)
            return word;
        return arena_printf(memory, "accounts/%.*s/cases/%.*s/messages/%s", (int)(slash - word), word,
                            (int)(second - slash - 1), slash + 1, second + 1);
    }
    if (slash)
        return arena_printf(memory, "accounts/%.*s/%s/%s", (int)(slash - word), word, collections[kind],
                            slash + 1);
    return arena_printf(memory, "accounts/%s/%s/%s", account, collections[kind], word);
}

/* "acme" of "accounts/acme/cases/5". */
static const char *account_of(arena *memory, const char *name)
{
    if (strncmp(name, "accounts/", 9) != 0)
        return "";
    return arena_strndup(memory, name + 9, strcspn(name + 9, "/"));
}

static bool set_word(struct session *session, ProtobufCMessage *request, const struct command_word *word,
                     const char *typed, const char *account, error *err)
{
    if (word->kind == WORD_FILE)
        return json_read_file(session->memory, request, word->field, word->masked, typed, err);
    const char *text = command_expand(session->memory, word->kind, typed, account);
    if (!text)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    if (!field_set(session->memory, request, word->field, text, err))
        return false;
    /* "case.subject" is "subject" in the mask: masks are about the resource */
    return !word->masked ||
           field_set(session->memory, request, "update_mask.paths", strchr(word->field, '.') + 1, err);
}

/* A request id for whatever changes something, so that a retry by the client layer changes it once. */
static bool set_request_id(struct session *session, ProtobufCMessage *request, error *err)
{
    const ProtobufCFieldDescriptor *field = field_find(request, "request_id");
    if (!field || **(char *const *)field_at(request, field, 0))
        return true;
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return error_set(err, STATUS_INTERNAL, "", "no random numbers to be had");
    const char *id = arena_printf(session->memory, "cli-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    return id && field_set(session->memory, request, "request_id", id, err);
}

static int usage(const struct command *command)
{
    fprintf(stderr, "usage: casework %s%s%s", command->group, *command->verb ? " " : "", command->verb);
    for (const struct command_word *w = command->arguments;
         w < command->arguments + COMMAND_ARGUMENTS && w->name; w++)
        fprintf(stderr, " %s", w->name);
    fprintf(stderr, " [flags]\n  %s\n", command->help);
    for (const struct command_word *w = command->flags; w < command->flags + COMMAND_FLAGS && w->name; w++)
        fprintf(stderr, "  --%-18s %s\n", w->name, w->help);
    return 2;
}

static bool take_flags(struct session *session, const struct command *command, ProtobufCMessage *request,
                       const char *account, int argc, char **argv, error *err)
{
    struct option options[COMMAND_FLAGS + 1] = {{0}};
    for (int i = 0; i < COMMAND_FLAGS && command->flags[i].name; i++)
        options[i] = (struct option){.name = command->flags[i].name,
                                     .has_arg = command->flags[i].bare ? no_argument : required_argument};
    optind = 1;
    int index = 0;
    int got;
    while ((got = getopt_long(argc, argv, "", options, &index)) == 0)
        if (!set_word(session, request, &command->flags[index], optarg ? optarg : "true", account, err))
            return false;
    return got == -1 || error_set(err, STATUS_INVALID_ARGUMENT, "USAGE", "wrong flag");
}

/* Words that are no flags come last after getopt has sorted them; the account is needed before the flags are
 * set. */
static const char *first_account(struct session *session, const struct command *command, int argc,
                                 char **argv)
{
    if (argc < 2 || argv[1][0] == '-' || !command->arguments[0].name)
        return "";
    const char *name = command_expand(session->memory, command->arguments[0].kind, argv[1], "");
    return name ? account_of(session->memory, name) : "";
}

static bool build_request(struct session *session, const struct command *command, ProtobufCMessage *request,
                          int argc, char **argv, error *err)
{
    const char *account = first_account(session, command, argc, argv);
    if (!take_flags(session, command, request, account, argc, argv, err))
        return false;
    for (int i = 0; i < COMMAND_ARGUMENTS && command->arguments[i].name; i++) {
        if (optind >= argc)
            return error_set(err, STATUS_INVALID_ARGUMENT, "USAGE", "%s is missing",
                             command->arguments[i].name);
        if (!set_word(session, request, &command->arguments[i], argv[optind++], account, err))
            return false;
    }
    if (optind < argc)
        return error_set(err, STATUS_INVALID_ARGUMENT, "USAGE", "\"%s\" is too much", argv[optind]);
    return set_request_id(session, request, err);
}

static void show(struct session *session, const struct command *command, const ProtobufCMessage *response)
{
    if (session->json) {
        print_json(stdout, response);
        return;
    }
    if (command->rows) {
        print_table(stdout, session->memory, response, command->rows, command->columns);
        const ProtobufCFieldDescriptor *next = field_find(response, "next_page_token");
        if (next && **(char *const *)field_at(response, next, 0))
            printf("more: --page-token %s\n", *(char *const *)field_at(response, next, 0));
        return;
    }
    const ProtobufCMessage *resource = field_submessage(response, command->resource ? command->resource : "");
    print_fields(stdout, session->memory, resource ? resource : response);
}

static const ProtobufCMethodDescriptor *method_of(const struct command *command)
{
    return protobuf_c_service_descriptor_get_method_by_name(command->service, command->method);
}

ProtobufCMessage *command_request(struct session *session, const struct command *command, int argc,
                                  char **argv, int *ret_status)
{
    error err;
    ProtobufCMessage *request = field_message_new(session->memory, method_of(command)->input);
    if (!request)
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    else if (build_request(session, command, request, argc, argv, &err))
        return request;
    if (strcmp(err.reason, "USAGE") == 0) {
        fprintf(stderr, "casework: %s\n", err.message);
        *ret_status = usage(command);
    } else {
        *ret_status = command_fail(&err);
    }
    return NULL;
}

int command_run(struct session *session, const struct command *command, int argc, char **argv)
{
    if (command->run)
        return command->run(session, argc, argv);
    error err;
    int status = 0;
    ProtobufCMessage *request = command_request(session, command, argc, argv, &status);
    if (!request)
        return status;
    rpc_channel *channel;
    ProtobufCMessage *response;
    struct rpc_client_options options = session_call_options(session);
    if (!session_channel(session, command->target, &channel, &err) ||
        !rpc_client_call(channel, command->service, command->method, request, &options, session->memory,
                         &response, &err))
        return command_fail(&err);
    show(session, command, response);
    return 0;
}

/* The flags that every command has. */
static const char *const global_flags[] = {"ready-file", "token", "as-agent", "timeout"};

static bool apply_global(struct session *session, const char *flag, const char *value, error *err)
{
    if (strcmp(flag, "ready-file") == 0)
        return session_read_ready_file(session, value, err);
    if (strcmp(flag, "token") == 0)
        session->token = value;
    else if (strcmp(flag, "as-agent") == 0)
        session->agent = value;
    else {
        char *end;
        long long seconds = strtoll(value, &end, 10);
        if (end == value || *end || seconds < 1 || seconds > 86400)
            return error_bad_field(err, "timeout", "\"%s\" is no number of seconds up to a day", value);
        session->timeout_us = seconds * CLOCK_SECOND;
    }
    return true;
}

/* The value of --flag=value or --flag value; *ret_words is how many words it takes. NULL: argv[i] is
 * something else. */
static const char *global_value(const char *flag, int argc, char **argv, int i, int *ret_words)
{
    size_t length = strlen(flag);
    const char *word = argv[i];
    if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, flag, length) != 0)
        return NULL;
    *ret_words = word[2 + length] == '=' ? 1 : 2;
    if (*ret_words == 1)
        return word + 3 + length;
    return word[2 + length] == '\0' && i + 1 < argc ? argv[i + 1] : NULL;
}

bool command_take_globals(struct session *session, int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc && argv[i];) {
        if (strcmp(argv[i], "--json") == 0) {
            session->json = true;
            i++;
            continue;
        }
        int words = 0;
        for (size_t f = 0; f < sizeof global_flags / sizeof *global_flags && !words; f++) {
            const char *value = global_value(global_flags[f], *argc, argv, i, &words);
            error err;
            if (!value)
                words = 0;
            else if (!apply_global(session, global_flags[f], value, &err)) {
                command_fail(&err);
                return false;
            }
        }
        if (!words) {
            argv[kept++] = argv[i];
            words = 1;
        }
        i += words;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}
