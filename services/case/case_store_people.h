#ifndef CASEWORK_CASE_STORE_PEOPLE_H
#define CASEWORK_CASE_STORE_PEOPLE_H

/* Who else has to do with a case. Private to the store: case_store_read.c has the reads in its table. */

#include "case/case_store.h"

#include <stdbool.h>

extern const struct pg_statement store_read_helpers, store_read_traces, store_read_forwards;

/* What a row does to its entry. */
bool store_load_helper(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_trace(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

/* Part of case_store_write. */
bool store_write_guests(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
