#include "sla/sla_preview.h"

#include "base/clock.h"
#include "sla/sla_cases.h"
#include "sla/sla_history.h"

#include <stdlib.h>

enum { PAGE_CASES = 1000, CHANGES_MAX = 4 << 20 };

struct work {
    const struct sla_parts *parts;
    const char *account;
    int64_t deadline_us, now_us;
    struct sla_preview preview;
};

/* --- collecting ----------------------------------------------------------------------------------- */

static bool add(struct work *work, int64_t case_id, const struct sla_timer *timer, bool after, error *err)
{
    struct sla_preview *preview = &work->preview;
    if (preview->count == preview->size) {
        size_t size = preview->size ? 2 * preview->size : 256;
        struct sla_timer_change *grown =
            size <= CHANGES_MAX ? realloc(preview->changes, size * sizeof *grown) : NULL;
        if (!grown)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_TIMERS",
                             "the account has too many timers to tell");
        preview->changes = grown;
        preview->size = size;
    }
    struct sla_timer_change change = {
        .case_id = case_id, .kind = timer->kind, .has_before = !after, .has_after = after};
    if (after)
        change.after = *timer;
    else
        change.before = *timer;
    preview->changes[preview->count++] = change;
    return true;
}

static bool in_time(const struct work *work, error *err)
{
    return clock_monotonic_us() < work->deadline_us ||
           error_set(err, STATUS_DEADLINE_EXCEEDED, "", "the account's timers could not be read in time");
}

static bool add_closings(struct work *work, const struct sla_policy *policy, bool after, error *err)
{
    struct due_walk walk = {.account = work->account, .rule = policy->rule, .page_size = PAGE_CASES};
    bool ok = true;
    while (ok && !walk.end) {
        struct due_case *cases = NULL;
        size_t count = 0;
        ok = in_time(work, err) && due_walk_next(&walk, work->parts->cases, &cases, &count, err);
        for (size_t i = 0; ok && i < count; i++) {
            struct sla_timer timer = {
                .kind = SLA_KIND_CLOSE,
                .state = SLA_STATE_ARMED,
                .basis = cases[i].version,
                .basis_time_us = cases[i].basis_time_us,
                .due_us = sla_rules_due(policy, cases[i].basis_time_us),
            };
            ok = add(work, cases[i].case_id, &timer, after, err);
        }
        free(cases);
    }
    due_walk_release(&walk);
    return ok;
}

static bool add_case(struct work *work, const struct sla_case *one, sla_terms *terms, bool after, error *err)
{
    struct sla_case_timers timers = {.count = 0};
    if (terms)
        sla_targets_derive(sla_terms_targets(terms), &one->history, work->now_us, &timers);
    for (size_t i = 0; i < timers.count; i++)
        if (!add(work, one->case_id, &timers.timers[i], after, err))
            return false;
    return true;
}

static bool add_targets(struct work *work, sla_terms *before, sla_terms *after, error *err)
{
    struct sla_case_walk walk = {.account = work->account, .end = before == after};
    bool ok = true;
    while (ok && !walk.end) {
        struct sla_case_page page = {0};
        ok = sla_case_walk_next(&walk, work->parts->cases, work->deadline_us, &page, err);
        for (size_t i = 0; ok && i < page.count; i++)
            ok = add_case(work, &page.cases[i], before, false, err) &&
                 add_case(work, &page.cases[i], after, true, err);
        if (page.memory)
            sla_case_page_release(&page);
    }
    sla_case_walk_release(&walk);
    return ok;
}

/* --- comparing ------------------------------------------------------------------------------------ */

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_timer(const void *a, const void *b)
{
    const struct sla_timer_change *first = a;
    const struct sla_timer_change *second = b;
    int order = compare(first->case_id, second->case_id);
    order = order ? order : compare((int64_t)first->kind, (int64_t)second->kind);
    return order ? order : compare(first->has_after, second->has_after);
}

