#ifndef CASEWORK_RPC_TOKEN_H
#define CASEWORK_RPC_TOKEN_H

/*
 * JSON Web Tokens (RFC 7519) and the directory with their keys. A file is a key: a PEM public key (RS256 or
 * ES256 with P-256, by its type), or anything else, taken as a secret for HS256 without white space at its
 * end. The key's `kid` is the file's name, with or without its extension. Names that start with a dot are no
 * keys.
 */

#include "base/error.h"
#include "rpc/call.h"

#include <stdbool.h>
#include <stdint.h>

struct rpc_token_claims {
    const char *subject; /* NULL: the agent, or the role's name */
    const char *account; /* an account's id, or "*" (role service only) */
    enum rpc_role role;
    const char *agent; /* the agent's id; NULL or "" for none */
    int64_t ttl_us;
};

/* Signs with the first secret (by name) of the directory. The caller frees the token. */
bool rpc_token_make(const char *key_directory, const struct rpc_token_claims *claims, char **ret_token,
                    error *err) __attribute__((warn_unused_result));

/* "agent", "admin", "connector", "service". */
bool rpc_role_parse(const char *text, enum rpc_role *ret_role) __attribute__((warn_unused_result));
const char *rpc_role_name(enum rpc_role role);

/* Creates the directory if need be (mode 0700), and in it a random secret (mode 0600) if it has no key. */
bool rpc_keys_generate(const char *directory, error *err) __attribute__((warn_unused_result));

#endif
