#include "search/search_view.h"

#include <stdlib.h>
#include <string.h>

static void release_slice(struct search_slice *slice)
{
    search_block_unref(slice->block);
    search_alive_unref(slice->alive);
}

static uint32_t live_of(const struct search_slice *slice)
{
    return search_alive_count(slice->alive, slice->block->section.documents);
}

static struct search_view *new_view(uint32_t count)
{
    struct search_view *view = calloc(1, sizeof *view + count * sizeof *view->slices);
    if (view)
        atomic_init(&view->references, 1);
    return view;
}

struct search_view *search_view_new(void)
{
    return new_view(0);
}

struct search_view *search_view_ref(struct search_view *view)
{
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    return view;
}

static void free_view(struct search_view *view)
{
    for (uint32_t i = 0; i < view->count; i++)
        release_slice(&view->slices[i]);
    free(view);
}

void search_view_unref(struct search_view *view)
{
    if (view && atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) == 1)
        free_view(view);
}

/* --- publishing --------------------------------------------------------------------------------------- */

/*
 * Of the word: addresses of user space have 48 bits at the most. The count is moved to `references` when it
 * has come to half of what there is room for: each thread does so before it takes another, so it would take
 * as many threads to overflow.
 */
enum { TAKEN_SHIFT = 48, TAKEN_MAX = 1 << 15 };

#define TAKEN_ONE (UINT64_C(1) << TAKEN_SHIFT)
#define PUBLISHED (INT64_C(1) << 40) /* what being published adds to `references` */

