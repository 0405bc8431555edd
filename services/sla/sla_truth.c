#include "sla/sla_truth.h"

#include "base/clock.h"
#include "base/log.h"
#include "feed/partition.h"
#include "sla/sla_cases.h"
#include "sla/sla_history.h"
#include "sla/sla_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_CASES = 1000, REARM_CASES = 200, REARM_TRIES = 50 };

#define SWEEP_ROOM_WAIT_US (10 * CLOCK_SECOND)
#define PAGE_TIME_US (5 * CLOCK_SECOND)

static struct timer timer_of(const struct due_case *due, const struct sla_policy *policy)
{
    struct timer timer = {
        .case_id = due->case_id,
        .rule = policy->rule,
        .version = due->version,
        .due_us = sla_rules_due(policy, due->basis_time_us),
    };
    memcpy(timer.account, due->account, sizeof timer.account);
    return timer;
}

/* Called with the timers of each page, also when there are none. */
typedef bool timers_page(void *context, const struct timer *timers, size_t count, error *err);

/* Those timers of a page that fall under `rule`: a walk over all accounts meets some that have chosen the
 * other one. */
static bool hand_over(const struct sla_parts *parts, const struct due_case *cases, size_t count,
                      enum sla_rule rule, timers_page *page, void *context, error *err)
{
    struct timer *timers = calloc(count + 1, sizeof *timers);
    if (!timers)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    size_t own = 0;
    for (size_t i = 0; i < count; i++) {
        struct sla_policy policy = sla_policies_get(parts->policies, cases[i].account);
        if (policy.rule == rule)
            timers[own++] = timer_of(&cases[i], &policy);
    }
    bool ok = page(context, timers, own, err);
    free(timers);
    return ok;
}

static bool walk(const struct sla_parts *parts, struct due_walk *walk, timers_page *page, void *context,
                 error *err)
{
    bool ok = true;
    while (ok && !walk->end) {
        struct due_case *cases;
        size_t count;
        ok = due_walk_next(walk, parts->cases, &cases, &count, err);
        if (!ok)
            break;
        ok = hand_over(parts, cases, count, walk->rule, page, context, err);
        free(cases);
    }
    due_walk_release(walk);
    return ok;
}

/* The walk of one account under its own policy. */
static struct due_walk walk_of(const struct sla_policy_row *row, int64_t unchanged_since_us, int page_size)
{
    return (struct due_walk){
        .account = row->account,
        .rule = row->policy.rule,
        .unchanged_since_us = unchanged_since_us,
        .page_size = page_size,
    };
}

/* --- targets -------------------------------------------------------------------------------------- */

/* How far the steps of closed cases are recorded. */
struct settling {
    int64_t settled_us; /* those last changed before that have none left */
    bool open;          /* one has */
};

static void note_settled(struct settling *settling, const struct sla_case *one, bool left)
{
    settling->open = settling->open || left;
    if (!settling->open)
        settling->settled_us = one->update_time_us;
}

/* When the cases of one page are to be looked at next. */
struct looks {
    struct timer *items; /* owned */
    size_t count,
        idle; /* those cases; behind them those that are not to be looked at, whose time means nothing */
};

static struct timer look_of(const char *account, const struct sla_case *one)
{
    struct timer look = {.case_id = one->case_id, .rule = SLA_RULE_TARGETS, .version = one->version};
    snprintf(look.account, sizeof look.account, "%s", account);
    return look;
}

/* The next page of a walk. `settling`: over closed cases; else NULL. */
static bool target_page(const struct sla_parts *parts, sla_terms *terms, struct sla_case_walk *walk,
                        struct settling *settling, int64_t deadline_us, struct looks *ret_looks, error *err)
{
    struct sla_case_page page;
    if (!sla_case_walk_next(walk, parts->cases, deadline_us, &page, err))
        return false;
    struct looks looks = {.items = calloc(page.count + 1, sizeof *looks.items)};
    int64_t now_us = suite_clock_now_us(parts->clock);
    for (size_t i = 0; looks.items && i < page.count; i++) {
        struct timer *look = &looks.items[looks.count];
        bool left = sla_history_timer(terms, walk->account, &page.cases[i], now_us, look);
        if (left)
            looks.count++;
        else
            looks.items[page.count - ++looks.idle] = look_of(walk->account, &page.cases[i]);
        if (settling)
            note_settled(settling, &page.cases[i], left);
    }
    sla_case_page_release(&page);
    if (!looks.items)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    *ret_looks = looks;
    return true;
}

