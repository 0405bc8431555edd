#include "case/case_eraser.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "base/metrics.h"
#include "case/case_eraser_work.h"
#include "case/case_row.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY (1 * CLOCK_SECOND)
#define LOOK_TIMEOUT (5 * CLOCK_SECOND)
#define FORGET_EVERY CLOCK_HOUR

enum { LOOK_BYTES_MAX = 8 << 20 };

struct case_eraser {
    struct case_eraser_options options;
    metrics_gauge *waiting;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool woken, stopping;
};

static const struct pg_statement find_erasures = {
    .name = "erasures_find",
    .sql = "SELECT account, contact, position, actor_kind, actor_id, actor_via FROM erasures"
           " ORDER BY partition, account, contact LIMIT 1000",
};

/* Held by the connection that works; gone with it. */
static const struct pg_statement become_worker = {
    .name = "erasures_lock",
    .sql = "SELECT pg_try_advisory_lock(hashtextextended('casework.erasures', 0))",
};

/* An hour later than anybody asks for them. */
static const struct pg_statement forget_deletions = {
    .name = "erasures_forget",
    .sql = "DELETE FROM account_deletions WHERE time < " SUITE_TIME " - interval '25 hours'",
};

static bool is_stopping(void *context)
{
    case_eraser *eraser = context;
    pthread_mutex_lock(&eraser->lock);
    bool stopping = eraser->stopping;
    pthread_mutex_unlock(&eraser->lock);
    return stopping;
}

/* Everything that is to be erased; what is gone is known from here on. */
static bool look(case_eraser *eraser, arena *memory, pg_result **ret_result, error *err)
{
    unsigned generation = case_gone_generation(eraser->options.gone);
    pg_result *result = NULL;
    if (!pg_pool_query(eraser->options.pool, &find_erasures, NULL, clock_monotonic_us() + LOOK_TIMEOUT,
                       &result, err))
        return false;
    size_t rows = (size_t)pg_rows(result), count = 0;
    const char **accounts = arena_calloc(memory, rows + 1, sizeof *accounts);
    for (size_t row = 0; accounts != NULL && row < rows; row++) {
        if (pg_get_text(result, (int)row, 1)[0] == '\0')
            accounts[count++] = pg_get_text(result, (int)row, 0);
    }
    if (accounts != NULL)
        case_gone_replace(eraser->options.gone, generation, accounts, count);
    metrics_set(eraser->waiting, (int64_t)rows);
    *ret_result = result;
    return true;
}

/* A slice of each, so that none waits for the end of a large one. */
static bool work_through(case_eraser *eraser, pg_conn *conn, const pg_result *found, bool *ret_more,
                         error *err)
{
    struct eraser_work work = {
        .conn = conn, .lanes = eraser->options.lanes, .is_stopping = is_stopping, .context = eraser};
    for (int row = 0; row < pg_rows(found) && !is_stopping(eraser); row++) {
        const struct erasure erasure = {
            .account = pg_get_text(found, row, 0),
            .contact = pg_get_text(found, row, 1),
            .position = pg_get_int(found, row, 2),
            .actor = {.kind = (enum actor_kind)pg_get_int(found, row, 3),
                      .id = pg_get_text(found, row, 4),
                      .via = pg_get_text(found, row, 5),
                      .session = ""},
        };
        bool more = false;
        if (!eraser_work_on(&work, &erasure, &more, err))
            return false;
        *ret_more = *ret_more || more;
    }
    return true;
}

/* Does a slice of all there is to do, unless another replica is at it. */
static bool run_once(case_eraser *eraser, arena *memory, bool *ret_more, error *err)
{
    pg_result *found = NULL, *mine = NULL;
    pg_conn *conn = NULL;
    if (!look(eraser, memory, &found, err))
        return false;
    bool done = pg_rows(found) == 0;
    if (!done && pg_conn_open(eraser->options.connection, &conn, err) &&
        pg_query(conn, &become_worker, NULL, 0, &mine, err)) {
        done = !pg_get_bool(mine, 0, 0) || work_through(eraser, conn, found, ret_more, err);
        pg_result_free(mine);
    }
    pg_conn_close(conn);
    pg_result_free(found);
    return done;
}

