#include "report/report_store.h"

#include "base/clock.h"
#include "base/log.h"
#include "pg/migrate.h"
#include "pg/pg.h"
#include "report/report_batch.h"
#include "report/report_merger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A transaction for what comes at a time, as long as it is little; several at once where there is a backlog.
 */
enum { SPREAD_MAX = 16 };

enum { SCHEMA_VERSION = 5, SMALL_ARENA = 1024 * 1024 };

struct report_store {
    struct pg_options options;
    int64_t exact_max;
    pg_pool *pool;
    pg_pool *long_reads;
    pg_lanes *lanes;
    report_merger *merger;
    _Atomic unsigned resets;
};

/* --- statements ------------------------------------------------------------------------------------------
 */

static const struct pg_statement read_positions = {
    .name = "report_read_positions",
    .sql = "SELECT partition, position, epoch FROM report_partitions",
};

static const struct pg_statement lock_all = {
    .name = "report_lock_all",
    .sql = "SELECT epoch FROM report_partitions ORDER BY partition FOR UPDATE",
};

static const struct pg_statement forget_all = {
    .name = "report_forget_all",
    .sql = "TRUNCATE report_entries, report_sums, report_cases, report_accounts, report_commits,"
           " report_engagements, report_volume, report_pauses, report_totals",
};

static const struct pg_statement start_over = {
    .name = "report_start_over",
    .sql = "UPDATE report_partitions SET position = 0, epoch = $1::text",
};

static const struct pg_statement read_time_zone = {
    .name = "report_read_time_zone",
    .sql = "SELECT time_zone FROM report_accounts WHERE partition = $1::int2 AND account = $2::text"
           " ORDER BY position <= $3::int8 DESC, abs(position - $3::int8) LIMIT 1",
};

static const struct pg_statement read_position_at = {
    .name = "report_read_position_at",
    .sql =
        "WITH asked AS (SELECT timestamptz 'epoch' + $2::int8 * interval '1 microsecond' AS time)"
        " SELECT (SELECT c.position FROM report_commits c WHERE c.partition = $1::int2"
        " AND c.commit_time <= asked.time ORDER BY c.commit_time DESC LIMIT 1),"
        " EXISTS (SELECT FROM report_commits c WHERE c.partition = $1::int2 AND c.commit_time > asked.time)"
        " FROM asked",
};

static const struct pg_statement read_commit_time = {
    .name = "report_read_commit_time",
    .sql = "SELECT commit_time FROM report_commits WHERE partition = $1::int2 AND position >= $2::int8"
           " ORDER BY position LIMIT 1",
};

/* Rows are numbered from 1; the first row of the answer holds the position and perhaps no sums. */
static const struct pg_statement sum_quarters = {
    .name = "report_sum_quarters",
    .sql = "SELECT p.position, s.* FROM report_partitions p LEFT JOIN ("
           "SELECT width_bucket(q.quarter, $3::int8[]), sum(q.created)::int8, sum(q.pending)::int8,"
           " sum(q.resolved)::int8, sum(q.deleted)::int8, sum(q.resolve_duration)::int8"
           " FROM report_sums q WHERE q.partition = $1::int2 AND q.account = $2::text"
           " AND q.quarter >= $4::int8 AND q.quarter < $5::int8 GROUP BY 1) s ON true"
           " WHERE p.partition = $1::int2",
};

static const struct pg_statement sum_entries = {
    .name = "report_sum_entries",
    .sql = "WITH bounds AS MATERIALIZED ("
           "SELECT array_agg(timestamptz 'epoch' + b * interval '1 microsecond' ORDER BY b) AS at,"
           " min(timestamptz 'epoch' + b * interval '1 microsecond') AS first,"
           " max(timestamptz 'epoch' + b * interval '1 microsecond') AS last FROM unnest($3::int8[]) AS b)"
           " SELECT p.position, s.* FROM report_partitions p LEFT JOIN ("
           "SELECT width_bucket(e.place_time, (SELECT at FROM bounds)),"
           " coalesce(sum(e.delta) FILTER (WHERE e.place = 1), 0)::int8,"
           " coalesce(sum(e.delta) FILTER (WHERE e.place = 2), 0)::int8,"
           " coalesce(sum(e.delta) FILTER (WHERE e.place = 3), 0)::int8,"
           " coalesce(sum(e.delta) FILTER (WHERE e.place = 4), 0)::int8,"
           " sum(e.delta * e.resolve_duration)::int8"
           " FROM report_entries e WHERE e.partition = $1::int2 AND e.account = $2::text"
           " AND e.place_time >= (SELECT first FROM bounds) AND e.place_time < (SELECT last FROM bounds)"
           " AND e.position <= $4::int8 GROUP BY 1) s ON true"
           " WHERE p.partition = $1::int2",
};

