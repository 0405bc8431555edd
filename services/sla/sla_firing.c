#include "sla/sla_firing.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "feed/partition.h"
#include "sla/sla_cases.h"
#include "sla/sla_metrics.h"
#include "sla/sla_steps.h"
#include "sla/timer_names.h"

#include <uthash.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIM_MAX = 128, SETTLE_MAX = 256 };

#define CLOSE_TIMEOUT_US (8 * CLOCK_SECOND)
#define REDIS_PAUSE_US (250 * INT64_C(1000))
#define MANUAL_PAUSE_US (100 * INT64_C(1000))
#define EARLY_PAUSE_LEAST_US (10 * INT64_C(1000))
#define EARLY_PAUSE_MOST_US (10 * CLOCK_SECOND)

/* A closing under way. */
struct flight {
    char member[TIMER_BASE_SIZE + 24];
    sla_firing *firing;
    struct timer timer;
    int bucket;
    bool swept;
    enum close_result result;
    int64_t close_time_us;
    int64_t landed_us; /* when its answer came, by our clock; 0 with a manual one */
    error failure;     /* unless CLOSE_DONE */
    struct flight *next;
    UT_hash_handle hh;
};

struct sla_firing {
    struct sla_firing_options options;
    bool manual;
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t wake;    /* for the thread: something has changed */
    pthread_cond_t changed; /* for those who wait for the thread */
    bool stopping;
    bool claiming;
    int64_t next_due_us[TIMER_BUCKETS]; /* by the schedule's clock */
    int64_t pause_us[TIMER_BUCKETS];    /* monotonic: not before */
    unsigned flights_of[TIMER_BUCKETS];
    struct flight *flights;  /* by member */
    struct flight *landed;   /* answered, not yet settled; still in `flights` */
    int64_t clock_offset_us; /* of Redis' clock to ours */
    bool failing;            /* the last claim failed */
};

static void timed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_us)
{
    if (until_us == INT64_MAX) {
        pthread_cond_wait(condition, mutex);
        return;
    }
    condition_wait_until(condition, mutex, until_us);
}

/* The schedule's clock: the suite's when it is manual, else Redis' as last seen. */
static int64_t schedule_now(const sla_firing *firing)
{
    int64_t now_us = suite_clock_now_us(firing->options.clock);
    return firing->manual ? now_us : now_us + firing->clock_offset_us;
}

static unsigned room(const sla_firing *firing)
{
    unsigned flying = HASH_COUNT(firing->flights);
    return flying < firing->options.in_flight_max ? firing->options.in_flight_max - flying : 0;
}

/* --- flights -------------------------------------------------------------------------------------- */

static void landed(void *argument, enum close_result result, int64_t close_time_us, const error *err)
{
    struct flight *flight = argument;
    sla_firing *firing = flight->firing;
    pthread_mutex_lock(&firing->mutex);
    flight->result = result;
    flight->close_time_us = close_time_us;
    flight->landed_us = firing->manual ? 0 : clock_real_us();
    if (err)
        flight->failure = *err;
    flight->next = firing->landed;
    firing->landed = flight;
    pthread_cond_signal(&firing->wake);
    pthread_mutex_unlock(&firing->mutex);
}

/* With the lock held. NULL: it is under way already, or there is no memory (then its lease brings it back).
 */
static struct flight *add_flight(sla_firing *firing, const struct timer *timer, bool swept)
{
    struct flight *flight;
    struct timer_names names;
    char member[sizeof flight->member];
    timer_names_of(timer, &names);
    snprintf(member, sizeof member, "%s%s", names.base, names.value);
    HASH_FIND_STR(firing->flights, member, flight);
    if (flight)
        return NULL;
    flight = calloc(1, sizeof *flight);
    if (!flight)
        return NULL;
    memcpy(flight->member, member, sizeof member);
    flight->firing = firing;
    flight->timer = *timer;
    flight->bucket = names.bucket;
    flight->swept = swept;
    HASH_ADD_STR(firing->flights, member, flight);
    firing->flights_of[flight->bucket]++;
    return flight;
}

