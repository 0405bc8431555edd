/* Targets, end to end: real servers and a clock that the test moves. SUITE_START is a Monday, 10:00 in
 * Berlin. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "redis/client.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define SLA (&casework__sla__v1__sla_service__descriptor)
#define KIND(name) CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_##name
#define STATE(name) CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_##name
#define STEP(name) CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_##name
#define CUSTOMER CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER
#define AGENT CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT

enum { MEMORY = 64 << 20, TARGETS_MAX = 8 };

typedef Casework__Sla__V1__UpdatePolicyRequest update_request;
typedef Casework__Sla__V1__SlaTarget wire_target;
typedef Casework__Sla__V1__Timer wire_timer;

static suite *s;
static arena *memory;
static const char *account;

static void begin(void)
{
    memory = arena_new(MEMORY);
    s = suite_start(NULL);
    account = suite_create_account(s, "acme", "Europe/Berlin", memory);
    suite_create_agent(s, account, "anna");
}

static void end(void)
{
    suite_stop(s);
    arena_free(memory);
}

static Google__Protobuf__Duration *duration(int64_t us)
{
    Google__Protobuf__Duration *wire = arena_alloc(memory, sizeof *wire);
    google__protobuf__duration__init(wire);
    wire->seconds = us / CLOCK_SECOND;
    return wire;
}

static update_request *policy_request(void)
{
    update_request *request = arena_alloc(memory, sizeof *request);
    Casework__Sla__V1__SlaPolicy *policy = arena_alloc(memory, sizeof *policy);
    casework__sla__v1__update_policy_request__init(request);
    casework__sla__v1__sla_policy__init(policy);
    policy->name = arena_printf(memory, "%s/slaPolicy", account);
    policy->targets = arena_calloc(memory, TARGETS_MAX, sizeof(void *));
    request->policy = policy;
    return request;
}

static wire_target *add_target(update_request *request, Casework__Sla__V1__TimerKind kind, int64_t us)
{
    wire_target *target = arena_alloc(memory, sizeof *target);
    casework__sla__v1__sla_target__init(target);
    target->kind = kind;
    target->target_duration = duration(us);
    request->policy->targets[request->policy->n_targets++] = target;
    return target;
}

static const Casework__Sla__V1__UpdatePolicyResponse *update(const update_request *request)
{
    return suite_call(s, SLA, "UpdatePolicy", request, memory);
}

static void check_refused(const update_request *request, const char *field)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(s, SLA, "UpdatePolicy", &request->base, memory, &response, &err), "%s", field);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s: %s", field, err.message);
    cr_assert_str_eq(err.violations[0].key, field);
}

static const char *new_case(void)
{
    return suite_create_case(s, account, "Parcel", "Where is it?", memory, NULL);
}

static const wire_timer *timer_of(const char *name, Casework__Sla__V1__TimerKind kind)
{
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)name;
    request.min_position = suite_position(s, account);
    const Casework__Sla__V1__ListCaseTimersResponse *response =
        suite_call(s, SLA, "ListCaseTimers", &request, memory);
    cr_assert_leq(response->n_timers, 4);
    for (size_t i = 0; i < response->n_timers; i++)
        if (response->timers[i]->kind == kind)
            return response->timers[i];
    return NULL;
}

static int64_t us_of(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

static void check_timer(const char *name, Casework__Sla__V1__TimerKind kind,
                        Casework__Sla__V1__TimerState state, int64_t due_us, const char *when)
{
    const wire_timer *timer = timer_of(name, kind);
    cr_assert_not_null(timer, "%s: no timer", when);
    cr_assert_eq(timer->state, state, "%s: state %d, not %d", when, (int)timer->state, (int)state);
    cr_assert_eq(us_of(timer->due_time), due_us, "%s: %lld us off", when,
                 (long long)(us_of(timer->due_time) - due_us));
}

/* How often the step is in the case's history; *ret_time_us: when it was last. */
static size_t count_steps(const char *name, Casework__Sla__V1__TimerKind kind,
                          Casework__Sla__V1__TimerStep step, int64_t *ret_time_us)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *response =
        suite_call(s, CASES, "ListCaseEvents", &request, memory);
    size_t count = 0;
    for (size_t i = 0; i < response->n_events; i++) {
        const Casework__Cases__V1__TimerStepFacts *facts = response->events[i]->timer_step_facts;
        if (!facts || facts->kind != kind || facts->step != step)
            continue;
        *ret_time_us = us_of(response->events[i]->commit_time);
        count++;
    }
    return count;
}

