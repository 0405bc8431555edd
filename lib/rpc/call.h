#ifndef CASEWORK_RPC_CALL_H
#define CASEWORK_RPC_CALL_H

/*
 * One call being served. A handler gets a `rpc_call *`, may keep it, may hand it to another thread, and ends
 * it exactly once with rpc_call_reply, rpc_call_finish or rpc_call_fail; after that it must not touch it
 * (streams: until on_done, see server.h).
 */

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct rpc_call rpc_call;

enum rpc_role {
    RPC_ROLE_NONE = 0, /* no token: only for methods that need none */
    RPC_ROLE_AGENT = 1 << 0,
    RPC_ROLE_ADMIN = 1 << 1,
    RPC_ROLE_CONNECTOR = 1 << 2,
    RPC_ROLE_SERVICE = 1 << 3,
};

/* Who calls, from the checked token and the metadata. Texts live as long as the call. */
struct rpc_caller {
    enum rpc_role
        role; /* of the token; a service acting for an agent keeps RPC_ROLE_SERVICE and has `agent` set */
    const char *subject;
    const char *account; /* "acme", or "*" for all; "" without a token */
    const char *agent; /* the agent's id; "" if none. From the token, or for services from `casework-agent` */
    const char *session; /* `casework-session` metadata; "" if none */
};

/* Memory that lives until the call has ended. NULL from its functions: answer rpc_call_fail_memory. One
 * thread at a time. */
arena *rpc_call_arena(rpc_call *call);

const struct rpc_caller *rpc_call_caller(const rpc_call *call);

/* Absolute, on clock_monotonic_us; INT64_MAX when the client set none. */
int64_t rpc_call_deadline_us(const rpc_call *call);

/* The client went away or the deadline passed: stop working on it (but still end the call). Any thread. */
bool rpc_call_is_cancelled(const rpc_call *call);

/*
 * What is wrong with the text of the message that is being handled; NULL: nothing. Only for methods with
 * text_checked_by_handler: strings of the message may then end early (at a NUL) or be no UTF-8.
 */
const error *rpc_call_bad_text(const rpc_call *call);

/* First value of a request metadata key (lower case), NULL if absent. */
const char *rpc_call_metadata(const rpc_call *call, const char *key);

/* The same for any value, such as that of a "…-bin" key; NULL if absent. Lives as long as the call. */
const void *rpc_call_metadata_bytes(const rpc_call *call, const char *key, size_t *ret_length);

/*
 * Metadata to answer with; before the first write and before the end of the call. Illegal keys and values,
 * and more than 16 entries, are left out. Copies.
 */
void rpc_call_add_initial_metadata(rpc_call *call, const char *key, const void *value, size_t length);
void rpc_call_add_trailing_metadata(rpc_call *call, const char *key, const void *value, size_t length);

/* The W3C traceparent that outgoing calls made on behalf of this one carry on. "" if none. */
const char *rpc_call_traceparent(const rpc_call *call);

/* Packs the message at once (it may be freed afterwards), checks its UTF-8, sends it with OK. Unary and
 * client streaming. */
void rpc_call_reply(rpc_call *call, const ProtobufCMessage *response);

/* Like rpc_call_reply, for a response that is already in wire form. Copies. */
void rpc_call_reply_packed(rpc_call *call, const void *data, size_t length);

/* Ends the call with an error: code, message, ErrorInfo, BadRequest, RetryInfo in grpc-status-details-bin.
 * Any kind of call. */
void rpc_call_fail(rpc_call *call, const error *err);
void rpc_call_fail_memory(rpc_call *call); /* RESOURCE_EXHAUSTED, REQUEST_TOO_LARGE */

/*
 * Streams (server streaming and bidirectional): queues one message. FULL: the bounded queue is full, nothing
 * was queued; on_writable comes when there is room. CLOSED: the call is over, nothing will be sent any more.
 */
enum rpc_write { RPC_WRITE_OK, RPC_WRITE_FULL, RPC_WRITE_CLOSED };
enum rpc_write rpc_call_write(rpc_call *call, const ProtobufCMessage *message)
    __attribute__((warn_unused_result));

/* Like rpc_call_write, for a message that is already in wire form. Copies. */
enum rpc_write rpc_call_write_packed(rpc_call *call, const void *data, size_t length)
    __attribute__((warn_unused_result));

/*
 * How long the message that is being written has waited for the client to take it; 0: none is. A client that
 * reads nothing shows here long before the queue is full. Any thread.
 */
int64_t rpc_call_write_waiting_us(const rpc_call *call);

/*
 * Ends a stream with OK after what is queued has been sent. On a stream, ending it again (reply, finish,
 * fail) does nothing: it may have been ended meanwhile because the server stops.
 */
void rpc_call_finish(rpc_call *call);

/* Client streaming and bidirectional: asks for the next message. The first one is asked for by the layer
 * itself. */
void rpc_call_read_next(rpc_call *call);

/* The handler's own state of a stream; not touched by the layer. */
void rpc_call_set_state(rpc_call *call, void *state);
void *rpc_call_state(const rpc_call *call);

/* Streams only: keeps the rpc_call's memory beyond on_done until released (another thread may still hold a
 * pointer). */
void rpc_call_ref(rpc_call *call);
void rpc_call_unref(rpc_call *call);

/* NOT_FOUND for a resource, in the one form that a real miss and another account's resource share. Returns
 * false. */
bool rpc_error_not_found(error *err, const char *name);

#endif
