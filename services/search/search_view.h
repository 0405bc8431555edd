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
    atomic_llong references;
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

/* --- where the present view is published --- */

/*
 * Taking the published view is one atomic addition, without a lock: the word holds the view's address and, in
 * the bits above, how many have taken it here and are not counted in `references` yet. They are counted when
 * another view takes its place (after "Differential reference counting", Williams, "C++ Concurrency in
 * Action", 2019, 7.2.4). Those who give a view back do not come here; until its takers are counted, being
 * published counts more than all of them.
 */
struct search_view_slot {
    atomic_ullong word;
};

/* Takes the view over. */
void search_view_publish_first(struct search_view_slot *slot, struct search_view *view);

/* The present view, to be given back. */
struct search_view *search_view_take(struct search_view_slot *slot);

/* Takes the view over and gives back the former one. NULL: the last one. One thread at a time. */
void search_view_publish(struct search_view_slot *slot, struct search_view *view);

/* The present view, for those who publish. */
struct search_view *search_view_peek(const struct search_view_slot *slot);

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
