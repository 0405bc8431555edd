/*
 * Writes of a batch: one statement a table and kind of change, fed with arrays; none where there is nothing
 * to write.
 */

#include "case/case_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct pg_statement write_head = {
    .name = "case_write_head",
    .sql = "UPDATE partitions SET head = $2::int8, last_time = $3::timestamptz, mark = $4::int8"
           " WHERE partition = $1::int2",
};

static const struct pg_statement write_accounts = {
    .name = "case_write_accounts",
    .sql = "INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, "
           "report_lock_days,"
           " session_grace, next_case, version, create_time, update_time)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bool[], $6::int4[], "
           "$7::int8[],"
           " $8::int8[], $9::int8[], $10::timestamptz[], $11::timestamptz[])"
           " ON CONFLICT (partition, account) DO UPDATE SET display_name = excluded.display_name,"
           " time_zone = excluded.time_zone, reopen_resolved = excluded.reopen_resolved,"
           " report_lock_days = excluded.report_lock_days, session_grace = excluded.session_grace,"
           " next_case = excluded.next_case, version = excluded.version, update_time = excluded.update_time",
};

static const struct pg_statement write_agents = {
    .name = "case_write_agents",
    .sql = "INSERT INTO agents (partition, account, agent, display_name, email, role, disabled, version, "
           "create_time,"
           " update_time)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int2[], "
           "$7::bool[],"
           " $8::int8[], $9::timestamptz[], $10::timestamptz[])"
           " ON CONFLICT (partition, account, agent) DO UPDATE SET display_name = excluded.display_name,"
           " email = excluded.email, role = excluded.role, disabled = excluded.disabled, version = "
           "excluded.version,"
           " update_time = excluded.update_time",
};

static const struct pg_statement write_channels = {
    .name = "case_write_channels",
    .sql = "INSERT INTO channels (partition, account, channel, network, address, version, create_time, "
           "update_time)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int8[],"
           " $7::timestamptz[], $8::timestamptz[])"
           " ON CONFLICT (partition, account, channel) DO UPDATE SET address = excluded.address,"
           " version = excluded.version, update_time = excluded.update_time",
};

static const struct pg_statement write_contacts = {
    .name = "case_write_contacts",
    .sql =
        "INSERT INTO contacts (partition, account, contact, display_name, emails, phones, handles, note, "
        "version,"
        " create_time, update_time, erase_time)"
        " SELECT $1::int2, u.account, u.contact, u.display_name, u.emails::text[], u.phones::text[],"
        " u.handles::text[], u.note, u.version, u.create_time, u.update_time, u.erase_time"
        " FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], "
        "$9::int8[],"
        " $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])"
        " AS u(account, contact, display_name, emails, phones, handles, note, version, create_time, "
        "update_time,"
        " erase_time)"
        " ON CONFLICT (partition, account, contact) DO UPDATE SET display_name = excluded.display_name,"
        " emails = excluded.emails, phones = excluded.phones, handles = excluded.handles, note = "
        "excluded.note,"
        " version = excluded.version, update_time = excluded.update_time, erase_time = excluded.erase_time",
};

static const struct pg_statement remove_addresses = {
    .name = "case_remove_addresses",
    .sql = "DELETE FROM contact_addresses d USING unnest($2::text[], $3::text[], $4::text[])"
           " AS u(account, network, address)"
           " WHERE d.partition = $1::int2 AND d.account = u.account AND d.network = u.network AND d.address "
           "= u.address",
};

static const struct pg_statement write_addresses = {
    .name = "case_write_addresses",
    .sql = "INSERT INTO contact_addresses (partition, account, network, address, contact)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])",
};

/* What messages and status move, in the order in which put_narrow gives it; wide columns follow it in
 * put_wide. */
#define NARROW_COLUMNS                                                                                \
    "account, id, status, need_reply, message_count, messages_assigned, messages_in_progress, "       \
    "messages_responded,"                                                                             \
    " first_open_message, update_time, status_time, open_time, customer_time, waiting_since, "        \
    "first_reply_time,"                                                                               \
    " last_send_time, resolve_time, close_time, change_time, activity_time, version, change_version," \
    " activity_version, owner"
