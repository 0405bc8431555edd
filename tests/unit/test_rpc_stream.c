/* Streams of all kinds over loopback, health and reflection. */

#include "base/clock.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "grpc/testing/test.pb-c.h"
#include "rpc/token.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE &grpc__testing__test_service__descriptor
#define ALL (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)
#define SECONDS(n) ((n)*CLOCK_SECOND)

static struct rpc_loopback loopback;
static arena *memory;

/* What has happened to the calls of a test, in counts. */
static struct {
    atomic_int opened, messages, half_closed, writable, done, full;
} seen;

static void set_up(void)
{
    memory = arena_new(64 << 20);
}

static void tear_down(void)
{
    rpc_loopback_stop(&loopback);
    arena_free(memory);
}

TestSuite(rpc_stream, .init = set_up, .fini = tear_down, .timeout = 60);

static const struct rpc_client_options soon = {.timeout_us = 20000000};

static void wait_for_some(atomic_int *value, int least)
{
    for (int i = 0; i < 5000 && atomic_load(value) < least; i++)
        usleep(1000);
    cr_assert_geq(atomic_load(value), least);
}

static void wait_for(atomic_int *value, int wanted)
{
    wait_for_some(value, wanted);
    cr_assert_eq(atomic_load(value), wanted);
}

static rpc_stream *open_stream(const char *method, const struct rpc_client_options *options)
{
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(loopback.channel, SERVICE, method, options, &stream, &err), "%s", err.message);
    return stream;
}

static bool write_size(rpc_stream *stream, int32_t size)
{
    Grpc__Testing__StreamingOutputCallRequest request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__ResponseParameters one = GRPC__TESTING__RESPONSE_PARAMETERS__INIT;
    Grpc__Testing__ResponseParameters *list[] = {&one};
    one.size = size;
    request.n_response_parameters = 1;
    request.response_parameters = list;
    return rpc_stream_write(stream, &request.base);
}

/* The size of the next message, or -1 - enum rpc_read. */
static int read_size(rpc_stream *stream, error *err)
{
    ProtobufCMessage *message;
    error_set(err, STATUS_OK, "", "no error");
    enum rpc_read read = rpc_stream_read(stream, SECONDS(10), memory, &message, err);
    if (read != RPC_READ_MESSAGE)
        return -1 - (int)read;
    const Grpc__Testing__StreamingOutputCallResponse *response = (const void *)message;
    return (int)response->payload->body.len;
}

static enum rpc_write write_back(rpc_call *call, int32_t size)
{
    static uint8_t zeros[1 << 20];
    Grpc__Testing__StreamingOutputCallResponse response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    payload.body.data = zeros;
    payload.body.len = (size_t)size;
    response.payload = &payload;
    return rpc_call_write(call, &response.base);
}

/* --- handlers that count --- */

static void count_open(rpc_call *call, void *context)
{
    (void)call, (void)context;
    atomic_fetch_add(&seen.opened, 1);
}

static void count_done(rpc_call *call, void *context)
{
    (void)call, (void)context;
    atomic_fetch_add(&seen.done, 1);
}

static void echo_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__StreamingOutputCallRequest *request = (const void *)message;
    atomic_fetch_add(&seen.messages, 1);
    (void)write_back(call, request->response_parameters[0]->size);
    rpc_call_read_next(call);
}

static void finish_half_closed(rpc_call *call, void *context)
{
    (void)context;
    atomic_fetch_add(&seen.half_closed, 1);
    rpc_call_finish(call);
}

static const struct rpc_stream_handlers echo = {
    .on_open = count_open,
    .on_message = echo_message,
    .on_half_close = finish_half_closed,
    .on_done = count_done,
};

/* As many messages of 64 KiB as were asked for, as fast as the reader takes them. */
static void flood(rpc_call *call)
{
    intptr_t left = (intptr_t)rpc_call_state(call);
    for (; left > 0; left--) {
        enum rpc_write written = write_back(call, 65536);
        if (written == RPC_WRITE_FULL) {
            atomic_fetch_add(&seen.full, 1);
            break;
        }
        if (written == RPC_WRITE_CLOSED)
            return;
    }
    rpc_call_set_state(call, (void *)left);
    if (left == 0)
        rpc_call_finish(call);
}

