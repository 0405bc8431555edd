/*
 * Writes of a batch: one statement a table and kind of change, fed with arrays; none where there is nothing
 * to write.
 */

#include "case/case_row.h"
#include "case/case_store_erase.h"
#include "case/case_store_merge.h"
#include "case/case_store_people.h"
#include "case/case_store_rows.h"
#include "case/case_store_session.h"

#include <inttypes.h>

static const struct pg_statement write_heads = {
    .name = "case_write_heads",
    .rows = true,
    .sql = "UPDATE partitions p SET head = u.head, last_time = u.last_time, mark = $4::int8"
           " FROM (SELECT unnest($1::int2[]), unnest($2::int8[]), unnest($3::timestamptz[])) AS u(partition, "
           "head, last_time)"
           " WHERE p.partition = u.partition",
};

/* Customer messages that were stored before this batch and stand below a state. */
static const struct pg_statement raise_messages = {
    .name = "case_raise_messages",
    .rows = true,
    .sql = "UPDATE messages m SET state = u.state"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "unnest($5::int4[]), unnest($6::int2[]))"
           " AS u(partition, account, case_id, first, last, state)"
           " WHERE m.partition = u.partition AND m.account = u.account AND m.case_id = u.case_id"
           " AND m.number BETWEEN u.first AND u.last AND m.state BETWEEN 1 AND u.state - 1",
};

static const struct pg_statement set_messages = {
    .name = "case_set_messages",
    .rows = true,
    .sql =
        "UPDATE messages m SET state = u.state FROM (SELECT unnest($1::int2[]), unnest($2::text[]), "
        "unnest($3::int8[]), unnest($4::int4[]), "
        "unnest($5::int2[]))"
        " AS u(partition, account, case_id, number, state)"
        " WHERE m.partition = u.partition AND m.account = u.account AND m.case_id = u.case_id AND m.number = "
        "u.number",
};

static const struct pg_statement insert_messages = {
    .name = "case_insert_messages",
    .rows = true,
    .sql =
        "INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, "
        "redacted,"
        " send_time, create_time, author, third_party, external_id, delivery_failure, merged_from, body, "
        "attachments)"
        " SELECT partition, account, case_id, number, kind, state, delivery, automatic, redacted, send_time,"
        " create_time, author, third_party, external_id, delivery_failure, merged_from, body, "
        "attachments::text[]"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
        "unnest($5::int2[]), unnest($6::int2[]), unnest($7::int2[]), unnest($8::bool[]), "
        "unnest($9::bool[]), unnest($10::timestamptz[]), unnest($11::timestamptz[]), "
        "unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), "
        "unnest($16::int8[]), unnest($17::text[]), unnest($18::text[]))"
        " AS u(partition, account, case_id, number, kind, state, delivery, automatic, redacted, send_time, "
        "create_time, "
        "author,"
        " third_party, external_id, delivery_failure, merged_from, body, attachments)",
};

static const struct pg_statement insert_externals = {
    .name = "case_insert_externals",
    .rows = true,
    .sql = "INSERT INTO external_ids (partition, account, channel, external_id, case_id, number)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::int8[]), unnest($6::int4[])",
};

/* One that is over its 24 hours may still be there. */
static const struct pg_statement write_requests = {
    .name = "case_write_requests",
    .rows = true,
    .sql = "INSERT INTO request_ids (partition, account, request_id, fingerprint, method, resource, case_id, "
           "number,"
           " position, time)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bytea[]),"
           " unnest($5::int2[]), unnest($6::text[]), unnest($7::int8[]), unnest($8::int4[]),"
           " unnest($9::int8[]), unnest($10::timestamptz[])"
           " ON CONFLICT (partition, account, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,"
           " method = excluded.method, resource = excluded.resource, case_id = excluded.case_id,"
           " number = excluded.number, position = excluded.position, time = excluded.time",
};

