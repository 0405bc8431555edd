/* Targets, end to end: real servers and a clock that the test moves. SUITE_START is a Monday, 10:00 in
 * Berlin. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message.pb-c.h"
#include "tests/support/sla_desk.h"
#include "tests/support/target_scene.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* --- the life of targets -------------------------------------------------------------------------- */

Test(sla_targets, armed_warned_and_breached_each_at_its_time)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target_update(request);
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR, "at first");
    cr_assert_eq(target_us(target_timer(name, KIND(FIRST_REPLY))->warn_time), written + 48 * CLOCK_MINUTE);
    cr_assert_eq(target_timer(name, KIND(FIRST_REPLY))->version, 1, "the number of the message");
    suite_advance(scene.suite, 50 * CLOCK_MINUTE);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(WARNED), written + CLOCK_HOUR, "after 80%");
    target_check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    target_check_no_step(name, KIND(FIRST_REPLY), STEP(BREACHED));
    suite_advance(scene.suite, 5 * CLOCK_HOUR);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(BREACHED), written + CLOCK_HOUR, "hours later");
    suite_write(scene.suite, name, AGENT, "anna", "Here.");
    suite_advance(scene.suite, 5 * CLOCK_HOUR);
    target_check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    target_check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + CLOCK_HOUR, "the breach");
    target_check_no_step(name, KIND(FIRST_REPLY), STEP(MET));
    target_check_timer(name, KIND(FIRST_REPLY), STATE(BREACHED), written + CLOCK_HOUR, "after a late reply");
    target_end();
}

Test(sla_targets, replies_and_resolution_in_time_are_met)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target_add(request, KIND(NEXT_REPLY), 2 * CLOCK_HOUR);
    target_add(request, KIND(RESOLUTION), 10 * CLOCK_HOUR);
    target_update(request);
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    suite_advance(scene.suite, 10 * CLOCK_MINUTE);
    suite_write(scene.suite, name, AGENT, "anna", "Here.");
    suite_advance(scene.suite, 0);
    target_check_step(name, KIND(FIRST_REPLY), STEP(MET), written + 10 * CLOCK_MINUTE, "the first reply");
    target_check_timer(name, KIND(FIRST_REPLY), STATE(MET), written + CLOCK_HOUR, "replied");
    cr_assert_null(target_timer(name, KIND(NEXT_REPLY)), "nothing waits for a reply");

    suite_write(scene.suite, name, CUSTOMER, NULL, "Where?");
    int64_t asked = suite_now_us(scene.suite);
    suite_advance(scene.suite, CLOCK_HOUR);
    suite_write(scene.suite, name, CUSTOMER, NULL, "Hello?");
    target_check_timer(name, KIND(NEXT_REPLY), STATE(ARMED), asked + 2 * CLOCK_HOUR,
                       "counts from the oldest message");
    suite_advance(scene.suite, CLOCK_HOUR);
    target_check_step(name, KIND(NEXT_REPLY), STEP(BREACHED), asked + 2 * CLOCK_HOUR, "the next reply");
    suite_write(scene.suite, name, AGENT, "anna", "There.");
    suite_write(scene.suite, name, CUSTOMER, NULL, "Ah.");
    int64_t again = suite_now_us(scene.suite);
    target_check_timer(name, KIND(NEXT_REPLY), STATE(ARMED), again + 2 * CLOCK_HOUR,
                       "another message, another timer");
    suite_step(scene.suite, "ResolveCase", name, "anna");
    suite_advance(scene.suite, 0);
    target_check_step(name, KIND(RESOLUTION), STEP(MET), again, "the resolution");
    const target_wire_timer *next = target_timer(name, KIND(NEXT_REPLY));
    cr_assert_eq(next->state, STATE(BREACHED),
                 "nobody has to answer a resolved case: the one before is the last");
    suite_step(scene.suite, "ReopenCase", name, "anna");
    suite_advance(scene.suite, 100 * CLOCK_HOUR);
    target_check_no_step(name, KIND(RESOLUTION), STEP(BREACHED));
    target_check_no_step(name, KIND(FIRST_REPLY), STEP(BREACHED));
    target_end();
}

