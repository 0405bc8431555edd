/* Writes of redaction and erasure. */

#include "case/case_store_erase.h"

#include "case/case_row.h"
#include "case/case_store_rows.h"

#include <string.h>

/* --- reads ------------------------------------------------------------------------------------------------
 */

/* A message, the messages to third parties that have its text, and the copies of all of them. */
const struct pg_statement store_read_families = {
    .name = "case_families",
    .sql = "SELECT w.case_id, w.number, k.ord"
           " FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int4[]) WITH ORDINALITY"
           " AS k(partition, account, case_id, number, ord),"
           " LATERAL (SELECT CASE WHEN t.origin_case = 0 THEN t.case_id ELSE t.origin_case END AS case_id,"
           " CASE WHEN t.origin_case = 0 THEN t.number ELSE t.origin_number END AS number FROM messages t"
           " WHERE t.partition = k.partition AND t.account = k.account AND t.case_id = k.case_id"
           " AND t.number = k.number LIMIT 1) r,"
           " LATERAL (SELECT r.case_id, r.number UNION ALL SELECT t.case_id, t.number FROM forwarded_texts t"
           " WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.origin_case = r.case_id AND t.origin_number = r.number) f,"
           " LATERAL (SELECT f.case_id, f.number UNION ALL SELECT t.case_id, t.number FROM messages t"
           " WHERE t.partition = k.partition AND t.account = k.account AND t.origin_case <> 0"
           " AND t.origin_case = f.case_id AND t.origin_number = f.number) w",
};

const struct pg_statement store_read_deletions = {
    .name = "case_deletions",
    .sql =
        "SELECT d.fingerprint, d.position, EXISTS (SELECT 1 FROM erasures x WHERE x.partition = k.partition"
        " AND x.account = k.account AND x.contact = ''), d.time, k.ord"
        " FROM unnest($1::int2[], $2::text[], $3::text[]) WITH ORDINALITY"
        " AS k(partition, account, request_id, ord)"
        " LEFT JOIN LATERAL (SELECT * FROM account_deletions t WHERE t.partition = k.partition"
        " AND t.account = k.account AND t.request_id = k.request_id AND k.request_id <> ''"
        " ORDER BY t.position DESC LIMIT 1) d ON true",
};

bool store_load_family(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)err;
    struct family_entry *family = entry;
    if (family->count == family->size) {
        size_t size = family->size == 0 ? 4 : 2 * family->size;
        struct message_place *grown = arena_calloc(overlay->memory, size, sizeof *grown);
        if (grown == NULL) {
            overlay->failed = true;
            return true;
        }
        if (family->count > 0)
            memcpy(grown, family->members, family->count * sizeof *grown);
        family->members = grown;
        family->size = size;
    }
    family->members[family->count++] = (struct message_place){.case_id = pg_get_int(result, row, 0),
                                                              .number = (int32_t)pg_get_int(result, row, 1)};
    family->entry.exists = true;
    return true;
}

bool store_load_deletion(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)err;
    struct deletion_entry *deletion = entry;
    size_t length = 0;
    const void *fingerprint = pg_get_bytes(result, row, 0, &length);
    deletion->entry.exists = fingerprint != NULL && length == sizeof deletion->fingerprint &&
                             overlay_remembers(overlay, entry, pg_get_time(result, row, 3));
    if (deletion->entry.exists)
        memcpy(deletion->fingerprint, fingerprint, length);
    deletion->position = pg_get_int(result, row, 1);
    deletion->under_way = pg_get_bool(result, row, 2);
    return true;
}

/* --- what a forward leaves for all that
 * ---------------------------------------------------------------------
 */

/* A message that has texts of others itself gives them on. */
static const struct pg_statement insert_forwarded = {
    .name = "case_insert_forwarded",
    .sql = "INSERT INTO forwarded_texts (partition, account, case_id, number, origin_case, origin_number)"
           " SELECT u.partition, u.account, u.case_id, u.number, o.case_id, o.number"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::int4[]),"
           " unnest($5::int8[]), unnest($6::int4[]))"
           " AS u(partition, account, case_id, number, origin_case, origin_number),"
           " LATERAL (SELECT u.origin_case AS case_id, u.origin_number AS number"
           " UNION ALL SELECT t.origin_case, t.origin_number FROM forwarded_texts t"
           " WHERE t.partition = u.partition AND t.account = u.account AND t.case_id = u.origin_case"
           " AND t.number = u.origin_number) o ON CONFLICT DO NOTHING",
};

