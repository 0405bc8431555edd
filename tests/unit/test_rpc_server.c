/* Unary calls over loopback: rpc/server.h, rpc/call.h, rpc/client.h */

#include "base/clock.h"
#include "grpc/testing/test.pb-c.h"
#include "rpc/token.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVICE &grpc__testing__test_service__descriptor
#define ALL (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)

static struct rpc_loopback loopback;
static arena *memory;

static void set_up(void)
{
    memory = arena_new(16 << 20);
}

static void tear_down(void)
{
    rpc_loopback_stop(&loopback);
    arena_free(memory);
}

TestSuite(rpc_server, .init = set_up, .fini = tear_down, .timeout = 60);

static const struct rpc_client_options soon = {.timeout_us = 10000000};

/* --- handlers --- */

/* Answers with the size that was asked for as the user's name, or with the status that was asked for. */
static void echo(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Grpc__Testing__SimpleRequest *request = (const void *)message;
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    if (request->response_status) {
        error err;
        error_set(&err, (enum status_code)request->response_status->code, "AS_ASKED", "%s",
                  request->response_status->message);
        error_add_info(&err, "key", "value");
        rpc_call_fail(call, &err);
        return;
    }
    response.username = arena_printf(rpc_call_arena(call), "%s/%s", rpc_call_caller(call)->account,
                                     rpc_call_caller(call)->agent);
    response.oauth_scope = (char *)(uintptr_t)rpc_call_traceparent(call);
    rpc_call_reply(call, &response.base);
}

static void empty(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message, (void)context;
    rpc_call_reply_packed(call, "", 0);
}

static const struct rpc_method echo_methods[] = {
    {.service = SERVICE,
     .name = "UnaryCall",
     .run = RPC_RUN_WORKER,
     .roles = ALL,
     .any_account = true,
     .unary = echo},
    {.service = SERVICE,
     .name = "EmptyCall",
     .run = RPC_RUN_INLINE,
     .roles = ALL,
     .any_account = true,
     .unary = empty},
    {.service = NULL},
};

/* --- helpers --- */

static enum status_code call_raw(rpc_channel *channel, const char *method, const ProtobufCMessage *request,
                                 const struct rpc_client_options *options, error *err)
{
    ProtobufCMessage *response;
    err->code = STATUS_OK;
    if (rpc_client_call(channel, SERVICE, method, request, options, memory, &response, err))
        return STATUS_OK;
    return err->code;
}

/* Sends field `field` with these bytes, their length in front included: an unknown field goes out as it is.
 */
static enum status_code call_bytes(uint32_t field, const char *data, size_t length, error *err)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    ProtobufCMessageUnknownField raw = {.tag = field,
                                        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                        .len = length,
                                        .data = (uint8_t *)(uintptr_t)data};
    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &raw;
    return call_raw(loopback.channel, "UnaryCall", &request.base, &soon, err);
}

static Grpc__Testing__SimpleResponse *call_echo(rpc_channel *channel,
                                                const struct rpc_client_options *options)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    ProtobufCMessage *response;
    error err;
    cr_assert(rpc_client_call(channel, SERVICE, "UnaryCall", &request.base, options, memory, &response, &err),
              "%s", err.message);
    return (Grpc__Testing__SimpleResponse *)(void *)response;
}

/* --- tests --- */

Test(rpc_server, errors_arrive_with_their_details)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    error err;
    request.response_status = &status;
    rpc_loopback_start(&loopback, echo_methods, NULL, NULL, NULL);
    for (int code = 1; code <= 16; code++) {
        const struct rpc_client_options once = {.timeout_us = 10000000, .no_retry = true};
        status.code = code;
        status.message = (char *)(uintptr_t) "müde\n%";
        cr_assert_eq((int)call_raw(loopback.channel, "UnaryCall", &request.base, &once, &err), code);
        cr_assert_str_eq(err.message, "müde\n%");
        cr_assert_str_eq(err.reason, "AS_ASKED");
        cr_assert_str_eq(err.info[0].value, "value");
    }
}

Test(rpc_server, a_trace_goes_on)
{
    struct rpc_client_options options = soon;
    options.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    rpc_loopback_start(&loopback, echo_methods, NULL, NULL, NULL);
    const char *seen = call_echo(loopback.channel, &options)->oauth_scope;
    cr_assert_eq(strncmp(seen, options.traceparent, 36), 0);
    cr_assert_neq(strncmp(seen + 36, options.traceparent + 36, 16), 0);
    cr_assert_eq(strlen(call_echo(loopback.channel, &soon)->oauth_scope), 55);
}

