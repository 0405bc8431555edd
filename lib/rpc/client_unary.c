/*
 * Unary calls of a client. An attempt is one batch; its end comes on the channel's thread, which either tells
 * the caller or lines the call up for its next attempt.
 */
#include "base/clock.h"
#include "rpc/client_private.h"

#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST (25 * CLOCK_SECOND / 1000)
#define BACKOFF_LAST CLOCK_SECOND

/* How soon those who wait for their next attempt notice that the channel is stopped. */
#define STOP_LOOK (CLOCK_SECOND / 20)

struct unary {
    struct tag tag;
    rpc_channel *channel;
    const ProtobufCMethodDescriptor *method;
    grpc_slice path;
    grpc_byte_buffer *request;
    struct rpc_client_options options; /* texts owned */
    char *agent, *session, *traceparent;
    int64_t deadline_us;

    grpc_call *core; /* of the attempt */
    struct live_call live;
    struct call_headers headers;
    grpc_metadata_array initial;
    grpc_byte_buffer *response;
    struct ending ending;

    unsigned attempts;
    int64_t retry_us;   /* when the next attempt is due */
    struct unary *next; /* in channel->waiting */

    /* Exactly once: with the response, or with err. */
    void (*finish)(struct unary *unary, const error *err);
    rpc_client_done *done;
    void *argument;
};

static void unary_free(struct unary *u)
{
    grpc_slice_unref(u->path);
    grpc_byte_buffer_destroy(u->request);
    grpc_byte_buffer_destroy(u->response);
    free(u->agent);
    free(u->session);
    free(u->traceparent);
    free(u);
}

static void attempt_release(struct unary *u)
{
    headers_release(&u->headers);
    grpc_metadata_array_destroy(&u->initial);
    ending_release(&u->ending);
    channel_leave(u->channel, &u->live);
    grpc_call_unref(u->core);
    u->core = NULL;
}

/* --- retries --- */

static int64_t backoff(unsigned attempts)
{
    int64_t longest = BACKOFF_FIRST << (attempts < 8 ? attempts : 8);
    if (longest > BACKOFF_LAST)
        longest = BACKOFF_LAST;
    /* Half of it for sure, so that many clients come back neither at once nor all together. */
    return longest / 2 + (int64_t)((double)longest / 2 * drand48());
}

/* On the channel's thread. False: the call is over. */
static bool retry_later(struct unary *u, const error *err)
{
    if (err->code != STATUS_UNAVAILABLE || u->options.no_retry || atomic_load(&u->channel->stopped))
        return false;
    int64_t wait = backoff(u->attempts);
    if (err->retry_after_us > wait)
        wait = err->retry_after_us;
    int64_t now = clock_monotonic_us();
    if (wait >= u->deadline_us - now)
        return false;
    u->retry_us = now + wait;
    u->next = u->channel->waiting;
    u->channel->waiting = u;
    return true;
}

/* --- attempts --- */

static void attempt_done(struct tag *tag, bool ok)
{
    (void)ok; /* the batch holds RECV_STATUS, which always succeeds */
    struct unary *u = HOLDER_OF(tag, struct unary, tag);
    error err;
    bool good = u->ending.code == GRPC_STATUS_OK;
    if (!good)
        ending_error(&u->ending, &err);
    else if (!u->response)
        good = error_set(&err, STATUS_INTERNAL, "NO_RESPONSE", "the server sent no response");
    if (!good)
        channel_tell_stop(u->channel, &err);
    attempt_release(u);
    if (good) {
        u->finish(u, NULL);
        return;
    }
    grpc_byte_buffer_destroy(u->response);
    u->response = NULL;
    if (!retry_later(u, &err))
        u->finish(u, &err);
}

static bool attempt_batch(struct unary *u)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    /* The core takes the slices of what it sends; another attempt may need them. */
    grpc_byte_buffer *request = grpc_byte_buffer_copy(u->request);
    ops[0].data.send_initial_metadata.count = u->headers.count;
    ops[0].data.send_initial_metadata.metadata = u->headers.list;
    ops[1].data.send_message.send_message = request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->initial;
    ops[4].data.recv_message.recv_message = &u->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &u->ending.trailing;
    ops[5].data.recv_status_on_client.status = &u->ending.code;
    ops[5].data.recv_status_on_client.status_details = &u->ending.message;
    grpc_call_error failed = core_start(u->core, ops, 6, &u->tag);
    grpc_byte_buffer_destroy(request);
    return failed == GRPC_CALL_OK;
}

