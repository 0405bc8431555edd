#ifndef CASEWORK_SEARCH_SELECT_H
#define CASEWORK_SEARCH_SELECT_H

/* The first matches of a section in one of the orders. */

#include "search/search_plan.h"

/* By the folded subject, or by case number alone. */
enum search_select_order { SEARCH_SELECT_SUBJECT, SEARCH_SELECT_NUMBER };

/*
 * The first `limit` matches behind the cursor (NULL: from the start) into `documents`, in order; `total` is
 * how many the plan has. *ret_count says how many there are. False: memory is full.
 */
bool search_select(const struct search_plan *plan, enum search_select_order order, bool descending,
                   const struct search_cursor *after, uint32_t limit, uint64_t total, arena *memory,
                   uint32_t *documents, uint32_t *ret_count) __attribute__((warn_unused_result));

/* The same by update time, without a look at all of them. `first` and `end` bound the documents. */
uint32_t search_select_latest(const struct search_plan *plan, bool descending,
                              const struct search_cursor *after, uint32_t limit, uint32_t *documents);

#endif
