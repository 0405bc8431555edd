#ifndef CASEWORK_EMBEDDED_EMBEDDED_PG_H
#define CASEWORK_EMBEDDED_EMBEDDED_PG_H

/*
 * A private PostgreSQL server of our own: found on the machine, in a data directory of its own, on a Unix
 * socket, and never as root (as root it runs as `postgres`, or `nobody` where that user does not exist). Used
 * by `casework up` and by the tests.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct embedded_pg_options {
    /*
     * Made by initdb where it does not hold a cluster yet. NULL: a new one in TMPDIR that goes with
     * embedded_pg_free. As root, every directory above must be open to the server's user.
     */
    const char *data_directory;
    /* A finished cluster to copy instead of running initdb; made by the first who asks for it. NULL: none. */
    const char *template_directory;
    bool durable;                /* false: fsync off, for tests that do not pull the plug */
    uint16_t port;               /* on 127.0.0.1 as well as on the socket; 0: socket only */
    const char *const *settings; /* "name=value", ended by NULL; NULL: none */
};

typedef struct embedded_pg embedded_pg;

/* The server accepts connections when this returns. */
bool embedded_pg_start(const struct embedded_pg_options *options, embedded_pg **ret_pg, error *err)
    __attribute__((warn_unused_result));

/* Stops it (fast) and removes what was made in TMPDIR. Takes NULL. */
void embedded_pg_free(embedded_pg *pg);

/* "postgresql:///postgres?host=…&port=…&user=casework", owned by pg. The user is a superuser without
 * password. */
const char *embedded_pg_url(const embedded_pg *pg);
const char *embedded_pg_log_file(const embedded_pg *pg);
const char *embedded_pg_data_directory(const embedded_pg *pg);
pid_t embedded_pg_pid(const embedded_pg *pg); /* of the postmaster; 0 while stopped */

/* False once the server has ended by itself. */
bool embedded_pg_running(embedded_pg *pg);

enum embedded_pg_stop {
    EMBEDDED_PG_FAST,      /* rolls back, writes a checkpoint */
    EMBEDDED_PG_IMMEDIATE, /* no checkpoint: recovery at the next start */
    EMBEDDED_PG_KILL,      /* SIGKILL for all its processes, like a crash of the machine */
};
void embedded_pg_stop(embedded_pg *pg, enum embedded_pg_stop how);

/* Starts a stopped one again, same socket, same data. */
bool embedded_pg_restart(embedded_pg *pg, error *err) __attribute__((warn_unused_result));

/* Directory of PostgreSQL's programs (initdb, postgres, pgbench …), for others who run one. False if there is
 * none. */
bool embedded_pg_find_programs(char *ret_directory, size_t size, error *err)
    __attribute__((warn_unused_result));

#endif