#define NARROW_ARRAYS                                                                                      \
    "$2::text[], $3::int8[], $4::int2[], $5::bool[], $6::int4[], $7::int4[], $8::int4[], $9::int4[], "     \
    "$10::int4[],"                                                                                         \
    " $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[]," \
    " $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[]," \
    " $21::timestamptz[], $22::int8[], $23::int8[], $24::int8[], $25::text[]"
#define NARROW_SET                                                                                  \
    "status = u.status, need_reply = u.need_reply, message_count = u.message_count,"                \
    " messages_assigned = u.messages_assigned, messages_in_progress = u.messages_in_progress,"      \
    " messages_responded = u.messages_responded, first_open_message = u.first_open_message,"        \
    " update_time = u.update_time, status_time = u.status_time, open_time = u.open_time,"           \
    " customer_time = u.customer_time, waiting_since = u.waiting_since, first_reply_time = "        \
    "u.first_reply_time,"                                                                           \
    " last_send_time = u.last_send_time, resolve_time = u.resolve_time, close_time = u.close_time," \
    " change_time = u.change_time, activity_time = u.activity_time, version = u.version,"           \
    " change_version = u.change_version, activity_version = u.activity_version, owner = u.owner"
#define WIDE_COLUMNS                                                                                        \
    "status_before_delete, priority, create_time, delete_time, merged_into, lock_token, lock_time, "        \
    "lock_agent,"                                                                                           \
    " lock_session, contact, channel, external_id, involved, labels, classifications, attributes, subject," \
    " subject_key"
#define WIDE_ARRAYS                                                                                \
    "$26::int2[], $27::int2[], $28::timestamptz[], $29::timestamptz[], $30::int8[], $31::int8[], " \
    "$32::timestamptz[],"                                                                          \
    " $33::text[], $34::text[], $35::text[], $36::text[], $37::text[], $38::text[], $39::text[], " \
    "$40::text[],"                                                                                 \
    " $41::text[], $42::text[], $43::text[]"
#define WIDE_SET                                                                                            \
    "status_before_delete = u.status_before_delete, priority = u.priority, delete_time = u.delete_time,"    \
    " merged_into = u.merged_into, lock_token = u.lock_token, lock_time = u.lock_time, lock_agent = "       \
    "u.lock_agent,"                                                                                         \
    " lock_session = u.lock_session, involved = u.involved::text[], labels = u.labels::text[],"             \
    " classifications = u.classifications::text[], attributes = u.attributes::text[], subject = u.subject," \
    " subject_key = u.subject_key"
#define CASE_KEY " WHERE c.partition = $1::int2 AND c.account = u.account AND c.id = u.id"

static const struct pg_statement insert_cases = {
    .name = "case_insert_cases",
    .sql =
        "INSERT INTO cases (partition, " NARROW_COLUMNS
        ", status_before_delete, priority, create_time, delete_time,"
        " merged_into, lock_token, lock_time, lock_agent, lock_session, contact, channel, external_id, "
        "involved,"
        " labels, classifications, attributes, subject, subject_key)"
        " SELECT $1::int2, " NARROW_COLUMNS
        ", status_before_delete, priority, create_time, delete_time, merged_into,"
        " lock_token, lock_time, lock_agent, lock_session, contact, channel, external_id, involved::text[],"
        " labels::text[], classifications::text[], attributes::text[], subject, subject_key"
        " FROM unnest(" NARROW_ARRAYS ", " WIDE_ARRAYS ") AS u(" NARROW_COLUMNS ", " WIDE_COLUMNS ")",
};

static const struct pg_statement update_cases = {
    .name = "case_update_cases",
    .sql =
        "UPDATE cases c SET " NARROW_SET " FROM unnest(" NARROW_ARRAYS ") AS u(" NARROW_COLUMNS ")" CASE_KEY,
};

static const struct pg_statement update_cases_wide = {
    .name = "case_update_cases_wide",
    .sql = "UPDATE cases c SET " NARROW_SET ", " WIDE_SET " FROM unnest(" NARROW_ARRAYS ", " WIDE_ARRAYS
           ") AS u(" NARROW_COLUMNS ", " WIDE_COLUMNS ")" CASE_KEY,
};

