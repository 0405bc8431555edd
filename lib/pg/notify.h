#ifndef CASEWORK_PG_NOTIFY_H
#define CASEWORK_PG_NOTIFY_H

/*
 * Wake-ups between replicas over LISTEN / NOTIFY. Hints only: they may be lost or come twice, so a reader
 * also polls.
 *
 * NOTIFY inside a writing transaction would serialise all commits (PostgreSQL takes a database-wide lock at
 * commit for it), so it is sent after commit, on a connection of its own, one for all partitions that moved
 * since the last.
 */

#include "base/error.h"
#include "pg/pg.h"

#include <stdbool.h>
#include <stdint.h>

enum { PG_NOTIFY_PARTITIONS = 64 };

/* Sets of partitions are bit masks: bit p stands for partition p. */

typedef struct pg_notifier pg_notifier;

/* Starts the thread. `channel`: an SQL identifier, [a-z_]+, at most 40 bytes, copied. */
bool pg_notifier_new(const struct pg_options *options, const char *channel, pg_notifier **ret_notifier,
                     error *err) __attribute__((warn_unused_result));
void pg_notifier_free(pg_notifier *notifier); /* sends what is due, if it can at once; takes NULL */

/* From any thread, never blocks. */
void pg_notifier_wake(pg_notifier *notifier, uint64_t partitions);

typedef struct pg_listener pg_listener;

/*
 * Starts the thread. `heard` is called on it with the partitions that have moved; with all of them after
 * every (re)connection, since something may have been missed. What `own` sends is passed over; NULL: nothing
 * is.
 */
bool pg_listener_new(const struct pg_options *options, const char *channel, const pg_notifier *own,
                     void (*heard)(void *context, uint64_t partitions), void *context,
                     pg_listener **ret_listener, error *err) __attribute__((warn_unused_result));
void pg_listener_free(pg_listener *listener); /* stops and joins; takes NULL */

#endif
