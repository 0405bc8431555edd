#include "feed/consumer.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITERS_MAX = 10000, RESPONSE_BYTES_MAX = 256 << 20 };

/* The case service sends a sign of life much more often than this. */
#define SILENCE_MAX (60 * CLOCK_SECOND)
#define BACKOFF_FIRST (50 * CLOCK_SECOND / 1000)
#define BACKOFF_LAST (2 * CLOCK_SECOND)
#define UNARY_TIMEOUT (10 * CLOCK_SECOND)

/*
 * Whoever is behind, for the next response was there before it was asked for, takes what else is on its way
 * along: applying costs by the round more than by the event. So many events, and waiting so long for the
 * next.
 */
enum { GATHERED_MAX = 500 };
#define GATHER_TIME (300 * CLOCK_SECOND / 1000000)

struct feed_consumer {
    rpc_channel *channel;
    struct feed_consumer_handlers handlers;
    void *context;
    feed_waiters *waiters;
    atomic_bool caught_up;
    pthread_t thread;
    /* The reading thread's own: */
    struct feed_positions positions;
    arena *memory;
    /* Shared, for stopping: */
    pthread_mutex_t lock;
    pthread_cond_t stop;
    rpc_stream *stream;
    bool stopping, joined;
};

/* --- responses ---------------------------------------------------------------------------------------- */

typedef Casework__Cases__V1__StreamEventsResponse wire_response;

/* What is applied together. */
struct gathered {
    Casework__Cases__V1__Event **events;
    size_t count, size;
    struct feed_positions heads;
    bool caught_up;
    enum rpc_read last; /* how the last read ended: the stream may have, behind what was gathered */
    error failure;
};

static bool is_partition(int32_t partition)
{
    return partition >= 0 && partition < FEED_PARTITIONS;
}

static bool is_followed(const feed_consumer *consumer, int partition)
{
    uint64_t partitions = consumer->handlers.partitions;
    return partitions == 0 || (partitions >> partition & 1);
}

/* The partitions as a request names them: none for all. */
static size_t list_followed(const feed_consumer *consumer, int32_t *partitions)
{
    size_t count = 0;
    for (int i = 0; i < FEED_PARTITIONS && consumer->handlers.partitions; i++)
        if (is_followed(consumer, i))
            partitions[count++] = i;
    return count;
}

/* What is new among the events; what has been applied before is left out. */
static void pick_new(struct gathered *gathered, const wire_response *response)
{
    struct feed_positions *heads = &gathered->heads;
    for (size_t i = 0; i < response->n_events; i++) {
        Casework__Cases__V1__Event *event = response->events[i];
        if (!is_partition(event->partition) || event->position <= heads->at[event->partition])
            continue;
        heads->at[event->partition] = event->position;
        gathered->events[gathered->count++] = event;
    }
    for (size_t i = 0; i < response->n_heads; i++) {
        const Casework__Cases__V1__PartitionPosition *head = response->heads[i];
        if (is_partition(head->partition) && head->position > heads->at[head->partition])
            heads->at[head->partition] = head->position;
    }
}

static bool start_anew(feed_consumer *consumer, const char *epoch, error *err)
{
    log_warn("feed epoch changed", LOG_TEXT("epoch", epoch));
    if (!consumer->handlers.reset(consumer->context, epoch, err))
        return false;
    feed_waiters_reach(consumer->waiters, (const int64_t[FEED_PARTITIONS]){0});
    return error_set(err, STATUS_ABORTED, "EPOCH_CHANGED", "the feed starts anew");
}

/* Room for so many events more, and one. */
static bool make_room(struct gathered *gathered, size_t more, arena *memory)
{
    if (gathered->size > gathered->count + more)
        return true;
    size_t size = 2 * (gathered->count + more) + 1;
    Casework__Cases__V1__Event **grown = arena_calloc(memory, size, sizeof(Casework__Cases__V1__Event *));
    if (!grown)
        return false;
    if (gathered->count > 0)
        memcpy(grown, gathered->events, gathered->count * sizeof(Casework__Cases__V1__Event *));
    gathered->events = grown;
    gathered->size = size;
    return true;
}

