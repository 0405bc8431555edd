#ifndef CASEWORK_CASE_KNOWN_H
#define CASEWORK_CASE_KNOWN_H

/*
 * Accounts and agents as this process has last seen them under the lock of their partition: nearly every
 * command asks for them, and they hardly ever change.
 *
 * Whatever writes in a partition also gives its row a new random mark, in the same transaction (pg/lane.h).
 * So what was read or written under the lock at a mark is true whenever the partition is locked with that
 * mark again, whoever else writes and however our own batches have ended: nothing has to be told, and nothing
 * expires. What goes on behind the lanes' back, the removal of what deleted accounts had, concerns accounts
 * that do not exist, and of those nothing is kept.
 *
 * Reads are queued together with the lock, before its mark is known. So rows are assumed to be true where
 * the last lock has found the mark that was left there; if it turns out otherwise they are read after all,
 * in one further round trip. Where several replicas take turns in a partition nothing is assumed.
 *
 * A partition's rows are touched by the lane that is in it, and by nobody else.
 */

#include "case/case_overlay.h"
#include "pg/pg.h"

#include <stdbool.h>
#include <stdint.h>

struct case_known;

/* NULL: no memory. */
struct case_known *case_known_new(void);
void case_known_free(struct case_known *known); /* takes NULL */

/* Before the lock: entries that are assumed to be known need not be asked for. */
void case_known_assume(struct case_known *known, struct overlay *overlay);

/* With the rows of the lock: fills the entries that are known, and has the others asked for again. */
void case_known_confirm(struct case_known *known, struct overlay *overlay, const pg_result *locked);

/* After the commit: takes over what the batch has read and written; `mark` is that of the batch. */
void case_known_keep(struct case_known *known, const struct overlay *overlay, const pg_result *locked,
                     int64_t mark);

#endif
