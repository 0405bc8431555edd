#ifndef CASEWORK_REDIS_CLUSTER_H
#define CASEWORK_REDIS_CLUSTER_H

/*
 * A Redis Cluster: which node has which slot, asked of the nodes when it is not known, and put right by what
 * they answer to commands (MOVED, ASK). Belongs to one thread at a time.
 */

#include "base/error.h"
#include "redis/batch.h"
#include "redis/connect.h"

#include <stdbool.h>

typedef struct redis_cluster redis_cluster;

/* NULL: no memory. The target names the nodes to begin with. */
redis_cluster *redis_cluster_new(const struct redis_target *target);
void redis_cluster_free(redis_cluster *cluster); /* takes NULL */

/* All commands of a closed batch, each at the node of its first key; those without a key at any node. */
bool redis_cluster_run(redis_cluster *cluster, struct redis_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* How many nodes have slots; and a batch that one of them is asked as a whole. */
bool redis_cluster_nodes(redis_cluster *cluster, int *ret_count, error *err)
    __attribute__((warn_unused_result));
bool redis_cluster_run_at(redis_cluster *cluster, int node, struct redis_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
