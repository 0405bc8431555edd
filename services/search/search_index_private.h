#ifndef CASEWORK_SEARCH_INDEX_PRIVATE_H
#define CASEWORK_SEARCH_INDEX_PRIVATE_H

/* What the files of the index share. */

#include "search/search_builder.h"
#include "search/search_holds.h"
#include "search/search_index.h"
#include "search/search_merger.h"

#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

/* An account's successor while it is being built. */
struct search_building {
    uint64_t id;
    struct search_account account;
    struct search_builder builder; /* what was read lately */
};

/* An account's shelf stays once it is there, empty or not: whoever found it may use it without the index's
 * lock. */
struct search_shelf {
    char id[64];
    struct search_account account;
    pthread_mutex_t lock; /* of writers: what is written stays the same until both accounts have it */
    struct search_building *building;
    uint64_t builds;        /* begun so far: the last one's id */
    atomic_bool rebuilding; /* there is one; for everybody */
    atomic_llong erased_us; /* monotonic: search_index_mark_erased; 0: nothing */
};

typedef _Atomic(struct search_shelf *) search_shelf_slot;

/* Shelves by the id's hash: open addressing, four slots for each that there is room for. Read without a lock;
 * so one that has become too small stays until the end: all former ones together are no larger than the last.
 */
struct search_shelf_table {
    struct search_shelf_table *older;
    size_t size; /* a power of two */
    search_shelf_slot slots[];
};

struct search_index {
    pthread_rwlock_t lock;         /* of `shelves` and `positions` */
    struct search_shelf **shelves; /* by id */
    size_t count, size;
    _Atomic(struct search_shelf_table *) table; /* the same; NULL: none yet */
    struct feed_positions positions;
    struct search_holds holds;
    atomic_ullong filed; /* bytes */
    metrics_counter *filed_documents, *filed_bytes;
    pthread_mutex_t scratch_lock;
    struct search_builder scratch;
    search_merger *merger;
};

/* NULL: nobody has heard of it. */
struct search_shelf *search_shelf_find(search_index *index, const char *account);

/* NULL without memory. */
struct search_shelf *search_shelf_find_or_add(search_index *index, const char *account);

/* Where the account is among the shelves, or would have to be. With the index's lock. */
size_t search_shelf_place(const search_index *index, const char *account);

/* Words have died in it that are to leave the files. Keeps the earlier mark. */
void search_shelf_mark_erased(struct search_shelf *shelf);

bool search_index_out_of_memory(error *err);

#endif
