#ifndef CASEWORK_CASE_ERASER_WORK_H
#define CASEWORK_CASE_ERASER_WORK_H

/* One erasure, step by step, on the eraser's thread. Private to the eraser. */

#include "base/error.h"
#include "case/case_overlay.h"
#include "pg/lane.h"
#include "pg/pg.h"

#include <stdbool.h>

struct eraser_work {
    pg_conn *conn; /* nobody else works while it is open */
    pg_lanes *lanes;
    bool (*is_stopping)(void *context);
    void *context;
};

/* Goes on with it for about a second; *ret_more: that was not enough. */
bool eraser_work_on(const struct eraser_work *work, const struct erasure *erasure, bool *ret_more, error *err)
    __attribute__((warn_unused_result));

#endif
