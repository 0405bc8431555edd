#ifndef CASEWORK_SEARCH_LAG_H
#define CASEWORK_SEARCH_LAG_H

/* How far the index is behind the case service. */

#include "feed/partition.h"
#include "rpc/client.h"

#include <stdatomic.h>

struct search_lag {
    int64_t events;         /* committed and not yet indexed */
    int64_t oldest_time_us; /* when the oldest of them was committed; 0: there is none */
};

/* What the case service last told; all zeroes at first. Thread-safe. */
struct search_lag_memory {
    atomic_llong answered_us;    /* monotonic; 0: it never did */
    atomic_llong events, age_us; /* of the oldest, as of then */
};

/* `partitions`: which ones, a bit each. `memory` is used. Within `timeout_us`, each of at most two calls. */
bool search_lag_measure(rpc_channel *cases, const struct feed_positions *indexed, uint64_t partitions,
                        int64_t timeout_us, arena *memory, struct search_lag *ret_lag, error *err)
    __attribute__((warn_unused_result));

/*
 * What was measured of all partitions, by the suite's clock `now_us`; and, when the case service does not
 * answer, what it told last, older by the time since. False: it never told anything.
 */
void search_lag_remember(struct search_lag_memory *memory, const struct search_lag *lag, int64_t now_us);
bool search_lag_recall(struct search_lag_memory *memory, int64_t *ret_events, int64_t *ret_age_us);

/* How old the oldest event is; 0: there is none. */
int64_t search_lag_age(const struct search_lag *lag, int64_t now_us);

#endif
