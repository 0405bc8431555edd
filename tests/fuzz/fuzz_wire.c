/*
 * Bytes as messages: what wire_unpack lets through must be text all over, and must come back the same from
 * its own packed form. The first byte picks the type; the others are the message.
 */
#include "google/protobuf/descriptor.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/status_details.h"
#include "rpc/wire.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TYPE_COUNT = 6 };

static const ProtobufCMessageDescriptor *const types[TYPE_COUNT] = {
    &google__rpc__status__descriptor,
    &google__rpc__error_info__descriptor,
    &google__rpc__bad_request__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor,
    &grpc__reflection__v1__server_reflection_response__descriptor,
    &google__protobuf__file_descriptor_set__descriptor, /* nests without end */
};

static void check_again(const ProtobufCMessage *message, arena *memory)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(memory, length);
    ProtobufCMessage *back;
    if (!packed)
        return;
    protobuf_c_message_pack(message, packed);
    error err;
    if (!wire_unpack(message->descriptor, packed, length, memory, &back, &err) &&
        err.code != STATUS_RESOURCE_EXHAUSTED)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    arena *memory = arena_new(1 << 20);
    ProtobufCMessage *message;
    error err = {.code = STATUS_OK};
    if (!memory)
        return 0;
    if (wire_unpack(types[data[0] % TYPE_COUNT], data + 1, size - 1, memory, &message, &err)) {
        if (!wire_check_text(message, &err))
            abort();
        check_again(message, memory);
    } else if (err.code == STATUS_OK) {
        abort(); /* a refusal says why */
    }
    error_set(&err, STATUS_UNKNOWN, "", "fuzz");
    status_details_decode(data, size, &err);
    arena_free(memory);
    return 0;
}
