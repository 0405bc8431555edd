#ifndef CASEWORK_CASE_STORE_PEOPLE_H
#define CASEWORK_CASE_STORE_PEOPLE_H

/* Who else has to do with a case. Private to the store: case_store_read.c has the reads in its table. */

#include "case/case_store.h"

#include <stdbool.h>

extern const struct pg_statement store_read_helpers;

/* What a row does to its entry. */
bool store_load_helper(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

#endif
