/* Writes of cases, and of what leads to them. */

#include "case/case_row.h"
#include "case/case_store_rows.h"

/* What messages and status move, in the order in which put_narrow gives it; wide columns follow it in
 * put_wide. */
#define NARROW_COLUMNS                                                                                     \
    "partition, account, id, status, need_reply, message_count, messages_assigned, messages_in_progress, " \
    "messages_responded,"                                                                                  \
    " first_open_message, update_time, status_time, open_time, customer_time, waiting_since, "             \
    "first_reply_time,"                                                                                    \
    " last_send_time, resolve_time, close_time, change_time, activity_time, version, change_version,"      \
    " activity_version, owner, customer_number, waiting_number"
#define NARROW_ARRAYS                                                                             \
    "unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int2[]), "            \
    "unnest($5::bool[]), unnest($6::int4[]), unnest($7::int4[]), unnest($8::int4[]), "            \
    "unnest($9::int4[]), unnest($10::int4[]), unnest($11::timestamptz[]), "                       \
    "unnest($12::timestamptz[]), unnest($13::timestamptz[]), unnest($14::timestamptz[]), "        \
    "unnest($15::timestamptz[]), unnest($16::timestamptz[]), unnest($17::timestamptz[]), "        \
    "unnest($18::timestamptz[]), unnest($19::timestamptz[]), unnest($20::timestamptz[]), "        \
    "unnest($21::timestamptz[]), unnest($22::int8[]), unnest($23::int8[]), unnest($24::int8[]), " \
    "unnest($25::text[]), unnest($26::int4[]), unnest($27::int4[])"
#define NARROW_SET                                                                                  \
    "status = u.status, need_reply = u.need_reply, message_count = u.message_count,"                \
    " messages_assigned = u.messages_assigned, messages_in_progress = u.messages_in_progress,"      \
    " messages_responded = u.messages_responded, first_open_message = u.first_open_message,"        \
    " update_time = u.update_time, status_time = u.status_time, open_time = u.open_time,"           \
    " customer_time = u.customer_time, waiting_since = u.waiting_since, first_reply_time = "        \
    "u.first_reply_time,"                                                                           \
    " last_send_time = u.last_send_time, resolve_time = u.resolve_time, close_time = u.close_time," \
    " change_time = u.change_time, activity_time = u.activity_time, version = u.version,"           \
    " change_version = u.change_version, activity_version = u.activity_version, owner = u.owner,"   \
    " customer_number = u.customer_number, waiting_number = u.waiting_number"
#define WIDE_COLUMNS                                                                                        \
    "status_before_delete, priority, create_time, delete_time, merged_into, lock_token, lock_time, "        \
    "lock_agent,"                                                                                           \
    " lock_session, contact, channel, external_id, involved, labels, classifications, attributes, subject," \
    " subject_key, messages_left"
#define WIDE_ARRAYS                                                                               \
    "unnest($28::int2[]), unnest($29::int2[]), unnest($30::timestamptz[]), "                      \
    "unnest($31::timestamptz[]), unnest($32::int8[]), unnest($33::int8[]), "                      \
    "unnest($34::timestamptz[]), unnest($35::text[]), unnest($36::text[]), unnest($37::text[]), " \
    "unnest($38::text[]), unnest($39::text[]), unnest($40::text[]), unnest($41::text[]), "        \
    "unnest($42::text[]), unnest($43::text[]), unnest($44::text[]), unnest($45::text[]), "        \
    "unnest($46::int4[])"
#define WIDE_SET                                                                                            \
    "status_before_delete = u.status_before_delete, priority = u.priority, delete_time = u.delete_time,"    \
    " merged_into = u.merged_into, lock_token = u.lock_token, lock_time = u.lock_time, lock_agent = "       \
    "u.lock_agent,"                                                                                         \
    " lock_session = u.lock_session, involved = u.involved::text[], labels = u.labels::text[],"             \
    " classifications = u.classifications::text[], attributes = u.attributes::text[], subject = u.subject," \
    " subject_key = u.subject_key, messages_left = u.messages_left"
