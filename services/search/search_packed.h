#ifndef CASEWORK_SEARCH_PACKED_H
#define CASEWORK_SEARCH_PACKED_H

/*
 * Few documents of many in about two bits more each than the logarithm of their distance: the lower bits of
 * all, one behind the other, then the upper ones in unary (Elias, "Efficient Storage and Retrieval by Content
 * and Address of Static Files", 1974; Fano, 1971). Whole words of 64 bits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words that `count` of `documents` documents take. */
size_t search_packed_words(uint32_t documents, uint32_t count);

/* `words` are zeroes before. */
void search_packed_write(uint64_t *words, uint32_t documents, const uint32_t *values, uint32_t count);

void search_packed_read(const uint64_t *words, uint32_t documents, uint32_t *values, uint32_t count);

/* Whether reading stays within the words. */
bool search_packed_check(const uint64_t *words, uint32_t documents, uint32_t count);

#endif
