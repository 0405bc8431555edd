#ifndef CASEWORK_SEARCH_INDEX_H
#define CASEWORK_SEARCH_INDEX_H

/*
 * The index: accounts, and the positions of the feed up to which it is complete. Thread-safe: any number of
 * readers, who see each account as it was left by its last batch, and one writer at a time in each account.
 * Neither waits for the other.
 */

#include "feed/partition.h"
#include "search/search_account.h"
#include "search/search_compare.h"
#include "search/search_query.h"

typedef struct search_index search_index;

bool search_index_new(search_index **ret_index, error *err) __attribute__((warn_unused_result));
void search_index_free(search_index *index); /* takes NULL */

/* What becomes of a case. */
struct search_change {
    int64_t number;
    const struct search_document *document; /* NULL: it is gone */
    int64_t position;                       /* as of which it was read; what is filed has its document's */
};

/*
 * Files a batch of cases of one account, each in place of what was filed for it unless that was read later,
 * and takes out those that are gone. Readers see all of it or nothing; so it is when it fails.
 */
bool search_index_apply(search_index *index, const char *account, const struct search_change *changes,
                        size_t count, error *err) __attribute__((warn_unused_result));

void search_index_drop(search_index *index, const char *account); /* all its cases */
void search_index_clear(search_index *index);                     /* all accounts, positions too */

/*
 * An account built anew while the old one serves: what is put meanwhile goes into both; what is built goes
 * into the new one only. begin: FAILED_PRECONDITION, REBUILD_RUNNING when it is being built already;
 * *ret_build names this one. put: false with ABORTED when the account was dropped meanwhile, though it be
 * there, and built, again. end puts the new one in place of the old, or gives it up, as it does when memory
 * is out; of one that was dropped it does nothing.
 */
bool search_index_build_begin(search_index *index, const char *account, uint64_t *ret_build, error *err)
    __attribute__((warn_unused_result));
bool search_index_build_put(search_index *index, const char *account, uint64_t build,
                            const struct search_document *document, error *err)
    __attribute__((warn_unused_result));
bool search_index_build_end(search_index *index, const char *account, uint64_t build, bool commit, error *err)
    __attribute__((warn_unused_result));

/* The position as of which a case was read; -1 when it is not there. */
int64_t search_index_case_position(search_index *index, const char *account, int64_t number);

/* The cases of a contact that were read before `position`, in `memory`. */
bool search_index_contact_cases(search_index *index, const char *account, const char *contact,
                                int64_t position, arena *memory, int64_t **ret_numbers, size_t *ret_count,
                                error *err) __attribute__((warn_unused_result));

/* See search_query_run; the answer is to be released. An account nobody has heard of has no cases. */
bool search_index_query(search_index *index, const char *account, const struct search_query *query,
                        arena *memory, struct search_answer *ret_answer, error *err)
    __attribute__((warn_unused_result));

/* See search_query_cost; 0 of an account nobody has heard of. */
uint64_t search_index_cost(search_index *index, const char *account, const struct search_query *query);

bool search_index_has_cases(search_index *index, const char *account);

/* Complete up to here: set once what the positions stand for is in. */
void search_index_set_positions(search_index *index, const struct feed_positions *positions);

/* Up to where the feed has been read, in this process: what is held back is worked off in memory. */
void search_index_fed(search_index *index, struct feed_positions *ret_positions);

/*
 * Up to where every account is complete: from here the feed may be resumed after a restart. Asked for before
 * what is filed is looked at, that holds at least what they stand for.
 */
void search_index_positions(search_index *index, struct feed_positions *ret_positions);

/* Up to where this account is complete. */
int64_t search_index_position(search_index *index, const char *account);

/*
 * The account is not complete from the event at `position` on, until that is taken back with INT64_MAX or
 * moved; before the positions come to it. False when too many accounts are held.
 */
bool search_index_hold(search_index *index, const char *account, int64_t position);

/* See feed_held. */
bool search_index_is_held(search_index *index, int partition, const char *account, int64_t position);

/* --- for what keeps the index in files (search_store.h) --- */

/*
 * Something was redacted or erased in the account and what took its place is filed: until the next purge the
 * sections still hold it.
 */
void search_index_mark_erased(search_index *index, const char *account);

/* The longest time, since the mark, that a purge is waiting for; 0: for nothing. */
int64_t search_index_erased_for(search_index *index, int64_t now_us);

/* Rewrites what is marked. False when it could not: the mark stays, and how old it is. */
bool search_index_purge(search_index *index, const struct search_pace *pace, error *err)
    __attribute__((warn_unused_result));

struct search_captured {
    const char *id;
    struct search_account *account;
    struct search_view *view;
    bool erased;
};

/*
 * All accounts that have cases, in order of their ids, as they are by now, and positions up to which they are
 * complete: they may hold more than that. *ret_accounts is the caller's to give back.
 */
bool search_index_capture(search_index *index, struct feed_positions *ret_positions,
                          struct search_captured **ret_accounts, size_t *ret_count, error *err)
    __attribute__((warn_unused_result));
void search_index_captured_free(struct search_captured *accounts, size_t count);

/* An account as it was captured once; takes the view over. Before anything is filed. */
bool search_index_restore(search_index *index, const char *account, struct search_view *view, bool erased,
                          error *err) __attribute__((warn_unused_result));

/* Bytes of sections that have been filed since the start. */
uint64_t search_index_filed(const search_index *index);

/* Waits until no sections are left to merge, as after a while without changes: for tests and measurements. */
void search_index_settle(search_index *index);

/* See search_compare. */
bool search_index_compare(search_index *index, const char *account, int64_t number,
                          const struct search_document *document, const struct search_words *words,
                          arena *memory, struct search_comparison *ret_comparison, error *err)
    __attribute__((warn_unused_result));

/* The numbers of all cases of an account, in `memory`. */
bool search_index_cases(search_index *index, const char *account, arena *memory, int64_t **ret_numbers,
                        size_t *ret_count, error *err) __attribute__((warn_unused_result));

struct search_account_status {
    const char *account; /* in the arena */
    uint64_t cases, postings, bytes;
    uint64_t words; /* a word counts in each section that has it */
    bool rebuilding;
};

/* Accounts that have cases, in order of their ids; `account` NULL: all. In `memory`. */
bool search_index_status(search_index *index, const char *account, arena *memory,
                         struct search_account_status **ret_accounts, size_t *ret_count, error *err)
    __attribute__((warn_unused_result));

struct search_index_totals {
    uint64_t accounts, cases, sections, bytes; /* accounts that have cases; sections and bitmaps */
};

struct search_index_totals search_index_total(search_index *index);

#endif
