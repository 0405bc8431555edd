#ifndef CASEWORK_CASE_WRITE_H
#define CASEWORK_CASE_WRITE_H

/*
 * The write side of the handlers: a handler runs on the polling thread, checks its request, makes a command,
 * and submits it; the lane's thread answers the call when the command's batch is durable.
 *
 *     static bool begin_resolve(rpc_call *call, const ProtobufCMessage *message, …)
 *     {
 *         … *ret_write = case_write_begin(call, CASE_METHOD_RESOLVE…, account, err) …
 *         … fill in (*ret_write)->command …
 *     }
 *
 *     case_write_run(call, message, context, begin_resolve, &…_response__descriptor);
 *
 * What fails before it is submitted ends the call through rpc_call_fail.
 */

#include "case/case_command.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "pg/lane.h"
#include "rpc/call.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the write handlers need: their context. */
struct case_writer {
    pg_lanes *lanes;
};

/* Tables of methods; each with a struct case_writer as context. */
extern const struct rpc_method account_methods[];
extern const struct rpc_method agent_methods[];
extern const struct rpc_method contact_methods[];
extern const struct rpc_method channel_methods[];
extern const struct rpc_method case_methods[];
extern const struct rpc_method message_methods[];
extern const struct rpc_method forward_methods[];
extern const struct rpc_method connector_methods[];
extern const struct rpc_method merge_methods[]; /* merges, and their undoing */
extern const struct rpc_method many_methods[];  /* changes of many cases at once */
extern const struct rpc_method timer_methods[]; /* steps of timers */
extern const struct rpc_method erase_methods[];

enum {
    WRITE_ROLES_ALL = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
    WRITE_ROLES_PEOPLE = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
    WRITE_ROLES_ADMINS = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
};

struct case_write {
    struct case_command command; /* first */
    rpc_call *call;
    arena *memory; /* the call's */
    const ProtobufCMessageDescriptor *response;
    /* Puts what case_write_submit does not know of into the response, on the lane's thread. NULL: nothing.
     * False: the arena is full. */
    bool (*fill)(struct case_write *write, ProtobufCMessage *response);
    uint8_t *packed; /* the response; NULL: the arena is full */
    size_t packed_size;
};

/* In the call's arena, with the actor from the token. NULL (err set): the arena is full. */
struct case_write *case_write_begin(rpc_call *call, enum case_method method, const char *account, error *err)
    __attribute__((warn_unused_result));

/* Who calls. */
struct actor case_write_actor(const rpc_call *call);

/*
 * Hands the command to its lane, which answers with a `response` when it is durable: its fields account,
 * agent, contact, channel, case, message, case_created and position, as far as it has them, come from the
 * command's answer. `request` with its field request_id left out gives the fingerprint that tells repeated
 * requests from others. Ends the call when it cannot be submitted.
 */
void case_write_submit(struct case_write *write, void *context, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *response);

/* Makes a request's command. False: err tells what is wrong with it. */
typedef bool case_write_maker(rpc_call *call, const ProtobufCMessage *request, struct case_write **ret_write,
                              error *err);

/* A handler that makes a command and submits it. */
void case_write_run(rpc_call *call, const ProtobufCMessage *request, void *context, case_write_maker *make,
                    const ProtobufCMessageDescriptor *response);

/* --- checks: INVALID_ARGUMENT naming the field -------------------------------------------------------------
 */

bool check_text(const char *text, size_t maximum, const char *field, error *err);
bool check_required(const char *text, size_t maximum, const char *field, error *err); /* and not empty */
bool check_lower(const char *text, size_t maximum, const char *field,
                 error *err);                                 /* a network: [a-z0-9._-]+ */
bool check_id(const char *id, const char *field, error *err); /* chosen by the client; "" is fine */

/* An etag as a version; "" gives 0. One that was never handed out is as stale as an old one. */
bool parse_etag(const char *etag, int64_t *ret_version);

/* Names of fields that a mask may have. */
struct mask_field {
    const char *path;
    unsigned field;
    bool set; /* in the request: what an absent mask means */
};

/* "*" stands alone (AIP-161). */
bool check_mask(const Google__Protobuf__FieldMask *mask, error *err);

/* The fields an update changes (AIP-134). `fields` ends with a NULL path. */
bool read_mask(const Google__Protobuf__FieldMask *mask, const struct mask_field *fields, unsigned *ret_fields,
               error *err) __attribute__((warn_unused_result));

/* A repeated text field as a list that shares its texts. */
struct text_list list_of(char **items, size_t count);

/* No text twice; each 1 to `maximum` bytes; at most `count_max`. */
bool check_list(const struct text_list *list, size_t count_max, size_t maximum, const char *field,
                error *err);

#endif
