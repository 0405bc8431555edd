#include "search/search_account.h"

#include "base/injection.h"
#include "search/search_tiers.h"

#include <string.h>

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to index cases");
}

bool search_account_init(struct search_account *account, error *err)
{
    struct search_view *nothing = search_view_new();
    if (!nothing)
        return out_of_memory(err);
    *account = (struct search_account){.merging_count = 0};
    search_view_publish_first(&account->view, nothing);
    pthread_mutex_init(&account->merges, NULL);
    pthread_mutex_init(&account->writing, NULL);
    return true;
}

void search_account_release(struct search_account *account)
{
    search_view_publish(&account->view, NULL);
    pthread_mutex_destroy(&account->merges);
    pthread_mutex_destroy(&account->writing);
}

struct search_view *search_account_view(struct search_account *account)
{
    return search_view_take(&account->view);
}

void search_account_replace(struct search_account *account, struct search_view *view)
{
    pthread_mutex_lock(&account->writing);
    search_view_publish(&account->view, view);
    pthread_mutex_unlock(&account->writing);
}

static bool is_merging(const void *context, const struct search_block *block)
{
    const struct search_account *account = context;
    for (uint32_t i = 0; i < account->merging_count; i++)
        if (account->merging[i] == block)
            return true;
    return false;
}

/* --- a batch ------------------------------------------------------------------------------------------ */

/* Takes what was filed before out of the draft, or what was read earlier out of the new section, which is its
 * last one. */
static bool displace(struct search_draft *draft)
{
    uint32_t own = draft->count - 1;
    const struct search_section *section = &draft->slices[own].block->section;
    for (uint32_t document = 0; document < section->documents; document++) {
        uint32_t slice, old;
        if (!search_draft_find(draft, own, section->numbers[document], &slice, &old))
            continue;
        bool later = draft->slices[slice].block->section.positions[old] > section->positions[document];
        if (!search_draft_kill(draft, later ? own : slice, later ? document : old))
            return false;
    }
    return true;
}

static bool remove_cases(struct search_draft *draft, const int64_t *gone, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t slice, document;
        if (search_draft_find(draft, draft->count, gone[i], &slice, &document) &&
            !search_draft_kill(draft, slice, document))
            return false;
    }
    return true;
}

/* Small sections at once: there would be one for every change. Without memory they stay as they are. */
static void merge_small(const struct search_account *account, struct search_draft *draft)
{
    uint32_t picked[SEARCH_MERGE_MAX], count;
    while ((count = search_tiers_pick(draft->slices, draft->count, SEARCH_TIERS_AT_ONCE, is_merging, account,
                                      picked, SEARCH_MERGE_MAX)) > 0) {
        struct search_merge_source sources[SEARCH_MERGE_MAX];
        struct search_block *merged = NULL;
        uint32_t live = 0;
        for (uint32_t i = 0; i < count; i++) {
            const struct search_slice *slice = &draft->slices[picked[i]];
            sources[i] =
                (struct search_merge_source){.section = &slice->block->section, .alive = slice->alive};
            live += search_alive_count(slice->alive, slice->block->section.documents);
        }
        error err;
        bool done = live == 0 || search_merge_run(sources, count, NULL, &merged, &err);
        search_merge_release(sources, count);
        if (!done || (merged && !search_draft_add(draft, merged, NULL)))
            return;
        for (uint32_t i = count; i-- > 0;)
            search_draft_remove(draft, picked[i]);
    }
}

static bool is_due(const struct search_account *account)
{
    uint32_t picked[SEARCH_MERGE_MAX];
    const struct search_view *view = search_view_peek(&account->view);
    return search_tiers_pick(view->slices, view->count, SEARCH_SECTION_DOCUMENTS_MAX, is_merging, account,
                             picked, SEARCH_MERGE_MAX) > 0;
}

