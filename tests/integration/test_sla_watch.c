/* WatchTimers on running services. */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "tests/support/sla_desk.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLA (&casework__sla__v1__sla_service__descriptor)
#define KIND(name) CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_##name
#define CLOSED CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_CLOSED

enum { MEMORY = 64 << 20 };

typedef Casework__Sla__V1__WatchTimersRequest watch_request;
typedef Casework__Sla__V1__WatchTimersResponse watch_item;

static suite *s;
static arena *memory;
static const char *account;

static void begin(const struct suite_options *options)
{
    memory = arena_new(MEMORY);
    s = suite_start(options);
    account = suite_create_account(s, "acme", "Europe/Berlin", memory);
}

static void end(void)
{
    suite_stop(s);
    arena_free(memory);
}

static rpc_stream *open_watch(rpc_channel *channel, const char *parent, const char *token)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    watch_request request = CASEWORK__SLA__V1__WATCH_TIMERS_REQUEST__INIT;
    rpc_stream *stream;
    error err;
    request.parent = (char *)(uintptr_t)parent;
    request.resume_token = (char *)(uintptr_t)token;
    cr_assert(rpc_stream_open(channel, SLA, "WatchTimers", &options, &stream, &err), "%s", err.message);
    if (rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
    return stream;
}

static const watch_item *next_item(rpc_stream *stream)
{
    ProtobufCMessage *item = NULL;
    error err = {0};
    enum rpc_read read = rpc_stream_read(stream, 20 * CLOCK_SECOND, memory, &item, &err);
    cr_assert_eq(read, RPC_READ_MESSAGE, "%s %s", status_code_name(err.code), err.message);
    cr_assert(*((const watch_item *)item)->resume_token);
    return (const watch_item *)item;
}

/* The next one that is more than a sign of life. */
static const watch_item *next_step(rpc_stream *stream)
{
    const watch_item *item;
    do
        item = next_item(stream);
    while (!item->timer);
    return item;
}

/* An open watch that has said where it stands. */
static rpc_stream *watch(const char *parent, const char *token)
{
    return open_watch(suite_channel(s, SUITE_SLA, 0), parent, token);
}

static rpc_stream *watch_from_now(const char *parent, const char **ret_token)
{
    rpc_stream *stream = watch(parent, "");
    const watch_item *first = next_item(stream);
    cr_assert_null(first->timer, "a sign of life comes first");
    if (ret_token)
        *ret_token = first->resume_token;
    return stream;
}

static void expect_end(rpc_stream *stream, enum status_code code, const char *reason)
{
    ProtobufCMessage *item;
    error err = {0};
    enum rpc_read read;
    do
        read = rpc_stream_read(stream, 30 * CLOCK_SECOND, memory, &item, &err);
    while (read == RPC_READ_MESSAGE);
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_eq(err.code, code, "%s %s", status_code_name(err.code), err.message);
    cr_assert(!reason || strcmp(err.reason, reason) == 0, "%s", err.reason);
    rpc_stream_free(stream);
}

static void expect_closing(const watch_item *item, const char *case_name, int64_t time_us)
{
    cr_assert_str_eq(item->timer->case_, case_name);
    cr_assert_str_eq(item->timer->name, arena_printf(memory, "%s/timers/close", case_name));
    cr_assert_eq(item->timer->kind, KIND(CLOSE));
    cr_assert_eq(item->step, CLOSED);
    cr_assert_eq(item->event_time->seconds * CLOCK_SECOND + item->event_time->nanos / 1000, time_us);
    cr_assert_eq(item->timer->due_time->seconds, item->event_time->seconds);
    cr_assert_eq(item->lateness_duration->seconds, 0);
    cr_assert_eq(item->timer->version, suite_case(s, case_name, memory)->change_version);
    cr_assert_gt(item->position, 0);
}

static void expect_target(const watch_item *item, Casework__Sla__V1__TimerStep step, int64_t warn_us,
                          int64_t due_us)
{
    const Casework__Sla__V1__Timer *timer = item->timer;
    cr_assert_eq(item->step, step);
    cr_assert_eq(timer->kind, KIND(FIRST_REPLY));
    cr_assert_eq(timer->due_time->seconds * CLOCK_SECOND + timer->due_time->nanos / 1000, due_us);
    cr_assert_eq(timer->warn_time != NULL, warn_us > 0);
    if (warn_us > 0)
        cr_assert_eq(timer->warn_time->seconds * CLOCK_SECOND + timer->warn_time->nanos / 1000, warn_us);
}

Test(sla_watch, a_warning_tells_its_time_and_the_deadline)
{
    begin(NULL);
    sla_desk_targets(s, account);
    rpc_stream *stream = watch_from_now(account, NULL);
    suite_create_case(s, account, "Parcel", "Where is it?", memory, NULL);
    int64_t written_us = suite_now_us(s);
    suite_advance(s, 2 * CLOCK_HOUR);
    expect_target(next_step(stream), CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_WARNED,
                  written_us + 48 * CLOCK_MINUTE, written_us + CLOCK_HOUR);
    expect_target(next_step(stream), CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_BREACHED, 0,
                  written_us + CLOCK_HOUR);
    rpc_stream_free(stream);
    end();
}

