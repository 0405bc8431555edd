#ifndef CASEWORK_SEARCH_PLAN_H
#define CASEWORK_SEARCH_PLAN_H

/* A query as it is asked of one section: the lists that its documents must all be in, and what else counts.
 */

#include "base/arena.h"
#include "search/search_postings.h"
#include "search/search_query.h"
#include "search/search_view.h"
#include "search/search_words.h"

/* Words and filters of a query: owner, channel, label. */
enum { SEARCH_TERMS_MAX = SEARCH_QUERY_WORDS_MAX + 3 };

/* A word or filter of the query. */
struct search_wanted {
    uint64_t hash;
    const char *text;
    size_t length;
};

/* The words of a query, in its order, then its filters. */
struct search_terms {
    size_t count, word_count;
    struct search_wanted wanted[SEARCH_TERMS_MAX];
};

struct search_plan {
    const struct search_section *section;
    const struct search_alive *alive;
    struct search_postings *words; /* as they are, in the query's order */
    uint32_t *near;                /* of each: where the fields of a result were found last */
    struct search_postings *lists; /* what can match, words and filters, rarest first */
    size_t list_count;
    const struct search_postings *
        *limited; /* lists of which not every document has the word in a field that counts */
    size_t limited_count;
    size_t word_count;
    uint8_t fields;
    unsigned statuses;   /* wanted ones that occur */
    bool check_statuses; /* others occur as well */
    uint32_t first, end; /* documents within the time that counts */
};

/* Filters are in `memory`; false when that is full. */
bool search_terms_read(const struct search_query *query, arena *memory, struct search_terms *ret_terms)
    __attribute__((warn_unused_result));

/* *ret_plan is NULL when nothing of the section can match. False: memory is full. */
bool search_plan_make(const struct search_query *query, const struct search_terms *terms,
                      const struct search_slice *slice, arena *memory, struct search_plan **ret_plan)
    __attribute__((warn_unused_result));

/* Status, and life. */
static inline bool search_plan_wants(const struct search_plan *plan, uint32_t document)
{
    return search_alive_has(plan->alive, document) &&
           (!plan->check_statuses ||
            (plan->statuses & SEARCH_STATUS_BIT(search_section_status(plan->section, document))));
}

/* Of a document that all lists have: whether each word stands in a field that counts. */
bool search_plan_has_fields(const struct search_plan *plan, uint32_t document);

/* Everything. */
bool search_plan_matches(const struct search_plan *plan, uint32_t document);

#endif
