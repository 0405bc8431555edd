#include "report/report_values.h"

#include "report/report_varint.h"

#include <stdlib.h>
#include <string.h>

static bool reserve(struct report_values *values, size_t more, arena *memory)
{
    if (values->size - values->count >= more)
        return true;
    size_t size = values->count + more > 2 * values->size ? values->count + more : 2 * values->size;
    struct report_value *grown = arena_calloc(memory, size, sizeof *grown);
    if (grown == NULL)
        return false;
    if (values->count > 0)
        memcpy(grown, values->list, values->count * sizeof *grown);
    values->list = grown;
    values->size = size;
    return true;
}

bool report_values_add(struct report_values *values, int64_t value, int64_t times, arena *memory)
{
    if (!reserve(values, 1, memory))
        return false;
    values->list[values->count++] = (struct report_value){value > 0 ? value : 0, times};
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct report_value *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

void report_values_settle(struct report_values *values)
{
    if (values->count > 1)
        qsort(values->list, values->count, sizeof *values->list, compare);
    size_t kept = 0;
    for (size_t i = 0; i < values->count;) {
        struct report_value one = {values->list[i].value, 0};
        for (; i < values->count && values->list[i].value == one.value; i++)
            one.times += values->list[i].times;
        if (one.times != 0)
            values->list[kept++] = one;
    }
    values->count = kept;
}

/* --- ranks -----------------------------------------------------------------------------------------------
 */

/* What is less than the pivot, equal to it, and greater, in this order: where the parts begin, and how often
 * the first two are there. */
struct parts {
    size_t same, greater;
    int64_t less_times, same_times;
};

static void swap(struct report_value *a, struct report_value *b)
{
    struct report_value kept = *a;
    *a = *b;
    *b = kept;
}

static struct parts part(struct report_value *list, size_t from, size_t to, int64_t pivot)
{
    struct parts parts = {.same = from, .greater = to};
    for (size_t i = from; i < parts.greater;) {
        if (list[i].value < pivot) {
            parts.less_times += list[i].times;
            swap(&list[parts.same++], &list[i++]);
        } else if (list[i].value == pivot) {
            parts.same_times += list[i++].times;
        } else {
            swap(&list[i], &list[--parts.greater]);
        }
    }
    return parts;
}

/* Hoare's FIND, the whole need not be sorted for one rank. Pivots are drawn, so that no order is a bad one.
 */
int64_t report_values_rank(struct report_values *values, int64_t rank)
{
    struct report_value *list = values->list;
    size_t from = 0, to = values->count;
    int64_t pivot = 0;
    uint64_t drawn = UINT64_C(0x9e3779b97f4a7c15);
    while (from < to) {
        drawn = drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        pivot = list[from + (size_t)(drawn >> 33) % (to - from)].value;
        struct parts parts = part(list, from, to, pivot);
        if (rank <= parts.less_times) {
            to = parts.same;
        } else if (rank <= parts.less_times + parts.same_times) {
            return pivot;
        } else {
            rank -= parts.less_times + parts.same_times;
            from = parts.greater;
        }
    }
    return pivot;
}

/* --- as bytes --------------------------------------------------------------------------------------------
 */

size_t report_values_packed_max(const struct report_values *values)
{
    return (1 + 2 * values->count) * REPORT_VARINT_MAX;
}

size_t report_values_pack(const struct report_values *values, uint8_t *to)
{
    size_t length = report_varint_put(to, values->count);
    int64_t last = 0;
    for (size_t i = 0; i < values->count; i++) {
        length += report_varint_put(to + length, (uint64_t)(values->list[i].value - last));
        length += report_varint_put(to + length, report_varint_fold(values->list[i].times));
        last = values->list[i].value;
    }
    return length;
}

bool report_values_unpack(struct report_values *values, const uint8_t **at, const uint8_t *end, arena *memory)
{
    uint64_t count, value = 0;
    /* each takes two bytes at least */
    if (!report_varint_get(at, end, &count) || count > (uint64_t)(end - *at) / 2 ||
        !reserve(values, (size_t)count, memory))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t distance, times;
        if (!report_varint_get(at, end, &distance) || !report_varint_get(at, end, &times) ||
            distance > INT64_MAX - value)
            return false;
        value += distance;
        values->list[values->count++] = (struct report_value){(int64_t)value, report_varint_unfold(times)};
    }
    return true;
}
