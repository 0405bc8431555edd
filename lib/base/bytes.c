#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_init(bytes *b, size_t cap)
{
    *b = (bytes){.cap = cap};
}

void bytes_release(bytes *b)
{
    free(b->data);
    *b = (bytes){.cap = b->cap};
}

void bytes_clear(bytes *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

bool bytes_reserve(bytes *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->cap || b->length > b->cap - more) {
        b->failed = true;
        return false;
    }
    size_t needed = b->length + more + 1;
    if (needed <= b->size)
        return true;
    size_t grown = b->size ? b->size * 2 : 256;
    if (grown < needed)
        grown = needed;
    unsigned char *data = realloc(b->data, grown);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->size = grown;
    return true;
}

bool bytes_append(bytes *b, const void *data, size_t length)
{
    if (!bytes_reserve(b, length))
        return false;
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
    return true;
}

bool bytes_append_text(bytes *b, const char *text)
{
    return bytes_append(b, text, strlen(text));
}

bool bytes_append_char(bytes *b, char c)
{
    return bytes_append(b, &c, 1);
}

bool bytes_printf(bytes *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !bytes_reserve(b, (size_t)length))
        return false;
    va_start(args, format);
    vsnprintf((char *)b->data + b->length, (size_t)length + 1, format, args);
    va_end(args);
    b->length += (size_t)length;
    return true;
}

bool bytes_append_json(bytes *b, const char *text)
{
    bytes_append_char(b, '"');
    const char *plain = text;
    const char *at = text;
    for (; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        bytes_append(b, plain, (size_t)(at - plain));
        plain = at + 1;
        if (c == '"' || c == '\\')
            bytes_printf(b, "\\%c", c);
        else if (c == '\n')
            bytes_append_text(b, "\\n");
        else if (c == '\t')
            bytes_append_text(b, "\\t");
        else
            bytes_printf(b, "\\u%04x", c);
    }
    bytes_append(b, plain, (size_t)(at - plain));
    return bytes_append_char(b, '"');
}

const char *bytes_text(const bytes *b)
{
    return b->data ? (const char *)b->data : "";
}
