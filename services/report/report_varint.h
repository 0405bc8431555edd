#ifndef CASEWORK_REPORT_VARINT_H
#define CASEWORK_REPORT_VARINT_H

/* Numbers as few bytes, seven bits in each, the lowest first (as in protobuf). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPORT_VARINT_MAX = 10 };

/* Answers how many bytes it took. */
size_t report_varint_put(uint8_t *to, uint64_t value);

/* Moves *at behind it. False: there is none. */
bool report_varint_get(const uint8_t **at, const uint8_t *end, uint64_t *ret_value);

/* Small numbers of either sign become small. */
uint64_t report_varint_fold(int64_t value);
int64_t report_varint_unfold(uint64_t value);

#endif