static void check_step(const char *name, Casework__Sla__V1__TimerKind kind, Casework__Sla__V1__TimerStep step,
                       int64_t time_us, const char *what)
{
    int64_t at_us = 0;
    cr_assert_eq(count_steps(name, kind, step, &at_us), 1, "%s happens once", what);
    cr_assert_eq(at_us, time_us, "%s: %lld us late", what, (long long)(at_us - time_us));
}

static void check_no_step(const char *name, Casework__Sla__V1__TimerKind kind,
                          Casework__Sla__V1__TimerStep step)
{
    int64_t at_us;
    cr_assert_eq(count_steps(name, kind, step, &at_us), 0, "kind %d step %d", (int)kind, (int)step);
}

/* --- the life of targets -------------------------------------------------------------------------- */

Test(sla_targets, armed_warned_and_breached_each_at_its_time)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    update(request);
    const char *name = new_case();
    int64_t written = suite_now_us(s);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR, "at first");
    cr_assert_eq(us_of(timer_of(name, KIND(FIRST_REPLY))->warn_time), written + 48 * CLOCK_MINUTE);
    cr_assert_eq(timer_of(name, KIND(FIRST_REPLY))->version, 1, "the number of the message");
    suite_advance(s, 50 * CLOCK_MINUTE);
    check_timer(name, KIND(FIRST_REPLY), STATE(WARNED), written + CLOCK_HOUR, "after 80%");
    check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    check_no_step(name, KIND(FIRST_REPLY), STEP(BREACHED));
    suite_advance(s, 5 * CLOCK_HOUR);
    check_timer(name, KIND(FIRST_REPLY), STATE(BREACHED), written + CLOCK_HOUR, "hours later");
    suite_write(s, name, AGENT, "anna", "Here.");
    suite_advance(s, 5 * CLOCK_HOUR);
    check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + CLOCK_HOUR, "the breach");
    check_no_step(name, KIND(FIRST_REPLY), STEP(MET));
    check_timer(name, KIND(FIRST_REPLY), STATE(BREACHED), written + CLOCK_HOUR, "after a late reply");
    end();
}

Test(sla_targets, replies_and_resolution_in_time_are_met)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    add_target(request, KIND(NEXT_REPLY), 2 * CLOCK_HOUR);
    add_target(request, KIND(RESOLUTION), 10 * CLOCK_HOUR);
    update(request);
    const char *name = new_case();
    int64_t written = suite_now_us(s);
    suite_advance(s, 10 * CLOCK_MINUTE);
    suite_write(s, name, AGENT, "anna", "Here.");
    suite_advance(s, 0);
    check_step(name, KIND(FIRST_REPLY), STEP(MET), written + 10 * CLOCK_MINUTE, "the first reply");
    check_timer(name, KIND(FIRST_REPLY), STATE(MET), written + CLOCK_HOUR, "replied");
    cr_assert_null(timer_of(name, KIND(NEXT_REPLY)), "nothing waits for a reply");

    suite_write(s, name, CUSTOMER, NULL, "Where?");
    int64_t asked = suite_now_us(s);
    suite_advance(s, CLOCK_HOUR);
    suite_write(s, name, CUSTOMER, NULL, "Hello?");
    check_timer(name, KIND(NEXT_REPLY), STATE(ARMED), asked + 2 * CLOCK_HOUR,
                "counts from the oldest message");
    suite_advance(s, CLOCK_HOUR);
    check_step(name, KIND(NEXT_REPLY), STEP(BREACHED), asked + 2 * CLOCK_HOUR, "the next reply");
    suite_write(s, name, AGENT, "anna", "There.");
    suite_write(s, name, CUSTOMER, NULL, "Ah.");
    int64_t again = suite_now_us(s);
    check_timer(name, KIND(NEXT_REPLY), STATE(ARMED), again + 2 * CLOCK_HOUR,
                "another message, another timer");
    suite_step(s, "ResolveCase", name, "anna");
    suite_advance(s, 0);
    check_step(name, KIND(RESOLUTION), STEP(MET), again, "the resolution");
    const wire_timer *next = timer_of(name, KIND(NEXT_REPLY));
    cr_assert_eq(next->state, STATE(BREACHED),
                 "nobody has to answer a resolved case: the one before is the last");
    suite_step(s, "ReopenCase", name, "anna");
    suite_advance(s, 100 * CLOCK_HOUR);
    check_no_step(name, KIND(RESOLUTION), STEP(BREACHED));
    check_no_step(name, KIND(FIRST_REPLY), STEP(BREACHED));
    end();
}

