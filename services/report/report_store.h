#ifndef CASEWORK_REPORT_STORE_H
#define CASEWORK_REPORT_STORE_H

/*
 * The report service's tables (db/report/). Writes: batches of the feed's events, each partition's in one
 * transaction with its position, so that an event counts once however often it is delivered and however many
 * replicas consume. Reads: sums and ledger.
 *
 * Functions fail as pg/pg.h says; all may be called from any thread.
 */

#include "base/arena.h"
#include "base/error.h"
#include "feed/partition.h"
#include "pg/pg.h"
#include "report/report_model.h"
#include "report/report_period.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct report_store report_store;

struct report_store_options {
    const char *database_url; /* must outlive the store */
    unsigned readers;         /* connections for reads */
    unsigned lanes;           /* connections for writes */
    const char *search_path; /* where the tables are; NULL: where the database says. Must outlive the store */
    int64_t exact_max;       /* engagements up to which percentiles are exact */
};

/* Checks the schema; connects when needed. */
bool report_store_new(const struct report_store_options *options, report_store **ret_store, error *err)
    __attribute__((warn_unused_result));
void report_store_free(report_store *store); /* takes NULL */

/* --- the feed --- */

/* Up to where the tables are complete. */
bool report_store_positions(report_store *store, struct feed_positions *ret_positions, error *err)
    __attribute__((warn_unused_result));

/* Some of one partition's events, in order, and up to where they make it complete. */
struct report_part {
    int partition;
    const struct report_event *events;
    size_t count;
    int64_t head;
};

/*
 * Applies the parts, no partition twice; what is not above a partition's stored position is skipped. After a
 * failure some partitions may have been done. FAILED_PRECONDITION: the tables belong to another epoch.
 */
bool report_store_apply(report_store *store, const char *epoch, const struct report_part *parts, size_t count,
                        error *err) __attribute__((warn_unused_result));

/* Makes one row of the many that each key's totals have become. Apply does it now and then by partition. */
bool report_store_merge(report_store *store, error *err) __attribute__((warn_unused_result));

/*
 * Takes what is known of an account out of the tables, a few thousand rows at a time, before the event of its
 * deletion, which has that position, is applied: what that has to do in one transaction is little then,
 * however large the account was. Nothing happens once the event has been applied, by whatever replica.
 */
bool report_store_shrink(report_store *store, const char *account, int64_t position, error *err)
    __attribute__((warn_unused_result));

/* Forgets everything and starts from nothing under the new epoch, unless a replica has done so. */
bool report_store_reset(report_store *store, const char *epoch, error *err)
    __attribute__((warn_unused_result));

/* --- reports --- */

/* An account's time zone as of a position (its first one before that), in `memory`; NULL for one that is not
 * known. */
bool report_store_time_zone(report_store *store, const char *account, int64_t position, int64_t deadline_us,
                            arena *memory, const char **ret_time_zone, error *err)
    __attribute__((warn_unused_result));

/*
 * The position that the account's partition had reached at the instant; 0: nothing had come. ret_over:
 * something later is known, so that no more can come of that instant.
 */
bool report_store_position_at(report_store *store, const char *account, int64_t time_us, int64_t deadline_us,
                              int64_t *ret_position, bool *ret_over, error *err)
    __attribute__((warn_unused_result));

/* The instant at which the position was committed; 0 for none such. */
bool report_store_commit_time(report_store *store, const char *account, int64_t position, int64_t deadline_us,
                              int64_t *ret_time_us, error *err) __attribute__((warn_unused_result));

struct report_counts {
    int64_t created, pending, resolved, deleted;
    int64_t resolve_duration; /* sum over what `resolved` counts */
};

/*
 * The activity of each row into counts[rows->count], with the position it is complete up to, all as of one
 * moment. `as_of`: only what positions up to it have caused; INT64_MAX for all.
 */
bool report_store_activity(report_store *store, const char *account, const struct report_rows *rows,
                           int64_t as_of, int64_t deadline_us, struct report_counts *counts,
                           int64_t *ret_position, error *err) __attribute__((warn_unused_result));

/* A cell of the activity report as of a position: a column between two times. */
struct report_cell {
    const char *account;
    enum report_column column;
    int64_t start, end; /* inclusive, exclusive */
    int64_t as_of;      /* INT64_MAX: as it is */
};

/* Where one page of a cell's entries ended: position and ordinal of its last one; {0}: the first page. */
struct report_entry_key {
    int64_t position, ordinal;
};

/* An entry of the ledger, and the event that caused it. */
struct report_cell_entry {
    struct report_entry_key key;
    int64_t case_id;
    struct report_entry entry;
    int64_t event_time;
};

struct report_cell_page {
    const struct report_cell_entry *entries; /* by key */
    size_t count;
    int64_t total;    /* of all of the cell's deltas */
    int64_t position; /* that the tables are complete up to */
};

/* At most `size` of the cell's entries behind `after`, in `memory`, all as of one moment. */
bool report_store_explain(report_store *store, const struct report_cell *cell,
                          const struct report_entry_key *after, int64_t size, int64_t deadline_us,
                          arena *memory, struct report_cell_page *ret, error *err)
    __attribute__((warn_unused_result));

/* One read, for the parts of the store. */
bool report_store_query(report_store *store, const struct pg_statement *statement, const pg_params *params,
                        int64_t deadline_us, pg_result **ret_rows, error *err)
    __attribute__((warn_unused_result));

/* Connections for reads that stay open for long, at the most so many. */
enum { REPORT_LONG_READS = 8 };
pg_pool *report_store_long_reads(report_store *store);

/* Grows when everything is forgotten: a long read must end then. Any thread. */
unsigned report_store_resets(const report_store *store);

/* Engagements up to which percentiles are exact. */
int64_t report_store_exact_max(const report_store *store);

/* Can the database answer? */
bool report_store_ping(report_store *store, int64_t deadline_us, error *err)
    __attribute__((warn_unused_result));

#endif
