#ifndef CASEWORK_SEARCH_QUERY_H
#define CASEWORK_SEARCH_QUERY_H

/* What is asked of an account's index, and the answer. */

#include "base/arena.h"
#include "base/error.h"
#include "search/search_document.h"

struct search_view;

enum { SEARCH_QUERY_BYTES_MAX = 4096, SEARCH_QUERY_WORDS_MAX = 64 };

enum search_order { SEARCH_ORDER_UPDATE_TIME, SEARCH_ORDER_SUBJECT, SEARCH_ORDER_STATUS };

/* A place between two results: of the order's own values only the one that the order is by counts. */
struct search_cursor {
    int64_t update_time_us;
    const char *subject_key;
    int status;
    int64_t number;
};

struct search_query {
    const char *const *words; /* folded, each once; none finds nothing */
    size_t word_count;
    uint8_t fields;                      /* where the words may stand */
    unsigned statuses;                   /* which ones are wanted */
    const char *owner, *channel, *label; /* ids, a whole label; NULL: any */
    int64_t start_time_us, end_time_us;  /* start inclusive, end exclusive */
    enum search_order order;
    bool descending;
    size_t limit;                      /* results wanted, at least 1 */
    const struct search_cursor *after; /* NULL: from the start */
    bool without_total;                /* the answer's total is not wanted */
};

struct search_result {
    int64_t number;
    int64_t update_time_us;
    int status;
    bool need_reply;
    const char *subject, *owner; /* of the view */
    const uint8_t *fields;       /* of each word of the query: where it stands */
};

/* What was found. It keeps the view that it was found in until it is released. */
struct search_answer {
    struct search_result *results; /* in order, once search_answer_read has been there */
    size_t count;
    uint64_t total; /* of all pages */
    bool more;
    struct search_cursor last; /* of the last result, when there are more */
    const struct search_hit *hits;
    const struct search_query *query;
    struct search_view *view;
};

/*
 * Folds and takes apart the text of a query; every word once, in order. INVALID_ARGUMENT beyond 4 KiB or 64
 * words. In `memory`.
 */
bool search_query_words(const char *text, arena *memory, const char *const **ret_words, size_t *ret_count,
                        error *err) __attribute__((warn_unused_result));

/*
 * Finds, and takes over a reference to the view, on failure too. What the answer needs is in `memory`.
 * RESOURCE_EXHAUSTED when that is full; then there is nothing to release.
 */
bool search_query_run(struct search_view *view, const struct search_query *query, arena *memory,
                      struct search_answer *ret_answer, error *err) __attribute__((warn_unused_result));

/* Looks up what the results are and where the words stand in them. In `memory`; false when that is full. */
bool search_answer_read(struct search_answer *answer, arena *memory) __attribute__((warn_unused_result));

/* The case of one of `count` results, without reading them all. */
int64_t search_answer_number(const struct search_answer *answer, size_t index);

/* Takes one that was never filled, too, if it is zeroed. */
void search_answer_release(struct search_answer *answer);

/*
 * How much there is to look at, at the most and roughly: a word of a bitmap is one, and so is a document that
 * is looked at by itself. A thousand take about a microsecond.
 */
uint64_t search_query_cost(const struct search_view *view, const struct search_query *query);

#endif