Test(sla_targets, stand_still_while_pending_where_they_say_so)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), 4 * CLOCK_HOUR);
    add_target(request, KIND(RESOLUTION), 10 * CLOCK_HOUR)->pause_while_pending = true;
    update(request);
    const char *name = new_case();
    int64_t written = suite_now_us(s);
    suite_advance(s, CLOCK_HOUR);
    suite_step(s, "MarkCasePending", name, "anna");
    const wire_timer *timer = timer_of(name, KIND(RESOLUTION));
    cr_assert_eq(timer->state, STATE(PAUSED));
    cr_assert_null(timer->due_time);
    cr_assert_null(timer->warn_time);
    cr_assert_eq(timer->remaining_duration->seconds, 9 * 3600);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 4 * CLOCK_HOUR, "goes on while pending");
    suite_advance(s, 100 * CLOCK_HOUR);
    check_no_step(name, KIND(RESOLUTION), STEP(WARNED));
    suite_step(s, "ReopenCase", name, "anna");
    int64_t opened = suite_now_us(s);
    check_timer(name, KIND(RESOLUTION), STATE(ARMED), opened + 9 * CLOCK_HOUR, "open again");
    suite_advance(s, 20 * CLOCK_HOUR);
    check_step(name, KIND(RESOLUTION), STEP(WARNED), opened + 7 * CLOCK_HOUR, "the warning");
    check_step(name, KIND(RESOLUTION), STEP(BREACHED), opened + 9 * CLOCK_HOUR, "the breach");
    end();
}

static Casework__Sla__V1__Calendar *office_hours(void)
{
    Casework__Sla__V1__Calendar *calendar = arena_alloc(memory, sizeof *calendar);
    casework__sla__v1__calendar__init(calendar);
    calendar->hours = arena_calloc(memory, 5, sizeof(void *));
    for (int day = 1; day <= 5; day++) {
        Casework__Sla__V1__BusinessHours *hours = arena_alloc(memory, sizeof *hours);
        casework__sla__v1__business_hours__init(hours);
        hours->day = (Casework__Sla__V1__DayOfWeek)day;
        hours->opens = (char *)"09:00";
        hours->closes = (char *)"17:00";
        calendar->hours[calendar->n_hours++] = hours;
    }
    return calendar;
}

Test(sla_targets, count_in_the_hours_of_the_accounts_zone)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), 8 * CLOCK_HOUR)->in_business_hours = true;
    request->policy->calendar = office_hours();
    update(request);
    const char *name = new_case(); /* Monday, 10:00 in Berlin */
    int64_t written = suite_now_us(s);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 24 * CLOCK_HOUR,
                "an hour on Tuesday is left");
    Casework__Sla__V1__Holiday holiday = CASEWORK__SLA__V1__HOLIDAY__INIT;
    Casework__Sla__V1__Holiday *holidays[] = {&holiday};
    holiday.date = (char *)"2026-03-03";
    request->policy->calendar->holidays = holidays;
    request->policy->calendar->n_holidays = 1;
    update(request);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 48 * CLOCK_HOUR, "a holiday on Tuesday");
    suite_advance(s, 72 * CLOCK_HOUR);
    check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + 48 * CLOCK_HOUR, "the breach");
    end();
}

