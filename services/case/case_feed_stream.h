#ifndef CASEWORK_CASE_FEED_STREAM_H
#define CASEWORK_CASE_FEED_STREAM_H

/* What StreamEvents, StreamSnapshot and GetPosition share. */

#include "case/case_feed.h"
#include "rpc/call.h"

/*
 * The account that a request for the feed is about: "" for all. An empty parent means all; a caller of one
 * account gets NOT_FOUND for everything but its own.
 */
bool feed_parent_take(rpc_call *call, const char *parent, const char **ret_account, error *err)
    __attribute__((warn_unused_result));

/* The partitions asked for (none named: all), with one account only its own. */
bool feed_partitions_take(const int32_t *partitions, size_t count, const char *account,
                          bool wanted[FEED_PARTITIONS], error *err) __attribute__((warn_unused_result));

extern const struct rpc_stream_handlers case_feed_stream_handlers;
extern const struct rpc_stream_handlers case_snapshot_handlers;

/* Waits for the threads of snapshots; after the server has drained they end by themselves. */
void case_snapshots_join(void);

#endif
