/* The closing timer, end to end: real servers, a clock that the test moves, and faults that really happen. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/sla_desk.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES (&casework__cases__v1__message_service__descriptor)
#define SLA (&casework__sla__v1__sla_service__descriptor)

#define CUSTOMER CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER
#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name

enum { MEMORY = 16 << 20 };

typedef Casework__Cases__V1__Case wire_case;

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

static const char *new_case(void)
{
    return suite_create_case(s, account, "Parcel", "Where is it?", memory, NULL);
}

static int64_t resolve(const char *name)
{
    return suite_step(s, "ResolveCase", name, NULL);
}

static const wire_case *get(const char *name)
{
    return suite_case(s, name, memory);
}

static void check_status(const char *name, Casework__Cases__V1__CaseStatus status, const char *when)
{
    cr_assert_eq(get(name)->status, status, "%s: status %d, not %d", when, (int)get(name)->status,
                 (int)status);
}

/* Under a manual clock a case is closed at its deadline to the microsecond. */
static void check_closed_at(const char *name, int64_t time_us)
{
    const wire_case *now = get(name);
    cr_assert_eq(now->status, STATUS(CLOSED));
    cr_assert_eq(now->close_time->seconds * CLOCK_SECOND + now->close_time->nanos / 1000, time_us);
}

static const Casework__Sla__V1__Timer *timer_of(const char *name, int64_t min_position)
{
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)name;
    request.min_position = min_position;
    const Casework__Sla__V1__ListCaseTimersResponse *response =
        suite_call(s, SLA, "ListCaseTimers", &request, memory);
    cr_assert(response->position >= min_position);
    return response->n_timers ? response->timers[0] : NULL;
}

static size_t count_timers(void)
{
    Casework__Sla__V1__ListTimersRequest request = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    request.parent = (char *)account;
    request.page_size = 1000;
    const Casework__Sla__V1__ListTimersResponse *response =
        suite_call(s, SLA, "ListTimers", &request, memory);
    return response->n_timers;
}

static Casework__Sla__V1__UpdatePolicyRequest *policy_request(int64_t after_resolved_us,
                                                              int64_t after_inactivity_us)
{
    Casework__Sla__V1__UpdatePolicyRequest *request = arena_alloc(memory, sizeof *request);
    Casework__Sla__V1__SlaPolicy *policy = arena_alloc(memory, sizeof *policy);
    Casework__Sla__V1__ClosingRule *closing = arena_alloc(memory, sizeof *closing);
    Google__Protobuf__Duration *duration = arena_alloc(memory, sizeof *duration);
    int64_t us = after_resolved_us ? after_resolved_us : after_inactivity_us;
    casework__sla__v1__update_policy_request__init(request);
    casework__sla__v1__sla_policy__init(policy);
    casework__sla__v1__closing_rule__init(closing);
    google__protobuf__duration__init(duration);
    duration->seconds = us / CLOCK_SECOND;
    duration->nanos = (int32_t)(us % CLOCK_SECOND) * 1000;
    if (after_resolved_us) {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
        closing->after_resolved_duration = duration;
    } else {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_INACTIVITY_DURATION;
        closing->after_inactivity_duration = duration;
    }
    policy->name = arena_printf(memory, "%s/slaPolicy", account);
    policy->closing = closing;
    request->policy = policy;
    return request;
}

static const Casework__Sla__V1__UpdatePolicyResponse *set_policy(int64_t after_resolved_us,
                                                                 int64_t after_inactivity_us)
{
    return suite_call(s, SLA, "UpdatePolicy", policy_request(after_resolved_us, after_inactivity_us), memory);
}

static void redis_command(const char *command, const char *first, const char *second, const char *third)
{
    cr_assert(sla_desk_redis(s, command, first, second, third));
}

