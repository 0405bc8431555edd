/* Writes of what waits for delivery, and of how deliveries went. */

#include "case/case_store_rows.h"

static const struct pg_statement insert_outgoing = {
    .name = "case_insert_outgoing",
    .rows = true,
    .sql = "INSERT INTO outgoing (partition, account, channel, position, case_id, number)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int8[]), "
           "unnest($5::int8[]), unnest($6::int4[])",
};

static const struct pg_statement remove_outgoing = {
    .name = "case_remove_outgoing",
    .rows = true,
    .sql = "DELETE FROM outgoing o USING (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
           "unnest($4::int4[]))"
           " AS u(partition, account, case_id, number) WHERE o.partition = u.partition AND o.account = "
           "u.account AND o.case_id = u.case_id"
           " AND o.number = u.number",
};

static const struct pg_statement set_deliveries = {
    .name = "case_set_deliveries",
    .rows = true,
    .sql = "UPDATE messages m SET delivery = u.delivery, delivery_failure = u.failure,"
           " external_id = u.external_id"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "unnest($5::int2[]), unnest($6::text[]), unnest($7::text[]))"
           " AS u(partition, account, case_id, number, delivery, failure, external_id)"
           " WHERE m.partition = u.partition AND m.account = u.account AND m.case_id = u.case_id"
           " AND m.number = u.number",
};

/* The message has joined another case: its copies there tell the same. */
static const struct pg_statement set_copies = {
    .name = "case_set_delivered_copies",
    .rows = true,
    .sql = "UPDATE messages m SET delivery = u.delivery, delivery_failure = u.failure,"
           " external_id = u.external_id"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "unnest($5::int2[]), unnest($6::text[]), unnest($7::text[]))"
           " AS u(partition, account, case_id, number, delivery, failure, external_id)"
           " WHERE m.partition = u.partition AND m.account = u.account AND m.origin_case = u.case_id"
           " AND m.origin_number = u.number AND m.origin_case <> 0",
};

/* Still waits after all commands of the batch? */
static bool is_queued(const struct overlay *overlay, const struct case_event *event)
{
    if (event->kind != EVENT_KIND_MESSAGE_ADDED || event->message->delivery != DELIVERY_QUEUED)
        return false;
    const struct message_entry *now =
        overlay_find(overlay, &(struct entry_key){ENTRY_MESSAGE, event->account, "", "", event->facts->id,
                                                  event->message->number});
    return now != NULL && now->record.delivery == DELIVERY_QUEUED && !now->record.redacted;
}

static bool write_queue(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_INT8, PG_INT8, PG_INT4);
    for (size_t i = 0; i < overlay->events.count; i++) {
        const struct case_event *event = overlay->events.items[i];
        if (!is_queued(overlay, event))
            continue;
        rows_begin_row(&rows, event->account);
        rows_put_text(&rows, event->facts->channel);
        rows_put_int(&rows, event->position);
        rows_put_int(&rows, event->facts->id);
        rows_put_int(&rows, event->message->number);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_outgoing, batch, err);
}

static bool is_merged(const struct overlay *overlay, const struct message_record *message)
{
    const struct case_entry *entry =
        overlay_find(overlay, &(struct entry_key){ENTRY_CASE, message->account, "", "", message->case_id, 0});
    return entry != NULL && entry->record.merged_into != 0;
}

static void put_delivery(struct rows *rows, const struct message_record *record)
{
    rows_begin_row(rows, record->account);
    rows_put_int(rows, record->case_id);
    rows_put_int(rows, record->number);
    rows_put_int(rows, record->delivery);
    rows_put_text(rows, record->delivery_failure);
    rows_put_text(rows, record->external_id);
    rows_end_row(rows);
}

static bool write_reports(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows removed, set, copies;
    ROWS_BEGIN(&removed, overlay, PG_INT8, PG_INT4);
    ROWS_BEGIN(&set, overlay, PG_INT8, PG_INT4, PG_INT2, PG_TEXT, PG_TEXT);
    ROWS_BEGIN(&copies, overlay, PG_INT8, PG_INT4, PG_INT2, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        const struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        const struct message_record *record = &message->record;
        if (!message->reported)
            continue;
        rows_begin_row(&removed, record->account);
        rows_put_int(&removed, record->case_id);
        rows_put_int(&removed, record->number);
        rows_end_row(&removed);
        put_delivery(&set, record);
        if (is_merged(overlay, record))
            put_delivery(&copies, record);
    }
    return rows_write(&removed, &remove_outgoing, batch, err) &&
           rows_write(&set, &set_deliveries, batch, err) && rows_write(&copies, &set_copies, batch, err);
}

bool store_write_outgoing(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_queue(overlay, batch, err) && write_reports(overlay, batch, err);
}