static bool add(feed_consumer *consumer, struct gathered *gathered, const wire_response *response, error *err)
{
    char *known = gathered->heads.epoch;
    if (*known && strcmp(known, response->epoch) != 0)
        return start_anew(consumer, response->epoch, err);
    snprintf(known, FEED_EPOCH_SIZE, "%s", response->epoch);
    if (!make_room(gathered, response->n_events, consumer->memory))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for events");
    pick_new(gathered, response);
    gathered->caught_up = gathered->caught_up || response->caught_up;
    return true;
}

static bool apply(feed_consumer *consumer, const struct gathered *gathered, error *err)
{
    const struct feed_positions *heads = &gathered->heads;
    if (memcmp(heads, &consumer->positions, sizeof *heads) != 0 &&
        !consumer->handlers.apply(consumer->context, gathered->events, gathered->count, heads, err))
        return false;
    consumer->positions = *heads;
    if (gathered->caught_up && !atomic_exchange(&consumer->caught_up, true) && consumer->handlers.caught_up)
        consumer->handlers.caught_up(consumer->context);
    feed_waiters_reach(consumer->waiters, heads->at);
    return true;
}

/* --- one connection ----------------------------------------------------------------------------------- */

static bool is_stopping(feed_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    bool stopping = consumer->stopping;
    pthread_mutex_unlock(&consumer->lock);
    return stopping;
}

/* From here on a stop reaches the stream. False when the stop was there first. */
static bool publish_stream(feed_consumer *consumer, rpc_stream *stream)
{
    pthread_mutex_lock(&consumer->lock);
    bool go = !consumer->stopping;
    consumer->stream = go ? stream : NULL;
    pthread_mutex_unlock(&consumer->lock);
    return go;
}

static void drop_stream(feed_consumer *consumer, rpc_stream *stream)
{
    pthread_mutex_lock(&consumer->lock);
    consumer->stream = NULL;
    pthread_mutex_unlock(&consumer->lock);
    rpc_stream_free(stream);
}

/* A request that cannot be sent needs no word: reading tells why. */
static void send_request(const feed_consumer *consumer, rpc_stream *stream)
{
    Casework__Cases__V1__PartitionPosition after[FEED_PARTITIONS], *pointers[FEED_PARTITIONS];
    int32_t partitions[FEED_PARTITIONS];
    size_t count = 0;
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        if (!is_followed(consumer, i))
            continue;
        casework__cases__v1__partition_position__init(&after[count]);
        after[count].partition = i;
        after[count].position = consumer->positions.at[i];
        pointers[count] = &after[count];
        count++;
    }
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    request.parent = "accounts/-";
    request.epoch = (char *)consumer->positions.epoch;
    request.after = pointers;
    request.n_after = count;
    request.partitions = partitions;
    request.n_partitions = list_followed(consumer, partitions);
    if (rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
}

/* False, and why, for anything but a response. */
static bool is_response(enum rpc_read read, error *err)
{
    switch (read) {
    case RPC_READ_MESSAGE:
        return true;
    case RPC_READ_TIMEOUT:
        return error_set(err, STATUS_UNAVAILABLE, "", "the stream of events has fallen silent");
    case RPC_READ_END:
        return error_set(err, STATUS_UNAVAILABLE, "", "the stream of events has ended");
    case RPC_READ_FAILED:
        break;
    }
    return false;
}