static const struct pg_statement insert_contact_cases = {
    .name = "case_insert_contact_cases",
    .sql = "INSERT INTO contact_cases (partition, account, contact, channel, case_id)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[])",
};

static const struct pg_statement insert_involved_cases = {
    .name = "case_insert_involved_cases",
    .sql = "INSERT INTO involved_cases (partition, account, agent, case_id)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::int8[]) ON CONFLICT DO NOTHING",
};

/* Customer messages that were stored before this batch and stand below a state. */
static const struct pg_statement raise_messages = {
    .name = "case_raise_messages",
    .sql = "UPDATE messages m SET state = u.state"
           " FROM unnest($2::text[], $3::int8[], $4::int4[], $5::int4[], $6::int2[])"
           " AS u(account, case_id, first, last, state)"
           " WHERE m.partition = $1::int2 AND m.account = u.account AND m.case_id = u.case_id"
           " AND m.number BETWEEN u.first AND u.last AND m.state BETWEEN 1 AND u.state - 1",
};

static const struct pg_statement set_messages = {
    .name = "case_set_messages",
    .sql = "UPDATE messages m SET state = u.state FROM unnest($2::text[], $3::int8[], $4::int4[], $5::int2[])"
           " AS u(account, case_id, number, state)"
           " WHERE m.partition = $1::int2 AND m.account = u.account AND m.case_id = u.case_id AND m.number = "
           "u.number",
};

static const struct pg_statement insert_messages = {
    .name = "case_insert_messages",
    .sql =
        "INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, "
        "redacted,"
        " send_time, create_time, author, third_party, external_id, delivery_failure, merged_from, body, "
        "attachments)"
        " SELECT $1::int2, account, case_id, number, kind, state, delivery, automatic, redacted, send_time,"
        " create_time, author, third_party, external_id, delivery_failure, merged_from, body, "
        "attachments::text[]"
        " FROM unnest($2::text[], $3::int8[], $4::int4[], $5::int2[], $6::int2[], $7::int2[], $8::bool[], "
        "$9::bool[],"
        " $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::text[], "
        "$16::int8[],"
        " $17::text[], $18::text[])"
        " AS u(account, case_id, number, kind, state, delivery, automatic, redacted, send_time, create_time, "
        "author,"
        " third_party, external_id, delivery_failure, merged_from, body, attachments)",
};

static const struct pg_statement insert_externals = {
    .name = "case_insert_externals",
    .sql = "INSERT INTO external_ids (partition, account, channel, external_id, case_id, number)"
           " SELECT $1::int2, * FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::int4[])",
};

/* One that is over its 24 hours may still be there. */
static const struct pg_statement write_requests = {
    .name = "case_write_requests",
    .sql = "INSERT INTO request_ids (partition, account, request_id, fingerprint, method, resource, case_id, "
           "number,"
           " position, time)"
           " SELECT $1::int2, u.*, now() FROM unnest($2::text[], $3::text[], $4::bytea[], $5::int2[], "
           "$6::text[],"
           " $7::int8[], $8::int4[], $9::int8[]) AS u"
           " ON CONFLICT (partition, account, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,"
           " method = excluded.method, resource = excluded.resource, case_id = excluded.case_id,"
           " number = excluded.number, position = excluded.position, time = excluded.time",
};

static const struct pg_statement insert_events = {
    .name = "case_insert_events",
    .sql =
        "INSERT INTO events (partition, position, account, case_id, kind, time, data)"
        " SELECT $1::int2, * FROM unnest($2::int8[], $3::text[], $4::int8[], $5::int2[], $6::timestamptz[],"
        " $7::bytea[])",
};

enum { COLUMNS_MAX = 43 };

/* The arrays of one statement, filled row by row: put_… goes on to the next column, the row's end back to the
 * first. */
struct rows {
    struct overlay *overlay;
    pg_params params;
    pg_array *columns[COLUMNS_MAX];
    size_t count, at;
    size_t row_count;
};

