#ifndef CASEWORK_REPORT_REBUILD_H
#define CASEWORK_REPORT_REBUILD_H

/*
 * Builds all tables again from the feed's beginning, in a schema beside those that serve, while these go on;
 * says where the two differ; and puts the new ones in their place. Whatever ends it, the serving tables are
 * whole: they are exchanged in one transaction, and what is left of an unfinished rebuild goes with the next
 * one.
 */

#include "base/error.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

struct report_rebuild_options {
    const char *database_url;
    rpc_channel *cases; /* the case service */
    bool swap;          /* else only compare, and throw the new tables away */
};

/*
 * Says what it found on standard output, table by table. *ret_differences: rows that only one side has. Ends
 * early with CANCELLED at SIGTERM and SIGINT, which must be blocked. FAILED_PRECONDITION: another rebuild is
 * running.
 */
bool report_rebuild(const struct report_rebuild_options *options, int64_t *ret_differences, error *err)
    __attribute__((warn_unused_result));

#endif
