#include "search/search_index_private.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* --- positions ---------------------------------------------------------------------------------------- */

void search_index_set_positions(search_index *index, const struct feed_positions *positions)
{
    pthread_rwlock_wrlock(&index->lock);
    index->positions = *positions;
    pthread_rwlock_unlock(&index->lock);
}

void search_index_fed(search_index *index, struct feed_positions *ret_positions)
{
    pthread_rwlock_rdlock(&index->lock);
    *ret_positions = index->positions;
    pthread_rwlock_unlock(&index->lock);
}

/* What holds back is set before the positions move past it: it is looked at after them. */
void search_index_positions(search_index *index, struct feed_positions *ret_positions)
{
    search_index_fed(index, ret_positions);
    search_holds_limit(&index->holds, ret_positions);
}

int64_t search_index_position(search_index *index, const char *account)
{
    int partition = feed_partition(account);
    pthread_rwlock_rdlock(&index->lock);
    int64_t position = index->positions.at[partition];
    pthread_rwlock_unlock(&index->lock);
    int64_t held = search_holds_find(&index->holds, partition, account);
    return held <= position ? held - 1 : position;
}

bool search_index_hold(search_index *index, const char *account, int64_t position)
{
    return search_holds_set(&index->holds, account, position);
}

bool search_index_is_held(search_index *index, int partition, const char *account, int64_t position)
{
    return search_holds_find(&index->holds, partition, account) <= position;
}

/* --- files -------------------------------------------------------------------------------------------- */

void search_shelf_mark_erased(struct search_shelf *shelf)
{
    long long nothing = 0;
    atomic_compare_exchange_strong(&shelf->erased_us, &nothing, clock_monotonic_us());
}

void search_index_mark_erased(search_index *index, const char *account)
{
    struct search_shelf *shelf = search_shelf_find(index, account);
    if (shelf)
        search_shelf_mark_erased(shelf);
}

int64_t search_index_erased_for(search_index *index, int64_t now_us)
{
    int64_t longest = 0;
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = 0; i < index->count; i++) {
        int64_t since = atomic_load(&index->shelves[i]->erased_us);
        if (since > 0 && now_us - since >= longest)
            longest = now_us > since ? now_us - since : 1;
    }
    pthread_rwlock_unlock(&index->lock);
    return longest;
}

/* The marked one that comes next, by its id; NULL: none. */
static struct search_shelf *next_erased(search_index *index, const struct search_shelf *after)
{
    struct search_shelf *found = NULL;
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = after ? search_shelf_place(index, after->id) + 1 : 0; !found && i < index->count; i++)
        if (atomic_load(&index->shelves[i]->erased_us) > 0)
            found = index->shelves[i];
    pthread_rwlock_unlock(&index->lock);
    return found;
}

bool search_index_purge(search_index *index, const struct search_pace *pace, error *err)
{
    for (struct search_shelf *shelf = NULL; (shelf = next_erased(index, shelf));) {
        long long since =
            atomic_exchange(&shelf->erased_us, 0); /* who marks it from now on wants another purge */
        if (!search_account_purge(&shelf->account, pace, err)) {
            atomic_store(&shelf->erased_us, since);
            return false;
        }
    }
    return true;
}

void search_index_captured_free(struct search_captured *accounts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        search_view_unref(accounts[i].view);
    free(accounts);
}

/* Positions first, views last: what a position or the lack of a mark promises is in the view. */
bool search_index_capture(search_index *index, struct feed_positions *ret_positions,
                          struct search_captured **ret_accounts, size_t *ret_count, error *err)
{
    size_t count = 0;
    search_index_positions(index, ret_positions);
    pthread_rwlock_rdlock(&index->lock);
    struct search_captured *accounts = calloc(index->count + 1, sizeof *accounts);
    for (size_t i = 0; accounts && i < index->count; i++) {
        struct search_shelf *shelf = index->shelves[i];
        struct search_captured captured = {.id = shelf->id, .account = &shelf->account};
        captured.erased = atomic_load(&shelf->erased_us) > 0;
        captured.view = search_account_view(&shelf->account);
        if (captured.view->count > 0)
            accounts[count++] = captured;
        else
            search_view_unref(captured.view);
    }
    pthread_rwlock_unlock(&index->lock);
    if (!accounts)
        return search_index_out_of_memory(err);
    *ret_accounts = accounts;
    *ret_count = count;
    return true;
}

bool search_index_restore(search_index *index, const char *account, struct search_view *view, bool erased,
                          error *err)
{
    struct search_shelf *shelf = search_shelf_find_or_add(index, account);
    if (!shelf) {
        search_view_unref(view);
        return search_index_out_of_memory(err);
    }
    search_account_replace(&shelf->account, view);
    if (erased)
        search_shelf_mark_erased(shelf);
    return true;
}

uint64_t search_index_filed(const search_index *index)
{
    return atomic_load(&index->filed);
}