/* With `writing`. Takes the block over. */
static bool apply(struct search_account *account, struct search_block *block, const int64_t *gone,
                  size_t gone_count)
{
    struct search_draft draft;
    if (!search_draft_init(&draft, search_view_peek(&account->view))) {
        search_block_unref(block);
        return false;
    }
    if (!remove_cases(&draft, gone, gone_count)) {
        search_block_unref(block);
        search_draft_release(&draft);
        return false;
    }
    if (block && (!search_draft_add(&draft, block, NULL) || !displace(&draft))) {
        search_draft_release(&draft);
        return false;
    }
    merge_small(account, &draft);
    struct search_view *view = search_draft_finish(&draft);
    if (view)
        search_view_publish(&account->view, view);
    return view;
}

bool search_account_apply(struct search_account *account, struct search_block *block, const int64_t *gone,
                          size_t gone_count, bool *ret_due, error *err)
{
    pthread_mutex_lock(&account->writing);
    bool done = apply(account, block, gone, gone_count);
    bool due = done && account->merging_count == 0 && is_due(account);
    pthread_mutex_unlock(&account->writing);
    if (!done)
        return out_of_memory(err);
    *ret_due = due;
    return true;
}

/* --- merging aside ------------------------------------------------------------------------------------ */

/* A merge while it runs: its sources as they were at its beginning. */
struct merging {
    struct search_view *view;
    struct search_merge_source sources[SEARCH_MERGE_MAX];
    uint32_t count;
};

/* With `writing`. */
static void begin(struct search_account *account, struct merging *merging, const uint32_t *picked,
                  uint32_t count)
{
    struct search_view *view = merging->view = search_view_ref(search_view_peek(&account->view));
    merging->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct search_slice *slice = &view->slices[picked[i]];
        merging->sources[i] =
            (struct search_merge_source){.section = &slice->block->section, .alive = slice->alive};
        account->merging[i] = slice->block;
    }
    account->merging_count = count;
}

/* What has died in a source since the merge began dies in its result, which is the draft's last slice. */
static bool carry_deaths(struct search_draft *draft, const struct search_merge_source *source,
                         const struct search_alive *now)
{
    uint32_t documents = source->section->documents;
    for (uint32_t i = 0; i < documents; i++) {
        uint32_t chunk = i >> SEARCH_CHUNK_BITS;
        if (search_alive_bits(source->alive, chunk) == search_alive_bits(now, chunk)) {
            i |= SEARCH_CHUNK_SIZE - 1;
            continue;
        }
        if (search_alive_has(source->alive, i) && !search_alive_has(now, i) &&
            !search_draft_kill(draft, draft->count - 1, source->map[i]))
            return false;
    }
    return true;
}

static uint32_t slice_of(const struct search_draft *draft, const struct search_section *section)
{
    uint32_t slice = 0;
    while (slice < draft->count && &draft->slices[slice].block->section != section)
        slice++;
    return slice;
}

/* False also when a source is no longer there: the account has been emptied, or built anew. */
static bool replace_sources(struct search_draft *draft, const struct merging *merging,
                            struct search_block *merged)
{
    if (!search_draft_add(draft, merged, NULL))
        return false;
    for (uint32_t i = 0; i < merging->count; i++) {
        uint32_t slice = slice_of(draft, merging->sources[i].section);
        if (slice == draft->count || !carry_deaths(draft, &merging->sources[i], draft->slices[slice].alive))
            return false;
        search_draft_remove(draft, slice);
    }
    return true;
}

static void exchange(struct search_account *account, const struct merging *merging,
                     struct search_block *merged)
{
    struct search_draft draft;
    if (!search_draft_init(&draft, search_view_peek(&account->view))) {
        search_block_unref(merged);
        return;
    }
    if (!replace_sources(&draft, merging, merged)) {
        search_draft_release(&draft);
        return;
    }
    struct search_view *view = search_draft_finish(&draft);
    if (view)
        search_view_publish(&account->view, view);
}

static bool is_any_alive(const struct merging *merging)
{
    for (uint32_t i = 0; i < merging->count; i++)
        if (search_alive_count(merging->sources[i].alive, merging->sources[i].section->documents) > 0)
            return true;
    return false;
}

