#include "rpc/wire.h"

#include "rpc/utf8.h"
#include "rpc/wire_scan.h"

#include <string.h>

/* --- unpacking --- */

struct unpack_memory {
    arena *memory;
    bool full;
};

static void *unpack_alloc(void *data, size_t size)
{
    struct unpack_memory *m = data;
    void *p = arena_alloc(m->memory, size);
    if (!p)
        m->full = true;
    return p;
}

/* The arena gives everything back at once. */
static void unpack_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

bool wire_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t length, arena *memory,
                 ProtobufCMessage **ret_message, error *err)
{
    return wire_unpack_any_text(type, data, length, memory, ret_message, NULL, err);
}

bool wire_unpack_any_text(const ProtobufCMessageDescriptor *type, const void *data, size_t length,
                          arena *memory, ProtobufCMessage **ret_message, error *bad_text, error *err)
{
    if (!wire_scan(type, data, length, bad_text, err))
        return false;
    struct unpack_memory m = {.memory = memory};
    ProtobufCAllocator allocator = {.alloc = unpack_alloc, .free = unpack_free, .allocator_data = &m};
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, length, data);
    if (!message && m.full)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the message takes too much memory");
    if (!message)
        return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_MESSAGE", "not a valid %s", type->name);
    *ret_message = message;
    return true;
}

/* --- text of a message that is about to be sent --- */

static bool text_is_good(const char *text)
{
    return !text || utf8_is_text(text, strlen(text));
}

static bool value_text_is_good(const ProtobufCFieldDescriptor *field, const void *value, error *err)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *child = *(const ProtobufCMessage *const *)value;
        return !child || wire_check_text(child, err);
    }
    if (!text_is_good(*(const char *const *)value))
        return error_bad_field(err, field->name, "is not valid UTF-8");
    return true;
}

/* How many values of `field` the message holds; oneof members that are not chosen have none. */
static size_t value_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const unsigned char *base = (const unsigned char *)message;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(base + field->quantifier_offset);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    return 1;
}

bool wire_check_text(const ProtobufCMessage *message, error *err)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        size_t count = value_count(message, field);
        if (count == 0)
            continue;
        const void *member = (const unsigned char *)message + field->offset;
        /* Both kinds are pointers, so a repeated field is an array of pointers. */
        const void *const *values = member;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            values = *(const void *const *const *)member;
        for (size_t k = 0; k < count; k++)
            if (!value_text_is_good(field, &values[k], err))
                return false;
    }
    return true;
}

/* --- times --- */

/* 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, as timestamp.proto says. */
#define TIMESTAMP_SECONDS_MIN INT64_C(-62135596800)
#define TIMESTAMP_SECONDS_MAX INT64_C(253402300799)
/* 10,000 years, as duration.proto says. */
#define DURATION_SECONDS_MAX INT64_C(315576000000)
#define NANOS_MAX 999999999

Google__Protobuf__Timestamp *wire_timestamp(arena *memory, int64_t time_us)
{
    if (time_us == 0)
        return NULL;
    Google__Protobuf__Timestamp *time = arena_alloc(memory, sizeof *time);
    if (!time)
        return NULL;
    google__protobuf__timestamp__init(time);
    int64_t rest = time_us % 1000000;
    if (rest < 0)
        rest += 1000000;
    time->seconds = (time_us - rest) / 1000000;
    time->nanos = (int32_t)(rest * 1000);
    return time;
}

Google__Protobuf__Duration *wire_duration(arena *memory, int64_t duration_us)
{
    Google__Protobuf__Duration *duration = arena_alloc(memory, sizeof *duration);
    if (!duration)
        return NULL;
    google__protobuf__duration__init(duration);
    duration->seconds = duration_us / 1000000;
    duration->nanos = (int32_t)(duration_us % 1000000 * 1000);
    return duration;
}

bool wire_time_us(const Google__Protobuf__Timestamp *time, int64_t *ret_time_us)
{
    if (!time) {
        *ret_time_us = 0;
        return true;
    }
    if (time->seconds < TIMESTAMP_SECONDS_MIN || time->seconds > TIMESTAMP_SECONDS_MAX || time->nanos < 0 ||
        time->nanos > NANOS_MAX)
        return false;
    *ret_time_us = time->seconds * 1000000 + time->nanos / 1000;
    return true;
}

bool wire_bound_us(const Google__Protobuf__Timestamp *bound, int64_t *ret_bound_us)
{
    int64_t time_us;
    if (!wire_time_us(bound, &time_us))
        return false;
    if (bound && bound->nanos % 1000 != 0)
        time_us++;
    *ret_bound_us = bound && time_us == 0 ? 1 : time_us;
    return true;
}

bool wire_duration_us(const Google__Protobuf__Duration *duration, int64_t *ret_duration_us)
{
    if (!duration) {
        *ret_duration_us = 0;
        return true;
    }
    if (duration->seconds < -DURATION_SECONDS_MAX || duration->seconds > DURATION_SECONDS_MAX ||
        duration->nanos < -NANOS_MAX || duration->nanos > NANOS_MAX)
        return false;
    if ((duration->seconds > 0 && duration->nanos < 0) || (duration->seconds < 0 && duration->nanos > 0))
        return false;
    /* Rounded down: what is below 0 stays below it. */
    int64_t finer_us = duration->nanos >= 0 ? duration->nanos / 1000 : -((999 - duration->nanos) / 1000);
    *ret_duration_us = duration->seconds * 1000000 + finer_us;
    return true;
}

/* --- names --- */

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_id(const char *text, size_t length)
{
    if (length == 0 || length > 63 || !is_lower_or_digit(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_lower_or_digit(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    return true;
}

bool wire_id_valid(const char *id)
{
    return is_id(id, strlen(id));
}

static bool is_segment(const char *text, size_t length)
{
    return (length == 1 && text[0] == '-') || is_id(text, length);
}

bool wire_name_parse(arena *memory, const char *pattern, const char *name, const char **parts,
                     unsigned part_count)
{
    unsigned found = 0;
    const char *p = pattern;
    const char *n = name;
    while (*p) {
        if (p[0] != '{' || p[1] != '}') {
            if (*p++ != *n++)
                return false;
            continue;
        }
        size_t length = strcspn(n, "/");
        if (!is_segment(n, length) || found >= part_count)
            return false;
        parts[found] = arena_strndup(memory, n, length);
        if (!parts[found++])
            return false;
        n += length;
        p += 2;
    }
    return *n == '\0' && found == part_count;
}
