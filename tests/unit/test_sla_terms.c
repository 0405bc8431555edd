/* Since when a changed policy's targets count, and what they leave alone of what ended before. */

#include "base/clock.h"
#include "sla/sla_rules.h"
#include "sla/sla_terms.h"

#include <criterion/criterion.h>
#include <string.h>

typedef Casework__Sla__V1__SlaPolicy wire_policy;
typedef Casework__Sla__V1__SlaTarget wire_target;

enum { FIRST = 1000, LATER = 2000 };

static Google__Protobuf__Duration hour = GOOGLE__PROTOBUF__DURATION__INIT;
static wire_target target;
static wire_target *targets[] = {&target};
static wire_policy policy;

static char *urgent[] = {(char *)"urgent"}, *both[] = {(char *)"vip", (char *)"urgent"};
static char *desk[] = {(char *)"accounts/a/channels/desk"}, *chat[] = {(char *)"accounts/a/channels/chat"};
static int32_t low[] = {1}, high[] = {7, 1};

static void first_reply(char **labels, size_t label_count, char **channels, size_t channel_count,
                        int32_t *priorities, size_t priority_count)
{
    casework__sla__v1__sla_policy__init(&policy);
    casework__sla__v1__sla_target__init(&target);
    hour.seconds = 3600;
    target.kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_FIRST_REPLY;
    target.target_duration = &hour;
    target.labels = labels;
    target.n_labels = label_count;
    target.channels = channels;
    target.n_channels = channel_count;
    target.priorities = priorities;
    target.n_priorities = priority_count;
    policy.targets = targets;
    policy.n_targets = 1;
}

static sla_terms *terms_since(int64_t since_us)
{
    sla_terms *terms;
    error err;
    cr_assert(sla_terms_new(&policy, "UTC", &since_us, &terms, &err), "%s", err.message);
    return terms;
}

/* Since when the policy's target counts after the one before it. */
static int64_t since(const sla_terms *before)
{
    int64_t since_us;
    sla_terms_since(&policy, sla_terms_targets(before), LATER, &since_us);
    return since_us;
}

Test(sla_terms, a_target_for_no_other_cases_counts_as_long_as_the_one_before)
{
    first_reply(both, 2, NULL, 0, high, 2);
    sla_terms *before = terms_since(FIRST);
    cr_assert_eq(since(before), FIRST, "the same");
    first_reply(urgent, 1, NULL, 0, high, 2);
    cr_assert_eq(since(before), FIRST, "fewer labels");
    first_reply(both, 2, desk, 1, low, 1);
    cr_assert_eq(since(before), FIRST, "fewer channels and priorities");
    first_reply(NULL, 0, NULL, 0, high, 2);
    cr_assert_eq(since(before), LATER, "any label");
    first_reply(both, 2, NULL, 0, NULL, 0);
    cr_assert_eq(since(before), LATER, "any priority");
    first_reply(both, 2, NULL, 0, high, 2);
    target.kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_RESOLUTION;
    cr_assert_eq(since(before), LATER, "another kind");
    sla_terms_release(before);

    first_reply(urgent, 1, desk, 1, low, 1);
    before = terms_since(FIRST);
    first_reply(both, 2, desk, 1, low, 1);
    cr_assert_eq(since(before), LATER, "another label beside it");
    first_reply(urgent, 1, chat, 1, low, 1);
    cr_assert_eq(since(before), LATER, "another channel");
    first_reply(urgent, 1, desk, 1, high, 2);
    cr_assert_eq(since(before), LATER, "another priority beside it");
    sla_terms_release(before);

    int64_t since_us;
    sla_terms_since(&policy, NULL, LATER, &since_us);
    cr_assert_eq(since_us, LATER, "there were no targets");
}

/* A case that was replied to at that time; how many timers it has. */
static size_t timers_of(const sla_terms *terms, int64_t replied_us)
{
    struct sla_case_timers timers;
    struct sla_moment moments[] = {
        {.time_us = 1,
         .status = SLA_STATUS_OPEN,
         .status_time_us = 1,
         .waiting_number = 1,
         .waiting_since_us = 1},
        {.time_us = replied_us, .status = SLA_STATUS_OPEN, .status_time_us = 1, .replied = true},
    };
    const struct sla_history history = {
        .channel = "", .customer_number = 1, .customer_time_us = 1, .moments = moments, .count = 2};
    sla_targets_derive(sla_terms_targets(terms), &history, LATER * 10, &timers);
    return timers.count;
}

Test(sla_terms, what_ended_before_a_target_was_there_has_none)
{
    first_reply(NULL, 0, NULL, 0, NULL, 0);
    sla_terms *terms = terms_since(LATER);
    cr_assert_eq(timers_of(terms, LATER - 1), 0);
    cr_assert_eq(timers_of(terms, LATER), 1);
    sla_terms_release(terms);
}

Test(sla_terms, what_ended_under_a_later_target_falls_to_it)
{
    wire_target *two[] = {&target, &target}; /* of which the second has been there for longer */
    const int64_t since_us[] = {LATER, FIRST};
    sla_terms *terms;
    error err;
    first_reply(NULL, 0, NULL, 0, NULL, 0);
    policy.targets = two;
    policy.n_targets = 2;
    cr_assert(sla_terms_new(&policy, "UTC", since_us, &terms, &err), "%s", err.message);
    cr_assert_eq(timers_of(terms, FIRST - 1), 0);
    cr_assert_eq(timers_of(terms, FIRST), 1);
    sla_terms_release(terms);
}
