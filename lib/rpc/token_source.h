#ifndef CASEWORK_RPC_TOKEN_SOURCE_H
#define CASEWORK_RPC_TOKEN_SOURCE_H

/*
 * Where a channel's bearer token comes from: given, read from a file (again when it has changed), or made
 * with a key and renewed in time. Thread-safe.
 */

#include "base/error.h"
#include "rpc/client.h"

#include <grpc/slice.h>
#include <stdbool.h>

struct token_source;

/* *ret_source is NULL when the options name no token. */
bool token_source_new(const struct rpc_channel_options *options, struct token_source **ret_source, error *err)
    __attribute__((warn_unused_result));
void token_source_free(struct token_source *source); /* takes NULL */

/* "Bearer …", the caller's to unref. */
bool token_source_get(struct token_source *source, grpc_slice *ret_value, error *err)
    __attribute__((warn_unused_result));

#endif
