#include "case/case_store_session.h"

#include "case/case_store_rows.h"

#include <string.h>

/* A session is gone by the database's real clock, looked at behind the lock of the partition. */
const struct pg_statement case_store_read_sessions = {
    .name = "case_sessions",
    .rows = true,
    .sql = "SELECT s.agent, s.host, s.stream, a.session_grace, CASE WHEN s.host = '' THEN"
           " s.expire_time ELSE coalesce((SELECT h.seen_time FROM session_hosts h WHERE h.partition"
           " = s.partition AND h.host = s.host), '-infinity') + " SESSION_HOST_LEASE_SQL
           " + greatest(a.session_grace, s.grace) * interval '1 microsecond' END <= clock_timestamp(),"
           " (SELECT count(*)"
           " FROM tabs t WHERE t.partition = s.partition AND t.account = s.account AND t.session ="
           " s.session), k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[]), generate_subscripts($1::int2[], 1)) AS k(partition, account,"
           " session, ord), LATERAL (SELECT * FROM sessions t WHERE t.partition = k.partition AND"
           " t.account = k.account AND t.session = k.session LIMIT 1) s, LATERAL (SELECT"
           " t.session_grace FROM accounts t WHERE t.partition = s.partition AND t.account ="
           " s.account LIMIT 1) a",
};

const struct pg_statement case_store_read_session_tabs = {
    .name = "case_session_tabs",
    .rows = true,
    .sql = "SELECT s.case_id, k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[]), generate_subscripts($1::int2[], 1)) AS k(partition, account,"
           " session, ord), LATERAL (SELECT t.case_id FROM tabs t WHERE t.partition = k.partition"
           " AND t.account = k.account AND t.session = k.session ORDER BY t.number) s",
};

const struct pg_statement case_store_read_agent_sessions = {
    .name = "case_agent_sessions",
    .rows = true,
    .sql = "SELECT s.session, k.ord FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[]), generate_subscripts($1::int2[], 1)) AS k(partition, account, agent,"
           " ord), LATERAL (SELECT t.session FROM sessions t WHERE t.partition = k.partition AND"
           " t.account = k.account AND t.agent = k.agent) s",
};

const struct pg_statement case_store_read_case_tabs = {
    .name = "case_case_tabs",
    .rows = true,
    .sql = "SELECT s.session, s.agent, s.wait, s.open_time, k.ord FROM (SELECT unnest($1::int2[]),"
           " unnest($2::text[]), unnest($3::int8[]), generate_subscripts($1::int2[], 1)) AS"
           " k(partition, account, case_id, ord), LATERAL (SELECT * FROM tabs t WHERE t.partition ="
           " k.partition AND t.account = k.account AND t.case_id = k.case_id) s",
};

bool case_store_load_session(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err)
{
    (void)overlay, (void)err;
    struct session_entry *session = entry;
    session->agent = pg_get_text(result, row, 0);
    session->host = pg_get_text(result, row, 1);
    session->stream = pg_get_int(result, row, 2);
    session->grace_us = pg_get_int(result, row, 3);
    session->gone = pg_get_bool(result, row, 4);
    session->tab_count = (size_t)pg_get_int(result, row, 5);
    session->entry.exists = true;
    return true;
}

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the batch needs too much memory");
}

bool case_store_load_session_tab(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                 error *err)
{
    struct session_tabs_entry *session = entry;
    session->entry.exists = true;
    return session_tabs_add(overlay, session, pg_get_int(result, row, 0)) || out_of_memory(err);
}

bool case_store_load_agent_session(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                   error *err)
{
    struct agent_sessions_entry *agent = entry;
    agent->entry.exists = true;
    return agent_sessions_add(overlay, agent, pg_get_text(result, row, 0)) || out_of_memory(err);
}

bool case_store_load_case_tab(struct overlay *overlay, void *entry, const pg_result *result, int row,
                              error *err)
{
    struct case_tabs_entry *tabs = entry;
    const struct case_tab tab = {.session = pg_get_text(result, row, 0),
                                 .agent = pg_get_text(result, row, 1),
                                 .wait = pg_get_int(result, row, 2),
                                 .open_time = pg_get_time(result, row, 3)};
    tabs->entry.exists = true;
    return case_tabs_add(overlay->memory, &tabs->tabs, &tab) || out_of_memory(err);
}

/* --- writes -----------------------------------------------------------------------------------------------
 */

static const struct pg_statement write_hosts = {
    .name = "case_write_hosts",
    .rows = true,
    .sql = "INSERT INTO session_hosts (partition, host, seen_time) SELECT d.partition, d.host,"
           " clock_timestamp() FROM (SELECT DISTINCT u.partition, u.host FROM (SELECT"
           " unnest($1::int2[]), unnest($2::text[]), unnest($3::text[])) AS u(partition, account,"
           " host)) d ON CONFLICT (partition, host) DO UPDATE SET seen_time = excluded.seen_time",
};

static const struct pg_statement write_losses = {
    .name = "case_write_losses",
    .rows = true,
    .sql = "UPDATE session_hosts h SET losses = losses + 1 FROM (SELECT DISTINCT u.partition, u.host"
           " FROM (SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::text[])) AS"
           " u(partition, account, host)) u WHERE h.partition = u.partition AND h.host = u.host",
};

