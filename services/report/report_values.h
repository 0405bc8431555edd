#ifndef CASEWORK_REPORT_VALUES_H
#define CASEWORK_REPORT_VALUES_H

/*
 * Values and how often each is there: what exact percentiles are looked up in without reading case by case.
 * Counts can be added up and taken away like those of a sketch (report_sketch.h). Pure.
 */

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report_value {
    int64_t value; /* not negative */
    int64_t times; /* may be negative where it is a change */
};

/* {0} is none. A value may be there more than once; its times add up. The list lives in the arena that it was
 * added with. */
struct report_values {
    struct report_value *list;
    size_t count, size;
};

/* Below 0 counts as 0. False: the arena is full. */
bool report_values_add(struct report_values *values, int64_t value, int64_t times, arena *memory)
    __attribute__((warn_unused_result));

/* In order, each value once, without what comes to nothing. */
void report_values_settle(struct report_values *values);

/*
 * The value of that rank, from 1 to as many as there are: no value's times may come to less than nothing. May
 * reorder the list. 0 of none.
 */
int64_t report_values_rank(struct report_values *values, int64_t rank);

/* --- as bytes: how many values, then each one's distance from the one before and its times, as varints.
 * Equal settled ones are equal bytes. --- */

/* The most that they take. */
size_t report_values_packed_max(const struct report_values *values);

/* Of settled ones. Answers how many bytes it took. */
size_t report_values_pack(const struct report_values *values, uint8_t *to);

/* Adds what was packed at *at, which moves behind it. False: the arena is full, or these are no values. */
bool report_values_unpack(struct report_values *values, const uint8_t **at, const uint8_t *end, arena *memory)
    __attribute__((warn_unused_result));

#endif
