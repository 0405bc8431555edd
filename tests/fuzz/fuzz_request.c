/*
 * Bytes as the request of every method: what wire_unpack lets through is text all over and comes back the
 * same from its own packed form; what it refuses it refuses with a reason. The first byte picks the method.
 */
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/cases/v1/session_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCServiceDescriptor *const services[] = {
    &casework__cases__v1__account_service__descriptor,
    &casework__cases__v1__agent_service__descriptor,
    &casework__cases__v1__contact_service__descriptor,
    &casework__cases__v1__channel_service__descriptor,
    &casework__cases__v1__case_service__descriptor,
    &casework__cases__v1__message_service__descriptor,
    &casework__cases__v1__session_service__descriptor,
    &casework__cases__v1__connector_service__descriptor,
    &casework__cases__v1__event_service__descriptor,
    &casework__cases__v1__import_service__descriptor,
    &casework__search__v1__search_service__descriptor,
    &casework__sla__v1__sla_service__descriptor,
    &casework__report__v1__report_service__descriptor,
    &casework__testing__v1__clock_service__descriptor,
    &grpc__health__v1__health__descriptor,
};

static const ProtobufCMessageDescriptor *request_of(unsigned choice)
{
    unsigned count = 0, at;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        count += services[i]->n_methods;
    at = choice % count;
    for (size_t i = 0;; i++) {
        if (at < services[i]->n_methods)
            return services[i]->methods[at].input;
        at -= services[i]->n_methods;
    }
}

/* Packed, read and packed again: the same bytes. */
static void check_again(const ProtobufCMessage *message, arena *memory)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *once = arena_alloc(memory, length + 1), *twice = arena_alloc(memory, length + 1);
    ProtobufCMessage *back = NULL;
    error err = {.code = STATUS_OK};
    if (!once || !twice)
        return;
    protobuf_c_message_pack(message, once);
    if (!wire_unpack(message->descriptor, once, length, memory, &back, &err)) {
        if (err.code != STATUS_RESOURCE_EXHAUSTED)
            abort();
        return;
    }
    if (protobuf_c_message_get_packed_size(back) != length ||
        protobuf_c_message_pack(back, twice) != length || memcmp(once, twice, length) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    arena *memory = arena_new(1 << 22);
    ProtobufCMessage *message = NULL;
    error err = {.code = STATUS_OK};
    if (!memory)
        return 0;
    if (wire_unpack(request_of(data[0]), data + 1, size - 1, memory, &message, &err)) {
        if (!wire_check_text(message, &err))
            abort();
        check_again(message, memory);
    } else if (err.code != STATUS_INVALID_ARGUMENT && err.code != STATUS_RESOURCE_EXHAUSTED) {
        abort(); /* a refusal says why */
    }
    arena_free(memory);
    return 0;
}
