#ifndef CASEWORK_PG_PG_H
#define CASEWORK_PG_PG_H

/*
 * PostgreSQL: connections, statements, parameters, results, and a pool for reads. Writes go through
 * pg/lane.h.
 *
 * Statements are constants with bound parameters; a connection prepares each one when it first meets it.
 * Parameters and results travel in binary; the SQL text gives every parameter its type by a cast:
 *
 *     static const struct pg_statement case_get = {
 *         .name = "case_get",
 *         .sql = "SELECT subject, owner FROM cases WHERE partition = $1::int2 AND id = ANY($2::int8[])",
 *     };
 *     pg_params p;
 *     pg_params_init(&p, memory);
 *     pg_add_int2(&p, partition);
 *     pg_add_int8_array(&p, ids, count);
 *     if (!pg_pool_query(pool, &case_get, &p, deadline_us, &result, err))
 *         return false;
 *     for (int i = 0; i < pg_rows(result); i++) … pg_get_text(result, i, 0) …
 *     pg_result_free(result);
 *
 * Every wait has an end: a deadline of the monotonic clock (clock_monotonic_us) or, where that is 0, the
 * connection's statement timeout. Errors are:
 *
 *     UNAVAILABLE          no connection, connection lost, server starting or stopping, disk full,
 *                          read-only after a fail-over, a lock not got in time
 *     RESOURCE_EXHAUSTED   too many connections, arena full, pool exhausted
 *     ABORTED              serialization failure or deadlock: trying again may help
 *     DEADLINE_EXCEEDED    deadline or statement timeout
 *     INTERNAL             every other SQL error
 *
 * The message is fit for clients; SQLSTATE, statement name and the server's text are in `detail` only.
 */

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_statement {
    const char *name; /* for logs and as the stem of the prepared statement's name */
    const char *sql;  /* one statement, parameters as $1::type */
    /*
     * The statement takes rows as columns: every array parameter stands in the list of a SELECT as
     * unnest($1::type[]), or as generate_subscripts($1::type[], 1), and nowhere else. A single row is then
     * sent as values: in its SQL $1::type and 1 stand instead, which the server plans and runs for a third
     * less.
     */
    bool rows;
    bool quick; /* reads a few rows by their keys: may share a round trip with others (pg/reader.h) */
};

/* --- parameters
 * ------------------------------------------------------------------------------------------------ */

enum { PG_PARAMS_MAX = 64 };

enum pg_type { PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_TEXT, PG_BYTEA, PG_TIME };

/* A parameter that is an array, filled one member after the other; see pg_add_array. */
typedef struct pg_array pg_array;

/*
 * Parameters of one execution, in the order of $1, $2, … Lives with its caller; what is added is copied into
 * `memory`, which must outlive the sending. When the arena is full or there are too many, `failed` is set,
 * later calls do nothing, and the statement is refused with RESOURCE_EXHAUSTED when it is sent: no need to
 * check each call.
 */
typedef struct pg_params {
    arena *memory;
    int count;
    bool failed;
    const char *values[PG_PARAMS_MAX]; /* NULL: SQL NULL, or the array below */
    int lengths[PG_PARAMS_MAX];
    pg_array *arrays[PG_PARAMS_MAX];
} pg_params;

void pg_params_init(pg_params *params, arena *memory);

void pg_add_null(pg_params *params);
void pg_add_bool(pg_params *params, bool value);
void pg_add_int2(pg_params *params, int64_t value); /* out of range: failed */
void pg_add_int4(pg_params *params, int64_t value); /* likewise */
void pg_add_int8(pg_params *params, int64_t value);
void pg_add_text(pg_params *params, const char *text);                 /* NULL: SQL NULL */
void pg_add_bytea(pg_params *params, const void *data, size_t length); /* data NULL: SQL NULL */
void pg_add_time(pg_params *params,
                 int64_t time_us); /* timestamptz from microseconds since 1970; 0: SQL NULL */

