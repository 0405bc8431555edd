#include "sla/sla_feed.h"

#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_feed_targets.h"
#include "sla/sla_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { APPLY_CHANGES = 500, POLICY_TRIES = 3 };

#define HEAL_WAIT_US (60 * CLOCK_SECOND)

typedef Casework__Cases__V1__Event feed_event;

struct sla_feed {
    const struct sla_parts *parts;
    sla_healer *healer;
    void (*caught_up)(void *context);
    void *context;
    feed_consumer *consumer;
    int64_t at[FEED_PARTITIONS]; /* where the buckets stand, as far as this thread knows */
};

/* --- from events to changes ----------------------------------------------------------------------- */

/* The changes that one response makes, partition by partition. */
struct changes {
    struct timer_change *items;
    size_t count, size;
};

static struct timer_change *add_change(struct changes *changes)
{
    if (changes->count == changes->size) {
        size_t size = changes->size ? 2 * changes->size : 256;
        struct timer_change *items = realloc(changes->items, size * sizeof *items);
        if (!items)
            return NULL;
        changes->items = items;
        changes->size = size;
    }
    struct timer_change *change = &changes->items[changes->count++];
    memset(change, 0, sizeof *change);
    return change;
}

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* The change of the case's targets that goes with the one of its closing. */
static bool add_targets(struct changes *changes, int64_t policy_version, error *err)
{
    struct timer_change *change = add_change(changes);
    if (!change)
        return out_of_memory(err);
    *change = changes->items[changes->count - 2];
    change->armed = false;
    sla_feed_mark_targets(change, policy_version);
    return true;
}

/* The timer that the case has after the event, or none. */
static bool add_case(const struct sla_parts *parts, const feed_event *event, struct changes *changes,
                     error *err)
{
    struct sla_facts facts;
    struct sla_deadline deadline;
    struct timer_change *change = add_change(changes);
    if (!change)
        return out_of_memory(err);
    change->position = event->position;
    if (!sla_cases_parse_name(event->case_, change->timer.account, &change->timer.case_id) ||
        !sla_wire_facts(event->case_facts, &facts))
        return error_set(err, STATUS_INTERNAL, "BAD_EVENT", "an event of the feed cannot be read");
    struct sla_policy policy = sla_policies_get(parts->policies, change->timer.account);
    change->timer.rule = policy.rule;
    change->policy_version = policy.version;
    change->armed = sla_rules_deadline(&policy, &facts, &deadline);
    if (change->armed) {
        change->timer.version = deadline.version;
        change->timer.due_us = deadline.due_us;
    }
    return !policy.has_targets || add_targets(changes, policy.version, err);
}

/* Where the account's calendar names no zone it lies in the account's; the healer puts that to work. */
static bool note_zone(const struct sla_parts *parts, sla_healer *healer, const feed_event *event, error *err)
{
    char account[TIMER_ACCOUNT_SIZE];
    bool changed = false;
    if (!sla_cases_parse_account(event->account, account))
        return error_set(err, STATUS_INTERNAL, "BAD_EVENT", "an event of the feed cannot be read");
    if (sla_policies_get(parts->policies, account).version > 0 &&
        !sla_policies_set_zone(parts->policies, account, event->account_facts->time_zone, &changed, err))
        return false;
    if (!changed)
        return true;
    sla_healer_kick(healer);
    return sla_policies_reload(parts->policies, err);
}

/* --- a deleted account ---------------------------------------------------------------------------- */

/* No timer, whatever the policy says. */
static void cancel(struct timer_change *change)
{
    change->armed = false;
    change->policy_version = -1;
}

struct forget {
    struct changes *changes;
    int64_t position;
};

static bool forget_step(void *context, const struct timer *timers, size_t count, error *err)
{
    struct forget *forget = context;
    for (size_t i = 0; i < count; i++) {
        struct timer_change *change = add_change(forget->changes);
        if (!change)
            return out_of_memory(err);
        change->timer = timers[i];
        change->position = forget->position;
        cancel(change);
    }
    return true;
}

