#ifndef CASEWORK_REPORT_TOTALS_STORE_H
#define CASEWORK_REPORT_TOTALS_STORE_H

/* Totals in the database: a batch's changes, what a range comes to, and making one row of many. */

#include "pg/lane.h"
#include "report/report_totals.h"

/* A row for each key that moved. */
bool report_totals_write(struct report_totals *totals, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* What the cases closed in a range come to, by dimension, key and value. */
struct report_range_totals {
    struct report_folded *list;
    size_t count;
    int64_t position;
};

/* What percentiles are looked up in. */
enum report_detail {
    REPORT_DETAIL_NONE,
    REPORT_DETAIL_SKETCHES,
    REPORT_DETAIL_VALUES, /* where they are kept; report_folded says whether they are whole */
    REPORT_DETAIL_HOURS,  /* the same by hours only: fewer in each, so that more are kept */
};

/*
 * Of a range by closing, in dimensions (a bit each: 1 << REPORT_DIMENSION_…). Reads whole hours and days as
 * they are kept, and what is left of the range's first and last hour case by case. In `memory`.
 */
bool report_store_totals(report_store *store, const struct report_range *range, unsigned dimensions,
                         enum report_detail detail, int64_t deadline_us, arena *memory,
                         struct report_range_totals *ret, error *err) __attribute__((warn_unused_result));

/*
 * Makes one row of all rows of a key, for some of what has changed in the partition since the last time.
 * *ret_more: there may be more. Nothing that is answered changes. The connection is in a transaction that
 * holds the partition's row; `memory` is for REPORT_MERGE_BYTES_MAX.
 */
enum { REPORT_MERGE_BYTES_MAX = 1 << 30 };
bool report_totals_merge(pg_conn *conn, int partition, arena *memory, bool *ret_more, error *err)
    __attribute__((warn_unused_result));

/* A range by closing as parts: whole slots of a level, times whose cases are looked at one by one, or all
 * that is not closed. Both ends are inclusive. */
enum { REPORT_PART_TIMES = -1, REPORT_PART_OPEN = -2 };

struct report_parts {
    pg_array *levels, *firsts, *lasts;
};

/* Three parameters. */
struct report_parts report_totals_add_parts(pg_params *params);

/* Nothing where `first` is behind `last`. */
void report_totals_put_part(const struct report_parts *parts, int level, int64_t first, int64_t last);

/* All of the range but what is not closed, in slots of the first levels. */
void report_totals_put_range(const struct report_parts *parts, const struct report_range *range, int levels);

#endif
