#ifndef CASEWORK_RPC_CLIENT_PRIVATE_H
#define CASEWORK_RPC_CLIENT_PRIVATE_H

/* What the client's files share. Not for users of the library. */

#include "rpc/client.h"
#include "rpc/core.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CALL_METADATA_MAX = 5 };

/* Received by a client at the most; what a service may send is bounded on its side. */
#define CLIENT_MESSAGE_BYTES_MAX ((size_t)64 << 20)

struct token_source;
struct unary;

/* A call under way, or one attempt of it: its place among those of the channel. */
struct live_call {
    struct live_call *previous, *next;
    grpc_call *core; /* NULL: it is in no list */
};

struct rpc_channel {
    grpc_channel *core;
    grpc_completion_queue *queue;
    pthread_t thread; /* runs all completions, and the retries of unary calls */
    struct token_source *tokens;
    struct unary *waiting; /* for their next attempt; the thread's own */
    pthread_mutex_t lock;  /* of `live`; `stopped` is set with it */
    struct live_call *live;
    atomic_bool stopped;
};

/* client.c: from joining, before its first batch, to leaving, before it is given back, rpc_channel_stop ends
 * the call. */
void channel_join(rpc_channel *channel, struct live_call *call, grpc_call *core);
void channel_leave(rpc_channel *channel, struct live_call *call);

/* What a call that has failed so was ended by: tells when that was rpc_channel_stop. */
void channel_tell_stop(const rpc_channel *channel, error *err);

/* Metadata of one call. Values belong to it until released, keys are static. */
struct call_headers {
    grpc_metadata list[CALL_METADATA_MAX];
    size_t count;
};

/* client_headers.c */
bool headers_fill(rpc_channel *channel, const struct rpc_client_options *options,
                  struct call_headers *ret_headers, error *err) __attribute__((warn_unused_result));
void headers_release(struct call_headers *headers);
grpc_slice method_path(const ProtobufCServiceDescriptor *service, const char *method);

/* client_unary.c: starts again what is due, and tells when to come back. */
gpr_timespec unary_retry_due(rpc_channel *channel);

/* client_status.c: how a call has ended, as the core tells it. */
struct ending {
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice message;
};
void ending_init(struct ending *ending);
void ending_release(struct ending *ending);
void ending_error(const struct ending *ending, error *err);

#endif
