#include "base/clock.h"
#include "calendar/zone.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

static int64_t day(const char *text)
{
    int64_t number = 0;
    cr_assert(calendar_day_parse(text, &number), "%s", text);
    return number;
}

static const calendar_zone *zone(const char *name)
{
    const calendar_zone *z = calendar_zone_get(name);
    cr_assert_not_null(z, "%s", name);
    return z;
}

static void expect_day(const char *name, const char *date, const char *start, int64_t minutes, int hours)
{
    const calendar_zone *z = zone(name);
    int64_t from = calendar_day_start(z, day(date)), to = calendar_day_start(z, day(date) + 1);
    char text[CLOCK_TEXT_SIZE];
    cr_expect_eq(from, at(start), "%s %s starts at %s", name, date, clock_format(from, text));
    cr_expect_eq((to - from) / CLOCK_MINUTE, minutes, "%s %s has %lld minutes", name, date,
                 (long long)((to - from) / CLOCK_MINUTE));
    int count = 0;
    for (int64_t t = from; t < to; t = calendar_hour_end(z, t)) {
        cr_assert_leq(calendar_hour_end(z, t), to, "%s %s: hours end with the day", name, date);
        cr_expect_eq(calendar_day_of(z, t), day(date));
        count++;
    }
    cr_expect_eq(count, hours, "%s %s has %d hours", name, date, count);
}

Test(calendar, days_of_ordinary_length)
{
    expect_day("UTC", "2024-02-29", "2024-02-29T00:00:00Z", 1440, 24);
    expect_day("Europe/Amsterdam", "2024-07-01", "2024-06-30T22:00:00Z", 1440, 24);
    expect_day("Asia/Kathmandu", "2024-07-01", "2024-06-30T18:15:00Z", 1440, 24);
    expect_day("Asia/Katmandu", "2024-07-01", "2024-06-30T18:15:00Z", 1440, 24);
    expect_day("America/New_York", "2024-07-01", "2024-07-01T04:00:00Z", 1440, 24);
    expect_day("Pacific/Kiritimati", "2024-07-01", "2024-06-30T10:00:00Z", 1440, 24);
}

Test(calendar, days_on_which_the_clock_changes)
{
    expect_day("Europe/Amsterdam", "2024-03-31", "2024-03-30T23:00:00Z", 23 * 60, 23);
    expect_day("Europe/Amsterdam", "2024-10-27", "2024-10-26T22:00:00Z", 25 * 60, 25);
    expect_day("America/New_York", "2024-03-10", "2024-03-10T05:00:00Z", 23 * 60, 23);
    expect_day("America/New_York", "2024-11-03", "2024-11-03T04:00:00Z", 25 * 60, 25);
    /* Half an hour: one of the hours of the clock lasts thirty minutes. */
    expect_day("Australia/Lord_Howe", "2024-10-06", "2024-10-05T13:30:00Z", 23 * 60 + 30, 24);
    expect_day("Australia/Lord_Howe", "2024-04-07", "2024-04-06T13:00:00Z", 24 * 60 + 30, 25);
}

Test(calendar, rules_are_as_new_as_the_systems)
{
    /* Daylight saving since 2023 again, from midnight on; an hour less behind since 2023; a zone of 2022. */
    expect_day("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z", 23 * 60, 23);
    expect_day("Africa/Cairo", "2024-07-01", "2024-06-30T21:00:00Z", 1440, 24);
    expect_day("America/Nuuk", "2024-02-01", "2024-02-01T02:00:00Z", 1440, 24);
    expect_day("America/Ciudad_Juarez", "2024-07-01", "2024-07-01T06:00:00Z", 1440, 24);
    /* What the database tells only as a yearly rule. */
    expect_day("Europe/Amsterdam", "2099-03-29", "2099-03-28T23:00:00Z", 23 * 60, 23);
    expect_day("America/Santiago", "2099-04-04", "2099-04-04T03:00:00Z", 25 * 60, 25);
}