/* The timers of an account's targets, page by page: in closed cases with `settling`, else in all others. */
static bool walk_targets(const struct sla_parts *parts, const char *account, struct settling *settling,
                         timers_page *page, void *context, error *err)
{
    struct sla_case_walk walk = {.account = account, .closed_since_us = settling ? settling->settled_us : 0};
    sla_terms *terms = sla_policies_terms(parts->policies, account);
    bool ok = true;
    while (ok && terms && !walk.end) {
        struct looks looks = {0};
        int64_t deadline_us = clock_monotonic_us() + PAGE_TIME_US;
        ok = target_page(parts, terms, &walk, settling, deadline_us, &looks, err) &&
             page(context, looks.items, looks.count, err);
        free(looks.items);
    }
    sla_case_walk_release(&walk);
    sla_terms_release(terms);
    return ok;
}

/* What is left of closed cases, which no walk over running ones meets. */
static bool walk_closed(const struct sla_parts *parts, const struct sla_policy_row *row, timers_page *page,
                        void *context, error *err)
{
    struct settling settling = {.settled_us = row->settled_time_us};
    return walk_targets(parts, row->account, &settling, page, context, err) &&
           (settling.settled_us == row->settled_time_us ||
            sla_policies_settle(parts->policies, row->account, settling.settled_us, err));
}

/* --- rebuilding ----------------------------------------------------------------------------------- */

struct rebuild {
    const struct sla_parts *parts;
    const char *token;
    uint64_t buckets;
    int64_t timers;
};

static bool rebuild_page(void *context, const struct timer *timers, size_t count, error *err)
{
    struct rebuild *rebuild = context;
    struct timer *wanted = calloc(count + 1, sizeof *wanted);
    if (!wanted)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        if (rebuild->buckets >> feed_partition(timers[i].account) & 1)
            wanted[own++] = timers[i];
    enum timer_outcome outcome = TIMER_APPLIED;
    bool ok = timer_store_rebuild_insert(rebuild->parts->timers, rebuild->buckets, rebuild->token, wanted,
                                         own, &outcome, err);
    free(wanted);
    if (ok && outcome != TIMER_APPLIED)
        return error_set(err, STATUS_ABORTED, "REBUILD_LOST",
                         "the schedule was emptied while it was rebuilt");
    rebuild->timers += (int64_t)own;
    if (ok && own > 0)
        sla_firing_look(rebuild->parts->firing);
    return ok;
}

static bool finish_bucket(const struct rebuild *rebuild, int bucket, const struct feed_positions *heads,
                          const struct sla_policy_row *rows, size_t count, bool *ret_whole, error *err)
{
    struct timer_policy_version *versions = calloc(count + 1, sizeof *versions);
    if (!versions)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        if (feed_partition(rows[i].account) == bucket)
            versions[own++] =
                (struct timer_policy_version){.account = rows[i].account, .version = rows[i].policy.version};
    enum timer_outcome outcome;
    bool ok = timer_store_rebuild_finish(rebuild->parts->timers, bucket, rebuild->token, heads->epoch,
                                         heads->at[bucket], versions, own, &outcome, err);
    free(versions);
    if (ok)
        *ret_whole = outcome == TIMER_APPLIED;
    return ok;
}

/*
 * One walk per closing rule that is in use over all accounts would read far more than is needed; the default
 * is walked once, the accounts that have chosen something else one by one.
 */
