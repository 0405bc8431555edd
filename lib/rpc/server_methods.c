/* The method table: rows of the handlers joined with what the descriptors say. */
#include "rpc/descriptors.h"
#include "rpc/server_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(error *err, const struct rpc_method *row, const char *why)
{
    return error_set(err, STATUS_INTERNAL, "BAD_METHOD_TABLE", "%s.%s: %s", row->service->name, row->name,
                     why);
}

/* "case.name" → the descriptors of `case` in the request and of `name` in the case. */
static bool resolve_resource(struct method *method, error *err)
{
    const struct rpc_method *row = method->row;
    const ProtobufCMessageDescriptor *type = method->descriptor->input;
    const char *at = row->resource;
    while (at && *at) {
        char step[64];
        size_t length = strcspn(at, ".");
        if (length >= sizeof step || method->resource_depth == RESOURCE_DEPTH_MAX)
            return wrong(err, row, "the resource's path is too long");
        memcpy(step, at, length);
        step[length] = '\0';
        const ProtobufCFieldDescriptor *field =
            type ? protobuf_c_message_descriptor_get_field_by_name(type, step) : NULL;
        if (!field)
            return wrong(err, row, "there is no such resource field");
        method->resource[method->resource_depth++] = field;
        type = field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED
                   ? field->descriptor
                   : NULL;
        at += length + (at[length] == '.');
    }
    if (method->resource_depth > 0 &&
        method->resource[method->resource_depth - 1]->type != PROTOBUF_C_TYPE_STRING)
        return wrong(err, row, "the resource field is no string");
    return true;
}

static bool fill_method(rpc_server *server, struct method *method, error *err)
{
    const struct rpc_method *row = method->row;
    method->descriptor = protobuf_c_service_descriptor_get_method_by_name(row->service, row->name);
    if (!method->descriptor)
        return wrong(err, row, "the service has no such method");
    const Google__Protobuf__MethodDescriptorProto *proto =
        descriptor_set_method(server->descriptors, row->service->name, row->name);
    if (!proto)
        return wrong(err, row, "the descriptor set does not have it");
    method->client_streams = proto->client_streaming;
    method->server_streams = proto->server_streaming;
    bool streams = method->client_streams || method->server_streams;
    if (streams ? !row->stream : !row->unary)
        return wrong(err, row, "the handler is of the wrong kind");
    if (asprintf(&method->path, "/%s/%s", row->service->name, row->name) < 0) {
        method->path = NULL;
        return wrong(err, row, "no memory");
    }
    for (size_t i = 0; i < server->method_count; i++)
        if (strcmp(server->methods[i]->path, method->path) == 0)
            return wrong(err, row, "it is in the tables twice");
    if (!resolve_resource(method, err))
        return false;
    method_metrics_init(&method->metrics, row->service->name, row->name);
    return true;
}

static void method_free(struct method *method)
{
    if (method)
        free(method->path);
    free(method);
}

static bool add_one(rpc_server *server, const struct rpc_method *row, void *context, bool quiet, error *err)
{
    struct method **grown = reallocarray(server->methods, server->method_count + 1, sizeof(struct method *));
    if (!grown)
        return wrong(err, row, "no memory");
    server->methods = grown;
    struct method *method = calloc(1, sizeof *method);
    if (!method)
        return wrong(err, row, "no memory");
    method->row = row;
    method->context = context;
    method->quiet = quiet;
    if (!fill_method(server, method, err)) {
        method_free(method);
        return false;
    }
    server->methods[server->method_count++] = method;
    return true;
}

bool methods_add(rpc_server *server, const struct rpc_method *rows, void *context, bool quiet, error *err)
{
    for (const struct rpc_method *row = rows; row->service; row++)
        if (!add_one(server, row, context, quiet, err))
            return false;
    return true;
}

void methods_free(rpc_server *server)
{
    for (size_t i = 0; i < server->method_count; i++)
        method_free(server->methods[i]);
    free(server->methods);
}
