#include "report/report_rebuild.h"

#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "report/report_feed.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The new tables' schema comes first; what else there is (the applied migrations) is found behind it. */
#define SEARCH_PATH "report_rebuild, public"

enum { LANES = 2, READERS = 2 };

#define POLL (CLOCK_SECOND / 200)
#define STATEMENT_TIMEOUT (3600 * CLOCK_SECOND)
#define LOCK_TIMEOUT (CLOCK_SECOND / 2) /* before anybody takes it for a deadlock */
#define STILL_MAX (2 * CLOCK_SECOND)    /* nobody counts into the serving tables */
#define CLAIM_PATIENCE (10 * CLOCK_SECOND)
#define FREEZE_MAX (20 * CLOCK_SECOND)
#define SWAP_MAX (600 * CLOCK_SECOND)

struct rebuild {
    struct pg_options options;
    pg_conn *serving; /* holds the right to rebuild, and the partitions' rows for moments */
    report_store *served, *built;
    report_feed *feed;
    atomic_bool caught_up;
    pthread_mutex_t lock;
    bool frozen; /* the serving tables stand still at: */
    struct feed_positions at;
};

/* --- statements ---------------------------------------------------------------------------------------- */

static const struct pg_statement claim = {
    .name = "report_rebuild_claim",
    .sql = "SELECT pg_try_advisory_lock(hashtextextended('casework_report_rebuild', 0))",
};

/* The same tables as those that serve, with the same names of indexes and constraints. */
static const char make_tables[] =
    "DROP SCHEMA IF EXISTS report_rebuild CASCADE; CREATE SCHEMA report_rebuild;"
    "DO $$ DECLARE t record; i record; BEGIN"
    " FOR t IN SELECT c.oid, c.relname, array_to_string(c.reloptions, ', ') AS options FROM pg_class c"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname LIKE "
    "'report\\_%'"
    " LOOP"
    " EXECUTE format('CREATE TABLE report_rebuild.%I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    " INCLUDING STORAGE)', t.relname, t.relname);"
    " IF t.options IS NOT NULL THEN EXECUTE format('ALTER TABLE report_rebuild.%I SET (%s)', t.relname,"
    " t.options); END IF;"
    " FOR i IN SELECT x.indisprimary, c.relname, pg_get_indexdef(x.indexrelid) AS definition FROM pg_index x"
    " JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = t.oid LOOP"
    " EXECUTE regexp_replace(i.definition, ' ON [^ ]+ USING ', format(' ON report_rebuild.%I USING ',"
    " t.relname));"
    " IF i.indisprimary THEN EXECUTE format('ALTER TABLE report_rebuild.%I ADD CONSTRAINT %I PRIMARY KEY"
    " USING INDEX %I', t.relname, i.relname, i.relname); END IF;"
    " END LOOP; END LOOP; END $$;"
    "INSERT INTO report_rebuild.report_partitions (partition) SELECT generate_series(0, 63);";

/* All at once: whoever reads sees the old ones or the new ones. */
static const char exchange_tables[] =
    "DO $$ DECLARE t text; BEGIN"
    " FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'report_rebuild' ORDER BY 1 LOOP"
    " EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', t); END LOOP;"
    " FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'report_rebuild' ORDER BY 1 LOOP"
    " EXECUTE format('DROP TABLE %I', t);"
    " EXECUTE format('ALTER TABLE report_rebuild.%I SET SCHEMA %I', t, current_schema()); END LOOP;"
    " DROP SCHEMA report_rebuild; END $$;";

static const char drop_tables[] = "DROP SCHEMA IF EXISTS report_rebuild CASCADE;";

static const struct pg_statement lock_serving = {
    .name = "report_rebuild_lock",
    .sql = "SELECT partition, position, epoch FROM report_partitions ORDER BY partition FOR UPDATE",
};

static const struct pg_statement take_snapshot = {
    .name = "report_rebuild_snapshot",
    .sql = "SELECT count(*) FROM report_partitions",
};

static const struct pg_statement repeatable = {
    .name = "report_rebuild_repeatable",
    .sql = "SELECT set_config('default_transaction_isolation', 'repeatable read', false)",
};

