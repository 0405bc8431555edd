/*
 * Streaming calls of all kinds.
 *
 * What happens to a call arrives as events; a strand delivers them to the handler one after the other, on the
 * thread that brought the event (INLINE) or on a worker. One send batch and one receive batch are in flight
 * at the most; what is to be sent meanwhile waits in a bounded queue. The call is over when its RECV_CLOSE is
 * back and nothing else is in flight: then on_done comes, and nothing after it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "rpc/server_private.h"

#include <stdlib.h>
#include <string.h>

enum event {
    EVENT_OPEN = 1 << 0,
    EVENT_MESSAGE = 1 << 1,
    EVENT_HALF_CLOSE = 1 << 2,
    EVENT_WRITABLE = 1 << 3,
    EVENT_DONE = 1 << 4,
};

/* Queued for one slow reader at the most, beside the number of messages. */
enum { QUEUED_BYTES_MAX = 1 << 20 };

struct rpc_stream_state {
    struct rpc_call *call;
    pthread_mutex_t lock;
    unsigned events;      /* to be delivered */
    bool running;         /* the strand is at work or queued */
    bool refused;         /* by an interceptor: the handler never hears of the call */
    bool initial_started; /* metadata */
    bool initial_wanted;
    bool reading, sending; /* a batch is in flight */
    bool half_closed;
    bool ended; /* nothing more is accepted for sending */
    bool status_started;
    bool broken; /* a send failed */
    bool closed; /* RECV_CLOSE is back */
    bool over;   /* on_done is queued or was delivered */
    bool writable_wanted;
    bool message_seen;
    error *failure; /* what the call ends with; NULL: OK */
    grpc_byte_buffer **queue;
    unsigned first, count, size;
    size_t queued_bytes;
    _Atomic int64_t sent_us;    /* when the batch in flight was started; 0: none is */
    grpc_byte_buffer *incoming; /* where the core puts a message */
    grpc_byte_buffer *received; /* a message to be delivered */
    arena *message_memory;      /* of client streams: one message at a time */
    struct tag read_tag, send_tag;
};

static void strand_run(struct rpc_call *call);

/* --- events --- */

static void strand_work(struct worker_task *task)
{
    strand_run(HOLDER_OF(task, struct rpc_call, task));
}

/* With the lock held. True: the caller must call strand_dispatch once it has let go of the lock. */
static bool strand_post(struct rpc_call *call, unsigned events)
{
    struct rpc_stream_state *s = call->stream;
    s->events |= events;
    if (s->events == 0 || s->running)
        return false;
    s->running = true;
    call_ref(call);
    return true;
}

static void strand_dispatch(struct rpc_call *call)
{
    if (call->method->row->run == RPC_RUN_INLINE) {
        strand_run(call);
        return;
    }
    call->task.run = strand_work;
    worker_pool_submit_always(call->server->workers, &call->task);
}

/* With the lock held: the events that follow from what has come back. */
static unsigned done_if_over(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    if (!s->closed || s->reading || s->sending || s->over)
        return 0;
    s->over = true;
    return EVENT_DONE;
}

/* --- sending --- */

static void drop_queue(struct rpc_stream_state *s)
{
    for (; s->count > 0; s->count--) {
        grpc_byte_buffer_destroy(s->queue[s->first]);
        s->first = (s->first + 1) % s->size;
    }
    s->queued_bytes = 0;
}

static void queue_push(struct rpc_stream_state *s, grpc_byte_buffer *message)
{
    s->queue[(s->first + s->count++) % s->size] = message;
    s->queued_bytes += grpc_byte_buffer_length(message);
}

static grpc_byte_buffer *queue_pop(struct rpc_stream_state *s)
{
    grpc_byte_buffer *message = s->queue[s->first];
    s->first = (s->first + 1) % s->size;
    s->count--;
    s->queued_bytes -= grpc_byte_buffer_length(message);
    return message;
}