Test(rpc_server, bad_requests_get_their_code_and_the_service_goes_on)
{
    error err;
    struct rpc_server_options options = {.message_bytes_max = 100000, .drain_us = 2000000};
    rpc_loopback_start(&loopback, echo_methods, NULL, &options, NULL);
    cr_assert_eq(call_bytes(7, "\x04\x12\x02\xff\xff", 5, &err), STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.violations[0].key, "response_status.message");
    cr_assert_eq(call_bytes(7, "\x02\x12\x02", 3, &err), STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.reason, "INVALID_MESSAGE");
    char *large = arena_calloc(memory, 1, 200000);
    memcpy(large, "\xbd\x9a\x0c", 3); /* the length of the rest */
    cr_assert_eq(call_bytes(3, large, 200000, &err), STATUS_RESOURCE_EXHAUSTED);
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    cr_assert_eq(call_raw(loopback.channel, "UnimplementedCall", &request.base, &soon, &err),
                 STATUS_UNIMPLEMENTED);
    call_echo(loopback.channel, &soon);
}

/* Keeps workers busy until told. */
struct gate {
    atomic_int inside;
    atomic_bool open;
};

static void wait_at_gate(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    struct gate *gate = context;
    atomic_fetch_add(&gate->inside, 1);
    while (!atomic_load(&gate->open) && !rpc_call_is_cancelled(call))
        usleep(1000);
    bool cancelled = rpc_call_is_cancelled(call);
    atomic_fetch_sub(&gate->inside, 1);
    error err;
    if (cancelled) {
        error_set(&err, STATUS_CANCELLED, "", "cancelled");
        rpc_call_fail(call, &err);
    } else {
        rpc_call_reply_packed(call, "", 0);
    }
}

static const struct rpc_method gate_methods[] = {
    {.service = SERVICE,
     .name = "EmptyCall",
     .run = RPC_RUN_WORKER,
     .roles = ALL,
     .any_account = true,
     .unary = wait_at_gate},
    {.service = NULL},
};

struct tally {
    atomic_int ok, exhausted, other;
};

static void count(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct tally *tally = argument;
    if (response)
        atomic_fetch_add(&tally->ok, 1);
    else
        atomic_fetch_add(err->code == STATUS_RESOURCE_EXHAUSTED ? &tally->exhausted : &tally->other, 1);
}

static void wait_until(atomic_int *value, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(value) != wanted; i++)
        usleep(1000);
    cr_assert_eq(atomic_load(value), wanted);
}

Test(rpc_server, a_full_queue_answers_at_once)
{
    struct gate gate = {.open = false};
    struct tally tally = {0};
    struct rpc_server_options options = {.workers = 2, .worker_queue = 3, .drain_us = 2000000};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    rpc_loopback_start(&loopback, gate_methods, &gate, &options, NULL);
    for (int i = 0; i < 2; i++)
        rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&gate.inside, 2);
    for (int i = 0; i < 10; i++)
        rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&tally.exhausted, 7);
    atomic_store(&gate.open, true);
    wait_until(&tally.ok, 5);
    cr_assert_eq(atomic_load(&tally.other), 0);
}

Test(rpc_server, work_stops_at_the_deadline)
{
    struct gate gate = {.open = false};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    const struct rpc_client_options hurried = {.timeout_us = 100000};
    error err;
    rpc_loopback_start(&loopback, gate_methods, &gate, NULL, NULL);
    int64_t before = clock_monotonic_us();
    cr_assert_eq(call_raw(loopback.channel, "EmptyCall", &request.base, &hurried, &err),
                 STATUS_DEADLINE_EXCEEDED);
    cr_assert_lt(clock_monotonic_us() - before, 30 * CLOCK_SECOND);
    wait_until(&gate.inside, 0);
}

/* Kept calls are answered by another thread. */
struct kept {
    _Atomic(rpc_call *) call;
    atomic_int count;
};

static void keep(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    struct kept *kept = context;
    atomic_store(&kept->call, call);
    atomic_fetch_add(&kept->count, 1);
}

static const struct rpc_method keep_methods[] = {
    {.service = SERVICE,
     .name = "EmptyCall",
     .run = RPC_RUN_INLINE,
     .roles = ALL,
     .any_account = true,
     .unary = keep},
    {.service = NULL},
};

