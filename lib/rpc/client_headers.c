#include "rpc/client_private.h"
#include "rpc/token_source.h"
#include "rpc/trace.h"

#include <stdio.h>
#include <string.h>

static bool add(struct call_headers *headers, const char *key, grpc_slice value, error *err)
{
    if (!grpc_header_nonbin_value_is_legal(value)) {
        grpc_slice_unref(value);
        return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_METADATA", "%s is no legal metadata value",
                         key);
    }
    headers->list[headers->count++] =
        (grpc_metadata){.key = grpc_slice_from_static_string(key), .value = value};
    return true;
}

static bool add_text(struct call_headers *headers, const char *key, const char *text, error *err)
{
    return !text || !*text || add(headers, key, grpc_slice_from_copied_string(text), err);
}

bool headers_fill(rpc_channel *channel, const struct rpc_client_options *options,
                  struct call_headers *ret_headers, error *err)
{
    struct call_headers headers = {.count = 0};
    char traceparent[TRACEPARENT_SIZE];
    const char *parent = options->traceparent;
    grpc_slice token;
    trace_continue(parent, parent ? strlen(parent) : 0, traceparent);
    bool good = add_text(&headers, "traceparent", traceparent, err) &&
                (options->agent == NULL ||
                 add(&headers, "casework-agent", grpc_slice_from_copied_string(options->agent), err)) &&
                add_text(&headers, "casework-session", options->session, err) &&
                add_text(&headers, "casework-forwarded", options->forwarded ? "1" : NULL, err);
    if (good && channel->tokens)
        good = token_source_get(channel->tokens, &token, err) && add(&headers, "authorization", token, err);
    if (!good) {
        headers_release(&headers);
        return false;
    }
    *ret_headers = headers;
    return true;
}

void headers_release(struct call_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        grpc_slice_unref(headers->list[i].value);
    headers->count = 0;
}

grpc_slice method_path(const ProtobufCServiceDescriptor *service, const char *method)
{
    size_t service_length = strlen(service->name), method_length = strlen(method);
    grpc_slice path = grpc_slice_malloc(service_length + method_length + 2);
    char *at = (char *)GRPC_SLICE_START_PTR(path);
    *at++ = '/';
    memcpy(at, service->name, service_length);
    at += service_length;
    *at++ = '/';
    memcpy(at, method, method_length);
    return path;
}