static const struct pg_statement insert_events = {
    .name = "case_insert_events",
    .rows = true,
    .sql = "INSERT INTO events (partition, account, position, case_id, kind, time, data)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int8[]), "
           "unnest($5::int2[]), unnest($6::timestamptz[]), unnest($7::bytea[])",
};

static bool write_message_states(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows raised, set;
    ROWS_BEGIN(&raised, overlay, PG_INT8, PG_INT4, PG_INT4, PG_INT2);
    ROWS_BEGIN(&set, overlay, PG_INT8, PG_INT4, PG_INT2);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (entry->raise_to == MESSAGE_STATE_NONE || entry->first_stored_open == 0)
            continue;
        rows_begin_row(&raised, entry->record.account);
        rows_put_int(&raised, entry->record.id);
        rows_put_int(&raised, entry->first_stored_open);
        rows_put_int(&raised, entry->last_stored);
        rows_put_int(&raised, entry->raise_to);
        rows_end_row(&raised);
    }
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        const struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        if (!message->entry.changed || !message->entry.exists || message->entry.inserted)
            continue;
        rows_begin_row(&set, message->record.account);
        rows_put_int(&set, message->record.case_id);
        rows_put_int(&set, message->record.number);
        rows_put_int(&set, message->record.state);
        rows_end_row(&set);
    }
    return rows_write(&raised, &raise_messages, batch, err) && rows_write(&set, &set_messages, batch, err);
}

bool rows_flat_attachments(arena *memory, const struct message_record *message, struct text_list *ret_flat)
{
    struct text_list flat = {0};
    if (message->attachment_count > 0)
        flat.items = arena_calloc(memory, 4 * message->attachment_count, sizeof *flat.items);
    for (size_t i = 0; flat.items != NULL && i < message->attachment_count; i++) {
        const struct attachment *attachment = &message->attachments[i];
        char *size = arena_printf(memory, "%" PRId64, attachment->size);
        if (size == NULL)
            return false;
        flat.items[flat.count++] = attachment->file_name;
        flat.items[flat.count++] = attachment->content_type;
        flat.items[flat.count++] = size;
        flat.items[flat.count++] = attachment->uri;
    }
    *ret_flat = flat;
    return flat.count == 4 * message->attachment_count;
}

static bool put_attachments(struct rows *rows, const struct message_record *message)
{
    struct text_list flat = {0};
    bool made = rows_flat_attachments(rows->overlay->memory, message, &flat);
    rows_put_list(rows, &flat);
    return made;
}

static bool write_message_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT4, PG_INT2, PG_INT2, PG_INT2, PG_BOOL, PG_BOOL, PG_TIME,
               PG_TIME, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->new_messages.count; i++) {
        const struct message_entry *entry = overlay->new_messages.items[i];
        const struct message_record *record = &entry->record;
        rows_begin_row(&rows, record->account);
        rows_put_int(&rows, record->case_id);
        rows_put_int(&rows, record->number);
        rows_put_int(&rows, record->kind);
        rows_put_int(&rows, record->state);
        rows_put_int(&rows, record->delivery);
        rows_put_bool(&rows, record->automatic);
        rows_put_bool(&rows, record->redacted);
        rows_put_time(&rows, record->send_time);
        rows_put_time(&rows, record->create_time);
        rows_put_text(&rows, record->author);
        rows_put_text(&rows, record->third_party);
        rows_put_text(&rows, record->external_id);
        rows_put_text(&rows, record->delivery_failure);
        rows_put_int(&rows, record->merged_from);
        rows_put_text(&rows, record->body);
        overlay->failed = !put_attachments(&rows, record) || overlay->failed;
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_messages, batch, err);
}

