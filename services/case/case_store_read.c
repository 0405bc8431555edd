/*
 * Reads of a batch. Each statement takes arrays of keys and gives the row of each key that has one, with the
 * key's place (ord). LATERAL with a LIMIT keeps the planner to one index look-up a key, however young its
 * statistics.
 */

#include "case/case_row.h"
#include "case/case_store.h"
#include "case/case_store_directory.h"
#include "case/case_store_erase.h"
#include "case/case_store_merge.h"
#include "case/case_store_people.h"
#include "case/case_store_session.h"

#include <string.h>

/* The subqueries make it the time after the lock. */
#define LOCK_REAL(how)                                                                                      \
    "SELECT partition, pg_current_xact_id(), head, greatest(clock_timestamp(), last_time), mark"            \
    " FROM (SELECT partition, head, last_time, mark FROM partitions WHERE partition = ANY ($1::int2[])" how \
    ") p"

/* A clock that nobody has set yet starts with real time and stands still from the first setting on. */
#define LOCK_MANUAL(how)                                                                                    \
    "SELECT partition, pg_current_xact_id(), head,"                                                         \
    " greatest(coalesce((SELECT manual_time FROM suite), clock_timestamp()), last_time), mark"              \
    " FROM (SELECT partition, head, last_time, mark FROM partitions WHERE partition = ANY ($1::int2[])" how \
    ") p"

const struct pg_statement case_store_lock_real = {
    .name = "case_lock",
    .sql = LOCK_REAL(" FOR UPDATE"),
};

const struct pg_statement case_store_lock_free_real = {
    .name = "case_lock_free",
    .sql = LOCK_REAL(" FOR UPDATE SKIP LOCKED"),
};

const struct pg_statement case_store_lock_manual = {
    .name = "case_lock_manual",
    .sql = LOCK_MANUAL(" FOR UPDATE"),
};

const struct pg_statement case_store_lock_free_manual = {
    .name = "case_lock_free_manual",
    .sql = LOCK_MANUAL(" FOR UPDATE SKIP LOCKED"),
};

const struct pg_statement case_store_mark = {
    .name = "case_mark",
    .sql = "SELECT mark FROM partitions WHERE partition = ANY ($1::int2[])",
};

static const struct pg_statement read_cases = {
    .name = "case_cases",
    .rows = true,
    .sql =
        "SELECT " CASE_COLUMNS ", h.network, h.address, k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), "
        "generate_subscripts($1::int2[], 1)) AS k(partition, account, id, ord),"
        " LATERAL (SELECT * FROM cases t WHERE t.partition = k.partition AND t.account = k.account AND t.id "
        "= k.id"
        " LIMIT 1) c"
        " LEFT JOIN LATERAL (SELECT t.network, t.address FROM channels t WHERE t.partition = k.partition"
        " AND t.account = c.account AND t.channel = c.channel LIMIT 1) h ON true",
};

static const struct pg_statement read_messages = {
    .name = "case_messages",
    .rows = true,
    .sql = "SELECT " MESSAGE_COLUMNS ", k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, "
           "account, case_id, number, "
           "ord),"
           " LATERAL (SELECT * FROM messages t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.case_id = k.case_id AND t.number = k.number LIMIT 1) m",
};

static const struct pg_statement read_requests = {
    .name = "case_requests",
    .rows = true,
    .sql = "SELECT r.fingerprint, r.method, r.resource, r.case_id, r.number, r.position, r.time, k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, account, "
           "request_id, ord),"
           " LATERAL (SELECT * FROM request_ids t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.request_id = k.request_id LIMIT 1) r",
};

/* Two look-ups by the whole key: an IN would be a filter over all ids of the channel. */
#define EXTERNAL_OF(id)                                                              \
    "SELECT t.case_id, t.number FROM external_ids t WHERE t.partition = k.partition" \
    " AND t.account = k.account AND t.channel = n.channel AND t.external_id = " id

static const struct pg_statement read_externals = {
    .name = "case_externals",
    .rows = true,
    .sql =
        "SELECT n.channel, e.case_id, e.number, k.ord"
        " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int8[]), "
        "unnest($5::text[]), generate_subscripts($1::int2[], 1))"
        " AS k(partition, account, channel, case_id, external_id, ord),"
        " LATERAL (SELECT CASE WHEN k.case_id = 0 THEN k.channel ELSE (SELECT t.channel FROM cases t"
        " WHERE t.partition = k.partition AND t.account = k.account AND t.id = k.case_id) END AS channel) n"
        " LEFT JOIN LATERAL (" EXTERNAL_OF("k.external_id") " UNION ALL " EXTERNAL_OF(
            EXTERNAL_ID_ERASED("k.external_id")) " LIMIT 1) e ON true",
};

