#ifndef CASEWORK_BENCH_SEARCH_DATA_H
#define CASEWORK_BENCH_SEARCH_DATA_H

/*
 * The files that all sides of the search benchmark read, made by search_corpus. Lines of fields between tabs;
 * words are folded, each once, one space between two.
 *
 *     cases.tsv     account, number, update time (µs), status, contact, subject, words; oldest first: the
 * line's place, from 0, is the document queries.tsv   class, account, words, the rarest first. Classes are
 * together. updates.tsv   kind, document, account, number, status, contact, subject, words: the case as it is
 * afterwards. Kinds are together; of kind `delete` the case goes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEARCH_DATA_NAME = 32 };

struct search_data_case {
    char kind[SEARCH_DATA_NAME]; /* of updates; "" for cases */
    int64_t document;
    int account;
    int64_t number, update_time_us;
    int status;
    int64_t contact;
    const char *subject, *words; /* the reader's, until the next line */
};

struct search_data_query {
    char name[SEARCH_DATA_NAME]; /* the class */
    int account;
    char **words; /* NULL at the end */
    size_t word_count;
};

typedef struct search_data_reader search_data_reader;

/* `file`: cases.tsv or updates.tsv of the folder `data`. NULL after saying why. */
search_data_reader *search_data_open(const char *data, const char *file);
bool search_data_next(search_data_reader *reader, struct search_data_case *ret_case);
bool search_data_previous(search_data_reader *reader, struct search_data_case *ret_case); /* from the end */
int64_t search_data_count(const search_data_reader *reader);                              /* lines */
void search_data_close(search_data_reader *reader);

/* All queries, until the program ends. */
struct search_data_query *search_data_queries(const char *data, size_t *ret_count);

#endif