static bool fill(struct rebuild *rebuild, const struct sla_policy_row *rows, size_t count, error *err)
{
    struct due_walk all = {.rule = SLA_RULE_RESOLVED, .page_size = PAGE_CASES};
    bool ok = walk(rebuild->parts, &all, rebuild_page, rebuild, err);
    for (size_t i = 0; ok && i < count; i++) {
        if (!(rebuild->buckets >> feed_partition(rows[i].account) & 1))
            continue;
        struct due_walk one = walk_of(&rows[i], 0, PAGE_CASES);
        ok = rows[i].policy.rule == SLA_RULE_RESOLVED ||
             walk(rebuild->parts, &one, rebuild_page, rebuild, err);
        ok = ok && (!rows[i].policy.has_targets ||
                    (walk_targets(rebuild->parts, rows[i].account, NULL, rebuild_page, rebuild, err) &&
                     walk_closed(rebuild->parts, &rows[i], rebuild_page, rebuild, err)));
    }
    return ok;
}

static bool rebuild_begun(struct rebuild *rebuild, const struct feed_positions *heads, uint64_t *ret_rebuilt,
                          error *err)
{
    struct sla_policy_row *rows;
    size_t count;
    uint64_t rebuilt = 0;
    if (!sla_policies_reload(rebuild->parts->policies, err) ||
        !sla_policies_all(rebuild->parts->policies, &rows, &count, err))
        return false;
    bool ok = fill(rebuild, rows, count, err);
    for (int b = 0; ok && b < TIMER_BUCKETS; b++) {
        bool whole = false;
        if (!(rebuild->buckets >> b & 1))
            continue;
        ok = finish_bucket(rebuild, b, heads, rows, count, &whole, err);
        if (whole)
            rebuilt |= UINT64_C(1) << b;
    }
    free(rows);
    *ret_rebuilt = rebuilt;
    return ok;
}

bool sla_truth_rebuild(const struct sla_parts *parts, uint64_t buckets, const char *token,
                       uint64_t *ret_rebuilt, error *err)
{
    struct rebuild rebuild = {.parts = parts, .token = token};
    struct feed_positions heads;
    *ret_rebuilt = 0;
    /* The positions come first: whatever changes while the truth is read comes again with the feed. */
    if (!sla_cases_positions(parts->cases, &heads, err) ||
        !timer_store_rebuild_begin(parts->timers, buckets, token, &rebuild.buckets, err))
        return false;
    if (rebuild.buckets == 0)
        return true;
    if (!rebuild_begun(&rebuild, &heads, ret_rebuilt, err))
        return false;
    int64_t count = __builtin_popcountll(*ret_rebuilt);
    sla_metrics_rebuilt(count);
    log_info("schedule rebuilt", LOG_NUMBER("buckets", count), LOG_NUMBER("timers", rebuild.timers));
    sla_firing_look(parts->firing);
    return true;
}

/* --- a changed policy ----------------------------------------------------------------------------- */

static bool not_now(enum timer_outcome outcome, error *err)
{
    switch (outcome) {
    case TIMER_APPLIED:
        return false;
    case TIMER_POLICY:
        error_set(err, STATUS_ABORTED, "POLICY_OUTDATED", "the policy has been changed meanwhile");
        return true;
    default:
        error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST", "the timers' schedule is being rebuilt");
        return true;
    }
}

struct rearm {
    const struct sla_parts *parts;
    const struct sla_policy_row *row;
    struct timer_policy_version version;
    int64_t deadline_us;
    int64_t position; /* of the bucket, before what was last read */
};

static bool read_position(struct rearm *rearm, error *err)
{
    struct timer_bucket buckets[TIMER_BUCKETS];
    if (!timer_store_status(rearm->parts->timers, buckets, err))
        return false;
    rearm->position = buckets[feed_partition(rearm->row->account)].position;
    return true;
}

