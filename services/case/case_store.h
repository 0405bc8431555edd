#ifndef CASEWORK_CASE_STORE_H
#define CASEWORK_CASE_STORE_H

/*
 * The SQL of a batch: set-based reads of everything the overlay asks for, set-based writes of all it has
 * changed. The number of statements does not depend on the number of commands.
 */

#include "base/error.h"
#include "case/case_overlay.h"
#include "pg/lane.h"

#include <stdbool.h>
#include <stddef.h>

/* Lock partitions, waiting or as far as they are free (pg/lane.h): their heads, and the business time of
 * whoever gets them. */
extern const struct pg_statement case_store_lock_real, case_store_lock_free_real; /* real clock */
extern const struct pg_statement case_store_lock_manual,
    case_store_lock_free_manual; /* the clock that tests move */

/* What a row of theirs tells. */
enum { LOCK_PARTITION, LOCK_XID, LOCK_HEAD, LOCK_NOW, LOCK_MARK };

/* The marks of the partitions' last batches (pg/lane.h). */
extern const struct pg_statement case_store_mark;

enum { STORE_READS = 29 };

/* Reads that are under way: the entries that each statement was given, by their places. */
struct store_reads {
    struct {
        struct entry **entries;
        size_t count; /* 0: not queued */
        size_t result;
    } of[STORE_READS];
};

/* Anything in the overlay that has not been asked for? */
bool case_store_is_curious(const struct overlay *overlay);

/* Queues reads of all entries that have not been asked for; after the results have come, load fills the
 * entries. */
bool case_store_ask(struct overlay *overlay, struct store_reads *reads, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
bool case_store_load(struct overlay *overlay, const struct store_reads *reads, const pg_batch *batch,
                     error *err) __attribute__((warn_unused_result));

/* Queues the writes of everything that was inserted or changed, the events, and the heads and times of the
 * partitions concerned. */
bool case_store_write(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