/* Rows that only one of them has. */
#define COMPARE_ROWS(table, which)                                                                        \
    {                                                                                                     \
        .name = (table),                                                                                  \
        .sql = "SELECT (SELECT count(*) FROM report_rebuild." table "), (SELECT count(*) FROM (SELECT * " \
               "FROM " table which " EXCEPT ALL SELECT * FROM report_rebuild." table which ") d) + "      \
               "(SELECT count(*) FROM (SELECT * FROM report_rebuild." table which                         \
               " EXCEPT ALL SELECT * FROM " table which ") d)",                                           \
    }
#define COMPARE(table) COMPARE_ROWS(table, "")

/* Sums that have come to nothing are none: there is a row of them only where what was added was not taken
 * away in the same batch. */
#define COMPARE_SUMS(table, numbers) COMPARE_ROWS(table, " WHERE (" numbers ") <> (0, 0, 0, 0, 0)")

/*
 * The feed does not tell of deleted accounts any more, so what they had only the serving tables know. Such a
 * row is true where it parts commits and entries by position as it does by time, and is not above the
 * partition's position: no report as of then says anything else.
 */
#define PARTS_WRONGLY(table)                                                                                \
    "(SELECT n.commit_time > o.commit_time FROM report_rebuild." table " n WHERE n.partition = o.partition" \
    " AND n.position <= o.position ORDER BY n.position DESC LIMIT 1) OR "                                   \
    "(SELECT n.commit_time <= o.commit_time FROM report_rebuild." table " n WHERE n.partition = "           \
    "o.partition AND n.position > o.position ORDER BY n.position LIMIT 1)"
#define COMPARE_COMMITS                                                                                     \
    {                                                                                                       \
        .name = "report_commits",                                                                           \
        .sql =                                                                                              \
            "SELECT (SELECT count(*) FROM report_rebuild.report_commits), (SELECT count(*) FROM "           \
            "report_rebuild.report_commits n WHERE NOT EXISTS (SELECT FROM report_commits o WHERE "         \
            "o.partition = n.partition AND o.commit_time = n.commit_time AND o.position >= n.position)) + " \
            "(SELECT count(*) FROM (SELECT * FROM report_commits EXCEPT SELECT * FROM "                     \
            "report_rebuild.report_commits) o JOIN report_partitions p USING (partition) WHERE "            \
            "o.position > p.position OR " PARTS_WRONGLY("report_commits") " OR " PARTS_WRONGLY(             \
                "report_entries") ")",                                                                      \
    }

/* Keys whose rows do not come to the same; sketches and values where each side has them in one row. */
#define TOTALS(from)                                                                                       \
    "(SELECT partition, account, level, slot, dimension, key, value, count(*) AS lines, sum(closed) AS c," \
    " sum(engagements) AS e, sum(first_reply) AS f, sum(resolution) AS r, sum(interactions) AS i,"         \
    " sum(agents) AS a, min(md5(sketches)) AS s, min(md5(measured)) AS v FROM " from                       \
    " GROUP BY 1, 2, 3, 4, 5, 6, 7"                                                                        \
    " HAVING sum(closed) <> 0 OR sum(engagements) <> 0)"

static const struct pg_statement comparisons[] = {
    COMPARE("report_partitions"),
    COMPARE_COMMITS,
    COMPARE("report_accounts"),
    COMPARE("report_cases"),
    COMPARE("report_entries"),
    COMPARE_SUMS("report_sums", "created, pending, resolved, deleted, resolve_duration"),
    COMPARE("report_engagements"),
    COMPARE_SUMS("report_volume", "starts, ends, 0, 0, 0"),
    COMPARE_SUMS("report_pauses", "pauses, 0, 0, 0, 0"),
    {.name = "report_totals",
     .sql = "SELECT (SELECT count(*) FROM report_rebuild.report_totals), (SELECT count(*) "
            "FROM " TOTALS("report_totals") " o FULL JOIN " TOTALS(
                "report_rebuild.report_totals") " n USING (partition, account, level, slot, "
                                                "dimension, key, value) WHERE (o.c, o.e, o.f, o.r, "
                                                "o.i,"
                                                " o.a) IS DISTINCT FROM (n.c, n.e, n.f, n.r, n.i, "
                                                "n.a) OR (o.lines = 1 AND n.lines = 1 AND"
                                                " (o.s <> n.s OR o.v <> n.v)))"},
};

/* --- waiting ------------------------------------------------------------------------------------------- */

/* False: the program is to end. */
static bool rest(int64_t duration_us, error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    const struct timespec time = {.tv_sec = duration_us / CLOCK_SECOND,
                                  .tv_nsec = duration_us % CLOCK_SECOND * 1000};
    return sigtimedwait(&set, NULL, &time) < 0 || error_set(err, STATUS_CANCELLED, "", "told to end");
}

