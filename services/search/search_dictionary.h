#ifndef CASEWORK_SEARCH_DICTIONARY_H
#define CASEWORK_SEARCH_DICTIONARY_H

/*
 * The dictionary of a section: words and keys in order of (search_word_hash, text), packed one behind the
 * other. The directory tells by the hash's highest bits where to look; a few lie together there.
 *
 *     u8 kind + 8 × length (31: a number follows, which is it), the text as search_spelling.h says, and by
 * kind: single    number: the document few       u8 size of: the first document, then distances, varints
 *     mixed     u8 size of: the same; u8 fields of each
 *     list      number: the list's place in LISTS, by eights; number: count of documents
 *
 * Numbers and varints are LEB128. Most words stand in messages only; a single one or few that do not are of
 * another kind, with u8 fields in front of what follows the text. Most words of a section stand in a few of
 * its documents: they need no list.
 */

#include "base/bytes.h"
#include "search/search_section.h"

/* Odd ones have fields of their own. */
enum search_term_kind {
    SEARCH_TERM_SINGLE = 0,
    SEARCH_TERM_SINGLE_ELSEWHERE = 1,
    SEARCH_TERM_FEW = 2,
    SEARCH_TERM_FEW_ELSEWHERE = 3,
    SEARCH_TERM_MIXED = 4,
    SEARCH_TERM_LIST = 6,
};

enum {
    SEARCH_TERM_KINDS = 7,
    SEARCH_TERM_KIND_BITS = 3,
    SEARCH_TERM_LONG = 31, /* bytes of a spelling that is told by a number */
};

/* Documents that a dictionary holds itself, at most. */
enum { SEARCH_TERM_FEW_MAX = 20 };

/* An entry, taken apart. */
struct search_term {
    const unsigned char *spelled;
    uint32_t spelled_length;
    enum search_term_kind kind;
    uint32_t count;              /* of documents */
    uint32_t where;              /* the document, or the list's place by eights */
    uint8_t fields;              /* unless they are mixed, or a list */
    const unsigned char *packed; /* of few or mixed ones: the documents */
    uint32_t packed_size;
};

/* False: no document of the section has it. Words of equal hashes are told apart by their bytes. */
bool search_dictionary_find(const struct search_section *section, uint64_t hash, const char *text,
                            size_t length, struct search_term *ret_term);

/* Takes the entry at `at` apart and returns where the next one is: from section->terms on, terms_size bytes.
 */
const unsigned char *search_dictionary_read(const unsigned char *at, struct search_term *ret_term);

/* Only the beginning of the entry: returns where its spelling is. */
const unsigned char *search_dictionary_head(const unsigned char *at, enum search_term_kind *ret_kind,
                                            uint32_t *ret_length);

/* The text of an entry: where it stands when it is not spelled otherwise, else in `room`. Begins with a NUL:
 * a key. Not terminated. False without memory. */
bool search_dictionary_text(const struct search_section *section, const struct search_term *term, bytes *room,
                            const char **ret_text, size_t *ret_length) __attribute__((warn_unused_result));

/* Unpacks the documents, and their fields, of a term that is not a list into arrays of `count`. */
void search_dictionary_unpack(const struct search_term *term, uint32_t *documents, uint8_t *fields);

/* False: an entry that does not lie in its bucket, or names documents that do not exist. */
bool search_dictionary_check(const struct search_section *section);

#endif