/* All its timers go, those that this response would have armed too, and its policy. */
static bool add_deleted_account(const struct sla_parts *parts, const feed_event *event,
                                struct changes *changes, error *err)
{
    char account[TIMER_ACCOUNT_SIZE];
    int64_t time_us;
    struct forget forget = {.changes = changes, .position = event->position};
    if (!sla_cases_parse_account(event->account, account) || !wire_time_us(event->commit_time, &time_us))
        return error_set(err, STATUS_INTERNAL, "BAD_EVENT", "an event of the feed cannot be read");
    for (size_t i = 0; i < changes->count; i++)
        if (strcmp(changes->items[i].timer.account, account) == 0)
            cancel(&changes->items[i]);
    if (!timer_store_scan(parts->timers, account, forget_step, &forget, err) ||
        !sla_policies_delete(parts->policies, account, time_us, err))
        return false;
    struct timer_change *change = add_change(changes);
    if (!change)
        return out_of_memory(err);
    memcpy(change->timer.account, account, sizeof account);
    change->forget_policy = true;
    change->position = event->position;
    cancel(change);
    return true;
}

static bool collect(const struct sla_feed *feed, feed_event *const *events, size_t count, int partition,
                    struct changes *changes, error *err)
{
    const struct sla_parts *parts = feed->parts;
    for (size_t i = 0; i < count; i++) {
        const feed_event *one = events[i];
        if (one->partition != partition)
            continue;
        bool ok = true;
        if (one->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED)
            ok = add_deleted_account(parts, one, changes, err);
        else if (one->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_UPDATED &&
                 one->account_facts)
            ok = note_zone(parts, feed->healer, one, err);
        else if (one->case_facts)
            ok = add_case(parts, one, changes, err);
        if (!ok)
            return false;
    }
    return true;
}

/* --- applying ------------------------------------------------------------------------------------- */

/* The policies that the changes were worked out under, one entry an account; an account that goes needs none.
 */
static bool collect_policies(const struct timer_change *changes, size_t count,
                             struct timer_policy_version **ret_versions, size_t *ret_count, error *err)
{
    struct timer_policy_version *versions = calloc(count + 1, sizeof *versions);
    if (!versions)
        return out_of_memory(err);
    size_t used = 0;
    for (size_t i = 0; changes != NULL && i < count; i++) { /* NULL: there are none */
        bool known = changes[i].policy_version < 0;
        for (size_t j = used; !known && j > 0; j--)
            known = strcmp(versions[j - 1].account, changes[i].timer.account) == 0;
        if (!known)
            versions[used++] = (struct timer_policy_version){
                .account = changes[i].timer.account,
                .version = changes[i].policy_version,
            };
    }
    *ret_versions = versions;
    *ret_count = used;
    return true;
}

static bool apply_part(const struct sla_parts *parts, struct timer_apply *part, error *err)
{
    struct timer_policy_version *versions = NULL;
    if (!collect_policies(part->changes, part->change_count, &versions, &part->policy_count, err))
        return false;
    part->policies = versions;
    bool ok = timer_store_apply(parts->timers, part, 1, err);
    free(versions);
    return ok;
}

/*
 * The end of the next part, which is of bounded size. A part ends where an event's changes do, so that the
 * bucket's position can follow. *ret_moves false: one event (a deleted account's) has more changes than that;
 * they take timers away, so that it does no harm to do some of them again.
 */
static size_t part_end(const struct changes *changes, size_t at, bool *ret_moves)
{
    size_t end = at + APPLY_CHANGES < changes->count ? at + APPLY_CHANGES : changes->count;
    size_t whole = end;
    while (whole > at && whole < changes->count &&
           changes->items[whole].position == changes->items[whole - 1].position)
        whole--;
    *ret_moves = whole > at || end == at;
    return *ret_moves ? whole : end;
}

/* All changes of one partition, in parts of bounded size. *ret_outcome: of the last part tried. */
static bool apply_changes(const struct sla_feed *feed, int partition, const struct changes *changes,
                          int64_t head, enum timer_outcome *ret_outcome, error *err)
{
    struct timer_apply part = {.bucket = partition, .to = feed->at[partition], .outcome = TIMER_APPLIED};
    size_t at = 0;
    do {
        bool moves;
        size_t end = part_end(changes, at, &moves);
        part.from = part.to;
        if (moves)
            part.to = end < changes->count ? changes->items[end - 1].position : head;
        part.changes = changes->items + at;
        part.change_count = end - at;
        if (!apply_part(feed->parts, &part, err))
            return false;
        at = end;
    } while (part.outcome == TIMER_APPLIED && at < changes->count);
    *ret_outcome = part.outcome;
    return true;
}