Test(sla_targets, the_first_that_applies_counts)
{
    begin();
    char *urgent[] = {(char *)"urgent"};
    int32_t priorities[] = {7};
    char *channels[] = {arena_printf(memory, "%s/channels/desk", account)};
    update_request *request = policy_request();
    wire_target *target = add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target->labels = urgent;
    target->n_labels = 1;
    target = add_target(request, KIND(FIRST_REPLY), 2 * CLOCK_HOUR);
    target->priorities = priorities;
    target->n_priorities = 1;
    target = add_target(request, KIND(FIRST_REPLY), 3 * CLOCK_HOUR);
    target->channels = channels;
    target->n_channels = 1;
    add_target(request, KIND(FIRST_REPLY), 4 * CLOCK_HOUR);
    update(request);
    const char *name = new_case();
    int64_t written = suite_now_us(s);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 3 * CLOCK_HOUR, "by channel");
    Casework__Cases__V1__UpdateCaseRequest change = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    record.name = (char *)name;
    record.priority = 7;
    change.case_ = &record;
    suite_call(s, CASES, "UpdateCase", &change, memory);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 2 * CLOCK_HOUR, "by priority");
    record.labels = urgent;
    record.n_labels = 1;
    suite_call(s, CASES, "UpdateCase", &change, memory);
    check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR, "by label");
    end();
}

Test(sla_targets, a_changed_policy_moves_what_runs_and_leaves_what_happened)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    const char *breached = new_case();
    int64_t first = suite_now_us(s);
    cr_assert_eq(update(request)->effect->timers_added, 1);
    suite_advance(s, 2 * CLOCK_HOUR);
    const char *running = new_case();
    int64_t second = suite_now_us(s);
    suite_advance(s, 30 * CLOCK_MINUTE);
    request->policy->targets[0]->target_duration = duration(5 * CLOCK_HOUR);
    const Casework__Sla__V1__UpdatePolicyResponse *response = update(request);
    cr_assert_eq(response->effect->timers_moved, 1);
    cr_assert_eq(response->effect->targets_breached, 0);
    check_timer(running, KIND(FIRST_REPLY), STATE(ARMED), second + 5 * CLOCK_HOUR,
                "from the same starting point");
    check_timer(breached, KIND(FIRST_REPLY), STATE(BREACHED), first + CLOCK_HOUR, "stays breached");
    request->policy->targets[0]->target_duration = duration(10 * CLOCK_MINUTE);
    int64_t now = suite_now_us(s);
    cr_assert_eq(update(request)->effect->targets_breached, 1);
    suite_advance(s, 0);
    check_step(running, KIND(FIRST_REPLY), STEP(BREACHED), now, "overdue under the new policy");
    check_step(breached, KIND(FIRST_REPLY), STEP(BREACHED), first + CLOCK_HOUR, "the old breach");
    end();
}

Test(sla_targets, a_preview_tells_what_the_update_then_does)
{
    enum { COUNT = 5 };
    begin();
    for (int i = 0; i < COUNT; i++) {
        new_case();
        suite_advance(s, CLOCK_MINUTE);
    }
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    Casework__Sla__V1__PreviewPolicyRequest preview = CASEWORK__SLA__V1__PREVIEW_POLICY_REQUEST__INIT;
    preview.policy = request->policy;
    preview.page_size = 2;
    size_t total = 0;
    int64_t last = 0;
    const Casework__Sla__V1__PreviewPolicyResponse *page;
    do {
        page = suite_call(s, SLA, "PreviewPolicy", &preview, memory);
        cr_assert_eq(page->effect->timers_added, COUNT);
        cr_assert_leq(page->n_changes, 2);
        for (size_t i = 0; i < page->n_changes; i++, total++) {
            cr_assert_null(page->changes[i]->before);
            cr_assert_gt(us_of(page->changes[i]->after->due_time), last);
            last = us_of(page->changes[i]->after->due_time);
        }
        preview.page_token = page->next_page_token;
    } while (*preview.page_token);
    cr_assert_eq(total, COUNT);
    cr_assert_eq(page->policy->n_targets, 1);
    cr_assert_eq(update(request)->effect->timers_added, COUNT);
    end();
}

