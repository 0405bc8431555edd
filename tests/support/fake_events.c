#include "tests/support/fake_events.h"

#include "base/clock.h"
#include "base/log.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "descriptor_set.h"
#include "feed/partition.h"
#include "rpc/name.h"
#include "rpc/server.h"
#include "rpc/wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 16384, STREAMS_MAX = 16, CHUNK = 3, WRITE_QUEUE = 8192 };

typedef Casework__Cases__V1__PartitionPosition wire_position;

struct event {
    int partition;
    int64_t position, number, commit_time_us;
    char account[64], resource[160];
    Casework__Cases__V1__EventKind kind;
};

struct stream {
    rpc_call *call; /* NULL: free */
    int64_t at[FEED_PARTITIONS];
};

struct fake_events {
    pthread_mutex_t lock;
    rpc_server *server;
    char target[32], epoch[64];
    fake_document *document;
    void *context;
    struct event events[EVENTS_MAX];
    size_t count, documents_read, streams_opened, snapshots_read, refuse_above, reads_refused;
    int64_t heads[FEED_PARTITIONS], repeat;
    struct stream streams[STREAMS_MAX];
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* --- streaming ---------------------------------------------------------------------------------------- */

static Casework__Cases__V1__Event *event_wire(arena *memory, const struct event *event)
{
    Casework__Cases__V1__Event *wire = must(arena_alloc(memory, sizeof *wire));
    casework__cases__v1__event__init(wire);
    wire->partition = event->partition;
    wire->position = event->position;
    wire->kind = event->kind;
    wire->commit_time = must(wire_timestamp(memory, event->commit_time_us));
    wire->account = must(arena_printf(memory, "accounts/%s", event->account));
    if (event->number)
        wire->case_ =
            must(arena_printf(memory, "accounts/%s/cases/%lld", event->account, (long long)event->number));
    wire->resource = must(arena_strdup(memory, event->resource));
    return wire;
}

/* Sends up to CHUNK events that the stream has not had; heads only of what was sent. True: there is more. */
static bool send_some(fake_events *events, struct stream *stream)
{
    Casework__Cases__V1__StreamEventsResponse response = CASEWORK__CASES__V1__STREAM_EVENTS_RESPONSE__INIT;
    Casework__Cases__V1__Event *chunk[CHUNK];
    wire_position heads[FEED_PARTITIONS], *head_pointers[FEED_PARTITIONS];
    arena *memory = must(arena_new(1 << 20));
    bool more = false;
    response.events = chunk;
    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->events[i];
        if (event->position <= stream->at[event->partition])
            continue;
        if (response.n_events == CHUNK) {
            more = true;
            break;
        }
        chunk[response.n_events++] = event_wire(memory, event);
        stream->at[event->partition] = event->position;
    }
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        casework__cases__v1__partition_position__init(&heads[i]);
        heads[i].partition = i;
        heads[i].position = stream->at[i];
        head_pointers[i] = &heads[i];
    }
    response.heads = head_pointers;
    response.n_heads = FEED_PARTITIONS;
    response.epoch = events->epoch;
    response.caught_up = !more;
    if (rpc_call_write(stream->call, &response.base) == RPC_WRITE_FULL)
        abort();
    arena_free(memory);
    return more;
}

static void flush(fake_events *events)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        while (events->streams[i].call && send_some(events, &events->streams[i]))
            continue;
}