static void rows_begin(struct rows *rows, struct overlay *overlay, const enum pg_type *types, size_t count)
{
    *rows = (struct rows){.overlay = overlay, .count = count};
    pg_params_init(&rows->params, overlay->memory);
    pg_add_int2(&rows->params, overlay->partition);
    for (size_t i = 0; i < count; i++)
        rows->columns[i] = pg_add_array(&rows->params, types[i]);
}

static pg_array *next_column(struct rows *rows)
{
    return rows->columns[rows->at++];
}

static void put_text(struct rows *rows, const char *text)
{
    pg_put_text(next_column(rows), text);
}

static void put_int(struct rows *rows, int64_t value)
{
    pg_put_int(next_column(rows), value);
}

static void put_bool(struct rows *rows, bool value)
{
    pg_put_bool(next_column(rows), value);
}

static void put_time(struct rows *rows, int64_t time_us)
{
    pg_put_time(next_column(rows), time_us);
}

static void put_list(struct rows *rows, const struct text_list *list)
{
    pg_put_text_list(next_column(rows), list->items, list->count);
}

static void end_row(struct rows *rows)
{
    rows->at = 0;
    rows->row_count++;
}

static bool rows_write(struct rows *rows, const struct pg_statement *statement, pg_batch *batch, error *err)
{
    return rows->row_count == 0 || pg_batch_write(batch, statement, &rows->params, err);
}

#define BEGIN(rows, overlay, ...)                                  \
    rows_begin(rows, overlay, (const enum pg_type[]){__VA_ARGS__}, \
               sizeof((const enum pg_type[]){__VA_ARGS__}) / sizeof(enum pg_type))

static bool is_written(const struct entry *entry)
{
    return entry->inserted || entry->changed;
}

static bool write_account_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_BOOL, PG_INT4, PG_INT8, PG_INT8, PG_INT8, PG_TIME,
          PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_ACCOUNT].count; i++) {
        const struct account_entry *account = overlay->entries[ENTRY_ACCOUNT].items[i];
        if (!is_written(&account->entry))
            continue;
        const struct account_record *record = &account->record;
        put_text(&rows, record->id);
        put_text(&rows, record->display_name);
        put_text(&rows, record->time_zone);
        put_bool(&rows, record->reopen_resolved);
        put_int(&rows, record->report_lock_days);
        put_int(&rows, record->session_grace_us);
        put_int(&rows, record->next_case);
        put_int(&rows, record->version);
        put_time(&rows, record->create_time);
        put_time(&rows, record->update_time);
        end_row(&rows);
    }
    return rows_write(&rows, &write_accounts, batch, err);
}

static bool write_agent_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT2, PG_BOOL, PG_INT8, PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_AGENT].count; i++) {
        const struct agent_entry *agent = overlay->entries[ENTRY_AGENT].items[i];
        if (!is_written(&agent->entry))
            continue;
        const struct agent_record *record = &agent->record;
        put_text(&rows, record->account);
        put_text(&rows, record->id);
        put_text(&rows, record->display_name);
        put_text(&rows, record->email);
        put_int(&rows, record->role);
        put_bool(&rows, record->disabled);
        put_int(&rows, record->version);
        put_time(&rows, record->create_time);
        put_time(&rows, record->update_time);
        end_row(&rows);
    }
    return rows_write(&rows, &write_agents, batch, err);
}

static bool write_channel_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_CHANNEL].count; i++) {
        const struct channel_entry *channel = overlay->entries[ENTRY_CHANNEL].items[i];
        if (!is_written(&channel->entry))
            continue;
        const struct channel_record *record = &channel->record;
        put_text(&rows, record->account);
        put_text(&rows, record->id);
        put_text(&rows, record->network);
        put_text(&rows, record->address);
        put_int(&rows, record->version);
        put_time(&rows, record->create_time);
        put_time(&rows, record->update_time);
        end_row(&rows);
    }
    return rows_write(&rows, &write_channels, batch, err);
}

