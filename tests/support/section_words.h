#ifndef CASEWORK_TESTS_SUPPORT_SECTION_WORDS_H
#define CASEWORK_TESTS_SUPPORT_SECTION_WORDS_H

/*
 * The words in the search index's files, whatever refers to them: a reader of its own of what
 * services/search/search_section.h and search_dictionary.h describe, which shares no code with the index. In
 * most sections words are not written as they are, so that looking for them in the bytes finds nothing.
 */

#include <stdbool.h>
#include <stddef.h>

/* A word or a key of a filter, which begins with a NUL; not terminated. */
typedef void section_word(void *context, const char *word, size_t length);

struct section_files {
    size_t sections, spelled; /* how many there are, and how many of them spell their words otherwise */
    size_t stray;             /* bytes other than zero outside all sections */
};

/* Tells every word of every section in the directory's files. False when files change meanwhile: what was
 * told is not all. A file that makes no sense though nobody writes is told in the same way. */
bool section_words_read(const char *directory, section_word *take, void *context,
                        struct section_files *ret_files);

#endif