Test(sla_targets, stand_still_while_pending_where_they_say_so)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), 4 * CLOCK_HOUR);
    target_add(request, KIND(RESOLUTION), 10 * CLOCK_HOUR)->pause_while_pending = true;
    target_update(request);
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    suite_advance(scene.suite, CLOCK_HOUR);
    suite_step(scene.suite, "MarkCasePending", name, "anna");
    const target_wire_timer *timer = target_timer(name, KIND(RESOLUTION));
    cr_assert_eq(timer->state, STATE(PAUSED));
    cr_assert_null(timer->due_time);
    cr_assert_null(timer->warn_time);
    cr_assert_eq(timer->remaining_duration->seconds, 9 * 3600);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 4 * CLOCK_HOUR,
                       "goes on while pending");
    suite_advance(scene.suite, 100 * CLOCK_HOUR);
    target_check_no_step(name, KIND(RESOLUTION), STEP(WARNED));
    suite_step(scene.suite, "ReopenCase", name, "anna");
    int64_t opened = suite_now_us(scene.suite);
    target_check_timer(name, KIND(RESOLUTION), STATE(ARMED), opened + 9 * CLOCK_HOUR, "open again");
    suite_advance(scene.suite, 20 * CLOCK_HOUR);
    target_check_step(name, KIND(RESOLUTION), STEP(WARNED), opened + 7 * CLOCK_HOUR, "the warning");
    target_check_step(name, KIND(RESOLUTION), STEP(BREACHED), opened + 9 * CLOCK_HOUR, "the breach");
    target_end();
}

Test(sla_targets, count_in_the_hours_of_the_accounts_zone)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), 8 * CLOCK_HOUR)->in_business_hours = true;
    request->policy->calendar = target_office_hours();
    target_update(request);
    const char *name = target_new_case(); /* Monday, 10:00 in Berlin */
    int64_t written = suite_now_us(scene.suite);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 24 * CLOCK_HOUR,
                       "an hour on Tuesday is left");
    Casework__Sla__V1__Holiday holiday = CASEWORK__SLA__V1__HOLIDAY__INIT;
    Casework__Sla__V1__Holiday *holidays[] = {&holiday};
    holiday.date = (char *)"2026-03-03";
    request->policy->calendar->holidays = holidays;
    request->policy->calendar->n_holidays = 1;
    target_update(request);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 48 * CLOCK_HOUR,
                       "a holiday on Tuesday");
    suite_advance(scene.suite, 72 * CLOCK_HOUR);
    target_check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + 48 * CLOCK_HOUR, "the breach");
    target_end();
}

Test(sla_targets, the_first_that_applies_counts)
{
    target_begin();
    char *urgent[] = {(char *)"urgent"};
    int32_t priorities[] = {7};
    char *channels[] = {arena_printf(scene.memory, "%s/channels/desk", scene.account)};
    target_request *request = target_policy();
    target_wire *target = target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target->labels = urgent;
    target->n_labels = 1;
    target = target_add(request, KIND(FIRST_REPLY), 2 * CLOCK_HOUR);
    target->priorities = priorities;
    target->n_priorities = 1;
    target = target_add(request, KIND(FIRST_REPLY), 3 * CLOCK_HOUR);
    target->channels = channels;
    target->n_channels = 1;
    target_add(request, KIND(FIRST_REPLY), 4 * CLOCK_HOUR);
    target_update(request);
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 3 * CLOCK_HOUR, "by channel");
    Casework__Cases__V1__UpdateCaseRequest change = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    record.name = (char *)name;
    record.priority = 7;
    change.case_ = &record;
    suite_call(scene.suite, CASES, "UpdateCase", &change, scene.memory);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 2 * CLOCK_HOUR, "by priority");
    record.labels = urgent;
    record.n_labels = 1;
    suite_call(scene.suite, CASES, "UpdateCase", &change, scene.memory);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR, "by label");
    target_end();
}