/* The next response, and those behind it when it was there already. */
static bool read_some(feed_consumer *consumer, rpc_stream *stream, struct gathered *gathered, error *err)
{
    ProtobufCMessage *message;
    gathered->last = rpc_stream_read(stream, 0, consumer->memory, &message, err);
    bool behind = gathered->last == RPC_READ_MESSAGE;
    if (gathered->last == RPC_READ_TIMEOUT)
        gathered->last = rpc_stream_read(stream, SILENCE_MAX, consumer->memory, &message, err);
    if (!is_response(gathered->last, err) || !add(consumer, gathered, (const wire_response *)message, err))
        return false;
    while (behind && gathered->last == RPC_READ_MESSAGE && gathered->count < GATHERED_MAX) {
        gathered->last = rpc_stream_read(stream, GATHER_TIME, consumer->memory, &message, &gathered->failure);
        if (gathered->last == RPC_READ_MESSAGE &&
            !add(consumer, gathered, (const wire_response *)message, err))
            return false;
    }
    return true;
}

/* Reads until the stream ends. `ret_progress`: something was read, so that the next try may come at once. */
static bool read_all(feed_consumer *consumer, rpc_stream *stream, bool *ret_progress, error *err)
{
    for (;;) {
        struct gathered gathered = {.heads = consumer->positions};
        arena_clear(consumer->memory);
        if (!read_some(consumer, stream, &gathered, err) || !apply(consumer, &gathered, err))
            return false;
        *ret_progress = true;
        if (gathered.last == RPC_READ_END || gathered.last == RPC_READ_FAILED) {
            *err = gathered.failure;
            return is_response(gathered.last, err);
        }
    }
}

/* --- a snapshot, for those who have nothing ---------------------------------------------------------------
 */

static bool take_part(feed_consumer *consumer, const Casework__Cases__V1__StreamSnapshotResponse *part,
                      error *err)
{
    struct feed_positions *reached = &consumer->positions;
    if (!is_partition(part->partition))
        return error_set(err, STATUS_DATA_LOSS, "", "a snapshot of no partition");
    if (*reached->epoch && strcmp(reached->epoch, part->epoch) != 0)
        return start_anew(consumer, part->epoch, err);
    snprintf(reached->epoch, sizeof reached->epoch, "%s", part->epoch);
    if (part->done)
        reached->at[part->partition] = part->position;
    return consumer->handlers.snapshot(consumer->context, part, part->done ? reached : NULL, err);
}

static bool read_parts(feed_consumer *consumer, rpc_stream *stream, error *err)
{
    for (;;) {
        ProtobufCMessage *message;
        arena_clear(consumer->memory);
        switch (rpc_stream_read(stream, SILENCE_MAX, consumer->memory, &message, err)) {
        case RPC_READ_MESSAGE:
            if (!take_part(consumer, (const Casework__Cases__V1__StreamSnapshotResponse *)message, err))
                return false;
            break;
        case RPC_READ_TIMEOUT:
            return error_set(err, STATUS_UNAVAILABLE, "", "the snapshot has fallen silent");
        case RPC_READ_END:
            return true;
        case RPC_READ_FAILED:
            return false;
        }
    }
}

static bool read_snapshot(feed_consumer *consumer, error *err)
{
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    int32_t partitions[FEED_PARTITIONS];
    rpc_stream *stream;
    request.parent = (char *)(uintptr_t) "accounts/-";
    request.partitions = partitions;
    request.n_partitions = list_followed(consumer, partitions);
    if (!rpc_stream_open(consumer->channel, &casework__cases__v1__event_service__descriptor, "StreamSnapshot",
                         &options, &stream, err))
        return false;
    bool done = publish_stream(consumer, stream) && rpc_stream_write(stream, &request.base);
    if (done)
        rpc_stream_close_send(stream);
    done = read_parts(consumer, stream, err) && done;
    drop_stream(consumer, stream);
    return done;
}

