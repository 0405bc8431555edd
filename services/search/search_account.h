#ifndef CASEWORK_SEARCH_ACCOUNT_H
#define CASEWORK_SEARCH_ACCOUNT_H

/*
 * The index of one account: its present view, which readers take and keep as long as they need it, and how it
 * changes. Thread-safe: one writer at a time, nobody waits for readers, readers for nobody.
 */

#include "search/search_merge.h"
#include "search/search_view.h"

#include <pthread.h>

struct search_account {
    pthread_mutex_t merges;       /* one at a time; taken before `writing` */
    pthread_mutex_t writing;      /* held for a change, the making of its section left out */
    struct search_view_slot view; /* published with `writing` */
    struct search_block
        *merging[SEARCH_MERGE_MAX]; /* by search_account_merge; not referenced. With `writing` */
    uint32_t merging_count;
    bool queued, touched; /* the merger's */
};

bool search_account_init(struct search_account *account, error *err) __attribute__((warn_unused_result));
void search_account_release(struct search_account *account);

/* The present view, to be given back. */
struct search_view *search_account_view(struct search_account *account);

/* Publishes another view, whatever there was; takes it over. */
void search_account_replace(struct search_account *account, struct search_view *view);

/*
 * One batch: takes the cases out, then files the documents of the section, each in place of what was filed
 * for its case unless that was read later. Readers see all of it or nothing. `block` may be NULL and is taken
 * over, on failure too. Small sections are merged at once; *ret_due: search_account_merge has something to
 * do.
 */
bool search_account_apply(struct search_account *account, struct search_block *block, const int64_t *gone,
                          size_t gone_count, bool *ret_due, error *err) __attribute__((warn_unused_result));

/*
 * Merges what is due, once, or when `tidy` what makes few sections of many; *ret_done says whether there was
 * anything. What changes meanwhile is carried over. `pace` may be NULL. Others who
 * merge in the account wait.
 */
bool search_account_merge(struct search_account *account, bool tidy, const struct search_pace *pace,
                          bool *ret_done, error *err) __attribute__((warn_unused_result));

/*
 * Writes every section anew of which something has died by now: what it was goes with the last reader. `pace`
 * may be NULL.
 */
bool search_account_purge(struct search_account *account, const struct search_pace *pace, error *err)
    __attribute__((warn_unused_result));

/*
 * Puts blocks in place of others with the same bytes, where those are still in use and not being merged.
 * `from` and `to` have `count` each; NULL in `to`: none. False without memory.
 */
bool search_account_exchange(struct search_account *account, struct search_block *const *from,
                             struct search_block *const *to, size_t count)
    __attribute__((warn_unused_result));

#endif
