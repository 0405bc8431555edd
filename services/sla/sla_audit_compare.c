/* One partition compared. What looks different becomes a suspect, and suspects are looked at again and again.
 */

#include "base/clock.h"
#include "sla/sla_audit.h"
#include "sla/sla_cases.h"
#include "sla/sla_expected.h"
#include "sla/sla_replay.h"

#include <uthash.h>
#include <xxhash.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUSPECTS_MAX = 1000, /* then these are settled first */
    EXTRA_MAX = 8,       /* timers of a case that nothing stands behind */
    PAGE_TIMERS = 500,
    CASE_KEY_SIZE = TIMER_ACCOUNT_SIZE + 24,
};

#define ROUND_PAUSE_US (20 * INT64_C(1000))
#define ROUNDS_MOST_US (10 * CLOCK_SECOND)

struct finding {
    struct timer expected, actual;
    bool has_expected, has_actual;
};

/* A case that looks different. */
struct suspect {
    char key[CASE_KEY_SIZE];
    struct sla_expected expected;
    struct timer extra[EXTRA_MAX];
    size_t extra_count;
    struct finding findings[SLA_CASE_TIMERS_MAX + EXTRA_MAX];
    size_t finding_count;
    bool seen; /* the findings were the same in the round before */
    UT_hash_handle hh;
};

struct comparing {
    struct sla_audit *audit;
    int partition;
    bool remove;
    struct sla_replay history;
    struct feed_positions snapshot; /* as of which the cases were read */
    uint64_t *expected; /* hashes of all timers that should be there, sorted once they are known */
    size_t expected_count, expected_size;
    struct suspect *suspects;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* --- suspects ------------------------------------------------------------------------------------- */

static void drop_all(struct comparing *comparing)
{
    struct suspect *suspect = comparing->suspects;
    HASH_CLEAR(hh, comparing->suspects);
    while (suspect) {
        struct suspect *next = suspect->hh.next;
        free(suspect);
        suspect = next;
    }
}

static struct suspect *find_suspect(const struct comparing *comparing, const char *account, int64_t case_id)
{
    struct suspect *suspect;
    char key[CASE_KEY_SIZE];
    snprintf(key, sizeof key, "%s/%" PRId64, account, case_id);
    HASH_FIND_STR(comparing->suspects, key, suspect);
    return suspect;
}

/* NULL: no memory. */
static struct suspect *suspect_of(struct comparing *comparing, const char *account, int64_t case_id)
{
    struct suspect *suspect = find_suspect(comparing, account, case_id);
    if (suspect)
        return suspect;
    suspect = calloc(1, sizeof *suspect);
    if (!suspect)
        return NULL;
    snprintf(suspect->key, sizeof suspect->key, "%s/%" PRId64, account, case_id);
    snprintf(suspect->expected.account, sizeof suspect->expected.account, "%s", account);
    suspect->expected.case_id = case_id;
    HASH_ADD_STR(comparing->suspects, key, suspect);
    return suspect;
}

static bool is_same(const struct timer *a, const struct timer *b)
{
    return a->rule == b->rule && a->version == b->version && a->case_id == b->case_id &&
           strcmp(a->account, b->account) == 0;
}

/* --- one look at a suspect ------------------------------------------------------------------------ */

static void find(struct suspect *suspect, const struct timer *expected, const struct timer *actual)
{
    struct finding *finding = &suspect->findings[suspect->finding_count++];
    *finding = (struct finding){.has_expected = expected != NULL, .has_actual = actual != NULL};
    if (expected)
        finding->expected = *expected;
    if (actual)
        finding->actual = *actual;
}

/* When to look at targets is the same wherever it is over: the look tells what is to be done. */
static bool is_as_expected(const struct comparing *comparing, const struct timer *expected,
                           const struct timer_place *place)
{
    int64_t now_us = suite_clock_now_us(comparing->audit->parts->clock);
    bool same = place->due_us == expected->due_us ||
                (expected->rule == SLA_RULE_TARGETS && place->due_us <= now_us && expected->due_us <= now_us);
    return place->is_there && same && !place->has_other;
}

static void judge_expected(const struct comparing *comparing, struct suspect *suspect,
                           const struct timer *expected, const struct timer_place *place)
{
    struct timer actual = *expected;
    actual.due_us = place->due_us;
    if (is_as_expected(comparing, expected, place))
        return;
    if (place->has_other)
        find(suspect, expected, &place->other);
    else
        find(suspect, expected, place->is_there ? &actual : NULL);
}

/* A timer that nothing stands behind, unless it has been told as what stands in another one's place. */
static void judge_extra(struct suspect *suspect, const struct timer *extra, const struct timer_place *place)
{
    struct timer actual = *extra;
    bool told = !place->is_there;
    actual.due_us = place->due_us;
    for (size_t i = 0; i < suspect->expected.count; i++)
        told = told || is_same(extra, &suspect->expected.timers[i]);
    for (size_t i = 0; i < suspect->finding_count; i++)
        told = told || (suspect->findings[i].has_actual && is_same(extra, &suspect->findings[i].actual));
    if (!told)
        find(suspect, NULL, &actual);
}

static bool look_at(const struct comparing *comparing, struct suspect *suspect, error *err)
{
    struct timer timers[SLA_CASE_TIMERS_MAX + EXTRA_MAX];
    struct timer_place places[SLA_CASE_TIMERS_MAX + EXTRA_MAX];
    struct finding before[SLA_CASE_TIMERS_MAX + EXTRA_MAX];
    size_t before_count = suspect->finding_count;
    size_t count = suspect->expected.count;
    memcpy(before, suspect->findings, sizeof before);
    memcpy(timers, suspect->expected.timers, sizeof suspect->expected.timers);
    memcpy(timers + count, suspect->extra, suspect->extra_count * sizeof *timers);
    if (!timer_store_look(comparing->audit->parts->timers, timers, count + suspect->extra_count, places, err))
        return false;
    memset(suspect->findings, 0, sizeof suspect->findings);
    suspect->finding_count = 0;
    for (size_t i = 0; i < count; i++)
        judge_expected(comparing, suspect, &timers[i], &places[i]);
    for (size_t i = 0; i < suspect->extra_count; i++)
        judge_extra(suspect, &timers[count + i], &places[count + i]);
    suspect->seen = before_count == suspect->finding_count && before_count > 0;
    for (size_t i = 0; suspect->seen && i < before_count; i++)
        suspect->seen = before[i].has_expected == suspect->findings[i].has_expected &&
                        before[i].has_actual == suspect->findings[i].has_actual &&
                        is_same(&before[i].expected, &suspect->findings[i].expected) &&
                        is_same(&before[i].actual, &suspect->findings[i].actual) &&
                        before[i].expected.due_us == suspect->findings[i].expected.due_us &&
                        before[i].actual.due_us == suspect->findings[i].actual.due_us;
    return true;
}

/* --- rounds --------------------------------------------------------------------------------------- */

/* What the feed has told since the snapshot: other timers are expected. */
static bool take_event(void *context, const Casework__Cases__V1__Event *event, error *err)
{
    struct comparing *comparing = context;
    struct sla_expected expected;
    if (!event->case_facts)
        return true;
    if (!sla_expected_of(comparing->audit->parts, event->case_, event->case_facts, &expected, err))
        return false;
    struct suspect *suspect = find_suspect(comparing, expected.account, expected.case_id);
    if (!suspect)
        return true;
    suspect->expected = expected;
    suspect->finding_count = 0; /* what was seen before counts no more */
    return true;
}

static void pause_for(int64_t duration_us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(duration_us * 1000)}, NULL);
}

