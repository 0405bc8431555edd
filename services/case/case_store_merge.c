#include "case/case_store_merge.h"

#include "case/case_row.h"
#include "case/case_store_rows.h"

#include <string.h>

/* --- reads ------------------------------------------------------------------------------------------------
 */

const struct pg_statement store_read_destinations = {
    .name = "case_destinations",
    .rows = true,
    .sql =
        "SELECT " CASE_COLUMNS ", h.network, h.address, k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
        "generate_subscripts($1::int2[], 1)) AS k(partition, account, id, ord),"
        " LATERAL (WITH RECURSIVE w AS (SELECT k.id UNION ALL SELECT n.merged_into FROM w JOIN cases n"
        " ON n.partition = k.partition AND n.account = k.account AND n.id = w.id WHERE n.merged_into <> 0)"
        " SELECT n.* FROM w JOIN cases n ON n.partition = k.partition AND n.account = k.account AND n.id = "
        "w.id"
        " AND n.merged_into = 0 LIMIT 1) c"
        " LEFT JOIN LATERAL (SELECT t.network, t.address FROM channels t WHERE t.partition = k.partition"
        " AND t.account = c.account AND t.channel = c.channel LIMIT 1) h ON true",
};

/* One more than can be undone tells that there are too many. */
const struct pg_statement store_read_conversations = {
    .name = "case_conversations",
    .rows = true,
    .sql =
        "SELECT m.number, m.kind, m.state, m.delivery, m.automatic, m.redacted, m.send_time, m.create_time,"
        " m.author, m.merged_from, m.origin_case, m.origin_number, k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
        "generate_subscripts($1::int2[], 1)) AS k(partition, account, case_id, "
        "ord),"
        " LATERAL (SELECT * FROM messages t WHERE t.partition = k.partition AND t.account = k.account"
        " AND t.case_id = k.case_id ORDER BY t.number LIMIT 100001) m ORDER BY k.ord, m.number",
};

const struct pg_statement store_read_merges = {
    .name = "case_merges_of",
    .rows = true,
    .sql = "SELECT e.source, e.target, e.agents, e.added, k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "target, ord),"
           " LATERAL (SELECT * FROM case_merges t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.target = k.target ORDER BY t.source) e",
};

const struct pg_statement store_read_batch_results = {
    .name = "case_batch_results",
    .rows = true,
    .sql = "SELECT r.refusals, k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "request_id, ord),"
           " LATERAL (SELECT * FROM batch_results t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.request_id = k.request_id LIMIT 1) r",
};

const struct pg_statement store_read_timer_steps = {
    .name = "case_timer_steps",
    .rows = true,
    .sql = "SELECT k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
           "unnest($4::text[]), "
           "generate_subscripts($1::int2[], 1))"
           " AS k(partition, account, case_id, which, ord),"
           " LATERAL (SELECT 1 FROM timer_steps t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.case_id = k.case_id AND t.kind = split_part(k.which, '.', 1)::int2"
           " AND t.step = split_part(k.which, '.', 2)::int2 AND t.basis_version = split_part(k.which, '.', "
           "3)::int8 LIMIT 1) s",
};

const struct pg_statement store_read_replies = {
    .name = "case_replies",
    .rows = true,
    .sql = "SELECT r.send_time, k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, "
           "account, case_id, number, ord),"
           " LATERAL (SELECT 1 FROM messages t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.case_id = k.case_id AND t.number = k.number AND t.kind = 1 AND NOT t.automatic LIMIT 1) c"
           " LEFT JOIN LATERAL (SELECT t.send_time FROM messages t WHERE t.partition = k.partition"
           " AND t.account = k.account AND t.case_id = k.case_id AND t.number > k.number AND t.kind = 2"
           " AND NOT t.automatic ORDER BY t.number LIMIT 1) r ON true",
};

bool store_load_conversation(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err)
{
    (void)err;
    struct conversation_entry *conversation = entry;
    if (conversation->count == conversation->size) {
        size_t size = conversation->size == 0 ? 32 : 2 * conversation->size;
        struct message_record *grown = arena_calloc(overlay->memory, size, sizeof *grown);
        if (grown == NULL) {
            overlay->failed = true;
            return true;
        }
        if (conversation->count > 0)
            memcpy(grown, conversation->items, conversation->count * sizeof *grown);
        conversation->items = grown;
        conversation->size = size;
    }
    conversation->entry.exists = true;
    conversation->items[conversation->count++] = (struct message_record){
        .account = conversation->entry.key.account,
        .case_id = conversation->entry.key.n,
        .number = (int32_t)pg_get_int(result, row, 0),
        .kind = (enum message_kind)pg_get_int(result, row, 1),
        .state = (enum message_state)pg_get_int(result, row, 2),
        .delivery = (enum delivery_state)pg_get_int(result, row, 3),
        .automatic = pg_get_bool(result, row, 4),
        .redacted = pg_get_bool(result, row, 5),
        .send_time = pg_get_time(result, row, 6),
        .create_time = pg_get_time(result, row, 7),
        .author = pg_get_text(result, row, 8),
        .third_party = "",
        .external_id = "",
        .delivery_failure = "",
        .body = "",
        .merged_from = pg_get_int(result, row, 9),
        .origin_case = pg_get_int(result, row, 10),
        .origin_number = (int32_t)pg_get_int(result, row, 11),
    };
    return true;
}

