/* Business hours against a counter that looks at the clock on the wall minute by minute. */

#include "calendar/business.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const struct calendar_period office[] = {
    {1, 540, 1020}, {2, 540, 1020}, {3, 540, 1020}, {4, 540, 1020}, {5, 540, 1020}};
enum { OFFICE = sizeof office / sizeof *office };

/* 2026-03-02T00:00:00Z, a Monday. */
#define MONDAY (INT64_C(1772409600) * SECOND)

static calendar_hours *berlin(void)
{
    int64_t holiday;
    cr_assert(calendar_day_parse("2026-04-06", &holiday));
    calendar_hours *hours =
        calendar_hours_new(calendar_zone_get("Europe/Berlin"), office, OFFICE, &holiday, 1);
    cr_assert_not_null(hours);
    return hours;
}

Test(business, goes_on_with_the_next_business_day)
{
    calendar_hours *hours = berlin();
    int64_t friday = MONDAY + 4 * DAY;
    cr_assert_eq(calendar_business_add(hours, friday + 15 * HOUR, 2 * HOUR), friday + 3 * DAY + 9 * HOUR);
    cr_assert_eq(calendar_business_add(hours, friday + 8 * HOUR, 8 * HOUR), friday + 16 * HOUR,
                 "a whole day ends when the day does");
    cr_assert_eq(calendar_business_add(hours, friday + 20 * HOUR, SECOND),
                 friday + 3 * DAY + 8 * HOUR + SECOND);
    cr_assert_eq(calendar_business_between(hours, friday, friday + 3 * DAY), 8 * HOUR);
    cr_assert_eq(calendar_business_between(hours, friday + DAY, friday), 0);
    cr_assert_eq(calendar_business_add(hours, friday + 20 * HOUR, 0), friday + 20 * HOUR);
    calendar_hours_free(hours);
}

Test(business, holidays_have_none)
{
    calendar_hours *hours = berlin();
    int64_t saturday = MONDAY + 33 * DAY; /* 4 April; Monday is Easter Monday, and summer time */
    cr_assert_eq(calendar_business_add(hours, saturday, HOUR), saturday + 3 * DAY + 8 * HOUR);
    cr_assert_eq(calendar_business_between(hours, saturday, saturday + 4 * DAY), 8 * HOUR);
    calendar_hours_free(hours);
}

Test(business, hours_that_the_clock_leaves_out_or_shows_twice)
{
    const struct calendar_period night[] = {{7, 120, 180}};
    calendar_hours *hours = calendar_hours_new(calendar_zone_get("Europe/Berlin"), night, 1, NULL, 0);
    int64_t spring = MONDAY + 27 * DAY, autumn = MONDAY + 237 * DAY; /* 29 March, 25 October */
    cr_assert_eq(calendar_business_between(hours, spring - DAY, spring + DAY), 0);
    cr_assert_eq(calendar_business_between(hours, autumn - DAY, autumn + DAY), 2 * HOUR);
    cr_assert_eq(calendar_business_add(hours, autumn - DAY, 90 * MINUTE), autumn + 90 * MINUTE);
    calendar_hours_free(hours);
}

Test(business, around_the_clock_without_hours)
{
    calendar_hours *hours = calendar_hours_new(calendar_zone_get("Europe/Berlin"), NULL, 0, NULL, 0);
    cr_assert_eq(calendar_business_between(hours, MONDAY, MONDAY + 300 * DAY + 7), 300 * DAY + 7);
    cr_assert_eq(calendar_business_add(hours, MONDAY, 300 * DAY + 7), MONDAY + 300 * DAY + 7);
    calendar_hours_free(hours);
}

Test(business, what_never_comes_has_no_time_and_is_found_out_soon)
{
    const struct calendar_period minute[] = {{3, 0, 1}};
    calendar_hours *hours = calendar_hours_new(calendar_zone_get("America/New_York"), minute, 1, NULL, 0);
    cr_assert_eq(calendar_business_add(hours, MONDAY, 3650 * DAY), INT64_MAX);
    cr_assert_eq(calendar_business_between(hours, MONDAY, MONDAY + 7 * 10000 * DAY), 10000 * MINUTE);
    calendar_hours_free(hours);
}

/* --- every change of the clock -------------------------------------------------------------------- */

static const char *const zones[] = {
    "Europe/Berlin",     "Europe/London",    "Europe/Moscow",       "Europe/Istanbul",   "Africa/Cairo",
    "Africa/Casablanca", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "America/Santiago",
    "America/St_Johns",  "America/Havana",   "Asia/Tehran",         "Asia/Jerusalem",    "Asia/Kathmandu",
    "Asia/Gaza",         "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Apia",      "Antarctica/Troll",
};
enum { ZONES = sizeof zones / sizeof *zones, HOURS_MAX = 8, HOLIDAYS_MAX = 3 };

