/* A channel that is stopped: nobody waits for a deadline. */

#include "base/clock.h"
#include "grpc/testing/test.pb-c.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define SERVICE &grpc__testing__test_service__descriptor
#define ALL (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)

/* What the tests wait for comes after minutes, unless it is ended. */
static const struct rpc_client_options patient = {.timeout_us = 10 * CLOCK_MINUTE};

static struct rpc_loopback loopback;
static atomic_int arrived, released;

static void hang(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request, (void)context;
    Grpc__Testing__Empty response = GRPC__TESTING__EMPTY__INIT;
    atomic_fetch_add(&arrived, 1);
    while (!atomic_load(&released))
        usleep(1000);
    rpc_call_reply(call, &response.base);
}

/* Comes again after minutes. */
static void refuse(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request, (void)context;
    error err;
    error_set(&err, STATUS_UNAVAILABLE, "BUSY", "not now");
    err.retry_after_us = 5 * CLOCK_MINUTE;
    rpc_call_fail(call, &err);
    atomic_fetch_add(&arrived, 1);
}

static void take_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)message, (void)context;
    atomic_fetch_add(&arrived, 1);
}

static const struct rpc_stream_handlers silent = {.on_message = take_message};

static const struct rpc_method methods[] = {
    {.service = SERVICE, .name = "EmptyCall", .roles = ALL, .run = RPC_RUN_WORKER, .unary = hang},
    {.service = SERVICE, .name = "UnaryCall", .roles = ALL, .unary = refuse},
    {.service = SERVICE, .name = "FullDuplexCall", .roles = ALL, .stream = &silent},
    {.service = NULL},
};

static void set_up(void)
{
    rpc_loopback_start(&loopback, methods, NULL, NULL, NULL);
}

static void tear_down(void)
{
    atomic_store(&released, 1);
    rpc_loopback_stop(&loopback);
}

TestSuite(rpc_channel, .init = set_up, .fini = tear_down, .timeout = 60);

struct asking {
    const char *method;
    const ProtobufCMessage *request;
    pthread_t thread;
    bool answered;
    error err;
};

static void *ask(void *argument)
{
    struct asking *asking = argument;
    ProtobufCMessage *response;
    arena *memory = arena_new(1 << 20);
    asking->answered = rpc_client_call(loopback.channel, SERVICE, asking->method, asking->request, &patient,
                                       memory, &response, &asking->err);
    arena_free(memory);
    return NULL;
}

static void await_arrived(int wanted)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    while (atomic_load(&arrived) < wanted) {
        cr_assert_lt(clock_monotonic_us(), until);
        usleep(1000);
    }
}

static void expect_stopping(const error *err)
{
    cr_assert_eq(err->code, STATUS_UNAVAILABLE, "%s", err->message);
    cr_assert_str_eq(err->reason, "STOPPING");
}

static void expect_ended_by_a_stop(struct asking *asking)
{
    cr_assert_eq(pthread_create(&asking->thread, NULL, ask, asking), 0);
    await_arrived(1);
    rpc_channel_stop(loopback.channel);
    pthread_join(asking->thread, NULL);
    cr_assert_not(asking->answered);
}

Test(rpc_channel, a_stop_ends_a_call)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    struct asking asking = {.method = "EmptyCall", .request = &request.base};
    expect_ended_by_a_stop(&asking);
    expect_stopping(&asking.err);
    rpc_channel_stop(loopback.channel); /* once more does nothing */
}

Test(rpc_channel, a_stop_ends_a_call_that_waits_for_its_next_attempt)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    struct asking asking = {.method = "UnaryCall", .request = &request.base};
    expect_ended_by_a_stop(&asking);
    cr_assert_eq(asking.err.code, STATUS_UNAVAILABLE, "%s", asking.err.message);
}

Test(rpc_channel, a_stop_ends_a_stream)
{
    Grpc__Testing__StreamingOutputCallRequest request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    arena *memory = arena_new(1 << 20);
    ProtobufCMessage *message;
    rpc_stream *streams[2];
    error err;
    for (int i = 0; i < 2; i++) {
        cr_assert(rpc_stream_open(loopback.channel, SERVICE, "FullDuplexCall", &patient, &streams[i], &err));
        cr_assert(rpc_stream_write(streams[i], &request.base));
    }
    await_arrived(2);
    rpc_stream_free(streams[0]); /* it is among the channel's no more */
    rpc_channel_stop(loopback.channel);
    cr_assert_eq(rpc_stream_read(streams[1], CLOCK_MINUTE, memory, &message, &err), RPC_READ_FAILED);
    expect_stopping(&err);
    rpc_stream_free(streams[1]);
    arena_free(memory);
}

Test(rpc_channel, what_begins_after_a_stop_ends_at_once)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    struct asking asking = {.method = "EmptyCall", .request = &request.base};
    arena *memory = arena_new(1 << 20);
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err;
    rpc_channel_stop(loopback.channel);
    ask(&asking);
    cr_assert_not(asking.answered);
    expect_stopping(&asking.err);
    cr_assert(rpc_stream_open(loopback.channel, SERVICE, "FullDuplexCall", &patient, &stream, &err));
    cr_assert_eq(rpc_stream_read(stream, CLOCK_MINUTE, memory, &message, &err), RPC_READ_FAILED);
    expect_stopping(&err);
    rpc_stream_free(stream);
    arena_free(memory);
}