/* Who the senders are: their channel's network tells how an address is looked for. */
#define ROUTE_JOIN                                                                                   \
    " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), " \
    "unnest($5::text[]), generate_subscripts($1::int2[], 1))"                                        \
    " AS k(partition, account, channel, folded, phone, ord),"                                        \
    " LATERAL (SELECT t.network, t.address FROM channels t WHERE t.partition = k.partition"          \
    " AND t.account = k.account AND t.channel = k.channel LIMIT 1) h"
#define ROUTE_CONTACT                                                                                      \
    " LATERAL (SELECT t.contact FROM contact_addresses t WHERE t.partition = k.partition AND t.account = " \
    "k.account"                                                                                            \
    " AND t.network = h.network AND t.address = CASE WHEN h.network = 'phone' THEN k.phone ELSE k.folded " \
    "END"                                                                                                  \
    " LIMIT 1) d"

static const struct pg_statement read_senders = {
    .name = "case_senders",
    .rows = true,
    .sql = "SELECT h.network, d.contact, k.ord" ROUTE_JOIN " LEFT JOIN" ROUTE_CONTACT " ON true",
};

/*
 * The newest case of each sender whose conversation is not deleted; or, where the batch may change which one
 * that is, as many of the newest as are looked at then.
 */
enum { ROUTE_DEPTH = 256 };
static const struct pg_statement read_routes = {
    .name = "case_routes",
    .rows = true,
    .sql =
        "SELECT " CASE_COLUMNS ", h.network, h.address, k.ord" ROUTE_JOIN "," ROUTE_CONTACT ","
        " LATERAL (SELECT t.* FROM contact_cases cc JOIN LATERAL (SELECT * FROM cases u"
        " WHERE u.partition = k.partition AND u.account = k.account AND u.id = cc.case_id LIMIT 1) t ON true"
        " WHERE cc.partition = k.partition AND cc.account = k.account AND cc.contact = d.contact"
        " AND cc.channel = k.channel AND ($6::int8 > 1 OR (t.status <> 6"
        " AND (t.merged_into = 0 OR " CASE_DESTINATION_LIVES ")))"
        " ORDER BY cc.case_id DESC LIMIT $6::int8) c",
};

/*
 * Messages to be forwarded with their authors' names, the latest first and no more than can be sent. The
 * first that goes beyond that is read, which tells that something is left out.
 */
static const struct pg_statement read_transcripts = {
    .name = "case_transcripts",
    .rows = true,
    .sql = "SELECT " MESSAGE_COLUMNS ", coalesce(nullif(g.display_name, ''), g.agent, p.display_name), k.ord"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]), "
           "generate_subscripts($1::int2[], 1)) AS k(partition, "
           "account,"
           " case_id, number, ord)"
           " CROSS JOIN LATERAL (SELECT l.*, sum(octet_length(l.body)) OVER (ORDER BY l.send_time DESC, "
           "l.number DESC)"
           " - octet_length(l.body) AS bytes_before FROM (SELECT t.* FROM messages t"
           " WHERE t.partition = k.partition AND t.account = k.account AND t.case_id = k.case_id"
           " AND CASE WHEN k.number = 0 THEN t.kind IN (1, 2, 7) ELSE t.number = k.number END"
           " ORDER BY t.send_time DESC, t.number DESC LIMIT 10001) l) m"
           " LEFT JOIN agents g ON g.partition = k.partition AND g.account = m.account"
           " AND g.agent = split_part(m.author, '/agents/', 2)"
           " LEFT JOIN contacts p ON p.partition = k.partition AND p.account = m.account"
           " AND p.contact = split_part(m.author, '/contacts/', 2)"
           " WHERE m.bytes_before <= 1048576 ORDER BY k.ord, m.send_time DESC, m.number DESC",
};

/* What a column of keys is filled from. The first two of a statement are partitions and accounts. */
enum part {
    PART_PARTITION,
    PART_ACCOUNT,
    PART_A,
    PART_B,
    PART_N,
    PART_M,
    PART_FOLDED,
    PART_PHONE,
    PARTS_END
};

