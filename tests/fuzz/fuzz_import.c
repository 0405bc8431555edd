/*
 * Lines of an import file: read as `casework import` reads them, sent, and taken as the service takes them.
 * What one refuses it refuses with words; what the reader makes is a message that can be sent.
 */
#include "case/case_import_command.h"
#include "cli/conversation.h"
#include "rpc/wire.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Over the wire and into the service. */
static void take(arena *memory, const ProtobufCMessage *request)
{
    size_t length = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = arena_alloc(memory, length + 1);
    ProtobufCMessage *received = NULL;
    struct import_conversation taken;
    error err = {.code = STATUS_OK};
    if (!packed)
        return;
    protobuf_c_message_pack(request, packed);
    if (!wire_unpack(request->descriptor, packed, length, memory, &received, &err)) {
        must(err.code != STATUS_OK);
        return;
    }
    const Casework__Cases__V1__ImportConversationsRequest *item = (const void *)received;
    if (!import_conversation_take(memory, item->conversation, &taken, &err)) {
        must(err.code == STATUS_INVALID_ARGUMENT || err.code == STATUS_RESOURCE_EXHAUSTED);
        return;
    }
    for (size_t i = 1; i < taken.message_count; i++)
        must(taken.messages[i].send_time >= taken.messages[i - 1].send_time);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena *memory = arena_new(1 << 24);
    Casework__Cases__V1__ImportConversationsRequest *request = NULL;
    error err = {.code = STATUS_OK};
    if (!memory)
        return 0;
    if (conversation_parse(memory, (const char *)data, size, &request, &err))
        take(memory, &request->base);
    else
        must(err.code != STATUS_OK && err.message[0] != '\0');
    arena_free(memory);
    return 0;
}
