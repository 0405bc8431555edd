#include "redis/cluster.h"

#include "base/clock.h"
#include "redis/node.h"
#include "redis/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MAX = 128, ROUNDS_MAX = 500 };

#define TRY_AGAIN_US (5 * INT64_C(1000))
#define REFRESH_PAUSE_US (50 * INT64_C(1000))

struct redis_cluster {
    struct redis_target target;
    int64_t patience_us; /* for redirections; no longer than one command may take */
    struct redis_node *nodes[NODES_MAX];
    int count;
    int16_t slots[REDIS_SLOTS]; /* -1: nobody's */
    bool stale;                 /* ask again who has what */
    int64_t not_before_us;      /* monotonic: next time that may be asked after it failed */
};

redis_cluster *redis_cluster_new(const struct redis_target *target)
{
    redis_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        return NULL;
    cluster->target = *target;
    cluster->patience_us =
        (int64_t)target->command_timeout.tv_sec * CLOCK_SECOND + target->command_timeout.tv_usec;
    cluster->stale = true;
    memset(cluster->slots, -1, sizeof cluster->slots);
    return cluster;
}

static void free_node(struct redis_node *node)
{
    if (node)
        redis_node_disconnect(node);
    free(node);
}

void redis_cluster_free(redis_cluster *cluster)
{
    if (!cluster)
        return;
    for (int i = 0; i < cluster->count; i++)
        free_node(cluster->nodes[i]);
    free(cluster);
}

/* --- who has what --------------------------------------------------------------------------------- */

/* The node at that address, new or known; -1: no memory, or too many. */
static int node_of(redis_cluster *cluster, const char *host, size_t length, int port)
{
    if (length == 0 || length >= REDIS_URL_TEXT || port <= 0)
        return -1;
    for (int i = 0; i < cluster->count; i++) {
        const struct redis_address *address = &cluster->nodes[i]->target.address;
        if (address->port == port && strlen(address->host) == length &&
            memcmp(address->host, host, length) == 0)
            return i;
    }
    struct redis_node *node = cluster->count < NODES_MAX ? calloc(1, sizeof *node) : NULL;
    if (!node)
        return -1;
    node->target = cluster->target;
    node->target.address.kind = REDIS_SINGLE;
    memcpy(node->target.address.host, host, length);
    node->target.address.host[length] = '\0';
    node->target.address.port = port;
    cluster->nodes[cluster->count] = node;
    return cluster->count++;
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0;
}

/* {first slot, last slot, {host, port, …} of the master, …}; without a host it is that of whoever answers. */
static void read_range(redis_cluster *cluster, const redisReply *range, const char *answering)
{
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        range->element[2]->type != REDIS_REPLY_ARRAY || range->element[2]->elements < 2)
        return;
    const redisReply *host = range->element[2]->element[0];
    const char *name = is_text(host) ? host->str : answering;
    int node = node_of(cluster, name, strlen(name), (int)range->element[2]->element[1]->integer);
    int64_t first = range->element[0]->integer;
    int64_t last = range->element[1]->integer;
    for (int64_t slot = first < 0 ? 0 : first; slot <= last && slot < REDIS_SLOTS; slot++)
        cluster->slots[slot] = (int16_t)node;
}

static bool ask_slots(redis_cluster *cluster, redisContext *context, const char *answering, error *err)
{
    redisReply *reply = redisCommand(context, "CLUSTER SLOTS");
    if (!reply)
        return redis_unavailable(err, context->errstr);
    bool ok = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
    if (!ok)
        redis_unavailable(err, reply->type == REDIS_REPLY_ERROR ? reply->str : "the cluster has no slots");
    if (ok)
        memset(cluster->slots, -1, sizeof cluster->slots);
    for (size_t i = 0; ok && i < reply->elements; i++)
        read_range(cluster, reply->element[i], answering);
    freeReplyObject(reply);
    return ok;
}

static bool ask_at(redis_cluster *cluster, const char *host, int port, error *err)
{
    redisContext *context;
    char answering[REDIS_URL_TEXT]; /* the list of nodes grows while it is read */
    snprintf(answering, sizeof answering, "%s", host);
    if (!redis_connect_at(&cluster->target, host, port, &context, err))
        return false;
    bool ok = ask_slots(cluster, context, answering, err);
    redisFree(context);
    return ok;
}

/* Nodes that have no slot any more are forgotten, with their connections. Only between batches. */
static void forget_idle(redis_cluster *cluster)
{
    int16_t moved_to[NODES_MAX];
    bool used[NODES_MAX] = {false};
    int count = 0;
    for (int slot = 0; slot < REDIS_SLOTS; slot++)
        if (cluster->slots[slot] >= 0)
            used[cluster->slots[slot]] = true;
    for (int i = 0; i < cluster->count; i++) {
        moved_to[i] = (int16_t)count;
        if (used[i])
            cluster->nodes[count++] = cluster->nodes[i];
        else
            free_node(cluster->nodes[i]);
    }
    for (int slot = 0; slot < REDIS_SLOTS; slot++)
        if (cluster->slots[slot] >= 0)
            cluster->slots[slot] = moved_to[cluster->slots[slot]];
    cluster->count = count;
}

