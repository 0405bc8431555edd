#include "case/case_health.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "case/case_row.h"
#include "pg/migrate.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define START_WAIT (30 * CLOCK_SECOND)
#define PING_EVERY (2 * CLOCK_SECOND)
#define PING_TIMEOUT (2 * CLOCK_SECOND)
#define PURGE_EVERY (30 * CLOCK_SECOND)
#define PURGE_TIMEOUT (5 * CLOCK_SECOND)

struct case_health {
    pg_pool *pool;
    rpc_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop_asked;
    bool stop;
    int64_t next_purge; /* monotonic */
};

bool case_health_check_schema(const struct pg_options *connection, error *err)
{
    int64_t deadline = clock_monotonic_us() + START_WAIT;
    for (;;) {
        if (pg_migrate_check(connection, "case", CASE_SCHEMA_VERSION, err))
            return true;
        if (err->code != STATUS_UNAVAILABLE || clock_monotonic_us() > deadline)
            return false;
        usleep(200 * 1000);
    }
}

/* Waits for the next look; true when it is time to stop. */
static bool wait_for_stop(case_health *health)
{
    int64_t until_us = clock_monotonic_us() + PING_EVERY;
    pthread_mutex_lock(&health->lock);
    bool in_time = true;
    while (!health->stop && in_time)
        in_time = condition_wait_until(&health->stop_asked, &health->lock, until_us);
    bool stop = health->stop;
    pthread_mutex_unlock(&health->lock);
    return stop;
}

/* Request ids, and what is kept beside them, are of no use after 24 hours (nobody reads them then); an hour
 * more keeps clear of whoever writes them anew. */
static const struct pg_statement purge_requests = {
    .name = "case_purge_requests",
    .sql = "WITH r AS (DELETE FROM batch_results WHERE ctid = ANY (ARRAY(SELECT ctid FROM batch_results"
           " WHERE time < " SUITE_TIME " - interval '25 hours' LIMIT 1000)))"
           " DELETE FROM request_ids WHERE ctid = ANY (ARRAY(SELECT ctid FROM request_ids"
           " WHERE time < " SUITE_TIME " - interval '25 hours' LIMIT 10000))",
};

/* Every now and then, until there is less than a batch left. What fails now is done the next time. */
static void purge(case_health *health)
{
    int64_t now = clock_monotonic_us();
    if (now < health->next_purge)
        return;
    error err = {0};
    pg_result *result = NULL;
    if (pg_pool_query(health->pool, &purge_requests, NULL, now + PURGE_TIMEOUT, &result, &err)) {
        if (pg_rows_affected(result) == 0)
            health->next_purge = now + PURGE_EVERY;
        pg_result_free(result);
    } else {
        health->next_purge = now + PURGE_EVERY;
        log_warn("request ids not purged", LOG_TEXT("error.detail", err.detail));
    }
}

static void *watch(void *argument)
{
    case_health *health = argument;
    bool serving = false;
    do {
        error err = {0};
        if (serving)
            purge(health);
        bool fine = pg_pool_ping(health->pool, clock_monotonic_us() + PING_TIMEOUT, &err);
        if (fine == serving)
            continue;
        serving = fine;
        rpc_server_set_serving(health->server, serving);
        if (serving)
            log_info("serving");
        else
            log_warn("not serving", LOG_TEXT("error.message", err.message),
                     LOG_TEXT("error.detail", err.detail));
    } while (!wait_for_stop(health));
    return NULL;
}

bool case_health_new(pg_pool *pool, rpc_server *server, case_health **ret_health, error *err)
{
    case_health *health = calloc(1, sizeof *health);
    if (health == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    health->pool = pool;
    health->server = server;
    condition_init(&health->stop_asked);
    pthread_mutex_init(&health->lock, NULL);
    if (pthread_create(&health->thread, NULL, watch, health) != 0) {
        free(health);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the health check");
    }
    *ret_health = health;
    return true;
}

void case_health_free(case_health *health)
{
    if (health == NULL)
        return;
    pthread_mutex_lock(&health->lock);
    health->stop = true;
    pthread_cond_signal(&health->stop_asked);
    pthread_mutex_unlock(&health->lock);
    pthread_join(health->thread, NULL);
    pthread_cond_destroy(&health->stop_asked);
    pthread_mutex_destroy(&health->lock);
    free(health);
}
