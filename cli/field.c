#include "cli/field.h"

#include "base/clock.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER(type, message, offset) ((type *)(void *)((char *)(message) + (offset)))

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
}

ProtobufCMessage *field_message_new(arena *memory, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = arena_calloc(memory, 1, type->sizeof_message);
    if (message)
        type->message_init(message);
    return message;
}

const ProtobufCFieldDescriptor *field_find(const ProtobufCMessage *message, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
}

static size_t value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return sizeof(int32_t);
    }
}

static bool is_oneof(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

size_t field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *MEMBER(const size_t, message, field->quantifier_offset);
    if (is_oneof(field))
        return *MEMBER(const uint32_t, message, field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *MEMBER(void *const, message, field->offset) != NULL;
    return 1;
}

const void *field_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t index)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *MEMBER(const char *const, message, field->offset) + index * value_size(field->type);
    return MEMBER(const char, message, field->offset);
}

/* The part of a path up to its first point; *ret_rest is what follows, NULL at the end. */
static char *path_head(arena *memory, const char *path, const char **ret_rest)
{
    const char *point = strchr(path, '.');
    *ret_rest = point ? point + 1 : NULL;
    return arena_strndup(memory, path, point ? (size_t)(point - path) : strlen(path));
}

const ProtobufCMessage *field_submessage(const ProtobufCMessage *message, const char *path)
{
    char name[64];
    while (message && *path) {
        size_t length = strcspn(path, ".");
        if (length >= sizeof name)
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        const ProtobufCFieldDescriptor *field = field_find(message, name);
        if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE || !field_count(message, field))
            return NULL;
        message = *(ProtobufCMessage *const *)field_at(message, field, 0);
        path += length + (path[length] == '.');
    }
    return message;
}

/* Where the new value goes: the field itself (its oneof's case set), or a new last member of a repeated one.
 */
static void *value_slot(arena *memory, ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        if (is_oneof(field))
            *MEMBER(uint32_t, message, field->quantifier_offset) = field->id;
        return MEMBER(char, message, field->offset);
    }
    size_t size = value_size(field->type);
    size_t *count = MEMBER(size_t, message, field->quantifier_offset);
    void **values = MEMBER(void *, message, field->offset);
    char *grown = arena_calloc(memory, *count + 1, size);
    if (!grown)
        return NULL;
    if (*count)
        memcpy(grown, *values, *count * size);
    *values = grown;
    return grown + (*count)++ * size;
}

static size_t enum_prefix_length(const ProtobufCEnumDescriptor *type)
{
    /* CaseStatus → CASE_STATUS_ */
    size_t length = 0;
    for (const char *c = type->short_name; *c; c++)
        length += c != type->short_name && isupper((unsigned char)*c) ? 2 : 1;
    return length + 1;
}

static const char *enum_tail(const ProtobufCEnumDescriptor *type, const char *name)
{
    size_t prefix = enum_prefix_length(type);
    return strlen(name) > prefix ? name + prefix : name;
}

static bool same_word(const char *name, const char *typed)
{
    for (; *name && *typed; name++, typed++) {
        char t = *typed == '-' || *typed == ' ' ? '_' : (char)toupper((unsigned char)*typed);
        if (*name != t)
            return false;
    }
    return *name == *typed;
}

static bool enum_parse(const ProtobufCEnumDescriptor *type, const char *text, int *ret_value)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        const char *name = type->values[i].name;
        if (same_word(name, text) || same_word(enum_tail(type, name), text)) {
            *ret_value = type->values[i].value;
            return true;
        }
    }
    return false;
}

const char *field_enum_word(arena *memory, const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, value);
    if (!known)
        return arena_printf(memory, "%d", value);
    char *word = arena_strdup(memory, enum_tail(type, known->name));
    for (char *c = word; c && *c; c++)
        *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    return word;
}

bool field_is_well_known(const ProtobufCMessageDescriptor *type, const char *name)
{
    static const char package[] = "google.protobuf.";
    return strncmp(type->name, package, sizeof package - 1) == 0 &&
           strcmp(type->name + sizeof package - 1, name) == 0;
}

/* ".25" as millionths; further digits are passed over. */
static int64_t take_fraction(char **text)
{
    int64_t millionths = 0;
    if (**text != '.' || !isdigit((unsigned char)(*text)[1]))
        return 0;
    int64_t place = 100000;
    for (++*text; isdigit((unsigned char)**text); ++*text, place /= 10)
        millionths += (**text - '0') * place;
    return millionths;
}

static bool duration_parse(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"us", 1},         {"ms", 1000},     {"s", CLOCK_SECOND}, {"m", CLOCK_MINUTE},
                 {"h", CLOCK_HOUR}, {"d", CLOCK_DAY}, {"", CLOCK_SECOND}};
    char *end;
    int64_t whole;
    errno = 0;
    long long amount = strtoll(text, &end, 10);
    if (end == text || errno)
        return false;
    int64_t millionths = take_fraction(&end) * (*text == '-' ? -1 : 1);
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0)
            return !__builtin_mul_overflow((int64_t)amount, units[i].us, &whole) &&
                   !__builtin_add_overflow(whole, millionths * units[i].us / 1000000, ret_us);
    return false;
}