Test(sla_targets, a_deadline_can_be_asked_for)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(RESOLUTION), 16 * CLOCK_HOUR)->in_business_hours = true;
    request->policy->calendar = office_hours();
    update(request);
    Casework__Sla__V1__PreviewDeadlineRequest ask = CASEWORK__SLA__V1__PREVIEW_DEADLINE_REQUEST__INIT;
    ask.parent = (char *)account;
    ask.kind = KIND(RESOLUTION);
    const Casework__Sla__V1__PreviewDeadlineResponse *told =
        suite_call(s, SLA, "PreviewDeadline", &ask, memory);
    cr_assert_eq(us_of(told->due_time), suite_now_us(s) + 48 * CLOCK_HOUR);
    cr_assert_eq(told->target->target_duration->seconds, 16 * 3600);
    ask.kind = KIND(FIRST_REPLY);
    told = suite_call(s, SLA, "PreviewDeadline", &ask, memory);
    cr_assert_null(told->due_time, "no target of that kind");
    ask.policy = policy_request()->policy;
    ask.kind = KIND(CLOSE);
    told = suite_call(s, SLA, "PreviewDeadline", &ask, memory);
    cr_assert_eq(us_of(told->due_time), suite_now_us(s) + 72 * CLOCK_HOUR);
    cr_assert_null(told->warn_time);
    ask.case_ = (char *)new_case();
    ask.priority = 3;
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(s, SLA, "PreviewDeadline", &ask.base, memory, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    ask.priority = 0;
    ask.case_ = arena_printf(memory, "%s/cases/99", account);
    cr_assert_not(suite_try(s, SLA, "PreviewDeadline", &ask.base, memory, &response, &err));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    end();
}

Test(sla_targets, timers_are_listed_by_deadline)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    add_target(request, KIND(RESOLUTION), 100 * CLOCK_HOUR);
    update(request);
    const char *first = new_case();
    suite_advance(s, CLOCK_MINUTE);
    const char *second = new_case();
    suite_step(s, "ResolveCase", second, NULL);
    suite_advance(s, 50 * CLOCK_MINUTE);
    Casework__Sla__V1__ListTimersRequest list = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    list.parent = (char *)account;
    list.page_size = 1;
    const char *names[4] = {0};
    size_t count = 0;
    do {
        const Casework__Sla__V1__ListTimersResponse *page = suite_call(s, SLA, "ListTimers", &list, memory);
        cr_assert_leq(page->n_timers, 1);
        if (page->n_timers && count < 4)
            names[count++] = page->timers[0]->name;
        list.page_token = page->next_page_token;
    } while (*list.page_token);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(names[0], arena_printf(memory, "%s/timers/first_reply", first));
    cr_assert_str_eq(names[1], arena_printf(memory, "%s/timers/close", second));
    cr_assert_str_eq(names[2], arena_printf(memory, "%s/timers/resolution", first));
    Casework__Sla__V1__TimerState warned[] = {STATE(WARNED)};
    list.states = warned;
    list.n_states = 1;
    list.page_size = 0;
    const Casework__Sla__V1__ListTimersResponse *page = suite_call(s, SLA, "ListTimers", &list, memory);
    cr_assert_eq(page->n_timers, 1);
    cr_assert_str_eq(page->timers[0]->name, names[0]);
    end();
}

static void flush_redis(void)
{
    const struct redis_options options = {.url = suite_redis_url(s)};
    redis_client *client;
    redis_batch *batch = redis_batch_new();
    error err;
    cr_assert(redis_client_new(&options, &client, &err), "%s", err.message);
    redis_batch_command(batch, "FLUSHALL");
    cr_assert(redis_client_run(client, batch, &err), "%s", err.detail);
    redis_batch_free(batch);
    redis_client_free(client);
}

