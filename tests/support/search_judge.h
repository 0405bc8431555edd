#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_JUDGE_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_JUDGE_H

/*
 * Judges what a running search service answers by reading the cases through the methods that clients read
 * with, and searching them with the plain reader. Picks with rand().
 */

#include "tests/support/plain_search.h"
#include "tests/support/suite.h"

enum { SEARCH_JUDGE_WORD_SIZE = 200 };

/* An account as it was read. */
struct search_judge {
    const char *account; /* its name */
    int64_t position;    /* before it was read */
    struct plain_reader *reader;
    struct search_document *documents;
    size_t count;
};

/*
 * The cases with numbers up to `last`; 0: those that are listed, which leaves out deleted and merged ones.
 * Documents live in `memory`, `account` must outlive them.
 */
void search_judge_read(suite *s, const char *account, int last, arena *memory,
                       struct search_judge *ret_judge);
void search_judge_release(struct search_judge *judge);

/*
 * Asks for all pages: set, order, total, words, matches, position and what is told of each case must be those
 * of the plain reader. The first difference in words, static until the next call; NULL: none. `ret_count`:
 * how many cases there are.
 */
const char *search_judge_compare(suite *s, const struct search_judge *judge, const struct plain_query *query,
                                 int page_size, size_t *ret_count);

/* The same with order, filters, fields and size of pages picked; most queries have one filter or none. */
const char *search_judge_ask(suite *s, const struct search_judge *judge, const char *text, size_t *ret_count);

/* In each of the three orders both ways, with filters and fields picked for each. */
const char *search_judge_ask_in_all_orders(suite *s, const struct search_judge *judge, const char *text,
                                           size_t *ret_count);

/* A piece of some text between spaces, as it was written: one word, several, or none. There must be cases. */
void search_judge_pick_word(const struct search_judge *judge, char word[SEARCH_JUDGE_WORD_SIZE]);

#endif