/* Until the bucket has come to where the facts are. */
static bool await_bucket(const struct comparing *comparing, int64_t position, int64_t until_us, error *err)
{
    struct timer_bucket buckets[TIMER_BUCKETS];
    do {
        if (!sla_audit_goes_on(comparing->audit, err) ||
            !timer_store_status(comparing->audit->parts->timers, buckets, err))
            return false;
        if (buckets[comparing->partition].position >= position)
            return true;
        pause_for(ROUND_PAUSE_US);
    } while (clock_monotonic_us() < until_us);
    return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_BEHIND",
                     "the timers' schedule does not follow the feed");
}

/* A policy that is stored and not yet at work everywhere makes differences that will go. */
static bool policies_at_work(const struct comparing *comparing, bool *ret_at_work, error *err)
{
    sla_policies *policies = comparing->audit->parts->policies;
    struct sla_policy_row *rows;
    size_t count;
    if (!sla_policies_reload(policies, err) || !sla_policies_all(policies, &rows, &count, err))
        return false;
    *ret_at_work = true;
    for (size_t i = 0; i < count; i++)
        if (feed_partition(rows[i].account) == comparing->partition &&
            rows[i].applied_version < rows[i].policy.version)
            *ret_at_work = false;
    free(rows);
    return true;
}

/* Events do not tell the suspects' histories: they are read again. */
static bool renew_targets(const struct comparing *comparing, error *err)
{
    struct sla_expected *cases = calloc(HASH_COUNT(comparing->suspects) + 1, sizeof *cases);
    size_t count = 0;
    if (!cases)
        return out_of_memory(err);
    for (const struct suspect *suspect = comparing->suspects; suspect; suspect = suspect->hh.next)
        cases[count++] = suspect->expected;
    bool ok = sla_expected_targets(comparing->audit->parts, cases, count, err);
    count = 0;
    for (struct suspect *suspect = comparing->suspects; ok && suspect; suspect = suspect->hh.next)
        suspect->expected = cases[count++];
    free(cases);
    return ok;
}