Test(sla, closes_72_hours_after_the_last_change)
{
    begin(NULL);
    const char *name = new_case();
    int64_t resolved = suite_now_us(s);
    const Casework__Sla__V1__Timer *timer = timer_of(name, resolve(name));
    cr_assert_not_null(timer);
    cr_assert_eq(timer->due_time->seconds * CLOCK_SECOND, resolved + 72 * CLOCK_HOUR);
    cr_assert_eq(timer->version, get(name)->change_version);
    cr_assert_eq(timer->remaining_duration->seconds, 72 * 3600);

    suite_advance(s, 72 * CLOCK_HOUR - CLOCK_MINUTE);
    check_status(name, STATUS(RESOLVED), "71 h 59 min after it was resolved");
    int64_t written = suite_now_us(s);
    suite_write(s, name, CUSTOMER, NULL, "Thank you!");
    suite_advance(s, 72 * CLOCK_HOUR - CLOCK_MINUTE);
    check_status(name, STATUS(RESOLVED), "71 h 59 min after the message");
    suite_advance(s, CLOCK_HOUR);
    check_closed_at(name, written + 72 * CLOCK_HOUR);
    cr_assert_null(timer_of(name, 0));
    cr_assert_eq(count_timers(), 0);
    end();
}

Test(sla, each_timer_fires_at_its_own_time)
{
    enum { COUNT = 40 };
    const char *names[COUNT];
    int64_t times[COUNT];
    begin(NULL);
    for (int i = 0; i < COUNT; i++) {
        names[i] = new_case();
        resolve(names[i]);
        times[i] = suite_now_us(s);
        suite_advance(s, 7 * CLOCK_MINUTE + i);
    }
    cr_assert_eq(count_timers(), COUNT);
    suite_advance(s, 80 * CLOCK_HOUR);
    for (int i = 0; i < COUNT; i++)
        check_closed_at(names[i], times[i] + 72 * CLOCK_HOUR);
    end();
}

Test(sla, a_case_that_is_opened_again_has_no_timer)
{
    begin(NULL);
    const char *name = new_case();
    resolve(name);
    cr_assert_null(timer_of(name, suite_step(s, "ReopenCase", name, NULL)));
    suite_advance(s, 100 * CLOCK_HOUR);
    check_status(name, STATUS(OPEN), "100 hours later");
    end();
}