static void launch(struct flight *flight)
{
    (void)injection_point("sla.before_close");
    const struct sla_firing_options *options = &flight->firing->options;
    if (flight->timer.rule == SLA_RULE_TARGETS)
        sla_steps_fire(options->cases, options->policies, options->clock, &flight->timer, CLOSE_TIMEOUT_US,
                       landed, flight);
    else
        sla_cases_close(options->cases, &flight->timer, CLOSE_TIMEOUT_US, landed, flight);
}

/* --- claiming ------------------------------------------------------------------------------------- */

/* Buckets to look at now; else *ret_until_us (monotonic) says when. With the lock held. */
static uint64_t due_buckets(const sla_firing *firing, int64_t *ret_until_us)
{
    uint64_t due = 0;
    int64_t mono_us = clock_monotonic_us();
    int64_t now_us = schedule_now(firing);
    *ret_until_us = INT64_MAX;
    if (room(firing) == 0)
        return 0;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (firing->next_due_us[b] == INT64_MAX || (firing->manual && firing->flights_of[b] > 0))
            continue;
        int64_t at_us = firing->pause_us[b];
        if (firing->next_due_us[b] > now_us) {
            if (firing->manual)
                continue;
            int64_t due_at_us = mono_us + (firing->next_due_us[b] - now_us);
            at_us = due_at_us > at_us ? due_at_us : at_us;
        }
        if (at_us <= mono_us)
            due |= UINT64_C(1) << b;
        else if (at_us < *ret_until_us)
            *ret_until_us = at_us;
    }
    return due;
}

/* With the lock held. True: the one before did not. */
static bool claim_failed(sla_firing *firing, uint64_t buckets, const error *err)
{
    bool first = !firing->failing;
    int64_t until_us = clock_monotonic_us() + REDIS_PAUSE_US;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (!(buckets >> b & 1))
            continue;
        firing->next_due_us[b] = 0;
        firing->pause_us[b] = until_us;
    }
    if (first)
        log_warn("timers cannot be claimed", LOG_TEXT("error.message", err->message),
                 LOG_TEXT("error.detail", err->detail));
    firing->failing = true;
    return first;
}

/*
 * When a claim was asked for and answered, by our clock. Its own time lies in between, which bounds what
 * Redis' clock is ahead; what was believed is kept as far as it can be true, however long the answer took.
 */
struct asked {
    int64_t from_us, to_us;
};

static void learn_offset(sla_firing *firing, const struct asked *asked, int64_t claim_us)
{
    if (firing->clock_offset_us < claim_us - asked->to_us)
        firing->clock_offset_us = claim_us - asked->to_us;
    if (firing->clock_offset_us > claim_us - asked->from_us)
        firing->clock_offset_us = claim_us - asked->from_us;
    sla_metrics_drift(SLA_CLOCK_REDIS, firing->clock_offset_us);
}

/* With the lock held. Returns the flights to launch, linked. */
static struct flight *take_claim(sla_firing *firing, int bucket, const struct timer_claim *claim,
                                 const struct asked *asked, bool *ret_lost)
{
    struct flight *first = NULL;
    if (claim->position < 0)
        *ret_lost = true;
    if (!firing->manual)
        learn_offset(firing, asked, claim->now_us);
    if (claim->next_due_us < firing->next_due_us[bucket])
        firing->next_due_us[bucket] = claim->next_due_us;
    for (size_t i = 0; i < claim->count; i++) {
        struct flight *flight = add_flight(firing, &claim->timers[i], false);
        if (!flight)
            continue;
        flight->next = first;
        first = flight;
    }
    return first;
}

static struct flight *join(struct flight *a, struct flight *b)
{
    if (!a)
        return b;
    struct flight *last = a;
    while (last->next)
        last = last->next;
    last->next = b;
    return a;
}

