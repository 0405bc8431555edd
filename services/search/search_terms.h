#ifndef CASEWORK_SEARCH_TERMS_H
#define CASEWORK_SEARCH_TERMS_H

/*
 * The dictionary of one account: term → posting list. A list holds document numbers, ascending, and with each
 * the fields in which the term stands. Numbers are given out in order of update, so that lists only grow at
 * their end; a document that was replaced stays in them as a dead number until a list has more dead than
 * living ones. A term that occurs once holds its one posting itself. Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEARCH_TERM_NONE UINT32_MAX

struct search_term {
    uint64_t hash;
    char *text; /* owned; NULL: the slot is free, `live` is the next free one */
    uint32_t length;
    uint32_t live;  /* living documents in the list */
    uint32_t count; /* all of them */
    uint32_t size;  /* room; 0: the posting is in `single` */
    uint32_t single;
    uint8_t single_fields;
    uint32_t *documents; /* `size` numbers, then `size` bytes of fields; owned */
};

struct search_terms {
    struct search_term *terms;
    uint32_t count, size, first_free;
    uint32_t *slots; /* open addressing, term + 1; a power of two */
    uint32_t slot_count;
    uint32_t live;       /* terms in the dictionary */
    uint32_t live_words; /* without those that start with a NUL */
    size_t bytes;        /* memory of terms, texts and lists */
};

/* A posting list to read. Valid until the next change of the dictionary. */
struct search_postings {
    const uint32_t *documents;
    const uint8_t *fields;
    uint32_t count;
};

void search_terms_init(struct search_terms *terms);
void search_terms_release(struct search_terms *terms);

/* SEARCH_TERM_NONE when it is not there. */
uint32_t search_terms_find(const struct search_terms *terms, uint64_t hash, const char *text, size_t length);

/*
 * Finds or adds, with room for one more posting, so that search_terms_append cannot fail. SEARCH_TERM_NONE:
 * no memory. A term that is added and gets no posting is to be given to search_terms_discard_empty.
 */
uint32_t search_terms_reserve(struct search_terms *terms, uint64_t hash, const char *text, size_t length);
void search_terms_append(struct search_terms *terms, uint32_t term, uint32_t document, uint8_t fields);
void search_terms_discard_empty(struct search_terms *terms, uint32_t term);

/* One of the term's documents has died. `is_dead` tells which have, should it be time to clean up. */
void search_terms_forget(struct search_terms *terms, uint32_t term, bool (*is_dead)(const void *, uint32_t),
                         const void *context);

/* Gives all documents their new numbers; `map` keeps the order and says UINT32_MAX for dead ones. */
void search_terms_renumber(struct search_terms *terms, const uint32_t *map);

struct search_postings search_terms_postings(const struct search_terms *terms, uint32_t term);

#endif
