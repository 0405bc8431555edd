/* report/report_values.h: ranks against sorted values, merging, taking away, bytes. */

#include "report/report_values.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { VALUES = 20000 };

static arena *memory;

static void setup(void)
{
    memory = arena_new(64 << 20);
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(report_values, .init = setup, .fini = teardown, .timeout = 30);

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* Some of them many times; in runs, or in no order. */
static void fill(int64_t *values, size_t count, uint64_t seed, bool runs)
{
    for (size_t i = 0; i < count; i++)
        values[i] = runs                          ? (int64_t)(i % 700) * 1000 + next_random(&seed) % 3
                    : next_random(&seed) % 4 == 0 ? (int64_t)next_random(&seed) << next_random(&seed) % 32
                                                  : next_random(&seed) % 1000;
}

static struct report_values values_of(const int64_t *list, size_t count)
{
    struct report_values values = {0};
    for (size_t i = 0; i < count; i++)
        cr_assert(report_values_add(&values, list[i], 1, memory));
    return values;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void expect_ranks(struct report_values *values, int64_t *list, size_t count)
{
    qsort(list, count, sizeof *list, by_size);
    for (size_t rank = 1; rank <= count; rank += rank < 20 ? 1 : 379)
        cr_assert_eq(report_values_rank(values, (int64_t)rank), list[rank - 1], "rank %zu", rank);
    cr_assert_eq(report_values_rank(values, (int64_t)count), list[count - 1]);
}

/* Adds `from` to `to` by way of bytes. */
static void merge(struct report_values *to, struct report_values *from)
{
    report_values_settle(from);
    uint8_t *bytes = malloc(report_values_packed_max(from));
    const uint8_t *at = bytes;
    size_t size = report_values_pack(from, bytes);
    cr_assert(report_values_unpack(to, &at, bytes + size, memory));
    cr_assert_eq(at, bytes + size);
    free(bytes);
}

Test(report_values, every_rank_is_exact)
{
    static int64_t list[VALUES];
    for (int runs = 0; runs < 2; runs++) {
        fill(list, VALUES, 1, runs != 0);
        struct report_values values = values_of(list, VALUES);
        expect_ranks(&values, list, VALUES);
        report_values_settle(&values);
        expect_ranks(&values, list, VALUES);
    }
}

Test(report_values, parts_merge_in_any_order_to_the_whole)
{
    static int64_t list[VALUES];
    fill(list, VALUES, 2, false);
    struct report_values merged = {0};
    for (size_t part = 8; part-- > 0;) {
        struct report_values one = values_of(list + part * (VALUES / 8), VALUES / 8);
        merge(&merged, &one);
    }
    expect_ranks(&merged, list, VALUES);
}

Test(report_values, what_is_taken_away_leaves_no_trace)
{
    static int64_t list[VALUES];
    fill(list, VALUES, 3, false);
    struct report_values all = values_of(list, VALUES), half = values_of(list, VALUES / 2), taken = {0};
    for (size_t i = VALUES / 2; i < VALUES; i++)
        cr_assert(report_values_add(&taken, list[i], -1, memory));
    merge(&all, &taken);
    struct report_values unsettled = values_of(NULL, 0);
    merge(&unsettled, &half);
    for (size_t i = 0; i < VALUES / 2; i++) {
        cr_assert(report_values_add(&unsettled, list[i] + 1, 1, memory));
        cr_assert(report_values_add(&unsettled, list[i] + 1, -1, memory));
    }
    report_values_settle(&all);
    report_values_settle(&half);
    cr_assert_eq(all.count, half.count);
    for (size_t i = 0; i < all.count; i++) {
        cr_assert_eq(all.list[i].value, half.list[i].value);
        cr_assert_eq(all.list[i].times, half.list[i].times);
    }
    expect_ranks(&all, list, VALUES / 2);
    expect_ranks(&unsettled, list, VALUES / 2);
}

Test(report_values, nothing_and_the_ends)
{
    struct report_values values = {0};
    cr_expect_eq(report_values_rank(&values, 1), 0);
    report_values_settle(&values);
    cr_expect_eq(values.count, 0);
    cr_assert(report_values_add(&values, INT64_MAX, 2, memory));
    cr_assert(report_values_add(&values, -5, 1, memory));
    cr_expect_eq(report_values_rank(&values, 1), 0);
    cr_expect_eq(report_values_rank(&values, 2), INT64_MAX);
    struct report_values same = {0};
    merge(&same, &values);
    cr_expect_eq(report_values_rank(&same, 3), INT64_MAX);
}

Test(report_values, bytes_that_are_no_values_are_refused)
{
    static const uint8_t cut[] = {2, 5, 2}, many[] = {0xff, 0xff, 0xff, 0x7f, 2, 2}, endless[] = {0xff},
                         far[] = {2,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 2,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 2};
    const struct {
        const uint8_t *bytes;
        size_t size;
    } cases[] = {{cut, sizeof cut}, {many, sizeof many}, {endless, sizeof endless}, {far, sizeof far}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct report_values values = {0};
        const uint8_t *at = cases[i].bytes;
        cr_expect_not(report_values_unpack(&values, &at, cases[i].bytes + cases[i].size, memory), "%zu", i);
    }
}