static void launch_all(struct flight *flights)
{
    while (flights) {
        struct flight *flight = flights;
        flights = flight->next;
        flight->next = NULL;
        launch(flight);
    }
}

static bool has_timers(const struct timer_claim claims[TIMER_BUCKETS])
{
    bool any = false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        any = any || claims[b].count > 0;
    return any;
}

/* By which clock timers are claimed: 0 for Redis' own. Tests put that one an hour off. */
static int64_t claim_time(const sla_firing *firing)
{
    if (firing->manual)
        return suite_clock_now_us(firing->options.clock);
    if (injection_point("sla.claim_hour_ahead"))
        return clock_real_us() + CLOCK_HOUR;
    if (injection_point("sla.claim_hour_behind"))
        return clock_real_us() - CLOCK_HOUR;
    return 0;
}

/* Targets are judged by the policy that they were armed under, or a newer one: another replica may have set
 * it. */
static bool know_policies(const sla_firing *firing, const struct timer_claim claims[TIMER_BUCKETS],
                          error *err)
{
    sla_policies *policies = firing->options.policies;
    bool known = true;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        for (size_t i = 0; known && i < claims[b].count; i++)
            known = claims[b].policy_versions[i] == 0 ||
                    claims[b].policy_versions[i] <=
                        sla_policies_get(policies, claims[b].timers[i].account).version;
    return known || sla_policies_reload(policies, err);
}

/* With the lock held, but not while Redis or the case service are asked. */
static void claim_due(sla_firing *firing, uint64_t buckets)
{
    struct timer_claim claims[TIMER_BUCKETS] = {0};
    int limit = (int)room(firing) / __builtin_popcountll(buckets);
    limit = limit > CLAIM_MAX ? CLAIM_MAX : limit < 1 ? 1 : limit;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (buckets >> b & 1)
            firing->next_due_us[b] = INT64_MAX;
    firing->claiming = true;
    pthread_mutex_unlock(&firing->mutex);

    error err;
    struct asked asked = {.from_us = clock_real_us()};
    bool ok = timer_store_claim(firing->options.store, buckets, claim_time(firing),
                                firing->manual ? 0 : firing->options.lease_us, limit, claims, &err);
    asked.to_us = clock_real_us();
    ok = ok && know_policies(firing, claims, &err);
    if (ok && has_timers(claims))
        (void)injection_point("sla.after_claim");

    struct flight *flights = NULL;
    bool lost = false;
    pthread_mutex_lock(&firing->mutex);
    if (ok) {
        firing->failing = false;
        for (int b = 0; b < TIMER_BUCKETS; b++)
            if (buckets >> b & 1)
                flights = join(take_claim(firing, b, &claims[b], &asked, &lost), flights);
    } else {
        lost = claim_failed(firing, buckets, &err);
    }
    firing->claiming = false;
    sla_metrics_claimed(HASH_COUNT(firing->flights));
    pthread_cond_broadcast(&firing->changed);
    pthread_mutex_unlock(&firing->mutex);

    for (int b = 0; b < TIMER_BUCKETS; b++)
        timer_claim_release(&claims[b]);
    if (lost)
        firing->options.lost(firing->options.context);
    launch_all(flights);
    pthread_mutex_lock(&firing->mutex);
}

/* --- what came of it ------------------------------------------------------------------------------ */

/* When an early timer is tried again: soon at first, later the longer the clocks disagree. */
static int64_t early_retry(const sla_firing *firing, const struct timer *timer)
{
    int64_t now_us = schedule_now(firing);
    int64_t pause_us = now_us - timer->due_us;
    if (pause_us < EARLY_PAUSE_LEAST_US)
        pause_us = EARLY_PAUSE_LEAST_US;
    if (pause_us > EARLY_PAUSE_MOST_US)
        pause_us = EARLY_PAUSE_MOST_US;
    return now_us + pause_us;
}