static bool write_contact_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TIME,
          PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_CONTACT].count; i++) {
        const struct contact_entry *contact = overlay->entries[ENTRY_CONTACT].items[i];
        if (!is_written(&contact->entry))
            continue;
        const struct contact_record *record = &contact->record;
        put_text(&rows, record->account);
        put_text(&rows, record->id);
        put_text(&rows, record->display_name);
        put_list(&rows, &record->emails);
        put_list(&rows, &record->phones);
        put_list(&rows, &record->handles);
        put_text(&rows, record->note);
        put_int(&rows, record->version);
        put_time(&rows, record->create_time);
        put_time(&rows, record->update_time);
        put_time(&rows, record->erase_time);
        end_row(&rows);
    }
    return rows_write(&rows, &write_contacts, batch, err);
}

/* Addresses that changed hands are removed before they are written anew. */
static bool write_address_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows removed, written;
    BEGIN(&removed, overlay, PG_TEXT, PG_TEXT, PG_TEXT);
    BEGIN(&written, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_ADDRESS].count; i++) {
        const struct address_entry *address = overlay->entries[ENTRY_ADDRESS].items[i];
        if (!is_written(&address->entry))
            continue;
        if (address->was_stored) {
            put_text(&removed, address->entry.key.account);
            put_text(&removed, address->entry.key.a);
            put_text(&removed, address->entry.key.b);
            end_row(&removed);
        }
        if (address->entry.exists) {
            put_text(&written, address->entry.key.account);
            put_text(&written, address->entry.key.a);
            put_text(&written, address->entry.key.b);
            put_text(&written, address->contact);
            end_row(&written);
        }
    }
    return rows_write(&removed, &remove_addresses, batch, err) &&
           rows_write(&written, &write_addresses, batch, err);
}

static void put_narrow(struct rows *rows, const struct case_record *record)
{
    put_text(rows, record->account);
    put_int(rows, record->id);
    put_int(rows, record->status);
    put_bool(rows, record->need_reply);
    put_int(rows, record->message_count);
    put_int(rows, record->messages_assigned);
    put_int(rows, record->messages_in_progress);
    put_int(rows, record->messages_responded);
    put_int(rows, record->first_open_message);
    put_time(rows, record->update_time);
    put_time(rows, record->status_time);
    put_time(rows, record->open_time);
    put_time(rows, record->customer_time);
    put_time(rows, record->waiting_since);
    put_time(rows, record->first_reply_time);
    put_time(rows, record->last_send_time);
    put_time(rows, record->resolve_time);
    put_time(rows, record->close_time);
    put_time(rows, record->change_time);
    put_time(rows, record->activity_time);
    put_int(rows, record->version);
    put_int(rows, record->change_version);
    put_int(rows, record->activity_version);
    put_text(rows, record->owner);
}

static void put_wide(struct rows *rows, const struct case_record *record)
{
    put_narrow(rows, record);
    put_int(rows, record->status_before_delete);
    put_int(rows, record->priority);
    put_time(rows, record->create_time);
    put_time(rows, record->delete_time);
    put_int(rows, record->merged_into);
    put_int(rows, record->lock_token);
    put_time(rows, record->lock_time);
    put_text(rows, record->lock_agent);
    put_text(rows, record->lock_session);
    put_text(rows, record->contact);
    put_text(rows, record->channel);
    put_text(rows, record->external_id);
    put_list(rows, &record->involved);
    put_list(rows, &record->labels);
    put_list(rows, &record->classifications);
    put_list(rows, &record->attributes);
    put_text(rows, record->subject);
    put_text(rows, record->subject_key);
}

#define NARROW_TYPES                                                                                       \
    PG_TEXT, PG_INT8, PG_INT2, PG_BOOL, PG_INT4, PG_INT4, PG_INT4, PG_INT4, PG_INT4, PG_TIME, PG_TIME,     \
        PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_INT8, PG_INT8, \
        PG_INT8, PG_TEXT
#define WIDE_TYPES                                                                                          \
    NARROW_TYPES, PG_INT2, PG_INT2, PG_TIME, PG_TIME, PG_INT8, PG_INT8, PG_TIME, PG_TEXT, PG_TEXT, PG_TEXT, \
        PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT

static bool write_case_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows inserted, wide, narrow;
    BEGIN(&inserted, overlay, WIDE_TYPES);
    BEGIN(&wide, overlay, WIDE_TYPES);
    BEGIN(&narrow, overlay, NARROW_TYPES);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (!is_written(&entry->entry))
            continue;
        struct rows *rows = entry->entry.inserted ? &inserted : entry->wide ? &wide : &narrow;
        if (rows == &narrow)
            put_narrow(rows, &entry->record);
        else
            put_wide(rows, &entry->record);
        end_row(rows);
    }
    return rows_write(&inserted, &insert_cases, batch, err) &&
           rows_write(&wide, &update_cases_wide, batch, err) &&
           rows_write(&narrow, &update_cases, batch, err);
}

/* Who leads to a case: its contact when it is new, the agents involved when they may have changed. */
static bool write_case_references(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows contacts, agents;
    BEGIN(&contacts, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8);
    BEGIN(&agents, overlay, PG_TEXT, PG_TEXT, PG_INT8);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        const struct case_record *record = &entry->record;
        if (entry->entry.inserted && record->contact[0] != '\0') {
            put_text(&contacts, record->account);
            put_text(&contacts, record->contact);
            put_text(&contacts, record->channel);
            put_int(&contacts, record->id);
            end_row(&contacts);
        }
        if (!is_written(&entry->entry) || !entry->wide)
            continue;
        for (size_t k = 0; k < record->involved.count; k++) {
            put_text(&agents, record->account);
            put_text(&agents, record->involved.items[k]);
            put_int(&agents, record->id);
            end_row(&agents);
        }
    }
    return rows_write(&contacts, &insert_contact_cases, batch, err) &&
           rows_write(&agents, &insert_involved_cases, batch, err);
}

static bool write_message_states(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows raised, set;
    BEGIN(&raised, overlay, PG_TEXT, PG_INT8, PG_INT4, PG_INT4, PG_INT2);
    BEGIN(&set, overlay, PG_TEXT, PG_INT8, PG_INT4, PG_INT2);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (entry->raise_to == MESSAGE_STATE_NONE || entry->first_stored_open == 0)
            continue;
        put_text(&raised, entry->record.account);
        put_int(&raised, entry->record.id);
        put_int(&raised, entry->first_stored_open);
        put_int(&raised, entry->stored_messages);
        put_int(&raised, entry->raise_to);
        end_row(&raised);
    }
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        const struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        if (!message->entry.changed || message->entry.inserted)
            continue;
        put_text(&set, message->record.account);
        put_int(&set, message->record.case_id);
        put_int(&set, message->record.number);
        put_int(&set, message->record.state);
        end_row(&set);
    }
    return rows_write(&raised, &raise_messages, batch, err) && rows_write(&set, &set_messages, batch, err);
}

/* file name, content type, size, uri of each, one after the other */
static bool put_attachments(struct rows *rows, const struct message_record *message)
{
    arena *memory = rows->overlay->memory;
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
    put_list(rows, &flat);
    return flat.count == 4 * message->attachment_count;
}

static bool write_message_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_INT8, PG_INT4, PG_INT2, PG_INT2, PG_INT2, PG_BOOL, PG_BOOL, PG_TIME,
          PG_TIME, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->new_messages.count; i++) {
        const struct message_entry *entry = overlay->new_messages.items[i];
        const struct message_record *record = &entry->record;
        put_text(&rows, record->account);
        put_int(&rows, record->case_id);
        put_int(&rows, record->number);
        put_int(&rows, record->kind);
        put_int(&rows, record->state);
        put_int(&rows, record->delivery);
        put_bool(&rows, record->automatic);
        put_bool(&rows, record->redacted);
        put_time(&rows, record->send_time);
        put_time(&rows, record->create_time);
        put_text(&rows, record->author);
        put_text(&rows, record->third_party);
        put_text(&rows, record->external_id);
        put_text(&rows, record->delivery_failure);
        put_int(&rows, record->merged_from);
        put_text(&rows, record->body);
        overlay->failed = !put_attachments(&rows, record) || overlay->failed;
        end_row(&rows);
    }
    return rows_write(&rows, &insert_messages, batch, err);
}