Test(rpc_server, a_kept_call_hears_of_its_cancellation)
{
    struct kept kept = {.call = NULL};
    struct tally tally = {0};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    rpc_loopback_start(&loopback, keep_methods, &kept, NULL, NULL);
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&kept.count, 1);
    rpc_call_reply_packed(kept.call, "", 0);
    wait_until(&tally.ok, 1);
    const struct rpc_client_options hurried = {.timeout_us = 50000};
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &hurried, count, &tally);
    wait_until(&kept.count, 2);
    wait_until(&tally.other, 1);
    for (int i = 0; i < 2000 && !rpc_call_is_cancelled(kept.call); i++)
        usleep(1000);
    cr_assert(rpc_call_is_cancelled(kept.call));
    rpc_call_fail_memory(kept.call);
}

static const struct rpc_method brief_methods[] = {
    {.service = SERVICE,
     .name = "EmptyCall",
     .run = RPC_RUN_INLINE,
     .roles = ALL,
     .any_account = true,
     .brief = true,
     .unary = keep},
    {.service = NULL},
};

Test(rpc_server, a_brief_call_is_answered_from_elsewhere_and_ends_though_its_client_has_gone)
{
    struct kept kept = {.call = NULL};
    struct tally tally = {0};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    rpc_loopback_start(&loopback, brief_methods, &kept, NULL, NULL);
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&kept.count, 1);
    rpc_call_reply_packed(kept.call, "", 0);
    wait_until(&tally.ok, 1);
    const struct rpc_client_options hurried = {.timeout_us = 50000};
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &hurried, count, &tally);
    wait_until(&kept.count, 2);
    wait_until(&tally.other, 1);
    rpc_call_reply_packed(kept.call, "", 0);
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&kept.count, 3);
    rpc_call_fail_memory(kept.call);
    wait_until(&tally.exhausted, 1);
    /* The server's end, which follows, waits for every call. */
}

/* --- who calls --- */

static const struct rpc_method account_methods[] = {
    {.service = SERVICE,
     .name = "UnaryCall",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_SERVICE,
     .resource = "response_status.message",
     .unary = echo},
    {.service = SERVICE, .name = "EmptyCall", .run = RPC_RUN_INLINE, .roles = ALL, .unary = empty},
    {.service = NULL},
};

static char folder[64];

static void start_with_keys(const struct rpc_method *methods)
{
    struct rpc_server_options options = {.key_directory = folder, .drain_us = 2000000};
    error err;
    rpc_folder_make(folder);
    cr_assert(rpc_keys_generate(folder, &err), "%s", err.message);
    rpc_loopback_start(&loopback, methods, NULL, &options, NULL);
}

static rpc_channel *channel_for(const char *account, enum rpc_role role, const char *agent)
{
    struct rpc_token_claims claims = {.account = account, .role = role, .agent = agent, .ttl_us = CLOCK_HOUR};
    char *token;
    error err;
    cr_assert(rpc_token_make(folder, &claims, &token, &err), "%s", err.message);
    rpc_channel *channel = rpc_loopback_channel(&loopback, token);
    free(token);
    return channel;
}

/* Calls with the resource `name`; the handler answers with the status ABORTED when it is reached. */
static enum status_code call_named(rpc_channel *channel, const char *name, error *err)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    status.code = STATUS_ABORTED;
    status.message = (char *)(uintptr_t)name;
    request.response_status = &status;
    return call_raw(channel, "UnaryCall", &request.base, &soon, err);
}

Test(rpc_server, nobody_gets_in_without_a_good_token)
{
    error err;
    start_with_keys(account_methods);
    cr_assert_eq(call_named(loopback.channel, "accounts/acme", &err), STATUS_UNAUTHENTICATED);
    cr_assert_str_eq(err.reason, "TOKEN_MISSING");
    rpc_channel *wrong = rpc_loopback_channel(&loopback, "a.b.c");
    cr_assert_eq(call_named(wrong, "accounts/acme", &err), STATUS_UNAUTHENTICATED);
    rpc_channel_free(wrong);
    rpc_folder_remove(folder);
}