static bool follow(feed_consumer *consumer, bool *ret_progress, error *err)
{
    struct feed_positions stored;
    memset(&stored, 0, sizeof stored);
    if (!consumer->handlers.load(consumer->context, &stored, err))
        return false;
    consumer->positions = stored;
    if (!*stored.epoch && consumer->handlers.snapshot && !read_snapshot(consumer, err))
        return false;
    feed_waiters_reach(consumer->waiters, consumer->positions.at);

    rpc_stream *stream;
    struct rpc_client_options options = {.timeout_us = INT64_MAX};
    if (!rpc_stream_open(consumer->channel, &casework__cases__v1__event_service__descriptor, "StreamEvents",
                         &options, &stream, err))
        return false;
    bool done = publish_stream(consumer, stream);
    if (done) {
        send_request(consumer, stream);
        done = read_all(consumer, stream, ret_progress, err);
    }
    drop_stream(consumer, stream);
    return done;
}

/* The case service refused our epoch: asks for the one that holds now. */
static bool ask_epoch(feed_consumer *consumer, error *err)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = "accounts/-";
    struct rpc_client_options options = {.timeout_us = UNARY_TIMEOUT};
    ProtobufCMessage *response;
    arena_clear(consumer->memory);
    if (!rpc_client_call(consumer->channel, &casework__cases__v1__event_service__descriptor, "GetPosition",
                         &request.base, &options, consumer->memory, &response, err))
        return false;
    return start_anew(consumer, ((Casework__Cases__V1__GetPositionResponse *)response)->epoch, err);
}

/* --- the thread --------------------------------------------------------------------------------------- */

static void pause_for(feed_consumer *consumer, int64_t duration_us)
{
    int64_t until_us = clock_monotonic_us() + duration_us;
    pthread_mutex_lock(&consumer->lock);
    while (!consumer->stopping && clock_monotonic_us() < until_us)
        condition_wait_until(&consumer->stop, &consumer->lock, until_us);
    pthread_mutex_unlock(&consumer->lock);
}

/* The next stream opens with a newer one. */
static bool has_outlived_its_token(const error *err)
{
    return err->code == STATUS_UNAUTHENTICATED && strcmp(err->reason, "TOKEN_EXPIRED") == 0;
}

static void *run(void *argument)
{
    feed_consumer *consumer = argument;
    int64_t backoff_us = BACKOFF_FIRST;
    do {
        error err = {0};
        bool progress = false;
        (void)follow(consumer, &progress, &err);
        if (strcmp(err.reason, "EPOCH_CHANGED") == 0 && err.code == STATUS_FAILED_PRECONDITION)
            (void)ask_epoch(consumer, &err);
        if (is_stopping(consumer))
            break;
        if (progress && has_outlived_its_token(&err))
            continue;
        backoff_us = progress ? BACKOFF_FIRST : backoff_us * 2 < BACKOFF_LAST ? backoff_us * 2 : BACKOFF_LAST;
        log_warn("feed interrupted", LOG_TEXT("rpc.grpc.status_code", status_code_name(err.code)),
                 LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail),
                 LOG_NUMBER("retry_us", backoff_us));
        pause_for(consumer, backoff_us);
    } while (!is_stopping(consumer));
    return NULL;
}

/* --- the interface ------------------------------------------------------------------------------------ */

static void release(feed_consumer *consumer)
{
    feed_waiters_free(consumer->waiters);
    arena_free(consumer->memory);
    pthread_cond_destroy(&consumer->stop);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

bool feed_consumer_new(rpc_channel *channel, const struct feed_consumer_handlers *handlers, void *context,
                       feed_consumer **ret_consumer, error *err)
{
    feed_consumer *consumer = calloc(1, sizeof *consumer);
    if (!consumer)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                         "no memory for the feed's consumer");
    consumer->channel = channel;
    consumer->handlers = *handlers;
    consumer->context = context;
    condition_init(&consumer->stop);
    pthread_mutex_init(&consumer->lock, NULL);
    consumer->memory = arena_new(RESPONSE_BYTES_MAX);
    bool done = consumer->memory ||
                error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for events");
    done = done && feed_waiters_new(WAITERS_MAX, &consumer->waiters, err);
    if (done)
        feed_waiters_hold(consumer->waiters, handlers->held, context);
    if (done && pthread_create(&consumer->thread, NULL, run, consumer) != 0)
        done = error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the feed's consumer");
    if (!done) {
        release(consumer);
        return false;
    }
    *ret_consumer = consumer;
    return true;
}