static void fail_epoch(rpc_call *call)
{
    error err;
    error_set(&err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED", "another epoch");
    rpc_call_fail(call, &err);
}

static void on_request(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    fake_events *events = context;
    const Casework__Cases__V1__StreamEventsRequest *request =
        (const Casework__Cases__V1__StreamEventsRequest *)message;
    struct stream *stream = NULL;
    pthread_mutex_lock(&events->lock);
    if (*request->epoch && strcmp(request->epoch, events->epoch) != 0) {
        fail_epoch(call);
        pthread_mutex_unlock(&events->lock);
        return;
    }
    for (size_t i = 0; i < STREAMS_MAX && !stream; i++)
        stream = events->streams[i].call ? NULL : &events->streams[i];
    must(stream);
    *stream = (struct stream){.call = call};
    for (size_t i = 0; i < request->n_after; i++) {
        int64_t from = request->after[i]->position - events->repeat;
        stream->at[request->after[i]->partition] = from > 0 ? from : 0;
    }
    events->streams_opened++;
    while (send_some(events, stream))
        continue;
    pthread_mutex_unlock(&events->lock);
}

static void forget(fake_events *events, const rpc_call *call)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (events->streams[i].call == call)
            events->streams[i].call = NULL;
}

static void on_done(rpc_call *call, void *context)
{
    fake_events *events = context;
    pthread_mutex_lock(&events->lock);
    forget(events, call);
    pthread_mutex_unlock(&events->lock);
}

/* With the lock held. */
static void end_streams(fake_events *events)
{
    error err;
    error_set(&err, STATUS_UNAVAILABLE, "", "broken on purpose");
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        rpc_call *call = events->streams[i].call;
        events->streams[i].call = NULL;
        if (call)
            rpc_call_fail(call, &err);
    }
}

/* --- unary -------------------------------------------------------------------------------------------- */

static void get_position(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    fake_events *events = context;
    Casework__Cases__V1__GetPositionResponse response = CASEWORK__CASES__V1__GET_POSITION_RESPONSE__INIT;
    wire_position heads[FEED_PARTITIONS], *pointers[FEED_PARTITIONS];
    char epoch[64];
    pthread_mutex_lock(&events->lock);
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        casework__cases__v1__partition_position__init(&heads[i]);
        heads[i].partition = i;
        heads[i].position = events->heads[i];
        pointers[i] = &heads[i];
    }
    memcpy(epoch, events->epoch, sizeof epoch);
    pthread_mutex_unlock(&events->lock);
    response.positions = pointers;
    response.n_positions = FEED_PARTITIONS;
    response.epoch = epoch;
    rpc_call_reply(call, &response.base);
}

static Casework__Cases__V1__Document *read_document(fake_events *events, arena *memory, const char *name)
{
    const char *account;
    int64_t number;
    error err;
    Casework__Cases__V1__Document *document = must(arena_alloc(memory, sizeof *document));
    casework__cases__v1__document__init(document);
    if (!rpc_name_case(memory, name, "name", &account, &number, &err))
        abort();
    document->case_ = (char *)name;
    document->account = must(arena_printf(memory, "accounts/%s", account));
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_MISSING;
    pthread_mutex_lock(&events->lock);
    document->position = events->heads[feed_partition(account)];
    events->documents_read++;
    pthread_mutex_unlock(&events->lock);
    if (events->document)
        events->document(events->context, memory, account, number, document);
    return document;
}

/* Answers half of what is asked for, as a service does whose answer is full. */
static bool is_refused(fake_events *events, size_t count)
{
    pthread_mutex_lock(&events->lock);
    bool refused = events->refuse_above && count > events->refuse_above;
    events->reads_refused += refused;
    pthread_mutex_unlock(&events->lock);
    return refused;
}

static void batch_get_documents(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__BatchGetDocumentsRequest *request =
        (const Casework__Cases__V1__BatchGetDocumentsRequest *)message;
    Casework__Cases__V1__BatchGetDocumentsResponse response =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_RESPONSE__INIT;
    arena *memory = rpc_call_arena(call);
    if (is_refused(context, request->n_names)) {
        error err;
        error_set(&err, STATUS_UNAVAILABLE, "", "too many cases");
        rpc_call_fail(call, &err);
        return;
    }
    size_t count = (request->n_names + 1) / 2;
    response.documents = must(arena_calloc(memory, count + 1, sizeof(Casework__Cases__V1__Document *)));
    response.n_documents = count;
    for (size_t i = 0; i < count; i++)
        response.documents[i] = read_document(context, memory, request->names[i]);
    response.unread_names = request->names + count;
    response.n_unread_names = request->n_names - count;
    rpc_call_reply(call, &response.base);
}

