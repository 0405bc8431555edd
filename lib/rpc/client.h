#ifndef CASEWORK_RPC_CLIENT_H
#define CASEWORK_RPC_CLIENT_H

/*
 * The client side: shared channels, mandatory deadlines, trace and token propagation, retry of UNAVAILABLE
 * with jittered exponential backoff within the deadline (unary calls only; every mutation carries a request
 * id, so a retry is safe). Thread-safe. Blocking functions block the calling thread only.
 */

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct rpc_channel rpc_channel;

struct rpc_channel_options {
    const char
        *target; /* "127.0.0.1:7001", "dns:///case:7001"; several replicas: "ipv4:a:1,b:2" with round robin */
    const char *token_file; /* bearer token, read again when the file changes; NULL: none */
    const char *token;      /* or the token itself; NULL: none */
    const char *key_directory,
        *subject; /* or: make short-lived service tokens for account * with a key found there; NULL: none */
    const char *tls_ca_file, *tls_certificate_file, *tls_key_file; /* NULL: plain text */
};

bool rpc_channel_new(const struct rpc_channel_options *options, rpc_channel **ret_channel, error *err)
    __attribute__((warn_unused_result));
void rpc_channel_free(rpc_channel *channel); /* takes NULL; all calls must have ended */

/*
 * Ends what is under way, and whatever is begun later, with UNAVAILABLE, STOPPING; who waits for another
 * attempt may hear how the last one failed. For whoever is to stop and will not wait for deadlines. From any
 * thread; waits for nobody.
 */
void rpc_channel_stop(rpc_channel *channel);

struct rpc_client_options {
    int64_t timeout_us;      /* from now; must be > 0 (streams: INT64_MAX for no deadline) */
    const char *traceparent; /* NULL: a new trace */
    const char *agent;       /* `casework-agent` metadata; NULL: none; "" is refused */
    const char *session;     /* `casework-session` metadata; NULL: none */
    bool forwarded;          /* `casework-forwarded` metadata: a replica asks another one for its part */
    bool no_retry;
};

/*
 * One unary call. `method` is "GetCase" of `service`. The response is unpacked into `memory` and lives as
 * long as that. A failed call fills err, with ErrorInfo and so on taken back from the status details; what
 * the gRPC core says of a peer that it does not reach, addresses and all, is err's detail.
 */
bool rpc_client_call(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                     const ProtobufCMessage *request, const struct rpc_client_options *options, arena *memory,
                     ProtobufCMessage **ret_response, error *err) __attribute__((warn_unused_result));

/*
 * The same without waiting. `done` runs exactly once on a thread of the client layer: response (valid during
 * the callback) or err, the other NULL. The request is packed before this returns.
 */
typedef void rpc_client_done(void *argument, const ProtobufCMessage *response, const error *err);
void rpc_client_call_async(rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                           const char *method, const ProtobufCMessage *request,
                           const struct rpc_client_options *options, rpc_client_done *done, void *argument);

/* A streaming call of any kind, driven by blocking functions; one reader thread and one writer thread at a
 * time. */
typedef struct rpc_stream rpc_stream;

bool rpc_stream_open(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                     const struct rpc_client_options *options, rpc_stream **ret_stream, error *err)
    __attribute__((warn_unused_result));

bool rpc_stream_write(rpc_stream *stream, const ProtobufCMessage *message)
    __attribute__((warn_unused_result));
void rpc_stream_close_send(rpc_stream *stream);

enum rpc_read {
    RPC_READ_MESSAGE, /* *ret_message is set, in `memory` */
    RPC_READ_END,     /* the stream ended with OK */
    RPC_READ_FAILED,  /* err says how it ended */
    RPC_READ_TIMEOUT, /* nothing within the time; read again later */
};
enum rpc_read rpc_stream_read(rpc_stream *stream, int64_t timeout_us, arena *memory,
                              ProtobufCMessage **ret_message, error *err) __attribute__((warn_unused_result));

/* Ends it from any thread; a blocked read or write returns. */
void rpc_stream_cancel(rpc_stream *stream);
void rpc_stream_free(rpc_stream *stream); /* takes NULL; cancels if it has not ended */

#endif
