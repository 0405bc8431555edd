#ifndef CASEWORK_RPC_AUTH_H
#define CASEWORK_RPC_AUTH_H

/*
 * Bearer tokens, checked with the keys of a directory (see token.h for the files). The directory is looked at
 * again when it has changed, at most once a second. Thread-safe.
 */

#include "base/arena.h"
#include "base/error.h"
#include "rpc/call.h"

#include <stdbool.h>
#include <stddef.h>

struct auth;

bool auth_new(const char *key_directory, struct auth **ret_auth, error *err)
    __attribute__((warn_unused_result));
void auth_free(struct auth *auth); /* takes NULL */

/* Fills role, subject, account and agent of *ret_caller, texts in `memory`, and says until when
 * (clock_real_us) the token is good; UNAUTHENTICATED for anything wrong. */
bool auth_check(struct auth *auth, const char *token, size_t length, arena *memory,
                struct rpc_caller *ret_caller, int64_t *ret_expires_us, error *err)
    __attribute__((warn_unused_result));

bool auth_expired(error *err); /* sets the error; false */

#endif
