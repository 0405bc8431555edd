#ifndef CASEWORK_SLA_POLICY_PRIVATE_H
#define CASEWORK_SLA_POLICY_PRIVATE_H

/* Inside sla_policy_store: the copy in memory. */

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
    int64_t since_us[SLA_KINDS];
    bool seen; /* during a reload */
    UT_hash_handle hh;
};

struct sla_policies {
    pg_pool *pool;
    pthread_rwlock_t lock; /* guards the copy */
    struct entry *entries;
};

/* From the copy, with the lock held for writing. */
void sla_policies_remove(sla_policies *policies, struct entry *entry);

/* The first two parameters of every statement about one account. */
void sla_policies_add_account(pg_params *params, const char *account);

#endif