Test(sla_watch, tells_closings_as_they_happen_and_goes_on_from_any_of_them)
{
    enum { COUNT = 12 };
    const char *names[COUNT], *tokens[COUNT + 1];
    int64_t times[COUNT];
    begin(NULL);
    rpc_stream *one = watch_from_now(account, &tokens[0]);
    rpc_stream *all = watch_from_now("accounts/-", NULL);
    const char *other = suite_create_account(s, "other", "UTC", memory);
    for (int i = 0; i < COUNT; i++) {
        names[i] = sla_desk_resolved(s, account, memory);
        times[i] = suite_now_us(s) + 72 * CLOCK_HOUR;
        suite_advance(s, CLOCK_MINUTE);
    }
    sla_desk_resolved(s, other, memory);
    suite_advance(s, 80 * CLOCK_HOUR);
    for (int i = 0; i < COUNT; i++) {
        const watch_item *item = next_step(one);
        expect_closing(item, names[i], times[i]);
        tokens[i + 1] = item->resume_token;
    }
    for (int i = 0; i <= COUNT; i++)
        cr_assert_eq(next_step(all)->step, CLOSED);
    rpc_stream_free(all);
    rpc_stream_free(one);
    /* By the service that has told it, and by one that has never heard of the token. */
    for (int from = 0; from < COUNT; from += 5) {
        rpc_stream *again = watch(account, tokens[from]);
        for (int i = from; i < COUNT; i++)
            expect_closing(next_step(again), names[i], times[i]);
        rpc_stream_free(again);
        pid_t former = suite_kill(s, SUITE_SLA, 0);
        suite_await_restart(s, SUITE_SLA, 0, former);
    }
    end();
}

/* A watch depends on the feed alone. */
Test(sla_watch, goes_on_while_redis_is_away)
{
    begin(NULL);
    rpc_stream *stream = watch_from_now(account, NULL);
    const char *name = sla_desk_resolved(s, account, memory);
    int64_t due_us = suite_now_us(s) + 72 * CLOCK_HOUR;
    cr_assert_eq(kill(suite_redis_pid(s), SIGKILL), 0);
    suite_advance(s, 73 * CLOCK_HOUR);
    expect_closing(next_step(stream), name, due_us);
    rpc_stream_free(stream);
    end();
}

static void expect_refusal(const char *parent, const char *token, enum status_code code, const char *reason)
{
    expect_end(watch(parent, token), code, reason);
}

Test(sla_watch, refuses_what_it_cannot_watch)
{
    const char *token;
    begin(NULL);
    const char *other = suite_create_account(s, "other", "UTC", memory);
    rpc_stream *stream = watch_from_now(account, &token);
    rpc_stream_free(stream);
    expect_refusal(other, token, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
    char *edited = arena_strdup(memory, token);
    edited[3] = edited[3] == 'A' ? 'B' : 'A';
    expect_refusal(account, edited, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
    expect_refusal("accounts/nobody", "", STATUS_NOT_FOUND, "NOT_FOUND");
    expect_refusal("", "", STATUS_INVALID_ARGUMENT, NULL);
    const struct rpc_token_claims claims = {
        .account = "acme", .role = RPC_ROLE_AGENT, .agent = "ann", .ttl_us = CLOCK_HOUR};
    char *agent = suite_token(s, &claims);
    rpc_channel *channel = suite_channel_as(s, SUITE_SLA, agent);
    expect_end(open_watch(channel, "accounts/-", ""), STATUS_PERMISSION_DENIED, NULL);
    expect_end(open_watch(channel, other, ""), STATUS_NOT_FOUND, "NOT_FOUND");
    stream = open_watch(channel, account, "");
    cr_assert_null(next_item(stream)->timer);
    rpc_stream_free(stream);
    rpc_channel_free(channel);
    free(agent);
    end();
}

/* More steps than queue and window hold, and nobody who reads them. */
Test(sla_watch, ends_a_reader_that_takes_nothing_and_lets_it_go_on)
{
    enum { COUNT = 1500 };
    static const char *const settings[] = {"STREAM_PATIENCE_SECONDS=1", NULL};
    begin(&(struct suite_options){.settings = settings});
    rpc_stream *slow = watch_from_now(account, NULL);
    sla_desk_import_resolved(s, COUNT, suite_now_us(s) - CLOCK_HOUR, 0);
    suite_advance(s, 73 * CLOCK_HOUR);
    int64_t told = 0;
    const char *token = NULL;
    ProtobufCMessage *item;
    error err = {0};
    suite_create_case(s, account, "One more", "so that the reader is looked at", memory, NULL);
    while (rpc_stream_read(slow, 5 * CLOCK_SECOND, memory, &item, &err) == RPC_READ_MESSAGE) {
        token = ((const watch_item *)item)->resume_token;
        told += ((const watch_item *)item)->timer != NULL;
    }
    rpc_stream_free(slow);
    if (told < COUNT) {
        cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED, "%s", err.message);
        rpc_stream *again = watch(account, token);
        for (; told < COUNT; told++)
            (void)next_step(again);
        rpc_stream_free(again);
    }
    cr_assert_eq(told, COUNT);
    end();
}
