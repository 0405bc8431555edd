#ifndef CASEWORK_TESTS_SUPPORT_MODEL_WIRE_PRIVATE_H
#define CASEWORK_TESTS_SUPPORT_MODEL_WIRE_PRIVATE_H

/* What the files of model_wire.h share. */

#include "base/clock.h"
#include "tests/support/model_wire.h"

#include <string.h>

#define MODEL_CALL_TIMEOUT_US CLOCK_MINUTE

/* Protobuf's text fields take no const; nobody writes to them. */
static inline char *model_text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static inline const char *model_last_segment(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* The place of a field, found by its name; NULL: the message has none. */
static inline void *model_field(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *found =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return found ? (char *)(uintptr_t)message + found->offset : NULL;
}

/* The command as a request of that type. */
void *model_wire_request(const ProtobufCMessageDescriptor *type, const char *account,
                         const struct model_command *command, const char *etag, arena *memory);

#endif