Test(sla, timers_of_all_accounts_are_listed_page_by_page)
{
    static const char *const ids[] = {"a", "a-b", "a.b", "a0", "b"};
    enum { ACCOUNTS = sizeof ids / sizeof *ids, CASES_EACH = 3 };
    begin(NULL);
    for (int i = 0; i < ACCOUNTS; i++) {
        const char *one = suite_create_account(s, ids[i], "UTC", memory);
        for (int j = 0; j < CASES_EACH; j++)
            resolve(suite_create_case(s, one, "Parcel", "Where is it?", memory, NULL));
    }
    suite_advance(s, 0);
    Casework__Sla__V1__ListTimersRequest request = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    request.page_size = 2;
    const char *last = "";
    size_t total = 0;
    do {
        const Casework__Sla__V1__ListTimersResponse *page =
            suite_call(s, SLA, "ListTimers", &request, memory);
        cr_assert_leq(page->n_timers, 2);
        for (size_t i = 0; i < page->n_timers; i++) {
            cr_assert_lt(strcmp(last, page->timers[i]->name), 0, "%s after %s", page->timers[i]->name, last);
            last = page->timers[i]->name;
        }
        total += page->n_timers;
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    cr_assert_eq(total, ACCOUNTS * CASES_EACH);
    end();
}

Test(sla, survives_kill_and_flush)
{
    begin(NULL);
    const char *first = new_case();
    const char *second = new_case();
    int64_t resolved = suite_now_us(s);
    resolve(first);
    suite_advance(s, 0);
    pid_t former = suite_kill(s, SUITE_SLA, 0);
    resolve(second);
    suite_await_restart(s, SUITE_SLA, 0, former);
    suite_advance(s, CLOCK_HOUR);
    cr_assert_eq(count_timers(), 2);

    redis_command("FLUSHALL", NULL, NULL, NULL);
    suite_advance(s, CLOCK_HOUR);
    cr_assert_eq(count_timers(), 2, "rebuilt from the case service");
    redis_command("FLUSHALL", NULL, NULL, NULL);
    suite_advance(s, 70 * CLOCK_HOUR - 1);
    check_status(first, STATUS(RESOLVED), "a microsecond before");
    redis_command("FLUSHALL", NULL, NULL, NULL);
    former = suite_kill(s, SUITE_SLA, 0);
    suite_await_restart(s, SUITE_SLA, 0, former);
    suite_advance(s, 1);
    check_closed_at(first, resolved + 72 * CLOCK_HOUR);
    check_closed_at(second, resolved + 72 * CLOCK_HOUR);
    end();
}

Test(sla, a_killed_redis_comes_back_and_loses_no_timer)
{
    begin(NULL);
    const char *name = new_case();
    int64_t resolved = suite_now_us(s);
    resolve(name);
    suite_advance(s, CLOCK_HOUR);
    cr_assert_eq(kill(suite_redis_pid(s), SIGKILL), 0);
    suite_advance(s, 72 * CLOCK_HOUR);
    check_closed_at(name, resolved + 72 * CLOCK_HOUR);
    end();
}

Test(sla, a_deleted_or_older_bucket_is_rebuilt)
{
    begin(NULL);
    const char *key = arena_printf(memory, "casework:{b%02d}:timers", feed_partition("acme"));
    const char *first = new_case();
    int64_t resolved = suite_now_us(s);
    resolve(first);
    suite_advance(s, CLOCK_HOUR);
    redis_command("COPY", key, "older", NULL);

    const char *second = new_case();
    resolve(second);
    suite_advance(s, CLOCK_HOUR);
    redis_command("DEL", key, NULL, NULL);
    suite_advance(s, CLOCK_HOUR);
    cr_assert_eq(count_timers(), 2);

    redis_command("COPY", "older", key, "REPLACE");
    cr_assert_eq(count_timers(), 1, "the older bucket is there");
    suite_advance(s, CLOCK_HOUR);
    cr_assert_eq(count_timers(), 2);
    suite_advance(s, 72 * CLOCK_HOUR);
    check_closed_at(first, resolved + 72 * CLOCK_HOUR);
    check_closed_at(second, resolved + 73 * CLOCK_HOUR);
    end();
}

Test(sla, two_replicas_close_each_case_once)
{
    enum { COUNT = 30 };
    const char *names[COUNT];
    begin(&(struct suite_options){.clock = "real", .replicas = 2});
    set_policy(3 * CLOCK_SECOND, 0);
    for (int i = 0; i < COUNT; i++) {
        names[i] = new_case();
        resolve(names[i]);
        if (i == COUNT / 2)
            suite_kill(s, SUITE_SLA, 1);
    }
    for (int i = 0; i < COUNT; i++) {
        sla_desk_await_closed(s, names[i], 30 * CLOCK_SECOND);
        cr_assert_eq(sla_desk_closings(s, names[i]), 1);
    }
    end();
}

Test(sla, a_changed_policy_applies_to_running_timers_at_once)
{
    begin(NULL);
    const char *name = new_case();
    int64_t resolved = suite_now_us(s);
    resolve(name);
    suite_advance(s, 30 * CLOCK_HOUR);

    const Casework__Sla__V1__UpdatePolicyResponse *longer = set_policy(100 * CLOCK_HOUR, 0);
    cr_assert_eq(longer->effect->timers_moved, 1);
    cr_assert_eq(timer_of(name, 0)->due_time->seconds, (resolved + 100 * CLOCK_HOUR) / CLOCK_SECOND);
    suite_advance(s, 60 * CLOCK_HOUR);
    check_status(name, STATUS(RESOLVED), "90 of 100 hours");

    const Casework__Sla__V1__UpdatePolicyResponse *shorter = set_policy(40 * CLOCK_HOUR, 0);
    cr_assert_eq(shorter->effect->cases_closing, 1);
    cr_assert_str_neq(shorter->policy->etag, longer->policy->etag);
    check_closed_at(name, suite_now_us(s));

    const char *other = new_case();
    int64_t again = suite_now_us(s);
    resolve(other);
    suite_advance(s, 50 * CLOCK_HOUR);
    check_closed_at(other, again + 40 * CLOCK_HOUR);
    end();
}

Test(sla, closes_for_inactivity_where_that_was_chosen)
{
    begin(NULL);
    set_policy(0, 24 * CLOCK_HOUR);
    const char *waiting = new_case();
    const char *done = new_case();
    int64_t written = suite_now_us(s);
    suite_advance(s, CLOCK_HOUR);
    suite_step(s, "MarkCasePending", done, NULL);
    Casework__Cases__V1__SetMessageStateRequest state = CASEWORK__CASES__V1__SET_MESSAGE_STATE_REQUEST__INIT;
    state.name = arena_printf(memory, "%s/messages/1", done);
    state.state = CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_CLOSED;
    suite_call(s, MESSAGES, "SetMessageState", &state, memory);
    suite_advance(s, 23 * CLOCK_HOUR - CLOCK_MINUTE);
    check_status(done, STATUS(PENDING), "both conditions hold, a minute is missing");
    suite_advance(s, 30 * CLOCK_HOUR);
    check_status(waiting, STATUS(NEW), "nobody has closed its message");
    check_closed_at(done, written + 24 * CLOCK_HOUR);
    /* Opened again by whomever, it has its hours anew. */
    suite_step(s, "ReopenCase", done, NULL);
    int64_t reopened = suite_now_us(s);
    suite_advance(s, 30 * CLOCK_HOUR);
    check_closed_at(done, reopened + 24 * CLOCK_HOUR);
    end();
}

/* As after a fail-over to a Redis that had not heard of the change yet; no event has come since. */
Test(sla, a_changed_policy_that_redis_has_lost_is_put_to_work_again)
{
    begin(NULL);
    const char *key = arena_printf(memory, "casework:{b%02d}:timers", feed_partition("acme"));
    const char *name = new_case();
    int64_t resolved = suite_now_us(s);
    resolve(name);
    set_policy(50 * CLOCK_HOUR, 0);
    suite_advance(s, CLOCK_HOUR);
    redis_command("COPY", key, "older", NULL);
    set_policy(100 * CLOCK_HOUR, 0);
    redis_command("COPY", "older", key, "REPLACE");
    cr_assert_eq(timer_of(name, 0)->due_time->seconds, (resolved + 50 * CLOCK_HOUR) / CLOCK_SECOND,
                 "the older schedule is there");
    suite_advance(s, 60 * CLOCK_HOUR);
    check_status(name, STATUS(RESOLVED), "61 of 100 hours");
    suite_advance(s, 40 * CLOCK_HOUR);
    check_closed_at(name, resolved + 100 * CLOCK_HOUR);
    end();
}

Test(sla, a_changed_rule_takes_the_old_timers_away_and_arms_new_ones)
{
    begin(NULL);
    const char *name = new_case();
    resolve(name);
    suite_advance(s, CLOCK_HOUR);
    const Casework__Sla__V1__UpdatePolicyResponse *response = set_policy(0, 48 * CLOCK_HOUR);
    cr_assert_eq(response->effect->timers_moved + response->effect->timers_added, 1);
    cr_assert_eq(count_timers(), 1);
    cr_assert_eq(timer_of(name, 0)->version, get(name)->activity_version);
    set_policy(72 * CLOCK_HOUR, 0);
    cr_assert_eq(count_timers(), 1);
    cr_assert_eq(timer_of(name, 0)->version, get(name)->change_version);
    end();
}

static void check_refused(const void *request, enum status_code code, const char *reason)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(s, SLA, "UpdatePolicy", request, memory, &response, &err));
    cr_assert_eq(err.code, code, "%s", err.message);
    if (reason)
        cr_assert_str_eq(err.reason, reason);
}

