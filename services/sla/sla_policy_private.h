#ifndef CASEWORK_SLA_POLICY_PRIVATE_H
#define CASEWORK_SLA_POLICY_PRIVATE_H

/* Inside sla_policy_store: the copy in memory, and rows on their way. */

#include "sla/sla_policy_store.h"

#include <uthash.h>

#include <pthread.h>

enum { QUERY_BYTES_MAX = 8 << 20 };
#define QUERY_WAIT_US (5 * CLOCK_SECOND)

struct entry {
    struct sla_policy_row row;
    sla_terms *terms;
    void *packed; /* targets and calendar as they were given */
    size_t length;
    bool seen;        /* during a reload */
    uint64_t changed; /* the number of the change that put it here beside a reload */
    UT_hash_handle hh;
};

struct sla_policies {
    pg_pool *pool;
    pthread_rwlock_t lock; /* guards what follows: the copy */
    struct entry *entries;
    uint64_t changes, deletions; /* of the copy beside reloads: so many */
};

/* A row as PostgreSQL has it. */
struct stored {
    struct sla_policy_row row;
    const void *packed; /* targets and calendar */
    size_t length;
    const char *time_zone;
    const int64_t *since_us; /* of each target */
    size_t since_count;
};

/* What sla_policies_read_row expects, in this order. */
#define COLUMNS                                                                                         \
    "account, closing_rule, closing_duration, version, applied_version, update_time, terms, time_zone," \
    " targets_since, settled_time"

/* What it points to lives in the arena. */
bool sla_policies_read_row(const pg_result *result, int row, arena *memory, struct stored *ret_stored,
                           error *err) __attribute__((warn_unused_result));

/* Targets and calendar; an empty policy for none. */
bool sla_policies_unpack(const void *packed, size_t length, arena *memory,
                         Casework__Sla__V1__SlaPolicy **ret_wire, error *err)
    __attribute__((warn_unused_result));

/* The row's targets made ready; the caller releases them. NULL: there are none. */
bool sla_policies_make_terms(const struct stored *stored, arena *memory, sla_terms **ret_terms, error *err)
    __attribute__((warn_unused_result));

/* Into the copy, unless that has a newer version. */
bool sla_policies_remember(sla_policies *policies, const struct stored *stored, error *err)
    __attribute__((warn_unused_result));

bool sla_policies_no_memory(error *err); /* false */

/* From the copy, with the lock held for writing. */
void sla_policies_remove(sla_policies *policies, struct entry *entry);

/* The first two parameters of every statement about one account. */
void sla_policies_add_account(pg_params *params, const char *account);

#endif
