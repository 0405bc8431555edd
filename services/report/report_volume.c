/* Volume: how many engagements were open, row by row. */

#include "base/clock.h"
#include "report/report_engagement_store.h"

/*
 * An engagement is open in a row [a, b) when one of its spans starts before b and ends after a. Counted over
 * spans that is what has started before b less what has ended by a; an engagement that was closed and
 * re-opened within the row has been counted once too often for each such pause. So three sums by row answer
 * all rows: starts, ends (each in the row of the last moment that was still open) and pauses inside of a row.
 * Row 0 is what comes before the first one.
 *
 * $3 the rows' bounds, $4 and $5 the range's start and last time, both inclusive.
 */
enum volume_sum { SUM_STARTS, SUM_ENDS, SUM_PAUSES, SUMS };

/* Twelve bytes for a bound in an array that grows by doubling, all of whose sizes stay in the arena: at most
 * four times as much. Eight for each sum. */
enum { MEMORY_PER_ROW = 4 * 12 + SUMS * 8 };

#define VOLUME(title, range)                                                                        \
    {                                                                                               \
        .name = "report_volume_" title,                                                             \
        .sql = "WITH s AS (SELECT e.spans[2 * g.i - 1] AS starts, e.spans[2 * g.i] - 1 AS ends,"    \
               " e.spans[2 * g.i + 1] AS next FROM report_engagements e,"                           \
               " generate_series(1, (cardinality(e.spans) + 1) / 2) AS g (i)"                       \
               " WHERE e.partition = $1::int2 AND e.account = $2::text AND e.engaged AND e.counted" \
               " AND " range " BETWEEN $4::int8 AND $5::int8)"                                      \
               " SELECT p.position, v.* FROM report_partitions p LEFT JOIN (SELECT w.sum, w.line,"  \
               " count(*) FROM s, LATERAL (VALUES (0, width_bucket(s.starts, $3::int8[])),"         \
               " (1, width_bucket(s.ends, $3)), (2, CASE WHEN width_bucket(s.ends, $3) ="           \
               " width_bucket(s.next, $3) THEN width_bucket(s.next, $3) END)) AS w (sum, line)"     \
               " WHERE w.line IS NOT NULL GROUP BY 1, 2) v ON true WHERE p.partition = $1",         \
    }

static const struct pg_statement volumes[2] = {VOLUME("closed", "e.closed"), VOLUME("opened", "e.opened")};

/*
 * The same from what is kept of all engagements: days before the day that the first row starts in ($4),
 * quarters of an hour from there on ($5, $6: the first row's start, the last one's end). $3 the bounds in
 * quarters.
 */
static const struct pg_statement volume_of_all = {
    .name = "report_volume_of_all",
    .sql = "WITH v AS (SELECT 0 AS line, starts, ends FROM report_volume WHERE partition = $1::int2"
           " AND account = $2::text AND unit = 1 AND slot < $4::int8 UNION ALL"
           " SELECT width_bucket(slot, $3::int8[]), starts, ends FROM report_volume WHERE partition = $1"
           " AND account = $2 AND unit = 0 AND slot >= $4 * 96 AND slot < $6::int8)"
           " SELECT p.position, s.* FROM report_partitions p LEFT JOIN ("
           "SELECT 0 AS sum, line, sum(starts)::int8 FROM v GROUP BY line"
           " UNION ALL SELECT 1, line, sum(ends)::int8 FROM v GROUP BY line"
           " UNION ALL SELECT 2, width_bucket(to_quarter, $3), sum(pauses)::int8 FROM report_pauses"
           " WHERE partition = $1 AND account = $2 AND from_quarter >= $5::int8 AND from_quarter < $6"
           " AND width_bucket(from_quarter, $3) = width_bucket(to_quarter, $3) GROUP BY 2)"
           " s ON true WHERE p.partition = $1",
};

static int64_t quarter_of(int64_t time_us)
{
    return time_us / (15 * CLOCK_MINUTE);
}

/* What is kept fits all engagements in rows of full quarters; else they are looked at one by one. */
static const struct pg_statement *bind(pg_params *p, const char *account, const struct report_range *range,
                                       const struct report_rows *rows)
{
    bool kept = range == NULL && rows->aligned;
    pg_add_int2(p, feed_partition(account));
    pg_add_text(p, account);
    pg_array *bounds = pg_add_array(p, PG_INT8);
    for (size_t i = 0; i <= rows->count; i++)
        pg_put_int(bounds, kept ? quarter_of(rows->bounds[i]) : rows->bounds[i]);
    if (kept) {
        int64_t first = quarter_of(rows->bounds[0]);
        pg_add_int8(p, first / 96 - (first % 96 < 0));
        pg_add_int8(p, first);
        pg_add_int8(p, quarter_of(rows->bounds[rows->count]));
        return &volume_of_all;
    }
    pg_add_int8(p, range != NULL ? range->start : INT64_MIN);
    pg_add_int8(p, range != NULL ? report_range_last(range, false) : INT64_MAX);
    return &volumes[range != NULL && range->by_opening];
}

/* Adds up the sums of the rows into what was open in each. */
static void add_up(const pg_result *result, size_t count, int64_t *counts, int64_t *sums[SUMS])
{
    for (int i = 0; i < pg_rows(result); i++) {
        int64_t sum = pg_get_int(result, i, 1), line = pg_get_int(result, i, 2);
        if (!pg_is_null(result, i, 1) && sum >= 0 && sum < SUMS && line >= 0 && (size_t)line <= count)
            sums[sum][line] += pg_get_int(result, i, 3);
    }
    int64_t open = sums[SUM_STARTS][0];
    for (size_t row = 1; row <= count; row++) {
        open += sums[SUM_STARTS][row] - sums[SUM_ENDS][row - 1];
        counts[row - 1] = open - sums[SUM_PAUSES][row];
    }
}

bool report_store_volume(report_store *store, const char *account, const struct report_range *range,
                         const struct report_rows *rows, int64_t deadline_us, int64_t *counts,
                         int64_t *ret_position, error *err)
{
    size_t size = rows->count + 2;
    arena *memory = arena_new(size * MEMORY_PER_ROW + (1 << 16));
    int64_t *sums[SUMS] = {NULL};
    pg_params p;
    pg_params_init(&p, memory);
    const struct pg_statement *statement = bind(&p, account, range, rows);
    for (int i = 0; i < SUMS; i++)
        sums[i] = arena_calloc(memory, size, sizeof *sums[i]);
    pg_result *result;
    bool read = sums[SUM_PAUSES] != NULL ||
                error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the volume does not fit");
    read = read && report_store_query(store, statement, &p, deadline_us, &result, err);
    if (read) {
        add_up(result, rows->count, counts, sums);
        *ret_position = pg_get_int(result, 0, 0);
        pg_result_free(result);
    }
    arena_free(memory);
    return read;
}
