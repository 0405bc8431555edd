#include "cli/json_read.h"

#include "cli/field.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

enum { DEPTH_MAX = 8 };

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
}

/* "update_time" of updateTime. */
static char *contract_name(arena *memory, const char *key)
{
    char *name = arena_alloc(memory, 2 * strlen(key) + 1);
    char *to = name;
    for (; name && *key; key++) {
        if (isupper((unsigned char)*key))
            *to++ = '_';
        *to++ = (char)tolower((unsigned char)*key);
    }
    if (name)
        *to = '\0';
    return name;
}

static bool read_object(arena *memory, ProtobufCMessage *message, const json_t *object, int depth,
                        error *err);

/* One value of the field, as a word of its own or as a message. */
static bool read_value(arena *memory, ProtobufCMessage *message, const char *name, const json_t *value,
                       int depth, error *err)
{
    if (json_is_object(value)) {
        ProtobufCMessage *inner = field_add_message(memory, message, name, err);
        return inner && read_object(memory, inner, value, depth + 1, err);
    }
    if (json_is_string(value))
        return field_set(memory, message, name, json_string_value(value), err);
    if (json_is_boolean(value))
        return field_set(memory, message, name, json_is_true(value) ? "true" : "false", err);
    if (!json_is_integer(value))
        return error_bad_field(err, name, "has a value of a kind that it cannot have");
    char *number = arena_printf(memory, "%lld", (long long)json_integer_value(value));
    return number ? field_set(memory, message, name, number, err) : no_memory(err);
}

static bool read_member(arena *memory, ProtobufCMessage *message, const char *key, const json_t *value,
                        int depth, error *err)
{
    const char *name = contract_name(memory, key);
    const ProtobufCFieldDescriptor *field = name ? field_find(message, name) : NULL;
    if (!name)
        return no_memory(err);
    if (!field)
        return error_bad_field(err, key, "is no field of %s", message->descriptor->short_name);
    if (json_is_null(value))
        return true;
    if ((field->label == PROTOBUF_C_LABEL_REPEATED) != json_is_array(value))
        return error_bad_field(err, key, json_is_array(value) ? "cannot be a list" : "must be a list");
    if (!json_is_array(value))
        return read_value(memory, message, name, value, depth, err);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!read_value(memory, message, name, json_array_get(value, i), depth, err))
            return false;
    return true;
}

static bool read_object(arena *memory, ProtobufCMessage *message, const json_t *object, int depth, error *err)
{
    if (depth > DEPTH_MAX)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "the file is nested too deep");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key,
                        value) if (!read_member(memory, message, key, value, depth, err)) return false;
    return true;
}

/* What only the service sets, or what names the resource. */
static bool can_change(const char *name)
{
    static const char *const others[] = {"name", "etag", "create_time", "update_time"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    return true;
}

static bool fill_mask(arena *memory, ProtobufCMessage *request, const json_t *object, error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *name = contract_name(memory, key);
        if (!name)
            return no_memory(err);
        if (can_change(name) && !field_set(memory, request, "update_mask.paths", name, err))
            return false;
    }
    return true;
}

bool json_read_file(arena *memory, ProtobufCMessage *request, const char *field, bool masked,
                    const char *path, error *err)
{
    json_error_t wrong;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &wrong);
    if (!root)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "%s, line %d: %s", path, wrong.line, wrong.text);
    const json_t *object = json_object_get(root, field);
    if (!object)
        object = root;
    bool ok = json_is_object(object) ||
              error_set(err, STATUS_INVALID_ARGUMENT, "", "%s holds no JSON object", path);
    ProtobufCMessage *message = ok ? field_add_message(memory, request, field, err) : NULL;
    ok = message && read_object(memory, message, object, 0, err) &&
         (!masked || fill_mask(memory, request, object, err));
    json_decref(root);
    return ok;
}
