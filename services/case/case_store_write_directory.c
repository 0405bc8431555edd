/* Writes of accounts, agents, channels and contacts. */

#include "case/case_store_rows.h"

static const struct pg_statement write_accounts = {
    .name = "case_write_accounts",
    .rows = true,
    .sql = "INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, "
           "report_lock_days,"
           " session_grace, next_case, version, create_time, update_time)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::bool[]), unnest($6::int4[]), unnest($7::int8[]), unnest($8::int8[]), "
           "unnest($9::int8[]), unnest($10::timestamptz[]), unnest($11::timestamptz[])"
           " ON CONFLICT (partition, account) DO UPDATE SET display_name = excluded.display_name,"
           " time_zone = excluded.time_zone, reopen_resolved = excluded.reopen_resolved,"
           " report_lock_days = excluded.report_lock_days, session_grace = excluded.session_grace,"
           " next_case = excluded.next_case, version = excluded.version, update_time = excluded.update_time",
};

static const struct pg_statement write_agents = {
    .name = "case_write_agents",
    .rows = true,
    .sql = "INSERT INTO agents (partition, account, agent, display_name, email, role, disabled, version, "
           "create_time,"
           " update_time)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::text[]), unnest($6::int2[]), unnest($7::bool[]), unnest($8::int8[]), "
           "unnest($9::timestamptz[]), unnest($10::timestamptz[])"
           " ON CONFLICT (partition, account, agent) DO UPDATE SET display_name = excluded.display_name,"
           " email = excluded.email, role = excluded.role, disabled = excluded.disabled, version = "
           "excluded.version,"
           " update_time = excluded.update_time",
};

static const struct pg_statement write_channels = {
    .name = "case_write_channels",
    .rows = true,
    .sql = "INSERT INTO channels (partition, account, channel, network, address, version, create_time, "
           "update_time)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::text[]), unnest($6::int8[]), unnest($7::timestamptz[]), "
           "unnest($8::timestamptz[])"
           " ON CONFLICT (partition, account, channel) DO UPDATE SET address = excluded.address,"
           " version = excluded.version, update_time = excluded.update_time",
};

static const struct pg_statement write_contacts = {
    .name = "case_write_contacts",
    .rows = true,
    .sql =
        "INSERT INTO contacts (partition, account, contact, display_name, emails, phones, handles, note, "
        "version,"
        " create_time, update_time, erase_time)"
        " SELECT u.partition, u.account, u.contact, u.display_name, u.emails::text[], u.phones::text[],"
        " u.handles::text[], u.note, u.version, u.create_time, u.update_time, u.erase_time"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
        "unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), "
        "unnest($9::int8[]), unnest($10::timestamptz[]), unnest($11::timestamptz[]), "
        "unnest($12::timestamptz[]))"
        " AS u(partition, account, contact, display_name, emails, phones, handles, note, version, "
        "create_time, "
        "update_time,"
        " erase_time)"
        " ON CONFLICT (partition, account, contact) DO UPDATE SET display_name = excluded.display_name,"
        " emails = excluded.emails, phones = excluded.phones, handles = excluded.handles, note = "
        "excluded.note,"
        " version = excluded.version, update_time = excluded.update_time, erase_time = excluded.erase_time",
};

static const struct pg_statement remove_addresses = {
    .name = "case_remove_addresses",
    .rows = true,
    .sql =
        "DELETE FROM contact_addresses d USING (SELECT unnest($1::int2[]), unnest($2::text[]), "
        "unnest($3::text[]), unnest($4::text[]))"
        " AS u(partition, account, network, address)"
        " WHERE d.partition = u.partition AND d.account = u.account AND d.network = u.network AND d.address "
        "= u.address",
};

static const struct pg_statement write_addresses = {
    .name = "case_write_addresses",
    .rows = true,
    .sql = "INSERT INTO contact_addresses (partition, account, network, address, contact)"
           " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "unnest($5::text[])",
};

