#ifndef CASEWORK_REPORT_SKETCH_H
#define CASEWORK_REPORT_SKETCH_H

/*
 * Percentiles within 1% from counters: a sketch after DDSketch (Masson, Rim and Lee, VLDB 2019). Values fall
 * into buckets whose bounds grow by a constant factor, so that the middle of a bucket is within 0.9% of
 * whatever fell into it; whole numbers below 1,024 have a bucket each and are exact. Counters can be added up
 * and taken away, so sketches merge in any order, and what was added can be removed. Pure.
 */

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {0} is an empty one. Counters live in the arena that they were added with. */
struct report_sketch {
    int64_t *counts; /* by bucket; may be negative where it is a change */
    size_t size;
};

/* Values below 0 count as 0. Grows with the value. */
size_t report_sketch_bucket(int64_t value);

/* What stands for all values of the bucket: within 1% of each, rounding included. */
int64_t report_sketch_value(size_t bucket);

/* Adds (or, negative, takes away) so many of the value. False: the arena is full. */
bool report_sketch_add(struct report_sketch *sketch, int64_t value, int64_t times, arena *memory)
    __attribute__((warn_unused_result));

/* The value of that rank, from 1 on; the greatest where there are fewer; 0 of an empty sketch. */
int64_t report_sketch_rank(const struct report_sketch *sketch, int64_t rank);

/* --- as bytes: the number of buckets that are not 0, then each one's distance from the last and its count,
 * as varints. Equal sketches are equal bytes. --- */

/* The most that a sketch takes. */
size_t report_sketch_packed_max(const struct report_sketch *sketch);

/* Answers how many bytes it took. */
size_t report_sketch_pack(const struct report_sketch *sketch, uint8_t *to);

/* Adds what was packed at *at, which moves behind it. False: the arena is full, or that is no sketch. */
bool report_sketch_unpack(struct report_sketch *sketch, const uint8_t **at, const uint8_t *end, arena *memory)
    __attribute__((warn_unused_result));

#endif
