#ifndef CASEWORK_SEARCH_WRITER_H
#define CASEWORK_SEARCH_WRITER_H

/*
 * Writes a section: first its documents in their order, then its terms in theirs. For the builder and the
 * merge, which know what comes in which order.
 */

#include "search/search_block.h"

enum { SEARCH_WRITER_OWNERS = 256 };

struct search_writer_place {
    uint32_t top; /* the highest bits of its hash */
    uint32_t offset;
};

struct search_writer {
    struct search_buffer block;        /* header, columns, lists; the other parts follow at the end */
    struct search_buffer texts, terms; /* terms as they are, until all are there */
    struct search_buffer places;       /* struct search_writer_place, a term */
    uint32_t documents, words;
    unsigned statuses;
    bool failed; /* memory is out, or the section too large; nothing more is done then */
    struct {
        uint64_t hash;
        uint32_t text;
    } owners[SEARCH_WRITER_OWNERS]; /* where those seen lately are, plus one */
};

/* What is told of a document besides its words. */
struct search_row {
    int64_t number, position, time_us;
    uint64_t fingerprint;
    uint32_t posting_count;
    uint8_t state;
    const char *subject, *owner;
};

/* Starts on a section of `documents` documents, at least one. */
void search_writer_init(struct search_writer *writer, uint32_t documents);
void search_writer_release(struct search_writer *writer);

void search_writer_set(struct search_writer *writer, uint32_t document, const struct search_row *row);

/* The columns BY_NUMBER, BY_SUBJECT and SUBJECT_RANKS are the caller's to fill; NULL when it has failed.
 * Valid until a term is added. */
uint32_t *search_writer_column(struct search_writer *writer, enum search_part part);

/* Terms in order of (hash, text). `count` documents in order, at least one, and their fields. */
void search_writer_add(struct search_writer *writer, uint64_t hash, const char *text, size_t length,
                       const uint32_t *documents, const uint8_t *fields, uint32_t count);

/* The section. NULL when anything has failed. Releases the writer. */
struct search_block *search_writer_finish(struct search_writer *writer);

#endif