bool store_write_forwarded(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT4, PG_INT8, PG_INT4);
    for (size_t i = 0; i < overlay->forwarded.count; i++) {
        const struct forwarded_text *text = overlay->forwarded.items[i];
        rows_begin_row(&rows, text->account);
        rows_put_int(&rows, text->in.case_id);
        rows_put_int(&rows, text->in.number);
        rows_put_int(&rows, text->of.case_id);
        rows_put_int(&rows, text->of.number);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_forwarded, batch, err);
}

/* --- what a request does at once --------------------------------------------------------------------------
 */

static const struct pg_statement remove_contact_addresses = {
    .name = "case_remove_contact_addresses",
    .sql = "DELETE FROM contact_addresses d USING unnest($1::int2[], $2::text[], $3::text[])"
           " AS u(partition, account, contact)"
           " WHERE d.partition = u.partition AND d.account = u.account AND d.contact = u.contact",
};

/*
 * A reply goes to those, too, who have written in the case of somebody else (case_outgoing.c). What is told
 * of one that could not be delivered to them stands at that case's messages, and names the address. Of phones
 * only the digits count. The messages of these cases are looked through here, since the addresses are gone
 * afterwards.
 */
static const struct pg_statement wipe_failures = {
    .name = "case_wipe_failures",
    .sql =
        "UPDATE messages m SET delivery_failure = '' FROM (SELECT w.* FROM unnest($1::int2[], $2::text[],"
        " $3::text[], $4::text[], $5::text[]) AS u(partition, account, contact, address, digits)"
        " JOIN case_guests g ON g.partition = u.partition AND g.account = u.account"
        " AND g.contact = u.contact CROSS JOIN LATERAL (SELECT t.partition, t.account, t.case_id, t.number,"
        " t.delivery_failure FROM messages t WHERE t.partition = g.partition AND t.account = g.account"
        " AND t.case_id = g.case_id AND t.delivery_failure <> '' UNION ALL SELECT t.partition, t.account,"
        " t.case_id, t.number, t.delivery_failure FROM messages t WHERE t.partition = g.partition"
        " AND t.account = g.account AND t.origin_case <> 0 AND t.origin_case = g.case_id"
        " AND t.delivery_failure <> '') w WHERE strpos(lower(w.delivery_failure), lower(u.address)) > 0"
        " OR (u.digits <> '' AND strpos(regexp_replace(w.delivery_failure, '[^0-9]', '', 'g'), u.digits)"
        " > 0) OFFSET 0) f WHERE m.partition = f.partition AND m.account = f.account"
        " AND m.case_id = f.case_id AND m.number = f.number",
};

static const struct pg_statement insert_erasures = {
    .name = "case_insert_erasures",
    .sql = "INSERT INTO erasures (partition, account, contact, position, actor_kind, actor_id, actor_via)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::text[], $4::int8[], $5::int2[], $6::text[],"
           " $7::text[])",
};

static const struct pg_statement remove_deleted_accounts = {
    .name = "case_remove_deleted_accounts",
    .sql = "DELETE FROM accounts a USING unnest($1::int2[], $2::text[], $3::int8[], $4::text[], $5::bytea[],"
           " $6::timestamptz[]) AS u(partition, account, position, request_id, fingerprint, time)"
           " WHERE a.partition = u.partition AND a.account = u.account",
};

/* Whoever serves sessions of a deleted account hears with its next beat that they are over. */
static const struct pg_statement tell_hosts_of_deletion = {
    .name = "case_tell_hosts_of_deletion",
    .sql = "UPDATE session_hosts h SET losses = losses + 1 FROM (SELECT DISTINCT d.partition"
           " FROM unnest($1::int2[], $2::text[], $3::int8[], $4::text[], $5::bytea[], $6::timestamptz[])"
           " AS d(partition, account, position, request_id, fingerprint, time)) u WHERE h.partition = "
           "u.partition",
};