/* On the feed's thread. */
static void pause_for(int64_t duration_us)
{
    const struct timespec time = {.tv_nsec = duration_us * 1000};
    nanosleep(&time, NULL);
}

static bool reaches(const struct feed_positions *at, const struct feed_positions *wanted)
{
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (at->at[p] < wanted->at[p])
            return false;
    }
    return true;
}

/* --- never ahead of the serving tables ----------------------------------------------------------------- */

static bool is_frozen(struct rebuild *r, struct feed_positions *ret_at)
{
    pthread_mutex_lock(&r->lock);
    bool frozen = r->frozen;
    *ret_at = r->at;
    pthread_mutex_unlock(&r->lock);
    return frozen;
}

static void set_frozen(struct rebuild *r, const struct feed_positions *at)
{
    pthread_mutex_lock(&r->lock);
    r->frozen = at != NULL;
    if (at != NULL)
        r->at = *at;
    pthread_mutex_unlock(&r->lock);
}

/* Waits for the serving tables to come to the heads; where these stand still, only what they have counts. */
static bool limit(void *context, struct feed_positions *heads, error *err)
{
    struct rebuild *r = context;
    struct feed_positions at, before = {0};
    int64_t since = clock_monotonic_us();
    for (;;) {
        bool frozen = is_frozen(r, &at);
        if (!frozen && !report_store_positions(r->served, &at, err))
            return false;
        if (reaches(&at, heads))
            return true;
        if (frozen ||
            (memcmp(at.at, before.at, sizeof at.at) == 0 && clock_monotonic_us() - since > STILL_MAX))
            break;
        if (memcmp(at.at, before.at, sizeof at.at) != 0)
            since = clock_monotonic_us();
        before = at;
        pause_for(POLL);
    }
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (heads->at[p] > at.at[p])
            heads->at[p] = at.at[p];
    }
    return true;
}

static void tell_caught_up(void *context)
{
    atomic_store(&((struct rebuild *)context)->caught_up, true);
}

/* --- both at the same position ------------------------------------------------------------------------- */

static void read_positions(const pg_result *rows, struct feed_positions *ret)
{
    *ret = (struct feed_positions){0};
    for (int i = 0; i < pg_rows(rows) && i < FEED_PARTITIONS; i++)
        ret->at[pg_get_int(rows, i, 0)] = pg_get_int(rows, i, 1);
}

/* Leaves a transaction in which the serving tables stand still, with the new ones at the same position. */
static bool freeze(struct rebuild *r, error *err)
{
    pg_result *rows;
    struct feed_positions wanted, at;
    if (!pg_begin(r->serving, 0, err) || !pg_query(r->serving, &lock_serving, NULL, 0, &rows, err))
        return false;
    read_positions(rows, &wanted);
    pg_result_free(rows);
    set_frozen(r, &wanted);
    for (int64_t end = clock_monotonic_us() + FREEZE_MAX; clock_monotonic_us() < end;) {
        if (!report_store_positions(r->built, &at, err))
            return false;
        if (reaches(&at, &wanted))
            return true;
        if (!rest(POLL, err))
            return false;
    }
    return error_set(err, STATUS_DEADLINE_EXCEEDED, "", "the new tables did not come to the serving ones");
}

static void thaw(struct rebuild *r)
{
    pg_rollback(r->serving);
    set_frozen(r, NULL);
}

/* --- comparing ----------------------------------------------------------------------------------------- */

static bool compare_all(pg_conn *snapshot, int64_t *ret_differences, error *err)
{
    *ret_differences = 0;
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
        pg_result *rows;
        if (!pg_query(snapshot, &comparisons[i], NULL, 0, &rows, err))
            return false;
        printf("%-20s %10" PRId64 " rows %10" PRId64 " different\n", comparisons[i].name,
               pg_get_int(rows, 0, 0), pg_get_int(rows, 0, 1));
        *ret_differences += pg_get_int(rows, 0, 1);
        pg_result_free(rows);
    }
    fflush(stdout);
    return true;
}