static bool read_list(struct overlay *overlay, const pg_result *result, int row, int column,
                      struct text_list *ret_list, error *err)
{
    return pg_get_text_array(result, row, column, overlay->memory, &ret_list->items, &ret_list->count) ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the batch needs too much memory");
}

bool store_load_merge(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    const struct entry *target = entry;
    int64_t source = pg_get_int(result, row, 0);
    struct merge_entry *merge = overlay_merge(overlay, target->key.account, source);
    if (merge == NULL || merge->was_stored)
        return true;
    merge->entry.exists = merge->was_stored = true;
    merge->merge.source = source;
    merge->merge.target = pg_get_int(result, row, 1);
    return read_list(overlay, result, row, 2, &merge->merge.agents, err) &&
           read_list(overlay, result, row, 3, &merge->merge.added, err);
}

bool store_load_batch_result(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err)
{
    struct batch_result_entry *found = entry;
    found->entry.exists = true;
    return read_list(overlay, result, row, 0, &found->refusals, err);
}

bool store_load_timer_step(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)result, (void)row, (void)err;
    ((struct timer_step_entry *)entry)->entry.exists = true;
    return true;
}

bool store_load_reply(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct reply_entry *reply = entry;
    reply->entry.exists = true;
    reply->time = pg_get_time(result, row, 0);
    return true;
}

/* --- writes -----------------------------------------------------------------------------------------------
 */

/*
 * Everything but the number, the state and where it came from is as it stands in the source, or in its origin
 * where the source has it from this batch. The two are alike unless the source has lost its texts.
 */
static const struct pg_statement insert_copies = {
    .name = "case_insert_copies",
    .rows = true,
    .sql =
        "INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, "
        "redacted,"
        " send_time, create_time, author, third_party, external_id, delivery_failure, merged_from, body,"
        " attachments, origin_case, origin_number)"
        " SELECT o.partition, o.account, u.case_id, u.number, o.kind, u.state,"
        " CASE WHEN u.erased AND o.delivery = 1 THEN 3 ELSE o.delivery END, o.automatic,"
        " o.redacted OR u.erased, o.send_time, o.create_time,"
        " CASE WHEN u.erased AND o.author !~ " MESSAGE_AUTHOR_STAYS " THEN '' ELSE o.author END,"
        " CASE WHEN u.erased THEN '' ELSE o.third_party END,"
        " CASE WHEN u.erased THEN '' ELSE o.external_id END,"
        " CASE WHEN NOT u.erased THEN o.delivery_failure"
        " WHEN o.delivery = 1 THEN '" CASE_DELIVERY_REDACTED "' ELSE '' END,"
        " u.merged_from, CASE WHEN u.erased THEN '' ELSE o.body END,"
        " CASE WHEN u.erased THEN '{}' ELSE o.attachments END, u.origin_case, u.origin_number"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
        "unnest($5::int2[]), unnest($6::int8[]), unnest($7::int4[]), unnest($8::bool[]), unnest($9::int8[]),"
        " unnest($10::int4[]))"
        " AS u(partition, account, case_id, number, state, merged_from, source_number, erased, origin_case,"
        " origin_number),"
        " LATERAL (SELECT * FROM (SELECT 1 AS place, t.* FROM messages t WHERE t.partition = u.partition"
        " AND t.account = u.account AND t.case_id = u.merged_from AND t.number = u.source_number"
        " UNION ALL SELECT 2, t.* FROM messages t WHERE t.partition = u.partition AND t.account = u.account"
        " AND t.case_id = u.origin_case AND t.number = u.origin_number) p ORDER BY place LIMIT 1) o",
};

static const struct pg_statement delete_copies = {
    .name = "case_delete_copies",
    .rows = true,
    .sql = "DELETE FROM messages m USING (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
           "unnest($4::int8[]))"
           " AS u(partition, account, case_id, merged_from) WHERE m.partition = u.partition AND m.account = "
           "u.account"
           " AND m.case_id = u.case_id AND m.merged_from = u.merged_from",
};

static const struct pg_statement delete_merges = {
    .name = "case_delete_merges",
    .rows = true,
    .sql = "DELETE FROM case_merges m USING (SELECT unnest($1::int2[]), unnest($2::text[]), "
           "unnest($3::int8[])) AS u(partition, "
           "account, source)"
           " WHERE m.partition = u.partition AND m.account = u.account AND m.source = u.source",
};

