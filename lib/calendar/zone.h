#ifndef CASEWORK_CALENDAR_ZONE_H
#define CASEWORK_CALENDAR_ZONE_H

/*
 * Days and hours of IANA time zones as instants, daylight saving included: a day may have 23, 23½, 24, 24½ or
 * 25 hours, or, where a zone moved over the date line, none at all.
 *
 * Instants are microseconds since 1970 (UTC). A day is a number: days since 1970-01-01 in the proleptic
 * Gregorian calendar, whatever the zone. The zones' rules come from the system's time zone database;
 * a zone is read once into a table, after which everything here is plain arithmetic on it, free of locks.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct calendar_zone calendar_zone;

/*
 * The zone of that name, NULL if there is none (names are case-sensitive; links such as "Asia/Katmandu" are
 * taken, `posix/…` and `right/…` are not), or when memory is out. Belongs to a cache and lives
 * as long as the program. Thread-safe.
 */
const calendar_zone *calendar_zone_get(const char *name);

/* As it was asked for. */
const char *calendar_zone_name(const calendar_zone *zone);

/* What the zone's clocks are ahead of UTC at the instant, in microseconds. */
int64_t calendar_offset_us(const calendar_zone *zone, int64_t time_us);

/* The first change of the offset after the instant; INT64_MAX if there is none. */
int64_t calendar_next_change(const calendar_zone *zone, int64_t time_us);

/*
 * When the day starts: the first instant at which its clocks show midnight, or, where midnight is skipped,
 * what comes after it. The day ends where the next one starts.
 */
int64_t calendar_day_start(const calendar_zone *zone, int64_t day);

/* The day that the instant is in. */
int64_t calendar_day_of(const calendar_zone *zone, int64_t time_us);

/*
 * The end of the clock's hour that the instant is in: the next full hour on the clock, or the change that
 * comes before it and sets the clock back or into another hour. Hours are what remains between such ends:
 * sixty minutes, or less around a change.
 */
int64_t calendar_hour_end(const calendar_zone *zone, int64_t time_us);

/* A day's number; any year, a month of 1 to 12. */
int64_t calendar_day_number(int64_t year, int64_t month, int64_t day);

/* Years 1900 to 9998; anything else than "YYYY-MM-DD" or no such day: false, ret untouched. */
bool calendar_day_parse(const char *text, int64_t *ret_day) __attribute__((warn_unused_result));

/* "YYYY-MM": the month's first day, and the first one after it. */
bool calendar_month_parse(const char *text, int64_t *ret_first, int64_t *ret_end)
    __attribute__((warn_unused_result));

#endif
