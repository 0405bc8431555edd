/* RebuildTimers and CheckTimers on running services. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/sla_desk.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLA (&casework__sla__v1__sla_service__descriptor)

enum { MEMORY = 16 << 20 };

static suite *s;
static arena *memory;
static const char *account;
static char *bucket;

static void begin(const struct suite_options *options)
{
    memory = arena_new(MEMORY);
    s = suite_start(options);
    account = suite_create_account(s, "acme", "Europe/Berlin", memory);
    bucket = arena_printf(memory, "casework:{b%02d}:timers", feed_partition("acme"));
}

static void end(void)
{
    suite_stop(s);
    arena_free(memory);
}

/* The only timer of a case, as the schedule has it. */
static char *member_of(const char *case_name)
{
    const char *number = strrchr(case_name, '/') + 1;
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)case_name;
    const Casework__Sla__V1__ListCaseTimersResponse *response =
        suite_call(s, SLA, "ListCaseTimers", &request, memory);
    cr_assert_eq(response->n_timers, 1);
    return arena_printf(memory, "acme/%s/r%lld", number, (long long)response->timers[0]->version);
}

Test(sla_audit, each_difference_is_told_and_a_rebuild_ends_them)
{
    begin(NULL);
    const char *names[4];
    for (size_t i = 0; i < 4; i++)
        names[i] = sla_desk_resolved(s, account, memory);
    suite_create_case(s, account, "Open", "No timer for this one", memory, NULL);
    suite_advance(s, CLOCK_HOUR);
    struct sla_desk_check check = sla_desk_check(s, account);
    cr_assert_eq(check.differences, 0);
    cr_assert_eq(check.cases, 5);
    cr_assert_eq(check.timers, 4);

    cr_assert(sla_desk_redis(s, "ZREM", bucket, member_of(names[0]), NULL), "one is lost");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", member_of(names[1])), "one is moved");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", "acme/999/r3"), "of a case that is not");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", "acme/5/r1"), "of a case without one");
    check = sla_desk_check(s, account);
    cr_assert_eq(check.missing, 1);
    cr_assert_eq(check.changed, 1);
    cr_assert_eq(check.surplus, 2);
    check = sla_desk_check(s, "accounts/-");
    cr_assert_eq(check.differences, 4);

    const Casework__Sla__V1__RebuildTimersResponse *done = sla_desk_rebuild(s, account, memory);
    cr_assert_eq(done->cases_done, 5);
    cr_assert_eq(done->cases_total, 5);
    cr_assert_eq(done->timers_written, 4);
    cr_assert_eq(done->timers_removed, 2);
    cr_assert_eq(done->position, suite_position(s, account));
    sla_desk_expect_same(s, account);
    suite_advance(s, 72 * CLOCK_HOUR);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(sla_desk_closings(s, names[i]), 1);
    sla_desk_expect_same(s, "accounts/-");
    end();
}

Test(sla_audit, an_emptied_schedule_is_rebuilt_before_it_is_compared)
{
    begin(NULL);
    sla_desk_resolved(s, account, memory);
    suite_advance(s, CLOCK_HOUR);
    cr_assert(sla_desk_redis(s, "FLUSHALL", NULL, NULL, NULL));
    sla_desk_expect_same(s, "accounts/-");
    cr_assert(sla_desk_redis(s, "FLUSHALL", NULL, NULL, NULL));
    const Casework__Sla__V1__RebuildTimersResponse *done = sla_desk_rebuild(s, "accounts/-", memory);
    cr_assert_eq(done->timers_written, 1);
    cr_assert_eq(done->position, 0);
    sla_desk_expect_same(s, account);
    end();
}

/* --- while cases change --------------------------------------------------------------------------- */

enum { MOVING = 20 };

struct moving {
    const char *names[MOVING];
    atomic_bool stop;
    _Atomic int64_t changes;
};

/* Opens cases again and resolves them: each time the timer goes and another one comes. */
static void *keep_moving(void *argument)
{
    struct moving *moving = argument;
    for (size_t i = 0; !atomic_load(&moving->stop); i = (i + 1) % MOVING) {
        suite_step(s, "ReopenCase", moving->names[i], NULL);
        suite_step(s, "ResolveCase", moving->names[i], NULL);
        moving->changes += 2;
    }
    return NULL;
}

