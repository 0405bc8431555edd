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
 * path. With `bad_text` the first text that is bad is told there, and is no failure; it stays untouched when
 * all text is good.
 */
bool wire_scan(const ProtobufCMessageDescriptor *type, const void *data, size_t length, error *bad_text,
               error *err) __attribute__((warn_unused_result));

#endif
