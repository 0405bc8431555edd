#ifndef CASEWORK_SEARCH_WORDS_H
#define CASEWORK_SEARCH_WORDS_H

/*
 * The distinct words of one document, each with the fields it stands in. What a document is filtered by is a
 * word too, in a space of its own: a key that starts with a NUL and says what it is, which no word can.
 */

#include "base/bytes.h"
#include "base/error.h"
#include "search/search_document.h"
#include "text/words.h"

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

/* Takes a word or key as it comes, with the field it stands in; the same may come again. False ends the walk.
 */
typedef bool search_word_take(void *context, const char *word, size_t length, uint8_t fields);

/* Goes through everything the document is found by. False: `take` said so, or memory is out. `walk` and `key`
 * are kept by the caller, from one document to the next. */
bool search_document_words(const struct search_document *document, text_words *walk, bytes *key,
                           search_word_take *take, void *context) __attribute__((warn_unused_result));

/* Everything the document is found by. Starts afresh; keeps its memory. */
bool search_words_collect(struct search_words *words, const struct search_document *document, error *err)
    __attribute__((warn_unused_result));

/* The fields in which a word stands; 0 when it does not. */
uint8_t search_words_fields(const struct search_words *words, uint64_t hash, const char *text, size_t length);

/* Appends the key under which documents with that owner, channel, … are filed. */
bool search_key_append(bytes *out, enum search_key kind, const char *value);

/* The hash by which words and keys are filed. */
uint64_t search_word_hash(const char *word, size_t length);

#ifdef CASEWORK_INJECTION
/* Bits of the hash that count: a test makes words collide. All of them at first. */
extern uint64_t search_word_hash_mask;
#endif

/* What a word and its fields add to a document's fingerprint. */
static inline uint64_t search_word_print(uint64_t hash, uint8_t fields)
{
    uint64_t mixed = (hash ^ fields * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return mixed ^ mixed >> 32;
}

/* The fingerprint of a document with these words. */
uint64_t search_words_fingerprint(const struct search_words *words);

#endif