/* One page: read after the position, so that what the bucket refuses is what has moved in between. */
static bool rearm_page(struct rearm *rearm, struct due_walk *walk, struct timer_rearmed *ret_rearmed,
                       error *err)
{
    struct due_case *cases;
    size_t count;
    if (!read_position(rearm, err) || !due_walk_next(walk, rearm->parts->cases, &cases, &count, err))
        return false;
    struct timer *timers = calloc(count + 1, sizeof *timers);
    for (size_t i = 0; timers && i < count; i++)
        timers[i] = timer_of(&cases[i], &rearm->row->policy);
    free(cases);
    if (!timers)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    bool ok = timer_store_rearm(rearm->parts->timers, &rearm->version, rearm->position, timers, count,
                                ret_rearmed, err);
    free(timers);
    return ok;
}

/* One page until the bucket has taken it all. */
static bool rearm_page_whole(struct rearm *rearm, struct due_walk *walk, error *err)
{
    for (int tries = 0; tries < REARM_TRIES; tries++) {
        struct due_walk again = *walk;
        struct timer_rearmed rearmed = {.outcome = TIMER_LOST};
        again.page_token = walk->page_token ? strdup(walk->page_token) : NULL;
        if (clock_monotonic_us() >= rearm->deadline_us) {
            due_walk_release(&again);
            return error_set(err, STATUS_DEADLINE_EXCEEDED, "", "the policy is still being applied");
        }
        if (!rearm_page(rearm, &again, &rearmed, err) || not_now(rearmed.outcome, err)) {
            due_walk_release(&again);
            return false;
        }
        if (rearmed.refused == 0) {
            due_walk_release(walk);
            *walk = again;
            return true;
        }
        due_walk_release(&again);
    }
    return error_set(err, STATUS_ABORTED, "TOO_BUSY", "the account changes too fast to apply the policy now");
}

static bool rearm_all(struct rearm *rearm, error *err)
{
    struct due_walk walk = walk_of(rearm->row, 0, REARM_CASES);
    bool ok = true;
    while (ok && !walk.end)
        ok = rearm_page_whole(rearm, &walk, err);
    due_walk_release(&walk);
    return ok;
}

/* Takes away the looks at cases that have no step left; newer ones stay. */
static bool drop_idle(const struct rearm *rearm, const struct looks *looks, error *err)
{
    enum timer_outcome outcome = TIMER_APPLIED;
    return (looks->idle == 0 || timer_store_drop(rearm->parts->timers, &rearm->version,
                                                 looks->items + looks->count, looks->idle, &outcome, err)) &&
           !not_now(outcome, err);
}

/* As rearm_all, for the steps of targets. */
static bool rearm_target_page(struct rearm *rearm, sla_terms *terms, struct sla_case_walk *walk,
                              struct timer_rearmed *ret_rearmed, error *err)
{
    struct looks looks = {0};
    bool ok = read_position(rearm, err) &&
              target_page(rearm->parts, terms, walk, NULL, rearm->deadline_us, &looks, err) &&
              timer_store_rearm(rearm->parts->timers, &rearm->version, rearm->position, looks.items,
                                looks.count, ret_rearmed, err) &&
              (ret_rearmed->outcome != TIMER_APPLIED || drop_idle(rearm, &looks, err));
    free(looks.items);
    return ok;
}

static bool rearm_targets(struct rearm *rearm, error *err)
{
    struct sla_case_walk walk = {.account = rearm->row->account};
    sla_terms *terms = sla_policies_terms(rearm->parts->policies, rearm->row->account);
    bool ok = true;
    int tries = 0;
    while (ok && terms && !walk.end) {
        struct sla_case_walk again = walk;
        struct timer_rearmed rearmed = {.outcome = TIMER_LOST};
        again.page_token = walk.page_token ? strdup(walk.page_token) : NULL;
        ok = rearm_target_page(rearm, terms, &again, &rearmed, err) && !not_now(rearmed.outcome, err) &&
             (++tries < REARM_TRIES || rearmed.refused == 0 ||
              error_set(err, STATUS_ABORTED, "TOO_BUSY",
                        "the account changes too fast to apply the policy now"));
        bool whole = ok && rearmed.refused == 0;
        sla_case_walk_release(whole ? &walk : &again);
        if (whole) {
            walk = again;
            tries = 0;
        }
    }
    sla_case_walk_release(&walk);
    sla_terms_release(terms);
    return ok;
}

