#include "case/case_watch_read.h"

#include "base/clock.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/event.pb-c.h"
#include "rpc/wire.h"

/* Rows of one read. A case with all its attributes has 70 KB at the most. */
enum { ROWS_MAX = 200 };

#define READ_TIMEOUT_US (10 * CLOCK_SECOND)

/*
 * A change is told with what was before it: the facts of the event that the same case had before. Accounts'
 * other events are left out, but for the last one of an account.
 */
#define CHANGES(condition)                                                                                   \
    "SELECT " CASE_COLUMNS ", e.position, e.account, e.case_id, e.data, b.data, c.id IS NOT NULL"            \
    " FROM (SELECT partition, position, account, case_id, data FROM events WHERE partition = $1::int2"       \
    " AND position > $2::int8 AND position <= $3::int8 AND " condition                                       \
    " ORDER BY position LIMIT $5::int4) e"                                                                   \
    " LEFT JOIN LATERAL (SELECT data FROM events WHERE partition = $1 AND account = e.account"               \
    " AND case_id = e.case_id AND e.case_id <> 0 AND position < e.position ORDER BY position DESC LIMIT 1) " \
    "b"                                                                                                      \
    " ON true LEFT JOIN LATERAL (SELECT * FROM cases WHERE partition = $1 AND account = e.account"           \
    " AND id = e.case_id LIMIT 1) c ON true"                                                                 \
    " ORDER BY e.position"

/* $4: accounts; $6 is not looked at. 19: the account was deleted. */
static const struct pg_statement watch_changes_of_accounts = {
    .name = "watch_changes_of_accounts",
    .sql = CHANGES("account = ANY($4::text[]) AND (case_id <> 0 OR kind = 19) AND $6::int8 = 0"),
};

/* One case: found by its own index, however much else happened meanwhile. */
static const struct pg_statement watch_changes_of_case = {
    .name = "watch_changes_of_case",
    .sql = CHANGES("account = ($4::text[])[1] AND (case_id = $6::int8 OR (case_id = 0 AND kind = 19))"),
};

enum {
    COLUMN_POSITION = CASE_COLUMN_COUNT,
    COLUMN_ACCOUNT,
    COLUMN_CASE_ID,
    COLUMN_EVENT,
    COLUMN_BEFORE,
    COLUMN_IS_THERE,
};

/*
 * $3, $4: the cut. The facts are those at the head that is read in the same moment. `due` ends where the 24
 * hours begin; the first one behind it says when to come again.
 */
static const struct pg_statement watch_expiries = {
    .name = "watch_expiries",
    .sql =
        "WITH now AS MATERIALIZED (SELECT p.head, coalesce(s.manual_time, clock_timestamp()) - interval '24 "
        "hours' AS since FROM partitions p CROSS JOIN suite s WHERE p.partition = $1::int2)"
        " SELECT n.head, n.since, f.open_time, c.id, c.open_time, c.data FROM now n"
        " LEFT JOIN LATERAL (SELECT open_time FROM cases WHERE partition = $1 AND account = $2::text"
        " AND status <> 6 AND open_time >= n.since ORDER BY open_time, id LIMIT 1) f ON true"
        " LEFT JOIN LATERAL (SELECT d.id, d.open_time, e.data FROM (SELECT id, open_time FROM cases"
        " WHERE partition = $1 AND account = $2 AND status <> 6 AND open_time < n.since"
        " AND (open_time, id) > ($3::timestamptz, $4::int8) ORDER BY open_time, id LIMIT $5::int4) d"
        " CROSS JOIN LATERAL (SELECT data FROM events WHERE partition = $1 AND account = $2"
        " AND case_id = d.id AND position <= n.head ORDER BY position DESC LIMIT 1) e) c ON true"
        " ORDER BY c.open_time, c.id",
};

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for what is watched");
}

/* The facts in a stored event; NULL in *ret_facts where there is no event. */
static bool facts_of(const pg_result *result, int row, int column, arena *memory,
                     const Casework__Cases__V1__CaseFacts **ret_facts, error *err)
{
    size_t length;
    const void *data = pg_get_bytes(result, row, column, &length);
    *ret_facts = NULL;
    if (!data)
        return true;
    ProtobufCMessage *event;
    if (!wire_unpack(&casework__cases__v1__event__descriptor, data, length, memory, &event, err))
        return false;
    *ret_facts = ((const Casework__Cases__V1__Event *)event)->case_facts;
    return true;
}

/* --- changes --- */

/* What the present row has is taken back to what the event says; texts and the lock stay as they are. */
static void turn_back(Casework__Cases__V1__Case *item, const Casework__Cases__V1__CaseFacts *facts)
{
    item->status = facts->status;
    item->owner = facts->owner;
    item->involved_agents = facts->involved_agents;
    item->n_involved_agents = facts->n_involved_agents;
    item->contact = facts->contact;
    item->channel = facts->channel;
    item->labels = facts->labels;
    item->n_labels = facts->n_labels;
    item->classifications = facts->classifications;
    item->n_classifications = facts->n_classifications;
    item->priority = facts->priority;
    item->need_reply = facts->need_reply;
    item->message_count = facts->message_count;
    item->create_time = facts->create_time;
    item->update_time = facts->update_time;
    item->open_time = facts->open_time;
    item->resolve_time = facts->resolve_time;
    item->close_time = facts->close_time;
    item->delete_time = facts->delete_time;
    item->first_reply_time = facts->first_reply_time;
    item->merged_into = facts->merged_into;
    item->version = facts->version;
    item->change_version = facts->change_version;
    item->activity_version = facts->activity_version;
}

