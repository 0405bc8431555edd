#ifndef CASEWORK_SEARCH_RIGHTS_H
#define CASEWORK_SEARCH_RIGHTS_H

/* A service that acts for an agent has that agent's rights, which its token does not tell. */

#include "search/search_handlers.h"

#include <stdbool.h>

/*
 * False, with PERMISSION_DENIED, when the call acts for an agent who is no admin of the account (disabled
 * ones and those that do not exist are none either), or, with NULL, wants all accounts: no agent has to do
 * with more than one. Asks the case service, so on a worker only.
 */
bool search_rights_admin(const struct search_service *service, const rpc_call *call, const char *account,
                         arena *memory, error *err) __attribute__((warn_unused_result));

/* False, with PERMISSION_DENIED, when the call acts for an agent and wants all accounts (NULL). */
bool search_rights_all(const rpc_call *call, const char *account, error *err)
    __attribute__((warn_unused_result));

#endif
