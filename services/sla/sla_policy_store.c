#include "sla/sla_policy_private.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/injection.h"
#include "feed/partition.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Sla__V1__SlaPolicy wire_policy;

bool sla_policies_new(pg_pool *pool, sla_policies **ret_policies, error *err)
{
    sla_policies *policies = calloc(1, sizeof *policies);
    if (!policies)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    policies->pool = pool;
    pthread_rwlock_init(&policies->lock, NULL);
    *ret_policies = policies;
    return true;
}

void sla_policies_free(sla_policies *policies)
{
    if (!policies)
        return;
    struct entry *entry, *next;
    HASH_ITER (hh, policies->entries, entry, next)
        sla_policies_remove(policies, entry);
    pthread_rwlock_destroy(&policies->lock);
    free(policies);
}

/* --- the copy ------------------------------------------------------------------------------------- */

bool sla_policies_no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static bool bad_policy(error *err)
{
    return error_set(err, STATUS_INTERNAL, "BAD_POLICY", "a stored policy cannot be read");
}

bool sla_policies_unpack(const void *packed, size_t length, arena *memory, wire_policy **ret_wire, error *err)
{
    ProtobufCMessage *message;
    if (!wire_unpack(&casework__sla__v1__sla_policy__descriptor, packed ? packed : "", packed ? length : 0,
                     memory, &message, NULL))
        return bad_policy(err);
    *ret_wire = (void *)message;
    return true;
}

bool sla_policies_make_terms(const struct stored *stored, arena *memory, sla_terms **ret_terms, error *err)
{
    wire_policy *wire;
    return sla_policies_unpack(stored->packed, stored->length, memory, &wire, err) &&
           (wire->n_targets <= stored->since_count || bad_policy(err)) &&
           sla_terms_new(wire, stored->time_zone, stored->since_us, ret_terms, err);
}

/* What an entry has beside its row. */
static bool fill_entry(struct entry *entry, const struct stored *stored, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    void *packed = malloc(stored->length + 1);
    sla_terms *terms = NULL;
    bool ok = ((memory && packed) || sla_policies_no_memory(err)) &&
              sla_policies_make_terms(stored, memory, &terms, err);
    arena_free(memory);
    if (!ok) {
        free(packed);
        return false;
    }
    if (stored->length > 0)
        memcpy(packed, stored->packed, stored->length);
    sla_terms_release(entry->terms);
    free(entry->packed);
    entry->terms = terms;
    entry->packed = packed;
    entry->length = stored->length;
    return true;
}

/* With the lock held for writing. A newer version is never replaced by an older one. NULL: *err says why. */
static struct entry *remember_locked(sla_policies *policies, const struct stored *stored, error *err)
{
    struct entry *entry;
    HASH_FIND_STR(policies->entries, stored->row.account, entry);
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry) {
            sla_policies_no_memory(err);
            return NULL;
        }
        entry->row = stored->row;
        if (!fill_entry(entry, stored, err)) {
            free(entry);
            return NULL;
        }
        HASH_ADD_STR(policies->entries, row.account, entry);
    } else if (stored->row.policy.version >= entry->row.policy.version) {
        if (stored->row.policy.version > entry->row.policy.version && !fill_entry(entry, stored, err))
            return NULL;
        entry->row = stored->row;
    }
    entry->seen = true;
    return entry;
}

bool sla_policies_remember(sla_policies *policies, const struct stored *stored, error *err)
{
    pthread_rwlock_wrlock(&policies->lock);
    struct entry *entry = remember_locked(policies, stored, err);
    if (entry)
        entry->changed = ++policies->changes;
    pthread_rwlock_unlock(&policies->lock);
    return entry != NULL;
}

sla_terms *sla_policies_terms(sla_policies *policies, const char *account)
{
    struct entry *entry;
    pthread_rwlock_rdlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    sla_terms *terms = entry ? sla_terms_hold(entry->terms) : NULL;
    pthread_rwlock_unlock(&policies->lock);
    return terms;
}

wire_policy *sla_policies_wire(sla_policies *policies, const char *account, arena *memory)
{
    struct entry *entry;
    wire_policy *wire = NULL;
    pthread_rwlock_rdlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    bool ok =
        sla_policies_unpack(entry ? entry->packed : NULL, entry ? entry->length : 0, memory, &wire, NULL);
    pthread_rwlock_unlock(&policies->lock);
    return ok ? wire : NULL;
}

struct sla_policy sla_policies_get(sla_policies *policies, const char *account)
{
    struct sla_policy policy = sla_rules_default();
    struct entry *entry;
    pthread_rwlock_rdlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    if (entry)
        policy = entry->row.policy;
    pthread_rwlock_unlock(&policies->lock);
    return policy;
}

bool sla_policies_all(sla_policies *policies, struct sla_policy_row **ret_rows, size_t *ret_count, error *err)
{
    pthread_rwlock_rdlock(&policies->lock);
    size_t count = HASH_COUNT(policies->entries);
    struct sla_policy_row *rows = calloc(count + 1, sizeof *rows);
    size_t at = 0;
    struct entry *entry, *next;
    if (rows)
        HASH_ITER (hh, policies->entries, entry, next)
            rows[at++] = entry->row;
    pthread_rwlock_unlock(&policies->lock);
    if (!rows)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    *ret_rows = rows;
    *ret_count = count;
    return true;
}

