#ifndef CASEWORK_RPC_WIRE_SCAN_H
#define CASEWORK_RPC_WIRE_SCAN_H

#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Messages within messages, as the reference implementations of protobuf allow. */
enum { WIRE_DEPTH_MAX = 100 };

/*
 * Looks through bytes before they are unpacked, for what protobuf-c does not check: the depth of nesting,
 * UTF-8, and NUL in a string (which unpacked strings can no longer show). INVALID_ARGUMENT names the field's
 * path.
 */
bool wire_scan(const ProtobufCMessageDescriptor *type, const void *data, size_t length, error *err)
    __attribute__((warn_unused_result));

#endif
