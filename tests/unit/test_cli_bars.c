/* Reports as bars for a terminal. */

#include "base/clock.h"
#include "cli/bars.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY = 1 << 20 };

static const char *const titles[] = {"CREATED", "PENDING", "RESOLVED", "DELETED"};

static char *drawn(const struct bars *bars, int width, bool blocks)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    arena *memory = arena_new(MEMORY);
    cr_assert_not_null(to);
    bars_print(to, memory, bars, width, blocks);
    fclose(to);
    arena_free(memory);
    return text;
}

static struct bars_row hour(const char *start, int64_t created, int64_t pending, const char *note)
{
    struct bars_row row = {.values = {created, pending}, .note = note};
    cr_assert(clock_parse(start, &row.start_us));
    row.end_us = row.start_us + CLOCK_HOUR;
    return row;
}

static void expect(const struct bars *bars, int width, bool blocks, const char *expected)
{
    char *text = drawn(bars, width, blocks);
    cr_expect_str_eq(text, expected);
    free(text);
}

Test(cli_bars, each_number_stands_beside_a_bar_to_one_scale)
{
    const struct bars_row rows[] = {hour("2026-03-28T23:00:00Z", 8, 4, "2h 00m"),
                                    hour("2026-03-29T00:00:00Z", 0, 0, ""),
                                    hour("2026-03-29T01:00:00Z", 1, 16, "5s")};
    const struct bars_row total = {.values = {9, 20}, .note = "1h 00m"};
    const struct bars bars = {.zone = "Europe/Amsterdam",
                              .position = 57,
                              .titles = titles,
                              .column_count = 2,
                              .note_title = "AVERAGE",
                              .rows = rows,
                              .row_count = 3,
                              .total = &total};
    expect(&bars, 52, true,
           "Europe/Amsterdam, complete up to position 57\n"
           "START             CREATED      PENDING      AVERAGE\n"
           "2026-03-29 00:00   8 ████       4 ██         2h 00m\n"
           "2026-03-29 01:00   0            0\n"
           "2026-03-29 03:00   1 ▌         16 ████████       5s\n"
           "total              9           20            1h 00m\n");
    expect(&bars, 52, false,
           "Europe/Amsterdam, complete up to position 57\n"
           "START             CREATED      PENDING      AVERAGE\n"
           "2026-03-29 00:00   8 ####       4 ##         2h 00m\n"
           "2026-03-29 01:00   0            0\n"
           "2026-03-29 03:00   1 #         16 ########       5s\n"
           "total              9           20            1h 00m\n");
}

/* The bars of a terminal that is too narrow have a least width; what is not nothing can be seen. */
Test(cli_bars, days_are_told_by_their_date)
{
    struct bars_row rows[2] = {hour("2026-03-28T23:00:00Z", 1000, 0, ""),
                               hour("2026-03-29T22:00:00Z", 1, 0, "")};
    rows[0].end_us = rows[1].start_us;
    rows[1].end_us = rows[1].start_us + CLOCK_DAY;
    const struct bars bars = {.zone = "Europe/Amsterdam",
                              .titles = (const char *const[]){"OPEN CASES"},
                              .column_count = 1,
                              .note_title = "",
                              .rows = rows,
                              .row_count = 2};
    expect(&bars, 10, true,
           "Europe/Amsterdam, complete up to position 0\n"
           "START             OPEN CASES\n"
           "2026-03-29        1000 ████\n"
           "2026-03-30           1 ▏\n");
}