static struct search_view *view_of(uint64_t word)
{
    return (struct search_view *)(uintptr_t)(word & (TAKEN_ONE - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

static int64_t taken_of(uint64_t word)
{
    return (int64_t)(word >> TAKEN_SHIFT);
}

/* Somebody has a reference meanwhile. */
static void count(struct search_view *view, int64_t change)
{
    atomic_fetch_add_explicit(&view->references, change, memory_order_acq_rel);
}

static uint64_t word_for(struct search_view *view)
{
    if (view) /* the caller's reference is the slot's now */
        count(view, PUBLISHED - 1);
    return (uint64_t)(uintptr_t)view;
}

void search_view_publish_first(struct search_view_slot *slot, struct search_view *view)
{
    atomic_init(&slot->word, word_for(view));
}

/* Who is counted twice for a moment is no harm, who is not counted would be. */
static void count_taken(struct search_view_slot *slot, struct search_view *view)
{
    unsigned long long word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    while (view_of(word) == view && taken_of(word) >= TAKEN_MAX) {
        int64_t taken = taken_of(word);
        count(view, taken);
        if (atomic_compare_exchange_strong_explicit(&slot->word, &word, (uint64_t)(uintptr_t)view,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return;
        count(view, -taken);
    }
}

struct search_view *search_view_take(struct search_view_slot *slot)
{
    uint64_t word = atomic_fetch_add_explicit(&slot->word, TAKEN_ONE, memory_order_acq_rel);
    struct search_view *view = view_of(word);
    if (taken_of(word) >= TAKEN_MAX)
        count_taken(slot, view);
    return view;
}

void search_view_publish(struct search_view_slot *slot, struct search_view *view)
{
    uint64_t old = atomic_exchange_explicit(&slot->word, word_for(view), memory_order_acq_rel);
    struct search_view *former = view_of(old);
    if (!former)
        return;
    count(former, taken_of(old) - PUBLISHED + 1);
    search_view_unref(former);
}

struct search_view *search_view_peek(const struct search_view_slot *slot)
{
    return view_of(atomic_load_explicit(&slot->word, memory_order_acquire));
}

/* --- cases -------------------------------------------------------------------------------------------- */

/* Newest first: what has changed lately changes again. */
static bool find(const struct search_slice *slices, uint32_t count, int64_t number, uint32_t *ret_slice,
                 uint32_t *ret_document)
{
    for (uint32_t i = count; i-- > 0;) {
        const struct search_section *section = &slices[i].block->section;
        if (number < section->numbers[section->by_number[0]] ||
            number > section->numbers[section->by_number[section->documents - 1]])
            continue;
        uint32_t at = search_section_from_number(section, number), document = section->by_number[at];
        if (section->numbers[document] == number && search_alive_has(slices[i].alive, document)) {
            *ret_slice = i;
            *ret_document = document;
            return true;
        }
    }
    return false;
}

bool search_view_find(const struct search_view *view, int64_t number, uint32_t *ret_slice,
                      uint32_t *ret_document)
{
    return find(view->slices, view->count, number, ret_slice, ret_document);
}

uint64_t search_view_bytes(const struct search_view *view)
{
    uint64_t bytes = sizeof *view + view->count * sizeof *view->slices;
    for (uint32_t i = 0; i < view->count; i++) {
        const struct search_alive *alive = view->slices[i].alive;
        bytes += sizeof(struct search_block) + view->slices[i].block->section.size;
        bytes += alive ? sizeof *alive + alive->documents / 8 : 0;
    }
    return bytes;
}

uint64_t search_view_words(const struct search_view *view)
{
    uint64_t words = 0;
    for (uint32_t i = 0; i < view->count; i++)
        words += view->slices[i].block->section.word_count;
    return words;
}

/* --- drafts ------------------------------------------------------------------------------------------- */

static bool reserve(struct search_draft *draft, uint32_t count)
{
    if (count <= draft->size)
        return true;
    struct search_slice *grown = reallocarray(draft->slices, count + 8, sizeof *grown);
    if (!grown)
        return false;
    draft->slices = grown;
    draft->size = count + 8;
    return true;
}

bool search_draft_init(struct search_draft *draft, const struct search_view *view)
{
    *draft = (struct search_draft){0};
    if (!reserve(draft, view->count + 1))
        return false;
    for (uint32_t i = 0; i < view->count; i++) {
        draft->slices[i] = view->slices[i];
        search_block_ref(draft->slices[i].block);
        search_alive_ref(draft->slices[i].alive);
    }
    draft->count = view->count;
    return true;
}

void search_draft_release(struct search_draft *draft)
{
    for (uint32_t i = 0; i < draft->count; i++)
        release_slice(&draft->slices[i]);
    free(draft->slices);
    *draft = (struct search_draft){0};
}

bool search_draft_add(struct search_draft *draft, struct search_block *block, struct search_alive *alive)
{
    struct search_slice slice = {.block = block, .alive = alive};
    if (!reserve(draft, draft->count + 1)) {
        release_slice(&slice);
        return false;
    }
    const struct search_section *section = &block->section;
    for (uint32_t i = 0; i < section->documents; i++)
        slice.postings += search_alive_has(alive, i) ? section->posting_counts[i] : 0;
    draft->slices[draft->count++] = slice;
    return true;
}

bool search_draft_kill(struct search_draft *draft, uint32_t slice, uint32_t document)
{
    struct search_slice *killed = &draft->slices[slice];
    const struct search_section *section = &killed->block->section;
    /* The view that the draft was made of is kept by its account: what it shares has two references. */
    if (!killed->alive || atomic_load_explicit(&killed->alive->references, memory_order_acquire) > 1) {
        struct search_alive *copy = search_alive_copy(killed->alive, section->documents);
        if (!copy)
            return false;
        search_alive_unref(killed->alive);
        killed->alive = copy;
    }
    if (!search_alive_kill(killed->alive, document))
        return false;
    killed->postings -= section->posting_counts[document];
    return true;
}

void search_draft_remove(struct search_draft *draft, uint32_t slice)
{
    release_slice(&draft->slices[slice]);
    draft->count--;
    memmove(draft->slices + slice, draft->slices + slice + 1, (draft->count - slice) * sizeof *draft->slices);
}

bool search_draft_find(const struct search_draft *draft, uint32_t count, int64_t number, uint32_t *ret_slice,
                       uint32_t *ret_document)
{
    return find(draft->slices, count, number, ret_slice, ret_document);
}

struct search_view *search_draft_finish(struct search_draft *draft)
{
    for (uint32_t i = draft->count; i-- > 0;)
        if (live_of(&draft->slices[i]) == 0)
            search_draft_remove(draft, i);
    struct search_view *view = new_view(draft->count);
    if (!view) {
        search_draft_release(draft);
        return NULL;
    }
    for (uint32_t i = 0; i < draft->count; i++) {
        view->slices[i] = draft->slices[i];
        view->live += live_of(&draft->slices[i]);
        view->postings += draft->slices[i].postings;
    }
    view->count = draft->count;
    free(draft->slices);
    *draft = (struct search_draft){0};
    return view;
}
