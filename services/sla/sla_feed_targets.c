#include "sla/sla_feed_targets.h"

#include "base/clock.h"
#include "sla/sla_history.h"

#include <string.h>

enum { CASES_AT_ONCE = 200 };

#define READ_TIME_US (5 * CLOCK_SECOND)
#define MARKED INT64_C(-1) /* in place of a deadline */

void sla_feed_mark_targets(struct timer_change *change, int64_t policy_version)
{
    change->timer.rule = SLA_RULE_TARGETS;
    change->timer.due_us = MARKED;
    change->policy_version = policy_version;
}

static bool is_marked(const struct timer_change *change)
{
    return change->timer.rule == SLA_RULE_TARGETS && change->timer.due_us == MARKED &&
           change->policy_version >= 0;
}

/* The marked cases of an account, each once, from the first one on. */
static size_t collect(const struct timer_change *changes, size_t count, int64_t ids[CASES_AT_ONCE])
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < CASES_AT_ONCE; i++) {
        if (!is_marked(&changes[i]) || strcmp(changes[i].timer.account, changes[0].timer.account) != 0)
            continue;
        size_t j = 0;
        while (j < found && ids[j] != changes[i].timer.case_id)
            j++;
        if (j == found)
            ids[found++] = changes[i].timer.case_id;
    }
    return found;
}

/* The case's next step; one that does not exist any more has none. */
static void settle_case(const struct sla_parts *parts, sla_terms *terms, const struct sla_case_page *page,
                        int64_t case_id, struct timer_change *changes, size_t count)
{
    struct timer timer;
    bool armed = false;
    for (size_t i = 0; i < page->count; i++)
        if (page->cases[i].case_id == case_id)
            armed = terms && sla_history_timer(terms, changes[0].timer.account, &page->cases[i],
                                               suite_clock_now_us(parts->clock), &timer);
    for (size_t i = count; i > 0; i--) {
        struct timer_change *change = &changes[i - 1];
        if (!is_marked(change) || change->timer.case_id != case_id ||
            strcmp(change->timer.account, changes[0].timer.account) != 0)
            continue;
        change->armed = armed;
        if (armed)
            change->timer = timer;
        else
            change->timer.due_us = 0;
    }
}

bool sla_feed_derive_targets(const struct sla_parts *parts, struct timer_change *changes, size_t count,
                             error *err)
{
    int64_t ids[CASES_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        struct sla_case_page page;
        if (!is_marked(&changes[i]))
            continue;
        size_t found = collect(changes + i, count - i, ids);
        if (!sla_history_named(parts->cases, changes[i].timer.account, ids, found,
                               clock_monotonic_us() + READ_TIME_US, &page, err))
            return false;
        sla_terms *terms = sla_policies_terms(parts->policies, changes[i].timer.account);
        for (size_t j = 0; j < found; j++)
            settle_case(parts, terms, &page, ids[j], changes + i, count - i);
        sla_terms_release(terms);
        sla_case_page_release(&page);
    }
    return true;
}
