/*
 * Generated changes of policies while cases go on: each does what its preview told, and leaves a schedule
 * that is equal to the truth. CASEWORK_SEED=… (printed) runs the same again, CASEWORK_SLA_ROUNDS=2000 so many
 * changes.
 */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "tests/support/policy_told.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name

enum { ROUNDS = 25, CASES_MOST = 10, NAME_SIZE = 96 };

static unsigned seed;
static char names[CASES_MOST][NAME_SIZE];
static int case_count;

static int pick(int count)
{
    return rand_r(&seed) % count;
}

static unsigned number_from(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* --- cases ---------------------------------------------------------------------------------------- */

static void begin_case(int place)
{
    snprintf(names[place], sizeof names[place], "%s", target_new_case());
}

static void go_on_with(int place)
{
    const char *name = names[place];
    suite *s = scene.suite;
    bool agent = pick(2) == 0;
    switch (suite_case(s, name, scene.memory)->status) {
    case STATUS(CLOSED):
        begin_case(place);
        break;
    case STATUS(RESOLVED):
        if (agent)
            suite_step(s, "ReopenCase", name, "anna");
        else
            suite_write(s, name, CUSTOMER, NULL, "It is broken again.");
        break;
    case STATUS(PENDING):
        if (agent)
            suite_step(s, "OpenCase", name, "anna");
        else
            suite_step(s, "ResolveCase", name, "anna");
        break;
    default:
        if (pick(4) == 0)
            suite_step(s, "ResolveCase", name, "anna");
        else if (pick(3) == 0)
            suite_step(s, "MarkCasePending", name, "anna");
        else
            suite_write(s, name, agent ? AGENT : CUSTOMER, agent ? "anna" : NULL, "Is it there?");
    }
}

static void happen(void)
{
    for (int i = pick(3); i > 0; i--) {
        if (case_count < CASES_MOST && pick(2) == 0)
            begin_case(case_count++);
        else if (case_count > 0)
            go_on_with(pick(case_count));
    }
    suite_advance(scene.suite, pick(90) * CLOCK_MINUTE + pick(60) * CLOCK_SECOND);
}

/* --- policies ------------------------------------------------------------------------------------- */

static void draw_closing(target_request *request)
{
    Casework__Sla__V1__ClosingRule *closing = arena_alloc(scene.memory, sizeof *closing);
    Google__Protobuf__Duration *duration = target_duration((1 + pick(100)) * CLOCK_HOUR);
    casework__sla__v1__closing_rule__init(closing);
    if (pick(2)) {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
        closing->after_resolved_duration = duration;
    } else {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_INACTIVITY_DURATION;
        closing->after_inactivity_duration = duration;
    }
    request->policy->closing = closing;
}

static void draw_target(target_request *request, Casework__Sla__V1__TimerKind kind)
{
    static char *urgent[] = {(char *)(uintptr_t) "urgent"};
    target_wire *target = target_add(request, kind, (10 + pick(1200)) * CLOCK_MINUTE);
    target->in_business_hours = pick(2);
    target->pause_while_pending = pick(2);
    target->labels = urgent;
    target->n_labels = pick(4) == 0; /* no case has it */
}

static void draw_targets(target_request *request)
{
    static char *targets[] = {(char *)(uintptr_t) "targets"};
    static Google__Protobuf__FieldMask mask;
    if (pick(4))
        draw_target(request, KIND(FIRST_REPLY));
    if (pick(4))
        draw_target(request, KIND(NEXT_REPLY));
    if (pick(4))
        draw_target(request, KIND(RESOLUTION));
    if (request->policy->n_targets > 0)
        return;
    google__protobuf__field_mask__init(&mask);
    mask.paths = targets;
    mask.n_paths = 1;
    request->update_mask = &mask; /* takes them all away */
}

static const target_request *draw_change(void)
{
    target_request *request = target_policy();
    if (pick(3) == 0)
        draw_closing(request);
    else
        draw_targets(request);
    if (!request->update_mask && pick(3) == 0) {
        request->policy->calendar = target_office_hours();
        request->policy->calendar->time_zone = (char *)(uintptr_t)(pick(2) ? "Asia/Tokyo" : "");
    }
    return request;
}

/* For who looks into a failure. */
static void tell(unsigned round, const target_request *change)
{
    const Casework__Sla__V1__SlaPolicy *policy = change->policy;
    fprintf(stderr, "%u at %lld:%s%s%s", round, (long long)(suite_now_us(scene.suite) / CLOCK_SECOND),
            policy->closing ? " closing" : "", change->update_mask ? " no targets" : "",
            policy->calendar ? " hours" : "");
    for (size_t i = 0; i < policy->n_targets; i++)
        fprintf(stderr, " %d:%lldm%s%s%s", (int)policy->targets[i]->kind,
                (long long)(policy->targets[i]->target_duration->seconds / 60),
                policy->targets[i]->in_business_hours ? "b" : "",
                policy->targets[i]->pause_while_pending ? "p" : "", policy->targets[i]->n_labels ? "l" : "");
    fputc('\n', stderr);
}

Test(sla_policy_model, changes_do_what_their_previews_told, .timeout = 3600)
{
    unsigned first = number_from("CASEWORK_SEED", (unsigned)time(NULL));
    unsigned rounds = number_from("CASEWORK_SLA_ROUNDS", ROUNDS);
    seed = first;
    target_begin();
    scene.account = "accounts/acme"; /* outlives the memory of a round */
    fprintf(stderr, "CASEWORK_SEED=%u\n", first);
    begin_case(case_count++);
    target_request *simple = target_policy();
    target_add(simple, KIND(FIRST_REPLY), CLOCK_HOUR);
    cr_assert_eq(policy_change_as_told(simple)->timers_added, 1);
    for (unsigned round = 0; round < rounds; round++) {
        happen();
        const target_request *change = draw_change();
        if (getenv("CASEWORK_SLA_TELL"))
            tell(round, change);
        policy_change_as_told(change);
        arena_clear(scene.memory);
    }
    target_end();
}