static bool write_external_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4);
    for (size_t i = 0; i < overlay->entries[ENTRY_EXTERNAL].count; i++) {
        const struct external_entry *external = overlay->entries[ENTRY_EXTERNAL].items[i];
        if (!external->entry.inserted)
            continue;
        put_text(&rows, external->entry.key.account);
        put_text(&rows, external->entry.key.a);
        put_text(&rows, external->entry.key.b);
        put_int(&rows, external->case_id);
        put_int(&rows, external->number);
        end_row(&rows);
    }
    return rows_write(&rows, &insert_externals, batch, err);
}

static bool write_request_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_BYTEA, PG_INT2, PG_TEXT, PG_INT8, PG_INT4, PG_INT8);
    for (size_t i = 0; i < overlay->entries[ENTRY_REQUEST].count; i++) {
        const struct request_entry *request = overlay->entries[ENTRY_REQUEST].items[i];
        if (!request->entry.inserted)
            continue;
        put_text(&rows, request->entry.key.account);
        put_text(&rows, request->entry.key.a);
        pg_put_bytea(next_column(&rows), request->fingerprint, sizeof request->fingerprint);
        put_int(&rows, request->method);
        put_text(&rows, request->resource);
        put_int(&rows, request->case_id);
        put_int(&rows, request->number);
        put_int(&rows, request->position);
        end_row(&rows);
    }
    return rows_write(&rows, &write_requests, batch, err);
}

enum { EVENT_BYTES_MAX = 1024 * 1024 };

static bool write_event_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    BEGIN(&rows, overlay, PG_INT8, PG_TEXT, PG_INT8, PG_INT2, PG_TIME, PG_BYTEA);
    bytes packed;
    bytes_init(&packed, EVENT_BYTES_MAX);
    for (size_t i = 0; i < overlay->events.count; i++) {
        const struct case_event *event = overlay->events.items[i];
        bytes_clear(&packed);
        if (!case_event_pack(event, overlay->partition, overlay->memory, &packed)) {
            overlay->failed = true;
            break;
        }
        put_int(&rows, event->position);
        put_text(&rows, event->account);
        put_int(&rows, event->facts == NULL ? 0 : event->facts->id);
        put_int(&rows, event->kind);
        put_time(&rows, event->time);
        pg_put_bytea(next_column(&rows), packed.data, packed.length);
        end_row(&rows);
    }
    bytes_release(&packed);
    return rows_write(&rows, &insert_events, batch, err);
}

static bool write_head_row(const struct overlay *overlay, pg_batch *batch, error *err)
{
    pg_params params;
    pg_params_init(&params, overlay->memory);
    pg_add_int2(&params, overlay->partition);
    pg_add_int8(&params, overlay->head);
    pg_add_time(&params, overlay->now);
    pg_add_int8(&params, pg_batch_mark(batch));
    return pg_batch_write(batch, &write_head, &params, err);
}

/* Without an event, only a request that found nothing to do may want to be remembered. */
static bool is_idle(const struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_REQUEST].count; i++) {
        if (((const struct entry *)overlay->entries[ENTRY_REQUEST].items[i])->inserted)
            return false;
    }
    return overlay->head == overlay->old_head;
}

bool case_store_write(struct overlay *overlay, pg_batch *batch, error *err)
{
    if (is_idle(overlay))
        return true;
    bool written = write_account_rows(overlay, batch, err) && write_agent_rows(overlay, batch, err) &&
                   write_channel_rows(overlay, batch, err) && write_contact_rows(overlay, batch, err) &&
                   write_address_rows(overlay, batch, err) && write_case_rows(overlay, batch, err) &&
                   write_case_references(overlay, batch, err) && write_message_states(overlay, batch, err) &&
                   write_message_rows(overlay, batch, err) && write_external_rows(overlay, batch, err) &&
                   write_request_rows(overlay, batch, err) && write_event_rows(overlay, batch, err) &&
                   write_head_row(overlay, batch, err);
    if (written && overlay->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the batch needs too much memory");
    return written;
}
