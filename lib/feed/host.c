#include "feed/host.h"

#include <string.h>

bool feed_host_open(struct feed_host *feed, struct rpc_host *host, error *err)
{
    bool manual = strcmp(feed->clock_name, "manual") == 0;
    if (!manual && strcmp(feed->clock_name, "real") != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "CLOCK: neither real nor manual");
    return rpc_host_channel(host, feed->case_target, &feed->cases, err) &&
           suite_clock_new(feed->cases, manual, &feed->clock, err) && rpc_host_open(host, err);
}

bool feed_host_follow_clock(struct feed_host *feed, struct rpc_host *host, suite_clock_settle *settle,
                            void *context, error *err)
{
    return !suite_clock_is_manual(feed->clock) ||
           suite_clock_serve(feed->clock, host->server, settle, context, err);
}

bool feed_host_settle(void *context, int64_t now_us, const struct feed_positions *heads, int64_t deadline_us,
                      int64_t *ret_next_due_us, error *err)
{
    (void)now_us;
    if (!feed_consumer_wait(context, heads, deadline_us, err))
        return false;
    *ret_next_due_us = INT64_MAX;
    return true;
}

void feed_host_close(struct feed_host *feed)
{
    suite_clock_free(feed->clock);
    rpc_channel_free(feed->cases);
}
