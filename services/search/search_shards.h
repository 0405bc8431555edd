#ifndef CASEWORK_SEARCH_SHARDS_H
#define CASEWORK_SEARCH_SHARDS_H

/*
 * Shards: each replica of the search service holds a part of the accounts, by the partitions of the feed they
 * are in. Shard i of n holds the partitions p with p mod n = i. Whoever is asked for an account of another
 * shard asks that shard; whoever is asked for all accounts asks all shards for theirs.
 */

#include "feed/partition.h"
#include "rpc/call.h"
#include "rpc/client.h"
#include "rpc/host.h"

struct search_shards {
    int index, count;
    uint64_t partitions;                   /* ours, a bit each */
    rpc_channel *targets[FEED_PARTITIONS]; /* of the shards; NULL: ours */
};

/*
 * `shard`: "i/n" with 0 <= i < n <= 64. `targets`: of all n shards, in order, with spaces between; may be
 * empty when n is 1. INVALID_ARGUMENT otherwise.
 */
bool search_shards_open(struct search_shards *shards, const struct rpc_host *host, const char *shard,
                        const char *targets, error *err) __attribute__((warn_unused_result));
void search_shards_close(struct search_shards *shards);

/* Where an account is; NULL: here. */
rpc_channel *search_shards_target(const struct search_shards *shards, const char *account);

/* Whether another shard asks for our part: then we ask nobody else. */
bool search_shards_is_forwarded(const rpc_call *call);

/* FAILED_PRECONDITION, SHARD_MISMATCH: another shard believes that the account is here. Returns false. */
bool search_shards_mismatch(const char *account, error *err);

/*
 * Answers a unary call of SearchService as the shard of the account does. False: the account is ours, nothing
 * was done.
 */
bool search_shards_forward(const struct search_shards *shards, rpc_call *call, const char *method,
                           const ProtobufCMessage *request, const char *account);

/* How to ask another shard on behalf of a call: the time that is left, at most `longest_us`. */
struct rpc_client_options search_shards_options(const rpc_call *call, int64_t longest_us);

#endif
