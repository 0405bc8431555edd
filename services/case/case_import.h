#ifndef CASEWORK_CASE_IMPORT_H
#define CASEWORK_CASE_IMPORT_H

/*
 * ImportConversations: whole conversations come in as a client stream; each is a command of its own in its
 * account's lane, up to 256 of one stream at a time over all partitions, and the stream is read no faster
 * than that. What is wrong with a conversation refuses that one; when the service cannot go on, the call ends
 * and what was committed stays.
 */

#include "pg/lane.h"
#include "rpc/server.h"

/* Context of the method. */
struct case_importer {
    pg_lanes *lanes;
};

extern const struct rpc_method case_import_methods[];

#endif
