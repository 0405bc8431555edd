#ifndef CASEWORK_REPORT_FEED_H
#define CASEWORK_REPORT_FEED_H

/* Keeps the tables up with the case service's feed. */

#include "feed/consumer.h"
#include "report/report_store.h"

typedef struct report_feed report_feed;

/* Lowers heads (it may wait) to where the tables may come now; what is above is read again later. */
struct report_feed_limit {
    bool (*lower)(void *context, struct feed_positions *heads, error *err);
    void *context;
};

/*
 * Starts at once. `caught_up` runs when the reports have come up to date for the first time. `cases` and
 * `store` must outlive it. `limit` may be NULL.
 */
bool report_feed_new(rpc_channel *cases, report_store *store, void (*caught_up)(void *context), void *context,
                     const struct report_feed_limit *limit, report_feed **ret_feed, error *err)
    __attribute__((warn_unused_result));
void report_feed_free(report_feed *feed); /* takes NULL */

/* For waiting. The feed's. */
feed_consumer *report_feed_consumer(report_feed *feed);

#endif
