#include "sla/sla_expected.h"

#include "base/clock.h"
#include "sla/sla_cases.h"
#include "sla/sla_history.h"
#include "sla/sla_wire.h"

#include <stdlib.h>
#include <string.h>

enum { CASES_AT_ONCE = 200 };

#define READ_TIME_US (5 * CLOCK_SECOND)

bool sla_expected_of(const struct sla_parts *parts, const char *case_name,
                     const Casework__Cases__V1__CaseFacts *facts, struct sla_expected *ret_expected,
                     error *err)
{
    struct sla_expected expected = {0};
    struct sla_facts known;
    struct sla_deadline deadline;
    if (!sla_cases_parse_name(case_name, expected.account, &expected.case_id) ||
        !sla_wire_facts(facts, &known))
        return error_set(err, STATUS_INTERNAL, "BAD_FACTS", "a case's facts cannot be read");
    struct sla_policy policy = sla_policies_get(parts->policies, expected.account);
    expected.policy_version = policy.version;
    if (sla_rules_deadline(&policy, &known, &deadline)) {
        struct timer *timer = &expected.timers[expected.count++];
        memcpy(timer->account, expected.account, sizeof timer->account);
        timer->case_id = expected.case_id;
        timer->rule = deadline.rule;
        timer->version = deadline.version;
        timer->due_us = deadline.due_us;
    }
    *ret_expected = expected;
    return true;
}

/* --- targets -------------------------------------------------------------------------------------- */

static void forget_targets(struct sla_expected *expected)
{
    size_t kept = 0;
    for (size_t i = 0; i < expected->count; i++)
        if (expected->timers[i].rule != SLA_RULE_TARGETS)
            expected->timers[kept++] = expected->timers[i];
    expected->count = kept;
}

/* The first of the cases with that number, which are all of one account. */
static struct sla_expected *find_case(struct sla_expected *cases, size_t count, int64_t case_id)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].case_id == case_id)
            return &cases[i];
    return NULL;
}

/* Cases of one account. */
static bool add_targets(const struct sla_parts *parts, const sla_terms *terms, struct sla_expected *cases,
                        size_t count, error *err)
{
    struct sla_case_page page;
    int64_t ids[CASES_AT_ONCE];
    for (size_t i = 0; i < count; i++)
        ids[i] = cases[i].case_id;
    if (!sla_history_named(parts->cases, cases[0].account, ids, count, clock_monotonic_us() + READ_TIME_US,
                           &page, err))
        return false;
    int64_t now_us = suite_clock_now_us(parts->clock);
    for (size_t i = 0; i < page.count; i++) {
        struct sla_expected *expected = find_case(cases, count, page.cases[i].case_id);
        struct timer timer;
        if (expected && sla_history_timer(terms, cases[0].account, &page.cases[i], now_us, &timer))
            expected->timers[expected->count++] = timer;
    }
    sla_case_page_release(&page);
    return true;
}

bool sla_expected_targets(const struct sla_parts *parts, struct sla_expected *cases, size_t count, error *err)
{
    bool ok = true;
    for (size_t i = 0; i < count; i++)
        forget_targets(&cases[i]);
    for (size_t at = 0; ok && at < count;) {
        size_t end = at + 1;
        while (end < count && end - at < CASES_AT_ONCE && strcmp(cases[end].account, cases[at].account) == 0)
            end++;
        sla_terms *terms = sla_policies_terms(parts->policies, cases[at].account);
        ok = !terms || add_targets(parts, terms, cases + at, end - at, err);
        sla_terms_release(terms);
        at = end;
    }
    return ok;
}

bool sla_expected_part(const struct sla_parts *parts, const Casework__Cases__V1__StreamSnapshotResponse *part,
                       struct sla_expected **ret_cases, error *err)
{
    struct sla_expected *cases = calloc(part->n_cases + 1, sizeof *cases);
    bool ok = cases || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    for (size_t i = 0; ok && i < part->n_cases; i++)
        ok = sla_expected_of(parts, part->cases[i]->name, part->cases[i]->facts, &cases[i], err);
    if (!ok || !sla_expected_targets(parts, cases, part->n_cases, err)) {
        free(cases);
        return false;
    }
    *ret_cases = cases;
    return true;
}
