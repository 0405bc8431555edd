#ifndef CASEWORK_SEARCH_CATALOGUE_H
#define CASEWORK_SEARCH_CATALOGUE_H

/* Which accounts and cases the case service has. They are added to the list, with their names in `memory`. */

#include "rpc/client.h"
#include "search/search_list.h"

bool search_catalogue_accounts(rpc_channel *cases, struct search_list *list, arena *memory, error *err)
    __attribute__((warn_unused_result));

bool search_catalogue_cases(rpc_channel *cases, const char *account, struct search_list *list, arena *memory,
                            error *err) __attribute__((warn_unused_result));

#endif
