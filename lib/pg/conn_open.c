/* Connections from opening to closing: what is asked of the server, and of its session. */

#include "base/clock.h"
#include "base/log.h"
#include "pg/pg_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Powers of two. */
enum { PREPARED_START = 64, PENDING_START = 64 };

#define CONNECT_TIMEOUT (5 * CLOCK_SECOND)
#define IDLE_TIMEOUT (30 * CLOCK_SECOND)

static const struct pg_statement set_setting = {
    .name = "set_setting",
    .sql = "SELECT set_config($1::text, $2::text, false)",
};

/*
 * The timeline changes when a standby is promoted: transaction ids of before need not mean the same
 * afterwards. A recovery from a crash resets the statistics, also where the postmaster survived it.
 */
static const struct pg_statement get_origin = {
    .name = "get_origin",
    .sql = "SELECT (SELECT system_identifier FROM pg_control_system())::text"
           " || CASE WHEN pg_is_in_recovery() THEN '' ELSE '/' || "
           "left(pg_walfile_name(pg_current_wal_lsn()), 8) END,"
           " pg_postmaster_start_time()::text || '/' || (SELECT coalesce(stats_reset::text, '') FROM "
           "pg_stat_wal)",
};

bool pg_conn_set(pg_conn *conn, const char *setting, const char *value, error *err)
{
    bool good = false;
    arena *memory = arena_new(4096);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_text(&p, setting);
    pg_add_text(&p, value);
    good = pg_query(conn, &set_setting, &p, 0, NULL, err);
    arena_free(memory);
    return good;
}

static unsigned host_count(const char *url)
{
    unsigned hosts = 1;
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, "host") == 0 && o->val)
            for (const char *c = o->val; *c; c++)
                hosts += *c == ',';
    PQconninfoFree(options);
    return hosts;
}

/* The settings of ours that the server is to know. Those of the URL's own `options` stay. */
static bool set_up_session(pg_conn *conn, error *err)
{
    char statement_timeout[32], lock_timeout[32], idle_timeout[32];
    snprintf(statement_timeout, sizeof statement_timeout, "%lld",
             (long long)(conn->options.statement_timeout_us / 1000));
    snprintf(lock_timeout, sizeof lock_timeout, "%lld", (long long)(conn->options.lock_timeout_us / 1000));
    snprintf(idle_timeout, sizeof idle_timeout, "%lld", (long long)(conn->options.idle_timeout_us / 1000));
    const char *const settings[][2] = {
        {"statement_timeout", statement_timeout},
        {"lock_timeout", lock_timeout},
        {"idle_in_transaction_session_timeout", idle_timeout},
        {"jit", "off"},
        {"default_transaction_read_only", conn->options.read_only ? "on" : "off"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!pg_conn_set(conn, settings[i][0], settings[i][1], err))
            return false;
    if (conn->options.search_path != NULL &&
        !pg_conn_set(conn, "search_path", conn->options.search_path, err))
        return false;
    pg_result *result;
    if (!pg_query(conn, &get_origin, NULL, 0, &result, err))
        return false;
    snprintf(conn->origin, sizeof conn->origin, "%s", pg_get_text(result, 0, 0));
    snprintf(conn->incarnation, sizeof conn->incarnation, "%s", pg_get_text(result, 0, 1));
    pg_result_free(result);
    return true;
}

/* libpq's blocking connect is the one that knows how to go from host to host within a time. */
static bool connect_server(pg_conn *conn, error *err)
{
    int64_t per_host = conn->options.connect_timeout_us / host_count(conn->options.url) / CLOCK_SECOND;
    char connect_timeout[24], user_timeout[24];
    snprintf(connect_timeout, sizeof connect_timeout, "%lld", (long long)(per_host < 2 ? 2 : per_host));
    snprintf(user_timeout, sizeof user_timeout, "%lld",
             (long long)(conn->options.statement_timeout_us + PG_ANSWER_GRACE) / 1000);
    const char *const keywords[] = {"connect_timeout",  "tcp_user_timeout",
                                    "keepalives_idle",  "keepalives_interval",
                                    "keepalives_count", "fallback_application_name",
                                    "dbname",           "target_session_attrs",
                                    "client_encoding",  NULL};
    const char *const values[] = {connect_timeout,
                                  user_timeout,
                                  "5",
                                  "2",
                                  "3",
                                  conn->options.application,
                                  conn->options.url,
                                  conn->options.read_only ? "any" : "read-write",
                                  "UTF8",
                                  NULL};
    conn->pq = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(conn->pq) != CONNECTION_OK || PQsetnonblocking(conn->pq, 1) != 0 ||
        !PQenterPipelineMode(conn->pq)) {
        pg_conn_lost(conn, "connect", err);
        error_set(err, STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
        error_add_detail(err, "connect: %s", PQerrorMessage(conn->pq));
        return false;
    }
    return true;
}

static void log_notice(void *context, const PGresult *result)
{
    (void)context;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("notice from the database", LOG_TEXT("text", text ? text : ""));
}

bool pg_conn_open(const struct pg_options *options, pg_conn **ret_conn, error *err)
{
    pg_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    conn->options = *options;
    if (!conn->options.application)
        conn->options.application = "casework";
    if (!conn->options.connect_timeout_us)
        conn->options.connect_timeout_us = CONNECT_TIMEOUT;
    if (!conn->options.statement_timeout_us)
        conn->options.statement_timeout_us = PG_STATEMENT_TIMEOUT;
    if (!conn->options.lock_timeout_us)
        conn->options.lock_timeout_us = conn->options.statement_timeout_us;
    if (!conn->options.idle_timeout_us)
        conn->options.idle_timeout_us = IDLE_TIMEOUT;
    conn->prepared = calloc(PREPARED_START, sizeof *conn->prepared);
    conn->prepared_size = PREPARED_START;
    conn->pending = calloc(PENDING_START, sizeof *conn->pending);
    conn->pending_size = PENDING_START;
    bool good = conn->prepared && conn->pending;
    if (!good)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    good = good && connect_server(conn, err);
    if (good)
        PQsetNoticeReceiver(conn->pq, log_notice, NULL);
    if (!good || !set_up_session(conn, err)) {
        pg_conn_close(conn);
        return false;
    }
    *ret_conn = conn;
    return true;
}

bool pg_conn_open_planned(const struct pg_options *options, pg_conn **ret_conn, error *err)
{
    pg_conn *conn;
    if (!pg_conn_open(options, &conn, err))
        return false;
    if (!pg_conn_set(conn, "plan_cache_mode", "force_generic_plan", err) ||
        !pg_conn_set(conn, "enable_seqscan", "off", err)) {
        pg_conn_close(conn);
        return false;
    }
    *ret_conn = conn;
    return true;
}

void pg_conn_close(pg_conn *conn)
{
    if (!conn)
        return;
    PQfinish(conn->pq);
    free(conn->prepared);
    free(conn->pending);
    free(conn);
}
