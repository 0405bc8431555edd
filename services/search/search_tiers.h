#ifndef CASEWORK_SEARCH_TIERS_H
#define CASEWORK_SEARCH_TIERS_H

/* Which sections of an account are due to become one. */

#include "search/search_view.h"

enum {
    SEARCH_TIER_RATIO = 4,         /* sections of a tier are at most that many times as large as each other */
    SEARCH_TIER_SECTIONS = 4,      /* so many of a tier become one */
    SEARCH_TIERS_AT_ONCE = 1 << 11 /* documents that a writer merges itself */
};

/*
 * The slices that are due, as indices in order: those of a tier that is full and of all below it, or of one
 * of which most documents are dead. 0: none. `busy` ones are left alone. Together they have at most
 * `documents_max` living documents.
 */
uint32_t search_tiers_pick(const struct search_slice *slices, uint32_t count, uint32_t documents_max,
                           bool (*busy)(const void *context, const struct search_block *block),
                           const void *context, uint32_t *ret_picked, uint32_t room);

/*
 * The slices that would make few of many, for an account that rests: the smallest ones that together have a
 * quarter of the next larger one. 0: each is more than four times as large as all smaller ones together.
 */
uint32_t search_tiers_tidy(const struct search_slice *slices, uint32_t count, uint32_t documents_max,
                           uint32_t *ret_picked, uint32_t room);

#endif