bool sla_truth_apply_policy(const struct sla_parts *parts, const struct sla_policy_row *row,
                            int64_t deadline_us, int64_t *ret_position, error *err)
{
    struct rearm rearm = {
        .parts = parts,
        .row = row,
        .version = {.account = row->account, .version = row->policy.version},
        .deadline_us = deadline_us,
    };
    enum timer_outcome outcome;
    if (!timer_store_fence(parts->timers, &rearm.version, &outcome, err) || not_now(outcome, err) ||
        !rearm_all(&rearm, err) || (row->policy.has_targets && !rearm_targets(&rearm, err)))
        return false;
    if (!timer_store_drop_other_rules(parts->timers, &rearm.version, row->policy.rule,
                                      row->policy.has_targets, &outcome, err) ||
        not_now(outcome, err))
        return false;
    if (!sla_policies_mark_applied(parts->policies, row->account, row->policy.version, err))
        return false;
    sla_firing_look(parts->firing);
    *ret_position = rearm.position;
    return true;
}

/* --- the sweep ------------------------------------------------------------------------------------ */

struct sweep {
    const struct sla_parts *parts;
    int64_t due_before_us;
    bool custom; /* walking one account that has changed its policy, not all others */
    int64_t fired;
};

static bool sweep_page(void *context, const struct timer *timers, size_t count, error *err)
{
    struct sweep *sweep = context;
    for (size_t i = 0; i < count; i++) {
        bool custom = sla_policies_get(sweep->parts->policies, timers[i].account).version > 0;
        if (custom != sweep->custom || timers[i].due_us > sweep->due_before_us)
            continue;
        if (!sla_firing_fire(sweep->parts->firing, &timers[i], clock_monotonic_us() + SWEEP_ROOM_WAIT_US))
            return error_set(err, STATUS_UNAVAILABLE, "FIRING_STALLED", "closing does not come on");
        sweep->fired++;
    }
    return true;
}

/* The policies as PostgreSQL has them now. */
static bool read_policies(const struct sla_parts *parts, struct sla_policy_row **ret_rows, size_t *ret_count,
                          error *err)
{
    return sla_policies_reload(parts->policies, err) &&
           sla_policies_all(parts->policies, ret_rows, ret_count, err);
}

bool sla_truth_sweep(const struct sla_parts *parts, int64_t grace_us, int64_t *ret_fired, error *err)
{
    struct sla_policy_row *rows;
    size_t count;
    if (!read_policies(parts, &rows, &count, err))
        return false;
    struct sweep sweep = {.parts = parts, .due_before_us = suite_clock_now_us(parts->clock) - grace_us};
    struct sla_policy usual = sla_rules_default();
    struct due_walk all = {
        .rule = usual.rule,
        .unchanged_since_us = sweep.due_before_us - usual.duration_us,
        .page_size = PAGE_CASES,
    };
    bool ok = walk(parts, &all, sweep_page, &sweep, err);
    sweep.custom = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct due_walk one = walk_of(&rows[i], sweep.due_before_us - rows[i].policy.duration_us, PAGE_CASES);
        ok = walk(parts, &one, sweep_page, &sweep, err) &&
             (!rows[i].policy.has_targets || walk_closed(parts, &rows[i], sweep_page, &sweep, err));
    }
    free(rows);
    *ret_fired = sweep.fired;
    return ok;
}

bool sla_truth_sweep_targets(const struct sla_parts *parts, int64_t grace_us, int64_t *ret_fired, error *err)
{
    struct sla_policy_row *rows;
    size_t count;
    if (!read_policies(parts, &rows, &count, err))
        return false;
    struct sweep sweep = {
        .parts = parts, .due_before_us = suite_clock_now_us(parts->clock) - grace_us, .custom = true};
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = !rows[i].policy.has_targets ||
             walk_targets(parts, rows[i].account, NULL, sweep_page, &sweep, err);
    free(rows);
    *ret_fired = sweep.fired;
    return ok;
}