void feed_consumer_quit(feed_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    consumer->stopping = true;
    if (consumer->stream)
        rpc_stream_cancel(consumer->stream);
    pthread_cond_broadcast(&consumer->stop);
    pthread_mutex_unlock(&consumer->lock);
}

void feed_consumer_stop(feed_consumer *consumer)
{
    feed_consumer_quit(consumer);
    pthread_mutex_lock(&consumer->lock);
    bool first = !consumer->joined;
    consumer->joined = true;
    pthread_mutex_unlock(&consumer->lock);
    if (first)
        pthread_join(consumer->thread, NULL);
    feed_waiters_stop(consumer->waiters);
}

void feed_consumer_free(feed_consumer *consumer)
{
    if (!consumer)
        return;
    feed_consumer_stop(consumer);
    release(consumer);
}

bool feed_consumer_caught_up(const feed_consumer *consumer)
{
    return atomic_load(&consumer->caught_up);
}

int64_t feed_consumer_position(const feed_consumer *consumer, int partition)
{
    return feed_waiters_position(consumer->waiters, partition);
}

bool feed_consumer_await(feed_consumer *consumer, int partition, int64_t position, int64_t deadline_us,
                         feed_wake *wake, void *argument, error *err)
{
    return feed_waiters_add(consumer->waiters, partition, position, deadline_us, wake, argument, err);
}

bool feed_consumer_await_account(feed_consumer *consumer, const char *account, int64_t position,
                                 int64_t deadline_us, feed_wake *wake, void *argument, error *err)
{
    return feed_waiters_add_account(consumer->waiters, account, position, deadline_us, wake, argument, err);
}

void feed_consumer_release(feed_consumer *consumer)
{
    feed_waiters_release(consumer->waiters);
}

size_t feed_consumer_waiting(feed_consumer *consumer)
{
    return feed_waiters_count(consumer->waiters);
}

struct blocked {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool done, reached;
};

static void unblock(void *argument, bool reached)
{
    struct blocked *blocked = argument;
    pthread_mutex_lock(&blocked->lock);
    blocked->done = true;
    blocked->reached = reached;
    pthread_cond_signal(&blocked->woken);
    pthread_mutex_unlock(&blocked->lock);
}

static void await_unblocked(struct blocked *blocked)
{
    pthread_mutex_lock(&blocked->lock);
    while (!blocked->done)
        pthread_cond_wait(&blocked->woken, &blocked->lock);
    pthread_mutex_unlock(&blocked->lock);
}

static bool end_wait(struct blocked *blocked, bool waited, error *err)
{
    pthread_cond_destroy(&blocked->woken);
    pthread_mutex_destroy(&blocked->lock);
    return waited && (blocked->reached ||
                      error_set(err, STATUS_DEADLINE_EXCEEDED, "", "the feed has not come that far in time"));
}

bool feed_consumer_wait(feed_consumer *consumer, const struct feed_positions *heads, int64_t deadline_us,
                        error *err)
{
    struct blocked blocked = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER, .reached = true};
    bool done = true;
    for (int i = 0; i < FEED_PARTITIONS && done && blocked.reached; i++) {
        if (!is_followed(consumer, i))
            continue;
        blocked.done = false;
        done = feed_waiters_add(consumer->waiters, i, heads->at[i], deadline_us, unblock, &blocked, err);
        if (done)
            await_unblocked(&blocked);
    }
    return end_wait(&blocked, done, err);
}

bool feed_consumer_wait_account(feed_consumer *consumer, const char *account, int64_t position,
                                int64_t deadline_us, error *err)
{
    struct blocked blocked = {.lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER};
    bool done =
        feed_waiters_add_account(consumer->waiters, account, position, deadline_us, unblock, &blocked, err);
    if (done)
        await_unblocked(&blocked);
    return end_wait(&blocked, done, err);
}
