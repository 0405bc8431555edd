#include "search/search_lag.h"

#include "base/clock.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/wire.h"

#define EVENT_SERVICE (&casework__cases__v1__event_service__descriptor)

typedef Casework__Cases__V1__PartitionPosition wire_position;

/* The partitions that lag, as a request for what they lack. */
struct lagging {
    wire_position after[FEED_PARTITIONS], *pointers[FEED_PARTITIONS];
    int32_t partitions[FEED_PARTITIONS];
    bool waiting[FEED_PARTITIONS]; /* for its first event */
    size_t count, waiting_count;
};

static bool read_heads(rpc_channel *cases, const struct feed_positions *indexed, uint64_t partitions,
                       int64_t timeout_us, arena *memory, struct lagging *lagging, int64_t *ret_events,
                       error *err)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = timeout_us};
    ProtobufCMessage *message;
    request.parent = (char *)"accounts/-";
    if (!rpc_client_call(cases, EVENT_SERVICE, "GetPosition", &request.base, &options, memory, &message, err))
        return false;
    const Casework__Cases__V1__GetPositionResponse *response =
        (const Casework__Cases__V1__GetPositionResponse *)message;
    int64_t events = 0;
    for (size_t i = 0; i < response->n_positions; i++) {
        int at = response->positions[i]->partition;
        if (at < 0 || at >= FEED_PARTITIONS || !(partitions >> at & 1) || lagging->waiting[at] ||
            response->positions[i]->position <= indexed->at[at])
            continue;
        events += response->positions[i]->position - indexed->at[at];
        wire_position *after = &lagging->after[lagging->count];
        casework__cases__v1__partition_position__init(after);
        after->partition = at;
        after->position = indexed->at[at];
        lagging->pointers[lagging->count] = after;
        lagging->partitions[lagging->count++] = at;
        lagging->waiting[at] = true;
    }
    lagging->waiting_count = lagging->count;
    *ret_events = events;
    return true;
}

/* Within a partition commit times only grow: its first event is its oldest. */
static bool take_events(const Casework__Cases__V1__StreamEventsResponse *response, struct lagging *lagging,
                        int64_t *oldest_us)
{
    for (size_t i = 0; i < response->n_events; i++) {
        const Casework__Cases__V1__Event *event = response->events[i];
        int64_t time_us;
        if (event->partition < 0 || event->partition >= FEED_PARTITIONS ||
            !lagging->waiting[event->partition] || !wire_time_us(event->commit_time, &time_us))
            continue;
        lagging->waiting[event->partition] = false;
        lagging->waiting_count--;
        if (*oldest_us == 0 || time_us < *oldest_us)
            *oldest_us = time_us;
    }
    return lagging->waiting_count == 0 || response->caught_up;
}

static bool read_oldest(rpc_channel *cases, struct lagging *lagging, int64_t timeout_us, arena *memory,
                        int64_t *ret_oldest_us, error *err)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = timeout_us};
    rpc_stream *stream;
    request.parent = (char *)"accounts/-";
    request.after = lagging->pointers;
    request.n_after = lagging->count;
    request.partitions = lagging->partitions;
    request.n_partitions = lagging->count;
    if (!rpc_stream_open(cases, EVENT_SERVICE, "StreamEvents", &options, &stream, err))
        return false;
    if (rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
    int64_t oldest_us = 0;
    ProtobufCMessage *message;
    enum rpc_read read;
    do
        read = rpc_stream_read(stream, timeout_us, memory, &message, err);
    while (read == RPC_READ_MESSAGE &&
           !take_events((const Casework__Cases__V1__StreamEventsResponse *)message, lagging, &oldest_us));
    rpc_stream_free(stream);
    if (read == RPC_READ_TIMEOUT || read == RPC_READ_END)
        error_set(err, STATUS_UNAVAILABLE, "", "the case service does not tell what is missing");
    *ret_oldest_us = oldest_us;
    return read == RPC_READ_MESSAGE;
}

bool search_lag_measure(rpc_channel *cases, const struct feed_positions *indexed, uint64_t partitions,
                        int64_t timeout_us, arena *memory, struct search_lag *ret_lag, error *err)
{
    struct lagging lagging = {.count = 0};
    struct search_lag lag = {0};
    if (!read_heads(cases, indexed, partitions, timeout_us, memory, &lagging, &lag.events, err))
        return false;
    if (lagging.count > 0 && !read_oldest(cases, &lagging, timeout_us, memory, &lag.oldest_time_us, err))
        return false;
    *ret_lag = lag;
    return true;
}

int64_t search_lag_age(const struct search_lag *lag, int64_t now_us)
{
    return lag->oldest_time_us > 0 && lag->oldest_time_us < now_us ? now_us - lag->oldest_time_us : 0;
}

void search_lag_remember(struct search_lag_memory *memory, const struct search_lag *lag, int64_t now_us)
{
    atomic_store(&memory->events, lag->events);
    atomic_store(&memory->age_us, search_lag_age(lag, now_us));
    atomic_store(&memory->answered_us, clock_monotonic_us());
}

bool search_lag_recall(struct search_lag_memory *memory, int64_t *ret_events, int64_t *ret_age_us)
{
    int64_t answered_us = atomic_load(&memory->answered_us);
    if (answered_us == 0)
        return false;
    *ret_events = atomic_load(&memory->events);
    *ret_age_us = atomic_load(&memory->age_us) + clock_monotonic_us() - answered_us;
    return true;
}
