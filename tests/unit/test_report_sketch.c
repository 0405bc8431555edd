/* report/report_sketch.h: bounds against sorted values, merging, taking away, bytes. */

#include "report/report_sketch.h"

#include <criterion/criterion.h>
#include <math.h>
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

TestSuite(report_sketch, .init = setup, .fini = teardown, .timeout = 30);

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* From nothing to three years in microseconds, evenly by magnitude. */
static int64_t some_value(uint64_t *seed)
{
    return (int64_t)(exp((double)(next_random(seed) % 100000) / 100000 * log(1e14)) - 1);
}

static void fill(int64_t *values, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++)
        values[i] = some_value(&seed);
}

static struct report_sketch sketch_of(const int64_t *values, size_t count)
{
    struct report_sketch sketch = {0};
    for (size_t i = 0; i < count; i++)
        cr_assert(report_sketch_add(&sketch, values[i], 1, memory));
    return sketch;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void expect_ranks(const struct report_sketch *sketch, int64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    for (size_t rank = 1; rank <= count; rank += rank < 100 ? 1 : 97) {
        int64_t exact = values[rank - 1], told = report_sketch_rank(sketch, (int64_t)rank);
        cr_assert_leq(llabs(told - exact), exact / 100, "rank %zu: %lld for %lld", rank, (long long)told,
                      (long long)exact);
    }
}

static void expect_equal(const struct report_sketch *a, const struct report_sketch *b)
{
    size_t size = a->size > b->size ? a->size : b->size;
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(i < a->size ? a->counts[i] : 0, i < b->size ? b->counts[i] : 0, "bucket %zu", i);
}

/* Adds `from` to `to` by way of bytes. */
static void merge(struct report_sketch *to, const struct report_sketch *from)
{
    uint8_t *bytes = malloc(report_sketch_packed_max(from));
    const uint8_t *at = bytes;
    size_t size = report_sketch_pack(from, bytes);
    cr_assert(report_sketch_unpack(to, &at, bytes + size, memory));
    cr_assert_eq(at, bytes + size);
    free(bytes);
}

Test(report_sketch, every_rank_is_within_one_per_cent)
{
    static int64_t values[VALUES];
    fill(values, VALUES, 1);
    struct report_sketch sketch = sketch_of(values, VALUES);
    expect_ranks(&sketch, values, VALUES);
}

Test(report_sketch, a_buckets_value_is_within_one_per_cent_of_all_in_it)
{
    for (int64_t value = 0; value < INT64_MAX / 2; value += value / 331 + 1) {
        int64_t told = report_sketch_value(report_sketch_bucket(value));
        cr_assert_leq(llabs(told - value), value / 100, "%lld", (long long)value);
        cr_assert(value >= 1024 || told == value);
    }
    cr_expect_eq(report_sketch_bucket(-5), 0);
    cr_expect_lt(report_sketch_bucket(INT64_MAX), 4096);
}

Test(report_sketch, parts_merge_in_any_order_to_the_whole)
{
    static int64_t values[VALUES];
    fill(values, VALUES, 2);
    struct report_sketch whole = sketch_of(values, VALUES), merged = {0};
    for (size_t part = 8; part-- > 0;) {
        struct report_sketch one = sketch_of(values + part * (VALUES / 8), VALUES / 8);
        merge(&merged, &one);
    }
    expect_equal(&whole, &merged);
    expect_ranks(&merged, values, VALUES);
}

Test(report_sketch, what_is_taken_away_leaves_no_trace)
{
    static int64_t values[VALUES];
    fill(values, VALUES, 3);
    struct report_sketch all = sketch_of(values, VALUES), half = sketch_of(values, VALUES / 2), taken = {0};
    for (size_t i = VALUES / 2; i < VALUES; i++)
        cr_assert(report_sketch_add(&taken, values[i], -1, memory)); /* below 0 until it is merged */
    merge(&all, &taken);
    expect_equal(&all, &half);
    uint8_t *some = malloc(report_sketch_packed_max(&all)), *same = malloc(report_sketch_packed_max(&half));
    size_t size = report_sketch_pack(&all, some);
    cr_assert_eq(size, report_sketch_pack(&half, same));
    cr_expect_arr_eq(some, same, size);
    free(some);
    free(same);
    expect_ranks(&all, values, VALUES / 2);
}

Test(report_sketch, nothing_and_the_ends)
{
    struct report_sketch sketch = {0};
    cr_expect_eq(report_sketch_rank(&sketch, 1), 0);
    cr_assert(report_sketch_add(&sketch, 7, 3, memory));
    cr_expect_eq(report_sketch_rank(&sketch, 0), 7);
    cr_expect_eq(report_sketch_rank(&sketch, 3), 7);
    cr_expect_eq(report_sketch_rank(&sketch, 4), 7);
}

Test(report_sketch, bytes_that_are_no_sketch_are_refused)
{
    static const uint8_t cut[] = {2, 5, 2}, far[] = {1, 0xff, 0x7f, 2}, endless[] = {0xff};
    const struct {
        const uint8_t *bytes;
        size_t size;
    } cases[] = {{cut, sizeof cut}, {far, sizeof far}, {endless, sizeof endless}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct report_sketch sketch = {0};
        const uint8_t *at = cases[i].bytes;
        cr_expect_not(report_sketch_unpack(&sketch, &at, cases[i].bytes + cases[i].size, memory), "%zu", i);
    }
}