Test(sla_targets, a_changed_policy_moves_what_runs_and_leaves_what_happened)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    const char *breached = target_new_case();
    int64_t first = suite_now_us(scene.suite);
    cr_assert_eq(target_update(request)->effect->timers_added, 1);
    suite_advance(scene.suite, 2 * CLOCK_HOUR);
    const char *running = target_new_case();
    int64_t second = suite_now_us(scene.suite);
    suite_advance(scene.suite, 30 * CLOCK_MINUTE);
    request->policy->targets[0]->target_duration = target_duration(5 * CLOCK_HOUR);
    const Casework__Sla__V1__UpdatePolicyResponse *response = target_update(request);
    cr_assert_eq(response->effect->timers_moved, 1);
    cr_assert_eq(response->effect->targets_breached, 0);
    target_check_timer(running, KIND(FIRST_REPLY), STATE(ARMED), second + 5 * CLOCK_HOUR,
                       "from the same starting point");
    target_check_timer(breached, KIND(FIRST_REPLY), STATE(BREACHED), first + CLOCK_HOUR, "stays breached");
    request->policy->targets[0]->target_duration = target_duration(10 * CLOCK_MINUTE);
    int64_t now = suite_now_us(scene.suite);
    cr_assert_eq(target_update(request)->effect->targets_breached, 1);
    suite_advance(scene.suite, 0);
    target_check_step(running, KIND(FIRST_REPLY), STEP(BREACHED), now, "overdue under the new policy");
    target_check_step(breached, KIND(FIRST_REPLY), STEP(BREACHED), first + CLOCK_HOUR, "the old breach");
    target_end();
}

Test(sla_targets, a_preview_tells_what_the_update_then_does)
{
    enum { COUNT = 5 };
    target_begin();
    for (int i = 0; i < COUNT; i++) {
        target_new_case();
        suite_advance(scene.suite, CLOCK_MINUTE);
    }
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    Casework__Sla__V1__PreviewPolicyRequest preview = CASEWORK__SLA__V1__PREVIEW_POLICY_REQUEST__INIT;
    preview.policy = request->policy;
    preview.page_size = 2;
    size_t total = 0;
    int64_t last = 0;
    const Casework__Sla__V1__PreviewPolicyResponse *page;
    do {
        page = suite_call(scene.suite, SLA, "PreviewPolicy", &preview, scene.memory);
        cr_assert_eq(page->effect->timers_added, COUNT);
        cr_assert_leq(page->n_changes, 2);
        for (size_t i = 0; i < page->n_changes; i++, total++) {
            cr_assert_null(page->changes[i]->before);
            cr_assert_gt(target_us(page->changes[i]->after->due_time), last);
            last = target_us(page->changes[i]->after->due_time);
        }
        preview.page_token = page->next_page_token;
    } while (*preview.page_token);
    cr_assert_eq(total, COUNT);
    cr_assert_eq(page->policy->n_targets, 1);
    cr_assert_eq(target_update(request)->effect->timers_added, COUNT);
    target_end();
}

Test(sla_targets, a_deadline_can_be_asked_for)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(RESOLUTION), 16 * CLOCK_HOUR)->in_business_hours = true;
    request->policy->calendar = target_office_hours();
    target_update(request);
    Casework__Sla__V1__PreviewDeadlineRequest ask = CASEWORK__SLA__V1__PREVIEW_DEADLINE_REQUEST__INIT;
    ask.parent = (char *)scene.account;
    ask.kind = KIND(RESOLUTION);
    const Casework__Sla__V1__PreviewDeadlineResponse *told =
        suite_call(scene.suite, SLA, "PreviewDeadline", &ask, scene.memory);
    cr_assert_eq(target_us(told->due_time), suite_now_us(scene.suite) + 48 * CLOCK_HOUR);
    cr_assert_eq(told->target->target_duration->seconds, 16 * 3600);
    ask.kind = KIND(FIRST_REPLY);
    told = suite_call(scene.suite, SLA, "PreviewDeadline", &ask, scene.memory);
    cr_assert_null(told->due_time, "no target of that kind");
    ask.policy = target_policy()->policy;
    ask.kind = KIND(CLOSE);
    told = suite_call(scene.suite, SLA, "PreviewDeadline", &ask, scene.memory);
    cr_assert_eq(target_us(told->due_time), suite_now_us(scene.suite) + 72 * CLOCK_HOUR);
    cr_assert_null(told->warn_time);
    ask.case_ = (char *)target_new_case();
    ask.priority = 3;
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(scene.suite, SLA, "PreviewDeadline", &ask.base, scene.memory, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    ask.priority = 0;
    ask.case_ = arena_printf(scene.memory, "%s/cases/99", scene.account);
    cr_assert_not(suite_try(scene.suite, SLA, "PreviewDeadline", &ask.base, scene.memory, &response, &err));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    target_end();
}

