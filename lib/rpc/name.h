#ifndef CASEWORK_RPC_NAME_H
#define CASEWORK_RPC_NAME_H

/*
 * Resource names taken apart. `field` is the path in the request that an error names.
 * Everything that is no name of the kind is INVALID_ARGUMENT; a case or message segment that is no number has
 * the reason NOT_A_NUMBER. Ids are in `memory`.
 */

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* "accounts/{account}" */
bool rpc_name_account(arena *memory, const char *name, const char *field, const char **ret_account,
                      error *err) __attribute__((warn_unused_result));

/* The same, or "accounts/-" for all: *ret_account is "" then. */
bool rpc_name_accounts(arena *memory, const char *name, const char *field, const char **ret_account,
                       error *err) __attribute__((warn_unused_result));

/* "accounts/{account}/{collection}/{id}"; collection is "agents", "contacts" or "channels". */
bool rpc_name_member(arena *memory, const char *collection, const char *name, const char *field,
                     const char **ret_account, const char **ret_id, error *err)
    __attribute__((warn_unused_result));

/* A member named in a request for `account`: of another account it is NOT_FOUND. "" gives "". */
bool rpc_name_member_of(arena *memory, const char *account, const char *collection, const char *name,
                        const char *field, const char **ret_id, error *err)
    __attribute__((warn_unused_result));

/* "accounts/{account}/cases/{number}" */
bool rpc_name_case(arena *memory, const char *name, const char *field, const char **ret_account,
                   int64_t *ret_case, error *err) __attribute__((warn_unused_result));

/* "accounts/{account}/cases/{number}/messages/{number}" */
bool rpc_name_message(arena *memory, const char *name, const char *field, const char **ret_account,
                      int64_t *ret_case, int32_t *ret_number, error *err) __attribute__((warn_unused_result));

#endif
