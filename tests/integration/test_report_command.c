/* `casework report` in a terminal and out of one. */

#include "base/clock.h"
#include "tests/support/activity.h"
#include "tests/support/export.h"
#include "tests/support/terminal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(report_command, .timeout = 240);

/* Two cases at nine, one of them resolved at ten. */
static struct shop two_cases(void)
{
    struct shop d = shop_begin("Europe/Amsterdam", NULL);
    const char *first = shop_case(&d);
    shop_write(&d, first, "ann");
    shop_write(&d, shop_case(&d), "bob");
    suite_advance(d.suite, CLOCK_HOUR);
    suite_step(d.suite, "ResolveCase", first, "ann");
    return d;
}

static char *content(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    cr_assert_not_null(file, "%s", path);
    cr_assert_geq(getdelim(&text, &size, '\0', file), 0);
    fclose(file);
    return text;
}

static const char *position_of(const struct shop *d)
{
    return arena_printf(d->memory, "%lld", (long long)suite_position(d->suite, d->account));
}

Test(report_command, a_terminal_shows_bars_and_a_file_plain_numbers)
{
    struct shop d = two_cases();
    const char *activity[] = {"report", "activity", "acme", "--min-position", position_of(&d), NULL};
    char *screen, *text;
    cr_assert_eq(terminal_run(d.suite, activity, NULL, &screen), 0);
    cr_expect_not_null(strstr(screen, "Europe/Amsterdam, complete up to position "), "%s", screen);
    cr_expect_not_null(strstr(screen, "\n2026-03-02 10:00  2 █████████  0            0            0\n"), "%s",
                       screen);
    cr_expect_not_null(
        strstr(screen, "\n2026-03-02 11:00  0            0            1 ████▌      0             1h 00m\n"),
        "%s", screen);
    cr_expect_not_null(
        strstr(screen, "\ntotal             2            0            1            0             1h 00m\n"),
        "%s", screen);
    free(screen);

    cr_assert_eq(suite_run(d.suite, activity, &text), 0);
    cr_expect_null(strstr(text, "█"));
    cr_expect_eq(strncmp(text, "START TIME           CREATED  PENDING  RESOLVED  DELETED", 56), 0, "%s",
                 text);
    free(text);
    json_t *answer = suite_run_json(d.suite, activity);
    cr_expect_eq(json_array_size(json_object_get(answer, "rows")), 24);
    json_decref(answer);

    const char *json[] = {"report", "activity", "acme", "--json", NULL};
    cr_assert_eq(terminal_run(d.suite, json, NULL, &screen), 0);
    cr_expect_eq(screen[0], '{');
    free(screen);
    shop_end(&d);
}

Test(report_command, volume_is_drawn_too)
{
    struct shop d = two_cases();
    const char *svg = arena_printf(d.memory, "%s/volume.svg", suite_directory(d.suite));
    const char *volume[] = {"report",
                            "volume",
                            "acme",
                            "--since",
                            "2026-03-02T00:00:00Z",
                            "--until",
                            "2026-03-03T00:00:00Z",
                            "--unit",
                            "hour",
                            "--min-position",
                            position_of(&d),
                            NULL};
    char *screen;
    cr_assert_eq(terminal_run(d.suite, volume, NULL, &screen), 0);
    cr_expect_not_null(strstr(screen, "\n2026-03-02 10:00  2 ████"), "%s", screen);
    cr_expect_not_null(strstr(screen, "\n2026-03-02 09:00  0\n"), "%s", screen);
    free(screen);

    const char *drawn[] = {
        "report", "volume", "acme", "--since", "2026-03-02T00:00:00Z", "--until", "2026-03-03T00:00:00Z",
        "--svg",  svg,      NULL};
    cr_assert_eq(terminal_run(d.suite, drawn, NULL, &screen), 0);
    cr_expect_str_empty(screen);
    free(screen);
    char *text = content(svg);
    cr_expect_not_null(strstr(text, "<svg"));
    cr_expect_not_null(strstr(text, "</svg>"));
    free(text);
    shop_end(&d);
}