Test(rpc_server, accounts_do_not_see_each_other)
{
    error err, miss;
    start_with_keys(account_methods);
    rpc_channel *acme = channel_for("acme", RPC_ROLE_AGENT, "ann");
    cr_assert_eq(call_named(acme, "accounts/acme/cases/1", &err), STATUS_ABORTED);
    cr_assert_eq(call_named(acme, "accounts/acme", &err), STATUS_ABORTED);
    cr_assert_eq(call_named(acme, "accounts/acme2/cases/1", &err), STATUS_NOT_FOUND);
    rpc_error_not_found(&miss, "accounts/acme2/cases/1");
    cr_assert_str_eq(err.message, miss.message);
    cr_assert_str_eq(err.reason, miss.reason);
    cr_assert_eq(call_named(acme, "accounts/acm", &err), STATUS_NOT_FOUND);
    cr_assert_eq(call_named(acme, "accounts/", &err), STATUS_NOT_FOUND);
    cr_assert_eq(call_named(acme, "accounts/-", &err), STATUS_PERMISSION_DENIED);
    cr_assert_eq(call_named(acme, "", &err), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(call_named(acme, "acme/cases/1", &err), STATUS_INVALID_ARGUMENT);
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    cr_assert_eq(call_raw(acme, "EmptyCall", &request.base, &soon, &err), STATUS_PERMISSION_DENIED);
    rpc_channel_free(acme);

    rpc_channel *all = channel_for("*", RPC_ROLE_SERVICE, NULL);
    cr_assert_eq(call_named(all, "accounts/acme/cases/1", &err), STATUS_ABORTED);
    cr_assert_eq(call_named(all, "accounts/-", &err), STATUS_ABORTED);
    cr_assert_eq(call_raw(all, "EmptyCall", &request.base, &soon, &err), STATUS_OK);
    rpc_channel_free(all);
    rpc_channel *connector = channel_for("acme", RPC_ROLE_CONNECTOR, NULL);
    cr_assert_eq(call_named(connector, "accounts/acme", &err), STATUS_PERMISSION_DENIED);
    rpc_channel_free(connector);
    rpc_folder_remove(folder);
}

Test(rpc_server, only_services_speak_for_agents)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    const struct rpc_client_options as_bob = {.timeout_us = 10000000, .agent = "bob"};
    const struct rpc_client_options as_nobody = {.timeout_us = 10000000, .agent = ""};
    error err;
    start_with_keys(echo_methods);
    rpc_channel *service = channel_for("acme", RPC_ROLE_SERVICE, NULL);
    cr_assert_str_eq(call_echo(service, &as_bob)->username, "acme/bob");
    cr_assert_eq(call_raw(service, "UnaryCall", &request.base, &as_nobody, &err), STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.reason, "AGENT_REQUIRED");
    static const char *const no_ids[] = {"Bob", "-", "b b", "a/b", ".b"};
    for (size_t i = 0; i < sizeof no_ids / sizeof *no_ids; i++) {
        const struct rpc_client_options as_none = {.timeout_us = 10000000, .agent = no_ids[i]};
        cr_expect_eq(call_raw(service, "UnaryCall", &request.base, &as_none, &err), STATUS_INVALID_ARGUMENT,
                     "%s", no_ids[i]);
        cr_expect_str_eq(err.violations[0].key, "casework-agent");
    }
    rpc_channel_free(service);
    rpc_channel *ann = channel_for("acme", RPC_ROLE_AGENT, "ann");
    cr_assert_str_eq(call_echo(ann, &soon)->username, "acme/ann");
    cr_assert_eq(call_raw(ann, "UnaryCall", &request.base, &as_bob, &err), STATUS_PERMISSION_DENIED);
    rpc_channel_free(ann);
    rpc_folder_remove(folder);
}

Test(rpc_server, a_channel_makes_its_own_tokens)
{
    start_with_keys(echo_methods);
    struct rpc_channel_options options = {
        .target = loopback.target, .key_directory = folder, .subject = "services/search"};
    rpc_channel *channel;
    error err;
    cr_assert(rpc_channel_new(&options, &channel, &err), "%s", err.message);
    cr_assert_str_eq(call_echo(channel, &soon)->username, "*/");
    rpc_channel_free(channel);
    rpc_folder_remove(folder);
}

/* --- start and end --- */

Test(rpc_server_start, without_keys_only_loopback)
{
    const struct rpc_server_options options = {.address = "0.0.0.0:0"};
    rpc_server *server;
    error err;
    cr_assert(rpc_server_new(&options, &server, &err));
    cr_assert_not(rpc_server_start(server, &err));
    cr_assert_str_eq(err.reason, "KEYS_REQUIRED");
    rpc_server_free(server);
}