#define CASE_KEY " WHERE c.partition = u.partition AND c.account = u.account AND c.id = u.id"

static const struct pg_statement insert_cases = {
    .name = "case_insert_cases",
    .rows = true,
    .sql =
        "INSERT INTO cases (" NARROW_COLUMNS ", status_before_delete, priority, create_time, delete_time,"
        " merged_into, lock_token, lock_time, lock_agent, lock_session, contact, channel, external_id, "
        "involved,"
        " labels, classifications, attributes, subject, subject_key, messages_left)"
        " SELECT " NARROW_COLUMNS ", status_before_delete, priority, create_time, delete_time, merged_into,"
        " lock_token, lock_time, lock_agent, lock_session, contact, channel, external_id, involved::text[],"
        " labels::text[], classifications::text[], attributes::text[], subject, subject_key,"
        " messages_left FROM (SELECT " NARROW_ARRAYS ", " WIDE_ARRAYS ") AS u(" NARROW_COLUMNS
        ", " WIDE_COLUMNS ")",
};

static const struct pg_statement update_cases = {
    .name = "case_update_cases",
    .rows = true,
    .sql =
        "UPDATE cases c SET " NARROW_SET " FROM (SELECT " NARROW_ARRAYS ") AS u(" NARROW_COLUMNS ")" CASE_KEY,
};

static const struct pg_statement update_cases_wide = {
    .name = "case_update_cases_wide",
    .rows = true,
    .sql = "UPDATE cases c SET " NARROW_SET ", " WIDE_SET " FROM (SELECT " NARROW_ARRAYS ", " WIDE_ARRAYS
           ") AS u(" NARROW_COLUMNS ", " WIDE_COLUMNS ")" CASE_KEY,
};

static const struct pg_statement insert_contact_cases = {
    .name = "case_insert_contact_cases",
    .rows = true,
    .sql = "INSERT INTO contact_cases (partition, account, contact, channel, case_id)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::int8[])",
};

/* Agents who are not involved any more keep their row: lists look at the case as well. */
static const struct pg_statement put_involved_cases = {
    .name = "case_put_involved_cases",
    .rows = true,
    .sql = "INSERT INTO involved_cases AS i (partition, account, agent, case_id, status, update_time)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int8[]), "
           "unnest($5::int2[]), unnest($6::timestamptz[]) ON CONFLICT (partition, account, agent, case_id)"
           " DO UPDATE SET status = excluded.status, update_time = excluded.update_time"
           " WHERE i.status <> excluded.status OR i.update_time <> excluded.update_time",
};

static int stored_status(const struct case_record *record)
{
    return (int)record->status + (record->merged_into != 0 ? CASE_STORED_MERGED : 0);
}

static void put_narrow(struct rows *rows, const struct case_record *record)
{
    rows_begin_row(rows, record->account);
    rows_put_int(rows, record->id);
    rows_put_int(rows, stored_status(record));
    rows_put_bool(rows, record->need_reply);
    rows_put_int(rows, record->message_count);
    rows_put_int(rows, record->messages_assigned);
    rows_put_int(rows, record->messages_in_progress);
    rows_put_int(rows, record->messages_responded);
    rows_put_int(rows, record->first_open_message);
    rows_put_time(rows, record->update_time);
    rows_put_time(rows, record->status_time);
    rows_put_time(rows, record->open_time);
    rows_put_time(rows, record->customer_time);
    rows_put_time(rows, record->waiting_since);
    rows_put_time(rows, record->first_reply_time);
    rows_put_time(rows, record->last_send_time);
    rows_put_time(rows, record->resolve_time);
    rows_put_time(rows, record->close_time);
    rows_put_time(rows, record->change_time);
    rows_put_time(rows, record->activity_time);
    rows_put_int(rows, record->version);
    rows_put_int(rows, record->change_version);
    rows_put_int(rows, record->activity_version);
    rows_put_text(rows, record->owner);
    rows_put_int(rows, record->customer_number);
    rows_put_int(rows, record->waiting_number);
}