enum { PARTS_MAX = 6 };

typedef bool load_row(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

/* One statement: which entries it reads, its key columns, and what a row does to its entry. */
struct reading {
    enum entry_kind kind;
    const struct pg_statement *statement;
    enum part parts[PARTS_MAX];
    int ord_column;
    load_row *load;
};

static bool load_case(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    struct case_entry *found = entry;
    if (!case_row_read(result, row, overlay->memory, &found->record, err))
        return false;
    found->record.network = pg_get_text(result, row, CASE_COLUMN_COUNT);
    found->record.channel_address = pg_get_text(result, row, CASE_COLUMN_COUNT + 1);
    found->last_stored = case_last_number(&found->record);
    found->first_stored_open = found->record.first_open_message;
    found->stored = found->record;
    found->entry.exists = true;
    return true;
}

static bool load_message(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    struct message_entry *message = entry;
    message->entry.exists = true;
    return message_row_read(result, row, overlay->memory, &message->record, err);
}

static bool load_request(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)err;
    struct request_entry *request = entry;
    size_t length = 0;
    if (!overlay_remembers(overlay, entry, pg_get_time(result, row, 6)))
        return true;
    const void *fingerprint = pg_get_bytes(result, row, 0, &length);
    if (fingerprint != NULL && length == sizeof request->fingerprint)
        memcpy(request->fingerprint, fingerprint, length);
    request->method = (enum case_method)pg_get_int(result, row, 1);
    request->resource = pg_get_text(result, row, 2);
    request->case_id = pg_get_int(result, row, 3);
    request->number = (int32_t)pg_get_int(result, row, 4);
    request->position = pg_get_int(result, row, 5);
    request->entry.exists = true;
    return true;
}

static bool load_external(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)err;
    struct external_entry *external = entry;
    external->channel = pg_get_text(result, row, 0);
    external->case_id = pg_get_int(result, row, 1);
    external->number = (int32_t)pg_get_int(result, row, 2);
    external->entry.exists = external->case_id != 0;
    return true;
}

/* Also answers who has the address, so that later commands of the batch find or make the same contact. */
static bool load_sender(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)err;
    struct route_entry *route = entry;
    route->network = pg_get_text(result, row, 0);
    route->entry.exists = true;
    const char *key = strcmp(route->network, "phone") == 0 ? route->phone : route->folded;
    struct address_entry *address = overlay_address(overlay, route->entry.key.account, route->network, key);
    if (address == NULL || address->entry.asked)
        return true;
    address->entry.asked = true;
    address->contact = pg_get_text(result, row, 1);
    address->entry.exists = address->was_stored = address->contact[0] != '\0';
    return true;
}

static bool load_destination(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err)
{
    struct destination_entry *destination = entry;
    destination->case_id = pg_get_int(result, row, 2);
    destination->entry.exists = true;
    struct case_entry *found = overlay_case(overlay, destination->entry.key.account, destination->case_id);
    if (found == NULL || found->entry.exists)
        return true;
    found->entry.asked = true;
    return load_case(overlay, found, result, row, err);
}

static bool load_route(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    const struct route_entry *route = entry;
    struct case_entry *found = overlay_case(overlay, route->entry.key.account, pg_get_int(result, row, 2));
    if (found == NULL || found->entry.exists)
        return true;
    found->entry.asked = true;
    return load_case(overlay, found, result, row, err);
}

static bool load_transcript(struct overlay *overlay, void *entry, const pg_result *result, int row,
                            error *err)
{
    enum { LINES_MAX = 10000 }; /* one more is read */
    struct transcript_entry *transcript = entry;
    transcript->entry.exists = true;
    transcript->cut = transcript->count >= LINES_MAX;
    if (transcript->cut)
        return true;
    if (transcript->count == transcript->size) {
        size_t size = transcript->size == 0 ? 16 : 2 * transcript->size;
        struct transcript_line *grown = arena_calloc(overlay->memory, size, sizeof *grown);
        if (grown == NULL) {
            overlay->failed = true;
            return true;
        }
        if (transcript->count > 0)
            memcpy(grown, transcript->lines, transcript->count * sizeof *grown);
        transcript->lines = grown;
        transcript->size = size;
    }
    struct transcript_line *line = &transcript->lines[transcript->count++];
    line->author = pg_get_text(result, row, MESSAGE_COLUMN_COUNT);
    return message_row_read(result, row, overlay->memory, &line->message, err);
}

