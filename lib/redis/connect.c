#include "redis/connect.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
    static const char *const prefixes[] = {"LOADING", "MASTERDOWN", "READONLY", "OOM ", "BUSY ", "TRYAGAIN",
                                           "MISCONF", "CLUSTERDOWN", "NOAUTH", "WRONGPASS",
                                           "ERR max number of clients", "NOREPLICAS",
                                           /* a cluster's slot on its way to another node */
                                           "ERR Script attempted to access a non local key"};
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

static bool connect_to(const struct redis_target *target, const char *host, int port, bool introduced,
                       redisContext **ret_context, error *err)
{
    const struct redis_address *address = &target->address;
    redisContext *context = address->is_unix
                                ? redisConnectUnixWithTimeout(address->host, target->connect_timeout)
                                : redisConnectWithTimeout(host, port, target->connect_timeout);
    if (!context)
        return redis_unavailable(err, "out of memory");
    bool ok = true;
    if (context->err || redisSetTimeout(context, target->command_timeout) != REDIS_OK)
        ok = redis_unavailable(err, context->errstr);
    else if (!address->is_unix)
        redisEnableKeepAlive(context);
    if (ok && (!introduced || introduce(address, context, err))) {
        *ret_context = context;
        return true;
    }
    redisFree(context);
    return false;
}

bool redis_connect_at(const struct redis_target *target, const char *host, int port,
                      redisContext **ret_context, error *err)
{
    return connect_to(target, host, port, true, ret_context, err);
}

/* --- sentinels ------------------------------------------------------------------------------------ */

static bool read_master(const redisReply *reply, struct redis_seed *ret_master)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply->element[0]->str ||
        !reply->element[1]->str || reply->element[0]->len >= sizeof ret_master->host)
        return false;
    snprintf(ret_master->host, sizeof ret_master->host, "%s", reply->element[0]->str);
    ret_master->port = (int)strtol(reply->element[1]->str, NULL, 10);
    return ret_master->port > 0;
}

/* What one sentinel says. */
static bool ask_sentinel(const struct redis_target *target, const struct redis_seed *sentinel,
                         struct redis_seed *ret_master, error *err)
{
    const char *question[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", target->address.master};
    redisContext *context;
    if (!connect_to(target, sentinel->host, sentinel->port, false, &context, err))
        return false;
    redisReply *reply = redisCommandArgv(context, 3, question, NULL);
    bool ok = read_master(reply, ret_master);
    if (!ok)
        redis_unavailable(err, reply ? "the sentinel knows no such master" : context->errstr);
    if (reply)
        freeReplyObject(reply);
    redisFree(context);
    return ok;
}

/* A node that has been told to follow another one, or is about to be. */
static bool check_role(redisContext *context, error *err)
{
    redisReply *reply = redisCommand(context, "ROLE");
    if (!reply)
        return redis_unavailable(err, context->errstr);
    bool master = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 && reply->element[0]->str &&
                  strcmp(reply->element[0]->str, "master") == 0;
    freeReplyObject(reply);
    return master || redis_unavailable(err, "the sentinels' master is none yet");
}

static bool connect_master(const struct redis_target *target, const struct redis_seed *master,
                           redisContext **ret_context, error *err)
{
    redisContext *context;
    if (!redis_connect_at(target, master->host, master->port, &context, err))
        return false;
    if (!check_role(context, err)) {
        redisFree(context);
        return false;
    }
    *ret_context = context;
    return true;
}

/* The first sentinel that leads to a master: one that has been cut off may name an old one. */
static bool connect_by_sentinels(const struct redis_target *target, redisContext **ret_context, error *err)
{
    for (int i = 0; i < target->address.seed_count; i++) {
        struct redis_seed master;
        if (ask_sentinel(target, &target->address.seeds[i], &master, err) &&
            connect_master(target, &master, ret_context, err))
            return true;
    }
    return false;
}

static bool connect_to_any(const struct redis_target *target, redisContext **ret_context, error *err)
{
    for (int i = 0; i < target->address.seed_count; i++)
        if (redis_connect_at(target, target->address.seeds[i].host, target->address.seeds[i].port,
                             ret_context, err))
            return true;
    return false;
}

bool redis_connect(const struct redis_target *target, redisContext **ret_context, error *err)
{
    switch (target->address.kind) {
    case REDIS_SENTINEL:
        return connect_by_sentinels(target, ret_context, err);
    case REDIS_CLUSTER:
        return connect_to_any(target, ret_context, err);
    default:
        return redis_connect_at(target, target->address.host, target->address.port, ret_context, err);
    }
}
