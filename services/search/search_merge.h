#ifndef CASEWORK_SEARCH_MERGE_H
#define CASEWORK_SEARCH_MERGE_H

/* Makes one section of several, without what has died. */

#include "search/search_alive.h"
#include "search/search_block.h"

enum { SEARCH_MERGE_MAX = 64 };

struct search_merge_source {
    const struct search_section *section;
    const struct search_alive *alive;
    uint32_t *map; /* old document → new one; UINT32_MAX: dead. Filled by the merge, owned by the source */
};

/* Called every so often with the bytes written since; may wait. False gives the merge up. */
struct search_pace {
    bool (*step)(void *context, size_t bytes);
    void *context;
};

/*
 * No case is alive in two of the sources, and at least one is alive; at most SEARCH_MERGE_MAX sources, whose
 * order is no matter. `pace` may be NULL. CANCELLED when it gave the merge up.
 */
bool search_merge_run(struct search_merge_source *sources, size_t count, const struct search_pace *pace,
                      struct search_block **ret_block, error *err) __attribute__((warn_unused_result));

/* Gives the maps back. */
void search_merge_release(struct search_merge_source *sources, size_t count);

#endif
