#include "case/case_store_directory.h"

#include "case/case_row.h"

const struct pg_statement store_read_accounts = {
    .name = "case_accounts",
    .rows = true,
    .sql =
        "SELECT " ACCOUNT_COLUMNS ", k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), generate_subscripts($1::int2[], 1)) AS "
        "k(partition, account, ord),"
        " LATERAL (SELECT * FROM accounts t WHERE t.partition = k.partition AND t.account = k.account LIMIT "
        "1) a",
};

const struct pg_statement store_read_agents = {
    .name = "case_agents",
    .rows = true,
    .sql = "SELECT " AGENT_COLUMNS ", k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, agent, "
           "ord),"
           " LATERAL (SELECT * FROM agents t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.agent = k.agent LIMIT 1) g",
};

const struct pg_statement store_read_channels = {
    .name = "case_channels",
    .rows = true,
    .sql = "SELECT " CHANNEL_COLUMNS ", k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "channel, ord),"
           " LATERAL (SELECT * FROM channels t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.channel = k.channel LIMIT 1) h",
};

const struct pg_statement store_read_contacts = {
    .name = "case_contacts",
    .rows = true,
    .sql = "SELECT " CONTACT_COLUMNS ", k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "contact, ord),"
           " LATERAL (SELECT * FROM contacts t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.contact = k.contact LIMIT 1) p",
};

const struct pg_statement store_read_channels_of_network = {
    .name = "case_channels_of_network",
    .rows = true,
    .sql = "SELECT " CHANNEL_COLUMNS ", k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "network, ord),"
           " LATERAL (SELECT * FROM channels t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.network = k.network ORDER BY t.channel LIMIT 1) h",
};

const struct pg_statement store_read_channel_addresses = {
    .name = "case_channel_addresses",
    .rows = true,
    .sql =
        "SELECT n.network, h.channel, k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
        "unnest($5::int8[]), generate_subscripts($1::int2[], 1))"
        " AS k(partition, account, of, address, beside, ord),"
        " LATERAL (SELECT CASE WHEN k.beside = 0 THEN k.of ELSE (SELECT t.network FROM channels t"
        " WHERE t.partition = k.partition AND t.account = k.account AND t.channel = k.of) END AS network) n"
        " LEFT JOIN LATERAL (SELECT t.channel FROM channels t WHERE t.partition = k.partition"
        " AND t.account = k.account AND t.network = n.network AND t.address = k.address LIMIT 1) h ON true",
};

const struct pg_statement store_read_addresses = {
    .name = "case_addresses",
    .rows = true,
    .sql = "SELECT d.contact, k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, "
           "account, network, address, "
           "ord),"
           " LATERAL (SELECT t.contact FROM contact_addresses t WHERE t.partition = k.partition"
           " AND t.account = k.account AND t.network = k.network AND t.address = k.address LIMIT 1) d",
};

bool store_load_account(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct account_entry *account = entry;
    account_row_read(result, row, &account->record);
    account->entry.exists = true;
    return true;
}

bool store_load_agent(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct agent_entry *agent = entry;
    agent_row_read(result, row, &agent->record);
    agent->entry.exists = true;
    return true;
}

bool store_load_channel(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct channel_entry *channel = entry;
    channel_row_read(result, row, &channel->record);
    channel->entry.exists = true;
    return true;
}

bool store_load_contact(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    struct contact_entry *contact = entry;
    contact->entry.exists = true;
    return contact_row_read(result, row, overlay->memory, &contact->record, err);
}

/* The channel itself comes with it. */
bool store_load_channel_of_network(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                   error *err)
{
    struct channel_ref_entry *ref = entry;
    struct channel_record record;
    channel_row_read(result, row, &record);
    ref->channel = record.id;
    ref->entry.exists = true;
    struct channel_entry *channel = overlay_channel(overlay, ref->entry.key.account, record.id);
    if (channel == NULL)
        return true;
    channel->entry.asked = true;
    return store_load_channel(overlay, channel, result, row, err);
}

bool store_load_channel_address(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                error *err)
{
    (void)overlay, (void)err;
    struct channel_ref_entry *ref = entry;
    ref->network = pg_get_text(result, row, 0);
    ref->channel = pg_get_text(result, row, 1);
    ref->entry.exists = ref->channel[0] != '\0';
    return true;
}

bool store_load_address(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct address_entry *address = entry;
    address->contact = pg_get_text(result, row, 0);
    address->entry.exists = address->was_stored = true;
    return true;
}