static bool mask_set(arena *memory, ProtobufCMessage *mask, const char *text, error *err)
{
    char *paths = arena_strdup(memory, text);
    if (!paths)
        return out_of_memory(err);
    char *rest = NULL;
    for (char *path = strtok_r(paths, ",", &rest); path; path = strtok_r(NULL, ",", &rest))
        if (!field_set(memory, mask, "paths", path, err))
            return false;
    return true;
}

/* A message typed as one word: a time, a duration, a mask, or a pair of texts. */
static bool message_parse(arena *memory, ProtobufCMessage *message, const char *path, const char *text,
                          error *err)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    int64_t us;
    if (field_is_well_known(type, "Timestamp")) {
        if (!clock_parse(text, &us))
            return error_bad_field(err, path, "\"%s\" is no time like 2026-03-02T09:31:00Z", text);
        *(Google__Protobuf__Timestamp *)message = *wire_timestamp(memory, us);
        return true;
    }
    if (field_is_well_known(type, "Duration")) {
        if (!duration_parse(text, &us))
            return error_bad_field(err, path, "\"%s\" is no duration like 90s, 15m or 72h", text);
        *(Google__Protobuf__Duration *)message = *wire_duration(memory, us);
        return true;
    }
    if (field_is_well_known(type, "FieldMask"))
        return mask_set(memory, message, text, err);
    const char *equals = strchr(text, '=');
    if (type->n_fields != 2 || !equals)
        return error_bad_field(err, path, "\"%s\" should be two words with = between them", text);
    char *first = arena_strndup(memory, text, (size_t)(equals - text));
    return first ? field_set(memory, message, type->fields[0].name, first, err) &&
                       field_set(memory, message, type->fields[1].name, equals + 1, err)
                 : out_of_memory(err);
}

static bool number_parse(const char *path, const char *text, int64_t *ret_value, error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return error_bad_field(err, path, "\"%s\" is no number", text);
    *ret_value = value;
    return true;
}

static bool scalar_parse(arena *memory, const ProtobufCFieldDescriptor *field, const char *text, void *slot,
                         error *err)
{
    int64_t number;
    int value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)slot = arena_strdup(memory, text);
        return *(char **)slot ? true : out_of_memory(err);
    case PROTOBUF_C_TYPE_ENUM:
        if (!enum_parse(field->descriptor, text, &value))
            return error_bad_field(err, field->name, "\"%s\" is not known", text);
        *(int *)slot = value;
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return error_bad_field(err, field->name, "\"%s\" is neither true nor false", text);
        *(protobuf_c_boolean *)slot = strcmp(text, "true") == 0;
        return true;
    case PROTOBUF_C_TYPE_INT64:
        if (!number_parse(field->name, text, &number, err))
            return false;
        *(int64_t *)slot = number;
        return true;
    case PROTOBUF_C_TYPE_INT32:
        if (!number_parse(field->name, text, &number, err))
            return false;
        if (number < INT32_MIN || number > INT32_MAX)
            return error_bad_field(err, field->name, "%s is too large", text);
        *(int32_t *)slot = (int32_t)number;
        return true;
    default:
        return error_bad_field(err, field->name, "cannot be given here");
    }
}

static bool set_here(arena *memory, ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                     const char *text, error *err)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        void *slot = value_slot(memory, message, field);
        return slot ? scalar_parse(memory, field, text, slot, err) : out_of_memory(err);
    }
    ProtobufCMessage *value = field_message_new(memory, field->descriptor);
    if (!value)
        return out_of_memory(err);
    if (!message_parse(memory, value, field->name, text, err))
        return false;
    void *slot = value_slot(memory, message, field);
    if (!slot)
        return out_of_memory(err);
    *(ProtobufCMessage **)slot = value;
    return true;
}

ProtobufCMessage *field_add_message(arena *memory, ProtobufCMessage *message, const char *name, error *err)
{
    const ProtobufCFieldDescriptor *field = field_find(message, name);
    if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        error_bad_field(err, name, "is no message");
        return NULL;
    }
    if (field->label != PROTOBUF_C_LABEL_REPEATED && field_count(message, field))
        return *(ProtobufCMessage **)(uintptr_t)field_at(message, field, 0);
    ProtobufCMessage *added = field_message_new(memory, field->descriptor);
    void *slot = added ? value_slot(memory, message, field) : NULL;
    if (!slot) {
        out_of_memory(err);
        return NULL;
    }
    *(ProtobufCMessage **)slot = added;
    return added;
}

bool field_set(arena *memory, ProtobufCMessage *message, const char *path, const char *text, error *err)
{
    const char *rest;
    char *head = path_head(memory, path, &rest);
    if (!head)
        return out_of_memory(err);
    const ProtobufCFieldDescriptor *field = field_find(message, head);
    if (!field)
        return error_set(err, STATUS_INTERNAL, "", "%s has no field %s", message->descriptor->name, head);
    if (!rest)
        return set_here(memory, message, field, text, err);
    ProtobufCMessage *next = field_add_message(memory, message, head, err);
    return next && field_set(memory, next, rest, text, err);
}