static const struct pg_statement insert_deletions = {
    .name = "case_insert_deletions",
    .sql = "INSERT INTO account_deletions (partition, account, position, request_id, fingerprint, time)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::text[], $5::bytea[],"
           " $6::timestamptz[])",
};

static const struct pg_statement redact_messages = {
    .name = "case_redact_messages",
    .sql = "UPDATE messages m SET redacted = true, body = '', attachments = u.attachments::text[],"
           " delivery = u.delivery, delivery_failure = u.failure"
           " FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int4[], $5::text[], $6::int2[], $7::text[])"
           " AS u(partition, account, case_id, number, attachments, delivery, failure)"
           " WHERE m.partition = u.partition AND m.account = u.account AND m.case_id = u.case_id"
           " AND m.number = u.number",
};

static const struct pg_statement remove_redacted_outgoing = {
    .name = "case_remove_redacted_outgoing",
    .sql = "DELETE FROM outgoing o"
           " USING unnest($1::int2[], $2::text[], $3::int8[], $4::int4[], $5::text[], $6::int2[], $7::text[])"
           " AS u(partition, account, case_id, number, attachments, delivery, failure)"
           " WHERE o.partition = u.partition AND o.account = u.account AND o.case_id = u.case_id"
           " AND o.number = u.number",
};

static bool write_erased_addresses(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT);
    for (size_t i = 0; i < overlay->erasures.count; i++) {
        const struct erasure *erasure = overlay->erasures.items[i];
        if (erasure->contact[0] == '\0')
            continue;
        rows_begin_row(&rows, erasure->account);
        rows_put_text(&rows, erasure->contact);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &remove_contact_addresses, batch, err);
}

static const char *digits_of(struct overlay *overlay, const char *phone)
{
    enum { FEWEST = 5 }; /* any text may have fewer of them */
    char *digits = arena_strdup(overlay->memory, phone);
    size_t count = 0;
    if (digits == NULL) {
        overlay->failed = true;
        return "";
    }
    for (const char *c = phone; *c != '\0'; c++) {
        if (*c >= '0' && *c <= '9')
            digits[count++] = *c;
    }
    digits[count < FEWEST ? 0 : count] = '\0';
    return digits;
}

static void put_addresses(struct rows *rows, const struct erasure *erasure, const struct text_list *list,
                          size_t first, size_t step, bool phones)
{
    for (size_t i = first; i < list->count; i += step) {
        rows_begin_row(rows, erasure->account);
        rows_put_text(rows, erasure->contact);
        rows_put_text(rows, list->items[i]);
        rows_put_text(rows, phones ? digits_of(rows->overlay, list->items[i]) : "");
        rows_end_row(rows);
    }
}

static bool write_wiped_failures(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->erasures.count; i++) {
        const struct erasure *erasure = overlay->erasures.items[i];
        put_addresses(&rows, erasure, &erasure->was.emails, 0, 1, false);
        put_addresses(&rows, erasure, &erasure->was.phones, 0, 1, true);
        put_addresses(&rows, erasure, &erasure->was.handles, 1, 2, false); /* pairs network, address */
    }
    return rows_write(&rows, &wipe_failures, batch, err);
}

static bool write_erasure_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_INT8, PG_INT2, PG_TEXT, PG_TEXT);
    for (size_t i = 0; i < overlay->erasures.count; i++) {
        const struct erasure *erasure = overlay->erasures.items[i];
        rows_begin_row(&rows, erasure->account);
        rows_put_text(&rows, erasure->contact);
        rows_put_int(&rows, erasure->position);
        rows_put_int(&rows, erasure->actor.kind);
        rows_put_text(&rows, erasure->actor.id);
        rows_put_text(&rows, erasure->actor.via);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &insert_erasures, batch, err);
}