Test(calendar, changes_at_midnight)
{
    /* 00:00 does not exist. */
    expect_day("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23 * 60, 23);
    /* 00:00 goes back to 23:00 of the day before. */
    expect_day("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00Z", 25 * 60, 25);
    /* 01:00 goes back to 00:00 of the same day. */
    expect_day("America/Havana", "2024-11-03", "2024-11-03T04:00:00Z", 25 * 60, 25);
    /* 00:01 goes back to 23:01 of the day before: what comes again belongs to the day that had begun. */
    expect_day("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z", 25 * 60, 26);
}

Test(calendar, a_day_that_never_was)
{
    expect_day("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", 1440, 24);
    expect_day("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0, 0);
    expect_day("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", 1440, 24);
}

Test(calendar, far_future_goes_by_the_last_rules)
{
    /* 2824 has the days of the week of 2424 and 2024. */
    expect_day("Europe/Amsterdam", "2824-03-31", "2824-03-30T23:00:00Z", 23 * 60, 23);
    expect_day("Europe/Amsterdam", "2824-10-27", "2824-10-26T22:00:00Z", 25 * 60, 25);
    expect_day("Europe/Amsterdam", "2500-03-28", "2500-03-27T23:00:00Z", 23 * 60, 23);
    expect_day("Asia/Tokyo", "2500-03-28", "2500-03-27T15:00:00Z", 1440, 24);
    cr_expect_eq(calendar_next_change(zone("Asia/Tokyo"), at("2350-01-01T00:00:00Z")), INT64_MAX);
    cr_expect_eq(calendar_next_change(zone("UTC"), 0), INT64_MAX);
    cr_expect_eq(calendar_next_change(zone("Europe/Paris"), at("2499-12-31T00:00:00Z")),
                 at("2500-03-28T01:00:00Z"));
}

Test(calendar, only_names_of_the_iana_database_are_zones)
{
    static const char *const good[] = {"UTC",     "Etc/GMT+5",  "CET",
                                       "EST5EDT", "US/Pacific", "America/Argentina/Ushuaia"};
    static const char *const bad[] = {
        "",
        "Nowhere/Atlantis",
        "GMT+5",
        "PST",
        "+01:00",
        "IST",
        "europe/amsterdam",
        "UTC ",
        "Etc/Unknown",
        "Europe/Amsterdam\n",
        "Europe//Amsterdam",
        "Europe",
        "Europe/../UTC",
        "An/unreasonably/long/name/that/no/zone/on/earth/has/or/ever/will/have"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_not_null(calendar_zone_get(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_null(calendar_zone_get(bad[i]), "%s", bad[i]);
    cr_expect_str_eq(calendar_zone_name(zone("Asia/Katmandu")), "Asia/Katmandu");
    cr_expect_eq(zone("Europe/Oslo"), zone("Europe/Oslo"));
}

Test(calendar, dates)
{
    int64_t first = 0, end = 0;
    cr_expect_eq(day("1970-01-01"), 0);
    cr_expect_eq(day("2000-03-01"), 11017);
    cr_expect(calendar_month_parse("2024-02", &first, &end));
    cr_expect_eq(first, day("2024-02-01"));
    cr_expect_eq(end, day("2024-03-01"));
    cr_expect(calendar_month_parse("2023-12", &first, &end));
    cr_expect_eq(end, day("2024-01-01"));
    static const char *const bad[] = {"",           "2023",        "2023-02-29",  "2024-2-01",
                                      "2024-02-30", "2024-13-01",  "2024-00-01",  "2024-01-00",
                                      "2024/01/01", "2024-01-01T", " 2024-01-01", "1899-12-31"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(calendar_day_parse(bad[i], &first), "%s", bad[i]);
        cr_expect_not(calendar_month_parse(bad[i], &first, &end), "%s", bad[i]);
    }
}

/* The C library reads the same rules from another place: compared where both have them. */
Test(calendar, agrees_with_the_c_library)
{
    static const char *const names[] = {"Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe",
                                        "Asia/Kathmandu",   "Africa/Cairo",     "America/Sao_Paulo"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("TZ", names[i], 1);
        tzset();
        const calendar_zone *z = zone(names[i]);
        uint64_t seed = 42 + i;
        for (int n = 0; n < 5000; n++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            time_t second = (time_t)(946684800 + (seed >> 33) % 662688000); /* 2000 to 2020 */
            struct tm local;
            localtime_r(&second, &local);
            int64_t midnight = calendar_day_start(z, calendar_day_of(z, (int64_t)second * CLOCK_SECOND));
            cr_assert_eq(calendar_offset_us(z, (int64_t)second * CLOCK_SECOND),
                         local.tm_gmtoff * CLOCK_SECOND, "%s at %lld", names[i], (long long)second);
            local.tm_sec = local.tm_min = local.tm_hour = 0;
            local.tm_isdst = -1;
            time_t start = mktime(&local);
            localtime_r(&start, &local);
            if (local.tm_hour == 0) /* where midnight exists */
                cr_assert_eq(midnight, (int64_t)start * CLOCK_SECOND, "%s at %lld", names[i],
                             (long long)second);
        }
    }
}

static void *ask_all(void *unused)
{
    static const char *const names[] = {"Europe/Rome", "Asia/Tokyo", "America/Lima", "Africa/Lagos",
                                        "Europe/Rome"};
    for (int i = 0; i < 200; i++)
        calendar_day_of(calendar_zone_get(names[i % 5]), i * CLOCK_DAY);
    return unused;
}

Test(calendar, zones_are_shared_by_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_all, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
