/* Charts: well-formed, in proportion, readable whatever the numbers. */

#include "report/report_chart.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 4000 };

static char names[ROWS_MAX][16];
static const char *labels[ROWS_MAX];
static int64_t values[ROWS_MAX * 4];

static struct report_chart chart_of(size_t rows, size_t series)
{
    for (size_t i = 0; i < rows; i++) {
        snprintf(names[i], sizeof names[i], "%02zu:00", i % 24);
        labels[i] = names[i];
    }
    return (struct report_chart){
        .title = "Case activity, 2026-03-02 (UTC)",
        .unit = "cases",
        .series = {"created", "pending", "resolved", "deleted"},
        .series_count = series,
        .rows = labels,
        .detail = labels,
        .row_count = rows,
        .values = values,
        .width = 960,
        .height = 480,
    };
}

/* Elements nest and end, attributes are quoted, text is escaped: what a parser would insist on. */
static void expect_well_formed(const char *at)
{
    char open[32][16];
    int depth = 0;
    cr_assert_eq(strncmp(at, "<?xml ", 6), 0);
    at = strstr(at, "?>") + 2;
    while ((at = strchr(at, '<')) != NULL) {
        const char *end = at;
        bool quoted = false;
        for (; *end != '\0' && (quoted || *end != '>'); end++)
            quoted ^= *end == '"';
        cr_assert_eq(*end, '>', "an element without an end");
        char name[16] = "";
        cr_assert_eq(sscanf(at + 1 + (at[1] == '/'), "%15[a-z]", name), 1, "%.20s", at);
        if (at[1] == '/')
            cr_assert(depth > 0 && strcmp(open[--depth], name) == 0, "</%s> ends nothing", name);
        else if (end[-1] != '/')
            snprintf(open[depth++], sizeof open[0], "%s", name);
        at = end + 1;
    }
    cr_assert_eq(depth, 0);
}

static bytes draw(const struct report_chart *chart)
{
    bytes svg;
    bytes_init(&svg, 16 << 20);
    report_chart_draw(chart, &svg);
    cr_assert_not(svg.failed);
    expect_well_formed(bytes_text(&svg));
    cr_expect_null(strstr(bytes_text(&svg), "nan"));
    cr_expect_null(strstr(bytes_text(&svg), "inf"));
    cr_expect_null(strstr(bytes_text(&svg), "<script"));
    cr_expect_null(strstr(bytes_text(&svg), "href"));
    return svg;
}

static size_t count(const bytes *svg, const char *what)
{
    size_t found = 0;
    for (const char *at = bytes_text(svg); (at = strstr(at, what)) != NULL; at++)
        found++;
    return found;
}

/* Heights of the bars of a series, in order. */
static size_t heights(const bytes *svg, int series, double *ret, size_t most)
{
    char head[32];
    size_t found = 0;
    snprintf(head, sizeof head, "<rect class=\"s%d\" ", series);
    for (const char *at = bytes_text(svg); found < most && (at = strstr(at, head)) != NULL; at++)
        ret[found++] = strtod(strstr(at, "height=\"") + 8, NULL);
    return found;
}

Test(report_chart, bars_are_as_high_as_their_numbers)
{
    memset(values, 0, sizeof values);
    for (int i = 0; i < 24; i++) {
        for (int s = 0; s < 4; s++)
            values[4 * i + s] = (i * 7 + s * 3) % 19;
    }
    struct report_chart chart = chart_of(24, 4);
    bytes svg = draw(&chart), again = draw(&chart);
    cr_expect_str_eq(bytes_text(&svg), bytes_text(&again));
    for (int s = 0; s < 4; s++) {
        double high[24], each = 0;
        size_t found = heights(&svg, s, high, 24), at = 0;
        for (int i = 0; i < 24; i++) {
            int64_t value = values[4 * i + s];
            if (value == 0)
                continue;
            cr_assert_lt(at, found);
            each = at == 0 ? high[0] / (double)value : each;
            cr_expect_float_eq(high[at], each * (double)value, 0.01);
            at++;
        }
        cr_expect_eq(at, found);
    }
    bytes_release(&svg);
    bytes_release(&again);
}

Test(report_chart, extremes_can_be_drawn)
{
    memset(values, 0, sizeof values);
    struct report_chart chart = chart_of(0, 4);
    bytes svg = draw(&chart); /* no rows */
    bytes_release(&svg);
    chart = chart_of(24, 4);
    svg = draw(&chart); /* nothing happened */
    cr_expect_eq(count(&svg, "<title>"), 1);
    bytes_release(&svg);
    values[17] = INT64_MAX / 4;
    svg = draw(&chart);
    double high[2];
    cr_expect_eq(heights(&svg, 1, high, 2), 1);
    cr_expect_gt(high[0], 150);
    cr_expect_lt(high[0], 480);
    bytes_release(&svg);
    chart.width = 200;
    chart.height = 100;
    svg = draw(&chart);
    bytes_release(&svg);
    chart = chart_of(ROWS_MAX, 4); /* no room for bars: lines */
    svg = draw(&chart);
    cr_expect_eq(count(&svg, "<polyline"), 4);
    bytes_release(&svg);
}

Test(report_chart, labels_do_not_run_into_each_other)
{
    static const size_t rows[] = {1, 7, 24, 25, 28, 31, 60, 168, 400, ROWS_MAX};
    static const int32_t widths[] = {200, 333, 960, 4000};
    memset(values, 0, sizeof values);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            struct report_chart chart = chart_of(rows[r], 1);
            chart.width = widths[w];
            bytes svg = draw(&chart);
            double last = -1000;
            size_t found = 0;
            for (const char *at = bytes_text(&svg); (at = strstr(at, "class=\"label\" x=\"")) != NULL; at++) {
                double x = strtod(at + 17, NULL);
                cr_expect_geq(x - last, 5 * 7.0, "%zu rows, %d wide", rows[r], widths[w]);
                cr_expect_leq(x + 5 * 3.5, widths[w] + 0.01);
                last = x;
                found++;
            }
            cr_expect_geq(found, 1U);
            bytes_release(&svg);
        }
    }
}

Test(report_chart, texts_are_escaped)
{
    struct report_chart chart = chart_of(1, 1);
    memset(values, 0, sizeof values);
    values[0] = 3;
    chart.title = "<script>\"&'\x01</script> Zo\xc3\xab";
    bytes svg = draw(&chart);
    cr_expect_not_null(strstr(bytes_text(&svg), "&lt;script&gt;&quot;&amp;'&lt;/script&gt; Zo\xc3\xab"));
    cr_expect_not_null(strstr(bytes_text(&svg), "prefers-color-scheme:dark"));
    cr_expect_not_null(strstr(bytes_text(&svg), "<title>00:00: created 3</title>"));
    bytes_release(&svg);
}

Test(report_chart, marks_are_round)
{
    cr_expect_eq(report_chart_step(1, 5), 1);
    cr_expect_eq(report_chart_step(5, 5), 1);
    cr_expect_eq(report_chart_step(6, 5), 2);
    cr_expect_eq(report_chart_step(11, 5), 5);
    cr_expect_eq(report_chart_step(99, 5), 20);
    cr_expect_eq(report_chart_step(101, 5), 50);
    cr_expect_eq(report_chart_step(1000000, 5), 200000);
    cr_expect_gt(report_chart_step(INT64_MAX, 1), 0);
}
