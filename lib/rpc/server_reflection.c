/*
 * grpc.reflection.v1 and v1alpha, from the embedded descriptor sets. The two differ in nothing but the
 * package, so that one implementation, on v1's types, serves both.
 */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "rpc/descriptors.h"
#include "rpc/server_private.h"

#include <string.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

_Static_assert(sizeof(reflection_request) == sizeof(Grpc__Reflection__V1alpha__ServerReflectionRequest),
               "v1 and v1alpha have the same fields");

#define ASKED(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

/* The parts of one response, on the stack of on_message. */
struct answer {
    reflection_response response;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    Grpc__Reflection__V1__ExtensionNumberResponse extensions;
    Grpc__Reflection__V1__ListServiceResponse services;
    Grpc__Reflection__V1__ErrorResponse failure;
    ProtobufCBinaryData file;
};

static void answer_error(struct answer *a, enum status_code code, const char *message)
{
    grpc__reflection__v1__error_response__init(&a->failure);
    a->failure.error_code = (int32_t)code;
    a->failure.error_message = (char *)(uintptr_t)message;
    a->response.message_response_case = ANSWER(ERROR_RESPONSE);
    a->response.error_response = &a->failure;
}

static void answer_file(struct answer *a, arena *memory, const Google__Protobuf__FileDescriptorProto *file,
                        const char *missing)
{
    if (!file) {
        answer_error(a, STATUS_NOT_FOUND, missing);
        return;
    }
    a->file.len = google__protobuf__file_descriptor_proto__get_packed_size(file);
    a->file.data = arena_alloc(memory, a->file.len);
    if (!a->file.data) {
        answer_error(a, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    google__protobuf__file_descriptor_proto__pack(file, a->file.data);
    grpc__reflection__v1__file_descriptor_response__init(&a->files);
    a->files.n_file_descriptor_proto = 1;
    a->files.file_descriptor_proto = &a->file;
    a->response.message_response_case = ANSWER(FILE_DESCRIPTOR_RESPONSE);
    a->response.file_descriptor_response = &a->files;
}

static void answer_extensions(struct answer *a, const rpc_server *server, const char *type)
{
    /* No message of ours has extensions. */
    if (!descriptor_set_is_message(server->descriptors, type)) {
        answer_error(a, STATUS_NOT_FOUND, "unknown type");
        return;
    }
    grpc__reflection__v1__extension_number_response__init(&a->extensions);
    a->extensions.base_type_name = (char *)(uintptr_t)type;
    a->response.message_response_case = ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE);
    a->response.all_extension_numbers_response = &a->extensions;
}

static bool is_first_of_service(const rpc_server *server, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (server->methods[i]->row->service == server->methods[index]->row->service)
            return false;
    return true;
}

static void answer_services(struct answer *a, arena *memory, const rpc_server *server)
{
    typedef Grpc__Reflection__V1__ServiceResponse service_response;
    grpc__reflection__v1__list_service_response__init(&a->services);
    service_response **list = arena_calloc(memory, server->method_count, sizeof(service_response *));
    for (size_t i = 0; list && i < server->method_count; i++) {
        if (!is_first_of_service(server, i))
            continue;
        service_response *service = arena_alloc(memory, sizeof *service);
        if (!service)
            break;
        grpc__reflection__v1__service_response__init(service);
        service->name = (char *)(uintptr_t)server->methods[i]->row->service->name;
        list[a->services.n_service++] = service;
    }
    a->services.service = list;
    a->response.message_response_case = ANSWER(LIST_SERVICES_RESPONSE);
    a->response.list_services_response = &a->services;
}

static void fill(struct answer *a, arena *memory, const rpc_server *server, const reflection_request *request)
{
    switch (request->message_request_case) {
    case ASKED(FILE_BY_FILENAME):
        answer_file(a, memory, descriptor_set_file(server->descriptors, request->file_by_filename),
                    "unknown file");
        break;
    case ASKED(FILE_CONTAINING_SYMBOL):
        answer_file(a, memory, descriptor_set_symbol(server->descriptors, request->file_containing_symbol),
                    "unknown symbol");
        break;
    case ASKED(FILE_CONTAINING_EXTENSION):
        answer_error(a, STATUS_NOT_FOUND, "unknown extension");
        break;
    case ASKED(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_extensions(a, server, request->all_extension_numbers_of_type);
        break;
    case ASKED(LIST_SERVICES):
        answer_services(a, memory, server);
        break;
    default:
        answer_error(a, STATUS_INVALID_ARGUMENT, "nothing was asked for");
    }
}

static void reflection_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const reflection_request *request = (const void *)message;
    struct answer a;
    arena *memory = arena_new((size_t)8 << 20);
    if (!memory) {
        rpc_call_fail_memory(call);
        return;
    }
    grpc__reflection__v1__server_reflection_response__init(&a.response);
    a.response.valid_host = request->host;
    a.response.original_request = (reflection_request *)(uintptr_t)request;
    fill(&a, memory, context, request);
    enum rpc_write written = rpc_call_write(call, &a.response.base);
    arena_free(memory);
    if (written == RPC_WRITE_FULL) {
        error err;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER", "too many answers are not read");
        rpc_call_fail(call, &err);
        return;
    }
    rpc_call_read_next(call);
}

static void reflection_half_close(rpc_call *call, void *context)
{
    (void)context;
    rpc_call_finish(call);
}

static const struct rpc_stream_handlers handlers = {
    .on_message = reflection_message,
    .on_half_close = reflection_half_close,
};

static const struct rpc_method rows[] = {
    {.service = &grpc__reflection__v1__server_reflection__descriptor,
     .name = "ServerReflectionInfo",
     .run = RPC_RUN_INLINE,
     .endless = true,
     .stream = &handlers},
    {.service = &grpc__reflection__v1alpha__server_reflection__descriptor,
     .name = "ServerReflectionInfo",
     .run = RPC_RUN_INLINE,
     .endless = true,
     .stream = &handlers},
    {.service = NULL},
};

bool reflection_add(rpc_server *server, error *err)
{
    return methods_add(server, rows, server, true, err);
}