static const struct pg_statement write_merges = {
    .name = "case_write_merges",
    .rows = true,
    .sql = "INSERT INTO case_merges (partition, account, source, target, agents, added)"
           " SELECT partition, account, source, target, agents::text[], added::text[]"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int8[]), "
           "unnest($5::text[]), unnest($6::text[]))"
           " AS u(partition, account, source, target, agents, added)"
           " ON CONFLICT (partition, account, source) DO UPDATE SET target = excluded.target,"
           " agents = excluded.agents, added = excluded.added",
};

static const struct pg_statement write_batch_results = {
    .name = "case_write_batch_results",
    .rows = true,
    .sql = "INSERT INTO batch_results (partition, account, request_id, refusals, time)"
           " SELECT partition, account, request_id, refusals::text[], time"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),"
           " unnest($5::timestamptz[])) AS u(partition, account, request_id, refusals, time)"
           " ON CONFLICT (partition, account, request_id) DO UPDATE SET refusals = excluded.refusals,"
           " time = excluded.time",
};

static const struct pg_statement insert_timer_steps = {
    .name = "case_insert_timer_steps",
    .rows = true,
    .sql = "INSERT INTO timer_steps (partition, account, case_id, kind, step, basis_version)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int2[]), "
           "unnest($5::int2[]), unnest($6::int8[])",
};

bool store_write_left_copies(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT8);
    for (size_t i = 0; i < overlay->left.count; i++) {
        const struct merge_left *left = overlay->left.items[i];
        rows_begin_row(&rows, left->account);
        rows_put_int(&rows, left->target);
        rows_put_int(&rows, left->source);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &delete_copies, batch, err);
}

static bool write_copies(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT4, PG_INT2, PG_INT8, PG_INT4, PG_BOOL, PG_INT8, PG_INT4);
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        const struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        if (!message->is_copy || !message->entry.inserted)
            continue;
        rows_begin_row(&rows, message->record.account);
        rows_put_int(&rows, message->record.case_id);
        rows_put_int(&rows, message->record.number);
        rows_put_int(&rows, message->record.state);
        rows_put_int(&rows, message->record.merged_from);
        rows_put_int(&rows, message->copied_number);
        rows_put_bool(&rows, message->copied_erased);
        rows_put_int(&rows, message->record.origin_case);
        rows_put_int(&rows, message->record.origin_number);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_copies, batch, err);
}

static bool write_merge_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows gone, standing;
    ROWS_BEGIN(&gone, overlay, PG_INT8);
    ROWS_BEGIN(&standing, overlay, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_MERGE].count; i++) {
        const struct merge_entry *entry = overlay->entries[ENTRY_MERGE].items[i];
        if (!entry->entry.changed)
            continue;
        if (!entry->entry.exists && entry->was_stored) {
            rows_begin_row(&gone, entry->entry.key.account);
            rows_put_int(&gone, entry->entry.key.n);
            rows_end_row(&gone);
        }
        if (!entry->entry.exists)
            continue;
        rows_begin_row(&standing, entry->entry.key.account);
        rows_put_int(&standing, entry->merge.source);
        rows_put_int(&standing, entry->merge.target);
        rows_put_list(&standing, &entry->merge.agents);
        rows_put_list(&standing, &entry->merge.added);
        rows_end_row(&standing);
    }
    return rows_write(&gone, &delete_merges, batch, err) && rows_write(&standing, &write_merges, batch, err);
}

static bool write_result_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_BATCH_RESULT].count; i++) {
        const struct batch_result_entry *result = overlay->entries[ENTRY_BATCH_RESULT].items[i];
        if (!result->entry.inserted)
            continue;
        rows_begin_row(&rows, result->entry.key.account);
        rows_put_text(&rows, result->entry.key.a);
        rows_put_list(&rows, &result->refusals);
        rows_put_now(&rows);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_batch_results, batch, err);
}

static bool write_step_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT2, PG_INT2, PG_INT8);
    for (size_t i = 0; i < overlay->entries[ENTRY_TIMER_STEP].count; i++) {
        const struct timer_step_entry *step = overlay->entries[ENTRY_TIMER_STEP].items[i];
        if (!step->entry.inserted)
            continue;
        rows_begin_row(&rows, step->entry.key.account);
        rows_put_int(&rows, step->entry.key.n);
        rows_put_int(&rows, step->step.kind);
        rows_put_int(&rows, step->step.step);
        rows_put_int(&rows, step->step.basis_version);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_timer_steps, batch, err);
}

bool store_write_merges(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_copies(overlay, batch, err) && write_merge_rows(overlay, batch, err) &&
           write_result_rows(overlay, batch, err) && write_step_rows(overlay, batch, err);
}