/*
 * Arrays for set-based statements: INSERT … SELECT unnest($1::int8[]), unnest($2::text[]), …. One array a
 * column; walk over the rows once and put each row's fields at the end of their columns:
 *
 *     pg_array *id = pg_add_array(&p, PG_INT8), *subject = pg_add_array(&p, PG_TEXT);
 *     for (…) { pg_put_int(id, row->id); pg_put_text(subject, row->subject); }
 *
 * The array belongs to the arena. NULL when the parameters have failed; pg_put_… take NULL and do nothing
 * then. Members must fit the array's type, else the parameters fail.
 */
pg_array *pg_add_array(pg_params *params, enum pg_type type);
void pg_put_null(pg_array *array);
void pg_put_bool(pg_array *array, bool value);
void pg_put_int(pg_array *array,
                int64_t value); /* into PG_INT2, PG_INT4 and PG_INT8 arrays; out of range: failed */
void pg_put_text(pg_array *array, const char *text);                 /* NULL: SQL NULL */
void pg_put_bytea(pg_array *array, const void *data, size_t length); /* data NULL: SQL NULL */
void pg_put_time(pg_array *array, int64_t time_us);                  /* 0: SQL NULL */

/* Whole arrays at once. */
void pg_add_int8_array(pg_params *params, const int64_t *values, size_t count);
void pg_add_int4_array(pg_params *params, const int32_t *values, size_t count);
void pg_add_text_array(pg_params *params, const char *const *texts, size_t count); /* members may be NULL */

/*
 * An array as one member of a text[] column, for rows that have an array column themselves (labels, involved
 * agents). unnest() flattens arrays of arrays, so such a field travels as the array's text form and is cast
 * back in SQL:
 *
 *     pg_put_text_list(labels, row->labels, row->label_count);
 *     INSERT INTO cases (…, labels) SELECT …, u.labels::text[] FROM unnest(…, $7::text[]) AS u(…, labels)
 *
 * The same for int8[]. A count of 0 gives '{}', never NULL. For PG_TEXT arrays only.
 */
void pg_put_text_list(pg_array *array, const char *const *texts, size_t count);
void pg_put_int8_list(pg_array *array, const int64_t *values, size_t count);

/* --- results
 * --------------------------------------------------------------------------------------------------- */

/*
 * Rows of one statement, owned by who received it. Getters are safe for any row and column: out of range, SQL
 * NULL, or a type that does not fit gives 0, false or "". Pointers live as long as the result.
 */
typedef struct pg_result pg_result;

void pg_result_free(pg_result *result); /* takes NULL */
int pg_rows(const pg_result *result);
int64_t pg_rows_affected(const pg_result *result); /* of INSERT, UPDATE, DELETE */

bool pg_is_null(const pg_result *result, int row, int column);
bool pg_get_bool(const pg_result *result, int row, int column);
int64_t pg_get_int(const pg_result *result, int row, int column);      /* int2, int4, int8 */
const char *pg_get_text(const pg_result *result, int row, int column); /* ends with NUL; "" for NULL */
const void *pg_get_bytes(const pg_result *result, int row, int column,
                         size_t *ret_length); /* NULL for NULL */
int64_t pg_get_time(const pg_result *result, int row,
                    int column); /* timestamptz; us since 1970, 0 for NULL */

/*
 * Members of a one-dimensional array, copied into `memory`. NULL members are "" and 0. True also for SQL NULL
 * and an empty array
 * (*ret_count 0); false if the arena is full or the column is no such array.
 */
bool pg_get_text_array(const pg_result *result, int row, int column, arena *memory, const char ***ret_texts,
                       size_t *ret_count) __attribute__((warn_unused_result));
bool pg_get_int_array(const pg_result *result, int row, int column, arena *memory, int64_t **ret_values,
                      size_t *ret_count) __attribute__((warn_unused_result));

/* --- connections
 * ----------------------------------------------------------------------------------------------- */

