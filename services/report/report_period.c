#include "report/report_period.h"

#include "base/clock.h"

bool report_period_preset(enum report_preset preset, struct report_period *ret_period, error *err)
{
    static const struct report_period presets[] = {
        [REPORT_PRESET_NONE] = {.first = 0, .end = 1, .relative = true, .by_hour = true},
        [REPORT_PRESET_TODAY] = {.first = 0, .end = 1, .relative = true, .by_hour = true},
        [REPORT_PRESET_YESTERDAY] = {.first = -1, .end = 0, .relative = true, .by_hour = true},
        [REPORT_PRESET_LAST_7_DAYS] = {.first = -6, .end = 1, .relative = true},
        [REPORT_PRESET_LAST_14_DAYS] = {.first = -13, .end = 1, .relative = true},
        [REPORT_PRESET_LAST_28_DAYS] = {.first = -27, .end = 1, .relative = true},
    };
    if ((unsigned)preset >= sizeof presets / sizeof presets[0])
        return error_bad_field(err, "preset", "not a period");
    *ret_period = presets[preset];
    return true;
}

bool report_period_date(const char *date, struct report_period *ret_period, error *err)
{
    int64_t day;
    if (!calendar_day_parse(date, &day))
        return error_bad_field(err, "date", "not a date as YYYY-MM-DD");
    *ret_period = (struct report_period){.first = day, .end = day + 1, .by_hour = true};
    return true;
}

bool report_period_month(const char *month, struct report_period *ret_period, error *err)
{
    int64_t first, end;
    if (!calendar_month_parse(month, &first, &end))
        return error_bad_field(err, "month", "not a month as YYYY-MM");
    *ret_period = (struct report_period){.first = first, .end = end};
    return true;
}

bool report_period_range(const char *start_date, const char *end_date, struct report_period *ret_period,
                         error *err)
{
    int64_t first, end;
    if (!calendar_day_parse(start_date, &first))
        return error_bad_field(err, "range.start_date", "not a date as YYYY-MM-DD");
    if (!calendar_day_parse(end_date, &end))
        return error_bad_field(err, "range.end_date", "not a date as YYYY-MM-DD");
    if (end <= first || end - first > REPORT_DAYS_MAX)
        return error_bad_field(err, "range.end_date", "must be 1 to %d days after start_date",
                               REPORT_DAYS_MAX);
    *ret_period = (struct report_period){.first = first, .end = end};
    return true;
}

static bool append(int64_t *bounds, size_t size, size_t *count, int64_t time_us)
{
    if (*count == size)
        return false;
    bounds[(*count)++] = time_us;
    return true;
}

static struct report_rows rows_of(const int64_t *bounds, size_t count)
{
    bool aligned = true;
    for (size_t i = 0; i < count; i++)
        aligned = aligned && bounds[i] % (15 * CLOCK_MINUTE) == 0;
    return (struct report_rows){.bounds = bounds, .count = count - 1, .aligned = aligned};
}

bool report_period_rows(const struct report_period *period, const calendar_zone *zone, int64_t now,
                        arena *memory, struct report_rows *ret_rows, error *err)
{
    int64_t today = period->relative ? calendar_day_of(zone, now) : 0;
    int64_t first = today + period->first, end = today + period->end;
    /* A day that was had twice, on the date line's other side, has 48 hours; changes cut a few in two. */
    size_t size = (size_t)(end - first) * (period->by_hour ? 64 : 1) + 1, count = 0;
    int64_t *bounds = arena_calloc(memory, size, sizeof *bounds);
    if (bounds == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the report needs too much memory");
    int64_t stop = calendar_day_start(zone, end);
    bool room = true;
    for (int64_t day = first; day < end; day++) {
        int64_t start = calendar_day_start(zone, day), next = calendar_day_start(zone, day + 1);
        for (int64_t t = start; room && t < next; t = period->by_hour ? calendar_hour_end(zone, t) : next)
            room = append(bounds, size, &count, t);
    }
    if (!room || !append(bounds, size, &count, stop))
        return error_set(err, STATUS_INTERNAL, "", "a day of more than 64 hours in %s",
                         calendar_zone_name(zone));
    *ret_rows = rows_of(bounds, count);
    return true;
}

/* The start of the hour that the instant is in. */
static int64_t hour_start(const calendar_zone *zone, int64_t time_us)
{
    int64_t hour = calendar_day_start(zone, calendar_day_of(zone, time_us));
    for (int64_t next = hour; next <= time_us; next = calendar_hour_end(zone, next))
        hour = next;
    return hour;
}

bool report_period_rows_between(const calendar_zone *zone, int64_t start, int64_t end, bool by_hour,
                                arena *memory, struct report_rows *ret_rows, error *err)
{
    /* No hour is longer than one, and none but a few are shorter. */
    int64_t shortest = by_hour ? CLOCK_HOUR : 20 * CLOCK_HOUR, longest = (end - start) / shortest + 2;
    size_t size = longest < REPORT_ROWS_MAX ? (size_t)longest + 64 : REPORT_ROWS_MAX + 1, count = 0;
    int64_t *bounds = arena_calloc(memory, size, sizeof *bounds);
    if (bounds == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the report needs too much memory");
    int64_t day = calendar_day_of(zone, start);
    int64_t time = by_hour ? hour_start(zone, start) : calendar_day_start(zone, day);
    bool room = append(bounds, size, &count, time);
    while (room && time < end) {
        int64_t next = by_hour ? calendar_hour_end(zone, time) : calendar_day_start(zone, ++day);
        if (next > time) /* no day that the zone left out */
            room = append(bounds, size, &count, next);
        time = next;
    }
    if (!room)
        return error_bad_field(err, "end_time", "must be at most %d rows after start_time", REPORT_ROWS_MAX);
    *ret_rows = rows_of(bounds, count);
    return true;
}