/* Rows of one account, so many at a time. */
#define SHRINK(table)                                                                                 \
    {                                                                                                 \
        .name = "report_shrink_" #table,                                                              \
        .sql = "DELETE FROM " #table " WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM " #table            \
               " t WHERE t.partition = $1::int2 AND t.account = $2::text AND (SELECT p.position FROM" \
               " report_partitions p WHERE p.partition = $1) < $3::int8 LIMIT 5000))",                \
    }

static const struct pg_statement shrinks[] = {
    SHRINK(report_entries), SHRINK(report_sums),   SHRINK(report_cases), SHRINK(report_engagements),
    SHRINK(report_volume),  SHRINK(report_pauses), SHRINK(report_totals)};

/* --- opening ---------------------------------------------------------------------------------------------
 */

static bool open_all(report_store *store, const struct report_store_options *options, error *err)
{
    struct pg_options readers = store->options, long_reads;
    readers.read_only = true;
    long_reads = readers;
    long_reads.idle_timeout_us = CLOCK_HOUR; /* who reads on has less patience */
    struct pg_lane_options lanes = {
        .connection = store->options, .lanes = options->lanes, .spread_max = SPREAD_MAX};
    return pg_migrate_check(&store->options, "report", SCHEMA_VERSION, err) &&
           pg_pool_new(&readers, options->readers, &store->pool, err) &&
           pg_pool_new(&long_reads, REPORT_LONG_READS, &store->long_reads, err) &&
           report_merger_new(&store->options, &store->merger, err) &&
           pg_lanes_new(&lanes, &report_batch_ops, NULL, &store->lanes, err);
}

bool report_store_new(const struct report_store_options *options, report_store **ret_store, error *err)
{
    report_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    store->exact_max = options->exact_max;
    store->options = (struct pg_options){
        .url = options->database_url, .application = "casework-report", .search_path = options->search_path};
    if (!open_all(store, options, err)) {
        report_store_free(store);
        return false;
    }
    *ret_store = store;
    return true;
}

void report_store_free(report_store *store)
{
    if (store == NULL)
        return;
    pg_lanes_free(store->lanes);
    report_merger_free(store->merger);
    pg_pool_free(store->pool);
    pg_pool_free(store->long_reads);
    free(store);
}

int64_t report_store_exact_max(const report_store *store)
{
    return store->exact_max;
}

bool report_store_ping(report_store *store, int64_t deadline_us, error *err)
{
    return pg_pool_ping(store->pool, deadline_us, err);
}

bool report_store_query(report_store *store, const struct pg_statement *statement, const pg_params *params,
                        int64_t deadline_us, pg_result **ret_rows, error *err)
{
    return pg_pool_query(store->pool, statement, params, deadline_us, ret_rows, err);
}

pg_pool *report_store_long_reads(report_store *store)
{
    return store->long_reads;
}

unsigned report_store_resets(const report_store *store)
{
    return atomic_load(&store->resets);
}

/* --- the feed --------------------------------------------------------------------------------------------
 */

bool report_store_positions(report_store *store, struct feed_positions *ret_positions, error *err)
{
    pg_result *rows;
    if (!pg_pool_query(store->pool, &read_positions, NULL, 0, &rows, err))
        return false;
    *ret_positions = (struct feed_positions){0};
    for (int i = 0; i < pg_rows(rows); i++) {
        int64_t partition = pg_get_int(rows, i, 0);
        if (partition < 0 || partition >= FEED_PARTITIONS)
            continue;
        ret_positions->at[partition] = pg_get_int(rows, i, 1);
        if (pg_get_text(rows, i, 2)[0] != '\0')
            strncpy(ret_positions->epoch, pg_get_text(rows, i, 2), FEED_EPOCH_SIZE - 1);
    }
    pg_result_free(rows);
    return true;
}

/* Parts under way on the lanes, and the first thing that went wrong with one. */
struct applying {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left;
    error failure;
};

struct applied_part {
    struct report_command command; /* first */
    struct applying *applying;
};

