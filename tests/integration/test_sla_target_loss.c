/* What targets of closed cases have left to be recorded outlives the schedule. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/sla_desk.h"
#include "tests/support/target_scene.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static char *bucket;

static void begin(const char *const *settings)
{
    target_begin_with(settings);
    bucket = arena_printf(scene.memory, "casework:{b%02d}:timers", feed_partition("acme"));
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    target_add(request, KIND(RESOLUTION), 10 * CLOCK_HOUR);
    target_update(request);
}

static void close_now(const char *name)
{
    Casework__Cases__V1__CloseCaseRequest request = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    const Casework__Cases__V1__Case *now = suite_case(scene.suite, name, scene.memory);
    request.name = (char *)(uintptr_t)name;
    request.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    request.basis_version = now->change_version;
    request.due_time = now->update_time;
    suite_call(scene.suite, CASES, "CloseCase", &request, scene.memory);
}

/* Replied to, resolved and closed, while no step can be recorded. */
static const char *close_unseen(const char *name)
{
    suite_write(scene.suite, name, AGENT, "anna", "Here.");
    suite_step(scene.suite, "ResolveCase", name, "anna");
    close_now(name);
    return name;
}

static void stop_timers(void)
{
    cr_assert_eq(kill(suite_pid(scene.suite, SUITE_SLA, 0), SIGSTOP), 0);
}

static void continue_timers(void)
{
    cr_assert_eq(kill(suite_pid(scene.suite, SUITE_SLA, 0), SIGCONT), 0);
}

Test(sla_target_loss, an_emptied_redis_loses_no_step_of_a_closed_case)
{
    enum { ROUNDS = 3 };
    const char *names[ROUNDS];
    int64_t ended[ROUNDS];
    begin(NULL);
    for (int i = 0; i < ROUNDS; i++) {
        names[i] = target_new_case();
        suite_advance(scene.suite, CLOCK_MINUTE);
        ended[i] = suite_now_us(scene.suite);
        stop_timers();
        close_unseen(names[i]);
        cr_assert(sla_desk_redis(scene.suite, "FLUSHALL", NULL, NULL, NULL));
        continue_timers();
        suite_advance(scene.suite, CLOCK_MINUTE);
    }
    for (int i = 0; i < ROUNDS; i++) {
        target_check_step(names[i], KIND(FIRST_REPLY), STEP(MET), ended[i], "the first reply");
        target_check_step(names[i], KIND(RESOLUTION), STEP(MET), ended[i], "the resolution");
        target_check_no_step(names[i], KIND(FIRST_REPLY), STEP(BREACHED));
    }
    sla_desk_expect_same(scene.suite, scene.account);
    target_end();
}

static bool is_recorded(void *context)
{
    return target_steps(context, KIND(RESOLUTION), STEP(MET)) == 1;
}

Test(sla_target_loss, what_the_schedule_has_missed_of_a_closed_case_is_swept)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", NULL};
    begin(settings);
    const char *name = target_new_case();
    suite_advance(scene.suite, CLOCK_MINUTE);
    stop_timers();
    close_unseen(name);
    char *passed =
        arena_printf(scene.memory, "-%lld", (long long)suite_position(scene.suite, scene.account) + 1);
    cr_assert(sla_desk_redis(scene.suite, "ZADD", bucket, passed, "!position"), "as if it had been applied");
    continue_timers();
    sla_desk_await(is_recorded, (void *)(uintptr_t)name, 20 * CLOCK_SECOND, "the sweep finds it");
    cr_assert_eq(target_steps(name, KIND(FIRST_REPLY), STEP(MET)), 1);
    cr_assert_gt(sla_desk_metric(scene.suite, 0, "casework_sla_timers_swept_total"), 0);
    target_end();
}

/* --- replicas ------------------------------------------------------------------------------------- */

/* In the bucket of acme. */
static const char *neighbour(void)
{
    int i = 0;
    char id[24];
    do
        snprintf(id, sizeof id, "shop-%d", i++);
    while (feed_partition(id) != feed_partition("acme"));
    return suite_create_account(scene.suite, id, "UTC", scene.memory);
}

static void await_armed_at(unsigned replica, const char *case_name, const char *account)
{
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)case_name;
    request.min_position = suite_position(scene.suite, account);
    suite_call_at(scene.suite, replica, SLA, "ListCaseTimers", &request, scene.memory);
}

/* Late ones are not warned any more. */
static bool is_told(void *context)
{
    return target_steps(context, KIND(FIRST_REPLY), STEP(WARNED)) == 1 ||
           target_steps(context, KIND(FIRST_REPLY), STEP(BREACHED)) == 1;
}

/* The second replica comes to the bucket for another account, before it has heard of acme's policy. */
Test(sla_target_loss, a_replica_that_has_not_heard_of_a_policy_loses_no_step)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1h", NULL};
    target_begin_as(&(struct suite_options){.clock = "real", .replicas = 2, .settings = settings});
    const char *other = neighbour();
    const char *name = target_new_case();
    sla_desk_policy(scene.suite, other, 2 * CLOCK_SECOND);
    await_armed_at(1, sla_desk_resolved(scene.suite, other, scene.memory), other);
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), 5 * CLOCK_SECOND);
    target_update(request);
    stop_timers();
    sla_desk_resolved(scene.suite, other, scene.memory); /* due in two seconds, at the second replica */
    sla_desk_await(is_told, (void *)(uintptr_t)name, CLOCK_MINUTE, "its step is recorded all the same");
    continue_timers();
    target_end();
}

/* --- how they are listed -------------------------------------------------------------------------- */

static void check_refusal(const Casework__Cases__V1__ListTargetFactsRequest *request)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(
        suite_try(scene.suite, CASES, "ListTargetFacts", &request->base, scene.memory, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.violations[0].key, "closed_since_time");
}

Test(sla_target_loss, closed_cases_are_listed_by_their_last_change)
{
    enum { COUNT = 4 };
    const char *names[COUNT];
    begin(NULL);
    for (int i = 0; i < COUNT; i++) {
        names[i] = target_new_case();
        suite_step(scene.suite, "ResolveCase", names[i], NULL);
    }
    for (int i = 0; i + 1 < COUNT; i++) {
        suite_advance(scene.suite, CLOCK_MINUTE);
        close_now(names[COUNT - 2 - i]);
    }
    Casework__Cases__V1__ListTargetFactsRequest request =
        CASEWORK__CASES__V1__LIST_TARGET_FACTS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)scene.account;
    request.closed_since_time = suite_case(scene.suite, names[1], scene.memory)->update_time;
    request.page_size = 1;
    for (int i = 0; i < 2; i++) {
        const Casework__Cases__V1__ListTargetFactsResponse *page =
            suite_call(scene.suite, CASES, "ListTargetFacts", &request, scene.memory);
        cr_assert_eq(page->n_facts, 1);
        cr_assert_str_eq(page->facts[0]->case_, names[1 - i]);
        cr_assert_eq(target_us(page->facts[0]->update_time),
                     suite_now_us(scene.suite) - (1 - i) * CLOCK_MINUTE);
        cr_assert_eq(*page->next_page_token == '\0', i == 1);
        request.page_token = page->next_page_token;
    }
    request.page_token = (char *)"";
    request.n_cases = 1;
    request.cases = (char **)(uintptr_t)names;
    check_refusal(&request);
    request.n_cases = 0;
    request.closed_since_time->nanos = -1;
    check_refusal(&request);
    target_end();
}
