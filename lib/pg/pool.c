#include "base/clock.h"
#include "base/condition.h"
#include "pg/pg_internal.h"

#include <pthread.h>
#include <stdlib.h>

#define ACQUIRE_WAIT (5 * CLOCK_SECOND)

struct pg_pool {
    struct pg_options options;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned size;
    unsigned open; /* given out, idle, or being opened */
    unsigned idle;
    pg_conn **idle_conns; /* a stack: the one used last is the one used next */
};

static const struct pg_statement ping = {.name = "ping", .sql = "SELECT 1"};

bool pg_pool_new(const struct pg_options *options, unsigned size, pg_pool **ret_pool, error *err)
{
    pg_pool *pool = calloc(1, sizeof *pool);
    pg_conn **idle = calloc(size ? size : 1, sizeof(pg_conn *));
    if (!pool || !idle) {
        free(pool);
        free(idle);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    }
    pool->options = *options;
    pool->size = size ? size : 1;
    pool->idle_conns = idle;
    condition_init(&pool->freed);
    pthread_mutex_init(&pool->lock, NULL);
    *ret_pool = pool;
    return true;
}

void pg_pool_free(pg_pool *pool)
{
    if (!pool)
        return;
    for (unsigned i = 0; i < pool->idle; i++)
        pg_conn_close(pool->idle_conns[i]);
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->idle_conns);
    free(pool);
}

static void give_up_place(pg_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->open--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

/* True: an idle connection, or NULL and the right to open one. */
static bool take_place(pg_pool *pool, int64_t deadline_us, pg_conn **ret_conn)
{
    int64_t until = deadline_us ? deadline_us : clock_monotonic_us() + ACQUIRE_WAIT;
    pthread_mutex_lock(&pool->lock);
    while (pool->idle == 0 && pool->open == pool->size)
        if (!condition_wait_until(&pool->freed, &pool->lock, until))
            break;
    bool got = pool->idle > 0 || pool->open < pool->size;
    *ret_conn = NULL;
    if (pool->idle > 0)
        *ret_conn = pool->idle_conns[--pool->idle];
    else if (got)
        pool->open++;
    pthread_mutex_unlock(&pool->lock);
    return got;
}

static bool acquire(pg_pool *pool, int64_t deadline_us, pg_conn **ret_conn, bool *ret_kept, error *err)
{
    pg_conn *conn;
    if (!take_place(pool, deadline_us, &conn))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "DATABASE_BUSY",
                         "too many requests for the database");
    if (conn && pg_conn_has_ended(conn)) { /* its place stays ours */
        pg_conn_close(conn);
        conn = NULL;
    }
    *ret_kept = conn != NULL;
    if (!conn && !pg_conn_open(&pool->options, &conn, err)) {
        give_up_place(pool);
        return false;
    }
    *ret_conn = conn;
    return true;
}

bool pg_pool_acquire(pg_pool *pool, int64_t deadline_us, pg_conn **ret_conn, error *err)
{
    bool kept;
    return acquire(pool, deadline_us, ret_conn, &kept, err);
}

void pg_pool_release(pg_pool *pool, pg_conn *conn)
{
    if (!conn)
        return;
    pg_rollback(conn);
    if (!pg_conn_usable(conn)) {
        pg_conn_close(conn);
        give_up_place(pool);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->idle_conns[pool->idle++] = conn;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

/* Connections that a restarted server has left behind are found out one by one, each costing only a try. */
static bool query_once(pg_pool *pool, const struct pg_statement *statement, const pg_params *params,
                       int64_t deadline_us, pg_result **ret_result, bool *ret_stale, error *err)
{
    pg_conn *conn;
    bool kept;
    if (!acquire(pool, deadline_us, &conn, &kept, err)) {
        *ret_stale = false;
        return false;
    }
    bool good = pg_query(conn, statement, params, deadline_us, ret_result, err);
    *ret_stale = !good && kept && !pg_conn_usable(conn) && err->code == STATUS_UNAVAILABLE;
    pg_pool_release(pool, conn);
    return good;
}

bool pg_pool_query(pg_pool *pool, const struct pg_statement *statement, const pg_params *params,
                   int64_t deadline_us, pg_result **ret_result, error *err)
{
    bool stale;
    unsigned tries = 0;
    error local = {.code = STATUS_OK};
    err = err ? err : &local;
    do {
        if (query_once(pool, statement, params, deadline_us, ret_result, &stale, err))
            return true;
    } while (stale && tries++ < pool->size);
    return false;
}

bool pg_pool_ping(pg_pool *pool, int64_t deadline_us, error *err)
{
    return pg_pool_query(pool, &ping, NULL, deadline_us, NULL, err);
}