static void flood_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__StreamingOutputCallRequest *request = (const void *)message;
    rpc_call_set_state(call, (void *)(intptr_t)request->response_parameters[0]->size);
    flood(call);
}

static void flood_writable(rpc_call *call, void *context)
{
    (void)context;
    atomic_fetch_add(&seen.writable, 1);
    flood(call);
}

static const struct rpc_stream_handlers flooding = {
    .on_open = count_open,
    .on_message = flood_message,
    .on_writable = flood_writable,
    .on_done = count_done,
};

static void sum_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__StreamingInputCallRequest *request = (const void *)message;
    intptr_t sum = (intptr_t)rpc_call_state(call) + (intptr_t)request->payload->body.len;
    atomic_fetch_add(&seen.messages, 1);
    rpc_call_set_state(call, (void *)sum);
    rpc_call_read_next(call);
}

static void sum_half_close(rpc_call *call, void *context)
{
    (void)context;
    Grpc__Testing__StreamingInputCallResponse response = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t)(intptr_t)rpc_call_state(call);
    atomic_fetch_add(&seen.half_closed, 1);
    rpc_call_reply(call, &response.base);
}

static const struct rpc_stream_handlers summing = {
    .on_open = count_open,
    .on_message = sum_message,
    .on_half_close = sum_half_close,
    .on_done = count_done,
};

#define ROW(method_, where_, handlers_)                                                            \
    {                                                                                              \
        .service = SERVICE, .name = (method_), .run = (where_), .roles = ALL, .any_account = true, \
        .stream = (handlers_)                                                                      \
    }

static const struct rpc_method inline_methods[] = {
    ROW("FullDuplexCall", RPC_RUN_INLINE, &echo),
    ROW("StreamingOutputCall", RPC_RUN_INLINE, &flooding),
    ROW("StreamingInputCall", RPC_RUN_INLINE, &summing),
    {.service = NULL},
};

static const struct rpc_method worker_methods[] = {
    ROW("FullDuplexCall", RPC_RUN_WORKER, &echo),
    ROW("StreamingOutputCall", RPC_RUN_WORKER, &flooding),
    ROW("StreamingInputCall", RPC_RUN_WORKER, &summing),
    {.service = NULL},
};

static void all_kinds(const struct rpc_method *methods)
{
    error err;
    rpc_loopback_start(&loopback, methods, NULL, NULL, NULL);
    rpc_stream *duplex = open_stream("FullDuplexCall", &soon);
    for (int i = 0; i < 200; i++) {
        cr_assert(write_size(duplex, i));
        cr_assert_eq(read_size(duplex, &err), i);
    }
    rpc_stream_close_send(duplex);
    cr_assert_eq(read_size(duplex, &err), -1 - (int)RPC_READ_END);
    rpc_stream_free(duplex);

    rpc_stream *output = open_stream("StreamingOutputCall", &soon);
    cr_assert(write_size(output, 300));
    rpc_stream_close_send(output);
    wait_for_some(&seen.full, 1); /* nobody reads yet */
    for (int i = 0; i < 300; i++)
        cr_assert_eq(read_size(output, &err), 65536, "message %d: %s", i, err.message);
    cr_assert_eq(read_size(output, &err), -1 - (int)RPC_READ_END);
    rpc_stream_free(output);

    rpc_stream *input = open_stream("StreamingInputCall", &soon);
    Grpc__Testing__StreamingInputCallRequest request = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    request.payload = &payload;
    payload.body.data = arena_calloc(memory, 1, 5000);
    payload.body.len = 5000;
    for (int i = 0; i < 200; i++)
        cr_assert(rpc_stream_write(input, &request.base));
    rpc_stream_close_send(input);
    ProtobufCMessage *message;
    cr_assert_eq(rpc_stream_read(input, SECONDS(10), memory, &message, &err), RPC_READ_MESSAGE, "%s",
                 err.message);
    cr_assert_eq(((Grpc__Testing__StreamingInputCallResponse *)(void *)message)->aggregated_payload_size,
                 1000000);
    cr_assert_eq(rpc_stream_read(input, SECONDS(10), memory, &message, &err), RPC_READ_END);
    rpc_stream_free(input);

    wait_for(&seen.done, 3);
    cr_assert_eq(atomic_load(&seen.opened), 3);
    cr_assert_eq(atomic_load(&seen.half_closed), 2);
}

