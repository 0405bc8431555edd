#ifndef CASEWORK_SEARCH_DICTIONARY_H
#define CASEWORK_SEARCH_DICTIONARY_H

/* The dictionary of a section: words and keys, in order of their hashes (search_word_hash). */

#include "search/search_section.h"

/* NULL: no document of the section has it. Words of equal hashes are told apart by their bytes. */
const struct search_term *search_dictionary_find(const struct search_section *section, uint64_t hash,
                                                 const char *text, size_t length);

/* The bytes of a word; what begins with a NUL is a key. Not terminated. */
const char *search_dictionary_text(const struct search_section *section, const struct search_term *term,
                                   size_t *ret_length);

/* False: a text that does not lie in its part. */
bool search_dictionary_check_text(const struct search_section *section, uint32_t text);

#endif
