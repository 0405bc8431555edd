#ifndef CASEWORK_SEARCH_READER_H
#define CASEWORK_SEARCH_READER_H

/* Reads cases as they are now from the case service and files them. */

#include "rpc/client.h"
#include "search/search_index.h"

struct search_case {
    const char *account; /* its id */
    int64_t number;
};

/*
 * Brings the index up to date with these cases: files what is there, takes out what is missing. A case is
 * read at most once; when a read fails, those before it are filed all the same. `memory` is used up.
 */
bool search_reader_refresh(rpc_channel *cases, search_index *index, const struct search_case *changed,
                           size_t count, arena *memory, error *err) __attribute__((warn_unused_result));

#endif