static void count_result(const struct flight *flight)
{
    sla_metrics_result(flight->result, flight->swept);
    if (flight->result == CLOSE_DONE && flight->close_time_us)
        sla_metrics_lateness(flight->close_time_us - flight->timer.due_us);
    /* When a step was recorded is told by our own clock. */
    if (flight->landed_us && flight->close_time_us && flight->timer.rule != SLA_RULE_TARGETS)
        sla_metrics_drift(SLA_CLOCK_CASE, flight->close_time_us - flight->landed_us);
    if (flight->result == CLOSE_UNKNOWN)
        log_warn("closing got no answer", LOG_TEXT("casework.timer", flight->member),
                 LOG_TEXT("rpc.grpc.status_code", status_code_name(flight->failure.code)),
                 LOG_TEXT("error.message", flight->failure.message),
                 LOG_TEXT("error.detail", flight->failure.detail));
}

/* With the lock held. False: nothing is to be told to Redis; the lease brings it back. */
static bool settlement_of(sla_firing *firing, const struct flight *flight,
                          struct timer_settlement *settlement)
{
    settlement->timer = flight->timer;
    settlement->retry_us = 0;
    if (flight->result == CLOSE_DONE || flight->result == CLOSE_STALE)
        return true;
    if (firing->manual) {
        firing->pause_us[flight->bucket] = clock_monotonic_us() + MANUAL_PAUSE_US;
        firing->next_due_us[flight->bucket] = 0;
        return false;
    }
    if (flight->result == CLOSE_UNKNOWN)
        return false;
    settlement->retry_us = early_retry(firing, &flight->timer);
    if (settlement->retry_us < firing->next_due_us[flight->bucket])
        firing->next_due_us[flight->bucket] = settlement->retry_us;
    return true;
}

/* With the lock held, but not while Redis is asked. */
static void settle_landed(sla_firing *firing)
{
    struct timer_settlement settlements[SETTLE_MAX];
    struct flight *batch = NULL;
    size_t count = 0;
    while (firing->landed && count < SETTLE_MAX) {
        struct flight *flight = firing->landed;
        firing->landed = flight->next;
        flight->next = batch;
        batch = flight;
        if (settlement_of(firing, flight, &settlements[count]))
            count++;
    }
    pthread_mutex_unlock(&firing->mutex);
    error err;
    (void)injection_point("sla.before_settle");
    bool settled = timer_store_settle(firing->options.store, settlements, count, &err);
    if (!settled && err.code != STATUS_UNAVAILABLE)
        log_warn("timers cannot be settled", LOG_TEXT("error.message", err.message),
                 LOG_TEXT("error.detail", err.detail));
    pthread_mutex_lock(&firing->mutex);
    while (batch) {
        struct flight *flight = batch;
        batch = flight->next;
        count_result(flight);
        HASH_DEL(firing->flights, flight); /* NOLINT(clang-analyzer-core.NullDereference): it is in there */
        firing->flights_of[flight->bucket]--;
        free(flight);
    }
    sla_metrics_claimed(HASH_COUNT(firing->flights));
    pthread_cond_broadcast(&firing->changed);
}

/* --- the thread ----------------------------------------------------------------------------------- */

static void *run(void *argument)
{
    sla_firing *firing = argument;
    pthread_mutex_lock(&firing->mutex);
    while (!firing->stopping || firing->flights) {
        int64_t until_us = INT64_MAX;
        if (firing->landed) {
            settle_landed(firing);
            continue;
        }
        uint64_t buckets = firing->stopping ? 0 : due_buckets(firing, &until_us);
        if (buckets)
            claim_due(firing, buckets);
        else
            timed_wait(&firing->wake, &firing->mutex, until_us);
    }
    pthread_mutex_unlock(&firing->mutex);
    return NULL;
}

bool sla_firing_new(const struct sla_firing_options *options, sla_firing **ret_firing, error *err)
{
    sla_firing *firing = calloc(1, sizeof *firing);
    if (!firing)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    firing->options = *options;
    firing->manual = suite_clock_is_manual(options->clock);
    pthread_mutex_init(&firing->mutex, NULL);
    condition_init(&firing->wake);
    condition_init(&firing->changed);
    *ret_firing = firing;
    return true;
}

