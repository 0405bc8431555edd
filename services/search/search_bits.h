#ifndef CASEWORK_SEARCH_BITS_H
#define CASEWORK_SEARCH_BITS_H

/* What intersecting spends its time with. Uses what the processor has (AVX-512, POPCNT), with one result. */

#include <stddef.h>
#include <stdint.h>

/* How many bits are set in all rows together, in the words [from, to) of each. At least one row. */
uint64_t search_bits_count(const uint64_t *const *rows, size_t row_count, size_t from, size_t to);

/* The first word of [from, to) of which a bit is set in all rows, `to` when there is none; or the last one,
 * `from` less one when there is none. */
size_t search_bits_first(const uint64_t *const *rows, size_t row_count, size_t from, size_t to);
size_t search_bits_last(const uint64_t *const *rows, size_t row_count, size_t from, size_t to);

/* What two sorted arrays of a chunk have in common, in order; `common` has room for the shorter one and may
 * be the first. Returns how many. */
uint32_t search_bits_common(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count,
                            uint16_t *common);

/* Those of a sorted array whose bits are set; `kept` may be the array. Returns how many. */
uint32_t search_bits_keep(const uint16_t *values, uint32_t count, const uint64_t *bits, uint16_t *kept);

#endif
