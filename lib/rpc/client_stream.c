/*
 * Streaming calls of a client. Completions come on the channel's thread and wake whoever waits. One message
 * is read ahead.
 */
#include "base/clock.h"
#include "base/condition.h"
#include "rpc/client_private.h"

#include <stdlib.h>

struct rpc_stream;

/* One kind of batch: its tag, and whether it is in flight. */
struct batch {
    struct tag tag;
    rpc_stream *stream;
    bool running;
    bool ok; /* of the last one */
};

struct rpc_stream {
    rpc_channel *channel;
    const ProtobufCMethodDescriptor *method;
    grpc_call *core;
    struct live_call live;
    pthread_mutex_t lock; /* guards what follows, and the order of batches */
    pthread_cond_t changed;
    struct batch first, headers, write, read, status;
    unsigned running; /* batches in flight */
    bool read_ended, send_closed, over;
    grpc_byte_buffer *message; /* read ahead */
    grpc_metadata_array initial;
    struct ending ending;
    struct call_headers request_headers;
};

static void batch_done(struct tag *tag, bool ok)
{
    struct batch *batch = HOLDER_OF(tag, struct batch, tag);
    rpc_stream *s = batch->stream;
    pthread_mutex_lock(&s->lock);
    batch->running = false;
    batch->ok = ok;
    s->running--;
    if (batch == &s->status)
        s->over = true;
    if (batch == &s->read && (!ok || !s->message))
        s->read_ended = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held. */
static bool batch_start(rpc_stream *s, struct batch *batch, const grpc_op *op)
{
    batch->tag.run = batch_done;
    batch->stream = s;
    batch->running = true;
    s->running++;
    if (core_start(s->core, op, 1, &batch->tag) == GRPC_CALL_OK)
        return true;
    batch->running = false;
    s->running--;
    return false;
}

static void read_start(rpc_stream *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->message;
    if (!s->read.running && !s->message && !s->read_ended && !batch_start(s, &s->read, &op))
        s->read_ended = true;
}

static bool start_all(rpc_stream *s)
{
    grpc_op headers = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    grpc_op initial = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    headers.data.send_initial_metadata.count = s->request_headers.count;
    headers.data.send_initial_metadata.metadata = s->request_headers.list;
    initial.data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    status.data.recv_status_on_client.trailing_metadata = &s->ending.trailing;
    status.data.recv_status_on_client.status = &s->ending.code;
    status.data.recv_status_on_client.status_details = &s->ending.message;
    pthread_mutex_lock(&s->lock);
    bool started = batch_start(s, &s->status, &status) && batch_start(s, &s->first, &headers) &&
                   batch_start(s, &s->headers, &initial);
    if (started)
        read_start(s);
    pthread_mutex_unlock(&s->lock);
    return started;
}

static rpc_stream *stream_new(void)
{
    rpc_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    condition_init(&s->changed);
    grpc_metadata_array_init(&s->initial);
    ending_init(&s->ending);
    return s;
}

bool rpc_stream_open(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                     const struct rpc_client_options *options, rpc_stream **ret_stream, error *err)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    if (!descriptor)
        return error_set(err, STATUS_UNIMPLEMENTED, "UNKNOWN_METHOD", "%s has no method %s", service->name,
                         method);
    rpc_stream *s = stream_new();
    if (!s)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a stream");
    s->channel = channel;
    s->method = descriptor;
    if (!headers_fill(channel, options, &s->request_headers, err)) {
        rpc_stream_free(s);
        return false;
    }
    int64_t deadline = INT64_MAX;
    if (options->timeout_us != INT64_MAX)
        deadline = clock_monotonic_us() + options->timeout_us;
    grpc_slice path = method_path(service, method);
    s->core = grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, channel->queue, path,
                                       NULL, core_deadline(deadline), NULL);
    grpc_slice_unref(path);
    channel_join(channel, &s->live, s->core);
    if (!start_all(s)) {
        rpc_stream_free(s);
        return error_set(err, STATUS_INTERNAL, "CALL_REFUSED", "the call could not be started");
    }
    *ret_stream = s;
    return true;
}

/* With the lock held: waits until nothing is being sent. False: the call is over. */
static bool wait_to_send(rpc_stream *s)
{
    while (!s->over && (s->first.running || s->write.running))
        pthread_cond_wait(&s->changed, &s->lock);
    return !s->over && !s->send_closed;
}

bool rpc_stream_write(rpc_stream *stream, const ProtobufCMessage *message)
{
    grpc_byte_buffer *packed;
    if (!core_pack(message, CLIENT_MESSAGE_BYTES_MAX, &packed, NULL))
        return false;
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = packed;
    pthread_mutex_lock(&stream->lock);
    bool good = wait_to_send(stream) && batch_start(stream, &stream->write, &op);
    pthread_mutex_unlock(&stream->lock);
    grpc_byte_buffer_destroy(packed);
    return good;
}

void rpc_stream_close_send(rpc_stream *stream)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    pthread_mutex_lock(&stream->lock);
    if (wait_to_send(stream)) {
        stream->send_closed = true;
        (void)batch_start(stream, &stream->write, &op);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* With the lock held: waits for a message or the end; false when the time has run out. */
static bool wait_to_read(rpc_stream *s, int64_t timeout_us)
{
    int64_t now = clock_monotonic_us();
    int64_t limit = timeout_us > INT64_MAX - now ? INT64_MAX : now + timeout_us;
    bool in_time = true;
    while (s->read.running || (!s->message && !s->over)) {
        if (!in_time)
            return false;
        in_time = condition_wait_until(&s->changed, &s->lock, limit);
    }
    return true;
}

enum rpc_read rpc_stream_read(rpc_stream *stream, int64_t timeout_us, arena *memory,
                              ProtobufCMessage **ret_message, error *err)
{
    pthread_mutex_lock(&stream->lock);
    read_start(stream);
    bool ready = wait_to_read(stream, timeout_us);
    grpc_byte_buffer *message = NULL;
    if (ready) {
        message = stream->message;
        stream->message = NULL;
        if (message)
            read_start(stream);
    }
    pthread_mutex_unlock(&stream->lock);
    if (!ready)
        return RPC_READ_TIMEOUT;
    if (message) {
        bool good = core_unpack(stream->method->output, message, memory, ret_message, NULL, err);
        grpc_byte_buffer_destroy(message);
        return good ? RPC_READ_MESSAGE : RPC_READ_FAILED;
    }
    if (stream->ending.code == GRPC_STATUS_OK)
        return RPC_READ_END;
    ending_error(&stream->ending, err);
    channel_tell_stop(stream->channel, err);
    return RPC_READ_FAILED;
}

void rpc_stream_cancel(rpc_stream *stream)
{
    grpc_call_cancel(stream->core, NULL);
}

void rpc_stream_free(rpc_stream *stream)
{
    if (!stream)
        return;
    if (stream->core) {
        pthread_mutex_lock(&stream->lock);
        bool over = stream->over;
        pthread_mutex_unlock(&stream->lock);
        if (!over)
            grpc_call_cancel(stream->core, NULL);
        pthread_mutex_lock(&stream->lock);
        while (stream->running > 0)
            pthread_cond_wait(&stream->changed, &stream->lock);
        pthread_mutex_unlock(&stream->lock);
        channel_leave(stream->channel, &stream->live);
        grpc_call_unref(stream->core);
    }
    grpc_byte_buffer_destroy(stream->message);
    grpc_metadata_array_destroy(&stream->initial);
    ending_release(&stream->ending);
    headers_release(&stream->request_headers);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}
