#include "redis/node.h"

#include "base/clock.h"

#include <errno.h>

enum {
    BACKOFF_FIRST_US = 50000,
    BACKOFF_MOST_US = 2000000,
};

static const char asking[] = "*1\r\n$6\r\nASKING\r\n";

void redis_node_disconnect(struct redis_node *node)
{
    if (node->context)
        redisFree(node->context);
    node->context = NULL;
}

bool redis_node_is_wrong(const char *refusal)
{
    return redis_refusal_is(refusal, "READONLY") || redis_refusal_is(refusal, "MASTERDOWN") ||
           redis_refusal_is(refusal, "NOAUTH");
}

/* --- connecting ----------------------------------------------------------------------------------- */

static void back_off(struct redis_node *node)
{
    node->backoff_us = node->backoff_us ? 2 * node->backoff_us : BACKOFF_FIRST_US;
    if (node->backoff_us > BACKOFF_MOST_US)
        node->backoff_us = BACKOFF_MOST_US;
    node->not_before_us =
        clock_monotonic_us() + node->backoff_us / 2 + clock_monotonic_us() % (node->backoff_us / 2);
}

static bool ensure_connected(struct redis_node *node, error *err)
{
    if (node->context)
        return true;
    int64_t wait_us = node->not_before_us - clock_monotonic_us();
    if (wait_us > 0) {
        redis_unavailable(err, "waiting before the next attempt to connect");
        err->retry_after_us = wait_us;
        return false;
    }
    if (redis_connect(&node->target, &node->context, err)) {
        node->backoff_us = 0;
        return true;
    }
    back_off(node);
    return false;
}

/* --- an exchange ---------------------------------------------------------------------------------- */

static bool is_meant(const struct batch_command *command, int index)
{
    return command->node == index && !command->reply;
}

static bool append(struct redis_node *node, const struct redis_batch *batch, int index, error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_command *command = &batch->commands[i];
        const char *wire = (const char *)batch->wire.data + command->start;
        if (!is_meant(command, index))
            continue;
        if ((command->asking &&
             redisAppendFormattedCommand(node->context, asking, sizeof asking - 1) != REDIS_OK) ||
            redisAppendFormattedCommand(node->context, wire, command->length) != REDIS_OK)
            return redis_unavailable(err, node->context->errstr);
    }
    return true;
}

/* What cannot be written shows when the replies are read. */
static void write_out(const struct redis_node *node)
{
    int done = 0;
    while (!done && redisBufferWrite(node->context, &done) == REDIS_OK)
        ;
}

bool redis_node_start(struct redis_node *node, const struct redis_batch *batch, int index, error *err)
{
    node->reused = node->context != NULL;
    if (!ensure_connected(node, err) || !append(node, batch, index, err))
        return false;
    write_out(node);
    return true;
}

static bool receive_one(struct redis_node *node, redisReply **ret_reply, error *err)
{
    void *reply = NULL;
    if (redisGetReply(node->context, &reply) != REDIS_OK)
        return redis_unavailable(err, node->context->errstr);
    *ret_reply = reply;
    return true;
}

/* *ret_any: at least one reply came. */
static bool receive(struct redis_node *node, struct redis_batch *batch, int index, bool *ret_any, error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_command *command = &batch->commands[i];
        redisReply *reply = NULL;
        if (!is_meant(command, index))
            continue;
        if (command->asking) {
            if (!receive_one(node, &reply, err))
                return false;
            freeReplyObject(reply);
        }
        if (!receive_one(node, &reply, err))
            return false;
        command->reply = reply;
        *ret_any = true;
    }
    return true;
}

static bool is_unknown_script(const struct batch_command *command, int index)
{
    return command->script && command->node == index && command->reply &&
           command->reply->type == REDIS_REPLY_ERROR && redis_refusal_is(command->reply->str, "NOSCRIPT");
}

/* Loads the scripts that the node did not know and runs their commands, in order. */
static bool load_scripts(struct redis_node *node, struct redis_batch *batch, int index, error *err)
{
    const struct redis_script *loaded = NULL;
    bool any = false;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_command *command = &batch->commands[i];
        if (!is_unknown_script(command, index))
            continue;
        const char *load[] = {"SCRIPT", "LOAD", command->script->source};
        if (command->script != loaded && !redis_ask(node->context, 3, load, err))
            return false;
        loaded = command->script;
        freeReplyObject(command->reply);
        command->reply = NULL;
        any = true;
    }
    return !any || (append(node, batch, index, err) && receive(node, batch, index, &any, err));
}

bool redis_node_finish(struct redis_node *node, struct redis_batch *batch, int index, error *err)
{
    while (node->context) {
        bool any = false;
        if (receive(node, batch, index, &any, err) && load_scripts(node, batch, index, err))
            return true;
        /* An idle connection that the server had closed is no failure yet; a reply that does not come in time
         * is one. */
        bool closed =
            node->context && (node->context->err == REDIS_ERR_EOF || node->context->err == REDIS_ERR_IO);
        bool again = node->reused && !any && closed && errno != EAGAIN;
        redis_node_disconnect(node);
        if (!again) {
            back_off(node);
            return false;
        }
        if (!redis_node_start(node, batch, index, err))
            return false;
    }
    return redis_unavailable(err, "not connected");
}
