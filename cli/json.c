#include "cli/print.h"

#include "base/clock.h"
#include "cli/field.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *message_json(const ProtobufCMessage *message);

static json_t *duration_json(const Google__Protobuf__Duration *d)
{
    bool negative = d->seconds < 0 || d->nanos < 0;
    return json_sprintf("%s%lld.%09ds", negative ? "-" : "", llabs((long long)d->seconds), abs(d->nanos));
}

static json_t *time_json(const Google__Protobuf__Timestamp *t)
{
    char text[CLOCK_TEXT_SIZE];
    return json_string(clock_format(t->seconds * CLOCK_SECOND + t->nanos / 1000, text));
}

/* 64-bit numbers are strings, as the JSON mapping of proto3 has them: not every reader keeps all their
 * digits. */
static json_t *value_json(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_INT32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
        return json_sprintf("%lld", (long long)*(const int64_t *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)at);
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *v =
            protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);
        return v ? json_string(v->name) : json_integer(*(const int *)at);
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_json(*(ProtobufCMessage *const *)at);
    default:
        return json_null();
    }
}

static void camel(const char *name, char *to, size_t size)
{
    bool upper = false;
    size_t length = 0;
    for (; *name && length + 1 < size; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        to[length++] = upper ? (char)toupper((unsigned char)*name) : *name;
        upper = false;
    }
    to[length] = '\0';
}

static bool is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t length = strlen(type->short_name);
    return type->n_fields == 2 && length > 5 && strcmp(type->short_name + length - 5, "Entry") == 0 &&
           strcmp(type->fields[0].name, "key") == 0;
}

static json_t *map_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    json_t *object = json_object();
    for (size_t i = 0; i < field_count(message, field); i++) {
        const ProtobufCMessage *entry = *(ProtobufCMessage *const *)field_at(message, field, i);
        const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
        json_object_set_new(object, *(char *const *)field_at(entry, &fields[0], 0),
                            value_json(&fields[1], field_at(entry, &fields[1], 0)));
    }
    return object;
}

static json_t *list_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    json_t *list = json_array();
    for (size_t i = 0; i < field_count(message, field); i++)
        json_array_append_new(list, value_json(field, field_at(message, field, i)));
    return list;
}

static json_t *message_json(const ProtobufCMessage *message)
{
    if (field_is_well_known(message->descriptor, "Timestamp"))
        return time_json((const Google__Protobuf__Timestamp *)message);
    if (field_is_well_known(message->descriptor, "Duration"))
        return duration_json((const Google__Protobuf__Duration *)message);
    json_t *object = json_object();
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        char name[64];
        camel(field->name, name, sizeof name);
        if (is_map(field))
            json_object_set_new(object, name, map_json(message, field));
        else if (field->label == PROTOBUF_C_LABEL_REPEATED)
            json_object_set_new(object, name, list_json(message, field));
        else if (field_count(message, field))
            json_object_set_new(object, name, value_json(field, field_at(message, field, 0)));
    }
    return object;
}

bool print_json(FILE *to, const ProtobufCMessage *message)
{
    json_t *object = message_json(message);
    bool written = object && json_dumpf(object, to, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0;
    json_decref(object);
    return written && fputc('\n', to) != EOF;
}
