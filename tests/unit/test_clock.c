/* base/clock.h: RFC 3339 both ways. */

#include "base/clock.h"

#include <criterion/criterion.h>

static const char *format(int64_t time_us)
{
    static char text[CLOCK_TEXT_SIZE];
    return clock_format(time_us, text);
}

Test(clock, format)
{
    cr_assert_str_eq(format(0), "1970-01-01T00:00:00Z");
    cr_assert_str_eq(format(INT64_C(1551675967000000)), "2019-03-04T05:06:07Z");
    cr_assert_str_eq(format(INT64_C(1551675967120000)), "2019-03-04T05:06:07.120Z");
    cr_assert_str_eq(format(INT64_C(1551675967000008)), "2019-03-04T05:06:07.000008Z");
    cr_assert_str_eq(format(-1), "1969-12-31T23:59:59.999999Z");
}

Test(clock, parse)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"2019-03-04T05:06:07Z", INT64_C(1551675967000000)},
                {"2019-03-04t05:06:07.000008z", INT64_C(1551675967000008)},
                {"2019-03-04T05:06:07.0000089Z", INT64_C(1551675967000008)},
                {"2019-03-04T06:36:07+01:30", INT64_C(1551675967000000)},
                {"2019-03-03T21:06:07-08:00", INT64_C(1551675967000000)},
                {"2000-02-29T00:00:00Z", INT64_C(951782400000000)}};
    static const char *const bad[] = {"",
                                      "2019-03-04",
                                      "2019-03-04T05:06:07",
                                      "2019-13-04T05:06:07Z",
                                      "2019-02-29T05:06:07Z",
                                      "2019-03-04T24:00:00Z",
                                      "2019-03-04T05:60:07Z",
                                      "2019-03-04T05:06:07.Z",
                                      "2019-03-04T05:06:07Zx",
                                      "2019-03-04T05:06:07+1:00",
                                      "2019-3-4T05:06:07Z",
                                      "0000-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us = -1;
        cr_assert(clock_parse(good[i].text, &us), "%s", good[i].text);
        cr_assert_eq(us, good[i].us, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us = -7;
        cr_assert_not(clock_parse(bad[i], &us), "%s", bad[i]);
        cr_assert_eq(us, -7);
    }
}

Test(clock, there_and_back)
{
    for (int64_t us = INT64_C(-62135596800000000); us < INT64_C(253402300799999999);
         us += INT64_C(98765432109876)) {
        int64_t back;
        cr_assert(clock_parse(format(us), &back), "%s", format(us));
        cr_assert_eq(back, us);
    }
}

Test(clock, clocks_run)
{
    int64_t start = clock_monotonic_us();
    cr_assert_gt(clock_real_us(), INT64_C(1577836800000000));
    cr_assert_geq(clock_monotonic_us(), start);
}