static const struct pg_statement write_sessions = {
    .name = "case_write_sessions",
    .rows = true,
    .sql = "INSERT INTO sessions (partition, account, session, agent, host, stream, grace, expire_time)"
           " SELECT partition, account, session, agent, host, stream, grace, clock_timestamp() + grace *"
           " interval '1 microsecond' FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::int8[]),"
           " unnest($7::int8[])) AS u(partition, account, session, agent, host, stream, grace) ON"
           " CONFLICT (partition, account, session) DO UPDATE SET host = excluded.host, stream ="
           " excluded.stream, grace = excluded.grace, expire_time = excluded.expire_time",
};

static const struct pg_statement delete_sessions = {
    .name = "case_delete_sessions",
    .rows = true,
    .sql = "DELETE FROM sessions s USING (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::text[])) AS u(partition, account, session) WHERE s.partition = u.partition"
           " AND s.account = u.account AND s.session = u.session",
};

static const struct pg_statement write_tabs = {
    .name = "case_write_tabs",
    .rows = true,
    .sql = "INSERT INTO tabs (partition, account, case_id, session, agent, wait, open_time) SELECT"
           " partition, account, case_id, session, agent, wait, open_time FROM (SELECT"
           " unnest($1::int2[]), unnest($2::text[]), unnest($3::int8[]), unnest($4::text[]),"
           " unnest($5::text[]), unnest($6::int8[]), unnest($7::timestamptz[])) AS u(partition,"
           " account, case_id, session, agent, wait, open_time) ON CONFLICT (partition, account,"
           " case_id, session) DO UPDATE SET wait = excluded.wait, open_time = excluded.open_time",
};

static const struct pg_statement delete_tabs = {
    .name = "case_delete_tabs",
    .rows = true,
    .sql = "DELETE FROM tabs t USING (SELECT unnest($1::int2[]), unnest($2::text[]),"
           " unnest($3::int8[]), unnest($4::text[])) AS u(partition, account, case_id, session)"
           " WHERE t.partition = u.partition AND t.account = u.account AND t.case_id = u.case_id AND"
           " t.session = u.session",
};

static bool is_touched(const struct session_entry *session)
{
    return session->removed || (session->entry.exists && entry_is_written(&session->entry));
}

static bool write_hosts_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows seen, lost;
    ROWS_BEGIN(&seen, overlay, PG_TEXT);
    ROWS_BEGIN(&lost, overlay, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_SESSION].count; i++) {
        const struct session_entry *session = overlay->entries[ENTRY_SESSION].items[i];
        if (session->seen) {
            rows_begin_row(&seen, session->entry.key.account);
            rows_put_text(&seen, session->host);
            rows_end_row(&seen);
        }
        if (session->lost_host != NULL) {
            rows_begin_row(&lost, session->entry.key.account);
            rows_put_text(&lost, session->lost_host);
            rows_end_row(&lost);
        }
    }
    return rows_write(&seen, &write_hosts, batch, err) && rows_write(&lost, &write_losses, batch, err);
}

static bool write_session_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows written, deleted;
    ROWS_BEGIN(&written, overlay, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT8);
    ROWS_BEGIN(&deleted, overlay, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_SESSION].count; i++) {
        const struct session_entry *session = overlay->entries[ENTRY_SESSION].items[i];
        if (!is_touched(session))
            continue;
        struct rows *rows = session->entry.exists ? &written : &deleted;
        rows_begin_row(rows, session->entry.key.account);
        rows_put_text(rows, session->entry.key.a);
        if (rows == &written) {
            rows_put_text(rows, session->agent);
            rows_put_text(rows, session->host);
            rows_put_int(rows, session->stream);
            rows_put_int(rows, session->grace_us);
        }
        rows_end_row(rows);
    }
    return rows_write(&written, &write_sessions, batch, err) &&
           rows_write(&deleted, &delete_sessions, batch, err);
}

static bool write_tab_rows(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct rows written, deleted;
    ROWS_BEGIN(&written, overlay, PG_INT8, PG_TEXT, PG_TEXT, PG_INT8, PG_TIME);
    ROWS_BEGIN(&deleted, overlay, PG_INT8, PG_TEXT);
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE_TABS].count; i++) {
        const struct case_tabs_entry *entry = overlay->entries[ENTRY_CASE_TABS].items[i];
        for (size_t k = 0; k < entry->tabs.count; k++) {
            const struct case_tab *tab = &entry->tabs.items[k];
            if (tab->state == TAB_STORED)
                continue;
            struct rows *rows = tab->state == TAB_CLOSED ? &deleted : &written;
            rows_begin_row(rows, entry->entry.key.account);
            rows_put_int(rows, entry->entry.key.n);
            rows_put_text(rows, tab->session);
            if (rows == &written) {
                rows_put_text(rows, tab->agent);
                rows_put_int(rows, tab->wait);
                rows_put_time(rows, tab->open_time);
            }
            rows_end_row(rows);
        }
    }
    return rows_write(&written, &write_tabs, batch, err) && rows_write(&deleted, &delete_tabs, batch, err);
}

bool store_write_sessions(struct overlay *overlay, pg_batch *batch, error *err)
{
    return write_hosts_rows(overlay, batch, err) && write_session_rows(overlay, batch, err) &&
           write_tab_rows(overlay, batch, err);
}