bool sla_policies_at_work(sla_policies *policies)
{
    bool at_work = true;
    struct entry *entry, *next;
    pthread_rwlock_rdlock(&policies->lock);
    HASH_ITER (hh, policies->entries, entry, next)
        at_work = at_work && entry->row.applied_version >= entry->row.policy.version;
    pthread_rwlock_unlock(&policies->lock);
    return at_work;
}

/* --- reading -------------------------------------------------------------------------------------- */

static const struct pg_statement select_all = {
    .name = "sla_policies_all",
    .sql = "SELECT " COLUMNS " FROM sla.policies",
};

static const struct pg_statement select_one = {
    .name = "sla_policy",
    .sql = "SELECT " COLUMNS " FROM sla.policies WHERE partition = $1::int2 AND account = $2::text",
};

/* Since when there have been targets at all; 0: there are none. */
static int64_t first_since(const struct stored *stored)
{
    int64_t first_us = stored->since_count > 0 ? stored->since_us[0] : 0;
    for (size_t i = 1; i < stored->since_count; i++)
        first_us = stored->since_us[i] < first_us ? stored->since_us[i] : first_us;
    return first_us;
}

bool sla_policies_read_row(const pg_result *result, int row, arena *memory, struct stored *ret_stored,
                           error *err)
{
    int64_t *since_us;
    *ret_stored = (struct stored){
        .row =
            {
                .policy =
                    {
                        .rule = (enum sla_rule)pg_get_int(result, row, 1),
                        .duration_us = pg_get_int(result, row, 2),
                        .version = pg_get_int(result, row, 3),
                    },
                .applied_version = pg_get_int(result, row, 4),
                .update_time_us = pg_get_time(result, row, 5),
            },
        .time_zone = arena_strdup(memory, pg_get_text(result, row, 7)),
    };
    const void *packed = pg_get_bytes(result, row, 6, &ret_stored->length);
    ret_stored->packed = arena_memdup(memory, packed, ret_stored->length);
    if (!ret_stored->packed || !ret_stored->time_zone ||
        !pg_get_int_array(result, row, 8, memory, &since_us, &ret_stored->since_count))
        return sla_policies_no_memory(err);
    ret_stored->since_us = since_us;
    ret_stored->row.policy.has_targets = ret_stored->since_count > 0;
    int64_t settled_us = pg_get_time(result, row, 9);
    ret_stored->row.settled_time_us = settled_us ? settled_us : first_since(ret_stored);
    snprintf(ret_stored->row.account, sizeof ret_stored->row.account, "%s", pg_get_text(result, row, 0));
    return true;
}

/* How often the copy had been changed when a reload asked PostgreSQL. */
struct reload {
    uint64_t changes, deletions;
};

/*
 * What has been put into the copy since the question was asked stays, though the answer may not have it. What
 * has been taken from it may be in the answer: then *ret_again.
 */
static bool replace_all(sla_policies *policies, const struct reload *asked, const pg_result *result,
                        bool *ret_again, error *err)
{
    struct entry *entry, *next;
    struct stored row;
    arena *memory = arena_new(QUERY_BYTES_MAX);
    bool ok = memory || sla_policies_no_memory(err);
    pthread_rwlock_wrlock(&policies->lock);
    *ret_again = policies->deletions != asked->deletions;
    HASH_ITER (hh, policies->entries, entry, next)
        entry->seen = false;
    for (int i = 0; ok && !*ret_again && i < pg_rows(result); i++) {
        arena_clear(memory);
        ok = sla_policies_read_row(result, i, memory, &row, err) && remember_locked(policies, &row, err);
    }
    if (ok && !*ret_again)
        HASH_ITER (hh, policies->entries, entry, next)
            if (!entry->seen && entry->changed <= asked->changes)
                sla_policies_remove(policies, entry);
    pthread_rwlock_unlock(&policies->lock);
    arena_free(memory);
    return ok;
}

bool sla_policies_reload(sla_policies *policies, error *err)
{
    bool ok = true;
    bool again = true;
    while (ok && again) {
        pg_result *result;
        pthread_rwlock_rdlock(&policies->lock);
        struct reload asked = {policies->changes, policies->deletions};
        pthread_rwlock_unlock(&policies->lock);
        if (!pg_pool_query(policies->pool, &select_all, NULL, clock_monotonic_us() + QUERY_WAIT_US, &result,
                           err))
            return false;
        (void)injection_point("sla.policies_read");
        ok = replace_all(policies, &asked, result, &again, err);
        pg_result_free(result);
    }
    return ok;
}

void sla_policies_add_account(pg_params *params, const char *account)
{
    pg_add_int2(params, feed_partition(account));
    pg_add_text(params, account);
}

bool sla_policies_read(sla_policies *policies, const char *account, int64_t deadline_us,
                       struct sla_policy_row *ret_row, bool *ret_found, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    pg_params params;
    pg_params_init(&params, memory);
    sla_policies_add_account(&params, account);
    pg_result *result;
    struct stored stored = {.row = {.policy = sla_rules_default()}};
    bool found = false;
    bool ok = pg_pool_query(policies->pool, &select_one, &params, deadline_us, &result, err);
    if (ok) {
        found = pg_rows(result) > 0;
        ok = !found || (sla_policies_read_row(result, 0, memory, &stored, err) &&
                        sla_policies_remember(policies, &stored, err));
        pg_result_free(result);
    }
    arena_free(memory);
    if (!ok)
        return false;
    snprintf(stored.row.account, sizeof stored.row.account, "%s", account);
    *ret_row = stored.row;
    *ret_found = found;
    return true;
}
