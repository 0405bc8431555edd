#ifndef CASEWORK_PG_LANE_H
#define CASEWORK_PG_LANE_H

/*
 * Lanes: durable writes, many commands a transaction, of several partitions.
 *
 * A lane is a thread with one connection in pipeline mode. A lane that is free takes what has queued up, in
 * the order in which the partitions have waited, of all partitions no other lane is in: that is its next
 * batch. A batch is one transaction in two round trips:
 *
 *   (1)  BEGIN, the partitions' rows locked, the reads that `read` queued                → one flush
 *        `decide` gets the results, runs the rules command after command, queues set-based writes
 *   (2)  those writes, COMMIT                                                            → one flush
 *
 * Every statement of (1) after the lock sees what all earlier holders of the partitions committed, on any
 * replica: READ COMMITTED takes a new snapshot per statement. Nothing is acknowledged before COMMIT has come
 * back.
 *
 * Partitions that another writer (a replica) holds are left out: their commands go back to the head of their
 * queues, and the next batch of such a partition waits for it, and is of this partition alone. So a
 * transaction that waits holds nothing, and writers cannot wait for each other in a circle. All lanes but one
 * may wait at the same time: a partition that somebody keeps stops no other.
 *
 * What can go wrong, and what becomes of the commands (`outcome`):
 *
 *   refused by the rules            decide sets command->outcome; told after the batch's commit
 *   deadline passed while queued    DEADLINE_EXCEEDED, never run
 *   SQL error, several commands     rolled back, each is run again alone: only the guilty one gets it
 *   serialization failure, deadlock run again, three times at the most, then ABORTED
 *   partition not locked in time    UNAVAILABLE
 *   lost before COMMIT              surely not committed: run again once, then UNAVAILABLE; so is a batch
 * that stood still for too long while others wait for its partitions lost at COMMIT pg_xact_status on a new
 * connection tells: run again if aborted; UNKNOWN if it cannot be found out in time, if a standby was
 * promoted, or if another replica wrote since the server crashed
 *
 * So `read` and `decide` may run several times for a command, in different batches: each run starts from
 * nothing but the command. Only the last run counts. A command is never applied twice.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A command, embedded by the caller in a struct of its own (as first member, or found by offsetof). The
 * caller owns it; from submit until `done` it belongs to the lane.
 */
struct pg_command {
    struct pg_command *next; /* the lane's */
    unsigned partition;
    int64_t deadline_us; /* monotonic clock; 0: none */
    /* Once, on the lane's thread, when the outcome is certain; must not block. May free the command. */
    void (*done)(struct pg_command *command);
    error outcome; /* code STATUS_OK: committed (or nothing to write) */
};

/*
 * One transaction's worth of commands; those of one partition are in the order submitted. Valid from `read`
 * to `finish`. In `decide` and later only those are there whose partition was got: fewer, perhaps, than in
 * `read`, and then under other indexes.
 */
typedef struct pg_batch pg_batch;

size_t pg_batch_count(const pg_batch *batch);
struct pg_command *pg_batch_command(const pg_batch *batch, size_t index);

/* Memory of this run of the batch, cleared after `finish` and the commands' `done`. */
arena *pg_batch_memory(const pg_batch *batch);

/* A pointer of the service's own, NULL at `read`, kept until `finish`. */
void pg_batch_set_state(pg_batch *batch, void *state);
void *pg_batch_state(const pg_batch *batch);

/*
 * Queues a read. Its result is there in `decide` under the index handed out: 0, 1, 2 … in the order queued.
 * Parameters may be forgotten afterwards. In `decide` it queues a further read that needs pg_batch_fetch.
 */
bool pg_batch_read(pg_batch *batch, const struct pg_statement *statement, const pg_params *params,
                   size_t *ret_index, error *err) __attribute__((warn_unused_result));

/* In `decide` only, before the first write: one more round trip for the reads queued since. For rare cases.
 */
bool pg_batch_fetch(pg_batch *batch, error *err) __attribute__((warn_unused_result));

/* In `decide`: the rows of the lock statement, one for each partition got, and the result of a read. The
 * batch owns them until after `done`. */
const pg_result *pg_batch_lock(const pg_batch *batch);
const pg_result *pg_batch_result(const pg_batch *batch, size_t index);

