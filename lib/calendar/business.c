#include "calendar/business.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE INT64_C(60000000)
#define DAY (CALENDAR_DAY_MINUTES * MINUTE)
#define WEEK (7 * DAY)
#define LAST_INSTANT INT64_C(253402300799999999)

/* 1970-01-01 was a Thursday: weeks are counted from the Monday before. */
#define MONDAY_BEFORE (3 * DAY)

/* A stretch of the week, and the business time of the week before it. */
struct stretch {
    int64_t start, end, before;
};

/* A day without business hours, and what the ones before it have taken away. */
struct holiday {
    int64_t day, before;
};

struct calendar_hours {
    const calendar_zone *zone;
    struct stretch *week;
    size_t week_count;
    int64_t week_total;
    struct holiday *holidays;
    size_t holiday_count;
};

/*
 * Between two changes of the offset the clock on the wall runs evenly: `local` times are microseconds on that
 * clock since 1970-01-01, and business time up to a local time can be written down.
 */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The number of stretches that start at or before a place in the week. */
static size_t stretches_until(const calendar_hours *hours, int64_t place)
{
    size_t low = 0, high = hours->week_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hours->week[middle].start <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* By the weekly hours alone. */
static int64_t weekly_until(const calendar_hours *hours, int64_t local)
{
    int64_t weeks = floor_div(local + MONDAY_BEFORE, WEEK);
    int64_t place = local + MONDAY_BEFORE - weeks * WEEK;
    int64_t total = weeks * hours->week_total;
    size_t count = stretches_until(hours, place);
    if (count == 0)
        return total;
    const struct stretch *last = &hours->week[count - 1];
    return total + last->before + (place < last->end ? place : last->end) - last->start;
}

/* The number of holidays that begin at or before a local time. */
static size_t holidays_until(const calendar_hours *hours, int64_t local)
{
    size_t low = 0, high = hours->holiday_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hours->holidays[middle].day * DAY <= local)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t business_until(const calendar_hours *hours, int64_t local)
{
    int64_t total = weekly_until(hours, local);
    size_t count = holidays_until(hours, local);
    if (count == 0)
        return total;
    const struct holiday *last = &hours->holidays[count - 1];
    int64_t start = last->day * DAY;
    int64_t end = local < start + DAY ? local : start + DAY;
    return total - last->before - (weekly_until(hours, end) - weekly_until(hours, start));
}

/* --- asking --------------------------------------------------------------------------------------- */

static int64_t change_after(const calendar_hours *hours, int64_t time)
{
    int64_t change = calendar_next_change(hours->zone, time);
    return change < LAST_INSTANT ? change : LAST_INSTANT;
}

int64_t calendar_business_between(const calendar_hours *hours, int64_t from, int64_t to)
{
    int64_t total = 0;
    if (to > LAST_INSTANT)
        to = LAST_INSTANT;
    while (from < to) {
        int64_t offset = calendar_offset_us(hours->zone, from);
        int64_t change = change_after(hours, from);
        int64_t end = change < to ? change : to;
        total += business_until(hours, end + offset) - business_until(hours, from + offset);
        from = end;
    }
    return total;
}

/* The first local time in (from, to] with so much business time until then. */
static int64_t find_local(const calendar_hours *hours, int64_t from, int64_t to, int64_t business)
{
    while (from + 1 < to) {
        int64_t middle = from + (to - from) / 2;
        if (business_until(hours, middle) >= business)
            to = middle;
        else
            from = middle;
    }
    return to;
}

int64_t calendar_business_add(const calendar_hours *hours, int64_t from, int64_t duration)
{
    if (duration <= 0)
        return from;
    while (from < LAST_INSTANT) {
        int64_t offset = calendar_offset_us(hours->zone, from);
        int64_t change = change_after(hours, from);
        int64_t before = business_until(hours, from + offset);
        int64_t gained = business_until(hours, change + offset) - before;
        if (gained >= duration)
            return find_local(hours, from + offset, change + offset, before + duration) - offset;
        duration -= gained;
        from = change;
    }
    return INT64_MAX;
}

/* --- making --------------------------------------------------------------------------------------- */

static int compare_stretches(const void *a, const void *b)
{
    const struct stretch *first = a;
    const struct stretch *second = b;
    return (first->start > second->start) - (first->start < second->start);
}

/* In order, those that touch made one, with the sums before each. */
static void order_week(calendar_hours *hours)
{
    size_t count = 0;
    qsort(hours->week, hours->week_count, sizeof *hours->week, compare_stretches);
    for (size_t i = 0; i < hours->week_count; i++) {
        struct stretch *last = count > 0 ? &hours->week[count - 1] : NULL;
        if (last == NULL || hours->week[i].start > last->end)
            hours->week[count++] = hours->week[i];
        else if (hours->week[i].end > last->end)
            last->end = hours->week[i].end;
    }
    hours->week_count = count;
    for (size_t i = 0; i < count; i++) {
        hours->week[i].before = hours->week_total;
        hours->week_total += hours->week[i].end - hours->week[i].start;
    }
}

static int compare_holidays(const void *a, const void *b)
{
    const struct holiday *first = a;
    const struct holiday *second = b;
    return (first->day > second->day) - (first->day < second->day);
}

static void order_holidays(calendar_hours *hours)
{
    size_t count = 0;
    int64_t before = 0;
    qsort(hours->holidays, hours->holiday_count, sizeof *hours->holidays, compare_holidays);
    for (size_t i = 0; i < hours->holiday_count; i++) {
        int64_t day = hours->holidays[i].day;
        if (count > 0 && hours->holidays[count - 1].day == day)
            continue;
        hours->holidays[count++] = (struct holiday){.day = day, .before = before};
        before += weekly_until(hours, (day + 1) * DAY) - weekly_until(hours, day * DAY);
    }
    hours->holiday_count = count;
}

calendar_hours *calendar_hours_new(const calendar_zone *zone, const struct calendar_period *periods,
                                   size_t period_count, const int64_t *holidays, size_t holiday_count)
{
    calendar_hours *hours = calloc(1, sizeof *hours);
    if (hours == NULL)
        return NULL;
    hours->zone = zone;
    hours->week = calloc(period_count + 1, sizeof *hours->week);
    hours->holidays = calloc(holiday_count + 1, sizeof *hours->holidays);
    if (hours->week == NULL || hours->holidays == NULL) {
        calendar_hours_free(hours);
        return NULL;
    }
    for (size_t i = 0; i < period_count; i++) {
        int64_t day = (periods[i].weekday - 1) * DAY;
        hours->week[i] = (struct stretch){.start = day + periods[i].opens * MINUTE,
                                          .end = day + periods[i].closes * MINUTE};
    }
    hours->week_count = period_count;
    if (period_count == 0)
        hours->week[hours->week_count++] = (struct stretch){.end = WEEK};
    for (size_t i = 0; i < holiday_count; i++)
        hours->holidays[i].day = holidays[i];
    hours->holiday_count = holiday_count;
    order_week(hours);
    order_holidays(hours);
    return hours;
}

void calendar_hours_free(calendar_hours *hours)
{
    if (hours == NULL)
        return;
    free(hours->week);
    free(hours->holidays);
    free(hours);
}