static const struct reading readings[STORE_READS] = {
    {ENTRY_ACCOUNT, &store_read_accounts, {PARTS_END}, ACCOUNT_COLUMN_COUNT, store_load_account},
    {ENTRY_AGENT, &store_read_agents, {PART_A, PARTS_END}, AGENT_COLUMN_COUNT, store_load_agent},
    {ENTRY_CHANNEL, &store_read_channels, {PART_A, PARTS_END}, CHANNEL_COLUMN_COUNT, store_load_channel},
    {ENTRY_CHANNEL_OF_NETWORK,
     &store_read_channels_of_network,
     {PART_A, PARTS_END},
     CHANNEL_COLUMN_COUNT,
     store_load_channel_of_network},
    {ENTRY_CHANNEL_ADDRESS,
     &store_read_channel_addresses,
     {PART_A, PART_B, PART_N, PARTS_END},
     2,
     store_load_channel_address},
    {ENTRY_CONTACT, &store_read_contacts, {PART_A, PARTS_END}, CONTACT_COLUMN_COUNT, store_load_contact},
    {ENTRY_ADDRESS, &store_read_addresses, {PART_A, PART_B, PARTS_END}, 1, store_load_address},
    {ENTRY_CASE, &read_cases, {PART_N, PARTS_END}, CASE_COLUMN_COUNT + 2, load_case},
    {ENTRY_MESSAGE, &read_messages, {PART_N, PART_M, PARTS_END}, MESSAGE_COLUMN_COUNT, load_message},
    {ENTRY_REQUEST, &read_requests, {PART_A, PARTS_END}, 7, load_request},
    {ENTRY_EXTERNAL, &read_externals, {PART_A, PART_N, PART_B, PARTS_END}, 3, load_external},
    {ENTRY_ROUTE, &read_senders, {PART_A, PART_FOLDED, PART_PHONE, PARTS_END}, 2, load_sender},
    {ENTRY_ROUTE,
     &read_routes,
     {PART_A, PART_FOLDED, PART_PHONE, PARTS_END},
     CASE_COLUMN_COUNT + 2,
     load_route},
    {ENTRY_TRANSCRIPT,
     &read_transcripts,
     {PART_N, PART_M, PARTS_END},
     MESSAGE_COLUMN_COUNT + 1,
     load_transcript},
    {ENTRY_DESTINATION,
     &store_read_destinations,
     {PART_N, PARTS_END},
     CASE_COLUMN_COUNT + 2,
     load_destination},
    {ENTRY_CONVERSATION,
     &store_read_conversations,
     {PART_N, PARTS_END},
     STORE_CONVERSATION_COLUMNS,
     store_load_conversation},
    {ENTRY_MERGES, &store_read_merges, {PART_N, PARTS_END}, 4, store_load_merge},
    {ENTRY_BATCH_RESULT, &store_read_batch_results, {PART_A, PARTS_END}, 1, store_load_batch_result},
    {ENTRY_TIMER_STEP, &store_read_timer_steps, {PART_N, PART_A, PARTS_END}, 0, store_load_timer_step},
    {ENTRY_REPLY, &store_read_replies, {PART_N, PART_M, PARTS_END}, 1, store_load_reply},
    {ENTRY_SESSION, &case_store_read_sessions, {PART_A, PARTS_END}, SESSION_ORD, case_store_load_session},
    {ENTRY_SESSION_TABS,
     &case_store_read_session_tabs,
     {PART_A, PARTS_END},
     SESSION_TABS_ORD,
     case_store_load_session_tab},
    {ENTRY_AGENT_SESSIONS,
     &case_store_read_agent_sessions,
     {PART_A, PARTS_END},
     AGENT_SESSIONS_ORD,
     case_store_load_agent_session},
    {ENTRY_CASE_TABS,
     &case_store_read_case_tabs,
     {PART_N, PARTS_END},
     CASE_TABS_ORD,
     case_store_load_case_tab},
    {ENTRY_FAMILY, &store_read_families, {PART_N, PART_M, PARTS_END}, 2, store_load_family},
    {ENTRY_DELETION, &store_read_deletions, {PART_A, PARTS_END}, 4, store_load_deletion},
    {ENTRY_HELPER, &store_read_helpers, {PART_N, PART_A, PARTS_END}, 0, store_load_helper},
    {ENTRY_TRACES, &store_read_traces, {PART_A, PARTS_END}, 1, store_load_trace},
    {ENTRY_FORWARDS, &store_read_forwards, {PART_N, PART_A, PARTS_END}, 1, store_load_trace},
};

