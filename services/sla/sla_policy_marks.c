/* What is noted of an account's policy beside what the account has chosen. */

#include "base/arena.h"
#include "base/clock.h"
#include "sla/sla_policy_private.h"

#include <stdlib.h>

void sla_policies_remove(sla_policies *policies, struct entry *entry)
{
    HASH_DEL(policies->entries, entry);
    sla_terms_release(entry->terms);
    free(entry->packed);
    free(entry);
}

static const struct pg_statement set_zone = {
    .name = "sla_policy_zone",
    .sql = "UPDATE sla.policies SET time_zone = $3::text, version = version + 1"
           " WHERE partition = $1::int2 AND account = $2::text AND terms <> '' AND time_zone <> $3::text"
           " RETURNING 1",
};

bool sla_policies_set_zone(sla_policies *policies, const char *account, const char *time_zone,
                           bool *ret_changed, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    pg_params params;
    pg_params_init(&params, memory);
    sla_policies_add_account(&params, account);
    pg_add_text(&params, time_zone);
    pg_result *result = NULL;
    bool ok =
        pg_pool_query(policies->pool, &set_zone, &params, clock_monotonic_us() + QUERY_WAIT_US, &result, err);
    if (ok) {
        *ret_changed = pg_rows(result) > 0;
        pg_result_free(result);
    }
    arena_free(memory);
    return ok;
}

static const struct pg_statement mark_applied = {
    .name = "sla_policy_applied",
    .sql = "UPDATE sla.policies SET applied_version = $3::int8"
           " WHERE partition = $1::int2 AND account = $2::text AND applied_version < $3::int8",
};

static const struct pg_statement settle_row = {
    .name = "sla_policy_settle",
    .sql = "UPDATE sla.policies SET settled_time = $3::timestamptz WHERE partition = $1::int2"
           " AND account = $2::text AND (settled_time IS NULL OR settled_time < $3::timestamptz)",
};

static const struct pg_statement delete_row = {
    .name = "sla_policy_delete",
    .sql = "WITH requests AS (DELETE FROM sla.request_ids WHERE partition = $1::int2 AND account = $2::text)"
           " DELETE FROM sla.policies"
           " WHERE partition = $1::int2 AND account = $2::text AND update_time <= $3::timestamptz",
};

/* One statement about one account; with `version` or a time as third parameter. */
static bool change_account(sla_policies *policies, const struct pg_statement *statement, const char *account,
                           int64_t version, int64_t time_us, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    pg_params params;
    pg_params_init(&params, memory);
    sla_policies_add_account(&params, account);
    if (time_us)
        pg_add_time(&params, time_us);
    else
        pg_add_int8(&params, version);
    pg_result *result = NULL;
    bool ok =
        pg_pool_query(policies->pool, statement, &params, clock_monotonic_us() + QUERY_WAIT_US, &result, err);
    if (ok)
        pg_result_free(result);
    arena_free(memory);
    return ok;
}

bool sla_policies_mark_applied(sla_policies *policies, const char *account, int64_t version, error *err)
{
    if (!change_account(policies, &mark_applied, account, version, 0, err))
        return false;
    struct entry *entry;
    pthread_rwlock_wrlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    if (entry && entry->row.applied_version < version)
        entry->row.applied_version = version;
    pthread_rwlock_unlock(&policies->lock);
    return true;
}

bool sla_policies_settle(sla_policies *policies, const char *account, int64_t settled_time_us, error *err)
{
    return change_account(policies, &settle_row, account, 0, settled_time_us, err);
}

bool sla_policies_delete(sla_policies *policies, const char *account, int64_t delete_time_us, error *err)
{
    if (!change_account(policies, &delete_row, account, 0, delete_time_us, err))
        return false;
    struct entry *entry;
    pthread_rwlock_wrlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    if (entry && entry->row.update_time_us <= delete_time_us)
        sla_policies_remove(policies, entry);
    policies->deletions++;
    pthread_rwlock_unlock(&policies->lock);
    return true;
}