bool sla_firing_start(sla_firing *firing, error *err)
{
    firing->running = pthread_create(&firing->thread, NULL, run, firing) == 0;
    return firing->running || error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for firing");
}

void sla_firing_stop(sla_firing *firing)
{
    if (!firing || !firing->running)
        return;
    pthread_mutex_lock(&firing->mutex);
    firing->stopping = true;
    pthread_cond_signal(&firing->wake);
    pthread_cond_broadcast(&firing->changed);
    pthread_mutex_unlock(&firing->mutex);
    pthread_join(firing->thread, NULL);
    firing->running = false;
}

void sla_firing_free(sla_firing *firing)
{
    if (!firing)
        return;
    sla_firing_stop(firing);
    pthread_cond_destroy(&firing->wake);
    pthread_cond_destroy(&firing->changed);
    pthread_mutex_destroy(&firing->mutex);
    free(firing);
}

/* --- from other threads --------------------------------------------------------------------------- */

void sla_firing_wake(sla_firing *firing, const int64_t due_us[TIMER_BUCKETS])
{
    pthread_mutex_lock(&firing->mutex);
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (due_us[b] < firing->next_due_us[b])
            firing->next_due_us[b] = due_us[b];
    pthread_cond_signal(&firing->wake);
    pthread_mutex_unlock(&firing->mutex);
}

void sla_firing_look(sla_firing *firing)
{
    static const int64_t at_once[TIMER_BUCKETS] = {0};
    sla_firing_wake(firing, at_once);
}

int64_t sla_firing_oldest(sla_firing *firing)
{
    int64_t oldest_us = INT64_MAX;
    pthread_mutex_lock(&firing->mutex);
    for (const struct flight *flight = firing->flights; flight; flight = flight->hh.next)
        if (flight->timer.due_us < oldest_us)
            oldest_us = flight->timer.due_us;
    pthread_mutex_unlock(&firing->mutex);
    return oldest_us;
}

bool sla_firing_fire(sla_firing *firing, const struct timer *timer, int64_t deadline_us)
{
    pthread_mutex_lock(&firing->mutex);
    while (room(firing) == 0 && !firing->stopping && clock_monotonic_us() < deadline_us)
        timed_wait(&firing->changed, &firing->mutex, deadline_us);
    bool free_room = room(firing) > 0 && !firing->stopping;
    struct flight *flight = free_room ? add_flight(firing, timer, true) : NULL;
    pthread_mutex_unlock(&firing->mutex);
    if (flight)
        launch(flight);
    return free_room;
}

/* With the lock held: nothing due, nothing under way. */
static bool is_settled(const sla_firing *firing, int64_t now_us)
{
    if (firing->claiming || firing->flights)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (firing->next_due_us[b] <= now_us)
            return false;
    return true;
}

bool sla_firing_settle(sla_firing *firing, int64_t now_us, int64_t deadline_us, int64_t *ret_next_due_us,
                       error *err)
{
    int64_t next_us = INT64_MAX;
    pthread_mutex_lock(&firing->mutex);
    for (int b = 0; b < TIMER_BUCKETS; b++)
        firing->next_due_us[b] = 0;
    pthread_cond_signal(&firing->wake);
    while (!is_settled(firing, now_us) && !firing->stopping && clock_monotonic_us() < deadline_us)
        timed_wait(&firing->changed, &firing->mutex, deadline_us);
    bool settled = is_settled(firing, now_us);
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (firing->next_due_us[b] < next_us)
            next_us = firing->next_due_us[b];
    pthread_mutex_unlock(&firing->mutex);
    if (!settled)
        return error_set(err, STATUS_DEADLINE_EXCEEDED, "", "timers that are due could not be fired in time");
    *ret_next_due_us = next_us;
    return true;
}
