#include "redis/connect.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { CONNECT_TIMEOUT_US = 1000000, COMMAND_TIMEOUT_US = 2000000 };

static struct timeval to_timeval(int64_t duration_us)
{
    return (struct timeval){.tv_sec = duration_us / CLOCK_SECOND, .tv_usec = duration_us % CLOCK_SECOND};
}

/* hiredis writes with write(2), so that a broken connection would otherwise kill the process. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
}

bool redis_target_init(struct redis_target *target, const struct redis_options *options, error *err)
{
    struct redis_address address;
    if (!redis_url_parse(options->url, &address, err))
        return false;
    if (options->connect_timeout_us < 0 || options->command_timeout_us < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "BAD_TIMEOUT", "Redis timeouts must be positive");
    ignore_sigpipe();
    target->address = address;
    target->connect_timeout =
        to_timeval(options->connect_timeout_us ? options->connect_timeout_us : CONNECT_TIMEOUT_US);
    target->command_timeout =
        to_timeval(options->command_timeout_us ? options->command_timeout_us : COMMAND_TIMEOUT_US);
    return true;
}

bool redis_unavailable(error *err, const char *detail)
{
    error_set(err, STATUS_UNAVAILABLE, "REDIS_UNAVAILABLE", "the timers' schedule cannot be reached");
    error_add_detail(err, "Redis: %s", detail);
    return false;
}

bool redis_refusal_is(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* True for what passes: starting, failing over, memory full. Not ours to mend, and worth another try. */
static bool is_passing(const char *refusal)
{
    static const char *const prefixes[] = {"LOADING",
                                           "MASTERDOWN",
                                           "READONLY",
                                           "OOM ",
                                           "BUSY ",
                                           "TRYAGAIN",
                                           "MISCONF",
                                           "CLUSTERDOWN",
                                           "NOAUTH",
                                           "WRONGPASS",
                                           "ERR max number of clients",
                                           "NOREPLICAS"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (redis_refusal_is(refusal, prefixes[i]))
            return true;
    return false;
}

bool redis_refused(error *err, const char *refusal)
{
    if (is_passing(refusal))
        return redis_unavailable(err, refusal);
    error_set(err, STATUS_INTERNAL, "REDIS_REFUSED", "the timers' schedule refused a command");
    error_add_detail(err, "Redis: %s", refusal);
    return false;
}

bool redis_ask(redisContext *context, int count, const char **arguments, error *err)
{
    redisReply *reply = redisCommandArgv(context, count, arguments, NULL);
    if (!reply)
        return redis_unavailable(err, context->errstr);
    bool ok = reply->type != REDIS_REPLY_ERROR || redis_refused(err, reply->str);
    freeReplyObject(reply);
    return ok;
}

/* Password and database of a fresh connection. */
static bool introduce(const struct redis_address *address, redisContext *context, error *err)
{
    if (address->password[0]) {
        const char *with_user[] = {"AUTH", address->user, address->password};
        const char *without[] = {"AUTH", address->password};
        bool named = address->user[0] != '\0';
        if (!redis_ask(context, named ? 3 : 2, named ? with_user : without, err))
            return false;
    }
    if (address->db) {
        char db[12];
        snprintf(db, sizeof db, "%d", address->db);
        const char *select[] = {"SELECT", db};
        return redis_ask(context, 2, select, err);
    }
    return true;
}

bool redis_connect(const struct redis_target *target, redisContext **ret_context, error *err)
{
    const struct redis_address *address = &target->address;
    redisContext *context =
        address->is_unix ? redisConnectUnixWithTimeout(address->host, target->connect_timeout)
                         : redisConnectWithTimeout(address->host, address->port, target->connect_timeout);
    if (!context)
        return redis_unavailable(err, "out of memory");
    bool ok = true;
    if (context->err || redisSetTimeout(context, target->command_timeout) != REDIS_OK)
        ok = redis_unavailable(err, context->errstr);
    else if (!address->is_unix)
        redisEnableKeepAlive(context);
    if (ok && introduce(address, context, err)) {
        *ret_context = context;
        return true;
    }
    redisFree(context);
    return false;
}
