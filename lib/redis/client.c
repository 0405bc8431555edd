#include "redis/client.h"

#include "base/clock.h"
#include "redis/batch.h"
#include "redis/url.h"

#include <hiredis/hiredis.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    CONNECT_TIMEOUT_US = 1000000,
    COMMAND_TIMEOUT_US = 2000000,
    BACKOFF_FIRST_US = 50000,
    BACKOFF_MOST_US = 2000000,
};

struct redis_client {
    struct redis_address address;
    struct timeval connect_timeout, command_timeout;
    pthread_mutex_t mutex; /* guards everything below */
    redisContext *context; /* NULL: not connected */
    int64_t backoff_us;    /* 0 after a success */
    int64_t not_before_us; /* monotonic: next attempt to connect */
};

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

bool redis_client_new(const struct redis_options *options, redis_client **ret_client, error *err)
{
    struct redis_address address;
    if (!redis_url_parse(options->url, &address, err))
        return false;
    if (options->connect_timeout_us < 0 || options->command_timeout_us < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "BAD_TIMEOUT", "Redis timeouts must be positive");
    redis_client *client = calloc(1, sizeof *client);
    if (!client)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    ignore_sigpipe();
    client->address = address;
    client->connect_timeout =
        to_timeval(options->connect_timeout_us ? options->connect_timeout_us : CONNECT_TIMEOUT_US);
    client->command_timeout =
        to_timeval(options->command_timeout_us ? options->command_timeout_us : COMMAND_TIMEOUT_US);
    pthread_mutex_init(&client->mutex, NULL);
    *ret_client = client;
    return true;
}

static void disconnect(redis_client *client)
{
    if (client->context)
        redisFree(client->context);
    client->context = NULL;
}

void redis_client_free(redis_client *client)
{
    if (!client)
        return;
    disconnect(client);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

static bool unavailable(error *err, const char *detail)
{
    error_set(err, STATUS_UNAVAILABLE, "REDIS_UNAVAILABLE", "the timers' schedule cannot be reached");
    error_add_detail(err, "Redis: %s", detail);
    return false;
}

static bool starts_with(const char *text, const char *prefix)
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
        if (starts_with(refusal, prefixes[i]))
            return true;
    return false;
}

/* A node that is no longer the primary: another connection may lead to the new one. */
static bool wants_reconnect(const char *refusal)
{
    return starts_with(refusal, "READONLY") || starts_with(refusal, "MASTERDOWN") ||
           starts_with(refusal, "NOAUTH");
}

static bool refused(error *err, const char *refusal)
{
    if (is_passing(refusal))
        return unavailable(err, refusal);
    error_set(err, STATUS_INTERNAL, "REDIS_REFUSED", "the timers' schedule refused a command");
    error_add_detail(err, "Redis: %s", refusal);
    return false;
}

/* --- connecting ----------------------------------------------------------------------------------- */

static void back_off(redis_client *client)
{
    client->backoff_us = client->backoff_us ? 2 * client->backoff_us : BACKOFF_FIRST_US;
    if (client->backoff_us > BACKOFF_MOST_US)
        client->backoff_us = BACKOFF_MOST_US;
    client->not_before_us =
        clock_monotonic_us() + client->backoff_us / 2 + clock_monotonic_us() % (client->backoff_us / 2);
}

static bool ask_once(redisContext *context, int count, const char **arguments, error *err)
{
    redisReply *reply = redisCommandArgv(context, count, arguments, NULL);
    if (!reply)
        return unavailable(err, context->errstr);
    bool ok = reply->type != REDIS_REPLY_ERROR || refused(err, reply->str);
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
        if (!ask_once(context, named ? 3 : 2, named ? with_user : without, err))
            return false;
    }
    if (address->db) {
        char db[12];
        snprintf(db, sizeof db, "%d", address->db);
        const char *select[] = {"SELECT", db};
        return ask_once(context, 2, select, err);
    }
    return true;
}

