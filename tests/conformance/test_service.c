#include "test_service.h"

#include "base/clock.h"
#include "grpc/testing/test.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ECHO_INITIAL "x-grpc-test-echo-initial"
#define ECHO_TRAILING "x-grpc-test-echo-trailing-bin"

enum { BODY_BYTES_MAX = 4 << 20 };

/* All bodies are zeros; the largest is this one. */
static uint8_t zeros[BODY_BYTES_MAX];

static void echo_metadata(rpc_call *call)
{
    size_t length;
    const void *value = rpc_call_metadata_bytes(call, ECHO_INITIAL, &length);
    if (value)
        rpc_call_add_initial_metadata(call, ECHO_INITIAL, value, length);
    value = rpc_call_metadata_bytes(call, ECHO_TRAILING, &length);
    if (value)
        rpc_call_add_trailing_metadata(call, ECHO_TRAILING, value, length);
}

/* True: the client asked for this status, and has it. */
static bool fail_if_asked(rpc_call *call, const Grpc__Testing__EchoStatus *status)
{
    error err;
    if (!status || status->code == 0)
        return false;
    error_set(&err, (enum status_code)status->code, "", "%s", status->message);
    rpc_call_fail(call, &err);
    return true;
}

static bool fill_payload(Grpc__Testing__Payload *payload, int32_t size)
{
    grpc__testing__payload__init(payload);
    payload->body.data = zeros;
    payload->body.len = size > 0 ? (size_t)size : 0;
    return size <= BODY_BYTES_MAX;
}

static void fail_size(rpc_call *call)
{
    error err;
    error_set(&err, STATUS_INVALID_ARGUMENT, "", "that is too large");
    rpc_call_fail(call, &err);
}

/* --- unary --- */

static void empty_call(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request, (void)context;
    rpc_call_reply_packed(call, "", 0);
}

static void unary_call(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__SimpleRequest *request = (const void *)message;
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Grpc__Testing__Payload payload;
    echo_metadata(call);
    if (fail_if_asked(call, request->response_status))
        return;
    if (!fill_payload(&payload, request->response_size)) {
        fail_size(call);
        return;
    }
    response.payload = &payload;
    rpc_call_reply(call, &response.base);
}

/* --- client streaming --- */

static void input_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__StreamingInputCallRequest *request = (const void *)message;
    size_t sum = (size_t)(uintptr_t)rpc_call_state(call);
    sum += request->payload ? request->payload->body.len : 0;
    rpc_call_set_state(call, (void *)(uintptr_t)sum); /* the whole state is a number */
    rpc_call_read_next(call);
}

static void input_half_close(rpc_call *call, void *context)
{
    (void)context;
    Grpc__Testing__StreamingInputCallResponse response = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t)(uintptr_t)rpc_call_state(call);
    rpc_call_reply(call, &response.base);
}

static const struct rpc_stream_handlers input_call = {
    .on_message = input_message,
    .on_half_close = input_half_close,
};

/* --- server streaming and bidirectional: the responses that a request asks for, one after the other --- */

struct response {
    int32_t size;
    int32_t interval_us;
};

struct output {
    struct response *list;
    size_t count, next;
    bool bidirectional;
};

static void output_free(rpc_call *call, void *context)
{
    (void)context;
    struct output *o = rpc_call_state(call);
    if (o)
        free(o->list);
    free(o);
}

static struct output *output_of(rpc_call *call)
{
    struct output *o = rpc_call_state(call);
    if (!o) {
        o = calloc(1, sizeof *o);
        rpc_call_set_state(call, o);
    }
    return o;
}

/* On a worker; looks up now and then, because nobody may be waiting any more. */
static void rest(rpc_call *call, int64_t interval_us)
{
    int64_t until = clock_monotonic_us() + interval_us;
    int64_t left;
    while ((left = until - clock_monotonic_us()) > 0 && !rpc_call_is_cancelled(call)) {
        struct timespec pause = {.tv_nsec = (left < 10000 ? left : 10000) * 1000};
        nanosleep(&pause, NULL);
    }
}

/* Until all are written, or the queue is full: then on_writable goes on. */
static void write_responses(rpc_call *call, void *context)
{
    (void)context;
    struct output *o = rpc_call_state(call);
    for (; o->next < o->count; o->next++) {
        Grpc__Testing__StreamingOutputCallResponse response =
            GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
        Grpc__Testing__Payload payload;
        if (!fill_payload(&payload, o->list[o->next].size)) {
            fail_size(call);
            return;
        }
        rest(call, o->list[o->next].interval_us);
        o->list[o->next].interval_us = 0;
        response.payload = &payload;
        if (rpc_call_write(call, &response.base) != RPC_WRITE_OK)
            return;
    }
    if (o->bidirectional)
        rpc_call_read_next(call);
    else
        rpc_call_finish(call);
}

static void output_message(rpc_call *call, const ProtobufCMessage *message, bool bidirectional)
{
    const Grpc__Testing__StreamingOutputCallRequest *request = (const void *)message;
    struct output *o = output_of(call);
    struct response *list = calloc(request->n_response_parameters + 1, sizeof *list);
    if (!o || !list) {
        free(list);
        rpc_call_fail_memory(call);
        return;
    }
    for (size_t i = 0; i < request->n_response_parameters; i++)
        list[i] = (struct response){.size = request->response_parameters[i]->size,
                                    .interval_us = request->response_parameters[i]->interval_us};
    free(o->list);
    *o = (struct output){
        .list = list, .count = request->n_response_parameters, .bidirectional = bidirectional};
    if (!fail_if_asked(call, request->response_status))
        write_responses(call, NULL);
}

static void server_stream_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    output_message(call, message, false);
}

static void duplex_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    output_message(call, message, true);
}

static void duplex_open(rpc_call *call, void *context)
{
    (void)context;
    echo_metadata(call);
}

static void duplex_half_close(rpc_call *call, void *context)
{
    (void)context;
    rpc_call_finish(call);
}

static const struct rpc_stream_handlers output_call = {
    .on_message = server_stream_message,
    .on_writable = write_responses,
    .on_done = output_free,
};

static const struct rpc_stream_handlers full_duplex_call = {
    .on_open = duplex_open,
    .on_message = duplex_message,
    .on_half_close = duplex_half_close,
    .on_writable = write_responses,
    .on_done = output_free,
};

#define EVERYBODY (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)
#define ROW(method, where)                                                                        \
    .service = &grpc__testing__test_service__descriptor, .name = #method, .run = RPC_RUN_##where, \
    .roles = EVERYBODY, .any_account = true

const struct rpc_method test_service_methods[] = {
    {ROW(EmptyCall, INLINE), .unary = empty_call},
    {ROW(UnaryCall, INLINE), .unary = unary_call},
    {ROW(StreamingInputCall, INLINE), .stream = &input_call},
    {ROW(StreamingOutputCall, WORKER), .stream = &output_call},
    {ROW(FullDuplexCall, WORKER), .stream = &full_duplex_call},
    {.service = NULL},
};
