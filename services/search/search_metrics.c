#include "search/search_metrics.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/metrics.h"
#include "search/search_lag.h"

#include <pthread.h>
#include <stdlib.h>

#define LOOK_EVERY CLOCK_SECOND
#define LAG_TIMEOUT CLOCK_SECOND

enum { LAG_BYTES_MAX = 64 << 20 };

struct search_metrics {
    struct search_service *service;
    arena *memory;
    int64_t begun_us; /* monotonic */
    metrics_gauge *accounts, *cases, *sections, *bytes, *lag_events, *lag_seconds, *waiting, *backlog;
    pthread_mutex_t lock; /* of `stopping` */
    pthread_cond_t stop;
    pthread_t thread;
    bool stopping;
};

static void get_metrics(search_metrics *metrics)
{
    metrics->accounts =
        metrics_gauge_get("casework_search_accounts", "Accounts with cases in the index.", "");
    metrics->cases = metrics_gauge_get("casework_search_cases", "Cases in the index.", "");
    metrics->sections = metrics_gauge_get("casework_search_sections", "Sections of all accounts.", "");
    metrics->bytes = metrics_gauge_get("casework_search_index_bytes",
                                       "Bytes of the sections, in memory or mapped from files.", "");
    metrics->lag_events =
        metrics_gauge_get("casework_search_lag_events", "Events committed and not yet indexed.", "");
    metrics->lag_seconds = metrics_gauge_get("casework_search_lag_seconds",
                                             "Age of the oldest event that is not indexed; grows while "
                                             "the case service does not answer.",
                                             "");
    metrics->waiting = metrics_gauge_get("casework_search_waiting_calls",
                                         "Searches that wait for the index to reach a position.", "");
    metrics->backlog =
        metrics_gauge_get("casework_search_backlog_cases", "Cases that wait to be read beside the feed.", "");
}

/* While nobody tells how far the feed is, what is missing grows older. */
static void look_at_lag(search_metrics *metrics)
{
    struct search_service *service = metrics->service;
    struct feed_positions positions;
    struct search_lag lag;
    int64_t events = 0, age_us = clock_monotonic_us() - metrics->begun_us;
    error err;
    arena_clear(metrics->memory);
    search_index_positions(service->index, &positions);
    if (search_lag_measure(service->cases, &positions, service->shards.partitions, LAG_TIMEOUT,
                           metrics->memory, &lag, &err))
        search_lag_remember(&service->lag, &lag, suite_clock_now_us(service->clock));
    (void)search_lag_recall(&service->lag, &events, &age_us);
    metrics_set(metrics->lag_events, events);
    metrics_set(metrics->lag_seconds, age_us / CLOCK_SECOND);
}

static void look(search_metrics *metrics)
{
    const struct search_service *service = metrics->service;
    const struct search_index_totals totals = search_index_total(service->index);
    metrics_set(metrics->accounts, (int64_t)totals.accounts);
    metrics_set(metrics->cases, (int64_t)totals.cases);
    metrics_set(metrics->sections, (int64_t)totals.sections);
    metrics_set(metrics->bytes, (int64_t)totals.bytes);
    metrics_set(metrics->waiting,
                (int64_t)feed_consumer_waiting(search_follower_consumer(service->follower)));
    metrics_set(metrics->backlog, (int64_t)search_follower_backlog(service->follower));
    look_at_lag(metrics);
}

/* True when it is time to stop. */
static bool pause_until(search_metrics *metrics, int64_t until_us)
{
    bool in_time = true;
    pthread_mutex_lock(&metrics->lock);
    while (!metrics->stopping && in_time)
        in_time = condition_wait_until(&metrics->stop, &metrics->lock, until_us);
    bool stopping = metrics->stopping;
    pthread_mutex_unlock(&metrics->lock);
    return stopping;
}

static void *run(void *argument)
{
    search_metrics *metrics = argument;
    int64_t next_us;
    do {
        next_us = clock_monotonic_us() + LOOK_EVERY;
        look(metrics);
    } while (!pause_until(metrics, next_us));
    return NULL;
}

static bool start(search_metrics *metrics, error *err)
{
    condition_init(&metrics->stop);
    pthread_mutex_init(&metrics->lock, NULL);
    if (pthread_create(&metrics->thread, NULL, run, metrics) == 0)
        return true;
    pthread_cond_destroy(&metrics->stop);
    pthread_mutex_destroy(&metrics->lock);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for metrics");
}

bool search_metrics_start(struct search_service *service, search_metrics **ret_metrics, error *err)
{
    search_metrics *metrics = calloc(1, sizeof *metrics);
    arena *memory = arena_new(LAG_BYTES_MAX);
    if (metrics && memory) {
        metrics->service = service;
        metrics->memory = memory;
        metrics->begun_us = clock_monotonic_us();
        get_metrics(metrics);
        if (start(metrics, err)) {
            *ret_metrics = metrics;
            return true;
        }
    } else {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for metrics");
    }
    arena_free(memory);
    free(metrics);
    return false;
}

void search_metrics_stop(search_metrics *metrics)
{
    if (!metrics)
        return;
    pthread_mutex_lock(&metrics->lock);
    metrics->stopping = true;
    pthread_cond_signal(&metrics->stop);
    pthread_mutex_unlock(&metrics->lock);
    pthread_join(metrics->thread, NULL);
    pthread_cond_destroy(&metrics->stop);
    pthread_mutex_destroy(&metrics->lock);
    arena_free(metrics->memory);
    free(metrics);
}
