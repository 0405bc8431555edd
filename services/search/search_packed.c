#include "search/search_packed.h"

/* Lower bits of each. */
static unsigned low_bits(uint32_t documents, uint32_t count)
{
    uint32_t distance = documents / count;
    return distance ? 31 - (unsigned)__builtin_clz(distance) : 0;
}

/* The unary part: a one for each, and a zero for each step of the upper bits. */
static uint64_t high_bits(uint32_t documents, uint32_t count, unsigned low)
{
    return count + ((uint64_t)documents >> low);
}

size_t search_packed_words(uint32_t documents, uint32_t count)
{
    unsigned low = low_bits(documents, count);
    return (size_t)(((uint64_t)count * low + high_bits(documents, count, low) + 63) / 64);
}

void search_packed_write(uint64_t *words, uint32_t documents, const uint32_t *values, uint32_t count)
{
    unsigned low = low_bits(documents, count);
    uint64_t at = 0, high = (uint64_t)count * low;
    for (uint32_t i = 0; i < count; i++, at += low) {
        uint64_t part = values[i] & ((UINT64_C(1) << low) - 1), one = high + i + (values[i] >> low);
        words[at / 64] |= part << at % 64;
        if (at % 64 + low > 64)
            words[at / 64 + 1] |= part >> (64 - at % 64);
        words[one / 64] |= UINT64_C(1) << one % 64;
    }
}

void search_packed_read(const uint64_t *words, uint32_t documents, uint32_t *values, uint32_t count)
{
    unsigned low = low_bits(documents, count);
    uint64_t mask = (UINT64_C(1) << low) - 1, at = 0, high = (uint64_t)count * low, word = high / 64;
    uint64_t ones = words[word] & ~UINT64_C(0) << high % 64;
    for (uint32_t i = 0; i < count; i++, at += low, ones &= ones - 1) {
        while (!ones)
            ones = words[++word];
        uint64_t part = words[at / 64] >> at % 64;
        if (at % 64 + low > 64)
            part |= words[at / 64 + 1] << (64 - at % 64);
        uint64_t upper = word * 64 + (unsigned)__builtin_ctzll(ones) - high - i;
        values[i] = (uint32_t)(upper << low | (part & mask));
    }
}

bool search_packed_check(const uint64_t *words, uint32_t documents, uint32_t count)
{
    unsigned low = low_bits(documents, count);
    uint64_t high = (uint64_t)count * low, size = search_packed_words(documents, count), ones = 0;
    for (uint64_t word = high / 64; word < size; word++)
        ones += (unsigned)__builtin_popcountll(word == high / 64 ? words[word] >> high % 64 : words[word]);
    return ones == count;
}
