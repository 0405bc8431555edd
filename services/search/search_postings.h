#ifndef CASEWORK_SEARCH_POSTINGS_H
#define CASEWORK_SEARCH_POSTINGS_H

/*
 * Posting lists: in which documents a term stands, and in which fields of each. After Roaring bitmaps
 * (Lemire, Kaser, Kurz, "Consistently faster and smaller compressed bitmaps with Roaring", 2016): chunks of
 * 2^16 documents, each a sorted array of u16 or a bitmap, whichever is smaller. A list of few documents is
 * one sorted array of u32.
 *
 *     u8 kind, u8 fields, u16 chunks, u32 exceptions
 *     plain:    u32 × count documents, u32 × exceptions documents, u8 × exceptions fields
 *     chunked:  chunks × {u16 key, u16 count - 1, u32 offset from the list's start}, the exceptions as above,
 *               then arrays and bitmaps, each from a multiple of eight
 *     packed:   search_packed.h, u8 × exceptions indices of documents, u8 × exceptions fields
 *
 * Most documents have a word in the same fields: `fields` are those; the others are exceptions.
 */

#include "base/arena.h"
#include "search/search_dictionary.h"

enum { SEARCH_LIST_PLAIN = 0, SEARCH_LIST_CHUNKED = 1, SEARCH_LIST_PACKED = 2 };

enum { SEARCH_LIST_PACKED_MAX = 256 }; /* documents of a packed one */

struct search_list_header {
    uint8_t kind, fields;
    uint16_t chunks;
    uint32_t exceptions;
};

struct search_chunk {
    uint16_t key, last; /* the documents' upper bits; how many there are, less one */
    uint32_t offset;
};

/* A list to read. */
struct search_postings {
    uint32_t count;
    uint32_t section_documents;
    uint8_t fields;
    uint16_t chunk_count;
    uint32_t exception_count;
    const unsigned char *base;         /* the list, when it is chunked */
    const uint32_t *documents;         /* when it is not; else NULL */
    const struct search_chunk *chunks; /* by key */
    const uint32_t *exceptions;        /* documents in order */
    const uint8_t *exception_fields;
};

/* The documents of a list within one chunk. */
struct search_container {
    enum { SEARCH_NONE, SEARCH_WIDE, SEARCH_NARROW, SEARCH_BITS } kind;
    uint32_t count;
    union {
        const uint32_t *wide;   /* whole document numbers */
        const uint16_t *narrow; /* their lower bits */
        const uint64_t *bits;
    };
};

/* What is packed, in the dictionary or in a list, is unpacked in `memory`; false when that is full. */
bool search_postings_read(const struct search_section *section, const struct search_term *term, arena *memory,
                          struct search_postings *ret_postings) __attribute__((warn_unused_result));

/* All documents of a term and their fields into arrays of its `count`. */
void search_postings_unpack(const struct search_section *section, const struct search_term *term,
                            uint32_t *documents, uint8_t *fields);

/* The fields in which a document has a term; 0: it does not. */
uint8_t search_postings_fields_of(const struct search_section *section, const struct search_term *term,
                                  uint32_t document);

/* False: there is no list of `count` documents, it lies about itself, or names documents that do not exist.
 */
bool search_postings_check(const struct search_section *section, uint32_t where, uint32_t count);

/* Words of a chunk's bitmap, of a section with so many documents: the last one's is shorter. */
static inline uint32_t search_chunk_words(uint32_t documents, uint32_t chunk)
{
    uint32_t left = documents - (chunk << SEARCH_CHUNK_BITS);
    return left < SEARCH_CHUNK_SIZE ? (left + 63) / 64 : SEARCH_CHUNK_WORDS;
}

/* Whether so many documents of a chunk are an array: when that has no more than half of a bitmap's size. */
static inline bool search_chunk_is_array(uint32_t words, uint32_t count)
{
    return count <= words * 2;
}

struct search_container search_postings_container(const struct search_postings *postings, uint32_t chunk);

bool search_container_has(const struct search_container *container, uint32_t document);
bool search_postings_has(const struct search_postings *postings, uint32_t document);

/* The fields of a document that is in the list. */
uint8_t search_postings_fields(const struct search_postings *postings, uint32_t document);

/* The same, looking from *near on, which is where the last one was looked for; any number at first. */
uint8_t search_postings_fields_near(const struct search_postings *postings, uint32_t document,
                                    uint32_t *near);

/* The first index in [from, to) that is not below the value; `to` when there is none. */
uint32_t search_lower_bound(const uint32_t *values, uint32_t from, uint32_t to, uint32_t value);
uint32_t search_lower_bound_narrow(const uint16_t *values, uint32_t from, uint32_t to, uint32_t value);

#endif