static const char *text_part(const struct entry *entry, enum part part)
{
    switch (part) {
    case PART_ACCOUNT:
        return entry->key.account;
    case PART_A:
        return entry->key.a;
    case PART_B:
        return entry->key.b;
    case PART_FOLDED:
        return ((const struct route_entry *)entry)->folded;
    default:
        return ((const struct route_entry *)entry)->phone;
    }
}

static int64_t number_part(const struct entry *entry, enum part part)
{
    return part == PART_N ? entry->key.n : part == PART_M ? entry->key.m : entry->partition;
}

static void add_keys(pg_params *params, enum part part, struct entry *const *entries, size_t count)
{
    static const enum pg_type types[] = {
        [PART_PARTITION] = PG_INT2, [PART_ACCOUNT] = PG_TEXT, [PART_A] = PG_TEXT,      [PART_B] = PG_TEXT,
        [PART_N] = PG_INT8,         [PART_M] = PG_INT4,       [PART_FOLDED] = PG_TEXT, [PART_PHONE] = PG_TEXT,
    };
    pg_array *keys = pg_add_array(params, types[part]);
    for (size_t i = 0; i < count; i++) {
        if (types[part] == PG_TEXT)
            pg_put_text(keys, text_part(entries[i], part));
        else
            pg_put_int(keys, number_part(entries[i], part));
    }
}

/* The entries of a kind that nobody has asked for. */
static size_t unasked(const struct overlay *overlay, enum entry_kind kind, struct entry **ret_entries)
{
    const struct entry_list *list = &overlay->entries[kind];
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct entry *entry = list->items[i];
        if (entry->asked)
            continue;
        if (ret_entries != NULL)
            ret_entries[count] = entry;
        count++;
    }
    return count;
}

bool case_store_is_curious(const struct overlay *overlay)
{
    for (enum entry_kind kind = 0; kind < ENTRY_KINDS; kind++) {
        if (unasked(overlay, kind, NULL) > 0)
            return true;
    }
    return false;
}

bool case_store_ask(struct overlay *overlay, struct store_reads *reads, pg_batch *batch, error *err)
{
    *reads = (struct store_reads){0};
    for (size_t i = 0; i < STORE_READS; i++) {
        const struct reading *reading = &readings[i];
        size_t count = unasked(overlay, reading->kind, NULL);
        if (count == 0)
            continue;
        struct entry **entries = arena_calloc(overlay->memory, count, sizeof(struct entry *));
        if (entries == NULL)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                             "the batch needs too much memory");
        unasked(overlay, reading->kind, entries);
        pg_params params;
        pg_params_init(&params, overlay->memory);
        add_keys(&params, PART_PARTITION, entries, count);
        add_keys(&params, PART_ACCOUNT, entries, count);
        for (const enum part *part = reading->parts; *part != PARTS_END; part++)
            add_keys(&params, *part, entries, count);
        if (reading->statement == &read_routes)
            pg_add_int8(&params, overlay->ways_move ? ROUTE_DEPTH : 1);
        reads->of[i].entries = entries;
        reads->of[i].count = count;
        if (!pg_batch_read(batch, reading->statement, &params, &reads->of[i].result, err))
            return false;
    }
    for (size_t i = 0; i < STORE_READS; i++) {
        for (size_t k = 0; k < reads->of[i].count; k++)
            reads->of[i].entries[k]->asked = true;
    }
    return true;
}

bool case_store_load(struct overlay *overlay, const struct store_reads *reads, const pg_batch *batch,
                     error *err)
{
    for (size_t i = 0; i < STORE_READS; i++) {
        if (reads->of[i].count == 0)
            continue;
        const pg_result *result = pg_batch_result(batch, reads->of[i].result);
        for (int row = 0; row < pg_rows(result); row++) {
            int64_t ord = pg_get_int(result, row, readings[i].ord_column);
            if (ord < 1 || (size_t)ord > reads->of[i].count)
                return error_set(err, STATUS_INTERNAL, "INTERNAL",
                                 "a read has answered what it was not asked");
            if (!readings[i].load(overlay, reads->of[i].entries[ord - 1], result, row, err))
                return false;
        }
    }
    if (overlay->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the batch needs too much memory");
    return true;
}