static bool is_told_before(const fake_events *events, size_t index)
{
    const struct event *event = &events->events[index];
    for (size_t i = 0; i < index; i++) {
        if (events->events[i].number == event->number &&
            strcmp(events->events[i].account, event->account) == 0)
            return true;
    }
    return false;
}

/* The cases of a partition, all of them or an account's: those that events tell of. With the lock held. */
static bool write_part(fake_events *events, rpc_call *call, int partition, const char *account)
{
    arena *memory = rpc_call_arena(call);
    Casework__Cases__V1__StreamSnapshotResponse part = CASEWORK__CASES__V1__STREAM_SNAPSHOT_RESPONSE__INIT;
    part.partition = partition;
    part.position = events->heads[partition];
    part.epoch = events->epoch;
    part.done = true;
    part.cases = must(arena_calloc(memory, events->count + 1, sizeof(Casework__Cases__V1__SnapshotCase *)));
    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->events[i];
        if (event->number == 0 || event->partition != partition || is_told_before(events, i) ||
            (strcmp(account, "-") != 0 && strcmp(account, event->account) != 0))
            continue;
        Casework__Cases__V1__SnapshotCase *one = must(arena_alloc(memory, sizeof *one));
        casework__cases__v1__snapshot_case__init(one);
        one->name =
            must(arena_printf(memory, "accounts/%s/cases/%lld", event->account, (long long)event->number));
        part.cases[part.n_cases++] = one;
    }
    return rpc_call_write(call, &part.base) == RPC_WRITE_OK;
}

static void stream_snapshot(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    fake_events *events = context;
    const char *parent = ((const Casework__Cases__V1__StreamSnapshotRequest *)message)->parent;
    const char *account = strrchr(parent, '/') + 1;
    pthread_mutex_lock(&events->lock);
    events->snapshots_read++;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (strcmp(account, "-") == 0 || feed_partition(account) == p)
            (void)write_part(events, call, p, account);
    }
    pthread_mutex_unlock(&events->lock);
    rpc_call_finish(call);
}

static void list_accounts(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    fake_events *events = context;
    arena *memory = rpc_call_arena(call);
    Casework__Cases__V1__ListAccountsResponse response = CASEWORK__CASES__V1__LIST_ACCOUNTS_RESPONSE__INIT;
    pthread_mutex_lock(&events->lock);
    response.accounts = must(arena_calloc(memory, events->count + 1, sizeof(Casework__Cases__V1__Account *)));
    for (size_t i = 0; i < events->count; i++) {
        Casework__Cases__V1__Account *account = must(arena_alloc(memory, sizeof *account));
        casework__cases__v1__account__init(account);
        account->name = must(arena_printf(memory, "accounts/%s", events->events[i].account));
        response.accounts[response.n_accounts++] = account;
    }
    pthread_mutex_unlock(&events->lock);
    rpc_call_reply(call, &response.base);
}

static const struct rpc_stream_handlers snapshot_handlers = {.on_message = stream_snapshot};
static const struct rpc_stream_handlers stream_handlers = {.on_message = on_request, .on_done = on_done};

static const struct rpc_method methods[] = {
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "StreamEvents",
     .stream = &stream_handlers},
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "GetPosition",
     .unary = get_position},
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "BatchGetDocuments",
     .unary = batch_get_documents},
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "StreamSnapshot",
     .stream = &snapshot_handlers},
    {.service = &casework__cases__v1__account_service__descriptor,
     .name = "ListAccounts",
     .unary = list_accounts},
    {.service = NULL},
};

