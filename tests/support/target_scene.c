#include "tests/support/target_scene.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"

#include <criterion/criterion.h>

enum { MEMORY = 64 << 20, TARGETS_MAX = 8 };

struct target_scene scene;

void target_begin_as(const struct suite_options *options)
{
    scene.memory = arena_new(MEMORY);
    scene.suite = suite_start(options);
    scene.account = suite_create_account(scene.suite, "acme", "Europe/Berlin", scene.memory);
    suite_create_agent(scene.suite, scene.account, "anna");
}

void target_begin_with(const char *const *settings)
{
    target_begin_as(&(struct suite_options){.settings = settings});
}

void target_begin(void)
{
    target_begin_with(NULL);
}

void target_end(void)
{
    suite_stop(scene.suite);
    arena_free(scene.memory);
}

Google__Protobuf__Duration *target_duration(int64_t us)
{
    Google__Protobuf__Duration *wire = arena_alloc(scene.memory, sizeof *wire);
    google__protobuf__duration__init(wire);
    wire->seconds = us / CLOCK_SECOND;
    return wire;
}

target_request *target_policy(void)
{
    target_request *request = arena_alloc(scene.memory, sizeof *request);
    Casework__Sla__V1__SlaPolicy *policy = arena_alloc(scene.memory, sizeof *policy);
    casework__sla__v1__update_policy_request__init(request);
    casework__sla__v1__sla_policy__init(policy);
    policy->name = arena_printf(scene.memory, "%s/slaPolicy", scene.account);
    policy->targets = arena_calloc(scene.memory, TARGETS_MAX, sizeof(void *));
    request->policy = policy;
    return request;
}

target_wire *target_add(target_request *request, Casework__Sla__V1__TimerKind kind, int64_t us)
{
    target_wire *target = arena_alloc(scene.memory, sizeof *target);
    casework__sla__v1__sla_target__init(target);
    target->kind = kind;
    target->target_duration = target_duration(us);
    request->policy->targets[request->policy->n_targets++] = target;
    return target;
}

const Casework__Sla__V1__UpdatePolicyResponse *target_update(const target_request *request)
{
    return suite_call(scene.suite, SLA, "UpdatePolicy", request, scene.memory);
}

void target_check_refused(const target_request *request, const char *field)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(scene.suite, SLA, "UpdatePolicy", &request->base, scene.memory, &response, &err),
                  "%s", field);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s: %s", field, err.message);
    cr_assert_str_eq(err.violations[0].key, field);
}

const char *target_new_case(void)
{
    return suite_create_case(scene.suite, scene.account, "Parcel", "Where is it?", scene.memory, NULL);
}

const target_wire_timer *target_timer(const char *name, Casework__Sla__V1__TimerKind kind)
{
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)name;
    request.min_position = suite_position(scene.suite, scene.account);
    const Casework__Sla__V1__ListCaseTimersResponse *response =
        suite_call(scene.suite, SLA, "ListCaseTimers", &request, scene.memory);
    cr_assert_leq(response->n_timers, 4);
    for (size_t i = 0; i < response->n_timers; i++)
        if (response->timers[i]->kind == kind)
            return response->timers[i];
    return NULL;
}

int64_t target_us(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

void target_check_timer(const char *name, Casework__Sla__V1__TimerKind kind,
                        Casework__Sla__V1__TimerState state, int64_t due_us, const char *when)
{
    const target_wire_timer *timer = target_timer(name, kind);
    cr_assert_not_null(timer, "%s: no timer", when);
    cr_assert_eq(timer->state, state, "%s: state %d, not %d", when, (int)timer->state, (int)state);
    cr_assert_eq(target_us(timer->due_time), due_us, "%s: %lld us off", when,
                 (long long)(target_us(timer->due_time) - due_us));
}

/* How often the step is in the case's history; *ret_time_us: when it was last. */
static size_t count_steps(const char *name, Casework__Sla__V1__TimerKind kind,
                          Casework__Sla__V1__TimerStep step, int64_t *ret_time_us)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *response =
        suite_call(scene.suite, CASES, "ListCaseEvents", &request, scene.memory);
    size_t count = 0;
    for (size_t i = 0; i < response->n_events; i++) {
        const Casework__Cases__V1__TimerStepFacts *facts = response->events[i]->timer_step_facts;
        if (!facts || facts->kind != kind || facts->step != step)
            continue;
        *ret_time_us = target_us(response->events[i]->commit_time);
        count++;
    }
    return count;
}

size_t target_steps(const char *name, Casework__Sla__V1__TimerKind kind, Casework__Sla__V1__TimerStep step)
{
    int64_t ignored;
    return count_steps(name, kind, step, &ignored);
}

void target_check_step(const char *name, Casework__Sla__V1__TimerKind kind, Casework__Sla__V1__TimerStep step,
                       int64_t time_us, const char *what)
{
    int64_t at_us = 0;
    cr_assert_eq(count_steps(name, kind, step, &at_us), 1, "%s happens once", what);
    cr_assert_eq(at_us, time_us, "%s: %lld us late", what, (long long)(at_us - time_us));
}

void target_check_no_step(const char *name, Casework__Sla__V1__TimerKind kind,
                          Casework__Sla__V1__TimerStep step)
{
    cr_assert_eq(target_steps(name, kind, step), 0, "kind %d step %d", (int)kind, (int)step);
}

Casework__Sla__V1__Calendar *target_office_hours(void)
{
    Casework__Sla__V1__Calendar *calendar = arena_alloc(scene.memory, sizeof *calendar);
    casework__sla__v1__calendar__init(calendar);
    calendar->hours = arena_calloc(scene.memory, 5, sizeof(void *));
    for (int day = 1; day <= 5; day++) {
        Casework__Sla__V1__BusinessHours *hours = arena_alloc(scene.memory, sizeof *hours);
        casework__sla__v1__business_hours__init(hours);
        hours->day = (Casework__Sla__V1__DayOfWeek)day;
        hours->opens = (char *)"09:00";
        hours->closes = (char *)"17:00";
        calendar->hours[calendar->n_hours++] = hours;
    }
    return calendar;
}