/* Of cases that agents change all the time. */
static void expect_no_difference_while_moving(void)
{
    struct moving moving = {0};
    pthread_t thread;
    for (size_t i = 0; i < MOVING; i++)
        moving.names[i] = sla_desk_resolved(s, account, memory);
    cr_assert_eq(pthread_create(&thread, NULL, keep_moving, &moving), 0);
    int64_t until = clock_monotonic_us() + CLOCK_MINUTE;
    for (int i = 0; i < 4 || (moving.changes <= 20 && clock_monotonic_us() < until); i++) {
        sla_desk_expect_same(s, account);
        cr_assert_eq(sla_desk_rebuild(s, account, memory)->timers_removed, 0);
    }
    atomic_store(&moving.stop, true);
    pthread_join(thread, NULL);
    cr_assert_gt(moving.changes, 20, "it did move");
    sla_desk_expect_same(s, account);
}

Test(sla_audit, what_only_moves_is_no_difference)
{
    begin(&(struct suite_options){.clock = "real"});
    expect_no_difference_while_moving();
    end();
}

/* --- targets -------------------------------------------------------------------------------------- */

/* When the targets of a case are looked at, as the schedule has it. */
static char *look_of(const char *case_name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = (char *)(uintptr_t)case_name;
    const Casework__Cases__V1__GetCaseResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "GetCase", &request, memory);
    return arena_printf(memory, "acme/%s/t%lld", strrchr(case_name, '/') + 1,
                        (long long)response->case_->version);
}

static size_t steps_of(const char *case_name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    size_t count = 0;
    request.parent = (char *)(uintptr_t)case_name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "ListCaseEvents", &request, memory);
    for (size_t i = 0; i < response->n_events; i++)
        count += response->events[i]->timer_step_facts != NULL;
    return count;
}

Test(sla_audit, looks_at_targets_are_compared_and_rebuilt)
{
    begin(NULL);
    sla_desk_targets(s, account);
    const char *names[4];
    for (size_t i = 0; i < 4; i++)
        names[i] = suite_create_case(s, account, "Parcel", "Where is it?", memory, NULL);
    suite_step(s, "ResolveCase", names[3], NULL);
    suite_advance(s, 2 * CLOCK_MINUTE);
    cr_assert_eq(sla_desk_closings(s, names[3]), 1);
    struct sla_desk_check check = sla_desk_check(s, account);
    cr_assert_eq(check.differences, 0, "%d missing, %d surplus, %d changed", check.missing, check.surplus,
                 check.changed);
    cr_assert_eq(check.cases, 4);
    cr_assert_eq(check.timers, 3, "no look at what is closed, and recorded");

    cr_assert(sla_desk_redis(s, "ZREM", bucket, look_of(names[0]), NULL), "one is lost");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", look_of(names[1])), "one is moved");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", "acme/999/t3"), "of a case that is not");
    cr_assert(sla_desk_redis(s, "ZADD", bucket, "4000000000000000", look_of(names[3])), "of a closed case");
    char *elsewhere = arena_printf(memory, "casework:{b%02d}:timers", feed_partition("other"));
    cr_assert(sla_desk_redis(s, "ZADD", elsewhere, "4000000000000000", "other/1/t3"), "without targets");
    check = sla_desk_check(s, account);
    cr_assert_eq(check.missing, 1);
    cr_assert_eq(check.changed, 1);
    cr_assert_eq(check.surplus, 2);
    cr_assert_eq(sla_desk_check(s, "accounts/-").surplus, 3);

    const Casework__Sla__V1__RebuildTimersResponse *done = sla_desk_rebuild(s, account, memory);
    cr_assert_eq(done->timers_written, 3);
    cr_assert_eq(done->timers_removed, 2);
    sla_desk_expect_same(s, account);
    suite_advance(s, 20 * CLOCK_HOUR);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(steps_of(names[i]), 4, "warned and breached, twice");
    sla_desk_expect_same(s, account);
    end();
}

Test(sla_audit, looks_that_move_are_no_difference)
{
    begin(&(struct suite_options){.clock = "real"});
    sla_desk_targets(s, account);
    expect_no_difference_while_moving();
    end();
}

/* --- who may -------------------------------------------------------------------------------------- */