static void part_done(struct pg_command *command)
{
    struct applying *applying = ((struct applied_part *)command)->applying;
    pthread_mutex_lock(&applying->lock);
    if (command->outcome.code != STATUS_OK && applying->failure.code == STATUS_OK)
        applying->failure = command->outcome;
    if (--applying->left == 0)
        pthread_cond_signal(&applying->done);
    pthread_mutex_unlock(&applying->lock);
}

bool report_store_merge(report_store *store, error *err)
{
    return report_merger_run(&store->options, err);
}

bool report_store_apply(report_store *store, const char *epoch, const struct report_part *parts, size_t count,
                        error *err)
{
    if (count == 0)
        return true;
    struct applied_part *applied = calloc(count, sizeof *applied);
    struct pg_command *commands[FEED_PARTITIONS];
    if (applied == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    struct applying applying = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .left = count};
    for (size_t i = 0; i < count; i++) {
        applied[i].applying = &applying;
        applied[i].command = (struct report_command){
            .base = {.partition = (unsigned)parts[i].partition, .done = part_done},
            .part = &parts[i],
            .epoch = epoch,
        };
        commands[i] = &applied[i].command.base;
    }
    pg_lanes_submit_all(store->lanes, commands, count);
    /* The lanes bound every statement, so this ends. */
    pthread_mutex_lock(&applying.lock);
    while (applying.left > 0)
        pthread_cond_wait(&applying.done, &applying.lock);
    pthread_mutex_unlock(&applying.lock);
    pthread_mutex_destroy(&applying.lock);
    pthread_cond_destroy(&applying.done);
    free(applied);
    for (size_t i = 0; applying.failure.code == STATUS_OK && i < count; i++)
        report_merger_note(store->merger, parts[i].partition, parts[i].count);
    if (applying.failure.code == STATUS_OK)
        return true;
    if (err != NULL)
        *err = applying.failure;
    return false;
}

static bool is_done(const pg_result *rows, const char *epoch)
{
    for (int i = 0; i < pg_rows(rows); i++) {
        if (strcmp(pg_get_text(rows, i, 0), epoch) != 0)
            return false;
    }
    return true;
}

/* Under the locks of all partitions, so that no batch of the old epoch can follow. */
static bool reset_locked(pg_conn *conn, const char *epoch, error *err)
{
    pg_result *rows;
    if (!pg_query(conn, &lock_all, NULL, 0, &rows, err))
        return false;
    bool done = is_done(rows, epoch);
    pg_result_free(rows);
    if (done)
        return true;
    arena *memory = arena_new(SMALL_ARENA);
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_text(&p, epoch);
    bool ok =
        pg_query(conn, &forget_all, NULL, 0, NULL, err) && pg_query(conn, &start_over, &p, 0, NULL, err);
    arena_free(memory);
    return ok;
}

static bool shrink(pg_conn *conn, const char *account, int64_t position, arena *memory, error *err)
{
    for (size_t i = 0; i < sizeof shrinks / sizeof shrinks[0];) {
        pg_params params;
        pg_result *result;
        arena_clear(memory);
        pg_params_init(&params, memory);
        pg_add_int2(&params, feed_partition(account));
        pg_add_text(&params, account);
        pg_add_int8(&params, position);
        if (!pg_query(conn, &shrinks[i], &params, 0, &result, err))
            return false;
        if (pg_rows_affected(result) == 0)
            i++;
        pg_result_free(result);
    }
    return true;
}

bool report_store_shrink(report_store *store, const char *account, int64_t position, error *err)
{
    arena *memory = arena_new(SMALL_ARENA);
    pg_conn *conn = NULL;
    bool done = memory != NULL || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    done = done && pg_conn_open(&store->options, &conn, err) && shrink(conn, account, position, memory, err);
    pg_conn_close(conn);
    arena_free(memory);
    return done;
}

bool report_store_reset(report_store *store, const char *epoch, error *err)
{
    pg_conn *conn;
    atomic_fetch_add(&store->resets, 1); /* who reads on for long makes way for the truncation */
    if (!pg_conn_open(&store->options, &conn, err))
        return false;
    bool ok = pg_begin(conn, 0, err) && reset_locked(conn, epoch, err) && pg_commit(conn, 0, err);
    pg_conn_close(conn); /* rolls back what was not committed */
    return ok;
}

/* --- reports ---------------------------------------------------------------------------------------------
 */