static void put_wide(struct rows *rows, const struct case_record *record)
{
    put_narrow(rows, record);
    rows_put_int(rows, record->status_before_delete);
    rows_put_int(rows, record->priority);
    rows_put_time(rows, record->create_time);
    rows_put_time(rows, record->delete_time);
    rows_put_int(rows, record->merged_into);
    rows_put_int(rows, record->lock_token);
    rows_put_time(rows, record->lock_time);
    rows_put_text(rows, record->lock_agent);
    rows_put_text(rows, record->lock_session);
    rows_put_text(rows, record->contact);
    rows_put_text(rows, record->channel);
    rows_put_text(rows, record->external_id);
    rows_put_list(rows, &record->involved);
    rows_put_list(rows, &record->labels);
    rows_put_list(rows, &record->classifications);
    rows_put_list(rows, &record->attributes);
    rows_put_text(rows, record->subject);
    rows_put_text(rows, record->subject_key);
    rows_put_int(rows, record->messages_left);
}

#define NARROW_TYPES                                                                                       \
    PG_INT8, PG_INT2, PG_BOOL, PG_INT4, PG_INT4, PG_INT4, PG_INT4, PG_INT4, PG_TIME, PG_TIME, PG_TIME,     \
        PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_INT8, PG_INT8, PG_INT8, \
        PG_TEXT, PG_INT4, PG_INT4
#define WIDE_TYPES                                                                                          \
    NARROW_TYPES, PG_INT2, PG_INT2, PG_TIME, PG_TIME, PG_INT8, PG_INT8, PG_TIME, PG_TEXT, PG_TEXT, PG_TEXT, \
        PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4

static bool write_case_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows inserted, wide, narrow;
    ROWS_BEGIN(&inserted, overlay, WIDE_TYPES);
    ROWS_BEGIN(&wide, overlay, WIDE_TYPES);
    ROWS_BEGIN(&narrow, overlay, NARROW_TYPES);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (!entry_is_written(&entry->entry))
            continue;
        struct rows *rows = entry->entry.inserted ? &inserted : entry->wide ? &wide : &narrow;
        if (rows == &narrow)
            put_narrow(rows, &entry->record);
        else
            put_wide(rows, &entry->record);
        rows_end_row(rows);
    }
    return rows_write(&inserted, &insert_cases, batch, err) &&
           rows_write(&wide, &update_cases_wide, batch, err) &&
           rows_write(&narrow, &update_cases, batch, err);
}

/* What the rows of the agents involved tell, or who they are, may have changed. */
static bool moves_involved(const struct case_entry *entry)
{
    return entry_is_written(&entry->entry) &&
           (entry->entry.inserted || entry->wide || entry->record.update_time != entry->stored.update_time ||
            stored_status(&entry->record) != stored_status(&entry->stored));
}

/* Who leads to a case: its contact when it is new, the agents involved. */
static bool write_case_references(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows contacts, agents;
    ROWS_BEGIN(&contacts, overlay, PG_TEXT, PG_TEXT, PG_INT8);
    ROWS_BEGIN(&agents, overlay, PG_TEXT, PG_INT8, PG_INT2, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        const struct case_record *record = &entry->record;
        if (entry->entry.inserted && record->contact[0] != '\0') {
            rows_begin_row(&contacts, record->account);
            rows_put_text(&contacts, record->contact);
            rows_put_text(&contacts, record->channel);
            rows_put_int(&contacts, record->id);
            rows_end_row(&contacts);
        }
        for (size_t k = 0; moves_involved(entry) && k < record->involved.count; k++) {
            rows_begin_row(&agents, record->account);
            rows_put_text(&agents, record->involved.items[k]);
            rows_put_int(&agents, record->id);
            rows_put_int(&agents, stored_status(record));
            rows_put_time(&agents, record->update_time);
            rows_end_row(&agents);
        }
    }
    return rows_write(&contacts, &insert_contact_cases, batch, err) &&
           rows_write(&agents, &put_involved_cases, batch, err);
}

bool store_write_cases(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_case_rows(overlay, batch, err) && write_case_references(overlay, batch, err);
}