Test(rpc_stream, all_kinds_inline)
{
    all_kinds(inline_methods);
}

Test(rpc_stream, all_kinds_on_workers)
{
    all_kinds(worker_methods);
}

Test(rpc_stream, a_cancelled_stream_is_done_and_was_not_half_closed)
{
    error err;
    rpc_loopback_start(&loopback, worker_methods, NULL, NULL, NULL);
    rpc_stream *stream = open_stream("FullDuplexCall", &soon);
    cr_assert(write_size(stream, 1));
    cr_assert_eq(read_size(stream, &err), 1);
    rpc_stream_cancel(stream);
    cr_assert_eq(read_size(stream, &err), -1 - (int)RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_CANCELLED);
    rpc_stream_free(stream);
    wait_for(&seen.done, 1);
    cr_assert_eq(atomic_load(&seen.half_closed), 0);
}

Test(rpc_stream, a_reader_that_stops_does_not_fill_the_memory)
{
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    rpc_stream *stream = open_stream("StreamingOutputCall", &soon);
    cr_assert(write_size(stream, 100000)); /* six gigabytes */
    rpc_stream_close_send(stream);
    for (int i = 0; i < 5000 && atomic_load(&seen.full) == 0; i++)
        usleep(1000);
    usleep(300000); /* until all buffers on the way are full too */
    int writable = atomic_load(&seen.writable);
    cr_assert_gt(atomic_load(&seen.full), 0);
    cr_assert_lt(writable, 1000);
    usleep(200000);
    cr_assert_eq(atomic_load(&seen.writable), writable);
    rpc_stream_free(stream);
    wait_for(&seen.done, 1);
}

Test(rpc_stream, a_deadline_ends_a_stream)
{
    const struct rpc_client_options hurried = {.timeout_us = 1000000};
    error err;
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    rpc_stream *stream = open_stream("FullDuplexCall", &hurried);
    cr_assert_eq(read_size(stream, &err), -1 - (int)RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_DEADLINE_EXCEEDED);
    rpc_stream_free(stream);
    wait_for(&seen.done, 1);
}

Test(rpc_stream, reading_can_time_out_and_go_on)
{
    ProtobufCMessage *message;
    error err;
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    rpc_stream *stream = open_stream("FullDuplexCall", &soon);
    cr_assert_eq(rpc_stream_read(stream, 20000, memory, &message, &err), RPC_READ_TIMEOUT);
    cr_assert(write_size(stream, 5));
    cr_assert_eq(read_size(stream, &err), 5);
    rpc_stream_free(stream);
}

Test(rpc_stream, many_at_once)
{
    enum { COUNT = 100 };
    rpc_stream *streams[COUNT];
    error err;
    rpc_loopback_start(&loopback, worker_methods, NULL, NULL, NULL);
    for (int i = 0; i < COUNT; i++)
        streams[i] = open_stream("FullDuplexCall", &soon);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < COUNT; i++)
            cr_assert(write_size(streams[i], i));
        for (int i = 0; i < COUNT; i++)
            cr_assert_eq(read_size(streams[i], &err), i);
    }
    for (int i = 0; i < COUNT; i++) {
        if (i % 2)
            rpc_stream_close_send(streams[i]);
        rpc_stream_free(streams[i]);
    }
    wait_for(&seen.done, COUNT);
}

Test(rpc_stream, a_message_that_is_wrong_ends_the_stream)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    ProtobufCMessageUnknownField raw = {
        .tag = 3, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = 2, .data = (uint8_t[]){1, 0x12}};
    error err;
    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &raw;
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    rpc_stream *stream = open_stream("FullDuplexCall", &soon);
    cr_assert(rpc_stream_write(stream, &request.base));
    cr_assert_eq(read_size(stream, &err), -1 - (int)RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    rpc_stream_free(stream);
    wait_for(&seen.done, 1);
    cr_assert_eq(atomic_load(&seen.messages), 0);
}