/* *ret_open: suspects that may turn out either way. */
static bool look_at_all(struct comparing *comparing, bool at_work, bool *ret_open, error *err)
{
    *ret_open = false;
    for (struct suspect *suspect = comparing->suspects; suspect; suspect = suspect->hh.next) {
        if (!look_at(comparing, suspect, err))
            return false;
        suspect->seen = suspect->seen && at_work;
        *ret_open = *ret_open || (suspect->finding_count > 0 && !suspect->seen);
    }
    return true;
}

static bool run_round(struct comparing *comparing, struct feed_positions *at, int64_t until_us,
                      bool *ret_open, error *err)
{
    const struct sla_parts *parts = comparing->audit->parts;
    struct feed_positions heads;
    bool at_work;
    return policies_at_work(comparing, &at_work, err) && sla_cases_positions(parts->cases, &heads, err) &&
           sla_replay_read(&comparing->history, at, &heads, take_event, comparing, err) &&
           renew_targets(comparing, err) &&
           await_bucket(comparing, heads.at[comparing->partition], until_us, err) &&
           look_at_all(comparing, at_work, ret_open, err);
}

static bool take_away(const struct comparing *comparing, const struct timer *timer, error *err)
{
    struct timer_policy_version policy = sla_audit_policy(comparing->audit, timer->account);
    enum timer_outcome outcome;
    if (!timer_store_drop(comparing->audit->parts->timers, &policy, timer, 1, &outcome, err))
        return false;
    comparing->audit->removed += outcome == TIMER_APPLIED;
    return true;
}

static bool report(const struct comparing *comparing, const struct suspect *suspect, error *err)
{
    struct sla_audit *audit = comparing->audit;
    bool ok = true;
    for (size_t i = 0; ok && i < suspect->finding_count; i++) {
        const struct finding *finding = &suspect->findings[i];
        audit->differences++;
        if (comparing->remove && !finding->has_expected)
            ok = take_away(comparing, &finding->actual, err);
        if (ok && audit->differs)
            ok = audit->differs(audit->context, finding->has_expected ? &finding->expected : NULL,
                                finding->has_actual ? &finding->actual : NULL, err);
    }
    return ok;
}

/* Those that stand still as a difference for two rounds are one; who never stands still is none. */
static bool settle_suspects(struct comparing *comparing, error *err)
{
    struct feed_positions at = comparing->snapshot;
    int64_t until_us = clock_monotonic_us() + ROUNDS_MOST_US;
    bool ok = true;
    bool open = comparing->suspects != NULL;
    while (ok && open && clock_monotonic_us() < until_us) {
        ok = run_round(comparing, &at, until_us, &open, err);
        if (ok && open)
            pause_for(ROUND_PAUSE_US);
    }
    for (const struct suspect *suspect = comparing->suspects; ok && suspect; suspect = suspect->hh.next)
        if (suspect->seen)
            ok = report(comparing, suspect, err);
    drop_all(comparing);
    return ok;
}

/* --- from the truth to the schedule: missing and changed ------------------------------------------ */

static uint64_t hash_of(const struct timer *timer)
{
    char text[CASE_KEY_SIZE + 32];
    int length = snprintf(text, sizeof text, "%s/%" PRId64 "/%d/%" PRId64, timer->account, timer->case_id,
                          (int)timer->rule, timer->version);
    return XXH64(text, (size_t)length, 0);
}

static bool note_expected(struct comparing *comparing, const struct timer *timer, error *err)
{
    if (comparing->expected_count == comparing->expected_size) {
        size_t size = comparing->expected_size ? 2 * comparing->expected_size : 1024;
        uint64_t *grown = realloc(comparing->expected, size * sizeof *grown);
        if (!grown)
            return out_of_memory(err);
        comparing->expected = grown;
        comparing->expected_size = size;
    }
    comparing->expected[comparing->expected_count++] = hash_of(timer);
    return true;
}

/* The cases of a part, and their timers one behind the other. */
struct compared_part {
    struct sla_expected *cases;
    struct timer *timers;
    struct timer_place *places;
    size_t timer_count;
};

static bool derive_part(struct comparing *comparing, const Casework__Cases__V1__StreamSnapshotResponse *part,
                        struct compared_part *compared, error *err)
{
    if (!sla_expected_part(comparing->audit->parts, part, &compared->cases, err))
        return false;
    for (size_t i = 0; i < part->n_cases; i++) {
        const struct sla_expected *expected = &compared->cases[i];
        for (size_t t = 0; t < expected->count; t++) {
            compared->timers[compared->timer_count++] = expected->timers[t];
            if (!note_expected(comparing, &expected->timers[t], err))
                return false;
        }
    }
    return true;
}

