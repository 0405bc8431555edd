#include "report/report_feed.h"

#include "base/injection.h"
#include "base/log.h"
#include "report/report_events.h"

#include <stdlib.h>
#include <string.h>

enum { EVENTS_BYTES_MAX = 256 << 20 };

typedef Casework__Cases__V1__Event wire_event;

struct report_feed {
    rpc_channel *cases;
    report_store *store;
    void (*caught_up)(void *context);
    void *context;
    struct report_feed_limit limit;
    arena *memory;              /* of one response's events */
    struct feed_positions done; /* what load and apply have told the consumer */
    feed_consumer *consumer;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to follow the feed");
}

/* --- one response ----------------------------------------------------------------------------------------
 */

/* The events up to the heads. */
static bool apply_up_to(report_feed *feed, wire_event *const *events, size_t count,
                        const struct feed_positions *heads, error *err)
{
    arena_clear(feed->memory);
    struct report_event *sorted = arena_calloc(feed->memory, count + 1, sizeof *sorted);
    if (sorted == NULL)
        return out_of_memory(err);
    /* Each partition's events together, in their order. */
    size_t ends[FEED_PARTITIONS] = {0}, next = 0;
    for (size_t i = 0; i < count; i++)
        ends[events[i]->partition]++;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        size_t start = next;
        next += ends[p];
        ends[p] = start;
    }
    for (size_t i = 0; i < count; i++) {
        if (!report_events_read(feed->cases, feed->memory, events[i], &sorted[ends[events[i]->partition]++],
                                err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (sorted[i].kind == REPORT_EVENT_ACCOUNT_DELETED &&
            !report_store_shrink(feed->store, sorted[i].account, sorted[i].position, err))
            return false;
    }
    struct report_part parts[FEED_PARTITIONS];
    size_t part_count = 0, start = 0;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (heads->at[p] > feed->done.at[p])
            parts[part_count++] = (struct report_part){
                .partition = p, .events = sorted + start, .count = ends[p] - start, .head = heads->at[p]};
        start = ends[p];
    }
    if (!report_store_apply(feed->store, heads->epoch, parts, part_count, err))
        return false;
    injection_point("report_feed.applied"); /* stored, and nobody has heard of it yet */
    feed->done = *heads;
    return true;
}

static bool apply(void *context, wire_event *const *events, size_t count, const struct feed_positions *heads,
                  error *err)
{
    report_feed *feed = context;
    if (feed->limit.lower == NULL)
        return apply_up_to(feed, events, count, heads, err);
    struct feed_positions lowered = *heads;
    wire_event **within = calloc(count + 1, sizeof(wire_event *));
    size_t kept = 0;
    bool done = within != NULL ? feed->limit.lower(feed->limit.context, &lowered, err) : out_of_memory(err);
    for (size_t i = 0; done && i < count; i++) {
        if (events[i]->position <= lowered.at[events[i]->partition])
            within[kept++] = events[i];
    }
    done = done && apply_up_to(feed, within, kept, &lowered, err);
    free(within);
    if (done && memcmp(lowered.at, heads->at, sizeof lowered.at) != 0)
        return error_set(err, STATUS_UNAVAILABLE, "", "the rest is read later");
    return done;
}

static bool load(void *context, struct feed_positions *ret_positions, error *err)
{
    report_feed *feed = context;
    if (!report_store_positions(feed->store, &feed->done, err))
        return false;
    *ret_positions = feed->done;
    return true;
}

static bool reset(void *context, const char *epoch, error *err)
{
    report_feed *feed = context;
    log_info("reports start anew", LOG_TEXT("epoch", epoch));
    return report_store_reset(feed->store, epoch, err);
}

static void tell_caught_up(void *context)
{
    const report_feed *feed = context;
    feed->caught_up(feed->context);
}

bool report_feed_new(rpc_channel *cases, report_store *store, void (*caught_up)(void *context), void *context,
                     const struct report_feed_limit *limit, report_feed **ret_feed, error *err)
{
    report_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return out_of_memory(err);
    *feed = (report_feed){.cases = cases, .store = store, .caught_up = caught_up, .context = context};
    if (limit != NULL)
        feed->limit = *limit;
    feed->memory = arena_new(EVENTS_BYTES_MAX);
    static const struct feed_consumer_handlers handlers = {
        .load = load, .apply = apply, .reset = reset, .caught_up = tell_caught_up};
    if ((feed->memory != NULL || out_of_memory(err)) &&
        feed_consumer_new(cases, &handlers, feed, &feed->consumer, err)) {
        *ret_feed = feed;
        return true;
    }
    report_feed_free(feed);
    return false;
}

void report_feed_free(report_feed *feed)
{
    if (feed == NULL)
        return;
    feed_consumer_free(feed->consumer);
    arena_free(feed->memory);
    free(feed);
}

feed_consumer *report_feed_consumer(report_feed *feed)
{
    return feed->consumer;
}
