#ifndef CASEWORK_CALENDAR_BUSINESS_H
#define CASEWORK_CALENDAR_BUSINESS_H

/*
 * Business hours: weekly hours by the clocks on the wall of a zone, without the holidays. An instant is in
 * business hours when the zone's clock then shows a time within the hours of that day of the week, and the
 * date is no holiday. So hours that a clock leaves out are not there, and hours that it shows twice count
 * twice.
 *
 * Instants and durations are microseconds. Every answer takes a search per change of the zone's offset in
 * between, however long the time and however many hours and holidays there are.
 */

#include "calendar/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALENDAR_DAY_MINUTES = 24 * 60 };

/* Hours of a day of the week: Monday is 1, Sunday 7; minutes since midnight, `closes` exclusive. */
struct calendar_period {
    int weekday;
    int opens, closes;
};

typedef struct calendar_hours calendar_hours;

/*
 * Copies what it is given; the zone lives for ever. Periods must lie within their day and may overlap; none
 * stands for around the clock. Holidays are days as calendar/zone.h counts them, in any order. NULL: out of
 * memory.
 */
calendar_hours *calendar_hours_new(const calendar_zone *zone, const struct calendar_period *periods,
                                   size_t period_count, const int64_t *holidays, size_t holiday_count);
void calendar_hours_free(calendar_hours *hours); /* takes NULL */

/* Business time between two instants; 0 unless `to` comes after `from`. */
int64_t calendar_business_between(const calendar_hours *hours, int64_t from, int64_t to);

/*
 * The first instant at which so much business time has gone by since `from`; `from` itself for none.
 * INT64_MAX: not before the end of the year 9999.
 */
int64_t calendar_business_add(const calendar_hours *hours, int64_t from, int64_t duration);

#endif
