#include "rpc/wire_scan.h"

#include "rpc/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

/* One message being looked through; `outer` gives the field's path when something is wrong. */
struct scan {
    const struct scan *outer;
    const ProtobufCFieldDescriptor *field; /* the one being looked at */
    const uint8_t *at, *end;
    unsigned depth;
    error *text; /* where bad text is told while the scan goes on; NULL: it ends the scan */
};

static bool bad_message(const ProtobufCMessageDescriptor *type, error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_MESSAGE", "not a valid %s", type->name);
}

static size_t write_path(const struct scan *s, char *path, size_t size)
{
    size_t length = 0;
    if (s->outer) {
        length = write_path(s->outer, path, size);
        if (length + 1 < size)
            path[length++] = '.';
    }
    int more = snprintf(path + length, size - length, "%s", s->field->name);
    length += more > 0 ? (size_t)more : 0;
    return length < size ? length : size - 1;
}

static bool bad_text(const struct scan *s, error *err)
{
    char path[96];
    if (s->text && s->text->code != STATUS_OK)
        return true;
    write_path(s, path, sizeof path);
    error_bad_field(s->text ? s->text : err, path, "is not valid UTF-8 text, or holds NUL");
    return s->text != NULL;
}

static bool read_varint(struct scan *s, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && s->at < s->end; shift += 7) {
        uint8_t byte = *s->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct scan *s, uint64_t length)
{
    if (length > (uint64_t)(s->end - s->at))
        return false;
    s->at += length;
    return true;
}

static bool scan_message(const struct scan *outer, const ProtobufCMessageDescriptor *type,
                         const uint8_t *data, size_t length, error *text, error *err);

/* The content of a length-delimited field: text or a message is looked at, anything else is passed over. */
static bool scan_content(struct scan *s, uint64_t length, error *err)
{
    const uint8_t *data = s->at;
    if (!s->field || !skip(s, length))
        return s->field == NULL && skip(s, length);
    if (s->field->type == PROTOBUF_C_TYPE_STRING)
        return utf8_is_text(data, (size_t)length) || bad_text(s, err);
    if (s->field->type == PROTOBUF_C_TYPE_MESSAGE)
        return scan_message(s, s->field->descriptor, data, (size_t)length, s->text, err);
    return true;
}

static bool scan_field(struct scan *s, const ProtobufCMessageDescriptor *type, error *err)
{
    uint64_t tag, value;
    if (!read_varint(s, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    s->field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(s, &value);
    case WIRE_64BIT:
        return skip(s, 8);
    case WIRE_32BIT:
        return skip(s, 4);
    case WIRE_LENGTH:
        return read_varint(s, &value) && scan_content(s, value, err);
    default:
        return false; /* groups are not part of proto3 */
    }
}

static bool scan_message(const struct scan *outer, const ProtobufCMessageDescriptor *type,
                         const uint8_t *data, size_t length, error *text, error *err)
{
    struct scan s = {.outer = outer,
                     .at = data,
                     .end = data + length,
                     .depth = outer ? outer->depth + 1 : 0,
                     .text = text};
    if (s.depth > WIRE_DEPTH_MAX)
        return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_MESSAGE", "messages are nested too deeply");
    while (s.at < s.end)
        if (!scan_field(&s, type, err))
            return false;
    return true;
}

bool wire_scan(const ProtobufCMessageDescriptor *type, const void *data, size_t length, error *text,
               error *err)
{
    error found;     /* large: only its code is set beforehand */
    if (length == 0) /* then `data` may be NULL */
        return true;
    found.code = STATUS_OK;
    if (scan_message(NULL, type, data, length, text, &found))
        return true;
    if (found.code == STATUS_OK)
        return bad_message(type, err);
    if (err)
        *err = found;
    return false;
}
