#ifndef CASEWORK_PG_MIGRATE_H
#define CASEWORK_PG_MIGRATE_H

/*
 * Numbered migrations: db/<component>/NNNN_name.sql, numbers from 0001 without holes. Each is run once, in a
 * transaction of its own together with its row in
 *
 *     schema_migrations (component text, number int, name text, checksum text, applied_at timestamptz)
 *
 * under an advisory lock, so that any number of runners may start at once. A file must not contain
 * transaction commands. An applied file whose content has changed is an error: add a new one instead.
 */

#include "base/error.h"
#include "pg/pg.h"

#include <stdbool.h>

/*
 * Applies what is missing. *ret_applied (may be NULL): how many were. FAILED_PRECONDITION: a file that has
 * changed, a hole, or a schema that is newer than the directory; the message names it.
 */
bool pg_migrate(const struct pg_options *options, const char *component, const char *directory,
                int *ret_applied, error *err) __attribute__((warn_unused_result));

/* The highest number applied, 0 for none (also when schema_migrations is not there). */
bool pg_migrate_version(const struct pg_options *options, const char *component, int *ret_version, error *err)
    __attribute__((warn_unused_result));

/*
 * For a service's start: is the schema exactly at the `version` that the program was written for?
 * FAILED_PRECONDITION with a message that says what to do, when it is older or newer.
 */
bool pg_migrate_check(const struct pg_options *options, const char *component, int version, error *err)
    __attribute__((warn_unused_result));

#endif