Test(report_command, an_export_shows_how_far_it_is_where_somebody_looks)
{
    struct shop d = two_cases();
    const char *file = arena_printf(d.memory, "%s/table.csv", suite_directory(d.suite));
    const char *position = position_of(&d);
    const char *named[] = {"report", "engagements", "acme", "--csv", file, "--min-position", position, NULL};
    const char *piped[] = {"report", "engagements", "acme", "--csv", "-", "--min-position", position, NULL};
    char *screen, *text, *other;
    cr_assert_eq(terminal_run(d.suite, named, NULL, &screen), 0);
    cr_expect_not_null(strstr(screen, "\r[########################################] 100%  2 engagements\n"),
                       "%s", screen);
    free(screen);
    text = content(file);

    /* It is told on standard error: what is piped on is the file and nothing else. */
    cr_assert_eq(terminal_run(d.suite, piped, file, &screen), 0);
    cr_expect_not_null(strstr(screen, "100%  2 engagements\n"), "%s", screen);
    other = content(file);
    cr_expect_str_eq(other, text);
    free(screen);
    free(other);

    cr_assert_eq(suite_run(d.suite, piped, &other), 0);
    cr_expect_str_eq(other, text, "where nobody looks nothing is shown");
    free(other);
    free(text);
    shop_end(&d);
}

Test(report_command, json_lines_have_an_object_for_each_engagement)
{
    struct shop d = two_cases();
    const char *file = arena_printf(d.memory, "%s/table.jsonl", suite_directory(d.suite));
    const char *words[] = {"report",         "engagements",   "acme", "--json-lines", file, "--messages",
                           "--min-position", position_of(&d), NULL};
    export_request request = export_ask(&d, EXPORT_JSON_LINES);
    request.include_messages = true;
    bytes expected = export_file(&d, &request);
    cr_assert_eq(suite_run(d.suite, words, NULL), 0);
    char *text = content(file);
    cr_expect_str_eq(text, bytes_text(&expected));
    free(text);
    bytes_release(&expected);
    cr_expect_eq(suite_run(d.suite,
                           (const char *const[]){"report", "engagements", "acme", "--json-lines", file,
                                                 "--csv", file, NULL},
                           NULL),
                 2, "one form at a time");
    shop_end(&d);
}

/* One of the two cases has been closed. */
Test(report_command, a_summary_is_told_and_broken_down)
{
    struct shop d = two_cases();
    suite_advance(d.suite, 80 * CLOCK_HOUR);
    const char *position = position_of(&d);
    const char *plain[] = {"report", "summary", "acme", "--min-position", position, NULL};
    const char *by_agent[] = {"report", "summary",        "acme",   "--group-by",
                              "agent",  "--min-position", position, NULL};
    const char *classes[] = {"report", "classifications", "acme", "--min-position", position, NULL};
    char *text;
    cr_assert_eq(suite_run(d.suite, plain, &text), 0);
    cr_expect_not_null(strstr(text, "cases_closed           1\n"), "%s", text);
    cr_expect_not_null(strstr(text, "engagements            1\n"), "%s", text);
    cr_expect_not_null(strstr(text, "first_reply_duration"), "%s", text);
    free(text);
    json_t *answer = suite_run_json(d.suite, by_agent);
    const json_t *groups = json_object_get(answer, "groups");
    cr_assert_eq(json_array_size(groups), 1);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(groups, 0), "key")),
                     "accounts/acme/agents/ann");
    json_decref(answer);
    const char *cell[] = {
        "report", "explain", "acme", "resolved", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z", NULL};
    answer = suite_run_json(d.suite, cell);
    cr_expect_eq(json_array_size(json_object_get(answer, "entries")), 1);
    json_decref(answer);
    answer = suite_run_json(d.suite, classes);
    cr_expect_str_eq(json_string_value(json_object_get(answer, "totalCases")), "1");
    json_decref(answer);
    shop_end(&d);
}
