#include "sla/sla_replay.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdio.h>

enum { RESPONSE_BYTES_MAX = 64 << 20, NAME_SIZE = 96 };

#define SERVICE (&casework__cases__v1__event_service__descriptor)
#define LOOK_UP_US CLOCK_SECOND            /* how often it is asked whether to go on */
#define SILENCE_MAX_US (60 * CLOCK_SECOND) /* the case service gives signs of life much more often */

static bool is_read(const struct sla_replay *history, int32_t partition)
{
    return partition >= 0 && partition < FEED_PARTITIONS && (history->partitions >> partition & 1);
}

bool sla_replay_reached(const struct sla_replay *history, const struct feed_positions *at,
                        const struct feed_positions *upto)
{
    for (int p = 0; p < FEED_PARTITIONS; p++)
        if (is_read(history, p) && at->at[p] < upto->at[p])
            return false;
    return true;
}

static size_t list_partitions(const struct sla_replay *history, int32_t partitions[FEED_PARTITIONS])
{
    size_t count = 0;
    for (int p = 0; p < FEED_PARTITIONS; p++)
        if (is_read(history, p))
            partitions[count++] = p;
    return count;
}

/* --- one stream ----------------------------------------------------------------------------------- */

/* Called with each message; *ret_end: that was enough. */
typedef bool take_message(void *context, const ProtobufCMessage *message, bool *ret_end, error *err);

static bool read_message(const struct sla_replay *history, rpc_stream *stream, arena *memory,
                         ProtobufCMessage **ret_message, error *err)
{
    int64_t until_us = clock_monotonic_us() + SILENCE_MAX_US;
    while (clock_monotonic_us() < until_us) {
        if (history->is_over && history->is_over(history->context))
            return error_set(err, STATUS_CANCELLED, "CANCELLED", "the client is gone");
        switch (rpc_stream_read(stream, LOOK_UP_US, memory, ret_message, err)) {
        case RPC_READ_MESSAGE:
            return true;
        case RPC_READ_END:
            *ret_message = NULL;
            return true;
        case RPC_READ_FAILED:
            return false;
        case RPC_READ_TIMEOUT:
            break;
        }
    }
    return error_set(err, STATUS_UNAVAILABLE, "DEPENDENCY_DOWN", "the case service has fallen silent");
}

static bool read_stream(const struct sla_replay *history, rpc_stream *stream, take_message *take,
                        void *context, error *err)
{
    arena *memory = arena_new(RESPONSE_BYTES_MAX);
    bool end = false;
    bool ok = memory || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    while (ok && !end) {
        ProtobufCMessage *message;
        arena_clear(memory);
        ok = read_message(history, stream, memory, &message, err) &&
             (!message || take(context, message, &end, err));
        end = end || (ok && !message);
    }
    arena_free(memory);
    return ok;
}

static bool ask(const struct sla_replay *history, const char *method, const ProtobufCMessage *request,
                take_message *take, void *context, error *err)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    if (!rpc_stream_open(history->cases, SERVICE, method, &options, &stream, err))
        return false;
    /* A request that cannot be sent needs no word: reading tells why. */
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    bool ok = read_stream(history, stream, take, context, err);
    rpc_stream_free(stream);
    return ok;
}

/* --- events --------------------------------------------------------------------------------------- */

struct reading {
    const struct sla_replay *history;
    struct feed_positions *at;
    const struct feed_positions *upto;
    sla_replay_event *event;
    void *context;
};

static bool take_events(void *context, const ProtobufCMessage *message, bool *ret_end, error *err)
{
    const struct reading *reading = context;
    const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
    int64_t *at = reading->at->at;
    for (size_t i = 0; i < response->n_events; i++) {
        const Casework__Cases__V1__Event *event = response->events[i];
        if (!is_read(reading->history, event->partition) || event->position <= at[event->partition])
            continue;
        at[event->partition] = event->position;
        if (!reading->event(reading->context, event, err))
            return false;
    }
    for (size_t i = 0; i < response->n_heads; i++) {
        const Casework__Cases__V1__PartitionPosition *head = response->heads[i];
        if (is_read(reading->history, head->partition) && head->position > at[head->partition])
            at[head->partition] = head->position;
    }
    *ret_end = sla_replay_reached(reading->history, reading->at, reading->upto);
    return true;
}

bool sla_replay_read(const struct sla_replay *history, struct feed_positions *at,
                     const struct feed_positions *upto, sla_replay_event *event, void *context, error *err)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition after[FEED_PARTITIONS], *pointers[FEED_PARTITIONS];
    struct reading reading = {history, at, upto, event, context};
    int32_t partitions[FEED_PARTITIONS];
    char parent[NAME_SIZE];
    if (sla_replay_reached(history, at, upto))
        return true;
    snprintf(parent, sizeof parent, "accounts/%s", *history->account ? history->account : "-");
    request.parent = parent;
    request.epoch = at->epoch;
    request.n_partitions = list_partitions(history, partitions);
    request.partitions = partitions;
    for (size_t i = 0; i < request.n_partitions; i++) {
        pointers[i] = &after[i];
        casework__cases__v1__partition_position__init(&after[i]);
        after[i].partition = partitions[i];
        after[i].position = at->at[partitions[i]];
    }
    request.after = pointers;
    request.n_after = request.n_partitions;
    return ask(history, "StreamEvents", &request.base, take_events, &reading, err);
}

/* --- snapshots ------------------------------------------------------------------------------------ */

struct snapshot {
    const struct sla_replay *history;
    struct feed_positions *at;
    sla_replay_part *part;
    void *context;
};

static bool take_snapshot(void *context, const ProtobufCMessage *message, bool *ret_end, error *err)
{
    const struct snapshot *snapshot = context;
    const Casework__Cases__V1__StreamSnapshotResponse *part = (const void *)message;
    (void)ret_end;
    if (!is_read(snapshot->history, part->partition))
        return true;
    snprintf(snapshot->at->epoch, sizeof snapshot->at->epoch, "%s", part->epoch);
    snapshot->at->at[part->partition] = part->position;
    return snapshot->part(snapshot->context, part, err);
}

bool sla_replay_snapshot(const struct sla_replay *history, struct feed_positions *ret_at,
                         sla_replay_part *part, void *context, error *err)
{
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    struct snapshot snapshot = {history, ret_at, part, context};
    int32_t partitions[FEED_PARTITIONS];
    char parent[NAME_SIZE];
    snprintf(parent, sizeof parent, "accounts/%s", *history->account ? history->account : "-");
    request.parent = parent;
    request.n_partitions = list_partitions(history, partitions);
    request.partitions = partitions;
    *ret_at = (struct feed_positions){0};
    return ask(history, "StreamSnapshot", &request.base, take_snapshot, &snapshot, err);
}
