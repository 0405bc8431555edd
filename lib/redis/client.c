#include "redis/client.h"

#include "base/clock.h"
#include "redis/batch.h"
#include "redis/connect.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_FIRST_US = 50000,
    BACKOFF_MOST_US = 2000000,
};

struct redis_client {
    struct redis_target target;
    pthread_mutex_t mutex; /* guards everything below */
    redisContext *context; /* NULL: not connected */
    int64_t backoff_us;    /* 0 after a success */
    int64_t not_before_us; /* monotonic: next attempt to connect */
};

bool redis_client_new(const struct redis_options *options, redis_client **ret_client, error *err)
{
    struct redis_target target;
    if (!redis_target_init(&target, options, err))
        return false;
    redis_client *client = calloc(1, sizeof *client);
    if (!client)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    client->target = target;
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

/* A node that is no longer the primary: another connection may lead to the new one. */
static bool wants_reconnect(const char *refusal)
{
    return redis_refusal_is(refusal, "READONLY") || redis_refusal_is(refusal, "MASTERDOWN") ||
           redis_refusal_is(refusal, "NOAUTH");
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

static bool connect_now(redis_client *client, error *err)
{
    if (!redis_connect(&client->target, &client->context, err))
        return false;
    client->backoff_us = 0;
    return true;
}

/* The connection, made where there is none; NULL: not to be had now. */
static redisContext *ensure_connected(redis_client *client, error *err)
{
    if (client->context)
        return client->context;
    int64_t wait_us = client->not_before_us - clock_monotonic_us();
    if (wait_us > 0) {
        redis_unavailable(err, "waiting before the next attempt to connect");
        err->retry_after_us = wait_us;
        return NULL;
    }
    if (connect_now(client, err))
        return client->context;
    back_off(client);
    return NULL;
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
            return redis_unavailable(err, context->errstr);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->commands[i].reply)
            continue;
        void *reply = NULL;
        if (redisGetReply(context, &reply) != REDIS_OK)
            return redis_unavailable(err, context->errstr);
        batch->commands[i].reply = reply;
        *ret_any = true;
    }
    return true;
}

static bool is_unknown_script(const struct batch_command *command)
{
    return command->script && command->reply->type == REDIS_REPLY_ERROR &&
           redis_refusal_is(command->reply->str, "NOSCRIPT");
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
        if (command->script != loaded && !redis_ask(context, 3, load, err))
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
        if (!reply || reply->type != REDIS_REPLY_ERROR)
            continue;
        if (wants_reconnect(reply->str))
            disconnect(client);
        return redis_refused(err, reply->str);
    }
    return true;
}

static bool run_locked(redis_client *client, redis_batch *batch, error *err)
{
    bool reused = client->context != NULL;
    for (;;) {
        redisContext *context = ensure_connected(client, err);
        if (!context)
            return false;
        bool any = false;
        redis_batch_drop_replies(batch);
        if (exchange(context, batch, &any, err) && load_scripts(context, batch, err))
            return check_replies(client, batch, err);
        /* An idle connection that the server had closed is no failure yet; a reply that does not come in time
         * is one. */
        bool closed = context->err == REDIS_ERR_EOF || context->err == REDIS_ERR_IO;
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
