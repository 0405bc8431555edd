#ifndef CASEWORK_REPORT_ENGAGEMENTS_H
#define CASEWORK_REPORT_ENGAGEMENTS_H

/*
 * The engagements' part of a batch: those that the events concern are read, the rules run, and what has
 * changed is written. In this order: meet every event, read, take, apply the new ones, write. All is in the
 * batch's memory.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/lane.h"
#include "report/report_model.h"

typedef struct report_engagements report_engagements;

/* For so many events at the most. NULL: the arena is full. */
report_engagements *report_engagements_new(arena *memory, size_t event_count);

void report_engagements_meet(report_engagements *engagements, const struct report_event *event);
bool report_engagements_read(report_engagements *engagements, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
bool report_engagements_take(report_engagements *engagements, const pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* False: the arena is full. */
bool report_engagements_apply(report_engagements *engagements, const struct report_event *event)
    __attribute__((warn_unused_result));
bool report_engagements_write(report_engagements *engagements, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