/*
 * A random number of this run that the service stores in the row of each partition it writes in (a bigint, in
 * the statement that moves the heads), where `mark` of the ops finds it. It tells whether a transaction was
 * ours after a crash of the server, which may give the id of a transaction it has lost to another one.
 */
int64_t pg_batch_mark(const pg_batch *batch);

/* In `decide`: queues a write; its result, should it have one, is not looked at. */
bool pg_batch_write(pg_batch *batch, const struct pg_statement *statement, const pg_params *params,
                    error *err) __attribute__((warn_unused_result));

/* What a service gives the lanes. All run on a lane's thread; `context` is shared by all lanes. */
struct pg_lane_ops {
    /*
     * Locks the rows of the partitions in $1::int2[]: `lock_free` those that nobody else has; `lock`, which
     * is given one partition, waits for it. A row for each partition got: the partition,
     * pg_current_xact_id(), and whatever `decide` wants to know. For instance
     *
     *     SELECT partition, pg_current_xact_id(), head, greatest(clock_timestamp(), last_time)
     *     FROM (SELECT * FROM partitions WHERE partition = ANY ($1::int2[]) FOR UPDATE SKIP LOCKED) p
     *
     * where the subquery makes it the time after the lock. No row after waiting: INTERNAL.
     */
    const struct pg_statement *lock, *lock_free;

    /*
     * Reads the marks of the last batches in the partitions of $1::int2[]: SELECT mark FROM partitions WHERE
     * partition = ANY ($1::int2[]). NULL: a commit cut short by a crash of the server has outcome UNKNOWN
     * whenever its transaction's id is in use.
     */
    const struct pg_statement *mark;

    /* Queues what the batch's commands need to know. False: the batch failed like by an SQL error. */
    bool (*read)(void *context, pg_batch *batch, error *err);

    /*
     * Runs the rules and queues the writes. A refused command gets its outcome set (code, reason …) and takes
     * no further part; it is told after the commit of the others. Leave outcomes that are OK alone. False:
     * the batch failed like by an SQL error; nothing of it is kept. Without any write queued nothing is
     * committed, and the commands are done at once.
     */
    bool (*decide)(void *context, pg_batch *batch, error *err);

    /*
     * Always comes, once, for each run whose `read` was called, when the run's fate is known, before the
     * commands' `done`. committed: something was written and is durable: wake readers up. Otherwise only give
     * up what the state holds. NULL: nothing to do.
     */
    void (*finish)(void *context, pg_batch *batch, bool committed);
};

struct pg_lane_options {
    /*
     * statement_timeout_us bounds each statement, and the wait for the partition; idle_timeout_us (0: 3 s)
     * how long the partitions stay with a process that stands still.
     */
    struct pg_options connection;
    unsigned partitions;     /* 0: 64 */
    unsigned lanes;          /* 0: 2 */
    unsigned batch_max;      /* commands a batch, 0: 256 */
    unsigned spread_max;     /* partitions a batch, 0: all */
    unsigned queue_max;      /* queued commands a partition, 0: 4096 */
    size_t memory_max;       /* arena cap of a batch, 0: 256 MiB */
    int64_t outcome_wait_us; /* how long to look for the fate of a lost commit, 0: 10 s */
    int64_t drain_us;        /* pg_lanes_free runs what is queued for that long, 0: 10 s */
};

typedef struct pg_lanes pg_lanes;

/* Starts the lanes; they connect by themselves, and again after a loss. `ops`, `context` and texts must
 * outlive them. */
bool pg_lanes_new(const struct pg_lane_options *options, const struct pg_lane_ops *ops, void *context,
                  pg_lanes **ret_lanes, error *err) __attribute__((warn_unused_result));

/* Accepts nothing more, runs what is queued (bounded; the rest gets UNAVAILABLE), joins. Takes NULL. */
void pg_lanes_free(pg_lanes *lanes);

/*
 * Hands a command over, from any thread, without blocking. RESOURCE_EXHAUSTED at once when the partition's
 * queue is full, UNAVAILABLE when the lanes are being freed; the command stays the caller's then, and `done`
 * is not called.
 */
bool pg_lanes_submit(pg_lanes *lanes, struct pg_command *command, error *err)
    __attribute__((warn_unused_result));

/* The same for several that one batch may take together. Whichever is refused gets that as its outcome, and
 * its `done` before this returns. */
void pg_lanes_submit_all(pg_lanes *lanes, struct pg_command *const *commands, size_t count);

#endif
