#include "report/report_sketch.h"

#include "report/report_varint.h"

#include <math.h>
#include <string.h>

enum { EXACT = 1024, BUCKETS_MAX = 4096 };

#define ERROR_MAX 0.009
#define GROWTH ((1 + ERROR_MAX) / (1 - ERROR_MAX))

size_t report_sketch_bucket(int64_t value)
{
    if (value < EXACT)
        return value > 0 ? (size_t)value : 0;
    return EXACT + (size_t)ceil(log((double)value / EXACT) / log(GROWTH));
}

int64_t report_sketch_value(size_t bucket)
{
    if (bucket < EXACT)
        return (int64_t)bucket;
    return llround(EXACT * pow(GROWTH, (double)(bucket - EXACT)) * 2 / (1 + GROWTH));
}

static bool reach(struct report_sketch *sketch, size_t bucket, arena *memory)
{
    if (bucket < sketch->size)
        return true;
    size_t size = bucket + bucket / 8 + 16;
    int64_t *counts = arena_calloc(memory, size, sizeof *counts);
    if (counts == NULL)
        return false;
    if (sketch->size > 0)
        memcpy(counts, sketch->counts, sketch->size * sizeof *counts);
    *sketch = (struct report_sketch){.counts = counts, .size = size};
    return true;
}

static bool add_to(struct report_sketch *sketch, size_t bucket, int64_t times, arena *memory)
{
    if (!reach(sketch, bucket, memory))
        return false;
    sketch->counts[bucket] += times;
    return true;
}

bool report_sketch_add(struct report_sketch *sketch, int64_t value, int64_t times, arena *memory)
{
    return add_to(sketch, report_sketch_bucket(value), times, memory);
}

int64_t report_sketch_rank(const struct report_sketch *sketch, int64_t rank)
{
    int64_t seen = 0;
    size_t last = 0;
    for (size_t i = 0; i < sketch->size; i++) {
        if (sketch->counts[i] <= 0)
            continue;
        seen += sketch->counts[i];
        last = i;
        if (seen >= rank)
            break;
    }
    return report_sketch_value(last);
}

/* --- as bytes ------------------------------------------------------------------------------------------ */

static size_t used(const struct report_sketch *sketch)
{
    size_t count = 0;
    for (size_t i = 0; i < sketch->size; i++)
        count += sketch->counts[i] != 0;
    return count;
}

size_t report_sketch_packed_max(const struct report_sketch *sketch)
{
    return (1 + 2 * used(sketch)) * REPORT_VARINT_MAX;
}

size_t report_sketch_pack(const struct report_sketch *sketch, uint8_t *to)
{
    size_t length = report_varint_put(to, used(sketch)), last = 0;
    for (size_t i = 0; i < sketch->size; i++) {
        if (sketch->counts[i] == 0)
            continue;
        length += report_varint_put(to + length, i - last);
        length += report_varint_put(to + length, report_varint_fold(sketch->counts[i]));
        last = i;
    }
    return length;
}

bool report_sketch_unpack(struct report_sketch *sketch, const uint8_t **at, const uint8_t *end, arena *memory)
{
    uint64_t count, bucket = 0;
    if (!report_varint_get(at, end, &count))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t distance, times;
        if (!report_varint_get(at, end, &distance) || !report_varint_get(at, end, &times) ||
            distance >= BUCKETS_MAX)
            return false;
        bucket += distance;
        if (bucket >= BUCKETS_MAX || !add_to(sketch, (size_t)bucket, report_varint_unfold(times), memory))
            return false;
    }
    return true;
}
