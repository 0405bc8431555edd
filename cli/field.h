#ifndef CASEWORK_CLI_FIELD_H
#define CASEWORK_CLI_FIELD_H

/*
 * Fields of protobuf-c messages by path ("case.subject"), through their descriptors: what lets one table
 * describe all commands. Everything set is owned by the arena.
 */

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* An empty message of the type; NULL when the arena is full. */
ProtobufCMessage *field_message_new(arena *memory, const ProtobufCMessageDescriptor *type);

/*
 * Sets a field from what somebody typed; messages on the way are made. Repeated fields grow by one. Enum
 * values go by their last words in any case ("need-reply" for FOLDER_NEED_REPLY), times by RFC 3339,
 * durations like 90s, 1.5h or 72h, messages with two texts (classifications, attributes) as "first=second",
 * field masks by their paths.
 */
bool field_set(arena *memory, ProtobufCMessage *message, const char *path, const char *text, error *err)
    __attribute__((warn_unused_result));

/*
 * An empty message in a field of messages: of a repeated one behind those that are there; else in its place,
 * unless there is one already. NULL with `err`.
 */
ProtobufCMessage *field_add_message(arena *memory, ProtobufCMessage *message, const char *name, error *err);

/* The member of a message by name; NULL if there is none. */
const ProtobufCFieldDescriptor *field_find(const ProtobufCMessage *message, const char *name);

/* How many values the field has: 0 or 1, or the length of a repeated one. An unset message or oneof has none.
 */
size_t field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* Address of the index-th value: char **, int32_t *, ProtobufCMessage ** … as the field's type says. */
const void *field_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t index);

/* The sub-message at a path, NULL if any on the way is unset. "" is the message itself. */
const ProtobufCMessage *field_submessage(const ProtobufCMessage *message, const char *path);

/* "need-reply" for FOLDER_NEED_REPLY; the number for a value this program does not know. In the arena. */
const char *field_enum_word(arena *memory, const ProtobufCEnumDescriptor *type, int value);

/* Is it google.protobuf.NAME? */
bool field_is_well_known(const ProtobufCMessageDescriptor *type, const char *name);

#endif
