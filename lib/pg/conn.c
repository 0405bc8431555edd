#include "base/clock.h"
#include "pg/pg_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Connections are in libpq's pipeline mode all their life; a single query is a pipeline of one. All waiting
 * is done here with poll, so that every wait has its deadline.
 */

const struct pg_statement pg_statement_begin = {.name = "begin", .sql = "BEGIN"};
const struct pg_statement pg_statement_commit = {.name = "commit", .sql = "COMMIT"};
const struct pg_statement pg_statement_rollback = {.name = "rollback", .sql = "ROLLBACK"};

bool pg_conn_lost(pg_conn *conn, const char *what, error *err)
{
    conn->lost = true;
    error_set(err, STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database connection was lost");
    error_add_detail(err, "%s: %s", what, PQerrorMessage(conn->pq));
    return false;
}

void pg_conn_cut(pg_conn *conn)
{
    shutdown(PQsocket(conn->pq), SHUT_RDWR);
}

bool pg_conn_usable(const pg_conn *conn)
{
    return conn && !conn->lost;
}

/* --- prepared statements --- */

static unsigned prepared_slot(const pg_conn *conn, const struct pg_statement *statement, bool single)
{
    uintptr_t hash = (uintptr_t)statement / sizeof(void *) * 2 + single;
    unsigned i = (unsigned)(hash * 0x9e3779b97f4a7c15u >> 40) & (conn->prepared_size - 1);
    while (conn->prepared[i].statement &&
           (conn->prepared[i].statement != statement || conn->prepared[i].single != single))
        i = (i + 1) & (conn->prepared_size - 1);
    return i;
}

/* Only while nothing is pending, since that refers to slots. */
static bool prepared_grow(pg_conn *conn, unsigned size)
{
    struct pg_prepared *old = conn->prepared;
    unsigned old_size = conn->prepared_size;
    struct pg_prepared *grown = calloc(size, sizeof *grown);
    if (!grown)
        return false;
    conn->prepared = grown;
    conn->prepared_size = size;
    for (unsigned i = 0; i < old_size; i++)
        if (old[i].statement)
            grown[prepared_slot(conn, old[i].statement, old[i].single)] = old[i];
    free(old);
    return true;
}

static bool prepared_find(pg_conn *conn, const struct pg_statement *statement, bool single,
                          unsigned *ret_slot)
{
    if (conn->pending_count == 0 && conn->prepared_count * 2 > conn->prepared_size &&
        !prepared_grow(conn, conn->prepared_size * 2))
        return false;
    unsigned slot = prepared_slot(conn, statement, single);
    struct pg_prepared *p = &conn->prepared[slot];
    if (!p->statement) {
        if (conn->prepared_count + 1 == conn->prepared_size)
            return false;
        p->statement = statement;
        p->single = single;
        snprintf(p->name, sizeof p->name, "%.40s_%u", statement->name, conn->prepared_count++);
    }
    *ret_slot = slot;
    return true;
}

/* Where `text` begins with `prefix`, a parameter and `suffix`: puts `with`, or with NULL the parameter, in
 * their place and gives what follows. Else NULL. */
static const char *replace(const char *text, const char *prefix, const char *suffix, char **to,
                           const char *with)
{
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return NULL;
    const char *parameter = text + strlen(prefix);
    const char *end = parameter + strspn(parameter, "$:0123456789abcdefghijklmnopqrstuvwxyz");
    if (*parameter != '$' || strncmp(end, suffix, strlen(suffix)) != 0)
        return NULL;
    size_t length = with ? strlen(with) : (size_t)(end - parameter);
    memcpy(*to, with ? with : parameter, length);
    *to += length;
    return end + strlen(suffix);
}

/* The form for a single row (struct pg_statement), to be freed; NULL: no memory. */
static char *single_form(const char *sql)
{
    char *form = malloc(strlen(sql) + 1), *to = form;
    while (form && *sql) {
        const char *next = replace(sql, "unnest(", "[])", &to, NULL);
        if (!next)
            next = replace(sql, "generate_subscripts(", "[], 1)", &to, "1");
        if (!next) {
            *to++ = *sql;
            next = sql + 1;
        }
        sql = next;
    }
    if (form)
        *to = '\0';
    return form;
}

/* --- what is pending --- */

static bool pending_add(pg_conn *conn, enum pg_pending_kind kind, unsigned prepared)
{
    if (conn->pending_count == conn->pending_size) {
        unsigned size = conn->pending_size * 2;
        struct pg_pending *grown = calloc(size, sizeof *grown);
        if (!grown)
            return false;
        for (unsigned i = 0; i < conn->pending_count; i++)
            grown[i] = conn->pending[(conn->pending_first + i) & (conn->pending_size - 1)];
        free(conn->pending);
        conn->pending = grown;
        conn->pending_size = size;
        conn->pending_first = 0;
    }
    unsigned at = (conn->pending_first + conn->pending_count++) & (conn->pending_size - 1);
    conn->pending[at] = (struct pg_pending){.kind = kind, .prepared = prepared};
    return true;
}

static struct pg_pending pending_take(pg_conn *conn)
{
    struct pg_pending p = conn->pending[conn->pending_first];
    conn->pending_first = (conn->pending_first + 1) & (conn->pending_size - 1);
    conn->pending_count--;
    return p;
}

static const char *pending_name(const pg_conn *conn, struct pg_pending p)
{
    return p.kind == PG_PENDING_SYNC ? "sync" : conn->prepared[p.prepared].statement->name;
}

/* --- sending --- */

static bool send_prepare(pg_conn *conn, unsigned slot)
{
    struct pg_prepared *p = &conn->prepared[slot];
    char *form = p->single ? single_form(p->statement->sql) : NULL;
    p->there = (form || !p->single) && pending_add(conn, PG_PENDING_PREPARE, slot) &&
               PQsendPrepare(conn->pq, p->name, form ? form : p->statement->sql, 0, NULL);
    free(form);
    return p->there;
}

bool pg_send(pg_conn *conn, const struct pg_statement *statement, const pg_params *params, error *err)
{
    struct pg_bound bound;
    unsigned slot;
    bool single = statement->rows && pg_params_is_single(params);
    if (!pg_params_bind(params, single, &bound, err))
        return false;
    if (conn->lost)
        return pg_conn_lost(conn, statement->name, err);
    if (!prepared_find(conn, statement, single, &slot))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    const struct pg_prepared *p = &conn->prepared[slot];
    if (!p->there && !send_prepare(conn, slot))
        return pg_conn_lost(conn, statement->name, err);
    if (!pending_add(conn, PG_PENDING_EXECUTE, slot) ||
        !PQsendQueryPrepared(conn->pq, p->name, bound.count, bound.values, bound.lengths, bound.formats, 1))
        return pg_conn_lost(conn, statement->name, err);
    return true;
}

bool pg_conn_queue_sync(pg_conn *conn, error *err)
{
    if (conn->lost || !pending_add(conn, PG_PENDING_SYNC, 0) || !PQpipelineSync(conn->pq))
        return pg_conn_lost(conn, "sync", err);
    return true;
}

/* --- waiting and receiving --- */

static bool wait_socket(pg_conn *conn, short events, int64_t deadline_us)
{
    struct pollfd p = {.fd = PQsocket(conn->pq), .events = events};
    for (;;) {
        int64_t left = deadline_us - clock_monotonic_us();
        if (left <= 0)
            return false;
        int ready = poll(&p, 1, (int)((left + 999) / 1000));
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true; /* trouble shows when libpq reads */
    }
}

bool pg_conn_wait_input(pg_conn *conn, int64_t deadline_us)
{
    return wait_socket(conn, POLLIN, deadline_us);
}

bool pg_conn_has_ended(pg_conn *conn)
{
    struct pollfd p = {.fd = PQsocket(conn->pq), .events = POLLIN};
    if (poll(&p, 1, 0) > 0)
        conn->lost =
            true; /* a server that speaks unasked says goodbye; if it was only a notice, no harm is done */
    return conn->lost;
}

static bool too_late(pg_conn *conn, const char *what, error *err)
{
    conn->lost = true; /* the answer may still come: nobody could tell it from the next one's */
    error_set(err, STATUS_DEADLINE_EXCEEDED, "DATABASE_SLOW", "the database took too long");
    error_add_detail(err, "%s: no answer in time", what);
    return false;
}

/* Sends what is queued and reads until PQgetResult would not block. */
static bool await_result(pg_conn *conn, const char *what, int64_t deadline_us, error *err)
{
    int unsent = PQflush(conn->pq);
    while (unsent >= 0 && PQisBusy(conn->pq)) {
        if (!wait_socket(conn, unsent ? POLLIN | POLLOUT : POLLIN, deadline_us))
            return too_late(conn, what, err);
        if (!PQconsumeInput(conn->pq))
            return pg_conn_lost(conn, what, err);
        unsent = PQflush(conn->pq);
    }
    if (unsent < 0)
        return pg_conn_lost(conn, what, err);
    return true;
}

static int64_t answer_deadline(const pg_conn *conn, int64_t deadline_us)
{
    return deadline_us ? deadline_us
                       : clock_monotonic_us() + conn->options.statement_timeout_us + PG_ANSWER_GRACE;
}

static void note_failure(pg_conn *conn, struct pg_pending p, const PGresult *result)
{
    if (p.kind == PG_PENDING_PREPARE)
        conn->prepared[p.prepared].there = false;
    if (PQresultStatus(result) == PGRES_PIPELINE_ABORTED)
        return; /* follows from an earlier one */
    pg_error_from_result(result, pending_name(conn, p), &conn->failure);
    conn->failed = true;
    if (pg_error_is_final(result))
        conn->lost = true;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_PIPELINE_SYNC;
}

/* The one result of what is pending first, if it has come; NULL when libpq knows of nothing pending. */
static bool next_result(pg_conn *conn, PGresult **ret_result)
{
    *ret_result = NULL;
    for (int nulls = 0; !*ret_result && nulls < 3; nulls++) { /* a NULL ends each command */
        if (PQisBusy(conn->pq))
            return false;
        *ret_result = PQgetResult(conn->pq);
    }
    return true;
}

enum pg_step pg_conn_step(pg_conn *conn, PGresult **ret_result, error *err)
{
    for (;;) {
        PGresult *result;
        if (conn->lost || conn->pending_count == 0) {
            pg_conn_lost(conn, "receive", err);
            return PG_STEP_LOST;
        }
        if (!next_result(conn, &result))
            return PG_STEP_WAIT;
        struct pg_pending p = pending_take(conn);
        if (!result) {
            pg_conn_lost(conn, pending_name(conn, p), err);
            return PG_STEP_LOST;
        }
        bool good = is_good(result);
        if (!good)
            note_failure(conn, p, result);
        if (good && p.kind == PG_PENDING_EXECUTE) {
            *ret_result = result;
            return PG_STEP_RESULT;
        }
        PQclear(result);
        if (p.kind == PG_PENDING_SYNC) {
            conn->failed = false;
            return PG_STEP_SYNCED;
        }
        if (!good && (conn->lost || p.kind == PG_PENDING_EXECUTE)) {
            if (err)
                *err = conn->failure;
            return PG_STEP_FAILED;
        }
    }
}

/* The next step but WAIT. */
static enum pg_step await_step(pg_conn *conn, int64_t deadline_us, PGresult **ret_result, error *err)
{
    int64_t until = answer_deadline(conn, deadline_us);
    for (;;) {
        enum pg_step step = pg_conn_step(conn, ret_result, err);
        if (step != PG_STEP_WAIT)
            return step;
        if (!await_result(conn, pending_name(conn, conn->pending[conn->pending_first]), until, err))
            return PG_STEP_LOST;
    }
}

bool pg_conn_receive(pg_conn *conn, int64_t deadline_us, PGresult **ret_result, error *err)
{
    for (;;) {
        enum pg_step step = await_step(conn, deadline_us, ret_result, err);
        if (step != PG_STEP_SYNCED)
            return step == PG_STEP_RESULT;
    }
}

bool pg_conn_receive_sync(pg_conn *conn, int64_t deadline_us, error *err)
{
    for (;;) {
        PGresult *result;
        error lost;
        switch (await_step(conn, deadline_us, &result, &lost)) {
        case PG_STEP_RESULT:
            PQclear(result);
            break;
        case PG_STEP_SYNCED:
            return !conn->lost || pg_conn_lost(conn, "sync", err);
        case PG_STEP_LOST:
            if (err)
                *err = lost;
            return false;
        default:
            break; /* a failure is told with the first statement that it concerns */
        }
    }
}

bool pg_conn_flush(pg_conn *conn, bool *ret_rest, error *err)
{
    int unsent = PQflush(conn->pq);
    *ret_rest = unsent > 0;
    return unsent >= 0 || pg_conn_lost(conn, "send", err);
}

bool pg_conn_consume(pg_conn *conn, error *err)
{
    return PQconsumeInput(conn->pq) || pg_conn_lost(conn, "receive", err);
}

int pg_conn_socket(const pg_conn *conn)
{
    return PQsocket(conn->pq);
}

static bool has_pending_sync(const pg_conn *conn)
{
    for (unsigned i = 0; i < conn->pending_count; i++)
        if (conn->pending[(conn->pending_first + i) & (conn->pending_size - 1)].kind == PG_PENDING_SYNC)
            return true;
    return false;
}

bool pg_conn_reset(pg_conn *conn, error *err)
{
    while (conn->pending_count) {
        if (!has_pending_sync(conn) && !pg_conn_queue_sync(conn, err))
            return false;
        if (!pg_conn_receive_sync(conn, 0, err))
            return false;
    }
    if (PQtransactionStatus(conn->pq) == PQTRANS_IDLE)
        return true;
    return pg_send(conn, &pg_statement_rollback, NULL, err) && pg_conn_queue_sync(conn, err) &&
           pg_conn_receive_sync(conn, 0, err);
}

/* --- queries --- */

static void free_results(pg_result **results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pg_result_free(results[i]);
}

bool pg_receive_all(pg_conn *conn, int64_t deadline_us, pg_result **ret_results, size_t count, error *err)
{
    pg_result *few[8];
    pg_result **results = count <= 8 ? few : calloc(count, sizeof(pg_result *));
    if (!results) {
        conn->lost = true;
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    }
    size_t got = 0;
    bool good = pg_conn_queue_sync(conn, err);
    while (good && got < count) {
        PGresult *result;
        good = pg_conn_receive(conn, deadline_us, &result, err);
        if (good)
            results[got++] = (pg_result *)result;
    }
    error ignored;
    if (pg_conn_usable(conn) && !pg_conn_receive_sync(conn, deadline_us, good ? err : &ignored))
        good = false;
    if (good && ret_results)
        memcpy(ret_results, results, count * sizeof(pg_result *));
    else
        free_results(results, got);
    if (results != few)
        free(results);
    return good;
}

bool pg_query(pg_conn *conn, const struct pg_statement *statement, const pg_params *params,
              int64_t deadline_us, pg_result **ret_result, error *err)
{
    return pg_send(conn, statement, params, err) && pg_receive_all(conn, deadline_us, ret_result, 1, err);
}

bool pg_begin(pg_conn *conn, int64_t deadline_us, error *err)
{
    return pg_query(conn, &pg_statement_begin, NULL, deadline_us, NULL, err);
}

bool pg_commit(pg_conn *conn, int64_t deadline_us, error *err)
{
    pg_result *result;
    if (PQtransactionStatus(conn->pq) == PQTRANS_INERROR)
        return error_set(err, STATUS_ABORTED, "TRANSACTION_FAILED", "the transaction had failed before");
    if (!pg_query(conn, &pg_statement_commit, NULL, deadline_us, &result, err)) {
        if (!pg_conn_usable(conn))
            err->code = STATUS_UNKNOWN;
        return false;
    }
    pg_result_free(result);
    return true;
}

void pg_rollback(pg_conn *conn)
{
    error err;
    if (pg_conn_usable(conn) && !pg_conn_reset(conn, &err))
        conn->lost = true;
}

bool pg_run_script(pg_conn *conn, const char *sql, int64_t deadline_us, error *err)
{
    if (conn->lost || conn->pending_count || !PQexitPipelineMode(conn->pq) || !PQsendQuery(conn->pq, sql))
        return pg_conn_lost(conn, "script", err);
    bool good = true;
    for (;;) {
        if (!await_result(conn, "script", answer_deadline(conn, deadline_us), err))
            return false;
        PGresult *result = PQgetResult(conn->pq);
        if (!result)
            break;
        if (good && !is_good(result)) {
            pg_error_from_result(result, "script", err);
            good = false;
        }
        conn->lost |= !is_good(result) && pg_error_is_final(result);
        PQclear(result);
    }
    if (PQstatus(conn->pq) != CONNECTION_OK || !PQenterPipelineMode(conn->pq))
        conn->lost = true;
    return good && (!conn->lost || pg_conn_lost(conn, "script", err));
}
