#ifndef CASEWORK_SEARCH_SCAN_H
#define CASEWORK_SEARCH_SCAN_H

/* Intersecting the lists of a plan, chunk by chunk. */

#include "search/search_plan.h"

/* How many documents match, within the time that counts. */
uint64_t search_scan_count(const struct search_plan *plan);

/* The first `limit` matches of [first, end), or the last ones when descending, in that order. */
uint32_t search_scan_walk(const struct search_plan *plan, uint32_t first, uint32_t end, bool descending,
                          uint32_t limit, uint32_t *ret_documents);

#endif
