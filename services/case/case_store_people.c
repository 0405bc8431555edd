#include "case/case_store_people.h"

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