Test(sla_targets, timers_are_listed_by_deadline)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target_add(request, KIND(RESOLUTION), 100 * CLOCK_HOUR);
    target_update(request);
    const char *first = target_new_case();
    suite_advance(scene.suite, CLOCK_MINUTE);
    const char *second = target_new_case();
    suite_step(scene.suite, "ResolveCase", second, NULL);
    suite_advance(scene.suite, 50 * CLOCK_MINUTE);
    Casework__Sla__V1__ListTimersRequest list = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    list.parent = (char *)scene.account;
    list.page_size = 1;
    const char *names[4] = {0};
    size_t count = 0;
    do {
        const Casework__Sla__V1__ListTimersResponse *page =
            suite_call(scene.suite, SLA, "ListTimers", &list, scene.memory);
        cr_assert_leq(page->n_timers, 1);
        if (page->n_timers && count < 4)
            names[count++] = page->timers[0]->name;
        list.page_token = page->next_page_token;
    } while (*list.page_token);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(names[0], arena_printf(scene.memory, "%s/timers/first_reply", first));
    cr_assert_str_eq(names[1], arena_printf(scene.memory, "%s/timers/close", second));
    cr_assert_str_eq(names[2], arena_printf(scene.memory, "%s/timers/resolution", first));
    Casework__Sla__V1__TimerState warned[] = {STATE(WARNED)};
    list.states = warned;
    list.n_states = 1;
    list.page_size = 0;
    const Casework__Sla__V1__ListTimersResponse *page =
        suite_call(scene.suite, SLA, "ListTimers", &list, scene.memory);
    cr_assert_eq(page->n_timers, 1);
    cr_assert_str_eq(page->timers[0]->name, names[0]);
    Google__Protobuf__Timestamp due = *page->timers[0]->due_time, after = due;
    after.nanos++;
    list.n_states = 0;
    list.start_time = &due;
    list.end_time = &after;
    page = suite_call(scene.suite, SLA, "ListTimers", &list, scene.memory);
    cr_assert_eq(page->n_timers, 1, "bounds count to the nanosecond");
    list.start_time = &after;
    list.end_time = NULL;
    page = suite_call(scene.suite, SLA, "ListTimers", &list, scene.memory);
    cr_assert_eq(page->n_timers, 2, "the first one is due before");
    target_end();
}

Test(sla_targets, an_emptied_redis_loses_no_step_and_doubles_none)
{
    target_begin();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target_update(request);
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    suite_advance(scene.suite, 50 * CLOCK_MINUTE);
    cr_assert(sla_desk_redis(scene.suite, "FLUSHALL", NULL, NULL, NULL));
    suite_advance(scene.suite, 3 * CLOCK_HOUR);
    target_check_step(name, KIND(FIRST_REPLY), STEP(WARNED), written + 48 * CLOCK_MINUTE, "the warning");
    target_check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + CLOCK_HOUR, "the breach");
    target_end();
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void check_refused_list(const Casework__Sla__V1__ListTimersRequest *list, int code, const char *what)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(scene.suite, SLA, "ListTimers", &list->base, scene.memory, &response, &err), "%s",
                  what);
    cr_assert_eq(err.code, code, "%s: %s", what, err.message);
}