/* False: it is time to stop. */
static bool pause_a_while(case_eraser *eraser)
{
    int64_t until = clock_monotonic_us() + LOOK_EVERY;
    pthread_mutex_lock(&eraser->lock);
    while (!eraser->stopping && !eraser->woken && clock_monotonic_us() < until)
        condition_wait_until(&eraser->changed, &eraser->lock, until);
    eraser->woken = false;
    bool go = !eraser->stopping;
    pthread_mutex_unlock(&eraser->lock);
    return go;
}

/* What fails now is done the next time. */
static void forget(case_eraser *eraser, int64_t *next)
{
    int64_t now = clock_monotonic_us();
    error err;
    if (now < *next)
        return;
    *next = now + FORGET_EVERY;
    if (!pg_pool_query(eraser->options.pool, &forget_deletions, NULL, now + LOOK_TIMEOUT, NULL, &err))
        log_warn("deletions of accounts not forgotten", LOG_TEXT("error.detail", err.detail));
}

static void *run(void *argument)
{
    case_eraser *eraser = argument;
    arena *memory = arena_new(LOOK_BYTES_MAX);
    bool failing = false;
    int64_t next_forget = 0;
    while (pause_a_while(eraser)) {
        forget(eraser, &next_forget);
        error err = {0};
        bool more = false, done = memory != NULL && run_once(eraser, memory, &more, &err);
        if (!done && !failing)
            log_warn("erasures are held up", LOG_TEXT("error.message", err.message),
                     LOG_TEXT("error.detail", err.detail));
        failing = !done;
        if (more)
            case_eraser_wake(eraser);
        arena_clear(memory);
    }
    arena_free(memory);
    return NULL;
}

static bool look_first(case_eraser *eraser, error *err)
{
    arena *memory = arena_new(LOOK_BYTES_MAX);
    pg_result *found = NULL;
    bool done = memory != NULL ? look(eraser, memory, &found, err)
                               : error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    pg_result_free(found);
    arena_free(memory);
    return done;
}

bool case_eraser_new(const struct case_eraser_options *options, case_eraser **ret_eraser, error *err)
{
    case_eraser *eraser = calloc(1, sizeof *eraser);
    if (eraser == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    eraser->options = *options;
    eraser->waiting = metrics_gauge_get("casework_case_erasures", "Erasures that are not finished yet.", "");
    condition_init(&eraser->changed);
    pthread_mutex_init(&eraser->lock, NULL);
    bool done = look_first(eraser, err);
    if (done && pthread_create(&eraser->thread, NULL, run, eraser) != 0)
        done = error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for erasures");
    if (!done) {
        pthread_cond_destroy(&eraser->changed);
        pthread_mutex_destroy(&eraser->lock);
        free(eraser);
        return false;
    }
    *ret_eraser = eraser;
    return true;
}

void case_eraser_wake(case_eraser *eraser)
{
    pthread_mutex_lock(&eraser->lock);
    eraser->woken = true;
    pthread_cond_signal(&eraser->changed);
    pthread_mutex_unlock(&eraser->lock);
}

void case_eraser_stop(case_eraser *eraser)
{
    if (eraser == NULL)
        return;
    pthread_mutex_lock(&eraser->lock);
    eraser->stopping = true;
    pthread_cond_signal(&eraser->changed);
    pthread_mutex_unlock(&eraser->lock);
    pthread_join(eraser->thread, NULL);
}

void case_eraser_free(case_eraser *eraser)
{
    if (eraser == NULL)
        return;
    pthread_cond_destroy(&eraser->changed);
    pthread_mutex_destroy(&eraser->lock);
    free(eraser);
}
