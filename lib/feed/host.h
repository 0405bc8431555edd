#ifndef CASEWORK_FEED_HOST_H
#define CASEWORK_FEED_HOST_H

/*
 * What search, SLA and report share around their own parts: the channel to the case service, whose feed they
 * follow, and the suite's clock.
 *
 *     rpc_host_configure (with FEED_HOST_OPTIONS) → feed_host_open → own parts → feed_host_follow_clock →
 *     rpc_host_serve → (stop the consumer) → rpc_host_close → (free own parts) → feed_host_close
 */

#include "feed/consumer.h"
#include "feed/suite_clock.h"
#include "rpc/host.h"

struct feed_host {
    /* Settings. */
    const char *case_target, *clock_name;
    /* What runs. */
    rpc_channel *cases;
    suite_clock *clock;
};

#define FEED_HOST_OPTIONS(feed)                                                                   \
    {.env = "CASE_TARGET",                                                                        \
     .help = "the case service",                                                                  \
     .fallback = "127.0.0.1:7001",                                                                \
     .value = &(feed).case_target},                                                               \
    {                                                                                             \
        .env = "CLOCK", .help = "real or manual", .fallback = "real", .value = &(feed).clock_name \
    }

/* The channel, the clock, and the host's server (rpc_host_open). */
bool feed_host_open(struct feed_host *feed, struct rpc_host *host, error *err)
    __attribute__((warn_unused_result));

/* Serves ClockService where the clock is manual. Before rpc_host_serve. */
bool feed_host_follow_clock(struct feed_host *feed, struct rpc_host *host, suite_clock_settle *settle,
                            void *context, error *err) __attribute__((warn_unused_result));

/* For a service in which nothing is ever due: settled is when the feed has been applied. context: the
 * feed_consumer. */
suite_clock_settle feed_host_settle;

/* Frees what was opened, also in part. */
void feed_host_close(struct feed_host *feed);

#endif
