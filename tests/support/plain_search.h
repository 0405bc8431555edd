#ifndef CASEWORK_TESTS_SUPPORT_PLAIN_SEARCH_H
#define CASEWORK_TESTS_SUPPORT_PLAIN_SEARCH_H

/*
 * The judge of search: a reader that goes through all cases for every query, by the rules as they are
 * written, character by character. Shares no code with the index or with lib/text. Slow. Aborts when memory
 * is out.
 */

#include "search/search_document.h"

enum { PLAIN_WORDS_MAX = 64 };

struct plain_query {
    const char *text;
    unsigned fields;                     /* bits 1 << (field - 1); 0: all */
    unsigned statuses;                   /* bits 1 << status; 0: all but deleted */
    const char *owner, *channel, *label; /* NULL: any */
    int64_t start_time_us, end_time_us;  /* 0: open */
    char order;                          /* 'u'pdate time, 's'ubject, s't'atus */
    int descending;
};

struct plain_result {
    int64_t number;
    unsigned fields[PLAIN_WORDS_MAX]; /* of each word of the query */
};

struct plain_answer {
    char *words[PLAIN_WORDS_MAX];
    size_t word_count;
    struct plain_result *results; /* all of them, in order */
    size_t count;
};

struct plain_reader;

struct plain_reader *plain_reader_new(void);
void plain_reader_free(struct plain_reader *reader);

/* Copies what it needs; replaces the case of the same number. */
void plain_reader_put(struct plain_reader *reader, const struct search_document *document);
void plain_reader_remove(struct plain_reader *reader, int64_t number);

void plain_reader_find(const struct plain_reader *reader, const struct plain_query *query,
                       struct plain_answer *ret_answer);
void plain_answer_release(struct plain_answer *answer);

#endif