static void send_start(struct rpc_call *call, const grpc_op *ops, size_t count)
{
    struct rpc_stream_state *s = call->stream;
    s->sending = true;
    atomic_store_explicit(&s->sent_us, clock_monotonic_us(), memory_order_relaxed);
    call_ref(call);
    grpc_call_error failed = core_start(call->core, ops, count, &s->send_tag);
    if (failed == GRPC_CALL_OK)
        return;
    log_error("a batch was refused by the core", LOG_TEXT("rpc.method", call->method->path),
              LOG_TEXT("error", grpc_call_error_to_string(failed)));
    s->sending = false;
    s->broken = true;
    call_unref(call); /* never the last one: whoever called us holds one */
    grpc_call_cancel(call->core, NULL);
}

/* With the lock held: sends what there is to send, if nothing is in flight. */
static void pump(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    if (s->sending || s->closed || s->status_started)
        return;
    if (s->broken || atomic_load(&call->cancelled)) {
        drop_queue(s);
        return;
    }
    grpc_metadata initial[CALL_METADATA_MAX];
    struct answer_status status;
    grpc_op ops[3];
    size_t count = 0;
    bool send_status = s->ended && s->count <= 1;
    if (s->count == 0 && !send_status && (s->initial_started || !s->initial_wanted))
        return;
    if (!s->initial_started) {
        ops[count] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
        ops[count].data.send_initial_metadata.count =
            call_metadata_fill(call->initial, initial, CALL_METADATA_MAX);
        ops[count++].data.send_initial_metadata.metadata = initial;
        s->initial_started = true;
    }
    grpc_byte_buffer *message = NULL;
    if (s->count > 0) {
        message = queue_pop(s);
        /* More follows at once: let the core put it into the same write. */
        uint32_t flags = s->count > 0 || send_status ? GRPC_WRITE_BUFFER_HINT : 0;
        ops[count] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .flags = flags};
        ops[count++].data.send_message.send_message = message;
    }
    if (send_status) {
        answer_status_fill(call, s->failure, &status, &ops[count++]);
        s->status_started = true;
    }
    send_start(call, ops, count);
    if (send_status)
        answer_status_release(&status);
    grpc_byte_buffer_destroy(message); /* the core has taken its slices */
}

static void send_done(struct tag *tag, bool ok)
{
    struct rpc_stream_state *s = HOLDER_OF(tag, struct rpc_stream_state, send_tag);
    struct rpc_call *call = s->call;
    pthread_mutex_lock(&s->lock);
    s->sending = false;
    atomic_store_explicit(&s->sent_us, 0, memory_order_relaxed);
    s->broken = s->broken || !ok;
    pump(call);
    unsigned events = done_if_over(call);
    if (s->writable_wanted && s->count <= s->size / 2 && s->queued_bytes <= QUEUED_BYTES_MAX / 2 &&
        !s->broken && !s->ended) {
        s->writable_wanted = false;
        events |= EVENT_WRITABLE;
    }
    bool dispatch = strand_post(call, events);
    pthread_mutex_unlock(&s->lock);
    if (dispatch)
        strand_dispatch(call);
    call_unref(call);
}

/* With the lock held. */
static enum rpc_write room(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    if (s->ended || s->closed || s->broken || atomic_load(&call->cancelled))
        return RPC_WRITE_CLOSED;
    /* One place is kept for the message that ends the call. */
    if (s->count + 1 < s->size && (s->count == 0 || s->queued_bytes < QUEUED_BYTES_MAX))
        return RPC_WRITE_OK;
    s->writable_wanted = true;
    return RPC_WRITE_FULL;
}

enum rpc_write stream_room(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    pthread_mutex_lock(&s->lock);
    enum rpc_write answer = room(call);
    pthread_mutex_unlock(&s->lock);
    return answer;
}

enum rpc_write stream_write(struct rpc_call *call, grpc_byte_buffer *message)
{
    struct rpc_stream_state *s = call->stream;
    pthread_mutex_lock(&s->lock);
    enum rpc_write answer = room(call);
    if (answer == RPC_WRITE_OK) {
        queue_push(s, message);
        pump(call);
    } else {
        grpc_byte_buffer_destroy(message);
    }
    pthread_mutex_unlock(&s->lock);
    return answer;
}

int64_t stream_waiting_us(const struct rpc_call *call)
{
    int64_t sent_us = atomic_load_explicit(&call->stream->sent_us, memory_order_relaxed);
    return sent_us ? clock_monotonic_us() - sent_us : 0;
}

