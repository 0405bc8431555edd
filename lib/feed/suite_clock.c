#include "feed/suite_clock.h"

#include "base/arena.h"
#include "base/clock.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/call.h"
#include "rpc/wire.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define CLOCK_SERVICE (&casework__testing__v1__clock_service__descriptor)

/* How long to wait for the case service at start, and for a call that sets no deadline of its own. */
#define START_WAIT_US (30 * CLOCK_SECOND)
#define CALL_WAIT_US (10 * CLOCK_MINUTE)

enum { FETCH_BYTES_MAX = 64 << 10, FETCH_PAUSE_MS = 100 };

struct suite_clock {
    rpc_channel *cases;
    bool manual;
    _Atomic int64_t now_us; /* manual only */
    suite_clock_settle *settle;
    void *settle_context;
};

/* The manual clock never goes back, whichever answer arrives last. */
static void move_on(suite_clock *clock, int64_t time_us)
{
    int64_t seen = atomic_load(&clock->now_us);
    while (seen < time_us && !atomic_compare_exchange_weak(&clock->now_us, &seen, time_us))
        ;
}

static bool fetch(suite_clock *clock, arena *memory, error *err)
{
    Casework__Testing__V1__GetTimeRequest request = CASEWORK__TESTING__V1__GET_TIME_REQUEST__INIT;
    struct rpc_client_options options = {.timeout_us = CLOCK_SECOND};
    ProtobufCMessage *response;
    int64_t time_us;
    if (!rpc_client_call(clock->cases, CLOCK_SERVICE, "GetTime", &request.base, &options, memory, &response,
                         err))
        return false;
    if (!wire_time_us(((Casework__Testing__V1__GetTimeResponse *)response)->time, &time_us))
        return error_set(err, STATUS_INTERNAL, "BAD_CLOCK", "the case service tells no time");
    move_on(clock, time_us);
    return true;
}

/* The services of a suite start together: waits a while for the one that keeps the time. */
static bool fetch_patiently(suite_clock *clock, error *err)
{
    int64_t deadline_us = clock_monotonic_us() + START_WAIT_US;
    const struct timespec pause = {.tv_nsec = FETCH_PAUSE_MS * 1000000L};
    for (;;) {
        arena *memory = arena_new(FETCH_BYTES_MAX);
        if (!memory)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        bool ok = fetch(clock, memory, err);
        arena_free(memory);
        if (ok)
            return true;
        bool passing = err->code == STATUS_UNAVAILABLE || err->code == STATUS_DEADLINE_EXCEEDED;
        if (!passing || clock_monotonic_us() >= deadline_us)
            return false;
        nanosleep(&pause, NULL);
    }
}

bool suite_clock_new(rpc_channel *cases, bool manual, suite_clock **ret_clock, error *err)
{
    suite_clock *clock = calloc(1, sizeof *clock);
    if (!clock)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    clock->cases = cases;
    clock->manual = manual;
    error failure;
    if (manual && !fetch_patiently(clock, &failure)) {
        if (err)
            *err = failure;
        free(clock);
        return false;
    }
    *ret_clock = clock;
    return true;
}

void suite_clock_free(suite_clock *clock)
{
    free(clock);
}

int64_t suite_clock_now_us(const suite_clock *clock)
{
    return clock->manual ? atomic_load(&clock->now_us) : clock_real_us();
}

bool suite_clock_is_manual(const suite_clock *clock)
{
    return clock->manual;
}

/* --- ClockService --------------------------------------------------------------------------------- */

static int64_t deadline_of(const rpc_call *call)
{
    int64_t most_us = clock_monotonic_us() + CALL_WAIT_US;
    int64_t deadline_us = rpc_call_deadline_us(call);
    return deadline_us < most_us ? deadline_us : most_us;
}

static void forwarded(void *argument, const ProtobufCMessage *response, const error *err)
{
    rpc_call *call = argument;
    if (response)
        rpc_call_reply(call, response);
    else
        rpc_call_fail(call, err);
}

static void forward(suite_clock *clock, rpc_call *call, const char *method, const ProtobufCMessage *request)
{
    int64_t left_us = deadline_of(call) - clock_monotonic_us();
    struct rpc_client_options options = {
        .timeout_us = left_us > 0 ? left_us : 1,
        .traceparent = rpc_call_traceparent(call),
    };
    rpc_client_call_async(clock->cases, CLOCK_SERVICE, method, request, &options, forwarded, call);
}

static void get_time(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    forward(context, call, "GetTime", request);
}

static void set_time(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    forward(context, call, "SetTime", request);
}

static void advance_time(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    forward(context, call, "AdvanceTime", request);
}

static bool read_heads(const Casework__Testing__V1__SettleRequest *request, struct feed_positions *heads,
                       error *err)
{
    for (size_t i = 0; i < request->n_heads; i++) {
        const Casework__Cases__V1__PartitionPosition *head = request->heads[i];
        if (head->partition < 0 || head->partition >= FEED_PARTITIONS || head->position < 0)
            return error_bad_field(err, "heads", "no partition or position");
        heads->at[head->partition] = head->position;
    }
    return true;
}

static void settle(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    suite_clock *clock = context;
    const Casework__Testing__V1__SettleRequest *request = (const void *)message;
    struct feed_positions heads = {0};
    int64_t time_us;
    int64_t next_due_us = INT64_MAX;
    error err;
    if (!request->time || !wire_time_us(request->time, &time_us)) {
        error_bad_field(&err, "time", "is required");
        rpc_call_fail(call, &err);
        return;
    }
    if (!read_heads(request, &heads, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    move_on(clock, time_us);
    if (!clock->settle(clock->settle_context, time_us, &heads, deadline_of(call), &next_due_us, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    Casework__Testing__V1__SettleResponse response = CASEWORK__TESTING__V1__SETTLE_RESPONSE__INIT;
    if (next_due_us != INT64_MAX) {
        response.next_due_time = wire_timestamp(rpc_call_arena(call), next_due_us);
        if (!response.next_due_time) {
            rpc_call_fail_memory(call);
            return;
        }
    }
    rpc_call_reply(call, &response.base);
}

bool suite_clock_serve(suite_clock *clock, rpc_server *server, suite_clock_settle *settle_function,
                       void *context, error *err)
{
    static const struct rpc_method methods[] = {
        {.service = CLOCK_SERVICE, .name = "GetTime", .roles = RPC_ROLE_SERVICE, .unary = get_time},
        {.service = CLOCK_SERVICE, .name = "SetTime", .roles = RPC_ROLE_SERVICE, .unary = set_time},
        {.service = CLOCK_SERVICE, .name = "AdvanceTime", .roles = RPC_ROLE_SERVICE, .unary = advance_time},
        {.service = CLOCK_SERVICE,
         .name = "Settle",
         .roles = RPC_ROLE_SERVICE,
         .run = RPC_RUN_WORKER,
         .unary = settle},
        {.service = NULL},
    };
    clock->settle = settle_function;
    clock->settle_context = context;
    return rpc_server_add(server, methods, clock, err);
}
