#ifndef CASEWORK_PG_PG_INTERNAL_H
#define CASEWORK_PG_PG_INTERNAL_H

/* What the files of lib/pg share. Nothing outside includes this. */

#include "base/clock.h"
#include "pg/pg.h"

#include <libpq-fe.h>

/* The default, and what the server is given beyond its own timeout to tell us about it. */
#define PG_STATEMENT_TIMEOUT (10 * CLOCK_SECOND)
#define PG_ANSWER_GRACE CLOCK_SECOND

/* PostgreSQL counts microseconds from 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)

/* The object ids of the built-in types (catalog pg_type.dat): fixed for ever. */
enum pg_oid {
    PG_OID_BOOL = 16,
    PG_OID_BYTEA = 17,
    PG_OID_INT8 = 20,
    PG_OID_INT2 = 21,
    PG_OID_INT4 = 23,
    PG_OID_TEXT = 25,
    PG_OID_TIMESTAMPTZ = 1184,
};

/* --- big-endian integers --- */

static inline void pg_write_be(unsigned char *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
}

static inline uint64_t pg_read_be(const unsigned char *from, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | from[i];
    return value;
}

/* Signed integer of 1, 2, 4 or 8 bytes; 0 for any other size. */
int64_t pg_read_int(const unsigned char *from, size_t size);

/* --- parameters as libpq wants them --- */

struct pg_bound {
    int count;
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    int formats[PG_PARAMS_MAX];
};

/* Is every array of just one member? False without arrays. */
bool pg_params_is_single(const pg_params *params);

/* Points into `params`; with `single` to the only member of each array. False (RESOURCE_EXHAUSTED) if filling
 * them had failed. */
bool pg_params_bind(const pg_params *params, bool single, struct pg_bound *ret_bound, error *err);

/* --- connections --- */

/* What is still to come back from the server, in order. */
enum pg_pending_kind { PG_PENDING_PREPARE, PG_PENDING_EXECUTE, PG_PENDING_SYNC };

struct pg_pending {
    enum pg_pending_kind kind;
    unsigned prepared; /* index into the table of prepared statements */
};

struct pg_prepared {
    const struct pg_statement *statement; /* NULL: free slot */
    bool single;                          /* in the form for a single row */
    char name[64];
    bool there; /* prepared on the server, or asked for in what is pending */
};

struct pg_conn {
    PGconn *pq;
    struct pg_options options;
    bool lost;
    char origin[48]; /* system identifier and timeline: which history of which cluster this server is in */
    char incarnation[80]; /* changes with every start and every recovery from a crash */

    struct pg_prepared *prepared; /* open addressing, a power of two */
    unsigned prepared_size, prepared_count;

    struct pg_pending *pending; /* ring, a power of two */
    unsigned pending_size, pending_first, pending_count;

    bool failed; /* an error since the last sync: the server skips everything up to the next one */
    error failure;
};

/* Puts a sync behind what was queued. */
bool pg_conn_queue_sync(pg_conn *conn, error *err);

/* Without waiting: what has come of what was sent, one step after the other. */
enum pg_step {
    PG_STEP_WAIT,   /* nothing more has come so far */
    PG_STEP_RESULT, /* of the next statement */
    PG_STEP_FAILED, /* the next statement has none; of several up to a sync the first failed by itself */
    PG_STEP_SYNCED, /* the next sync */
    PG_STEP_LOST,
};
enum pg_step pg_conn_step(pg_conn *conn, PGresult **ret_result, error *err);

/* Likewise: sends what the socket takes, reads what it has. False: lost. */
bool pg_conn_flush(pg_conn *conn, bool *ret_rest, error *err);
bool pg_conn_consume(pg_conn *conn, error *err);
int pg_conn_socket(const pg_conn *conn);

/*
 * The next statement's result. deadline 0: the statement timeout from now, and a little more. False: an SQL
 * error (the connection is usable, nothing but a sync helps), or lost.
 */
bool pg_conn_receive(pg_conn *conn, int64_t deadline_us, PGresult **ret_result, error *err);

/* Reads and forgets everything up to and with the next sync. False only if the connection is lost. */
bool pg_conn_receive_sync(pg_conn *conn, int64_t deadline_us, error *err);

/* Rolls back whatever state the transaction and the pipeline are in. False only if the connection is lost. */
bool pg_conn_reset(pg_conn *conn, error *err);

/* Waits until the socket can be read, or the deadline. False: neither data nor end of file came. */
bool pg_conn_wait_input(pg_conn *conn, int64_t deadline_us);

/* Has the server closed an idle connection meanwhile? Looks without waiting. */
bool pg_conn_has_ended(pg_conn *conn);

/* Declares the connection lost and fills err from what libpq knows. Always false. */
bool pg_conn_lost(pg_conn *conn, const char *what, error *err);

/* Cuts the connection under libpq's feet: for injected faults. */
void pg_conn_cut(pg_conn *conn);

/* Sets one setting of the session. */
bool pg_conn_set(pg_conn *conn, const char *setting, const char *value, error *err);

/*
 * pg_conn_open for a connection with the same few statements all its life, which look rows up by key or read
 * them in the order of an index: plans are made once, for any parameters, and one that was made while the
 * tables were empty does not read them from end to end later.
 */
bool pg_conn_open_planned(const struct pg_options *options, pg_conn **ret_conn, error *err)
    __attribute__((warn_unused_result));

/* Fills err from an error result. */
void pg_error_from_result(const PGresult *result, const char *statement, error *err);

/* Is it an error after which the connection is of no use although it may still be open? */
bool pg_error_is_final(const PGresult *result);

extern const struct pg_statement pg_statement_begin;
extern const struct pg_statement pg_statement_commit;
extern const struct pg_statement pg_statement_rollback;

#endif
