#include "sla/sla_policy_store.h"

#include "base/arena.h"
#include "base/clock.h"
#include "feed/partition.h"

#include <uthash.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_BYTES_MAX = 1 << 20 };
#define QUERY_WAIT_US (5 * CLOCK_SECOND)

struct entry {
    struct sla_policy_row row;
    bool seen; /* during a reload */
    UT_hash_handle hh;
};

struct sla_policies {
    pg_pool *pool;
    pthread_rwlock_t lock; /* guards the copy */
    struct entry *entries;
};

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

static void remove_entry(sla_policies *policies, struct entry *entry)
{
    HASH_DEL(policies->entries, entry);
    free(entry);
}

void sla_policies_free(sla_policies *policies)
{
    if (!policies)
        return;
    struct entry *entry, *next;
    HASH_ITER (hh, policies->entries, entry, next)
        remove_entry(policies, entry);
    pthread_rwlock_destroy(&policies->lock);
    free(policies);
}

/* --- the copy ------------------------------------------------------------------------------------- */

/* With the lock held for writing. A newer version is never replaced by an older one. */
static bool remember_locked(sla_policies *policies, const struct sla_policy_row *row, error *err)
{
    struct entry *entry;
    HASH_FIND_STR(policies->entries, row->account, entry);
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        entry->row = *row;
        HASH_ADD_STR(policies->entries, row.account, entry);
    } else if (row->policy.version >= entry->row.policy.version) {
        entry->row = *row;
    }
    entry->seen = true;
    return true;
}

static bool remember(sla_policies *policies, const struct sla_policy_row *row, error *err)
{
    pthread_rwlock_wrlock(&policies->lock);
    bool ok = remember_locked(policies, row, err);
    pthread_rwlock_unlock(&policies->lock);
    return ok;
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

/* --- reading -------------------------------------------------------------------------------------- */

#define COLUMNS "account, closing_rule, closing_duration, version, applied_version, update_time"

static const struct pg_statement select_all = {
    .name = "sla_policies_all",
    .sql = "SELECT " COLUMNS " FROM sla.policies",
};

static const struct pg_statement select_one = {
    .name = "sla_policy",
    .sql = "SELECT " COLUMNS " FROM sla.policies WHERE partition = $1::int2 AND account = $2::text",
};

static void read_row(const pg_result *result, int row, struct sla_policy_row *ret_row)
{
    *ret_row = (struct sla_policy_row){
        .policy =
            {
                .rule = (enum sla_rule)pg_get_int(result, row, 1),
                .duration_us = pg_get_int(result, row, 2),
                .version = pg_get_int(result, row, 3),
            },
        .applied_version = pg_get_int(result, row, 4),
        .update_time_us = pg_get_time(result, row, 5),
    };
    snprintf(ret_row->account, sizeof ret_row->account, "%s", pg_get_text(result, row, 0));
}

static bool replace_all(sla_policies *policies, const pg_result *result, error *err)
{
    struct entry *entry, *next;
    struct sla_policy_row row;
    bool ok = true;
    pthread_rwlock_wrlock(&policies->lock);
    HASH_ITER (hh, policies->entries, entry, next)
        entry->seen = false;
    for (int i = 0; ok && i < pg_rows(result); i++) {
        read_row(result, i, &row);
        ok = remember_locked(policies, &row, err);
    }
    if (ok)
        HASH_ITER (hh, policies->entries, entry, next)
            if (!entry->seen)
                remove_entry(policies, entry);
    pthread_rwlock_unlock(&policies->lock);
    return ok;
}

bool sla_policies_reload(sla_policies *policies, error *err)
{
    pg_result *result;
    if (!pg_pool_query(policies->pool, &select_all, NULL, clock_monotonic_us() + QUERY_WAIT_US, &result, err))
        return false;
    bool ok = replace_all(policies, result, err);
    pg_result_free(result);
    return ok;
}

static void add_account(pg_params *params, const char *account)
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
    add_account(&params, account);
    pg_result *result;
    bool ok = pg_pool_query(policies->pool, &select_one, &params, deadline_us, &result, err);
    arena_free(memory);
    if (!ok)
        return false;
    struct sla_policy_row row = {.policy = sla_rules_default()};
    bool found = pg_rows(result) > 0;
    if (found)
        read_row(result, 0, &row);
    pg_result_free(result);
    snprintf(row.account, sizeof row.account, "%s", account);
    if (found && !remember(policies, &row, err))
        return false;
    *ret_row = row;
    *ret_found = found;
    return true;
}

/* --- changing ------------------------------------------------------------------------------------- */

static const struct pg_statement insert_request = {
    .name = "sla_request_insert",
    .sql = "INSERT INTO sla.request_ids (partition, account, request_id, fingerprint, time)"
           " VALUES ($1::int2, $2::text, $3::text, $4::bytea, clock_timestamp())"
           " ON CONFLICT (partition, account, request_id) DO UPDATE SET time = request_ids.time"
           " RETURNING fingerprint, xmax = 0",
};

static const struct pg_statement forget_requests = {
    .name = "sla_requests_forget",
    .sql = "DELETE FROM sla.request_ids WHERE time < clock_timestamp() - interval '24 hours'",
};

/* A row that is sure to be there can be locked. Version 0 is the default and goes with the transaction if it
 * fails. */