int64_t sla_preview_place(const struct sla_timer_change *change)
{
    return (change->case_id * SLA_KINDS + (int64_t)change->kind) * 2 + change->has_after;
}

int64_t sla_preview_due(const struct sla_timer_change *change)
{
    int64_t due_us = change->has_after ? change->after.due_us : change->before.due_us;
    return due_us ? due_us : INT64_MAX; /* stands still: last */
}

static int by_due(const void *a, const void *b)
{
    int order = compare(sla_preview_due(a), sla_preview_due(b));
    return order ? order : by_timer(a, b);
}

static bool is_over(const struct sla_timer *timer, int64_t now_us)
{
    return timer->state == SLA_STATE_BREACHED || (timer->due_us != 0 && timer->due_us <= now_us);
}

/* Ended timers stay whatever the policy says: a target that is taken away takes none of them back. */
static bool is_change(const struct sla_timer_change *change)
{
    if (change->has_before && change->has_after)
        return change->before.due_us != change->after.due_us || change->before.state != change->after.state ||
               change->before.basis != change->after.basis;
    const struct sla_timer *one = change->has_before ? &change->before : &change->after;
    return one->state != SLA_STATE_MET && one->state != SLA_STATE_BREACHED;
}

static void count_change(struct sla_effect *effect, const struct sla_timer_change *change, int64_t now_us)
{
    effect->moved += change->has_before && change->has_after;
    effect->added += !change->has_before;
    effect->removed += !change->has_after;
    if (!change->has_after || !is_over(&change->after, now_us))
        return;
    effect->closing += change->kind == SLA_KIND_CLOSE;
    effect->breached +=
        change->kind != SLA_KIND_CLOSE && !(change->has_before && is_over(&change->before, now_us));
}

/*
 * Whether these are the two halves of one timer. A target's is another one where it counts from another
 * message: without the one that runs, the one that ended before it shows.
 */
static bool is_pair(const struct sla_timer_change *before, const struct sla_timer_change *after)
{
    return before->has_before && after->has_after && before->case_id == after->case_id &&
           before->kind == after->kind &&
           (before->kind == SLA_KIND_CLOSE || before->before.basis == after->after.basis);
}

/* The two halves of each timer become one, and what stays as it is goes. */
static void join(struct work *work)
{
    struct sla_preview *preview = &work->preview;
    struct sla_timer_change *changes = preview->changes;
    size_t count = 0;
    if (preview->count > 0)
        qsort(changes, preview->count, sizeof *changes, by_timer);
    for (size_t i = 0; i < preview->count; i++) {
        struct sla_timer_change one = changes[i];
        if (i + 1 < preview->count && is_pair(&one, &changes[i + 1])) {
            one.has_after = true;
            one.after = changes[++i].after;
        }
        if (!is_change(&one))
            continue;
        count_change(&preview->effect, &one, work->now_us);
        changes[count++] = one;
    }
    preview->count = count;
    if (count > 0)
        qsort(changes, count, sizeof *changes, by_due);
}

bool sla_preview_new(const struct sla_parts *parts, const char *account,
                     const struct sla_preview_policy *before, const struct sla_preview_policy *after,
                     int64_t deadline_us, struct sla_preview *ret_preview, error *err)
{
    struct work work = {
        .parts = parts,
        .account = account,
        .deadline_us = deadline_us,
        .now_us = suite_clock_now_us(parts->clock),
    };
    bool same_rule =
        before->policy.rule == after->policy.rule && before->policy.duration_us == after->policy.duration_us;
    if ((!same_rule && (!add_closings(&work, &before->policy, false, err) ||
                        !add_closings(&work, &after->policy, true, err))) ||
        !add_targets(&work, before->terms, after->terms, err)) {
        sla_preview_release(&work.preview);
        return false;
    }
    join(&work);
    *ret_preview = work.preview;
    return true;
}

void sla_preview_release(struct sla_preview *preview)
{
    free(preview->changes);
    *preview = (struct sla_preview){0};
}
