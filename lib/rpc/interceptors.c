/* What every call goes through before its handler: trace, authentication, roles, accounts. */
#include "rpc/auth.h"
#include "rpc/server_private.h"
#include "rpc/trace.h"
#include "rpc/wire.h"

#include <string.h>

static void take_trace(struct rpc_call *call)
{
    grpc_slice parent;
    if (core_metadata_find(&call->metadata, "traceparent", &parent))
        trace_continue((const char *)GRPC_SLICE_START_PTR(parent), GRPC_SLICE_LENGTH(parent),
                       call->traceparent);
    else
        trace_continue(NULL, 0, call->traceparent);
}

/* --- who calls --- */

static bool has_prefix(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);
    return length > n && strncasecmp(text, prefix, n) == 0;
}

static bool check_token(struct rpc_call *call, error *err)
{
    static const char scheme[] = "Bearer ";
    grpc_slice value;
    if (!core_metadata_find(&call->metadata, "authorization", &value))
        return error_set(err, STATUS_UNAUTHENTICATED, "TOKEN_MISSING", "the call has no token");
    const char *text = (const char *)GRPC_SLICE_START_PTR(value);
    size_t length = GRPC_SLICE_LENGTH(value);
    if (!has_prefix(text, length, scheme))
        return error_set(err, STATUS_UNAUTHENTICATED, "TOKEN_INVALID",
                         "the authorization is no bearer token");
    size_t skip = sizeof scheme - 1;
    return auth_check(call->server->auth, text + skip, length - skip, call->memory, &call->caller,
                      &call->expires_us, err);
}

/* Metadata is no field of a message: nothing has looked whether it is text. */
static bool is_plain(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

/* A service speaks for an agent and names a session by metadata. */
static bool take_identity(struct rpc_call *call, error *err)
{
    const char *agent = core_metadata_text(&call->metadata, "casework-agent", call->memory);
    const char *session = core_metadata_text(&call->metadata, "casework-session", call->memory);
    if (session && !is_plain(session))
        return error_bad_field(err, "casework-session", "is no session's id");
    if (session)
        call->caller.session = session;
    if (!agent)
        return true;
    if (!*agent) /* nobody's rights are not everybody's */
        return error_set(err, STATUS_INVALID_ARGUMENT, "AGENT_REQUIRED", "casework-agent names no agent");
    if (!wire_id_valid(agent))
        return error_bad_field(err, "casework-agent", "is no agent's id");
    if (call->caller.role == RPC_ROLE_SERVICE)
        call->caller.agent = agent;
    else if (strcmp(call->caller.agent, agent) != 0)
        return error_set(err, STATUS_PERMISSION_DENIED, "ROLE_NOT_ALLOWED", "only services act for an agent");
    return true;
}

static bool check_role(const struct rpc_call *call, error *err)
{
    const struct rpc_caller *caller = &call->caller;
    unsigned roles = caller->role;
    /* A service that acts for an agent has that agent's rights; the agent's record, which the handler sees,
     * says whether they are an admin's. */
    if (caller->role == RPC_ROLE_SERVICE && caller->agent[0])
        roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN;
    if (roles & call->method->row->roles)
        return true;
    return error_set(err, STATUS_PERMISSION_DENIED, "ROLE_NOT_ALLOWED", "this role may not call %s",
                     call->method->path);
}

bool intercept_open(struct rpc_call *call, error *err)
{
    take_trace(call);
    call->expires_us = INT64_MAX;
    if (call->method->row->roles == 0)
        return true;
    if (call->server->auth) {
        if (!check_token(call, err))
            return false;
    } else {
        call->caller.role = RPC_ROLE_SERVICE;
        call->caller.account = "*";
    }
    return take_identity(call, err) && check_role(call, err);
}

/* --- whose resource --- */

bool rpc_error_not_found(error *err, const char *name)
{
    return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "\"%s\" not found", name);
}

static const char account_prefix[] = "accounts/";

/* An account that is hidden has nothing. What is no name is the handler's to refuse. */
static bool check_shown(const struct rpc_call *call, const char *name, error *err)
{
    const rpc_server *server = call->server;
    if (strncmp(name, account_prefix, sizeof account_prefix - 1) != 0)
        return true;
    const char *account = name + sizeof account_prefix - 1;
    return !server->hidden(server->hidden_context, account, strcspn(account, "/")) ||
           rpc_error_not_found(err, name);
}

static bool check_name(const struct rpc_call *call, const char *name, error *err)
{
    const char *own = call->caller.account;
    if (strncmp(name, account_prefix, sizeof account_prefix - 1) != 0)
        return error_bad_field(err, call->method->row->resource, "must start with \"accounts/\"");
    const char *account = name + sizeof account_prefix - 1;
    size_t length = strcspn(account, "/");
    if (length == strlen(own) && memcmp(account, own, length) == 0)
        return true;
    if (length == 1 && account[0] == '-')
        return error_set(err, STATUS_PERMISSION_DENIED, "ACCOUNT_NOT_ALLOWED",
                         "only platform services may ask for all accounts");
    return rpc_error_not_found(err, name);
}

/* The value of the field that the row names; false when a message on the way to it is absent. */
static bool find_resource(const struct method *method, const ProtobufCMessage *message,
                          const void **ret_member, const ProtobufCMessage **ret_holder)
{
    for (unsigned i = 0;; i++) {
        const ProtobufCFieldDescriptor *field = method->resource[i];
        const unsigned char *base = (const unsigned char *)message;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
            return false;
        if (i + 1 == method->resource_depth) {
            *ret_member = base + field->offset;
            *ret_holder = message;
            return true;
        }
        message = *(const ProtobufCMessage *const *)(const void *)(base + field->offset);
        if (!message)
            return false;
    }
}

typedef bool check_one(const struct rpc_call *call, const char *name, error *err);

/* Checks each name in the field that the row says; `required`: there must be one. */
static bool check_resource(const struct rpc_call *call, const ProtobufCMessage *message, bool required,
                           check_one *check, error *err)
{
    const struct method *method = call->method;
    const ProtobufCFieldDescriptor *field = method->resource[method->resource_depth - 1];
    const void *member;
    const ProtobufCMessage *holder;
    if (!find_resource(method, message, &member, &holder))
        return !required || error_bad_field(err, method->row->resource, "is required");
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count =
            *(const size_t *)(const void *)((const unsigned char *)holder + field->quantifier_offset);
        const char *const *names = *(const char *const *const *)member;
        for (size_t i = 0; i < count; i++)
            if (!check(call, names[i], err))
                return false;
        return true;
    }
    const char *name = *(const char *const *)member;
    if (!required && !name[0])
        return true; /* later messages of a stream need not say it again */
    return check(call, name, err);
}

bool intercept_message(struct rpc_call *call, const ProtobufCMessage *message, bool first, error *err)
{
    const struct rpc_method *row = call->method->row;
    if (call->server->hidden && call->method->resource_depth > 0 &&
        !check_resource(call, message, false, check_shown, err))
        return false;
    if (row->roles == 0 || row->any_account || strcmp(call->caller.account, "*") == 0)
        return true;
    if (call->method->resource_depth == 0)
        return error_set(err, STATUS_PERMISSION_DENIED, "ACCOUNT_NOT_ALLOWED", "%s is for platform services",
                         call->method->path);
    return check_resource(call, message, first, check_name, err);
}
