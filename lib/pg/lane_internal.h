#ifndef CASEWORK_PG_LANE_INTERNAL_H
#define CASEWORK_PG_LANE_INTERNAL_H

/*
 * Between lane.c (who runs what, and again), batch.c (one run of one batch on one connection) and lane_link.c
 * (the connection, and what became of a commit that it took along).
 */

#include "pg/lane.h"
#include "pg/pg_internal.h"

#include <stdatomic.h>

enum pg_batch_phase { PG_BATCH_READ, PG_BATCH_DECIDE, PG_BATCH_WRITE };

struct pg_batch {
    struct pg_command **commands;
    size_t count;
    size_t left_out;      /* commands after those: their partitions are with another writer */
    bool waits;           /* for its partition, of which there is one; else it takes what is free */
    unsigned *partitions; /* of the commands; after the lock only those got */
    size_t partition_count;
    bool *has; /* by partition: is it among them? */
    unsigned partition_limit;
    arena *memory;
    void *state;

    pg_conn *conn;
    enum pg_batch_phase phase;
    pg_result *lock;
    pg_result **results; /* owned; of the reads, in the order queued */
    size_t result_size;
    size_t reads;    /* queued so far */
    size_t received; /* results there */
    size_t writes;   /* queued so far */
    int64_t xid;     /* of the transaction: what to ask pg_xact_status about */
    int64_t mark;    /* random, stored by the service beside its writes */
    bool started;    /* `read` was called: `finish` is due */
};

enum pg_run {
    PG_RUN_COMMITTED,
    PG_RUN_NOTHING,        /* nothing was to be written, or no partition could be had */
    PG_RUN_FAILED,         /* rolled back; err tells why; the connection is usable */
    PG_RUN_LOST,           /* the connection is lost, surely not committed */
    PG_RUN_LOST_AT_COMMIT, /* the connection is lost, nobody knows */
};

/* One run of the batch's commands in one transaction: those left out are behind the others afterwards. The
 * batch keeps its results and state until pg_batch_end. */
enum pg_run pg_batch_run(pg_batch *batch, const struct pg_lane_ops *ops, void *context, error *err);

/* Calls `finish` if that is due. Results and memory stay: the commands' `done` may still read them. */
void pg_batch_end(pg_batch *batch, const struct pg_lane_ops *ops, void *context, bool committed);

/* Gives up results and memory of the last run. */
void pg_batch_clear(pg_batch *batch);

/* The partitions got, as parameter. */
void pg_batch_add_partitions(const pg_batch *batch, pg_params *params);

/* A lane's connection, opened again as often as need be. */
struct pg_lane_link {
    const struct pg_lane_options *options; /* with defaults filled in */
    const struct pg_statement *mark;       /* of the ops */
    _Atomic int64_t *down_since;           /* of all lanes, monotonic; 0: the server answered last time */
    unsigned lane;
    pg_conn *conn; /* NULL: none */
};

/* Connects where there is no usable connection. Waits for a server that has just gone, once for all lanes. */
bool pg_lane_link_ensure(struct pg_lane_link *link, error *err);

void pg_lane_link_close(struct pg_lane_link *link);

/* What became of a run that was lost at commit: COMMITTED, LOST, or still LOST_AT_COMMIT with `err`, if it
 * cannot be found out in time. */
enum pg_run pg_lane_link_resolve(struct pg_lane_link *link, const pg_batch *batch, error *err);

#endif