/* --- the interface ------------------------------------------------------------------------------------ */

fake_events *fake_events_new(fake_document *document, void *context)
{
    fake_events *events = must(calloc(1, sizeof *events));
    const struct rpc_server_options options = {.address = "127.0.0.1:0",
                                               .write_queue = WRITE_QUEUE,
                                               .descriptor_set = casework_descriptor_set,
                                               .descriptor_set_size = casework_descriptor_set_size};
    error err = {0};
    log_init("fake", LOG_LEVEL_OFF); /* what breaks is broken on purpose */
    pthread_mutex_init(&events->lock, NULL);
    events->document = document;
    events->context = context;
    snprintf(events->epoch, sizeof events->epoch, "first");
    if (!rpc_server_new(&options, &events->server, &err) ||
        !rpc_server_add(events->server, methods, events, &err) || !rpc_server_start(events->server, &err)) {
        fprintf(stderr, "fake events: %s %s\n", err.message, err.detail);
        abort();
    }
    snprintf(events->target, sizeof events->target, "127.0.0.1:%d", rpc_server_port(events->server));
    return events;
}

void fake_events_free(fake_events *events)
{
    fake_events_break(events);
    rpc_server_free(events->server);
    pthread_mutex_destroy(&events->lock);
    free(events);
}

const char *fake_events_target(const fake_events *events)
{
    return events->target;
}

int64_t fake_events_add(fake_events *events, const char *account, int64_t number,
                        Casework__Cases__V1__EventKind kind, const char *resource)
{
    pthread_mutex_lock(&events->lock);
    if (events->count == EVENTS_MAX)
        abort();
    struct event *event = &events->events[events->count++];
    *event = (struct event){.partition = feed_partition(account), .number = number, .kind = kind};
    event->commit_time_us = clock_real_us();
    event->position = ++events->heads[event->partition];
    snprintf(event->account, sizeof event->account, "%s", account);
    snprintf(event->resource, sizeof event->resource, "%s", resource ? resource : "");
    int64_t position = event->position;
    flush(events);
    pthread_mutex_unlock(&events->lock);
    return position;
}

void fake_events_break(fake_events *events)
{
    pthread_mutex_lock(&events->lock);
    end_streams(events);
    pthread_mutex_unlock(&events->lock);
}

void fake_events_repeat(fake_events *events, int64_t count)
{
    pthread_mutex_lock(&events->lock);
    events->repeat = count;
    pthread_mutex_unlock(&events->lock);
}

void fake_events_restore(fake_events *events, const char *epoch)
{
    pthread_mutex_lock(&events->lock);
    events->count = 0;
    memset(events->heads, 0, sizeof events->heads);
    snprintf(events->epoch, sizeof events->epoch, "%s", epoch);
    end_streams(events);
    pthread_mutex_unlock(&events->lock);
}

void fake_events_refuse_above(fake_events *events, size_t count)
{
    pthread_mutex_lock(&events->lock);
    events->refuse_above = count;
    pthread_mutex_unlock(&events->lock);
}

size_t fake_events_reads_refused(fake_events *events)
{
    pthread_mutex_lock(&events->lock);
    size_t count = events->reads_refused;
    pthread_mutex_unlock(&events->lock);
    return count;
}

size_t fake_events_documents_read(fake_events *events)
{
    pthread_mutex_lock(&events->lock);
    size_t count = events->documents_read;
    pthread_mutex_unlock(&events->lock);
    return count;
}

size_t fake_events_streams_opened(fake_events *events)
{
    pthread_mutex_lock(&events->lock);
    size_t count = events->streams_opened;
    pthread_mutex_unlock(&events->lock);
    return count;
}

size_t fake_events_snapshots_read(fake_events *events)
{
    pthread_mutex_lock(&events->lock);
    size_t count = events->snapshots_read;
    pthread_mutex_unlock(&events->lock);
    return count;
}