Test(rpc_stream, draining_ends_what_would_not_end)
{
    static const struct rpc_method methods[] = {
        {.service = SERVICE,
         .name = "FullDuplexCall",
         .run = RPC_RUN_WORKER,
         .roles = ALL,
         .any_account = true,
         .endless = true,
         .stream = &echo},
        {.service = NULL},
    };
    struct rpc_server_options options = {.drain_us = CLOCK_MINUTE};
    error err;
    rpc_loopback_start(&loopback, methods, NULL, &options, NULL);
    rpc_stream *stream = open_stream("FullDuplexCall", &soon);
    wait_for(&seen.opened, 1);
    int64_t before = clock_monotonic_us();
    rpc_server_drain(loopback.server);
    cr_assert_lt(clock_monotonic_us() - before, CLOCK_MINUTE / 2, "its time to end is not waited for");
    cr_assert_eq(atomic_load(&seen.done), 1);
    cr_assert_eq(read_size(stream, &err), -1 - (int)RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    cr_assert_str_eq(err.reason, "SERVER_STOPPING");
    rpc_stream_free(stream);
}

static rpc_channel *channel_for(const char *folder, int64_t ttl_us)
{
    struct rpc_token_claims claims = {.account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = ttl_us};
    char *token;
    error err;
    cr_assert(rpc_token_make(folder, &claims, &token, &err), "%s", err.message);
    rpc_channel *channel = rpc_loopback_channel(&loopback, token);
    free(token);
    return channel;
}

static rpc_stream *open_at(rpc_channel *channel, const char *method)
{
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(channel, SERVICE, method, &soon, &stream, &err), "%s", err.message);
    return stream;
}

static void expect_alive(rpc_stream *stream)
{
    error err;
    cr_assert(write_size(stream, 1));
    cr_assert_eq(read_size(stream, &err), 1, "%s", err.message);
}

Test(rpc_stream, an_endless_stream_ends_with_its_token)
{
    static const struct rpc_method methods[] = {
        {.service = SERVICE,
         .name = "FullDuplexCall",
         .roles = ALL,
         .any_account = true,
         .endless = true,
         .stream = &echo},
        {.service = SERVICE,
         .name = "HalfDuplexCall",
         .roles = ALL,
         .any_account = true,
         .endless = true,
         .outlives_token = true,
         .stream = &echo},
        {.service = NULL},
    };
    char folder[64];
    error err;
    rpc_folder_make(folder);
    cr_assert(rpc_keys_generate(folder, &err), "%s", err.message);
    rpc_loopback_start(&loopback, methods, NULL, &(struct rpc_server_options){.key_directory = folder}, NULL);
    rpc_channel *lasting = channel_for(folder, CLOCK_HOUR);
    int64_t made_us = clock_real_us();
    rpc_channel *brief = channel_for(folder, SECONDS(4));
    rpc_stream *goes_on = open_at(lasting, "FullDuplexCall");
    rpc_stream *has_an_end = open_at(brief, "HalfDuplexCall");
    rpc_stream *expires = open_at(brief, "FullDuplexCall");
    expect_alive(goes_on);
    expect_alive(has_an_end);
    expect_alive(expires);
    cr_assert_eq(read_size(expires, &err), -1 - (int)RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_UNAUTHENTICATED, "%s", err.message);
    cr_assert_str_eq(err.reason, "TOKEN_EXPIRED");
    cr_assert_geq(clock_real_us() - made_us, SECONDS(3)); /* tokens go by whole seconds */
    wait_for(&seen.done, 1);
    expect_alive(goes_on);
    expect_alive(has_an_end);
    rpc_stream_free(expires);
    rpc_stream_free(has_an_end);
    rpc_stream_free(goes_on);
    rpc_channel_free(brief);
    rpc_channel_free(lasting);
    rpc_folder_remove(folder);
}

/* --- health --- */

static int read_health(rpc_stream *stream)
{
    ProtobufCMessage *message;
    error err;
    if (rpc_stream_read(stream, SECONDS(10), memory, &message, &err) != RPC_READ_MESSAGE)
        return -1;
    return (int)((Grpc__Health__V1__HealthCheckResponse *)(void *)message)->status;
}

