#ifndef CASEWORK_REPORT_VOLUME_SUMS_H
#define CASEWORK_REPORT_VOLUME_SUMS_H

/*
 * What a batch changes in the sums that volume is made of: starts and ends of spans by quarter of an hour and
 * by day, and pauses. In the batch's memory.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/lane.h"

typedef struct report_volume_sums report_volume_sums;

/* NULL: the arena is full. */
report_volume_sums *report_volume_sums_new(arena *memory);

/*
 * Adds (sign 1) or takes away (-1) an engagement's spans, from, to, from, to …, as in the table. The
 * account's text is kept. False: the arena is full.
 */
bool report_volume_sums_add(report_volume_sums *sums, const char *account, const int64_t *spans, size_t count,
                            int sign) __attribute__((warn_unused_result));

/* One change for each slot that moved. */
bool report_volume_sums_write(report_volume_sums *sums, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