static bool connect_now(redis_client *client, error *err)
{
    const struct redis_address *address = &client->address;
    redisContext *context =
        address->is_unix ? redisConnectUnixWithTimeout(address->host, client->connect_timeout)
                         : redisConnectWithTimeout(address->host, address->port, client->connect_timeout);
    if (!context)
        return unavailable(err, "out of memory");
    bool ok = true;
    if (context->err || redisSetTimeout(context, client->command_timeout) != REDIS_OK)
        ok = unavailable(err, context->errstr);
    else if (!address->is_unix)
        redisEnableKeepAlive(context);
    if (ok && introduce(address, context, err)) {
        client->context = context;
        client->backoff_us = 0;
        return true;
    }
    redisFree(context);
    return false;
}

static bool ensure_connected(redis_client *client, error *err)
{
    if (client->context)
        return true;
    int64_t wait_us = client->not_before_us - clock_monotonic_us();
    if (wait_us > 0) {
        unavailable(err, "waiting before the next attempt to connect");
        err->retry_after_us = wait_us;
        return false;
    }
    if (connect_now(client, err))
        return true;
    back_off(client);
    return false;
}

/* --- batches -------------------------------------------------------------------------------------- */

/* The commands that have no reply yet, in order. *ret_any: at least one reply came. */
static bool exchange(redisContext *context, redis_batch *batch, bool *ret_any, error *err)
{
    *ret_any = false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_command *command = &batch->commands[i];
        if (command->reply)
            continue;
        const char *wire = (const char *)batch->wire.data + command->start;
        if (redisAppendFormattedCommand(context, wire, command->length) != REDIS_OK)
            return unavailable(err, context->errstr);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->commands[i].reply)
            continue;
        void *reply = NULL;
        if (redisGetReply(context, &reply) != REDIS_OK)
            return unavailable(err, context->errstr);
        batch->commands[i].reply = reply;
        *ret_any = true;
    }
    return true;
}

static bool is_unknown_script(const struct batch_command *command)
{
    return command->script && command->reply->type == REDIS_REPLY_ERROR &&
           starts_with(command->reply->str, "NOSCRIPT");
}

/* Loads the scripts that Redis did not know and runs their commands, in order. */
static bool load_scripts(redisContext *context, redis_batch *batch, error *err)
{
    const struct redis_script *loaded = NULL;
    bool any = false;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_command *command = &batch->commands[i];
        if (!is_unknown_script(command))
            continue;
        const char *load[] = {"SCRIPT", "LOAD", command->script->source};
        if (command->script != loaded && !ask_once(context, 3, load, err))
            return false;
        loaded = command->script;
        freeReplyObject(command->reply);
        command->reply = NULL;
        any = true;
    }
    return !any || exchange(context, batch, &any, err);
}

static bool check_replies(redis_client *client, const redis_batch *batch, error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const redisReply *reply = batch->commands[i].reply;
        if (reply->type != REDIS_REPLY_ERROR)
            continue;
        if (wants_reconnect(reply->str))
            disconnect(client);
        return refused(err, reply->str);
    }
    return true;
}

static bool run_locked(redis_client *client, redis_batch *batch, error *err)
{
    bool reused = client->context != NULL;
    for (;;) {
        if (!ensure_connected(client, err))
            return false;
        bool any = false;
        redis_batch_drop_replies(batch);
        if (exchange(client->context, batch, &any, err) && load_scripts(client->context, batch, err))
            return check_replies(client, batch, err);
        /* An idle connection that the server had closed is no failure yet; a reply that does not come in time
         * is one. */
        bool closed = client->context->err == REDIS_ERR_EOF || client->context->err == REDIS_ERR_IO;
        bool again = reused && !any && closed && errno != EAGAIN;
        disconnect(client);
        if (!again) {
            redis_batch_drop_replies(batch);
            back_off(client);
            return false;
        }
        reused = false;
    }
}

bool redis_client_run(redis_client *client, redis_batch *batch, error *err)
{
    if (!redis_batch_close(batch))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE", "too many timers at once");
    if (batch->count == 0)
        return true;
    error ignored;
    pthread_mutex_lock(&client->mutex);
    bool ok = run_locked(client, batch, err ? err : &ignored);
    pthread_mutex_unlock(&client->mutex);
    return ok;
}