static bool item_of(const pg_result *result, int row, arena *memory, struct watch_change *change, error *err)
{
    struct case_record record;
    if (!change->after || !pg_get_bool(result, row, COLUMN_IS_THERE))
        return true;
    if (!case_row_read(result, row, memory, &record, err))
        return false;
    change->item = case_wire(memory, &record);
    if (!change->item)
        return no_memory(err);
    turn_back(change->item, change->after);
    change->item->etag = case_wire_etag(memory, change->after->version);
    return change->item->etag || no_memory(err);
}

static bool change_of(const pg_result *result, int row, arena *memory, struct watch_change *change,
                      error *err)
{
    *change = (struct watch_change){.position = pg_get_int(result, row, COLUMN_POSITION),
                                    .account = pg_get_text(result, row, COLUMN_ACCOUNT),
                                    .case_id = pg_get_int(result, row, COLUMN_CASE_ID)};
    return facts_of(result, row, COLUMN_EVENT, memory, &change->after, err) &&
           facts_of(result, row, COLUMN_BEFORE, memory, &change->before, err) &&
           item_of(result, row, memory, change, err);
}

static bool changes_of(const pg_result *result, const struct watch_range *range, arena *memory,
                       struct watch_changes *changes, error *err)
{
    int rows = pg_rows(result);
    changes->list = arena_calloc(memory, (size_t)rows + 1, sizeof *changes->list);
    if (!changes->list)
        return no_memory(err);
    for (int row = 0; row < rows; row++, changes->count++) {
        if (!change_of(result, row, memory, &changes->list[row], err))
            return false;
    }
    changes->upto = rows < ROWS_MAX ? range->upto : changes->list[rows - 1].position;
    return true;
}

static bool run(pg_pool *pool, const struct pg_statement *statement, const pg_params *params,
                pg_result **ret_result, error *err)
{
    return pg_pool_query(pool, statement, params, clock_monotonic_us() + READ_TIMEOUT_US, ret_result, err);
}

bool watch_read_changes(pg_pool *pool, const struct watch_range *range, arena *memory,
                        struct watch_changes *ret_changes, error *err)
{
    struct watch_changes changes = {0};
    pg_params params;
    pg_params_init(&params, memory);
    pg_add_int2(&params, range->partition);
    pg_add_int8(&params, range->after);
    pg_add_int8(&params, range->upto);
    pg_add_text_array(&params, range->accounts, range->account_count);
    pg_add_int4(&params, ROWS_MAX);
    pg_add_int8(&params, range->case_id);
    if (!run(pool, range->case_id ? &watch_changes_of_case : &watch_changes_of_accounts, &params,
             &changes.result, err))
        return false;
    if (!changes_of(changes.result, range, memory, &changes, err)) {
        pg_result_free(changes.result);
        return false;
    }
    *ret_changes = changes;
    return true;
}

void watch_changes_release(struct watch_changes *changes)
{
    pg_result_free(changes->result);
    *changes = (struct watch_changes){0};
}

/* --- expiries --- */

enum { EXPIRY_HEAD, EXPIRY_SINCE, EXPIRY_NEXT, EXPIRY_CASE, EXPIRY_OPEN_TIME, EXPIRY_EVENT };

static bool expiries_of(const pg_result *result, arena *memory, struct watch_expiries *expiries, error *err)
{
    int rows = pg_rows(result);
    expiries->list = arena_calloc(memory, (size_t)rows + 1, sizeof *expiries->list);
    if (!expiries->list)
        return no_memory(err);
    for (int row = 0; row < rows && !pg_is_null(result, row, EXPIRY_CASE); row++) {
        struct watch_expiry *expiry = &expiries->list[expiries->count++];
        expiry->open_time = pg_get_time(result, row, EXPIRY_OPEN_TIME);
        expiry->case_id = pg_get_int(result, row, EXPIRY_CASE);
        if (!facts_of(result, row, EXPIRY_EVENT, memory, &expiry->facts, err))
            return false;
    }
    expiries->position = pg_get_int(result, 0, EXPIRY_HEAD);
    int64_t next = pg_get_time(result, 0, EXPIRY_NEXT);
    expiries->next_due = next ? next + CLOCK_DAY + 1 : INT64_MAX;
    /* Exactly 24 hours ago is within them. */
    expiries->cut = (struct watch_cut){pg_get_time(result, 0, EXPIRY_SINCE) - 1, INT64_MAX};
    if (expiries->count == ROWS_MAX) {
        const struct watch_expiry *last = &expiries->list[expiries->count - 1];
        expiries->cut = (struct watch_cut){last->open_time, last->case_id};
        expiries->next_due = 0;
    }
    return true;
}

bool watch_read_expiries(pg_pool *pool, int partition, const char *account, const struct watch_cut *cut,
                         arena *memory, struct watch_expiries *ret_expiries, error *err)
{
    struct watch_expiries expiries = {.from = *cut};
    pg_result *result;
    pg_params params;
    pg_params_init(&params, memory);
    pg_add_int2(&params, partition);
    pg_add_text(&params, account);
    pg_add_time(&params, cut->open_time);
    pg_add_int8(&params, cut->case_id);
    pg_add_int4(&params, ROWS_MAX);
    if (!run(pool, &watch_expiries, &params, &result, err))
        return false;
    bool good = expiries_of(result, memory, &expiries, err);
    pg_result_free(result);
    if (good)
        *ret_expiries = expiries;
    return good;
}
