#ifndef CASEWORK_CASE_WATCH_READ_H
#define CASEWORK_CASE_WATCH_READ_H

/*
 * What watches read: changes with the case's facts before and after them, and what drops out of Recent. Lists
 * live in the arena given, their texts in the result that they came in.
 */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_watch_filter.h"
#include "casework/cases/v1/case.pb-c.h"
#include "pg/pg.h"

#include <stdbool.h>
#include <stdint.h>

/* A range of one partition's feed, and what of it. */
struct watch_range {
    int partition;
    int64_t after, upto;         /* exclusive, inclusive */
    const char *const *accounts; /* only theirs */
    size_t account_count;
    int64_t case_id; /* only of this case of accounts[0]; 0: all */
};

/* One change of a case, or the end of an account. */
struct watch_change {
    int64_t position;
    const char *account;                                  /* its id */
    int64_t case_id;                                      /* 0: the account was deleted */
    const Casework__Cases__V1__CaseFacts *before, *after; /* NULL before: the change made the case */
    Casework__Cases__V1__Case *item; /* as the change left it; NULL: the case is no more */
};

struct watch_changes {
    struct watch_change *list;
    size_t count;
    int64_t upto; /* the range is covered up to here */
    pg_result *result;
};

/* Takes what was never filled, too: {0}. */
void watch_changes_release(struct watch_changes *changes);

/* Reads changes from the beginning of the range, as many as one read takes. */
bool watch_read_changes(pg_pool *pool, const struct watch_range *range, arena *memory,
                        struct watch_changes *ret_changes, error *err) __attribute__((warn_unused_result));

/* A case that leaves Recent because time went by; its facts as of `position`. */
struct watch_expiry {
    int64_t open_time, case_id;
    const Casework__Cases__V1__CaseFacts *facts;
};

struct watch_expiries {
    int64_t position;      /* the account's, of the moment of reading */
    struct watch_cut from; /* the list begins behind it … */
    struct watch_cut cut;  /* … and has all up to here */
    int64_t next_due;      /* when the next one leaves, as things stand; INT64_MAX: none */
    struct watch_expiry *list;
    size_t count;
};

/* Reads what is behind `cut` and was opened more than 24 hours ago, by key, as many as one read takes. */
bool watch_read_expiries(pg_pool *pool, int partition, const char *account, const struct watch_cut *cut,
                         arena *memory, struct watch_expiries *ret_expiries, error *err)
    __attribute__((warn_unused_result));

#endif