static bool write_deletion_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_TEXT, PG_BYTEA, PG_TIME);
    for (size_t i = 0; i < overlay->erasures.count; i++) {
        const struct erasure *erasure = overlay->erasures.items[i];
        if (erasure->contact[0] != '\0')
            continue;
        rows_begin_row(&rows, erasure->account);
        rows_put_int(&rows, erasure->position);
        rows_put_text(&rows, erasure->request_id);
        rows_put_bytes(&rows, erasure->fingerprint, CASE_FINGERPRINT_SIZE);
        rows_put_now(&rows);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &remove_deleted_accounts, batch, err) &&
           rows_write(&rows, &tell_hosts_of_deletion, batch, err) &&
           rows_write(&rows, &insert_deletions, batch, err);
}

/* Those that were stored before this batch: new ones are written as they are now, and copies as their origins
 * are. */
static bool write_redacted_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8, PG_INT4, PG_TEXT, PG_INT2, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        const struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        const struct message_record *record = &message->record;
        struct text_list attachments;
        if (!message->redacted || message->entry.inserted)
            continue;
        if (!rows_flat_attachments(overlay->memory, record, &attachments))
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                             "the batch needs too much memory");
        rows_begin_row(&rows, record->account);
        rows_put_int(&rows, record->case_id);
        rows_put_int(&rows, record->number);
        rows_put_list(&rows, &attachments);
        rows_put_int(&rows, record->delivery);
        rows_put_text(&rows, record->delivery_failure);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &redact_messages, batch, err) &&
           rows_write(&rows, &remove_redacted_outgoing, batch, err);
}

/* --- a step of the work afterwards ------------------------------------------------------------------------
 */

#define WIPED_COLUMNS \
    "t.partition, t.account, t.case_id, t.number, t.origin_case, t.origin_number, t.external_id"

/* Their keys, by way of an index each: the messages themselves, their copies, and the messages to third
 * parties that have their texts, with their copies. */
#define WIPED_MESSAGES                                                                                  \
    " (SELECT m.* FROM unnest($1::int2[], $2::text[], $3::text[], $4::int8[], $5::int4[],"              \
    " $6::int4[], $7::bool[]) AS u(partition, account, author, case_id, first, last, copies)"           \
    " CROSS JOIN LATERAL (SELECT " WIPED_COLUMNS " FROM messages t WHERE t.partition = u.partition"     \
    " AND t.account = u.account AND t.case_id = u.case_id AND t.number BETWEEN u.first AND u.last"      \
    " AND u.author IN ('', t.author) UNION ALL SELECT " WIPED_COLUMNS " FROM messages t WHERE u.copies" \
    " AND t.partition = u.partition AND t.account = u.account AND t.origin_case <> 0"                   \
    " AND t.origin_case = u.case_id AND u.author IN ('', t.author) UNION ALL SELECT " WIPED_COLUMNS     \
    " FROM (SELECT DISTINCT f.case_id, f.number FROM forwarded_texts f CROSS JOIN LATERAL"              \
    " (SELECT 1 FROM messages o WHERE o.partition = f.partition AND o.account = f.account"              \
    " AND o.case_id = f.origin_case AND o.number = f.origin_number AND u.author IN ('', o.author)"      \
    " OFFSET 0) o WHERE u.copies AND f.partition = u.partition AND f.account = u.account"               \
    " AND f.origin_case = u.case_id) f CROSS JOIN LATERAL (SELECT * FROM messages t"                    \
    " WHERE t.partition = u.partition AND t.account = u.account AND t.case_id = f.case_id"              \
    " AND t.number = f.number UNION ALL SELECT * FROM messages t WHERE t.partition = u.partition"       \
    " AND t.account = u.account AND t.origin_case <> 0 AND t.origin_case = f.case_id"                   \
    " AND t.origin_number = f.number) t OFFSET 0) m) w"

#define DIGEST EXTERNAL_ID_ERASED("e.external_id")

/* Runs before the messages lose theirs. An id was given on one of the account's channels, hardly ever on
 * another than the case's. */
static const struct pg_statement wipe_external_ids = {
    .name = "case_wipe_external_ids",
    .sql = "UPDATE external_ids e SET external_id = " DIGEST " FROM" WIPED_MESSAGES
           " JOIN channels h ON h.partition = w.partition AND h.account = w.account"
           " WHERE w.external_id <> '' AND e.partition = w.partition AND e.account = w.account"
           " AND e.channel = h.channel AND e.external_id = w.external_id"
           " AND (e.case_id, e.number) IN ((w.case_id, w.number), (w.origin_case, w.origin_number))",
};