static bool write_external_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4);
    for (size_t i = 0; i < overlay->entries[ENTRY_EXTERNAL].count; i++) {
        const struct external_entry *external = overlay->entries[ENTRY_EXTERNAL].items[i];
        if (!external->entry.inserted)
            continue;
        rows_begin_row(&rows, external->entry.key.account);
        rows_put_text(&rows, external->entry.key.a);
        rows_put_text(&rows, external->entry.key.b);
        rows_put_int(&rows, external->case_id);
        rows_put_int(&rows, external->number);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_externals, batch, err);
}

static bool write_request_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_BYTEA, PG_INT2, PG_TEXT, PG_INT8, PG_INT4, PG_INT8, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_REQUEST].count; i++) {
        const struct request_entry *request = overlay->entries[ENTRY_REQUEST].items[i];
        if (!request->entry.inserted)
            continue;
        rows_begin_row(&rows, request->entry.key.account);
        rows_put_text(&rows, request->entry.key.a);
        rows_put_bytes(&rows, request->fingerprint, sizeof request->fingerprint);
        rows_put_int(&rows, request->method);
        rows_put_text(&rows, request->resource);
        rows_put_int(&rows, request->case_id);
        rows_put_int(&rows, request->number);
        rows_put_int(&rows, request->position);
        rows_put_now(&rows);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_requests, batch, err);
}

enum { EVENT_BYTES_MAX = 1024 * 1024 };

static bool write_event_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT8, PG_INT2, PG_TIME, PG_BYTEA);
    bytes packed;
    bytes_init(&packed, EVENT_BYTES_MAX);
    for (size_t i = 0; i < overlay->events.count; i++) {
        const struct case_event *event = overlay->events.items[i];
        bytes_clear(&packed);
        if (!case_event_pack(event, overlay->memory, &packed)) {
            overlay->failed = true;
            break;
        }
        rows_begin_row(&rows, event->account);
        rows_put_int(&rows, event->position);
        rows_put_int(&rows, event->facts == NULL ? 0 : event->facts->id);
        rows_put_int(&rows, event->kind);
        rows_put_time(&rows, event->time);
        rows_put_bytes(&rows, packed.data, packed.length);
        rows_end_row(&rows);
    }
    bytes_release(&packed);
    return rows_write(&rows, &insert_events, batch, err);
}

/* Of all partitions that a row was written in. */
static bool write_head_rows(const struct overlay *overlay, pg_batch *batch, error *err)
{
    pg_params params;
    pg_params_init(&params, overlay->memory);
    pg_array *partitions = pg_add_array(&params, PG_INT2), *heads = pg_add_array(&params, PG_INT8);
    pg_array *times = pg_add_array(&params, PG_TIME);
    size_t count = 0;
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        const struct overlay_feed *feed = &overlay->feeds[i];
        if (!feed->written)
            continue;
        pg_put_int(partitions, i);
        pg_put_int(heads, feed->head);
        pg_put_time(times, feed->now);
        count++;
    }
    pg_add_int8(&params, pg_batch_mark(batch));
    return count == 0 || pg_batch_write(batch, &write_heads, &params, err);
}

bool case_store_write(struct overlay *overlay, pg_batch *batch, error *err)
{
    bool written = store_write_erased_first(overlay, batch, err) &&
                   store_write_directory(overlay, batch, err) && store_write_cases(overlay, batch, err) &&
                   store_write_counts(overlay, batch, err) && write_message_states(overlay, batch, err) &&
                   store_write_left_copies(overlay, batch, err) && write_message_rows(overlay, batch, err) &&
                   store_write_merges(overlay, batch, err) && store_write_outgoing(overlay, batch, err) &&
                   write_external_rows(overlay, batch, err) && write_request_rows(overlay, batch, err) &&
                   write_event_rows(overlay, batch, err) && store_write_sessions(overlay, batch, err) &&
                   store_write_forwarded(overlay, batch, err) && store_write_erasures(overlay, batch, err) &&
                   store_write_guests(overlay, batch, err) && write_head_rows(overlay, batch, err);
    if (written && overlay->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the batch needs too much memory");
    return written;
}