/* False, with err: it could not be started, and `finish` was not called. */
static bool attempt_start(struct unary *u, error *err)
{
    u->attempts++;
    if (!headers_fill(u->channel, &u->options, &u->headers, err))
        return false;
    grpc_metadata_array_init(&u->initial);
    ending_init(&u->ending);
    u->core = grpc_channel_create_call(u->channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, u->channel->queue,
                                       u->path, NULL, core_deadline(u->deadline_us), NULL);
    channel_join(u->channel, &u->live, u->core);
    if (attempt_batch(u))
        return true;
    attempt_release(u);
    return error_set(err, STATUS_INTERNAL, "CALL_REFUSED", "the call could not be started");
}

gpr_timespec unary_retry_due(rpc_channel *channel)
{
    int64_t now = clock_monotonic_us();
    int64_t next = INT64_MAX;
    struct unary **at = &channel->waiting;
    bool stopped = atomic_load(&channel->stopped); /* what is started now ends at once */
    while (*at) {
        struct unary *u = *at;
        error err;
        if (u->retry_us > now && !stopped) {
            next = u->retry_us < next ? u->retry_us : next;
            at = &u->next;
            continue;
        }
        *at = u->next;
        if (!attempt_start(u, &err))
            u->finish(u, &err);
    }
    if (channel->waiting && next > now + STOP_LOOK)
        next = now + STOP_LOOK;
    return core_deadline(next);
}

/* --- what callers see --- */

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static bool unary_new(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                      const ProtobufCMessage *request, const struct rpc_client_options *options,
                      struct unary **ret_unary, error *err)
{
    grpc_byte_buffer *packed;
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    if (!descriptor)
        return error_set(err, STATUS_UNIMPLEMENTED, "UNKNOWN_METHOD", "%s has no method %s", service->name,
                         method);
    if (!core_pack(request, CLIENT_MESSAGE_BYTES_MAX, &packed, err))
        return false;
    struct unary *u = calloc(1, sizeof *u);
    if (!u) {
        grpc_byte_buffer_destroy(packed);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a call");
    }
    u->tag.run = attempt_done;
    u->channel = channel;
    u->method = descriptor;
    u->path = method_path(service, method);
    u->request = packed;
    u->agent = copy(options->agent);
    u->session = copy(options->session);
    u->traceparent = copy(options->traceparent);
    if (options->agent && !u->agent) { /* without it the call would have a service's rights */
        unary_free(u);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a call");
    }
    u->options = *options;
    u->options.traceparent = u->traceparent;
    u->options.agent = u->agent;
    u->options.session = u->session;
    u->deadline_us = clock_monotonic_us() + options->timeout_us;
    *ret_unary = u;
    return true;
}

static void finish_async(struct unary *u, const error *err)
{
    error unpacking;
    ProtobufCMessage *response = NULL;
    arena *memory = err ? NULL : arena_new(CLIENT_MESSAGE_BYTES_MAX);
    if (!err && !memory) {
        error_set(&unpacking, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the response");
        err = &unpacking;
    }
    if (!err && !core_unpack(u->method->output, u->response, memory, &response, NULL, &unpacking))
        err = &unpacking;
    u->done(u->argument, err ? NULL : response, err);
    arena_free(memory);
    unary_free(u);
}

void rpc_client_call_async(rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                           const char *method, const ProtobufCMessage *request,
                           const struct rpc_client_options *options, rpc_client_done *done, void *argument)
{
    struct unary *u;
    error err;
    if (!unary_new(channel, service, method, request, options, &u, &err)) {
        done(argument, NULL, &err);
        return;
    }
    u->finish = finish_async;
    u->done = done;
    u->argument = argument;
    if (!attempt_start(u, &err))
        finish_async(u, &err);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over, good;
    error err;
};

static void finish_blocking(struct unary *u, const error *err)
{
    struct waiter *w = u->argument;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    w->good = err == NULL;
    if (err)
        w->err = *err;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static bool wait_for(struct waiter *w, error *err)
{
    pthread_mutex_lock(&w->lock);
    while (!w->over)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    if (!w->good && err)
        *err = w->err;
    return w->good;
}

bool rpc_client_call(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                     const ProtobufCMessage *request, const struct rpc_client_options *options, arena *memory,
                     ProtobufCMessage **ret_response, error *err)
{
    struct unary *u;
    if (pthread_equal(channel->thread, pthread_self()))
        return error_set(err, STATUS_INTERNAL, "WOULD_DEADLOCK",
                         "a callback of the channel must not wait for it");
    if (!unary_new(channel, service, method, request, options, &u, err))
        return false;
    struct waiter w = {.over = false};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    u->finish = finish_blocking;
    u->argument = &w;
    bool good = attempt_start(u, err) && wait_for(&w, err) &&
                core_unpack(u->method->output, u->response, memory, ret_response, NULL, err);
    unary_free(u);
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    return good;
}