/* Asks the nodes known, then those named at the start. */
static bool refresh(redis_cluster *cluster, error *err)
{
    int64_t wait_us = cluster->not_before_us - clock_monotonic_us();
    int64_t until_us = clock_monotonic_us() + cluster->patience_us;
    const struct redis_address *named = &cluster->target.address;
    bool ok = false;
    if (!cluster->stale)
        return true;
    if (wait_us > 0) {
        redis_unavailable(err, "waiting before the cluster is asked again");
        err->retry_after_us = wait_us;
        return false;
    }
    redis_unavailable(err, "no node of the cluster answers");
    for (int i = 0; !ok && i < cluster->count && clock_monotonic_us() < until_us; i++) {
        const struct redis_address *address = &cluster->nodes[i]->target.address;
        ok = ask_at(cluster, address->host, address->port, err);
    }
    for (int i = 0; !ok && i < named->seed_count && clock_monotonic_us() < until_us; i++)
        ok = ask_at(cluster, named->seeds[i].host, named->seeds[i].port, err);
    if (ok)
        forget_idle(cluster);
    else
        cluster->not_before_us = clock_monotonic_us() + REFRESH_PAUSE_US;
    cluster->stale = !ok;
    return ok;
}

/* --- one round ------------------------------------------------------------------------------------ */

static bool assign(redis_cluster *cluster, struct redis_batch *batch, error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_command *command = &batch->commands[i];
        if (command->reply || command->asking)
            continue;
        command->node = command->slot < 0 ? 0 : cluster->slots[command->slot];
        if (command->node < 0) {
            cluster->stale = true;
            return redis_unavailable(err, "nobody serves a slot of the cluster");
        }
    }
    return true;
}

/* Writes to all nodes before it reads from any. */
static bool exchange(redis_cluster *cluster, struct redis_batch *batch, error *err)
{
    bool meant[NODES_MAX] = {false};
    bool ok = true;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->commands[i].reply)
            meant[batch->commands[i].node] = true;
    for (int i = 0; i < cluster->count; i++)
        if (meant[i] && !redis_node_start(cluster->nodes[i], batch, i, err)) {
            redis_node_disconnect(cluster->nodes[i]);
            meant[i] = false;
            ok = false;
        }
    for (int i = 0; i < cluster->count; i++)
        if (meant[i] && !redis_node_finish(cluster->nodes[i], batch, i, err))
            ok = false;
    cluster->stale = cluster->stale || !ok;
    return ok;
}

/* "MOVED 3999 127.0.0.1:6381", "ASK 3999 :6381": the node meant; -1: none. */
static int redirected_to(redis_cluster *cluster, const struct batch_command *command)
{
    const char *place = strrchr(command->reply->str, ' ');
    const char *colon = place ? strrchr(place, ':') : NULL;
    if (!colon)
        return -1;
    const char *host = place + 1;
    size_t length = (size_t)(colon - host);
    if (length == 0) {
        host = cluster->nodes[command->node]->target.address.host;
        length = strlen(host);
    }
    return node_of(cluster, host, length, (int)strtol(colon + 1, NULL, 10));
}

static void run_again(struct batch_command *command)
{
    freeReplyObject(command->reply);
    command->reply = NULL;
}

enum answer { ANSWER_TAKEN, ANSWER_REDIRECTED, ANSWER_LATER };

static enum answer take_answer(redis_cluster *cluster, struct batch_command *command)
{
    const char *refusal = command->reply->type == REDIS_REPLY_ERROR ? command->reply->str : "";
    bool moved = redis_refusal_is(refusal, "MOVED ");
    bool ask = redis_refusal_is(refusal, "ASK ");
    command->asking = false;
    if (redis_refusal_is(refusal, "TRYAGAIN")) {
        run_again(command);
        return ANSWER_LATER;
    }
    int node = moved || ask ? redirected_to(cluster, command) : -1;
    if (node < 0)
        return ANSWER_TAKEN;
    run_again(command);
    if (moved && command->slot >= 0)
        cluster->slots[command->slot] = (int16_t)node;
    cluster->stale = cluster->stale || moved;
    command->node = node;
    command->asking = ask;
    return ANSWER_REDIRECTED;
}

/* The worst of all answers. */
static enum answer take_answers(redis_cluster *cluster, struct redis_batch *batch)
{
    enum answer worst = ANSWER_TAKEN;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_command *command = &batch->commands[i];
        if (!command->reply)
            continue;
        enum answer answer = take_answer(cluster, command);
        worst = answer > worst ? answer : worst;
    }
    return worst;
}

/* --- batches -------------------------------------------------------------------------------------- */

bool redis_cluster_run(redis_cluster *cluster, struct redis_batch *batch, error *err)
{
    int64_t until_us = clock_monotonic_us() + cluster->patience_us;
    if (!refresh(cluster, err))
        return false;
    for (int round = 0; round < ROUNDS_MAX && clock_monotonic_us() < until_us; round++) {
        if (!assign(cluster, batch, err) || !exchange(cluster, batch, err))
            return false;
        switch (take_answers(cluster, batch)) {
        case ANSWER_TAKEN:
            return true;
        case ANSWER_LATER:
            nanosleep(&(struct timespec){.tv_nsec = TRY_AGAIN_US * 1000}, NULL);
            break;
        default:
            break;
        }
    }
    return redis_unavailable(err, "a slot of the cluster is on its way for too long");
}

bool redis_cluster_nodes(redis_cluster *cluster, int *ret_count, error *err)
{
    if (!refresh(cluster, err))
        return false;
    *ret_count = cluster->count;
    return true;
}

bool redis_cluster_run_at(redis_cluster *cluster, int node, struct redis_batch *batch, error *err)
{
    if (node >= cluster->count)
        return redis_unavailable(err, "the cluster has changed meanwhile");
    for (size_t i = 0; i < batch->count; i++) {
        batch->commands[i].node = node;
        batch->commands[i].asking = false;
    }
    return exchange(cluster, batch, err);
}