static rpc_stream *watch_health(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    rpc_stream *stream;
    error err;
    request.service = (char *)(uintptr_t)service;
    cr_assert(rpc_stream_open(loopback.channel, &grpc__health__v1__health__descriptor, "Watch", &soon,
                              &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    return stream;
}

static enum status_code check_health(const char *service, int *ret_status)
{
    *ret_status = -1;
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *message;
    error err;
    request.service = (char *)(uintptr_t)service;
    if (!rpc_client_call(loopback.channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
                         &soon, memory, &message, &err))
        return err.code;
    *ret_status = (int)((Grpc__Health__V1__HealthCheckResponse *)(void *)message)->status;
    return STATUS_OK;
}

Test(rpc_stream, health_is_told_when_it_changes)
{
    int status = -1;
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    cr_assert_eq(check_health("", &status), STATUS_OK);
    cr_assert_eq(status, 1);
    cr_assert_eq(check_health("grpc.testing.TestService", &status), STATUS_OK);
    cr_assert_eq(check_health("no.such.Service", &status), STATUS_NOT_FOUND);
    rpc_stream *watch = watch_health("grpc.testing.TestService"), *unknown = watch_health("no.such.Service");
    cr_assert_eq(read_health(watch), 1);
    cr_assert_eq(read_health(unknown), 3);
    rpc_server_set_serving(loopback.server, false);
    cr_assert_eq(read_health(watch), 2);
    rpc_server_set_serving(loopback.server, true);
    cr_assert_eq(read_health(watch), 1);
    rpc_server_drain(loopback.server);
    cr_assert_eq(read_health(watch), 2);
    cr_assert_eq(read_health(watch), -1);
    rpc_stream_free(watch);
    rpc_stream_free(unknown);
}

/* --- reflection --- */

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

static const reflection_response *reflect(rpc_stream *stream, const reflection_request *request)
{
    ProtobufCMessage *message;
    error err;
    cr_assert(rpc_stream_write(stream, &request->base));
    cr_assert_eq(rpc_stream_read(stream, SECONDS(10), memory, &message, &err), RPC_READ_MESSAGE, "%s",
                 err.message);
    return (const void *)message;
}

static void reflect_all(const ProtobufCServiceDescriptor *service)
{
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(loopback.channel, service, "ServerReflectionInfo", &soon, &stream, &err));
    reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    request.list_services = (char *)(uintptr_t) "";
    cr_assert_eq(reflect(stream, &request)->list_services_response->n_service, 4);

    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
    request.file_containing_symbol = (char *)(uintptr_t) "grpc.testing.TestService.EmptyCall";
    const reflection_response *response = reflect(stream, &request);
    const ProtobufCBinaryData *file = &response->file_descriptor_response->file_descriptor_proto[0];
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, file->len, file->data);
    cr_assert_str_eq(proto->name, "grpc/testing/test.proto");
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
    request.file_containing_symbol = (char *)(uintptr_t) "grpc.testing.Nothing";
    cr_assert_eq(reflect(stream, &request)->error_response->error_code, STATUS_NOT_FOUND);

    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    request.file_by_filename = (char *)(uintptr_t) "grpc/testing/messages.proto";
    cr_assert_eq(reflect(stream, &request)->file_descriptor_response->n_file_descriptor_proto, 1);
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE;
    request.all_extension_numbers_of_type = (char *)(uintptr_t) "grpc.testing.SimpleRequest";
    cr_assert_str_eq(reflect(stream, &request)->all_extension_numbers_response->base_type_name,
                     "grpc.testing.SimpleRequest");
    rpc_stream_close_send(stream);
    ProtobufCMessage *message;
    cr_assert_eq(rpc_stream_read(stream, SECONDS(10), memory, &message, &err), RPC_READ_END);
    rpc_stream_free(stream);
}

Test(rpc_stream, reflection_in_both_versions)
{
    rpc_loopback_start(&loopback, inline_methods, NULL, NULL, NULL);
    reflect_all(&grpc__reflection__v1__server_reflection__descriptor);
    reflect_all(&grpc__reflection__v1alpha__server_reflection__descriptor);
}
