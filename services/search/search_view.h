#ifndef CASEWORK_SEARCH_VIEW_H
#define CASEWORK_SEARCH_VIEW_H

/*
 * An account as it is at one moment: sections, and what is alive in each. A case is alive in one of them at
 * the most. Immutable and shared by counting references: whoever has one reads without a lock, whatever is
 * written meanwhile. A change makes a draft of the present view and publishes it as a whole.
 */

#include "search/search_alive.h"
#include "search/search_block.h"

struct search_slice {
    struct search_block *block;
    struct search_alive *alive; /* NULL: all */
    uint64_t postings;          /* of what is alive */
};

struct search_view {
    atomic_uint references;
    uint64_t live, postings;
    uint32_t count;
    struct search_slice slices[]; /* later ones were made later */
};

/* Without any case. NULL without memory. */
struct search_view *search_view_new(void);

struct search_view *search_view_ref(struct search_view *view);
void search_view_unref(struct search_view *view); /* takes NULL */

/* Where the case is. */
bool search_view_find(const struct search_view *view, int64_t number, uint32_t *ret_slice,
                      uint32_t *ret_document);

/* Memory held by the sections and bitmaps. */
uint64_t search_view_bytes(const struct search_view *view);

/* Dictionary entries: a word counts once in each section that has it. */
uint64_t search_view_words(const struct search_view *view);

/* --- changing --- */

struct search_draft {
    struct search_slice *slices; /* owned, with their references */
    uint32_t count, size;
};

/* On failure there is nothing to release. */
bool search_draft_init(struct search_draft *draft, const struct search_view *view)
    __attribute__((warn_unused_result));
void search_draft_release(struct search_draft *draft);

/* Takes the references over, on failure too. */
bool search_draft_add(struct search_draft *draft, struct search_block *block, struct search_alive *alive)
    __attribute__((warn_unused_result));

/* A document that is alive dies. */
bool search_draft_kill(struct search_draft *draft, uint32_t slice, uint32_t document)
    __attribute__((warn_unused_result));

void search_draft_remove(struct search_draft *draft, uint32_t slice);

/* Where the case is among the first `count` slices. */
bool search_draft_find(const struct search_draft *draft, uint32_t count, int64_t number, uint32_t *ret_slice,
                       uint32_t *ret_document);

/* The view, without sections of which nothing is alive. NULL without memory. Releases the draft. */
struct search_view *search_draft_finish(struct search_draft *draft);

#endif
