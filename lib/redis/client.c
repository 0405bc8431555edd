#include "redis/client.h"

#include "redis/batch.h"
#include "redis/cluster.h"
#include "redis/connect.h"
#include "redis/node.h"

#include <pthread.h>
#include <stdlib.h>

struct redis_client {
    pthread_mutex_t mutex;  /* guards everything below */
    struct redis_node node; /* unless there is a cluster */
    redis_cluster *cluster;
};

bool redis_client_new(const struct redis_options *options, redis_client **ret_client, error *err)
{
    struct redis_target target;
    if (!redis_target_init(&target, options, err))
        return false;
    bool clustered = target.address.kind == REDIS_CLUSTER;
    redis_client *client = calloc(1, sizeof *client);
    redis_cluster *cluster = clustered ? redis_cluster_new(&target) : NULL;
    if (!client || (clustered && !cluster)) {
        free(client);
        redis_cluster_free(cluster);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    client->node.target = target;
    client->cluster = cluster;
    pthread_mutex_init(&client->mutex, NULL);
    *ret_client = client;
    return true;
}

void redis_client_free(redis_client *client)
{
    if (!client)
        return;
    redis_node_disconnect(&client->node);
    redis_cluster_free(client->cluster);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

/* --- batches -------------------------------------------------------------------------------------- */

/* A node that is no longer the primary: another connection may lead to the new one. */
static bool check_replies(redis_client *client, const redis_batch *batch, error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const redisReply *reply = batch->commands[i].reply;
        if (!reply || reply->type != REDIS_REPLY_ERROR)
            continue;
        if (!client->cluster && redis_node_is_wrong(reply->str))
            redis_node_disconnect(&client->node);
        return redis_refused(err, reply->str);
    }
    return true;
}

static bool run_single(redis_client *client, redis_batch *batch, error *err)
{
    for (size_t i = 0; i < batch->count; i++)
        batch->commands[i].node = 0;
    return redis_node_start(&client->node, batch, 0, err) && redis_node_finish(&client->node, batch, 0, err);
}

/* At one node (a number below what redis_client_nodes told), or wherever each command belongs (-1). */
static bool run_locked(redis_client *client, redis_batch *batch, int node, error *err)
{
    bool ok;
    redis_batch_drop_replies(batch);
    if (!client->cluster)
        ok = run_single(client, batch, err);
    else if (node < 0)
        ok = redis_cluster_run(client->cluster, batch, err);
    else
        ok = redis_cluster_run_at(client->cluster, node, batch, err);
    if (!ok) {
        redis_batch_drop_replies(batch);
        return false;
    }
    return check_replies(client, batch, err);
}

bool redis_client_run_at(redis_client *client, int node, redis_batch *batch, error *err)
{
    if (!redis_batch_close(batch))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE", "too many timers at once");
    if (batch->count == 0)
        return true;
    error ignored;
    pthread_mutex_lock(&client->mutex);
    bool ok = run_locked(client, batch, node, err ? err : &ignored);
    pthread_mutex_unlock(&client->mutex);
    return ok;
}

bool redis_client_run(redis_client *client, redis_batch *batch, error *err)
{
    return redis_client_run_at(client, -1, batch, err);
}

bool redis_client_nodes(redis_client *client, int *ret_count, error *err)
{
    bool ok = true;
    pthread_mutex_lock(&client->mutex);
    if (client->cluster)
        ok = redis_cluster_nodes(client->cluster, ret_count, err);
    else
        *ret_count = 1;
    pthread_mutex_unlock(&client->mutex);
    return ok;
}
