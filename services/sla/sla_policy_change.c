/* A policy changed: the request that has been carried out before, and what comes of targets and calendar. */

#include "base/arena.h"
#include "base/clock.h"
#include "sla/sla_policy_private.h"

#include <string.h>

typedef Casework__Sla__V1__SlaPolicy wire_policy;

enum { EFFECT_VALUES = 5 };

/* --- requests ------------------------------------------------------------------------------------- */

static const struct pg_statement insert_request = {
    .name = "sla_request_insert",
    .sql = "INSERT INTO sla.request_ids (partition, account, request_id, fingerprint, effect, time)"
           " VALUES ($1::int2, $2::text, $3::text, $4::bytea, $5::int8[], clock_timestamp())"
           " ON CONFLICT (partition, account, request_id) DO UPDATE SET time = request_ids.time"
           " RETURNING fingerprint, xmax = 0, effect, position",
};

static const struct pg_statement keep_position = {
    .name = "sla_request_position",
    .sql = "UPDATE sla.request_ids SET position = CASE position WHEN 0 THEN $4::int8 ELSE position END"
           " WHERE partition = $1::int2 AND account = $2::text AND request_id = $3::text RETURNING position",
};

static const struct pg_statement forget_requests = {
    .name = "sla_requests_forget",
    .sql = "DELETE FROM sla.request_ids WHERE time < clock_timestamp() - interval '24 hours'",
};

/* The members of the column `effect`, in this order. */
static void pack_effect(const struct sla_effect *effect, int64_t ret_values[EFFECT_VALUES])
{
    ret_values[0] = effect->moved;
    ret_values[1] = effect->added;
    ret_values[2] = effect->removed;
    ret_values[3] = effect->closing;
    ret_values[4] = effect->breached;
}

/* Empty for a request that an older version of the service has answered. */
static bool read_effect(const pg_result *result, arena *memory, struct sla_effect *ret_effect, error *err)
{
    int64_t *values;
    size_t count;
    if (!pg_get_int_array(result, 0, 2, memory, &values, &count))
        return sla_policies_no_memory(err);
    *ret_effect = count == EFFECT_VALUES
                      ? (struct sla_effect){values[0], values[1], values[2], values[3], values[4]}
                      : (struct sla_effect){0};
    return true;
}

/* *ret_repeated: this very request has been carried out before. */
static bool check_request(pg_conn *conn, const struct sla_policy_update *update, int64_t deadline_us,
                          arena *memory, bool *ret_repeated, struct sla_policy_answer *ret_answer, error *err)
{
    int64_t effect[EFFECT_VALUES];
    *ret_repeated = false;
    *ret_answer = (struct sla_policy_answer){.effect = update->effect};
    if (!update->request_id[0])
        return true;
    if (!pg_query(conn, &forget_requests, NULL, deadline_us, NULL, err))
        return false;
    pg_params params;
    pg_params_init(&params, memory);
    sla_policies_add_account(&params, update->account);
    pg_add_text(&params, update->request_id);
    pg_add_bytea(&params, update->fingerprint, update->fingerprint_length);
    pack_effect(&update->effect, effect);
    pg_add_int8_array(&params, effect, EFFECT_VALUES);
    pg_result *result;
    if (!pg_query(conn, &insert_request, &params, deadline_us, &result, err))
        return false;
    size_t length = 0;
    const void *stored = pg_get_bytes(result, 0, 0, &length);
    bool fresh = pg_get_bool(result, 0, 1);
    bool same =
        stored && length == update->fingerprint_length && memcmp(stored, update->fingerprint, length) == 0;
    bool read = read_effect(result, memory, &ret_answer->effect, err);
    ret_answer->position = pg_get_int(result, 0, 3);
    pg_result_free(result);
    *ret_repeated = !fresh;
    if (read && !fresh && !same)
        return error_set(err, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED",
                         "request_id was used before for another request");
    return read;
}

bool sla_policies_keep_position(sla_policies *policies, const struct sla_policy_update *update,
                                int64_t deadline_us, int64_t *position, error *err)
{
    arena *memory = arena_new(QUERY_BYTES_MAX);
    if (!memory)
        return sla_policies_no_memory(err);
    pg_params params;
    pg_params_init(&params, memory);
    sla_policies_add_account(&params, update->account);
    pg_add_text(&params, update->request_id);
    pg_add_int8(&params, *position);
    pg_result *result;
    bool ok = pg_pool_query(policies->pool, &keep_position, &params, deadline_us, &result, err);
    if (ok && pg_rows(result) > 0)
        *position = pg_get_int(result, 0, 0);
    if (ok)
        pg_result_free(result);
    arena_free(memory);
    return ok;
}

/* --- targets and calendar ------------------------------------------------------------------------- */

