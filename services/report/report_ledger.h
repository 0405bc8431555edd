#ifndef CASEWORK_REPORT_LEDGER_H
#define CASEWORK_REPORT_LEDGER_H

/*
 * The activity report's part of a batch: the settings and cases that the events concern are read, the rules
 * run, and entries, sums, cases and settings are written. In this order: meet every event, read, take, apply
 * the new ones, write. All is in the batch's memory.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/lane.h"
#include "report/report_model.h"

typedef struct report_ledger report_ledger;

/* For so many events at the most. NULL: the arena is full. */
report_ledger *report_ledger_new(arena *memory, size_t event_count);

void report_ledger_meet(report_ledger *ledger, const struct report_event *event);
bool report_ledger_read(report_ledger *ledger, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
void report_ledger_take(report_ledger *ledger, const pg_batch *batch);
void report_ledger_apply(report_ledger *ledger, const struct report_event *event);
bool report_ledger_write(report_ledger *ledger, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
