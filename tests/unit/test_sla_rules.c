/* The closing rules, sentence by sentence. */

#include "base/clock.h"
#include "sla/sla_rules.h"

#include <criterion/criterion.h>

static const struct sla_facts resolved = {
    .status = SLA_STATUS_RESOLVED,
    .change_version = 7,
    .change_time_us = 1000 * CLOCK_SECOND,
    .activity_version = 5,
    .activity_time_us = 900 * CLOCK_SECOND,
    .all_customer_messages_closed = true,
};

Test(sla_rules, closes_72_hours_after_the_last_change_by_default)
{
    struct sla_policy policy = sla_rules_default();
    struct sla_deadline deadline;
    cr_assert(sla_rules_deadline(&policy, &resolved, &deadline));
    cr_assert_eq(deadline.rule, SLA_RULE_RESOLVED);
    cr_assert_eq(deadline.version, 7);
    cr_assert_eq(deadline.due_us, 1000 * CLOCK_SECOND + 72 * CLOCK_HOUR);
}

Test(sla_rules, any_change_starts_the_72_hours_again)
{
    struct sla_policy policy = sla_rules_default();
    struct sla_facts facts = resolved;
    struct sla_deadline deadline;
    facts.change_version++;
    facts.change_time_us += 71 * CLOCK_HOUR;
    cr_assert(sla_rules_deadline(&policy, &facts, &deadline));
    cr_assert_eq(deadline.version, 8);
    cr_assert_eq(deadline.due_us, 1000 * CLOCK_SECOND + 143 * CLOCK_HOUR);
}

Test(sla_rules, a_case_that_is_not_resolved_has_no_such_timer)
{
    struct sla_policy policy = sla_rules_default();
    struct sla_deadline deadline = {.version = 42};
    for (int status = SLA_STATUS_NEW; status <= SLA_STATUS_DELETED; status++) {
        struct sla_facts facts = resolved;
        facts.status = (enum sla_status)status;
        cr_assert_eq(sla_rules_deadline(&policy, &facts, &deadline), status == SLA_STATUS_RESOLVED);
    }
}

Test(sla_rules, a_merged_case_has_no_timer)
{
    struct sla_policy policy = sla_rules_default();
    struct sla_facts facts = resolved;
    struct sla_deadline deadline;
    facts.merged = true;
    cr_assert_not(sla_rules_deadline(&policy, &facts, &deadline));
}

Test(sla_rules, the_duration_is_the_accounts)
{
    struct sla_policy policy = {.rule = SLA_RULE_RESOLVED, .duration_us = CLOCK_SECOND};
    struct sla_deadline deadline;
    cr_assert(sla_rules_deadline(&policy, &resolved, &deadline));
    cr_assert_eq(deadline.due_us, 1001 * CLOCK_SECOND);
}

Test(sla_rules, inactive_cases_close_after_the_last_activity)
{
    struct sla_policy policy = {.rule = SLA_RULE_INACTIVE, .duration_us = SLA_INACTIVE_DURATION};
    static const bool closes[] = {
        [SLA_STATUS_OPEN] = true,
        [SLA_STATUS_PENDING] = true,
        [SLA_STATUS_RESOLVED] = true,
        [SLA_STATUS_DELETED] = false,
    };
    struct sla_deadline deadline;
    for (int status = SLA_STATUS_NEW; status <= SLA_STATUS_DELETED; status++) {
        struct sla_facts facts = resolved;
        facts.status = (enum sla_status)status;
        cr_assert_eq(sla_rules_deadline(&policy, &facts, &deadline), closes[status], "%d", status);
        if (!closes[status])
            continue;
        cr_assert_eq(deadline.rule, SLA_RULE_INACTIVE);
        cr_assert_eq(deadline.version, 5);
        cr_assert_eq(deadline.due_us, 900 * CLOCK_SECOND + 24 * CLOCK_HOUR);
    }
}

Test(sla_rules, an_unanswered_message_keeps_an_inactive_case_open)
{
    struct sla_policy policy = {.rule = SLA_RULE_INACTIVE, .duration_us = SLA_INACTIVE_DURATION};
    struct sla_facts facts = resolved;
    struct sla_deadline deadline;
    facts.status = SLA_STATUS_OPEN;
    facts.all_customer_messages_closed = false;
    cr_assert_not(sla_rules_deadline(&policy, &facts, &deadline));
}

Test(sla_rules, deadlines_stay_within_what_a_time_can_say)
{
    struct sla_policy policy = {.rule = SLA_RULE_RESOLVED, .duration_us = SLA_DURATION_MOST};
    int64_t last = INT64_C(253402300799999999);
    cr_assert_eq(sla_rules_due(&policy, last - CLOCK_SECOND), last - 31, "the last that a double holds");
    cr_assert_eq(sla_rules_due(&policy, -20 * 366 * CLOCK_DAY), 0);
}

Test(sla_rules, deadlines_are_such_as_the_schedule_can_hold_and_never_earlier)
{
    const int64_t exact = INT64_C(1) << 53;
    uint64_t state = 7;
    for (int64_t time = exact - 3; time < exact; time++)
        cr_assert_eq(sla_rules_instant(time), time);
    cr_assert_eq(sla_rules_instant(exact + 1), exact + 2);
    cr_assert_eq(sla_rules_instant(-1), 0);
    cr_assert_eq(sla_rules_instant(INT64_MAX), INT64_C(253402300799999968));
    for (int i = 0; i < 100000; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        int64_t time = (int64_t)(state >> 6) % INT64_C(253402300799999968);
        int64_t instant = sla_rules_instant(time);
        cr_assert_eq((int64_t)(double)instant, instant);
        cr_assert(instant >= time && instant < time + 32, "%ld", (long)time);
        cr_assert_eq(sla_rules_instant(instant), instant);
    }
}

Test(sla_rules, durations_go_from_a_second_to_ten_years)
{
    error err;
    cr_assert(sla_rules_check_duration(CLOCK_SECOND, "f", &err));
    cr_assert(sla_rules_check_duration(3650 * CLOCK_DAY, "f", &err));
    cr_assert_not(sla_rules_check_duration(CLOCK_SECOND - 1, "f", &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_not(sla_rules_check_duration(3650 * CLOCK_DAY + 1, "f", &err));
    cr_assert_not(sla_rules_check_duration(-CLOCK_SECOND, "f", &err));
}