Test(sla_targets, every_field_of_a_list_is_checked)
{
    target_begin();
    Casework__Sla__V1__ListTimersRequest list = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    Casework__Sla__V1__TimerKind kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_UNSPECIFIED;
    Casework__Sla__V1__TimerState state = STATE(BREACHED) + 1;
    list.parent = (char *)scene.account;
    list.kinds = &kind;
    list.n_kinds = 1;
    check_refused_list(&list, STATUS_INVALID_ARGUMENT, "no kind");
    list.n_kinds = 0;
    list.states = &state;
    list.n_states = 1;
    check_refused_list(&list, STATUS_INVALID_ARGUMENT, "no state");
    list.n_states = 0;
    list.min_position = -1;
    check_refused_list(&list, STATUS_INVALID_ARGUMENT, "a position below zero");
    list.min_position = 0;
    list.parent = "accounts/nobody";
    check_refused_list(&list, STATUS_NOT_FOUND, "no account");
    target_end();
}

Test(sla_targets, every_field_is_checked)
{
    target_begin();
    target_request *request = target_policy();
    target_wire *target = target_add(request, KIND(CLOSE), CLOCK_HOUR);
    target_check_refused(request, "policy.targets[0].kind");
    target->kind = KIND(FIRST_REPLY);
    target->target_duration = NULL;
    target_check_refused(request, "policy.targets[0].target_duration");
    target->target_duration = target_duration(3651 * CLOCK_DAY);
    target_check_refused(request, "policy.targets[0].target_duration");
    target->target_duration = target_duration(CLOCK_HOUR);
    target->warn_percent = 100;
    target_check_refused(request, "policy.targets[0].warn_percent");
    target->warn_percent = 0;
    int32_t priorities[] = {1001};
    target->priorities = priorities;
    target->n_priorities = 1;
    target_check_refused(request, "policy.targets[0].priorities");
    target->n_priorities = 0;
    char *labels[] = {(char *)""};
    target->labels = labels;
    target->n_labels = 1;
    target_check_refused(request, "policy.targets[0].labels");
    target->n_labels = 0;
    char *channels[] = {(char *)"accounts/other/channels/desk"};
    target->channels = channels;
    target->n_channels = 1;
    target_check_refused(request, "policy.targets[0].channels");
    target->n_channels = 0;

    Casework__Sla__V1__Calendar *calendar = request->policy->calendar = target_office_hours();
    calendar->time_zone = (char *)"Europe/Nowhere";
    target_check_refused(request, "policy.calendar.time_zone");
    calendar->time_zone = (char *)"";
    calendar->hours[1]->opens = (char *)"9:00";
    target_check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->opens = (char *)"24:00";
    target_check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->opens = (char *)"17:00";
    target_check_refused(request, "policy.calendar.hours[1].closes");
    calendar->hours[1]->opens = (char *)"09:00";
    calendar->hours[1]->day = calendar->hours[0]->day;
    target_check_refused(request, "policy.calendar.hours[1].opens");
    calendar->hours[1]->day = (Casework__Sla__V1__DayOfWeek)0;
    target_check_refused(request, "policy.calendar.hours[1].day");
    calendar->hours[1]->day = (Casework__Sla__V1__DayOfWeek)2;
    Casework__Sla__V1__Holiday holiday = CASEWORK__SLA__V1__HOLIDAY__INIT;
    Casework__Sla__V1__Holiday *holidays[] = {&holiday, &holiday};
    calendar->holidays = holidays;
    calendar->n_holidays = 2;
    holiday.date = (char *)"2026-02-29";
    target_check_refused(request, "policy.calendar.holidays[0].date");
    holiday.date = (char *)"2026-02-28";
    target_check_refused(request, "policy.calendar.holidays");
    calendar->n_holidays = 1;
    const Casework__Sla__V1__UpdatePolicyResponse *response = target_update(request);
    cr_assert_eq(response->policy->n_targets, 1);
    cr_assert_eq(response->policy->calendar->n_hours, 5);
    cr_assert_eq(response->policy->calendar->n_holidays, 1);

    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"targets"};
    mask.paths = paths;
    mask.n_paths = 1;
    request->update_mask = &mask;
    request->policy->n_targets = 0;
    response = target_update(request);
    cr_assert_eq(response->policy->n_targets, 0, "a mask takes them away");
    cr_assert_eq(response->policy->calendar->n_hours, 5, "what it does not name stays");
    target_end();
}
