#ifndef CASEWORK_SEARCH_WORDS_H
#define CASEWORK_SEARCH_WORDS_H

/*
 * The distinct words of one document, each with the fields it stands in. What a document is filtered by is a
 * word too, in a space of its own: a key that starts with a NUL and says what it is, which no word can.
 */

#include "base/bytes.h"
#include "base/error.h"
#include "search/search_document.h"

struct search_word {
    uint64_t hash;
    size_t offset, length; /* in `texts` */
    uint8_t fields;
};

struct search_words {
    struct search_word *words; /* owned */
    uint32_t count, size;
    uint32_t *slots; /* open addressing, index + 1; size is a power of two */
    uint32_t slot_count;
    bytes texts;
};

/* What a filter compares. */
enum search_key {
    SEARCH_KEY_OWNER = 'o',
    SEARCH_KEY_CHANNEL = 'c',
    SEARCH_KEY_CONTACT = 'k',
    SEARCH_KEY_LABEL = 'l', /* the whole label, byte by byte */
};

void search_words_init(struct search_words *words);
void search_words_release(struct search_words *words);

/* Everything the document is found by. Starts afresh; keeps its memory. */
bool search_words_collect(struct search_words *words, const struct search_document *document, error *err)
    __attribute__((warn_unused_result));

/* The fields in which a word stands; 0 when it does not. */
uint8_t search_words_fields(const struct search_words *words, uint64_t hash, const char *text, size_t length);

/* Appends the key under which documents with that owner, channel, … are filed. */
bool search_key_append(bytes *out, enum search_key kind, const char *value);

/* The hash by which words and keys are filed. */
uint64_t search_word_hash(const char *word, size_t length);

#endif
