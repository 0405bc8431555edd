#ifndef CASEWORK_REPORT_PERIOD_H
#define CASEWORK_REPORT_PERIOD_H

/* What is asked of a report, as days of its zone, and those as rows. */

#include "base/arena.h"
#include "base/error.h"
#include "calendar/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPORT_DAYS_MAX = 3660, REPORT_ROWS_MAX = 100000 };

/* Values equal the wire's. */
enum report_preset {
    REPORT_PRESET_NONE = 0, /* today */
    REPORT_PRESET_TODAY = 1,
    REPORT_PRESET_YESTERDAY = 2,
    REPORT_PRESET_LAST_7_DAYS = 3,
    REPORT_PRESET_LAST_14_DAYS = 4,
    REPORT_PRESET_LAST_28_DAYS = 5,
};

/* Days [first, end); relative ones count from today, which is day 0. */
struct report_period {
    int64_t first, end;
    bool relative;
    bool by_hour; /* a row for each hour instead of for each day */
};

/* INVALID_ARGUMENT, with the field that is wrong, for what is no period. Texts as in the contract. */
bool report_period_preset(enum report_preset preset, struct report_period *ret_period, error *err)
    __attribute__((warn_unused_result));
bool report_period_date(const char *date, struct report_period *ret_period, error *err)
    __attribute__((warn_unused_result));
bool report_period_month(const char *month, struct report_period *ret_period, error *err)
    __attribute__((warn_unused_result));
bool report_period_range(const char *start_date, const char *end_date, struct report_period *ret_period,
                         error *err) __attribute__((warn_unused_result));

/* Rows that follow each other without a gap: row i is [bounds[i], bounds[i + 1]). */
struct report_rows {
    const int64_t *bounds; /* count + 1 */
    size_t count;          /* 0 for a day that the zone skipped */
    bool aligned;          /* all bounds are full quarters of an hour of UTC */
};

/* `now` is what relative days count from. In `memory`; RESOURCE_EXHAUSTED when that is full. */
bool report_period_rows(const struct report_period *period, const calendar_zone *zone, int64_t now,
                        arena *memory, struct report_rows *ret_rows, error *err)
    __attribute__((warn_unused_result));

/*
 * The hours or days that [start, end) touches, the first and the last one whole; `end` must be after `start`.
 * INVALID_ARGUMENT, field `end_time`, for more than REPORT_ROWS_MAX.
 */
bool report_period_rows_between(const calendar_zone *zone, int64_t start, int64_t end, bool by_hour,
                                arena *memory, struct report_rows *ret_rows, error *err)
    __attribute__((warn_unused_result));

#endif
