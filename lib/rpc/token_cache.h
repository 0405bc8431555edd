#ifndef CASEWORK_RPC_TOKEN_CACHE_H
#define CASEWORK_RPC_TOKEN_CACHE_H

/*
 * Tokens that were found good, so that a caller's signature is checked once by a thread and not with every
 * call. Bounded: a token may push out another one. Only whole tokens match. Thread-safe.
 */

#include "base/arena.h"
#include "rpc/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_cache;

struct token_facts {
    uint64_t fingerprint; /* of the keys that it was checked with */
    int64_t expires_us;   /* INT64_MAX: never */
    struct rpc_caller caller;
};

struct token_cache *token_cache_new(void); /* NULL when memory is out */
void token_cache_free(struct token_cache *cache);

/* The caller's texts are copied into `memory`. The caller checks the expiry. */
bool token_cache_get(struct token_cache *cache, const char *token, size_t length, uint64_t fingerprint,
                     arena *memory, struct rpc_caller *ret_caller, int64_t *ret_expires_us);

/* Copies. */
void token_cache_put(struct token_cache *cache, const char *token, size_t length,
                     const struct token_facts *facts);

/* The texts of `from`, copied; false when the arena is full. Leaves `session` alone. */
bool token_caller_copy(const struct rpc_caller *from, arena *memory, struct rpc_caller *ret_caller);

#endif
