#ifndef CASEWORK_CASE_ERASER_H
#define CASEWORK_CASE_ERASER_H

/*
 * What is left to do of an erasure after its commit (docs/erasure.md): takes the texts of an erased contact's
 * cases, and the rows of a deleted account, out of the tables in steps of bounded size. One thread; of
 * several replicas one works at a time. What is done is told by the tables themselves, so that whoever is
 * killed in the middle is followed by whoever comes next.
 */

#include "base/error.h"
#include "case/case_gone.h"
#include "pg/lane.h"
#include "pg/pg.h"

typedef struct case_eraser case_eraser;

struct case_eraser_options {
    const struct pg_options *connection; /* these all must outlive the eraser */
    pg_pool *pool;
    pg_lanes *lanes;
    case_gone *gone;
};

/* Has looked for what is gone when it returns. */
bool case_eraser_new(const struct case_eraser_options *options, case_eraser **ret_eraser, error *err)
    __attribute__((warn_unused_result));

/* Something has been committed that there is to do. */
void case_eraser_wake(case_eraser *eraser);

/* Ends after the step under way. Before the lanes are freed. Takes NULL. */
void case_eraser_stop(case_eraser *eraser);

/* Once nothing can wake it any more. Takes NULL. */
void case_eraser_free(case_eraser *eraser);

#endif