/* A query about an account, or its partition only, with one more number; in memory of its own. */
static bool query_account(report_store *store, const struct pg_statement *statement, const char *account,
                          int64_t number, int64_t deadline_us, pg_result **ret_rows, error *err)
{
    arena *memory = arena_new(SMALL_ARENA);
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int2(&p, feed_partition(account));
    if (statement == &read_time_zone)
        pg_add_text(&p, account);
    pg_add_int8(&p, number);
    bool ok = memory != NULL ? pg_pool_query(store->pool, statement, &p, deadline_us, ret_rows, err)
                             : error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    arena_free(memory);
    return ok;
}

bool report_store_time_zone(report_store *store, const char *account, int64_t position, int64_t deadline_us,
                            arena *memory, const char **ret_time_zone, error *err)
{
    pg_result *rows;
    if (!query_account(store, &read_time_zone, account, position, deadline_us, &rows, err))
        return false;
    const char *time_zone = NULL;
    bool ok = true;
    if (pg_rows(rows) > 0) {
        time_zone = arena_strdup(memory, pg_get_text(rows, 0, 0));
        ok = time_zone != NULL || error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    }
    pg_result_free(rows);
    if (ok)
        *ret_time_zone = time_zone;
    return ok;
}

bool report_store_position_at(report_store *store, const char *account, int64_t time_us, int64_t deadline_us,
                              int64_t *ret_position, bool *ret_over, error *err)
{
    pg_result *rows;
    if (!query_account(store, &read_position_at, account, time_us, deadline_us, &rows, err))
        return false;
    *ret_position = pg_get_int(rows, 0, 0);
    *ret_over = pg_get_bool(rows, 0, 1);
    pg_result_free(rows);
    return true;
}

bool report_store_commit_time(report_store *store, const char *account, int64_t position, int64_t deadline_us,
                              int64_t *ret_time_us, error *err)
{
    pg_result *rows;
    if (!query_account(store, &read_commit_time, account, position, deadline_us, &rows, err))
        return false;
    *ret_time_us = pg_get_time(rows, 0, 0);
    pg_result_free(rows);
    return true;
}

static int64_t quarter_of(int64_t time_us)
{
    return time_us / (15 * CLOCK_MINUTE);
}

/* Sums where they fit; the ledger for the past, and for zones whose clocks are not set by quarters. */
static const struct pg_statement *bind_activity(pg_params *p, const char *account,
                                                const struct report_rows *rows, int64_t as_of)
{
    pg_add_int2(p, feed_partition(account));
    pg_add_text(p, account);
    pg_array *bounds = pg_add_array(p, PG_INT8);
    bool from_sums = rows->aligned && as_of == INT64_MAX;
    for (size_t i = 0; i <= rows->count; i++)
        pg_put_int(bounds, from_sums ? quarter_of(rows->bounds[i]) : rows->bounds[i]);
    if (!from_sums) {
        pg_add_int8(p, as_of);
        return &sum_entries;
    }
    pg_add_int8(p, quarter_of(rows->bounds[0]));
    pg_add_int8(p, quarter_of(rows->bounds[rows->count]));
    return &sum_quarters;
}

static void take_counts(const pg_result *result, size_t count, struct report_counts *counts)
{
    memset(counts, 0, count * sizeof *counts);
    for (int i = 0; i < pg_rows(result); i++) {
        int64_t row = pg_get_int(result, i, 1);
        if (row < 1 || (size_t)row > count)
            continue;
        counts[row - 1] = (struct report_counts){
            .created = pg_get_int(result, i, 2),
            .pending = pg_get_int(result, i, 3),
            .resolved = pg_get_int(result, i, 4),
            .deleted = pg_get_int(result, i, 5),
            .resolve_duration = pg_get_int(result, i, 6),
        };
    }
}

bool report_store_activity(report_store *store, const char *account, const struct report_rows *rows,
                           int64_t as_of, int64_t deadline_us, struct report_counts *counts,
                           int64_t *ret_position, error *err)
{
    arena *memory = arena_new(SMALL_ARENA);
    if (memory == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    pg_params p;
    pg_params_init(&p, memory);
    const struct pg_statement *statement = bind_activity(&p, account, rows, as_of);
    pg_result *result;
    bool ok = pg_pool_query(store->pool, statement, &p, deadline_us, &result, err);
    arena_free(memory);
    if (!ok)
        return false;
    take_counts(result, rows->count, counts);
    *ret_position = pg_get_int(result, 0, 0);
    pg_result_free(result);
    return true;
}