static const struct pg_statement ensure_row = {
    .name = "sla_policy_ensure",
    .sql =
        "INSERT INTO sla.policies (partition, account, closing_rule, closing_duration, version, update_time)"
        " VALUES ($1::int2, $2::text, $3::int2, $4::int8, 0, $5::timestamptz)"
        " ON CONFLICT (partition, account) DO NOTHING",
};

static const struct pg_statement lock_row = {
    .name = "sla_policy_lock",
    .sql =
        "SELECT " COLUMNS " FROM sla.policies WHERE partition = $1::int2 AND account = $2::text FOR UPDATE",
};

static const struct pg_statement update_row = {
    .name = "sla_policy_update",
    .sql =
        "UPDATE sla.policies SET closing_rule = $3::int2, closing_duration = $4::int8, version = version + 1,"
        " update_time = $5::timestamptz WHERE partition = $1::int2 AND account = $2::text RETURNING " COLUMNS,
};

/* *ret_repeated: this very request has been carried out before. */
static bool check_request(pg_conn *conn, const struct sla_policy_update *update, int64_t deadline_us,
                          arena *memory, bool *ret_repeated, error *err)
{
    *ret_repeated = false;
    if (!update->request_id[0])
        return true;
    if (!pg_query(conn, &forget_requests, NULL, deadline_us, NULL, err))
        return false;
    pg_params params;
    pg_params_init(&params, memory);
    add_account(&params, update->account);
    pg_add_text(&params, update->request_id);
    pg_add_bytea(&params, update->fingerprint, update->fingerprint_length);
    pg_result *result;
    if (!pg_query(conn, &insert_request, &params, deadline_us, &result, err))
        return false;
    size_t length = 0;
    const void *stored = pg_get_bytes(result, 0, 0, &length);
    bool fresh = pg_get_bool(result, 0, 1);
    bool same =
        stored && length == update->fingerprint_length && memcmp(stored, update->fingerprint, length) == 0;
    pg_result_free(result);
    *ret_repeated = !fresh;
    if (!fresh && !same)
        return error_set(err, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED",
                         "request_id was used before for another request");
    return true;
}

static void add_policy(pg_params *params, const struct sla_policy_update *update, arena *memory)
{
    pg_params_init(params, memory);
    add_account(params, update->account);
    pg_add_int2(params, update->rule);
    pg_add_int8(params, update->duration_us);
    pg_add_time(params, update->now_us);
}

static bool take_row(pg_conn *conn, const struct pg_statement *statement, const pg_params *params,
                     int64_t deadline_us, struct sla_policy_row *ret_row, error *err)
{
    pg_result *result;
    if (!pg_query(conn, statement, params, deadline_us, &result, err))
        return false;
    bool ok = pg_rows(result) == 1;
    if (ok)
        read_row(result, 0, ret_row);
    else
        error_set(err, STATUS_INTERNAL, "NO_POLICY_ROW", "the policy cannot be stored");
    pg_result_free(result);
    return ok;
}

static bool update_in_transaction(pg_conn *conn, const struct sla_policy_update *update, int64_t deadline_us,
                                  arena *memory, struct sla_policy_row *ret_row, error *err)
{
    bool repeated;
    pg_params policy, account;
    add_policy(&policy, update, memory);
    pg_params_init(&account, memory);
    add_account(&account, update->account);
    if (!check_request(conn, update, deadline_us, memory, &repeated, err))
        return false;
    if (repeated)
        return take_row(conn, &lock_row, &account, deadline_us, ret_row, err);
    struct sla_policy_row row;
    if (!pg_query(conn, &ensure_row, &policy, deadline_us, NULL, err) ||
        !take_row(conn, &lock_row, &account, deadline_us, &row, err))
        return false;
    if (update->expected_version >= 0 && update->expected_version != row.policy.version)
        return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "the policy has been changed meanwhile");
    return take_row(conn, &update_row, &policy, deadline_us, ret_row, err);
}

bool sla_policies_update(sla_policies *policies, const struct sla_policy_update *update, int64_t deadline_us,
                         struct sla_policy_row *ret_row, error *err)
{
    pg_conn *conn;
    if (!pg_pool_acquire(policies->pool, deadline_us, &conn, err))
        return false;
    struct sla_policy_row row;
    arena *memory = arena_new(QUERY_BYTES_MAX);
    bool ok = memory != NULL;
    if (!ok)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    ok = ok && pg_begin(conn, deadline_us, err);
    if (ok) {
        ok = update_in_transaction(conn, update, deadline_us, memory, &row, err) &&
             pg_commit(conn, deadline_us, err);
        if (!ok)
            pg_rollback(conn);
    }
    arena_free(memory);
    pg_pool_release(policies->pool, conn);
    if (!ok || !remember(policies, &row, err))
        return false;
    *ret_row = row;
    return true;
}

static const struct pg_statement mark_applied = {
    .name = "sla_policy_applied",
    .sql = "UPDATE sla.policies SET applied_version = $3::int8"
           " WHERE partition = $1::int2 AND account = $2::text AND applied_version < $3::int8",
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
    add_account(&params, account);
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

bool sla_policies_delete(sla_policies *policies, const char *account, int64_t delete_time_us, error *err)
{
    if (!change_account(policies, &delete_row, account, 0, delete_time_us, err))
        return false;
    struct entry *entry;
    pthread_rwlock_wrlock(&policies->lock);
    HASH_FIND_STR(policies->entries, account, entry);
    if (entry && entry->row.update_time_us <= delete_time_us)
        remove_entry(policies, entry);
    pthread_rwlock_unlock(&policies->lock);
    return true;
}
