#include "sla/sla_policy_private.h"

#include "base/arena.h"
#include "base/clock.h"
#include "feed/partition.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Sla__V1__SlaPolicy wire_policy;

/* A row as PostgreSQL has it; `packed` and `time_zone` are somebody else's. */
struct stored {
    struct sla_policy_row row;
    const void *packed;
    size_t length;
    const char *time_zone;
    int64_t since_us[SLA_KINDS];
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

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* Targets and calendar of a row; an empty policy for none. */
static bool unpack(const void *packed, size_t length, arena *memory, wire_policy **ret_wire, error *err)
{
    ProtobufCMessage *message;
    if (!wire_unpack(&casework__sla__v1__sla_policy__descriptor, packed ? packed : "", packed ? length : 0,
                     memory, &message, NULL))
        return error_set(err, STATUS_INTERNAL, "BAD_POLICY", "a stored policy cannot be read");
    *ret_wire = (void *)message;
    return true;
}

/* What an entry has beside its row. */
static bool make_terms(struct entry *entry, const struct stored *stored, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    void *packed = malloc(stored->length + 1);
    wire_policy *wire;
    sla_terms *terms = NULL;
    bool ok = memory && packed;
    if (!ok)
        out_of_memory(err);
    ok = ok && unpack(stored->packed, stored->length, memory, &wire, err) &&
         sla_terms_new(wire, stored->time_zone, stored->since_us, &terms, err);
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
    memcpy(entry->since_us, stored->since_us, sizeof entry->since_us);
    return true;
}

/* With the lock held for writing. A newer version is never replaced by an older one. */
static bool remember_locked(sla_policies *policies, const struct stored *stored, error *err)
{
    struct entry *entry;
    HASH_FIND_STR(policies->entries, stored->row.account, entry);
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return out_of_memory(err);
        entry->row = stored->row;
        if (!make_terms(entry, stored, err)) {
            free(entry);
            return false;
        }
        HASH_ADD_STR(policies->entries, row.account, entry);
    } else if (stored->row.policy.version >= entry->row.policy.version) {
        if (stored->row.policy.version > entry->row.policy.version && !make_terms(entry, stored, err))
            return false;
        entry->row = stored->row;
    }
    entry->seen = true;
    return true;
}

static bool remember(sla_policies *policies, const struct stored *stored, error *err)
{
    pthread_rwlock_wrlock(&policies->lock);
    bool ok = remember_locked(policies, stored, err);
    pthread_rwlock_unlock(&policies->lock);
    return ok;
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
    bool ok = unpack(entry ? entry->packed : NULL, entry ? entry->length : 0, memory, &wire, NULL);
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

#define COLUMNS                                                                                         \
    "account, closing_rule, closing_duration, version, applied_version, update_time, terms, time_zone," \
    " first_reply_since, next_reply_since, resolution_since, settled_time"

static const struct pg_statement select_all = {
    .name = "sla_policies_all",
    .sql = "SELECT " COLUMNS " FROM sla.policies",
};

static const struct pg_statement select_one = {
    .name = "sla_policy",
    .sql = "SELECT " COLUMNS " FROM sla.policies WHERE partition = $1::int2 AND account = $2::text",
};

/* Since when there have been targets at all; 0: there are none. */
static int64_t first_since(const int64_t since_us[SLA_KINDS])
{
    int64_t first_us = 0;
    for (int kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++)
        if (since_us[kind] && (!first_us || since_us[kind] < first_us))
            first_us = since_us[kind];
    return first_us;
}

/* What it points to lives as long as the result. */
static void read_row(const pg_result *result, int row, struct stored *ret_stored)
{
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
        .time_zone = pg_get_text(result, row, 7),
    };
    ret_stored->packed = pg_get_bytes(result, row, 6, &ret_stored->length);
    for (int kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++) {
        ret_stored->since_us[kind] = pg_get_time(result, row, 6 + kind);
        ret_stored->row.policy.has_targets |= ret_stored->since_us[kind] != 0;
    }
    int64_t settled_us = pg_get_time(result, row, 11);
    ret_stored->row.settled_time_us = settled_us ? settled_us : first_since(ret_stored->since_us);
    snprintf(ret_stored->row.account, sizeof ret_stored->row.account, "%s", pg_get_text(result, row, 0));
}

