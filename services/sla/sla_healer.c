#include "sla/sla_healer.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "feed/partition.h"
#include "sla/sla_cases.h"
#include "sla/sla_metrics.h"
#include "sla/sla_truth.h"

#include <openssl/rand.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TROUBLE_INTERVAL_US CLOCK_SECOND
#define POLICY_TIME_US (60 * CLOCK_SECOND)
#define TARGETS_REST 10 /* so many times as long as the sweep over targets took */

struct sla_healer {
    const struct sla_parts *parts;
    struct sla_healer_options options;
    char token[33]; /* names this process as a rebuilder */
    pthread_t thread;
    bool running;
    int64_t next_sweep_us; /* monotonic; the thread's own, like the next two */
    int64_t next_targets_us;
    bool redis_down;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake, changed;
    bool stopping;
    uint64_t condemned;
    uint64_t asked, begun, done; /* runs asked for, those whose run is under way, and those whose is over */
    bool ok;                     /* of the last run */
    error failure;
    int64_t next_run_us; /* monotonic; INT64_MAX: one is under way */
    bool in_trouble;
};

/* --- the buckets ---------------------------------------------------------------------------------- */

/* Buckets with another epoch than the feed's, if they do not all agree. */
static bool find_foreign(const struct sla_healer *healer, const struct timer_bucket *buckets, uint64_t *lost,
                         error *err)
{
    const char *first = NULL;
    bool agree = true;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (buckets[b].position < 0)
            continue;
        if (!first)
            first = buckets[b].epoch;
        agree = agree && strcmp(first, buckets[b].epoch) == 0;
    }
    if (agree)
        return true;
    struct feed_positions heads;
    if (!sla_cases_positions(healer->parts->cases, &heads, err))
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (strcmp(buckets[b].epoch, heads.epoch) != 0)
            *lost |= UINT64_C(1) << b;
    return true;
}

/* Those without their marks, those that went back in time, those of another epoch. */
static bool find_lost(struct sla_healer *healer, uint64_t *ret_lost, error *err)
{
    int64_t seen[TIMER_BUCKETS];
    struct timer_bucket buckets[TIMER_BUCKETS];
    uint64_t lost = 0;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        seen[b] = atomic_load(&healer->parts->progress->at[b]);
    healer->redis_down = !timer_store_status(healer->parts->timers, buckets, err);
    if (healer->redis_down)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (buckets[b].position < 0 || buckets[b].position < seen[b])
            lost |= UINT64_C(1) << b;
    if (!find_foreign(healer, buckets, &lost, err))
        return false;
    *ret_lost = lost;
    return true;
}

static bool heal_buckets(struct sla_healer *healer, error *err)
{
    uint64_t lost;
    uint64_t rebuilt = 0;
    if (!find_lost(healer, &lost, err))
        return false;
    pthread_mutex_lock(&healer->mutex);
    lost |= healer->condemned;
    pthread_mutex_unlock(&healer->mutex);
    if (!lost)
        return true;
    log_warn("schedule lost", LOG_NUMBER("buckets", __builtin_popcountll(lost)));
    bool ok = sla_truth_rebuild(healer->parts, lost, healer->token, &rebuilt, err);
    pthread_mutex_lock(&healer->mutex);
    healer->condemned &= ~rebuilt;
    pthread_mutex_unlock(&healer->mutex);
    if (ok && rebuilt != lost)
        return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST", "the timers' schedule is being rebuilt");
    return ok;
}

/* --- policies, sweep ------------------------------------------------------------------------------ */

/* What the schedule knew of the policies in the copy before these were read from PostgreSQL. */
struct fences {
    struct sla_policy_row *rows;
    struct timer_policy_version *known;
    size_t count;
};

static void fences_release(struct fences *fences)
{
    free(fences->rows);
    free(fences->known);
}