struct pg_options {
    const char *url; /* libpq URL or key=value text; several hosts are tried in turn; kept, not copied */
    const char *application;      /* application_name; NULL: "casework" */
    int64_t connect_timeout_us;   /* over all hosts; 0: 5 s */
    int64_t statement_timeout_us; /* asked of the server, and waited for a little longer; 0: 10 s */
    int64_t lock_timeout_us;      /* 0: the statement timeout */
    int64_t idle_timeout_us;      /* a transaction that asks for nothing for so long is ended; 0: 30 s */
    const char *search_path;      /* schemas; NULL: what the server says. Kept, not copied */
    bool read_only; /* any server will do (target_session_attrs=any), transactions are READ ONLY; else a
                       writable one */
};

/* One connection; used by one thread at a time. */
typedef struct pg_conn pg_conn;

bool pg_conn_open(const struct pg_options *options, pg_conn **ret_conn, error *err)
    __attribute__((warn_unused_result));
void pg_conn_close(pg_conn *conn); /* takes NULL */

/* False once the connection is lost or its state unknown: close it and open another one. */
bool pg_conn_usable(const pg_conn *conn);

/*
 * Executes one statement in a round trip of its own. `params` NULL: none. `ret_result` NULL: not wanted.
 * After an error inside pg_begin … pg_commit the transaction is over but for pg_rollback.
 */
bool pg_query(pg_conn *conn, const struct pg_statement *statement, const pg_params *params,
              int64_t deadline_us, pg_result **ret_result, error *err) __attribute__((warn_unused_result));

/*
 * Several statements in one round trip: pg_send each, then pg_receive_all. Outside of a transaction they form
 * one. Results come in the order sent. On an error the first failing statement's is told and no result is
 * given. pg_send only queues; it fails on bad parameters or a lost connection.
 */
bool pg_send(pg_conn *conn, const struct pg_statement *statement, const pg_params *params, error *err)
    __attribute__((warn_unused_result));
bool pg_receive_all(pg_conn *conn, int64_t deadline_us, pg_result **ret_results, size_t count, error *err)
    __attribute__((warn_unused_result));

bool pg_begin(pg_conn *conn, int64_t deadline_us, error *err) __attribute__((warn_unused_result));
/* On UNAVAILABLE or DEADLINE_EXCEEDED it is not known whether the transaction was committed: the code is
 * UNKNOWN then. */
bool pg_commit(pg_conn *conn, int64_t deadline_us, error *err) __attribute__((warn_unused_result));
void pg_rollback(pg_conn *conn); /* a connection that cannot even do that is no longer usable */

/* Runs a script of several statements (migrations, test fixtures): constant text only, no parameters, no
 * results. */
bool pg_run_script(pg_conn *conn, const char *sql, int64_t deadline_us, error *err)
    __attribute__((warn_unused_result));

/* --- pool
 * ------------------------------------------------------------------------------------------------------ */

/* Connections for reads, shared by threads. Opened when needed, kept when healthy. */
typedef struct pg_pool pg_pool;

/* Nothing is connected yet. `size`: connections at the most. The texts in `options` must outlive the pool. */
bool pg_pool_new(const struct pg_options *options, unsigned size, pg_pool **ret_pool, error *err)
    __attribute__((warn_unused_result));
void pg_pool_free(pg_pool *pool); /* all connections must have been given back; takes NULL */

/* Waits for a free connection until the deadline (0: 5 s), then RESOURCE_EXHAUSTED. */
bool pg_pool_acquire(pg_pool *pool, int64_t deadline_us, pg_conn **ret_conn, error *err)
    __attribute__((warn_unused_result));
/* Takes a conn with an open transaction (rolled back) or lost (closed); takes NULL. */
void pg_pool_release(pg_pool *pool, pg_conn *conn);

/*
 * One read on a connection of the pool. Tried a second time on a new connection when a kept one turns out to
 * be lost, so the statement must be harmless when run twice.
 */
bool pg_pool_query(pg_pool *pool, const struct pg_statement *statement, const pg_params *params,
                   int64_t deadline_us, pg_result **ret_result, error *err)
    __attribute__((warn_unused_result));

/* Can a connection be had and answer within the deadline? For health checks. */
bool pg_pool_ping(pg_pool *pool, int64_t deadline_us, error *err) __attribute__((warn_unused_result));

#endif
