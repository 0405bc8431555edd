#ifndef CASEWORK_SEARCH_SPELLING_H
#define CASEWORK_SEARCH_SPELLING_H

/*
 * How the dictionary of a large section spells its words: byte values that stand in none of them mean the
 * pairs of bytes that are most frequent ("A New Algorithm for Data Compression", Gage, C Users Journal, 1994;
 * one round of it). From left to right a pair that has a code is written as that, another byte as it is; so a
 * word has one spelling. A table has 256 codes of two bytes, the second one NUL where the code means one
 * byte. No pair ends with a NUL.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEARCH_SPELLING_CODES = 256 };

struct search_spelling {
    uint8_t pairs[SEARCH_SPELLING_CODES][2];
};

/* Bytes of the word, at most two for each of the spelling, into `text`, which has room for them and one more.
 */
static inline size_t search_spelling_read(const struct search_spelling *spelling,
                                          const unsigned char *spelled, size_t length, char *text)
{
    char *at = text;
    for (size_t i = 0; i < length; i++) {
        const uint8_t *pair = spelling->pairs[spelled[i]];
        at[0] = (char)pair[0];
        at[1] = (char)pair[1];
        at += pair[1] ? 2 : 1;
    }
    return (size_t)(at - text);
}

/* Whether that is how the word is spelled. */
static inline bool search_spelling_is(const struct search_spelling *spelling, const unsigned char *spelled,
                                      size_t length, const char *text, size_t text_length)
{
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        const uint8_t *pair = spelling->pairs[spelled[i]];
        if (at == text_length || pair[0] != (uint8_t)text[at])
            return false;
        at++;
        if (!pair[1])
            continue;
        if (at == text_length || pair[1] != (uint8_t)text[at])
            return false;
        at++;
    }
    return at == text_length;
}

/* --- writing ------------------------------------------------------------------------------------------ */

/* A table being chosen, and to write with. */
struct search_speller {
    struct search_spelling spelling;
    bool is_used[SEARCH_SPELLING_CODES]; /* the byte stands in some word */
    uint8_t codes[1 << 16];              /* by pair, first byte highest; 0: none */
    uint32_t counts[1 << 16];            /* by pair, in the sample */
    uint16_t seen[1 << 16];              /* pairs that are in it */
    uint32_t seen_count, sampled;
};

/* Starts as zeroes. First every word is shown, for its bytes; then words of a sample, before each choice:
 * when they come again, only pairs count that are met when words are spelled as was chosen the first time. */
void search_speller_use(struct search_speller *speller, const unsigned char *text, size_t length);
void search_speller_sample(struct search_speller *speller, const unsigned char *text, size_t length);
void search_speller_choose(struct search_speller *speller);

/* How long the word is when it is spelled. */
size_t search_speller_measure(const struct search_speller *speller, const unsigned char *text, size_t length);

/* Spells the word, to where it stands itself or before; returns the length. */
size_t search_speller_write(const struct search_speller *speller, const unsigned char *text, size_t length,
                            unsigned char *spelled);

#endif
