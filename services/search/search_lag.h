#ifndef CASEWORK_SEARCH_LAG_H
#define CASEWORK_SEARCH_LAG_H

/* How far the index is behind the case service. */

#include "feed/partition.h"
#include "rpc/client.h"

struct search_lag {
    int64_t events;         /* committed and not yet indexed */
    int64_t oldest_time_us; /* when the oldest of them was committed; 0: there is none */
};

/* `partitions`: which ones, a bit each. `memory` is used. Within `timeout_us`, each of at most two calls. */
bool search_lag_measure(rpc_channel *cases, const struct feed_positions *indexed, uint64_t partitions,
                        int64_t timeout_us, arena *memory, struct search_lag *ret_lag, error *err)
    __attribute__((warn_unused_result));

#endif
