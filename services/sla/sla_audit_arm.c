/* One partition armed anew: its cases' timers, the soonest first. */

#include "base/clock.h"
#include "sla/sla_audit.h"
#include "sla/sla_cases.h"
#include "sla/sla_expected.h"
#include "sla/sla_replay.h"

#include <uthash.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARM_TIMERS = 200, ARM_TRIES = 50, ARM_ROUNDS = 3, CASE_KEY_SIZE = TIMER_ACCOUNT_SIZE + 24 };

/* A case that has changed since the snapshot: the feed has armed it, or will. */
struct changed {
    char key[CASE_KEY_SIZE]; /* "acme/4711" */
    UT_hash_handle hh;
};

struct arming {
    struct sla_audit *audit;
    struct sla_replay history;
    struct feed_positions at; /* up to where changes are known */
    struct timer *timers;
    size_t count, size;
    struct changed *changed;
    bool outdated; /* a policy has changed meanwhile */
};

/* --- what there is to arm ------------------------------------------------------------------------- */

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static bool add_timers(struct arming *arming, const struct sla_expected *expected, error *err)
{
    if (arming->count + expected->count > arming->size) {
        size_t size = arming->size ? 2 * arming->size : 1024;
        struct timer *timers = realloc(arming->timers, size * sizeof *timers);
        if (!timers)
            return out_of_memory(err);
        arming->timers = timers;
        arming->size = size;
    }
    for (size_t i = 0; i < expected->count; i++)
        arming->timers[arming->count++] = expected->timers[i];
    return true;
}

static bool collect(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part, error *err)
{
    struct arming *arming = context;
    struct sla_expected *cases;
    if (!sla_expected_part(arming->audit->parts, part, &cases, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < part->n_cases; i++)
        ok = add_timers(arming, &cases[i], err);
    free(cases);
    arming->audit->cases_total += (int64_t)part->n_cases;
    return ok;
}

static int by_deadline(const void *a, const void *b)
{
    const struct timer *first = a;
    const struct timer *second = b;
    if (first->due_us != second->due_us)
        return first->due_us < second->due_us ? -1 : 1;
    return strcmp(first->account, second->account);
}

static int by_account(const void *a, const void *b)
{
    const struct timer *first = a;
    const struct timer *second = b;
    int order = strcmp(first->account, second->account);
    return order ? order : by_deadline(a, b);
}

/* --- what has changed meanwhile ------------------------------------------------------------------- */

static bool note_change(void *context, const Casework__Cases__V1__Event *event, error *err)
{
    struct arming *arming = context;
    char account[TIMER_ACCOUNT_SIZE];
    int64_t case_id;
    struct changed *changed;
    char key[CASE_KEY_SIZE];
    if (!event->case_facts || !sla_cases_parse_name(event->case_, account, &case_id))
        return true;
    snprintf(key, sizeof key, "%s/%" PRId64, account, case_id);
    HASH_FIND_STR(arming->changed, key, changed);
    if (changed)
        return true;
    changed = calloc(1, sizeof *changed);
    if (!changed)
        return out_of_memory(err);
    memcpy(changed->key, key, sizeof key);
    HASH_ADD_STR(arming->changed, key, changed);
    return true;
}

static bool has_changed(const struct arming *arming, const struct timer *timer)
{
    struct changed *changed;
    char key[CASE_KEY_SIZE];
    snprintf(key, sizeof key, "%s/%" PRId64, timer->account, timer->case_id);
    HASH_FIND_STR(arming->changed, key, changed);
    return changed != NULL;
}

static bool follow(struct arming *arming, error *err)
{
    struct feed_positions heads;
    return sla_cases_positions(arming->audit->parts->cases, &heads, err) &&
           sla_replay_read(&arming->history, &arming->at, &heads, note_change, arming, err);
}

/* --- arming --------------------------------------------------------------------------------------- */

/*
 * Timers of one account. What the schedule does not know it takes only if it has not moved beyond what is
 * known here; then there is more of the feed to be looked at first.
 */
static bool arm_account(struct arming *arming, struct timer *timers, size_t count, int partition, error *err)
{
    const struct sla_parts *parts = arming->audit->parts;
    struct timer_policy_version policy = sla_audit_policy(arming->audit, timers[0].account);
    for (int tries = 0; tries < ARM_TRIES; tries++) {
        struct timer_rearmed rearmed;
        size_t left = 0;
        for (size_t i = 0; i < count; i++)
            if (!has_changed(arming, &timers[i]))
                timers[left++] = timers[i];
        count = left;
        if (count == 0)
            return true;
        if (!timer_store_rearm(parts->timers, &policy, arming->at.at[partition], timers, count, &rearmed,
                               err))
            return false;
        arming->outdated = arming->outdated || rearmed.outcome == TIMER_POLICY;
        if (arming->outdated)
            return true;
        if (rearmed.outcome != TIMER_APPLIED)
            return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST",
                             "the timers' schedule is being rebuilt");
        if (rearmed.refused == 0) {
            arming->audit->written += (int64_t)count;
            return true;
        }
        if (!sla_audit_goes_on(arming->audit, err) || !follow(arming, err))
            return false;
    }
    return error_set(err, STATUS_ABORTED, "TOO_BUSY", "the account changes too fast to be rebuilt now");
}

/* The next timers by deadline, account by account. */
static bool arm_run(struct arming *arming, struct timer *timers, size_t count, int partition, error *err)
{
    bool ok = true;
    qsort(timers, count, sizeof *timers, by_account);
    for (size_t at = 0; ok && !arming->outdated && at < count;) {
        size_t end = at + 1;
        while (end < count && strcmp(timers[end].account, timers[at].account) == 0)
            end++;
        ok = arm_account(arming, timers + at, end - at, partition, err);
        at = end;
    }
    sla_firing_look(arming->audit->parts->firing);
    return ok &&
           (!arming->audit->progress || arming->audit->progress(arming->audit->context, arming->audit, err));
}

static bool arm_all(struct arming *arming, int partition, error *err)
{
    bool ok = sla_policies_reload(arming->audit->parts->policies, err) &&
              sla_replay_snapshot(&arming->history, &arming->at, collect, arming, err);
    if (ok && arming->count > 0)
        qsort(arming->timers, arming->count, sizeof *arming->timers, by_deadline);
    for (size_t at = 0; ok && !arming->outdated && at < arming->count; at += ARM_TIMERS) {
        size_t left = arming->count - at;
        ok = sla_audit_goes_on(arming->audit, err) &&
             arm_run(arming, arming->timers + at, left < ARM_TIMERS ? left : ARM_TIMERS, partition, err);
    }
    return ok;
}

static void release(struct arming *arming)
{
    struct changed *changed = arming->changed;
    HASH_CLEAR(hh, arming->changed);
    while (changed) {
        struct changed *next = changed->hh.next;
        free(changed);
        changed = next;
    }
    free(arming->timers);
}

bool sla_audit_arm(struct sla_audit *audit, int partition, error *err)
{
    int64_t total = audit->cases_total;
    for (int round = 0; round < ARM_ROUNDS; round++) {
        struct arming arming = {
            .audit = audit,
            .history = {.cases = audit->parts->cases,
                        .account = audit->account,
                        .partitions = UINT64_C(1) << partition,
                        .is_over = audit->is_over,
                        .context = audit->context},
        };
        audit->cases_total = total;
        bool ok = arm_all(&arming, partition, err);
        release(&arming);
        if (!ok || !arming.outdated)
            return ok;
    }
    return error_set(err, STATUS_ABORTED, "POLICY_OUTDATED", "the policy has been changed meanwhile");
}
