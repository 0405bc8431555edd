#include "base/clock.h"
#include "report/report_period.h"

#include <criterion/criterion.h>
#include <string.h>

static arena *memory;

static void setup(void)
{
    memory = arena_new(1 << 20);
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(report_period, .init = setup, .fini = teardown);

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

static struct report_rows rows_of(const struct report_period *period, const char *zone, const char *now)
{
    struct report_rows rows = {0};
    error err = {0};
    cr_assert(report_period_rows(period, calendar_zone_get(zone), at(now), memory, &rows, &err), "%s",
              err.message);
    for (size_t i = 0; i < rows.count; i++)
        cr_assert_lt(rows.bounds[i], rows.bounds[i + 1]);
    return rows;
}

static struct report_rows preset(enum report_preset preset, const char *zone, const char *now)
{
    struct report_period period;
    error err = {0};
    cr_assert(report_period_preset(preset, &period, &err));
    return rows_of(&period, zone, now);
}

static void expect_rows(struct report_rows rows, size_t count, const char *start, const char *end)
{
    cr_expect_eq(rows.count, count, "%zu rows", rows.count);
    cr_expect_eq(rows.bounds[0], at(start));
    cr_expect_eq(rows.bounds[rows.count], at(end));
}

Test(report_period, presets)
{
    const char *now = "2024-05-06T22:30:00Z"; /* the 7th, half past midnight, in Amsterdam */
    const char *zone = "Europe/Amsterdam";
    expect_rows(preset(REPORT_PRESET_NONE, zone, now), 24, "2024-05-06T22:00:00Z", "2024-05-07T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_TODAY, zone, now), 24, "2024-05-06T22:00:00Z", "2024-05-07T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_YESTERDAY, zone, now), 24, "2024-05-05T22:00:00Z",
                "2024-05-06T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_LAST_7_DAYS, zone, now), 7, "2024-04-30T22:00:00Z",
                "2024-05-07T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_LAST_14_DAYS, zone, now), 14, "2024-04-23T22:00:00Z",
                "2024-05-07T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_LAST_28_DAYS, zone, now), 28, "2024-04-09T22:00:00Z",
                "2024-05-07T22:00:00Z");
    expect_rows(preset(REPORT_PRESET_TODAY, "UTC", now), 24, "2024-05-06T00:00:00Z", "2024-05-07T00:00:00Z");
    struct report_period period;
    cr_expect_not(report_period_preset((enum report_preset)6, &period, NULL));
    cr_expect_not(report_period_preset((enum report_preset) - 1, &period, NULL));
}

Test(report_period, days_have_the_hours_they_have)
{
    struct report_period period;
    cr_assert(report_period_date("2024-03-31", &period, NULL));
    expect_rows(rows_of(&period, "Europe/Amsterdam", "2024-01-01T00:00:00Z"), 23, "2024-03-30T23:00:00Z",
                "2024-03-31T22:00:00Z");
    cr_assert(report_period_date("2024-10-27", &period, NULL));
    expect_rows(rows_of(&period, "Europe/Amsterdam", "2024-01-01T00:00:00Z"), 25, "2024-10-26T22:00:00Z",
                "2024-10-27T23:00:00Z");
    cr_assert(report_period_date("2011-12-30", &period, NULL));
    expect_rows(rows_of(&period, "Pacific/Apia", "2024-01-01T00:00:00Z"), 0, "2011-12-30T10:00:00Z",
                "2011-12-30T10:00:00Z");
}

Test(report_period, months_and_ranges)
{
    struct report_period period;
    cr_assert(report_period_month("2024-02", &period, NULL));
    expect_rows(rows_of(&period, "UTC", "2024-01-01T00:00:00Z"), 29, "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z");
    cr_assert(report_period_range("2024-02-28", "2024-03-02", &period, NULL));
    expect_rows(rows_of(&period, "UTC", "2024-01-01T00:00:00Z"), 3, "2024-02-28T00:00:00Z",
                "2024-03-02T00:00:00Z");
    cr_assert(report_period_range("2011-12-29", "2012-01-01", &period, NULL));
    expect_rows(rows_of(&period, "Pacific/Apia", "2024-01-01T00:00:00Z"), 2, "2011-12-29T10:00:00Z",
                "2011-12-31T10:00:00Z");
    cr_assert(report_period_range("2010-01-01", "2020-01-08", &period, NULL));
    cr_expect_eq(rows_of(&period, "UTC", "2024-01-01T00:00:00Z").count, 3659);
}

Test(report_period, what_is_no_period_is_refused_with_its_field)
{
    struct report_period period;
    error err = {0};
    cr_expect_not(report_period_date("2023-02-29", &period, &err));
    cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(err.violations[0].key, "date");
    cr_expect_not(report_period_month("2023-13", &period, &err));
    cr_expect_str_eq(err.violations[0].key, "month");
    cr_expect_not(report_period_range("", "2023-01-01", &period, &err));
    cr_expect_str_eq(err.violations[0].key, "range.start_date");
    cr_expect_not(report_period_range("2023-01-02", "2023-01-02", &period, &err));
    cr_expect_str_eq(err.violations[0].key, "range.end_date");
    cr_expect_not(report_period_range("2010-01-01", "2020-01-10", &period, &err));
}

Test(report_period, sums_by_quarters_serve_every_zone_of_today)
{
    cr_expect(preset(REPORT_PRESET_LAST_28_DAYS, "Asia/Kathmandu", "2024-05-06T12:00:00Z").aligned);
    cr_expect(preset(REPORT_PRESET_LAST_28_DAYS, "Australia/Lord_Howe", "2024-04-10T12:00:00Z").aligned);
    cr_expect(preset(REPORT_PRESET_TODAY, "Pacific/Chatham", "2024-04-10T12:00:00Z").aligned);
    /* Monrovia was 44 minutes and 30 seconds behind Greenwich until 1972. */
    cr_expect_not(preset(REPORT_PRESET_TODAY, "Africa/Monrovia", "1971-01-10T12:00:00Z").aligned);
}
