#ifndef CASEWORK_SEARCH_READER_H
#define CASEWORK_SEARCH_READER_H

/* Reads cases as they are now from the case service and files them. */

#include "rpc/client.h"
#include "search/search_index.h"
#include "search/search_list.h"

/*
 * Takes cases of one account that were read together, some hundreds at the most; a document is NULL when its
 * case does not exist. What they point to lives until the return. False ends the reading.
 */
typedef bool search_reader_take(void *context, const char *account, const struct search_change *changes,
                                size_t count, error *err);

/* What becomes of a read while the case service does not answer. */
enum search_reader_patience {
    SEARCH_READER_ONCE,  /* it fails: whoever reads comes again, and can be stopped in between */
    SEARCH_READER_RETRY, /* it is tried again for half a minute */
};

/* Reads these cases, in order, and hands all of them over. `memory` is used up. */
bool search_reader_read(rpc_channel *cases, const struct search_case *wanted, size_t count,
                        enum search_reader_patience patience, arena *memory, search_reader_take *take,
                        void *context, error *err) __attribute__((warn_unused_result));

/*
 * Brings the index up to date with these cases: files what is there, takes out what is missing; those of an
 * account that were read together are published together. When a read
 * fails, those before it are filed all the same. `memory` is used up.
 */
bool search_reader_refresh(rpc_channel *cases, search_index *index, const struct search_case *changed,
                           size_t count, enum search_reader_patience patience, arena *memory, error *err)
    __attribute__((warn_unused_result));

#endif
