#include "case/case_store_people.h"

#include "case/case_store_rows.h"

/* --- who has helped ---------------------------------------------------------------------------------------
 */

/*
 * Agents who have replied in a case, or got something of it forwarded: that stands in the events, of which
 * k.got is how field 13, the resource, of an event with that agent is packed.
 */
const struct pg_statement store_read_helpers = {
    .name = "case_helpers",
    .sql = "SELECT k.ord FROM (SELECT *, '\\x6a'::bytea || CASE WHEN octet_length(name) < 128"
           " THEN set_byte('\\x00'::bytea, 0, octet_length(name))"
           " ELSE set_byte('\\x0001'::bytea, 0, octet_length(name)) END || convert_to(name, 'UTF8') AS got"
           " FROM (SELECT *, 'accounts/' || account || '/agents/' || agent AS name"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::text[]),"
           " generate_subscripts($1::int2[], 1)) AS u(partition, account, case_id, agent, ord)) n) k"
           " WHERE EXISTS (SELECT 1 FROM messages t WHERE t.partition = k.partition"
           " AND t.account = k.account AND t.case_id = k.case_id AND t.kind = 2 AND NOT t.automatic"
           " AND t.author = k.name)"
           " OR EXISTS (SELECT 1 FROM events t WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.case_id = k.case_id AND t.kind IN (13, 14) AND position(k.got IN t.data) > 0)",
};

bool store_load_helper(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)overlay, (void)result, (void)row, (void)err;
    ((struct entry *)entry)->exists = true;
    return true;
}

/* --- where a contact's texts stand in cases of others -----------------------------------------------------
 */

/* Messages that were forwarded, of case t and by the author. */
#define FORWARDED(t, author)                                                                              \
    "forwarded_texts f CROSS JOIN LATERAL (SELECT 1 FROM messages o WHERE o.partition = f.partition"      \
    " AND o.account = f.account AND o.case_id = f.origin_case AND o.number = f.origin_number AND " author \
    " OFFSET 0) o WHERE f.partition = k.partition AND f.account = k.account AND f.origin_case = " t       \
    ".case_id"

/* Where merges have taken its cases, where it has written as a guest, and where either was forwarded; the
 * contacts of those are others. */
const struct pg_statement store_read_traces = {
    .name = "case_traces",
    .sql = "SELECT r.id, k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[]),"
           " generate_subscripts($1::int2[], 1)) AS k(partition, account, contact, ord),"
           " LATERAL (WITH RECURSIVE v AS ("
           "(SELECT e.target AS id FROM contact_cases t, LATERAL (SELECT m.target FROM case_merges m"
           " WHERE m.partition = t.partition AND m.account = t.account AND m.source = t.case_id"
           " OFFSET 0) e WHERE t.partition = k.partition AND t.account = k.account"
           " AND t.contact = k.contact UNION SELECT t.case_id FROM case_guests t"
           " WHERE t.partition = k.partition AND t.account = k.account AND t.contact = k.contact"
           " UNION SELECT f.case_id FROM contact_cases t, LATERAL (SELECT f.case_id FROM " FORWARDED(
               "t", "true") ") f WHERE t.partition = k.partition AND t.account = k.account"
                            " AND t.contact = k.contact"
                            " UNION SELECT f.case_id FROM case_guests t, LATERAL (SELECT f.case_id "
                            "FROM " FORWARDED("t",
                                              "o.author = 'accounts/' || k.account || '/contacts/' || "
                                              "k.contact") ") f"
                                                           " WHERE t.partition = k.partition AND t.account = "
                                                           "k.account AND t.contact = k.contact)"
                                                           " UNION SELECT t.target FROM v JOIN case_merges t"
                                                           " ON t.partition = k.partition AND t.account = "
                                                           "k.account AND t.source = v.id)"
                                                           " SELECT v.id FROM v, LATERAL (SELECT 1 FROM "
                                                           "cases t WHERE t.partition = k.partition"
                                                           " AND t.account = k.account AND t.id = v.id AND "
                                                           "t.contact <> k.contact AND NOT t.erased"
                                                           " OFFSET 0) c ORDER BY v.id LIMIT 1000) r",
};

/* Of a case: where something that was written in it has been forwarded from. */
const struct pg_statement store_read_forwards = {
    .name = "case_forwards",
    .sql = "SELECT r.case_id, k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::int8[]), unnest($4::text[]), generate_subscripts($1::int2[], 1))"
           " AS k(partition, account, case_id, author, ord),"
           " LATERAL (SELECT DISTINCT f.case_id FROM " FORWARDED(
               "k", "k.author IN ('', o.author)") " AND f.case_id <> k.case_id ORDER BY 1 LIMIT 1000) r",
};

bool store_load_trace(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err)
{
    (void)err;
    struct traces_entry *traces = entry;
    if (traces->cases == NULL)
        traces->cases = arena_calloc(overlay->memory, TRACES_MAX, sizeof *traces->cases);
    if (traces->cases == NULL)
        overlay->failed = true;
    else if (traces->count < TRACES_MAX)
        traces->cases[traces->count++] = pg_get_int(result, row, 0);
    traces->entry.exists = true;
    return true;
}

static const struct pg_statement insert_guests = {
    .name = "case_insert_guests",
    .sql = "INSERT INTO case_guests (partition, account, contact, case_id) SELECT unnest($1::int2[]),"
           " unnest($2::text[]), unnest($3::text[]), unnest($4::int8[]) ON CONFLICT DO NOTHING",
};

static const struct pg_statement remove_guests = {
    .name = "case_remove_guests",
    .sql = "DELETE FROM case_guests g USING (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[]), unnest($4::int8[])) AS u(partition, account, contact, case_id)"
           " WHERE g.partition = u.partition AND g.account = u.account AND g.contact = u.contact"
           " AND g.case_id = u.case_id",
};

static bool write_guests(struct overlay *overlay, const struct entry_list *guests,
                         const struct pg_statement *statement, pg_batch *batch, error *err)
{
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_TEXT, PG_INT8);
    for (size_t i = 0; i < guests->count; i++) {
        const struct guest *guest = guests->items[i];
        rows_begin_row(&rows, guest->account);
        rows_put_text(&rows, guest->contact);
        rows_put_int(&rows, guest->case_id);
        rows_end_row(&rows);
    }
    return rows_write(&rows, statement, batch, err);
}

bool store_write_guests(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_guests(overlay, &overlay->guests, &insert_guests, batch, err) &&
           write_guests(overlay, &overlay->wiped_guests, &remove_guests, batch, err);
}