static bool suspect_part(struct comparing *comparing, const struct compared_part *compared, size_t count,
                         error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sla_expected *expected = &compared->cases[i];
        bool good = true;
        for (size_t t = 0; t < expected->count; t++, at++)
            good = good && is_as_expected(comparing, &compared->timers[at], &compared->places[at]);
        if (good)
            continue;
        struct suspect *suspect = suspect_of(comparing, expected->account, expected->case_id);
        if (!suspect)
            return out_of_memory(err);
        suspect->expected = *expected;
    }
    return true;
}

static bool compare_part(struct comparing *comparing, const Casework__Cases__V1__StreamSnapshotResponse *part,
                         struct compared_part *compared, error *err)
{
    if (!derive_part(comparing, part, compared, err) ||
        !timer_store_look(comparing->audit->parts->timers, compared->timers, compared->timer_count,
                          compared->places, err) ||
        !suspect_part(comparing, compared, part->n_cases, err))
        return false;
    comparing->audit->cases_done += (int64_t)part->n_cases;
    comparing->audit->timers += (int64_t)compared->timer_count;
    return HASH_COUNT(comparing->suspects) < SUSPECTS_MAX || settle_suspects(comparing, err);
}

static bool take_part(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part, error *err)
{
    struct comparing *comparing = context;
    size_t most = part->n_cases * SLA_CASE_TIMERS_MAX + 1;
    struct compared_part compared = {
        .timers = calloc(most, sizeof *compared.timers),
        .places = calloc(most, sizeof *compared.places),
    };
    bool ok = compared.timers && compared.places ? compare_part(comparing, part, &compared, err)
                                                 : out_of_memory(err);
    free(compared.cases);
    free(compared.timers);
    free(compared.places);
    return ok;
}

/* --- from the schedule to the truth: surplus ------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

static bool is_expected(const struct comparing *comparing, const struct timer *timer)
{
    uint64_t hash = hash_of(timer);
    return comparing->expected_count > 0 && bsearch(&hash, comparing->expected, comparing->expected_count,
                                                    sizeof *comparing->expected, by_value) != NULL;
}

static bool suspect_surplus(struct comparing *comparing, const struct timer *timer, error *err)
{
    struct suspect *suspect = suspect_of(comparing, timer->account, timer->case_id);
    if (!suspect)
        return out_of_memory(err);
    for (size_t i = 0; i < suspect->extra_count; i++)
        if (is_same(&suspect->extra[i], timer))
            return true;
    if (suspect->extra_count < EXTRA_MAX)
        suspect->extra[suspect->extra_count++] = *timer;
    return true;
}

static bool compare_page(struct comparing *comparing, struct timer_cursor *cursor, struct timer *timers,
                         int64_t *scores, bool *ret_end, error *err)
{
    const struct sla_audit *audit = comparing->audit;
    size_t count;
    if (!sla_audit_goes_on(audit, err) ||
        !timer_store_page(audit->parts->timers, comparing->partition, *audit->account ? audit->account : NULL,
                          INT64_MAX, cursor, timers, scores, PAGE_TIMERS, &count, ret_end, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!is_expected(comparing, &timers[i]) && !suspect_surplus(comparing, &timers[i], err))
            return false;
    return HASH_COUNT(comparing->suspects) < SUSPECTS_MAX || settle_suspects(comparing, err);
}

static bool find_surplus(struct comparing *comparing, error *err)
{
    struct timer_cursor cursor = {0};
    struct timer *timers = calloc(PAGE_TIMERS, sizeof *timers);
    int64_t *scores = calloc(PAGE_TIMERS, sizeof *scores);
    bool end = false;
    bool ok = (timers && scores) || out_of_memory(err);
    if (comparing->expected_count > 0)
        qsort(comparing->expected, comparing->expected_count, sizeof *comparing->expected, by_value);
    while (ok && !end)
        ok = compare_page(comparing, &cursor, timers, scores, &end, err);
    free(timers);
    free(scores);
    return ok;
}

bool sla_audit_compare(struct sla_audit *audit, int partition, bool remove, error *err)
{
    struct comparing comparing = {
        .audit = audit,
        .partition = partition,
        .remove = remove,
        .history = {.cases = audit->parts->cases,
                    .account = audit->account,
                    .partitions = UINT64_C(1) << partition,
                    .is_over = audit->is_over,
                    .context = audit->context},
    };
    bool ok = sla_policies_reload(audit->parts->policies, err) &&
              sla_replay_snapshot(&comparing.history, &comparing.snapshot, take_part, &comparing, err) &&
              find_surplus(&comparing, err) && settle_suspects(&comparing, err);
    audit->at.at[partition] = comparing.snapshot.at[partition];
    drop_all(&comparing);
    free(comparing.expected);
    return ok;
}
