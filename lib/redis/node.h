#ifndef CASEWORK_REDIS_NODE_H
#define CASEWORK_REDIS_NODE_H

/*
 * One Redis and the connection to it: made when it is needed, not before a backoff has passed since it last
 * failed. Belongs to one thread at a time.
 */

#include "base/error.h"
#include "redis/batch.h"
#include "redis/connect.h"

#include <stdbool.h>
#include <stdint.h>

struct redis_node {
    struct redis_target target;
    redisContext *context; /* NULL: not connected */
    int64_t backoff_us;    /* 0 after a success */
    int64_t not_before_us; /* monotonic: next attempt to connect */
    bool reused;           /* the connection had been good before this exchange */
};

void redis_node_disconnect(struct redis_node *node);

/*
 * An exchange: those commands of the batch that are the node's (`index`) and have no reply yet, in order.
 * start writes them, finish reads the replies; scripts that the node does not know are loaded, and a
 * connection that was good before and turns out to be gone is made once more.
 */
bool redis_node_start(struct redis_node *node, const struct redis_batch *batch, int index, error *err)
    __attribute__((warn_unused_result));
bool redis_node_finish(struct redis_node *node, struct redis_batch *batch, int index, error *err)
    __attribute__((warn_unused_result));

/* A reply that asks for another connection: the node is no longer the primary. */
bool redis_node_is_wrong(const char *refusal);

#endif