/* A policy's hours, as it was made up. */
struct made_up {
    struct calendar_period periods[HOURS_MAX];
    size_t period_count;
    int64_t holidays[HOLIDAYS_MAX];
    size_t holiday_count;
};

static struct made_up make_up(unsigned *seed, int64_t near)
{
    struct made_up made = {.period_count = 1 + (unsigned)rand_r(seed) % HOURS_MAX,
                           .holiday_count = (unsigned)rand_r(seed) % (HOLIDAYS_MAX + 1)};
    for (size_t i = 0; i < made.period_count; i++) {
        int opens = rand_r(seed) % CALENDAR_DAY_MINUTES;
        int closes = opens + 1 + rand_r(seed) % (CALENDAR_DAY_MINUTES - opens);
        made.periods[i] = (struct calendar_period){1 + rand_r(seed) % 7, opens, closes};
    }
    for (size_t i = 0; i < made.holiday_count; i++)
        made.holidays[i] = near / DAY - 2 + rand_r(seed) % 5;
    return made;
}

static bool is_business(const struct made_up *made, int64_t time)
{
    time_t seconds = time / SECOND;
    struct tm clock;
    localtime_r(&seconds, &clock);
    int weekday = clock.tm_wday == 0 ? 7 : clock.tm_wday;
    int minute = clock.tm_hour * 60 + clock.tm_min;
    int64_t day = (time + clock.tm_gmtoff * SECOND) / DAY;
    for (size_t i = 0; i < made->holiday_count; i++)
        if (made->holidays[i] == day)
            return false;
    for (size_t i = 0; i < made->period_count; i++)
        if (made->periods[i].weekday == weekday && made->periods[i].opens <= minute &&
            minute < made->periods[i].closes)
            return true;
    return false;
}

/* The C library's rules may be of another year: zones change theirs, later than some libraries do. */
static bool same_rules(const calendar_zone *zone, int64_t from, int64_t to)
{
    for (int64_t time = from; time <= to; time += 10 * MINUTE) {
        time_t seconds = time / SECOND;
        struct tm clock;
        localtime_r(&seconds, &clock);
        if (clock.tm_gmtoff * SECOND != calendar_offset_us(zone, time))
            return false;
    }
    return true;
}

/* False: not to be compared. */
static bool check_change(const char *zone, int64_t change, unsigned *seed)
{
    if (!same_rules(calendar_zone_get(zone), change - 36 * HOUR, change + 36 * HOUR))
        return false;
    struct made_up made = make_up(seed, change);
    calendar_hours *hours = calendar_hours_new(calendar_zone_get(zone), made.periods, made.period_count,
                                               made.holidays, made.holiday_count);
    int64_t from = change - rand_r(seed) % (36 * 60) * MINUTE,
            to = change + rand_r(seed) % (36 * 60) * MINUTE;
    int64_t wanted = calendar_business_between(hours, from, to), counted = 0;
    int64_t half = wanted / MINUTE / 2 * MINUTE, reached = from;
    for (int64_t time = from; time < to; time += MINUTE) {
        counted += is_business(&made, time) ? MINUTE : 0;
        if (counted == half && reached == from && half > 0)
            reached = time + MINUTE;
    }
    cr_assert_eq(counted, wanted, "%s, change at %lld: counted %lld minutes, not %lld", zone,
                 (long long)(change / SECOND), (long long)(counted / MINUTE), (long long)(wanted / MINUTE));
    cr_assert_eq(calendar_business_add(hours, from, half), reached, "%s, change at %lld", zone,
                 (long long)(change / SECOND));
    calendar_hours_free(hours);
    return true;
}

/*
 * Every change from 1990 to 2040 with CASEWORK_ALL_CHANGES set, else one of twenty, others every day.
 * CASEWORK_SEED takes a seed back.
 */
Test(business, agrees_with_a_counter_of_minutes_around_changes_of_the_clock)
{
    const char *given = getenv("CASEWORK_SEED");
    bool all = getenv("CASEWORK_ALL_CHANGES") != NULL;
    unsigned first = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)(time(NULL) / 86400),
             seed = first;
    size_t changes = 0, checked = 0, others = 0;
    for (size_t i = 0; i < ZONES; i++) {
        setenv("TZ", zones[i], 1);
        tzset();
        const calendar_zone *zone = calendar_zone_get(zones[i]);
        cr_assert_not_null(zone, "%s", zones[i]);
        for (int64_t at = calendar_next_change(zone, INT64_C(631152000) * SECOND);
             at < INT64_C(2240611200) * SECOND; at = calendar_next_change(zone, at), changes++) {
            if (!all && (changes + first) % 20 != 0)
                continue;
            bool same = check_change(zones[i], at, &seed);
            checked += same;
            others += !same;
        }
    }
    cr_assert_gt(changes, 1000);
    cr_assert_gt(checked, 9 * others, "%zu compared, %zu under other rules", checked, others);
    fprintf(stderr, "%zu of %zu changes, %zu under other rules, seed %u\n", checked, changes, others, first);
}