Test(sla, policies_have_etags_request_ids_and_limits)
{
    begin(NULL);
    Casework__Sla__V1__GetPolicyRequest get_policy = CASEWORK__SLA__V1__GET_POLICY_REQUEST__INIT;
    get_policy.name = arena_printf(memory, "%s/slaPolicy", account);
    const Casework__Sla__V1__GetPolicyResponse *usual = suite_call(s, SLA, "GetPolicy", &get_policy, memory);
    cr_assert_eq(usual->policy->closing->rule_case,
                 CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION);
    cr_assert_eq(usual->policy->closing->after_resolved_duration->seconds, 259200);

    Casework__Sla__V1__UpdatePolicyRequest *update = policy_request(CLOCK_HOUR, 0);
    update->policy->etag = usual->policy->etag;
    update->request_id = (char *)"r-1";
    const Casework__Sla__V1__UpdatePolicyResponse *first = suite_call(s, SLA, "UpdatePolicy", update, memory);
    const Casework__Sla__V1__UpdatePolicyResponse *again = suite_call(s, SLA, "UpdatePolicy", update, memory);
    cr_assert_str_eq(first->policy->etag, again->policy->etag, "the same request has no second effect");
    update->request_id = (char *)"r-2";
    check_refused(update, STATUS_ABORTED, "ETAG_MISMATCH");
    update->request_id = (char *)"r-1";
    update->policy->etag = first->policy->etag;
    check_refused(update, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED");
    check_refused(policy_request(CLOCK_SECOND - 1, 0), STATUS_INVALID_ARGUMENT, NULL);
    check_refused(policy_request(3651 * CLOCK_DAY, 0), STATUS_INVALID_ARGUMENT, NULL);
    Casework__Sla__V1__UpdatePolicyRequest *nobodys = policy_request(CLOCK_HOUR, 0);
    nobodys->policy->name = (char *)"accounts/nobody/slaPolicy";
    check_refused(nobodys, STATUS_NOT_FOUND, "NOT_FOUND");
    end();
}

static int64_t lateness(const char *name, int64_t resolved_us, int64_t duration_us)
{
    const wire_case *now = get(name);
    return now->close_time->seconds * CLOCK_SECOND + now->close_time->nanos / 1000 - resolved_us -
           duration_us;
}

static int64_t resolve_time(const char *name)
{
    const wire_case *now = get(name);
    return now->resolve_time->seconds * CLOCK_SECOND + now->resolve_time->nanos / 1000;
}

Test(sla, fires_in_real_time_with_and_without_redis)
{
    /* That Redis does not answer is noticed by whoever asks it, not at the next look. */
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1h", NULL};
    begin(&(struct suite_options){.clock = "real", .settings = settings});
    set_policy(2 * CLOCK_SECOND, 0);
    const char *name = new_case();
    resolve(name);
    int64_t resolved = resolve_time(name);
    sla_desk_await_closed(s, name, CLOCK_MINUTE);
    int64_t late = lateness(name, resolved, 2 * CLOCK_SECOND);
    cr_assert(late >= 0 && late < 10 * CLOCK_SECOND, "%ld us late", (long)late);

    const char *without = new_case();
    cr_assert_eq(kill(suite_redis_pid(s), SIGSTOP), 0);
    resolve(without);
    resolved = resolve_time(without);
    sla_desk_await_closed(s, without, 30 * CLOCK_SECOND);
    cr_assert_eq(kill(suite_redis_pid(s), SIGCONT), 0);
    cr_assert(lateness(without, resolved, 2 * CLOCK_SECOND) >= 0);
    end();
}
