#ifndef CASEWORK_BENCH_SUPPORT_QUIET_FEED_H
#define CASEWORK_BENCH_SUPPORT_QUIET_FEED_H

/* A case service of which only the feed is there, and in which nothing happens: whoever follows it has caught
 * up at once. Aborts when it cannot start. */

#include "feed/partition.h"

typedef struct quiet_feed quiet_feed;

/* Its epoch and heads are those of `positions`, which must outlive it. */
quiet_feed *quiet_feed_new(const struct feed_positions *positions);
void quiet_feed_free(quiet_feed *feed);

/* "127.0.0.1:port" */
const char *quiet_feed_target(const quiet_feed *feed);

#endif
