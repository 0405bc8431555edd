#ifndef CASEWORK_RPC_WIRE_H
#define CASEWORK_RPC_WIRE_H

/* Small helpers between domain values and protobuf-c messages. */

#include "base/arena.h"
#include "base/error.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* Unpacks into the arena; false for bytes that are no valid message of the type, invalid UTF-8 or NUL in a
 * string. */
bool wire_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t length, arena *memory,
                 ProtobufCMessage **ret_message, error *err) __attribute__((warn_unused_result));

/* The same, but bad text only sets *bad_text, naming the first such field; it stays untouched when all text
 * is good. NULL: as wire_unpack. */
bool wire_unpack_any_text(const ProtobufCMessageDescriptor *type, const void *data, size_t length,
                          arena *memory, ProtobufCMessage **ret_message, error *bad_text, error *err)
    __attribute__((warn_unused_result));

/* False (err INVALID_ARGUMENT naming the field) if any string in the message tree is not UTF-8. */
bool wire_check_text(const ProtobufCMessage *message, error *err) __attribute__((warn_unused_result));

/* Microseconds since 1970 ↔ Timestamp. A time of 0 gives NULL, NULL gives 0. NULL also when the arena is
 * full. */
Google__Protobuf__Timestamp *wire_timestamp(arena *memory, int64_t time_us);
Google__Protobuf__Duration *wire_duration(arena *memory,
                                          int64_t duration_us); /* never NULL but for a full arena */

/* False when out of the ranges that timestamp.proto and duration.proto state. NULL gives 0 and true. Rounded
 * down to microseconds. */
bool wire_time_us(const Google__Protobuf__Timestamp *time, int64_t *ret_time_us)
    __attribute__((warn_unused_result));
bool wire_duration_us(const Google__Protobuf__Duration *duration, int64_t *ret_duration_us)
    __attribute__((warn_unused_result));

/* A bound of a range of times ("from … on", "before …"), rounded up: a time in microseconds is before a
 * moment between two of them exactly if it is before the later one. NULL gives 0; no other bound does (1970
 * itself gives 1: no time is 0, which means "not set"). */
bool wire_bound_us(const Google__Protobuf__Timestamp *bound, int64_t *ret_bound_us)
    __attribute__((warn_unused_result));

/*
 * Opaque page and resume tokens: base64url of a payload with an HMAC-SHA256 over payload and `binding` (all
 * other arguments of the request): an edited token, or one used with other arguments, does not open. The key
 * is the same in all replicas: set once at start from configuration or, by default, a fixed one (the token
 * guards against mistakes, not attacks).
 */
char *wire_token_seal(arena *memory, const void *payload, size_t length, const char *binding);
bool wire_token_open(arena *memory, const char *token, const char *binding, void **ret_payload,
                     size_t *ret_length) __attribute__((warn_unused_result));

/* An account's, agent's, contact's or channel's id: [a-z0-9][a-z0-9._-]{0,62}. */
bool wire_id_valid(const char *id);

/*
 * Resource names. `pattern` is "accounts/{}/cases/{}"; each {} takes one segment (checked:
 * [a-z0-9][a-z0-9._-]{0,62}, or a lone "-" where the name stands for all) into parts[]. False if the name
 * does not match.
 */
bool wire_name_parse(arena *memory, const char *pattern, const char *name, const char **parts,
                     unsigned part_count) __attribute__((warn_unused_result));

#endif