void stream_finish(struct rpc_call *call, grpc_byte_buffer *message, const error *err)
{
    struct rpc_stream_state *s = call->stream;
    pthread_mutex_lock(&s->lock);
    /* Not the first to end it: the client may have cancelled, or the server may be stopping. */
    if (s->ended || s->over) {
        grpc_byte_buffer_destroy(message);
        pthread_mutex_unlock(&s->lock);
        return;
    }
    s->ended = true;
    if (message)
        queue_push(s, message);
    if (err && strcmp(err->reason, "SLOW_READER") == 0)
        call_count_slow_reader(call);
    if (err) {
        s->failure = malloc(sizeof *err);
        if (s->failure)
            *s->failure = *err;
        else
            grpc_call_cancel(call->core, NULL); /* never OK instead of an error */
    }
    streams_join_ending(call);
    pump(call);
    pthread_mutex_unlock(&s->lock);
}

/* --- receiving --- */

/* With the lock held. */
static void read_start(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    if (s->reading || s->received || s->half_closed || s->closed)
        return;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->incoming;
    s->incoming = NULL;
    s->reading = true;
    call_ref(call);
    if (core_start(call->core, &op, 1, &s->read_tag) != GRPC_CALL_OK) {
        s->reading = false;
        call_unref(call); /* never the last one */
        grpc_call_cancel(call->core, NULL);
    }
}

static void read_done(struct tag *tag, bool ok)
{
    struct rpc_stream_state *s = HOLDER_OF(tag, struct rpc_stream_state, read_tag);
    struct rpc_call *call = s->call;
    unsigned events = 0;
    pthread_mutex_lock(&s->lock);
    s->reading = false;
    if (ok && s->incoming) {
        s->received = s->incoming;
        s->incoming = NULL;
        events = EVENT_MESSAGE;
    } else {
        s->half_closed = true;
        /* A broken stream must never look like one that the client has ended well. */
        if (ok && !grpc_call_failed_before_recv_message(call->core))
            events = EVENT_HALF_CLOSE;
    }
    bool dispatch = strand_post(call, events | done_if_over(call));
    pthread_mutex_unlock(&s->lock);
    if (dispatch)
        strand_dispatch(call);
    call_unref(call);
}

void rpc_call_read_next(rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    pthread_mutex_lock(&s->lock);
    if (call->method->client_streams && !s->ended)
        read_start(call);
    pthread_mutex_unlock(&s->lock);
}

/* --- the close of the call --- */

static void stream_close_done(struct tag *tag, bool ok)
{
    (void)ok; /* this operation always succeeds */
    struct rpc_call *call = HOLDER_OF(tag, struct rpc_call, close_tag);
    struct rpc_stream_state *s = call->stream;
    if (call->cancelled_by_core)
        atomic_store(&call->cancelled, true);
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    drop_queue(s);
    bool dispatch = strand_post(call, done_if_over(call));
    pthread_mutex_unlock(&s->lock);
    if (dispatch)
        strand_dispatch(call);
    call_unref(call);
}

/* --- the strand --- */

static void deliver_message(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    const struct rpc_stream_handlers *handlers = call->method->row->stream;
    pthread_mutex_lock(&s->lock);
    grpc_byte_buffer *payload = s->received;
    s->received = NULL;
    bool first = !s->message_seen;
    s->message_seen = true;
    pthread_mutex_unlock(&s->lock);

    arena *memory = s->message_memory ? s->message_memory : call->memory;
    ProtobufCMessage *message;
    error err;
    bool good =
        call_unpack(call, payload, memory, &message, &err) && intercept_message(call, message, first, &err);
    grpc_byte_buffer_destroy(payload);
    if (!good)
        rpc_call_fail(call, &err);
    else if (handlers->on_message)
        handlers->on_message(call, message, call->method->context);
    if (s->message_memory)
        arena_clear(s->message_memory);
}

