#ifndef CASEWORK_CASE_STORE_ERASE_H
#define CASEWORK_CASE_STORE_ERASE_H

/* What redaction, erasure and deletion read and write. Private to the store. */

#include "case/case_overlay.h"
#include "pg/lane.h"

#include <stdbool.h>

extern const struct pg_statement store_read_families, store_read_deletions;

bool store_load_family(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_deletion(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

/* Before all other writes: what is copied afterwards is redacted already, addresses are free. */
bool store_write_erased_first(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* Which texts the new messages to third parties have. */
bool store_write_forwarded(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* After all other writes. */
bool store_write_erasures(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