Test(sla_targets, an_emptied_redis_loses_no_step_and_doubles_none)
{
    begin();
    update_request *request = policy_request();
    add_target(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    update(request);
    const char *name = new_case();
    int64_t written = suite_now_us(s);
    suite_advance(s, 50 * CLOCK_MINUTE);
    flush_redis();
    suite_advance(s, 3 * CLOCK_HOUR);
    check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + CLOCK_HOUR, "the breach");
    end();
}

/* --- what is refused ------------------------------------------------------------------------------ */

Test(sla_targets, every_field_is_checked)
{
    begin();
    update_request *request = policy_request();
    wire_target *target = add_target(request, KIND(CLOSE), CLOCK_HOUR);
    check_refused(request, "policy.targets[0].kind");
    target->kind = KIND(FIRST_REPLY);
    target->target_duration = NULL;
    check_refused(request, "policy.targets[0].target_duration");
    target->target_duration = duration(3651 * CLOCK_DAY);
    check_refused(request, "policy.targets[0].target_duration");
    target->target_duration = duration(CLOCK_HOUR);
    target->warn_percent = 100;
    check_refused(request, "policy.targets[0].warn_percent");
    target->warn_percent = 0;
    int32_t priorities[] = {1001};
    target->priorities = priorities;
    target->n_priorities = 1;
    check_refused(request, "policy.targets[0].priorities");
    target->n_priorities = 0;
    char *labels[] = {(char *)""};
    target->labels = labels;
    target->n_labels = 1;
    check_refused(request, "policy.targets[0].labels");
    target->n_labels = 0;
    char *channels[] = {(char *)"accounts/other/channels/desk"};
    target->channels = channels;
    target->n_channels = 1;
    check_refused(request, "policy.targets[0].channels");
    target->n_channels = 0;

    Casework__Sla__V1__Calendar *calendar = request->policy->calendar = office_hours();
    calendar->time_zone = (char *)"Europe/Nowhere";
    check_refused(request, "policy.calendar.time_zone");
    calendar->time_zone = (char *)"";
    calendar->hours[1]->opens = (char *)"9:00";
    check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->opens = (char *)"24:00";
    check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->opens = (char *)"17:00";
    check_refused(request, "policy.calendar.hours[1].closes");
    calendar->hours[1]->opens = (char *)"09:00";
    calendar->hours[1]->day = calendar->hours[0]->day;
    check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->day = (Casework__Sla__V1__DayOfWeek)0;
    check_refused(request, "policy.calendar.hours[1].day");
    calendar->hours[1]->day = (Casework__Sla__V1__DayOfWeek)2;
    Casework__Sla__V1__Holiday holiday = CASEWORK__SLA__V1__HOLIDAY__INIT;
    Casework__Sla__V1__Holiday *holidays[] = {&holiday, &holiday};
    calendar->holidays = holidays;
    calendar->n_holidays = 2;
    holiday.date = (char *)"2026-02-29";
    check_refused(request, "policy.calendar.holidays[0].date");
    holiday.date = (char *)"2026-02-28";
    check_refused(request, "policy.calendar.holidays");
    calendar->n_holidays = 1;
    const Casework__Sla__V1__UpdatePolicyResponse *response = update(request);
    cr_assert_eq(response->policy->n_targets, 1);
    cr_assert_eq(response->policy->calendar->n_hours, 5);
    cr_assert_eq(response->policy->calendar->n_holidays, 1);

    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"targets"};
    mask.paths = paths;
    mask.n_paths = 1;
    request->update_mask = &mask;
    request->policy->n_targets = 0;
    response = update(request);
    cr_assert_eq(response->policy->n_targets, 0, "a mask takes them away");
    cr_assert_eq(response->policy->calendar->n_hours, 5, "what it does not name stays");
    end();
}