/* In a snapshot of one position, so that both sides go on meanwhile. */
static bool compare(struct rebuild *r, int64_t *ret_differences, error *err)
{
    pg_conn *snapshot;
    if (!report_store_merge(r->served, err) || !report_store_merge(r->built, err))
        return false;
    if (!pg_conn_open(&r->options, &snapshot, err))
        return false;
    bool taken = pg_query(snapshot, &repeatable, NULL, 0, NULL, err) && freeze(r, err) &&
                 pg_begin(snapshot, 0, err) && pg_query(snapshot, &take_snapshot, NULL, 0, NULL, err);
    thaw(r);
    bool compared = taken && compare_all(snapshot, ret_differences, err);
    pg_conn_close(snapshot);
    return compared;
}

/* Exports and other long reads are waited for, a little at a time. */
static bool exchange(struct rebuild *r, error *err)
{
    for (int64_t end = clock_monotonic_us() + SWAP_MAX;;) {
        error failure = {0};
        bool done = freeze(r, &failure) && !injection_point("report_rebuild.before_exchange") &&
                    pg_run_script(r->serving, exchange_tables, 0, &failure) &&
                    pg_commit(r->serving, 0, &failure);
        if (!done)
            thaw(r);
        if (done || failure.code != STATUS_UNAVAILABLE || clock_monotonic_us() > end) {
            if (!done)
                *err = failure;
            return done;
        }
        if (!rest(CLOCK_SECOND, err))
            return false;
    }
}

/* --- the whole ----------------------------------------------------------------------------------------- */

static bool try_claim(struct rebuild *r, bool *ret_mine, error *err)
{
    pg_result *rows;
    if (!pg_query(r->serving, &claim, NULL, 0, &rows, err))
        return false;
    *ret_mine = pg_get_bool(rows, 0, 0);
    pg_result_free(rows);
    return true;
}

/* PostgreSQL may take a moment to see that a former one is gone. */
static bool claim_it(struct rebuild *r, error *err)
{
    bool mine = false;
    int64_t end = clock_monotonic_us() + CLAIM_PATIENCE;
    if (!pg_conn_open(&r->options, &r->serving, err) || !try_claim(r, &mine, err))
        return false;
    while (!mine && clock_monotonic_us() < end) {
        if (!rest(CLOCK_SECOND / 10, err) || !try_claim(r, &mine, err))
            return false;
    }
    return mine ||
           error_set(err, STATUS_FAILED_PRECONDITION, "REBUILD_RUNNING", "another rebuild is running");
}

static bool open_stores(struct rebuild *r, const char *url, error *err)
{
    struct report_store_options options = {.database_url = url, .readers = READERS, .lanes = LANES};
    if (!report_store_new(&options, &r->served, err))
        return false;
    options.search_path = SEARCH_PATH;
    return report_store_new(&options, &r->built, err);
}

static bool follow(struct rebuild *r, rpc_channel *cases, error *err)
{
    const struct report_feed_limit limits = {.lower = limit, .context = r};
    if (!report_feed_new(cases, r->built, tell_caught_up, r, &limits, &r->feed, err))
        return false;
    while (!atomic_load(&r->caught_up)) {
        if (!rest(POLL, err))
            return false;
    }
    log_info("the new tables have caught up");
    return true;
}

static bool build(struct rebuild *r, const struct report_rebuild_options *options, int64_t *ret_differences,
                  error *err)
{
    if (!claim_it(r, err) || !pg_run_script(r->serving, make_tables, 0, err) ||
        !open_stores(r, options->database_url, err) || !follow(r, options->cases, err) ||
        !compare(r, ret_differences, err))
        return false;
    return !options->swap || exchange(r, err);
}

bool report_rebuild(const struct report_rebuild_options *options, int64_t *ret_differences, error *err)
{
    struct rebuild r = {
        .options = {.url = options->database_url,
                    .application = "casework-report-rebuild",
                    .statement_timeout_us = STATEMENT_TIMEOUT,
                    .lock_timeout_us = LOCK_TIMEOUT,
                    .idle_timeout_us = STATEMENT_TIMEOUT},
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    bool done = build(&r, options, ret_differences, err);
    report_feed_free(r.feed);
    report_store_free(r.built);
    report_store_free(r.served);
    error ignored = {0};
    if (r.serving != NULL && (err->code != STATUS_FAILED_PRECONDITION) &&
        !pg_run_script(r.serving, drop_tables, 0, &ignored))
        log_warn("the unfinished tables go with the next rebuild", LOG_TEXT("error.detail", ignored.detail));
    pg_conn_close(r.serving);
    pthread_mutex_destroy(&r.lock);
    return done;
}
