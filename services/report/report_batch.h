#ifndef CASEWORK_REPORT_BATCH_H
#define CASEWORK_REPORT_BATCH_H

/*
 * A part of the feed as a command of a lane: the partitions' rows are locked, the settings and cases that the
 * events concern are read, the rules run, and entries, sums, cases and positions are written in one commit.
 */

#include "pg/lane.h"
#include "report/report_store.h"

struct report_command {
    struct pg_command base; /* first */
    const struct report_part *part;
    const char *epoch;
};

/* Takes no context. */
extern const struct pg_lane_ops report_batch_ops;

#endif