static void *open_later(void *argument)
{
    struct gate *gate = argument;
    usleep(300000);
    atomic_store(&gate->open, true);
    return NULL;
}

Test(rpc_server, draining_lets_running_calls_end)
{
    struct gate gate = {.open = false};
    struct tally tally = {0};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    const struct rpc_client_options once = {.timeout_us = 10000000, .no_retry = true};
    pthread_t thread;
    error err;
    rpc_loopback_start(&loopback, gate_methods, &gate, NULL, NULL);
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &soon, count, &tally);
    wait_until(&gate.inside, 1);
    pthread_create(&thread, NULL, open_later, &gate);
    rpc_server_drain(loopback.server);
    pthread_join(thread, NULL);
    wait_until(&tally.ok, 1);
    cr_assert_eq(call_raw(loopback.channel, "EmptyCall", &request.base, &once, &err), STATUS_UNAVAILABLE);
}

Test(rpc_server, draining_cancels_what_does_not_end)
{
    struct gate gate = {.open = false};
    struct tally tally = {0};
    struct rpc_server_options options = {.drain_us = 200000};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    rpc_loopback_start(&loopback, gate_methods, &gate, &options, NULL);
    const struct rpc_client_options once = {.timeout_us = CLOCK_MINUTE, .no_retry = true};
    rpc_client_call_async(loopback.channel, SERVICE, "EmptyCall", &request.base, &once, count, &tally);
    wait_until(&gate.inside, 1);
    int64_t before = clock_monotonic_us();
    rpc_server_drain(loopback.server);
    cr_assert_lt(clock_monotonic_us() - before, CLOCK_MINUTE / 2, "long before the call's own deadline");
    wait_until(&tally.other, 1);
    cr_assert_eq(atomic_load(&gate.inside), 0);
}

Test(rpc_server, unavailable_is_tried_again_within_the_deadline)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    const struct rpc_client_options patient = {.timeout_us = 300000};
    error err;
    rpc_loopback_start(&loopback, echo_methods, NULL, NULL, NULL);
    struct rpc_channel_options nowhere = {.target = "127.0.0.1:1"};
    rpc_channel *channel;
    cr_assert(rpc_channel_new(&nowhere, &channel, &err));
    int64_t before = clock_monotonic_us();
    cr_assert_neq(call_raw(channel, "EmptyCall", &request.base, &patient, &err), STATUS_OK);
    cr_assert_gt(clock_monotonic_us() - before, 100000);
    cr_assert_lt(clock_monotonic_us() - before, 30 * CLOCK_SECOND);
    rpc_channel_free(channel);
}

static const struct rpc_client_options once = {.timeout_us = 10 * CLOCK_SECOND, .no_retry = true};

/* A service that needs another one, and passes on what it hears of it. */
static void relay(rpc_call *call, const ProtobufCMessage *request, void *channel)
{
    error err;
    cr_assert_eq(call_raw(channel, "EmptyCall", request, &once, &err), STATUS_UNAVAILABLE);
    rpc_call_fail(call, &err);
}

static const struct rpc_method relay_methods[] = {
    {.service = SERVICE,
     .name = "EmptyCall",
     .run = RPC_RUN_WORKER,
     .roles = ALL,
     .any_account = true,
     .unary = relay},
    {.service = NULL},
};

Test(rpc_server, where_a_service_is_not_reached_is_for_the_log_alone)
{
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    const struct rpc_channel_options nowhere = {.target = "127.0.0.1:1"};
    rpc_channel *channel;
    error err;
    cr_assert(rpc_channel_new(&nowhere, &channel, &err));
    cr_assert_eq(call_raw(channel, "EmptyCall", &request.base, &once, &err), STATUS_UNAVAILABLE);
    cr_assert_str_eq(err.message, "the service is not available");
    cr_assert(strstr(err.detail, "127.0.0.1"), "%s", err.detail);
    rpc_loopback_start(&loopback, relay_methods, channel, NULL, NULL);
    cr_assert_eq(call_raw(loopback.channel, "EmptyCall", &request.base, &once, &err), STATUS_UNAVAILABLE);
    cr_assert_str_eq(err.message, "the service is not available");
    cr_assert_str_eq(err.reason, "UNAVAILABLE");
    cr_assert_str_empty(err.detail, "%s", err.detail);
    rpc_channel_free(channel);
}