static void expect_refusal(const char *method, const char *parent, const struct rpc_token_claims *claims,
                           enum status_code code)
{
    Casework__Sla__V1__CheckTimersRequest request = CASEWORK__SLA__V1__CHECK_TIMERS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND};
    char *token = suite_token(s, claims);
    rpc_channel *channel = suite_channel_as(s, SUITE_SLA, token);
    ProtobufCMessage *item;
    rpc_stream *stream;
    error err = {0};
    request.parent = (char *)(uintptr_t)parent;
    cr_assert(rpc_stream_open(channel, SLA, method, &options, &stream, &err));
    if (rpc_stream_write(stream, &request.base)) /* both requests have but this field */
        rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, 10 * CLOCK_SECOND, memory, &item, &err), RPC_READ_FAILED);
    cr_assert_eq(err.code, code, "%s %s: %s", method, parent, status_code_name(err.code));
    rpc_stream_free(stream);
    rpc_channel_free(channel);
    free(token);
}

Test(sla_audit, only_admins_and_services_and_only_of_their_account)
{
    begin(NULL);
    struct rpc_token_claims claims = {.account = "acme", .agent = "ann", .ttl_us = CLOCK_HOUR};
    suite_create_account(s, "other", "UTC", memory);
    for (size_t i = 0; i < 2; i++) {
        const char *method = i ? "CheckTimers" : "RebuildTimers";
        claims.role = RPC_ROLE_AGENT;
        expect_refusal(method, account, &claims, STATUS_PERMISSION_DENIED);
        claims.role = RPC_ROLE_CONNECTOR;
        expect_refusal(method, account, &claims, STATUS_PERMISSION_DENIED);
        claims.role = RPC_ROLE_ADMIN;
        expect_refusal(method, "accounts/other", &claims, STATUS_NOT_FOUND);
        expect_refusal(method, "accounts/-", &claims, STATUS_PERMISSION_DENIED);
        const struct rpc_token_claims service = {
            .account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = CLOCK_HOUR};
        expect_refusal(method, "accounts/nobody", &service, STATUS_NOT_FOUND);
        expect_refusal(method, "acme", &service, STATUS_INVALID_ARGUMENT);
        expect_refusal(method, "", &service, STATUS_INVALID_ARGUMENT);
    }
    end();
}

/* --- metrics -------------------------------------------------------------------------------------- */

static bool is_armed(void *context)
{
    (void)context;
    return sla_desk_metric(s, 0, "casework_sla_timers_armed") == 2;
}

static bool have_closed(void *context)
{
    (void)context;
    return sla_desk_metric(s, 0, "casework_sla_timers_fired_total{result=\"closed\"}") == 3;
}

Test(sla_audit, metrics_tell_how_the_timers_are)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", NULL};
    begin(&(struct suite_options){.clock = "real", .settings = settings});
    sla_desk_resolved(s, account, memory);
    sla_desk_resolved(s, account, memory);
    sla_desk_await(is_armed, NULL, 20 * CLOCK_SECOND, "two timers are counted");
    const char *quick = suite_create_account(s, "quick", "UTC", memory);
    sla_desk_policy(s, quick, CLOCK_SECOND);
    for (int i = 0; i < 3; i++)
        sla_desk_resolved(s, quick, memory);
    sla_desk_await(have_closed, NULL, 20 * CLOCK_SECOND, "three are closed");
    cr_assert_eq(sla_desk_metric(s, 0, "casework_sla_lateness_seconds_count"), 3);
    cr_assert_lt(sla_desk_metric(s, 0, "casework_sla_lateness_seconds_sum"), 3);
    static const char *const zeros[] = {
        "casework_sla_timers_fired_total{result=\"stale\"}",
        "casework_sla_timers_fired_total{result=\"early\"}",
        "casework_sla_timers_fired_total{result=\"unknown\"}",
        "casework_sla_timers_claimed",
        "casework_sla_oldest_overdue_seconds",
        "casework_sla_timers_swept_total",
    };
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        cr_assert_eq(sla_desk_metric(s, 0, zeros[i]), 0, "%s", zeros[i]);
    double redis = sla_desk_metric(s, 0, "casework_sla_clock_drift_milliseconds{clock=\"redis\"}");
    double cases = sla_desk_metric(s, 0, "casework_sla_clock_drift_milliseconds{clock=\"case\"}");
    cr_assert(redis > -1000 && redis < 1000, "%g", redis);
    cr_assert(cases > -1000 && cases < 1000, "%g", cases);
    end();
}