/* Targets and calendar after the update of what was there before, and since when each target is there. */
static bool merge_terms(const struct sla_policy_update *update, const void *packed, size_t length,
                        const sla_terms *before, arena *memory, wire_policy **ret_wire,
                        int64_t ret_since_us[SLA_TERMS_TARGETS_MAX], error *err)
{
    wire_policy *wire;
    if (!sla_policies_unpack(packed, length, memory, &wire, err))
        return false;
    if (update->set_targets) {
        wire->targets = update->wire->targets;
        wire->n_targets = update->wire->n_targets;
    }
    if (update->set_calendar)
        wire->calendar = update->wire->calendar;
    sla_terms_since(wire, before ? sla_terms_targets(before) : NULL, update->now_us, ret_since_us);
    *ret_wire = wire;
    return true;
}

bool sla_policies_merged(sla_policies *policies, const struct sla_policy_update *update, arena *memory,
                         wire_policy **ret_wire, int64_t ret_since_us[SLA_TERMS_TARGETS_MAX], error *err)
{
    struct entry *entry;
    pthread_rwlock_rdlock(&policies->lock);
    HASH_FIND_STR(policies->entries, update->account, entry);
    bool ok = merge_terms(update, entry ? entry->packed : NULL, entry ? entry->length : 0,
                          entry ? entry->terms : NULL, memory, ret_wire, ret_since_us, err);
    pthread_rwlock_unlock(&policies->lock);
    return ok;
}

/* The parameters of update_row: what changes, and what stays as it was before. */
static bool add_policy(pg_params *params, const struct sla_policy_update *update, const struct stored *before,
                       arena *memory, error *err)
{
    wire_policy *wire;
    sla_terms *terms = NULL;
    int64_t since_us[SLA_TERMS_TARGETS_MAX];
    bool ok = sla_policies_make_terms(before, memory, &terms, err) &&
              merge_terms(update, before->packed, before->length, terms, memory, &wire, since_us, err);
    sla_terms_release(terms);
    if (!ok)
        return false;
    size_t length = protobuf_c_message_get_packed_size(&wire->base);
    void *packed = arena_alloc(memory, length + 1);
    if (!packed)
        return sla_policies_no_memory(err);
    protobuf_c_message_pack(&wire->base, packed);
    pg_params_init(params, memory);
    sla_policies_add_account(params, update->account);
    pg_add_int2(params, update->set_closing ? update->rule : before->row.policy.rule);
    pg_add_int8(params, update->set_closing ? update->duration_us : before->row.policy.duration_us);
    pg_add_time(params, update->now_us);
    pg_add_bytea(params, packed, length);
    pg_add_text(params, update->time_zone ? update->time_zone : before->time_zone);
    pg_add_int8_array(params, since_us, wire->n_targets);
    return true;
}

/* --- changing ------------------------------------------------------------------------------------- */

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
        " update_time = $5::timestamptz, terms = $6::bytea, time_zone = $7::text, targets_since = $8::int8[]"
        " WHERE partition = $1::int2 AND account = $2::text RETURNING " COLUMNS,
};

/* The one row that the statement answers. */
static bool take_row(pg_conn *conn, const struct pg_statement *statement, const pg_params *params,
                     int64_t deadline_us, arena *memory, struct stored *ret_row, error *err)
{
    pg_result *result;
    if (!pg_query(conn, statement, params, deadline_us, &result, err))
        return false;
    bool ok = pg_rows(result) == 1
                  ? sla_policies_read_row(result, 0, memory, ret_row, err)
                  : error_set(err, STATUS_INTERNAL, "NO_POLICY_ROW", "the policy cannot be stored");
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
                                  arena *memory, struct stored *ret_row, struct sla_policy_answer *ret_answer,
                                  error *err)
{
    bool repeated;
    pg_params usual, policy, account;
    struct stored before;
    add_default(&usual, update, memory);
    pg_params_init(&account, memory);
    sla_policies_add_account(&account, update->account);
    if (!check_request(conn, update, deadline_us, memory, &repeated, ret_answer, err))
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
                         struct sla_policy_row *ret_row, struct sla_policy_answer *ret_answer, error *err)
{
    pg_conn *conn;
    if (!pg_pool_acquire(policies->pool, deadline_us, &conn, err))
        return false;
    struct stored row;
    struct sla_policy_answer answer;
    arena *memory = arena_new(QUERY_BYTES_MAX);
    bool ok = memory != NULL;
    if (!ok)
        sla_policies_no_memory(err);
    ok = ok && pg_begin(conn, deadline_us, err);
    if (ok) {
        ok = update_in_transaction(conn, update, deadline_us, memory, &row, &answer, err) &&
             pg_commit(conn, deadline_us, err);
        if (!ok)
            pg_rollback(conn);
    }
    pg_pool_release(policies->pool, conn);
    ok = ok && sla_policies_remember(policies, &row, err);
    arena_free(memory);
    if (ok) {
        *ret_row = row.row;
        *ret_answer = answer;
    }
    return ok;
}