static const struct pg_statement wipe_outgoing = {
    .name = "case_wipe_outgoing",
    .sql = "DELETE FROM outgoing o USING" WIPED_MESSAGES
           " WHERE o.partition = w.partition AND o.account = w.account AND o.case_id = w.case_id"
           " AND o.number = w.number",
};

/* Says what message_erase_texts does. */
static const struct pg_statement wipe_messages = {
    .name = "case_wipe_messages",
    .sql = "UPDATE messages m SET redacted = true, body = '', attachments = '{}', third_party = '',"
           " external_id = '',"
           " author = CASE WHEN m.author ~ " MESSAGE_AUTHOR_STAYS " THEN m.author ELSE '' END,"
           " delivery_failure = CASE WHEN m.delivery = 1 THEN '" CASE_DELIVERY_REDACTED "' ELSE '' END,"
           " delivery = CASE WHEN m.delivery = 1 THEN 3 ELSE m.delivery END"
           " FROM" WIPED_MESSAGES " WHERE m.partition = w.partition AND m.account = w.account"
           " AND m.case_id = w.case_id AND m.number = w.number",
};

/* Without texts, nobody has to find those any more. */
static const struct pg_statement forget_forwarded = {
    .name = "case_forget_forwarded",
    .sql = "DELETE FROM forwarded_texts f USING" WIPED_MESSAGES
           " WHERE f.partition = w.partition AND f.account = w.account AND f.case_id = w.case_id"
           " AND f.number = w.number",
};

/* Of imported conversations. */
static const struct pg_statement wipe_case_external_ids = {
    .name = "case_wipe_case_external_ids",
    .sql = "UPDATE external_ids e SET external_id = " DIGEST
           " FROM unnest($1::int2[], $2::text[], $3::int8[]) AS u(partition, account, id) JOIN cases c"
           " ON c.partition = u.partition AND c.account = u.account AND c.id = u.id AND c.external_id <> ''"
           " WHERE e.partition = u.partition AND e.account = u.account AND e.channel = ''"
           " AND e.external_id = c.external_id",
};

static const struct pg_statement wipe_cases = {
    .name = "case_wipe_cases",
    .sql = "UPDATE cases c SET erased = true, subject = '', subject_key = '', external_id = '',"
           " attributes = '{}' FROM unnest($1::int2[], $2::text[], $3::int8[]) AS u(partition, account, id)"
           " WHERE c.partition = u.partition AND c.account = u.account AND c.id = u.id",
};

static bool write_wipes(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_INT8, PG_INT4, PG_INT4, PG_BOOL);
    for (size_t i = 0; i < overlay->wipes.count; i++) {
        const struct wipe *wipe = overlay->wipes.items[i];
        rows_begin_row(&rows, wipe->account);
        rows_put_text(&rows, wipe->author);
        rows_put_int(&rows, wipe->case_id);
        rows_put_int(&rows, wipe->first);
        rows_put_int(&rows, wipe->last);
        rows_put_bool(&rows, wipe->copies);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &wipe_external_ids, batch, err) &&
           rows_write(&rows, &wipe_outgoing, batch, err) && rows_write(&rows, &wipe_messages, batch, err) &&
           rows_write(&rows, &forget_forwarded, batch, err);
}

static bool write_wiped_cases(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT8);
    for (size_t i = 0; i < overlay->wiped_cases.count; i++) {
        const struct case_entry *wiped = overlay->wiped_cases.items[i];
        rows_begin_row(&rows, wiped->record.account);
        rows_put_int(&rows, wiped->record.id);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &wipe_case_external_ids, batch, err) &&
           rows_write(&rows, &wipe_cases, batch, err);
}

bool store_write_erased_first(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_redacted_rows(overlay, batch, err) && write_erased_addresses(overlay, batch, err);
}

bool store_write_erasures(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_wiped_failures(overlay, batch, err) && write_erasure_rows(overlay, batch, err) &&
           write_deletion_rows(overlay, batch, err) && write_wipes(overlay, batch, err) &&
           write_wiped_cases(overlay, batch, err);
}