static bool write_account_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_BOOL, PG_INT4, PG_INT8, PG_INT8, PG_INT8, PG_TIME,
               PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_ACCOUNT].count; i++) {
        const struct account_entry *account = overlay->entries[ENTRY_ACCOUNT].items[i];
        if (!entry_is_written(&account->entry))
            continue;
        const struct account_record *record = &account->record;
        rows_begin_row(&rows, record->id);
        rows_put_text(&rows, record->display_name);
        rows_put_text(&rows, record->time_zone);
        rows_put_bool(&rows, record->reopen_resolved);
        rows_put_int(&rows, record->report_lock_days);
        rows_put_int(&rows, record->session_grace_us);
        rows_put_int(&rows, record->next_case);
        rows_put_int(&rows, record->version);
        rows_put_time(&rows, record->create_time);
        rows_put_time(&rows, record->update_time);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_accounts, batch, err);
}

static bool write_agent_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT2, PG_BOOL, PG_INT8, PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_AGENT].count; i++) {
        const struct agent_entry *agent = overlay->entries[ENTRY_AGENT].items[i];
        if (!entry_is_written(&agent->entry))
            continue;
        const struct agent_record *record = &agent->record;
        rows_begin_row(&rows, record->account);
        rows_put_text(&rows, record->id);
        rows_put_text(&rows, record->display_name);
        rows_put_text(&rows, record->email);
        rows_put_int(&rows, record->role);
        rows_put_bool(&rows, record->disabled);
        rows_put_int(&rows, record->version);
        rows_put_time(&rows, record->create_time);
        rows_put_time(&rows, record->update_time);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_agents, batch, err);
}

static bool write_channel_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_CHANNEL].count; i++) {
        const struct channel_entry *channel = overlay->entries[ENTRY_CHANNEL].items[i];
        if (!entry_is_written(&channel->entry))
            continue;
        const struct channel_record *record = &channel->record;
        rows_begin_row(&rows, record->account);
        rows_put_text(&rows, record->id);
        rows_put_text(&rows, record->network);
        rows_put_text(&rows, record->address);
        rows_put_int(&rows, record->version);
        rows_put_time(&rows, record->create_time);
        rows_put_time(&rows, record->update_time);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_channels, batch, err);
}

static bool write_contact_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_TIME,
               PG_TIME, PG_TIME);
    for (size_t i = 0; i < overlay->entries[ENTRY_CONTACT].count; i++) {
        const struct contact_entry *contact = overlay->entries[ENTRY_CONTACT].items[i];
        if (!entry_is_written(&contact->entry))
            continue;
        const struct contact_record *record = &contact->record;
        rows_begin_row(&rows, record->account);
        rows_put_text(&rows, record->id);
        rows_put_text(&rows, record->display_name);
        rows_put_list(&rows, &record->emails);
        rows_put_list(&rows, &record->phones);
        rows_put_list(&rows, &record->handles);
        rows_put_text(&rows, record->note);
        rows_put_int(&rows, record->version);
        rows_put_time(&rows, record->create_time);
        rows_put_time(&rows, record->update_time);
        rows_put_time(&rows, record->erase_time);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &write_contacts, batch, err);
}

/* Addresses that changed hands are removed before they are written anew. */
static bool write_address_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows removed, written;
    ROWS_BEGIN(&removed, overlay, PG_TEXT, PG_TEXT);
    ROWS_BEGIN(&written, overlay, PG_TEXT, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_ADDRESS].count; i++) {
        const struct address_entry *address = overlay->entries[ENTRY_ADDRESS].items[i];
        if (!entry_is_written(&address->entry))
            continue;
        if (address->was_stored) {
            rows_begin_row(&removed, address->entry.key.account);
            rows_put_text(&removed, address->entry.key.a);
            rows_put_text(&removed, address->entry.key.b);
            rows_end_row(&removed);
        }
        if (address->entry.exists) {
            rows_begin_row(&written, address->entry.key.account);
            rows_put_text(&written, address->entry.key.a);
            rows_put_text(&written, address->entry.key.b);
            rows_put_text(&written, address->contact);
            rows_end_row(&written);
        }
    }
    return rows_write(&removed, &remove_addresses, batch, err) &&
           rows_write(&written, &write_addresses, batch, err);
}

bool store_write_directory(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_account_rows(overlay, batch, err) && write_agent_rows(overlay, batch, err) &&
           write_channel_rows(overlay, batch, err) && write_contact_rows(overlay, batch, err) &&
           write_address_rows(overlay, batch, err);
}
