#ifndef CASEWORK_REPORT_MERGER_H
#define CASEWORK_REPORT_MERGER_H

/*
 * Makes one row of the many that the totals of a key become: beside the counting, on a thread of its own, a
 * partition at a time and some keys a transaction, so that what is counted meanwhile hardly waits.
 */

#include "base/error.h"
#include "pg/pg.h"

#include <stddef.h>

typedef struct report_merger report_merger;

/* Starts the thread, which connects when there is something to merge. `options` must outlive it. */
bool report_merger_new(const struct pg_options *options, report_merger **ret_merger, error *err)
    __attribute__((warn_unused_result));
void report_merger_free(report_merger *merger); /* ends after the transaction at hand; takes NULL */

/* So many events of the partition have been counted: it is merged every now and then. Any thread. */
void report_merger_note(report_merger *merger, int partition, size_t events);

/* Merges all partitions on the calling thread. */
bool report_merger_run(const struct pg_options *options, error *err) __attribute__((warn_unused_result));

#endif