static void deliver(struct rpc_call *call, unsigned event)
{
    const struct rpc_stream_handlers *handlers = call->method->row->stream;
    void *context = call->method->context;
    if (event == EVENT_MESSAGE)
        deliver_message(call);
    else if (event == EVENT_OPEN && handlers->on_open)
        handlers->on_open(call, context);
    else if (event == EVENT_HALF_CLOSE && handlers->on_half_close)
        handlers->on_half_close(call, context);
    else if (event == EVENT_WRITABLE && handlers->on_writable)
        handlers->on_writable(call, context);
}

static void finish_call(struct rpc_call *call)
{
    const struct rpc_stream_handlers *handlers = call->method->row->stream;
    streams_leave(call);
    if (!call->stream->refused && handlers->on_done)
        handlers->on_done(call, call->method->context);
    call_count_end(call);
    call_unref(call); /* the handler's */
}

static void strand_run(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    pthread_mutex_lock(&s->lock);
    while (s->events) {
        if (s->events & EVENT_DONE) {
            s->events = 0; /* and `running` stays: nothing comes after on_done */
            pthread_mutex_unlock(&s->lock);
            finish_call(call);
            call_unref(call);
            return;
        }
        unsigned event = s->events & -s->events;
        s->events &= ~event;
        if (s->ended || atomic_load(&call->cancelled))
            continue;
        pthread_mutex_unlock(&s->lock);
        deliver(call, event);
        pthread_mutex_lock(&s->lock);
    }
    s->running = false;
    /* The client may be waiting to hear that the call was taken, long before there is a message. */
    s->initial_wanted = true;
    pump(call);
    pthread_mutex_unlock(&s->lock);
    call_unref(call);
}

/* --- beginning and end --- */

bool stream_init(struct rpc_call *call)
{
    struct rpc_stream_state *s = calloc(1, sizeof *s);
    if (!s)
        return false;
    pthread_mutex_init(&s->lock, NULL);
    s->call = call;
    s->size = (call->method->server_streams ? call->server->options.write_queue : 0) + 1;
    s->queue = calloc(s->size, sizeof(grpc_byte_buffer *));
    s->read_tag.run = read_done;
    s->send_tag.run = send_done;
    if (call->method->client_streams)
        s->message_memory = arena_new(call->server->options.call_bytes_max);
    call->stream = s;
    call->close_tag.run = stream_close_done;
    return s->queue && (s->message_memory || !call->method->client_streams);
}

void stream_free(struct rpc_stream_state *s)
{
    if (!s)
        return;
    if (s->queue)
        drop_queue(s);
    grpc_byte_buffer_destroy(s->received);
    grpc_byte_buffer_destroy(s->incoming);
    arena_free(s->message_memory);
    free(s->queue);
    free(s->failure);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static bool start_strand(struct rpc_call *call, error *err)
{
    if (call->method->row->run == RPC_RUN_INLINE) {
        strand_run(call);
        return true;
    }
    call->task.run = strand_work;
    if (worker_pool_submit(call->server->workers, &call->task))
        return true;
    error_set_busy(err);
    return false;
}

void stream_accept(struct rpc_call *call)
{
    struct rpc_stream_state *s = call->stream;
    error err;
    bool good = intercept_open(call, &err) && streams_join_endless(call, &err);
    pthread_mutex_lock(&s->lock);
    s->refused = !good;
    s->received = call->payload;
    call->payload = NULL;
    if (good) {
        unsigned events = EVENT_OPEN;
        if (call->method->client_streams)
            read_start(call);
        else
            events |= EVENT_MESSAGE;
        (void)strand_post(call, events); /* the first: always to be dispatched */
    }
    call_start_close(call);
    pthread_mutex_unlock(&s->lock);
    if (good && !start_strand(call, &err)) {
        /* Nobody has run yet, and nobody will but for the end. */
        pthread_mutex_lock(&s->lock);
        s->refused = true;
        s->running = false;
        s->events &= EVENT_DONE;
        bool dispatch = strand_post(call, 0);
        pthread_mutex_unlock(&s->lock);
        if (dispatch)
            strand_dispatch(call);
        call_unref(call); /* the strand's that did not start */
        good = false;
    }
    if (!good)
        rpc_call_fail(call, &err);
    call_unref(call); /* the dispatcher's */
}
