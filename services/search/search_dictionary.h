#ifndef CASEWORK_SEARCH_DICTIONARY_H
#define CASEWORK_SEARCH_DICTIONARY_H

/*
 * The dictionary of a section: words and keys in order of (search_word_hash, text), packed one behind the
 * other. The directory tells by the hash's highest bits where to look; a few lie together there.
 *
 *     u8 length (255: u32 length follows), the text, varint number × 4 + kind, and by kind:
 *     single    number: the document; u8 fields
 *     list      number: the list's place in LISTS, by eights; varint count of documents
 *     few       number: count of documents; u8 fields; u8 size of: the first document, then distances,
 * varints mixed     number: count of documents; u8 size of: the same; u8 fields of each
 *
 * Varints are LEB128. Most words of a section stand in a few of its documents: they need no list.
 */

#include "search/search_section.h"

enum search_term_kind { SEARCH_TERM_SINGLE, SEARCH_TERM_LIST, SEARCH_TERM_FEW, SEARCH_TERM_MIXED };

/* Documents that a dictionary holds itself, at most. */
enum { SEARCH_TERM_FEW_MAX = 20 };

/* An entry, taken apart. */
struct search_term {
    const char *text; /* begins with a NUL: a key. Not terminated */
    size_t length;
    enum search_term_kind kind;
    uint32_t count;              /* of documents */
    uint32_t where;              /* the document, or the list's place by eights */
    uint8_t fields;              /* of a single one or few */
    const unsigned char *packed; /* of few or mixed ones: the documents */
    uint32_t packed_size;
};

/* False: no document of the section has it. Words of equal hashes are told apart by their bytes. */
bool search_dictionary_find(const struct search_section *section, uint64_t hash, const char *text,
                            size_t length, struct search_term *ret_term);

/* Takes the entry at `at` apart and returns where the next one is: from section->terms on, terms_size bytes.
 */
const unsigned char *search_dictionary_read(const unsigned char *at, struct search_term *ret_term);

/* Unpacks the documents, and their fields, of a term that is not a list into arrays of `count`. */
void search_dictionary_unpack(const struct search_term *term, uint32_t *documents, uint8_t *fields);

/* False: an entry that does not lie in its bucket, or names documents that do not exist. */
bool search_dictionary_check(const struct search_section *section);

#endif
