#include "search/search_spelling.h"

#include <stdlib.h>

enum { CANDIDATES = 1024 };

static uint32_t pair_of(const unsigned char *text)
{
    return (uint32_t)text[0] << 8 | text[1];
}

void search_speller_use(struct search_speller *speller, const unsigned char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        speller->is_used[text[i]] = true;
}

void search_speller_sample(struct search_speller *speller, const unsigned char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++) {
        uint32_t pair = pair_of(text + i);
        if (text[i + 1] == 0)
            continue;
        if (speller->counts[pair]++ == 0)
            speller->seen[speller->seen_count++] = (uint16_t)pair;
        speller->sampled++;
        i += speller->codes[pair] > 0; /* the next byte begins no pair then */
    }
}

struct candidate {
    uint32_t count;
    uint16_t pair;
};

/* The most frequent first; of equal ones always the same. */
static int compare(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return (left->pair > right->pair) - (left->pair < right->pair);
}

/* Those that are worth a code, counted from the start again. */
static uint32_t take_candidates(struct search_speller *speller,
                                struct candidate candidates[static CANDIDATES])
{
    uint32_t count = 0, least = speller->sampled / CANDIDATES + 1;
    for (uint32_t i = 0; i < speller->seen_count; i++) {
        uint16_t pair = speller->seen[i];
        if (speller->counts[pair] >= least && count < CANDIDATES)
            candidates[count++] = (struct candidate){speller->counts[pair], pair};
        speller->counts[pair] = 0;
    }
    speller->seen_count = speller->sampled = 0;
    qsort(candidates, count, sizeof *candidates, compare);
    return count;
}

void search_speller_choose(struct search_speller *speller)
{
    struct candidate candidates[CANDIDATES] = {{0}};
    uint32_t count = take_candidates(speller, candidates), next = 0;
    for (unsigned code = 1; code < SEARCH_SPELLING_CODES; code++) { /* the former choice */
        const uint8_t *pair = speller->spelling.pairs[code];
        speller->codes[pair_of(pair)] = 0;
    }
    for (unsigned code = 0; code < SEARCH_SPELLING_CODES; code++) {
        uint8_t *pair = speller->spelling.pairs[code];
        bool free = code > 0 && !speller->is_used[code] && next < count;
        pair[0] = (uint8_t)(free ? candidates[next].pair >> 8 : code);
        pair[1] = (uint8_t)(free ? candidates[next].pair & 0xff : 0);
        if (free)
            speller->codes[candidates[next++].pair] = (uint8_t)code;
    }
}

size_t search_speller_measure(const struct search_speller *speller, const unsigned char *text, size_t length)
{
    size_t spelled = 0;
    for (size_t i = 0; i < length; i++, spelled++)
        i += i + 1 < length && speller->codes[pair_of(text + i)] > 0;
    return spelled;
}

size_t search_speller_write(const struct search_speller *speller, const unsigned char *text, size_t length,
                            unsigned char *spelled)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t code = i + 1 < length ? speller->codes[pair_of(text + i)] : 0;
        spelled[written++] = code ? code : text[i];
        i += code > 0;
    }
    return written;
}
