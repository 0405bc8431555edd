#ifndef CASEWORK_REDIS_BATCH_H
#define CASEWORK_REDIS_BATCH_H

/* The inside of a batch, for client.c. Commands are kept in wire form (RESP2), so that they can be sent
 * again. */

#include "base/bytes.h"
#include "redis/client.h"

struct batch_command {
    size_t start, length;              /* in `wire`, once the batch is closed */
    const struct redis_script *script; /* NULL: no script */
    redis_reply *reply;                /* owned */
    int slot;                          /* of the first key, in a cluster; -1: no key */
    int node;                          /* who is asked */
    bool asking;                       /* the slot is on its way to that node */
};

struct redis_batch {
    bytes wire;      /* commands that are complete */
    bytes arguments; /* of the command being put together */
    int64_t argument_count;
    int64_t first_key; /* the number of the argument that is the command's first key */
    struct batch_command *commands;
    size_t count, size;
    bool failed; /* out of memory */
};

/* Completes the last command. False when memory ran out somewhere. */
bool redis_batch_close(redis_batch *batch);

void redis_batch_drop_replies(redis_batch *batch);

#endif