static bool replace_all(sla_policies *policies, const pg_result *result, error *err)
{
    struct entry *entry, *next;
    struct stored row;
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
                sla_policies_remove(policies, entry);
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
    bool ok = pg_pool_query(policies->pool, &select_one, &params, deadline_us, &result, err);
    arena_free(memory);
    if (!ok)
        return false;
    struct stored stored = {.row = {.policy = sla_rules_default()}};
    bool found = pg_rows(result) > 0;
    ok = true;
    if (found) {
        read_row(result, 0, &stored);
        ok = remember(policies, &stored, err);
    }
    pg_result_free(result);
    if (!ok)
        return false;
    snprintf(stored.row.account, sizeof stored.row.account, "%s", account);
    *ret_row = stored.row;
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
        " update_time = $5::timestamptz, terms = $6::bytea, time_zone = $7::text, first_reply_since ="
        " $8::timestamptz, next_reply_since = $9::timestamptz, resolution_since = $10::timestamptz WHERE "
        "partition = $1::int2 AND account = $2::text RETURNING " COLUMNS,
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
    sla_policies_add_account(&params, update->account);
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

/* --- targets and calendar ------------------------------------------------------------------------- */

/* Targets and calendar after the update, and since when there are targets of each kind. */
static bool merge_terms(const struct sla_policy_update *update, const struct stored *before, arena *memory,
                        wire_policy **ret_wire, int64_t ret_since_us[SLA_KINDS], error *err)
{
    wire_policy *wire;
    if (!unpack(before->packed, before->length, memory, &wire, err))
        return false;
    if (update->set_targets) {
        wire->targets = update->wire->targets;
        wire->n_targets = update->wire->n_targets;
    }
    if (update->set_calendar)
        wire->calendar = update->wire->calendar;
    for (int kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++) {
        bool has = sla_terms_has_kind(wire, (enum sla_kind)kind);
        int64_t since_us = before->since_us[kind] ? before->since_us[kind] : update->now_us;
        ret_since_us[kind] = has ? since_us : 0;
    }
    *ret_wire = wire;
    return true;
}

bool sla_policies_merged(sla_policies *policies, const struct sla_policy_update *update, arena *memory,
                         wire_policy **ret_wire, int64_t ret_since_us[SLA_KINDS], error *err)
{
    struct entry *entry;
    struct stored before = {0};
    pthread_rwlock_rdlock(&policies->lock);
    HASH_FIND_STR(policies->entries, update->account, entry);
    if (entry) {
        before.packed = entry->packed;
        before.length = entry->length;
        memcpy(before.since_us, entry->since_us, sizeof before.since_us);
    }
    bool ok = merge_terms(update, &before, memory, ret_wire, ret_since_us, err);
    pthread_rwlock_unlock(&policies->lock);
    return ok;
}

/* The parameters of update_row: what changes, and what stays as it was before. */
static bool add_policy(pg_params *params, const struct sla_policy_update *update, const struct stored *before,
                       arena *memory, error *err)
{
    wire_policy *wire;
    int64_t since_us[SLA_KINDS] = {0};
    if (!merge_terms(update, before, memory, &wire, since_us, err))
        return false;
    size_t length = protobuf_c_message_get_packed_size(&wire->base);
    void *packed = arena_alloc(memory, length + 1);
    if (!packed)
        return out_of_memory(err);
    protobuf_c_message_pack(&wire->base, packed);
    pg_params_init(params, memory);
    sla_policies_add_account(params, update->account);
    pg_add_int2(params, update->set_closing ? update->rule : before->row.policy.rule);
    pg_add_int8(params, update->set_closing ? update->duration_us : before->row.policy.duration_us);
    pg_add_time(params, update->now_us);
    pg_add_bytea(params, packed, length);
    pg_add_text(params, update->time_zone ? update->time_zone : before->time_zone);
    for (int kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++)
        pg_add_time(params, since_us[kind]);
    return true;
}

/* What the row points to is copied into the arena. */
static bool take_row(pg_conn *conn, const struct pg_statement *statement, const pg_params *params,
                     int64_t deadline_us, arena *memory, struct stored *ret_row, error *err)
{
    pg_result *result;
    if (!pg_query(conn, statement, params, deadline_us, &result, err))
        return false;
    bool ok = pg_rows(result) == 1;
    if (ok) {
        read_row(result, 0, ret_row);
        ret_row->packed = arena_memdup(memory, ret_row->packed, ret_row->length);
        ret_row->time_zone = arena_strdup(memory, ret_row->time_zone);
        ok = (ret_row->packed && ret_row->time_zone) || out_of_memory(err);
    } else {
        error_set(err, STATUS_INTERNAL, "NO_POLICY_ROW", "the policy cannot be stored");
    }
    pg_result_free(result);
    return ok;
}

static void add_default(pg_params *params, const struct sla_policy_update *update, arena *memory)
{
    struct sla_policy usual = sla_rules_default();
    pg_params_init(params, memory);
    sla_policies_add_account(params, update->account);
    pg_add_int2(params, usual.rule);
    pg_add_int8(params, usual.duration_us);
    pg_add_time(params, update->now_us);
}

static bool update_in_transaction(pg_conn *conn, const struct sla_policy_update *update, int64_t deadline_us,
                                  arena *memory, struct stored *ret_row, error *err)
{
    bool repeated;
    pg_params usual, policy, account;
    struct stored before;
    add_default(&usual, update, memory);
    pg_params_init(&account, memory);
    sla_policies_add_account(&account, update->account);
    if (!check_request(conn, update, deadline_us, memory, &repeated, err))
        return false;
    if (repeated)
        return take_row(conn, &lock_row, &account, deadline_us, memory, ret_row, err);
    if (!pg_query(conn, &ensure_row, &usual, deadline_us, NULL, err) ||
        !take_row(conn, &lock_row, &account, deadline_us, memory, &before, err))
        return false;
    if (update->expected_version >= 0 && update->expected_version != before.row.policy.version)
        return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "the policy has been changed meanwhile");
    return add_policy(&policy, update, &before, memory, err) &&
           take_row(conn, &update_row, &policy, deadline_us, memory, ret_row, err);
}

bool sla_policies_update(sla_policies *policies, const struct sla_policy_update *update, int64_t deadline_us,
                         struct sla_policy_row *ret_row, error *err)
{
    pg_conn *conn;
    if (!pg_pool_acquire(policies->pool, deadline_us, &conn, err))
        return false;
    struct stored row;
    arena *memory = arena_new(QUERY_BYTES_MAX);
    bool ok = memory != NULL;
    if (!ok)
        out_of_memory(err);
    ok = ok && pg_begin(conn, deadline_us, err);
    if (ok) {
        ok = update_in_transaction(conn, update, deadline_us, memory, &row, err) &&
             pg_commit(conn, deadline_us, err);
        if (!ok)
            pg_rollback(conn);
    }
    pg_pool_release(policies->pool, conn);
    ok = ok && remember(policies, &row, err);
    arena_free(memory);
    if (ok)
        *ret_row = row.row;
    return ok;
}