/* Merges what was begun with. */
static bool carry_out(struct search_account *account, struct merging *merging, const struct search_pace *pace,
                      error *err)
{
    struct search_block *merged = NULL;
    bool done =
        !is_any_alive(merging) || search_merge_run(merging->sources, merging->count, pace, &merged, err);
    injection_point("search_account.merged");
    pthread_mutex_lock(&account->writing);
    account->merging_count = 0;
    if (done && merged)
        exchange(account, merging, merged);
    pthread_mutex_unlock(&account->writing);
    search_merge_release(merging->sources, merging->count);
    search_view_unref(merging->view);
    return done;
}

bool search_account_merge(struct search_account *account, bool tidy, const struct search_pace *pace,
                          bool *ret_done, error *err)
{
    struct merging merging;
    uint32_t picked[SEARCH_MERGE_MAX];
    pthread_mutex_lock(&account->merges);
    pthread_mutex_lock(&account->writing);
    const struct search_view *view = search_view_peek(&account->view);
    uint32_t count = search_tiers_pick(view->slices, view->count, SEARCH_SECTION_DOCUMENTS_MAX, is_merging,
                                       account, picked, SEARCH_MERGE_MAX);
    if (count == 0 && tidy)
        count = search_tiers_tidy(view->slices, view->count, SEARCH_SECTION_DOCUMENTS_MAX, picked,
                                  SEARCH_MERGE_MAX);
    begin(account, &merging, picked, count);
    pthread_mutex_unlock(&account->writing);
    *ret_done = is_any_alive(&merging);
    bool done = carry_out(account, &merging, pace, err);
    pthread_mutex_unlock(&account->merges);
    return done;
}

static uint32_t slice_of_block(const struct search_view *view, const struct search_block *block)
{
    uint32_t slice = 0;
    while (slice < view->count && view->slices[slice].block != block)
        slice++;
    return slice;
}

/* A section that was there before is merged alone. */
static bool rewrite(struct search_account *account, const struct search_block *block,
                    const struct search_pace *pace, error *err)
{
    struct merging merging;
    bool done = true;
    pthread_mutex_lock(&account->merges);
    pthread_mutex_lock(&account->writing);
    uint32_t slice = slice_of_block(search_view_peek(&account->view), block);
    bool there = slice < search_view_peek(&account->view)->count;
    if (there)
        begin(account, &merging, &slice, 1);
    pthread_mutex_unlock(&account->writing);
    if (there)
        done = carry_out(account, &merging, pace, err);
    pthread_mutex_lock(&account->writing);
    if (done &&
        slice_of_block(search_view_peek(&account->view), block) < search_view_peek(&account->view)->count)
        done = out_of_memory(err);
    pthread_mutex_unlock(&account->writing);
    pthread_mutex_unlock(&account->merges);
    return done;
}

bool search_account_purge(struct search_account *account, const struct search_pace *pace, error *err)
{
    bool done = true;
    pthread_mutex_lock(&account->merges); /* what is being merged now has what dies meanwhile */
    struct search_view *view = search_account_view(account);
    pthread_mutex_unlock(&account->merges);
    for (uint32_t i = 0; done && i < view->count; i++) {
        const struct search_slice *slice = &view->slices[i];
        uint32_t documents = slice->block->section.documents;
        if (search_alive_count(slice->alive, documents) < documents)
            done = rewrite(account, slice->block, pace, err);
    }
    search_view_unref(view);
    return done;
}

/* --- other blocks with the same bytes ----------------------------------------------------------------- */

bool search_account_exchange(struct search_account *account, struct search_block *const *from,
                             struct search_block *const *to, size_t count)
{
    struct search_draft draft;
    pthread_mutex_lock(&account->writing);
    bool done = search_draft_init(&draft, search_view_peek(&account->view));
    for (size_t i = 0; done && i < count; i++)
        for (uint32_t slice = 0; to[i] && slice < draft.count; slice++) {
            if (draft.slices[slice].block != from[i] || is_merging(account, from[i]))
                continue;
            search_block_unref(draft.slices[slice].block);
            draft.slices[slice].block = search_block_ref(to[i]);
        }
    struct search_view *view = done ? search_draft_finish(&draft) : NULL;
    if (view)
        search_view_publish(&account->view, view);
    pthread_mutex_unlock(&account->writing);
    return view;
}
