#include "search/search_bits.h"

#include "search/search_postings.h"

#include <stdbool.h>
#include <string.h>

/* --- counting ----------------------------------------------------------------------------------------- */

typedef uint64_t count_words(const uint64_t *const *rows, size_t row_count, size_t from, size_t to);

static inline __attribute__((always_inline)) uint64_t count_plainly(const uint64_t *const *rows,
                                                                    size_t row_count, size_t from, size_t to)
{
    uint64_t count = 0;
    for (size_t i = from; i < to; i++) {
        uint64_t word = rows[0][i];
        for (size_t row = 1; row < row_count; row++)
            word &= rows[row][i];
        count += (uint64_t)__builtin_popcountll(word);
    }
    return count;
}

static uint64_t count_anywhere(const uint64_t *const *rows, size_t row_count, size_t from, size_t to)
{
    return count_plainly(rows, row_count, from, to);
}

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("popcnt"))) static uint64_t count_popcnt(const uint64_t *const *rows, size_t row_count,
                                                               size_t from, size_t to)
{
    return count_plainly(rows, row_count, from, to);
}

__attribute__((target("popcnt,avx512f,avx512vpopcntdq"))) static uint64_t count_avx512(
    const uint64_t *const *rows, size_t row_count, size_t from, size_t to)
{
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    size_t i = from;
    for (; i + 16 <= to; i += 16) {
        __m512i left = _mm512_loadu_si512(rows[0] + i), right = _mm512_loadu_si512(rows[0] + i + 8);
        for (size_t row = 1; row < row_count; row++) {
            left = _mm512_and_si512(left, _mm512_loadu_si512(rows[row] + i));
            right = _mm512_and_si512(right, _mm512_loadu_si512(rows[row] + i + 8));
        }
        even = _mm512_add_epi64(even, _mm512_popcnt_epi64(left));
        odd = _mm512_add_epi64(odd, _mm512_popcnt_epi64(right));
    }
    uint64_t count = (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(even, odd));
    return count + count_plainly(rows, row_count, i, to);
}

static count_words *choose(void)
{
    if (__builtin_cpu_supports("avx512vpopcntdq"))
        return count_avx512;
    return __builtin_cpu_supports("popcnt") ? count_popcnt : count_anywhere;
}
#else
static count_words *choose(void)
{
    return count_anywhere;
}
#endif

uint64_t search_bits_count(const uint64_t *const *rows, size_t row_count, size_t from, size_t to)
{
    static _Atomic(count_words *) chosen;
    count_words *count = chosen;
    if (!count)
        chosen = count = choose();
    return count(rows, row_count, from, to);
}

/* --- finding ------------------------------------------------------------------------------------------ */

static inline uint64_t join(const uint64_t *const *rows, size_t row_count, size_t at)
{
    uint64_t word = rows[0][at];
    for (size_t row = 1; row < row_count; row++)
        word &= rows[row][at];
    return word;
}

/* Eight words at a time: the compiler makes vectors of them. Any order of rows is as good. */
static inline bool is_empty(const uint64_t *const *rows, size_t row_count, size_t at)
{
    enum { WORDS = 8 };
    uint64_t words[WORDS], any = 0;
    memcpy(words, rows[0] + at, sizeof words);
    for (size_t row = 1; row < row_count; row++)
        for (int i = 0; i < WORDS; i++)
            words[i] &= rows[row][at + (size_t)i];
    for (int i = 0; i < WORDS; i++)
        any |= words[i];
    return !any;
}

size_t search_bits_first(const uint64_t *const *rows, size_t row_count, size_t from, size_t to)
{
    while (from < to && !join(rows, row_count, from)) {
        from++;
        while (from + 8 <= to && is_empty(rows, row_count, from))
            from += 8;
    }
    return from;
}

size_t search_bits_last(const uint64_t *const *rows, size_t row_count, size_t from, size_t to)
{
    while (to > from && !join(rows, row_count, to - 1)) {
        to--;
        while (to >= from + 8 && is_empty(rows, row_count, to - 8))
            to -= 8;
    }
    return to - 1;
}

/* --- arrays ------------------------------------------------------------------------------------------- */

uint32_t search_bits_keep(const uint16_t *values, uint32_t count, const uint64_t *bits, uint16_t *kept)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t value = values[i];
        kept[next] = value;
        next += (uint32_t)(bits[value / 64] >> value % 64) & 1;
    }
    return next;
}

/* Each of the few is looked for in the many, from where the last one was found. */
static uint32_t gallop(const uint16_t *few, uint32_t few_count, const uint16_t *many, uint32_t many_count,
                       uint16_t *common)
{
    uint32_t next = 0, from = 0;
    for (uint32_t i = 0; i < few_count && from < many_count; i++) {
        uint16_t value = few[i];
        uint32_t step = 1, to = from;
        while (to < many_count && many[to] < value) {
            from = to + 1;
            to = many_count - to > step ? to + step : many_count;
            step *= 2;
        }
        from = search_lower_bound_narrow(many, from, to, value);
        if (from < many_count && many[from] == value)
            common[next++] = value;
    }
    return next;
}

/* Neighbours often fall into one word, whose new value the next one would wait for: so four places of the
 * array are gone through at once. */
static void set_bits(const uint16_t *values, uint32_t count, uint64_t bits[static SEARCH_CHUNK_WORDS])
{
    enum { PLACES = 4 };
    uint32_t part = count / PLACES;
    for (uint32_t i = 0; i < part; i++)
        for (uint32_t place = 0; place < PLACES; place++) {
            uint16_t value = values[i + place * part];
            bits[value / 64] |= UINT64_C(1) << value % 64;
        }
    for (uint32_t i = part * PLACES; i < count; i++)
        bits[values[i] / 64] |= UINT64_C(1) << values[i] % 64;
}

/* Arrays of like lengths go by way of a bitmap: no branch is to be foreseen in it. */
uint32_t search_bits_common(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count,
                            uint16_t *common)
{
    enum { GALLOP_FROM = 32 };
    if (a_count > b_count) {
        const uint16_t *kept = a;
        uint32_t kept_count = a_count;
        a = b;
        a_count = b_count;
        b = kept;
        b_count = kept_count;
    }
    if (b_count / GALLOP_FROM >= a_count)
        return gallop(a, a_count, b, b_count, common);
    uint64_t bits[SEARCH_CHUNK_WORDS];
    memset(bits, 0, sizeof bits);
    set_bits(b, b_count, bits);
    return search_bits_keep(a, a_count, bits, common);
}