/* The earliest deadline that was armed. */
static int64_t earliest(const struct changes *changes)
{
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].armed && changes->items[i].timer.due_us < due_us)
            due_us = changes->items[i].timer.due_us;
    return due_us;
}

static bool apply_partition(struct sla_feed *feed, feed_event *const *events, size_t count, int partition,
                            int64_t head, int64_t *ret_due_us, error *err)
{
    enum timer_outcome outcome = TIMER_POLICY;
    for (int tries = 0; outcome == TIMER_POLICY && tries < POLICY_TRIES; tries++) {
        struct changes changes = {0};
        bool ok = (tries == 0 || sla_policies_reload(feed->parts->policies, err)) &&
                  collect(feed, events, count, partition, &changes, err) &&
                  sla_feed_derive_targets(feed->parts, changes.items, changes.count, err) &&
                  apply_changes(feed, partition, &changes, head, &outcome, err);
        *ret_due_us = earliest(&changes);
        free(changes.items);
        if (!ok)
            return false;
    }
    if (outcome == TIMER_APPLIED)
        return true;
    if (outcome != TIMER_POLICY)
        sla_healer_kick(feed->healer);
    return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST", "the timers' schedule is being rebuilt");
}

static bool apply(void *context, feed_event *const *events, size_t count, const struct feed_positions *heads,
                  error *err)
{
    struct sla_feed *feed = context;
    int64_t due_us[TIMER_BUCKETS];
    bool ok = true;
    (void)injection_point("sla.before_apply");
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        due_us[p] = INT64_MAX;
        if (!ok || heads->at[p] <= feed->at[p])
            continue;
        ok = apply_partition(feed, events, count, p, heads->at[p], &due_us[p], err);
        if (ok) {
            feed->at[p] = heads->at[p];
            atomic_store(&feed->parts->progress->at[p], heads->at[p]);
        }
    }
    (void)injection_point("sla.after_apply");
    sla_firing_wake(feed->parts->firing, due_us);
    return ok;
}

/* --- starting ------------------------------------------------------------------------------------- */

static bool load(void *context, struct feed_positions *ret_positions, error *err)
{
    struct sla_feed *feed = context;
    struct timer_bucket buckets[TIMER_BUCKETS];
    struct feed_positions positions = {0};
    if (!sla_healer_run(feed->healer, clock_monotonic_us() + HEAL_WAIT_US, err) ||
        !timer_store_status(feed->parts->timers, buckets, err))
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (buckets[b].position < 0 || strcmp(buckets[b].epoch, buckets[0].epoch) != 0)
            return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST",
                             "the timers' schedule is being rebuilt");
        positions.at[b] = buckets[b].position;
        feed->at[b] = buckets[b].position;
        atomic_store(&feed->parts->progress->at[b], buckets[b].position);
    }
    snprintf(positions.epoch, sizeof positions.epoch, "%s", buckets[0].epoch);
    *ret_positions = positions;
    return true;
}

static bool reset(void *context, const char *epoch, error *err)
{
    struct sla_feed *feed = context;
    (void)epoch;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        atomic_store(&feed->parts->progress->at[b], 0);
    sla_healer_condemn(feed->healer, UINT64_MAX);
    return sla_healer_run(feed->healer, clock_monotonic_us() + HEAL_WAIT_US, err);
}

static void caught_up(void *context)
{
    const struct sla_feed *feed = context;
    feed->caught_up(feed->context);
}

bool sla_feed_new(const struct sla_parts *parts, sla_healer *healer, void (*on_caught_up)(void *context),
                  void *context, sla_feed **ret_feed, error *err)
{
    static const struct feed_consumer_handlers handlers = {
        .load = load, .apply = apply, .reset = reset, .caught_up = caught_up};
    sla_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return out_of_memory(err);
    feed->parts = parts;
    feed->healer = healer;
    feed->caught_up = on_caught_up;
    feed->context = context;
    if (!feed_consumer_new(parts->cases, &handlers, feed, &feed->consumer, err)) {
        free(feed);
        return false;
    }
    *ret_feed = feed;
    return true;
}

void sla_feed_free(sla_feed *feed)
{
    if (!feed)
        return;
    feed_consumer_free(feed->consumer);
    free(feed);
}

void sla_feed_stop(sla_feed *feed)
{
    feed_consumer_stop(feed->consumer);
}

feed_consumer *sla_feed_consumer(sla_feed *feed)
{
    return feed->consumer;
}