static bool fences_read(const struct sla_parts *parts, struct fences *fences, error *err)
{
    *fences = (struct fences){0};
    if (!sla_policies_all(parts->policies, &fences->rows, &fences->count, err))
        return false;
    fences->known = calloc(fences->count + 1, sizeof *fences->known);
    if (!fences->known) {
        fences_release(fences);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    for (size_t i = 0; i < fences->count; i++)
        fences->known[i].account = fences->rows[i].account;
    if (timer_store_fences(parts->timers, fences->known, fences->count, err))
        return true;
    fences_release(fences);
    return false;
}

/* The copy keeps its order, so that `place` is where to look first. NULL: the account was not in it. */
static const struct timer_policy_version *fences_find(const struct fences *fences, size_t place,
                                                      const char *account)
{
    for (size_t i = 0; i < fences->count; i++) {
        const struct timer_policy_version *one = &fences->known[(place + i) % fences->count];
        if (strcmp(one->account, account) == 0)
            return one;
    }
    return NULL;
}

/*
 * A schedule that went back without its positions showing it (no event came in between) has timers under an
 * older policy than the one at work; where PostgreSQL went back, timers are refused under what it has now.
 */
static bool must_apply(struct sla_healer *healer, const struct sla_policy_row *row,
                       const struct timer_policy_version *fence)
{
    if (row->applied_version < row->policy.version)
        return true;
    if (!fence || fence->version == row->policy.version)
        return false;
    log_warn("schedule and policy differ", LOG_TEXT("casework.account", row->account),
             LOG_NUMBER("schedule", fence->version), LOG_NUMBER("policy", row->policy.version));
    if (fence->version > row->policy.version)
        sla_healer_condemn(healer, UINT64_C(1) << feed_partition(row->account));
    return fence->version < row->policy.version;
}

static bool apply_policies(struct sla_healer *healer, error *err)
{
    const struct sla_parts *parts = healer->parts;
    struct fences fences;
    struct sla_policy_row *rows = NULL;
    size_t count = 0;
    if (!fences_read(parts, &fences, err))
        return false;
    bool ok =
        sla_policies_reload(parts->policies, err) && sla_policies_all(parts->policies, &rows, &count, err);
    for (size_t i = 0; i < count; i++) {
        int64_t ignored;
        if (must_apply(healer, &rows[i], fences_find(&fences, i, rows[i].account)) &&
            !sla_truth_apply_policy(parts, &rows[i], clock_monotonic_us() + POLICY_TIME_US, &ignored, err))
            ok = false;
    }
    free(rows);
    fences_release(&fences);
    return ok;
}

/* For whoever looks at the metrics. */
static void measure(const struct sla_healer *healer)
{
    const struct sla_parts *parts = healer->parts;
    int64_t armed;
    int64_t first_us;
    error ignored;
    if (!timer_store_count(parts->timers, &armed, &ignored) ||
        !timer_store_first(parts->timers, &first_us, &ignored))
        return;
    int64_t flying_us = sla_firing_oldest(parts->firing);
    int64_t late_us = suite_clock_now_us(parts->clock) - (flying_us < first_us ? flying_us : first_us);
    sla_metrics_armed(armed);
    sla_metrics_overdue(late_us > 0 ? late_us : 0);
}

/* Targets of running cases are read one by one: the more there are, the longer the rest in between. */
static bool sweep_targets(struct sla_healer *healer, int64_t grace_us, int64_t *ret_fired, error *err)
{
    int64_t start_us = clock_monotonic_us();
    if (start_us < healer->next_targets_us)
        return true;
    bool ok = sla_truth_sweep_targets(healer->parts, grace_us, ret_fired, err);
    int64_t end_us = clock_monotonic_us();
    healer->next_targets_us = end_us + TARGETS_REST * (end_us - start_us);
    return ok;
}

static bool sweep(struct sla_healer *healer, error *err)
{
    int64_t fired = 0;
    int64_t targets = 0;
    bool manual = suite_clock_is_manual(healer->parts->clock);
    int64_t grace_us = healer->redis_down || manual ? 0 : healer->options.grace_us;
    bool ok = sla_truth_sweep(healer->parts, grace_us, &fired, err) &&
              sweep_targets(healer, grace_us, &targets, err);
    if (fired + targets > 0)
        log_info("sweep fired timers", LOG_NUMBER("timers", fired + targets));
    if (!healer->redis_down)
        measure(healer);
    /* Without the schedule firing timers are found only here. */
    int64_t interval_us = healer->redis_down ? TROUBLE_INTERVAL_US : healer->options.interval_us;
    healer->next_sweep_us = clock_monotonic_us() + interval_us;
    return ok;
}

/* --- the thread ----------------------------------------------------------------------------------- */

static bool look(struct sla_healer *healer, error *err)
{
    bool was_down = healer->redis_down;
    bool ok = heal_buckets(healer, err) && apply_policies(healer, err);
    /* Deadlines that another replica has armed and claimed, and may never settle. */
    sla_firing_look(healer->parts->firing);
    if (healer->redis_down && !was_down)
        healer->next_sweep_us = 0; /* from now on nobody else finds what is due */
    error swept;
    if (clock_monotonic_us() >= healer->next_sweep_us && !sweep(healer, &swept) && ok) {
        *err = swept;
        ok = false;
    }
    return ok;
}

/* With the lock held. */
static void tell_trouble(struct sla_healer *healer, bool ok, const error *err)
{
    if (!ok && !healer->in_trouble)
        log_warn("schedule cannot be healed yet", LOG_TEXT("error.message", err->message),
                 LOG_TEXT("error.detail", err->detail));
    else if (ok && healer->in_trouble)
        log_info("schedule is whole");
    healer->in_trouble = !ok;
}

/* With the lock held; false: stop. */
static bool wait_for_work(struct sla_healer *healer)
{
    while (!healer->stopping && healer->asked == healer->done && clock_monotonic_us() < healer->next_run_us) {
        int64_t at_us = healer->next_run_us;
        condition_wait_until(&healer->wake, &healer->mutex, at_us);
    }
    return !healer->stopping;
}

static void *run(void *argument)
{
    struct sla_healer *healer = argument;
    pthread_mutex_lock(&healer->mutex);
    while (wait_for_work(healer)) {
        uint64_t run = healer->asked;
        healer->begun = run;
        healer->next_run_us = INT64_MAX;
        pthread_mutex_unlock(&healer->mutex);
        error err = {0};
        bool ok = look(healer, &err);
        pthread_mutex_lock(&healer->mutex);
        tell_trouble(healer, ok, &err);
        healer->ok = ok;
        healer->failure = err;
        healer->done = run;
        healer->next_run_us = clock_monotonic_us() + (ok ? healer->options.interval_us : TROUBLE_INTERVAL_US);
        pthread_cond_broadcast(&healer->changed);
    }
    pthread_mutex_unlock(&healer->mutex);
    return NULL;
}

static bool make_token(char token[33])
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

bool sla_healer_new(const struct sla_parts *parts, const struct sla_healer_options *options,
                    sla_healer **ret_healer, error *err)
{
    sla_healer *healer = calloc(1, sizeof *healer);
    if (!healer)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    healer->parts = parts;
    healer->options = *options;
    healer->next_run_us = clock_monotonic_us() + options->interval_us;
    healer->next_sweep_us = healer->next_run_us;
    pthread_mutex_init(&healer->mutex, NULL);
    condition_init(&healer->wake);
    condition_init(&healer->changed);
    healer->running = make_token(healer->token) && pthread_create(&healer->thread, NULL, run, healer) == 0;
    if (!healer->running) {
        sla_healer_free(healer);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for healing");
    }
    *ret_healer = healer;
    return true;
}

void sla_healer_free(sla_healer *healer)
{
    if (!healer)
        return;
    if (healer->running) {
        pthread_mutex_lock(&healer->mutex);
        healer->stopping = true;
        pthread_cond_signal(&healer->wake);
        pthread_cond_broadcast(&healer->changed);
        pthread_mutex_unlock(&healer->mutex);
        pthread_join(healer->thread, NULL);
    }
    pthread_cond_destroy(&healer->wake);
    pthread_cond_destroy(&healer->changed);
    pthread_mutex_destroy(&healer->mutex);
    free(healer);
}

/* --- from other threads --------------------------------------------------------------------------- */

void sla_healer_kick(sla_healer *healer)
{
    pthread_mutex_lock(&healer->mutex);
    /* A run that is under way may have looked already. */
    if (healer->asked == healer->begun && healer->next_run_us > clock_monotonic_us() && !healer->in_trouble)
        healer->asked++;
    pthread_cond_signal(&healer->wake);
    pthread_mutex_unlock(&healer->mutex);
}

void sla_healer_condemn(sla_healer *healer, uint64_t buckets)
{
    pthread_mutex_lock(&healer->mutex);
    healer->condemned |= buckets;
    healer->asked++;
    pthread_cond_signal(&healer->wake);
    pthread_mutex_unlock(&healer->mutex);
}

bool sla_healer_run(sla_healer *healer, int64_t deadline_us, error *err)
{
    pthread_mutex_lock(&healer->mutex);
    uint64_t run = ++healer->asked;
    pthread_cond_signal(&healer->wake);
    while (healer->done < run && !healer->stopping && clock_monotonic_us() < deadline_us)
        condition_wait_until(&healer->changed, &healer->mutex, deadline_us);
    bool done = healer->done >= run;
    bool ok = done && healer->ok;
    error failure = healer->failure;
    pthread_mutex_unlock(&healer->mutex);
    if (!done)
        return error_set(err, STATUS_UNAVAILABLE, "SCHEDULE_LOST", "the timers' schedule is being rebuilt");
    if (!ok && err)
        *err = failure;
    return ok;
}
