#ifndef CASEWORK_RPC_WIRE_WRITER_H
#define CASEWORK_RPC_WIRE_WRITER_H

/*
 * Writes a message's wire form without making the message first: for answers of which so many are given that
 * protobuf-c's structs and its two walks over them are what a call costs. From the end to the start, fields
 * in reverse order, so that the length of a nested message is known when it is written in front of it
 * (https://protobuf.dev/programming-guides/encoding). Fields with their default value are left out.
 *
 * The caller has made sure of the room: WIRE_FIELD_MAX for each field and its texts.
 */

#include <stdint.h>
#include <string.h>

enum {
    WIRE_FIELD_MAX = 20, /* bytes of a field beside its text: tag, and a number or length */
    WIRE_TYPE_VARINT = 0,
    WIRE_TYPE_LENGTH = 2
};

struct wire_writer {
    unsigned char *at; /* what has been written begins here */
};

static inline void wire_put_varint(struct wire_writer *writer, uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1), bytes = (bits + 6) / 7;
    unsigned char *at = writer->at -= bytes;
    for (; bytes > 1; bytes--, value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at = (unsigned char)value;
}

static inline void wire_put_tag(struct wire_writer *writer, unsigned field, unsigned type)
{
    wire_put_varint(writer, field << 3 | type);
}

/* int32, int64, bool and enums. */
static inline void wire_put_number(struct wire_writer *writer, unsigned field, int64_t value)
{
    if (value == 0)
        return;
    wire_put_varint(writer, (uint64_t)value);
    wire_put_tag(writer, field, WIRE_TYPE_VARINT);
}

static inline void wire_put_bytes(struct wire_writer *writer, const void *data, size_t length)
{
    writer->at -= length;
    memcpy(writer->at, data, length);
}

/* A nested message, or a text of several parts, that goes up to `end`: what `at` was before it. */
static inline void wire_put_nested(struct wire_writer *writer, unsigned field, const unsigned char *end)
{
    wire_put_varint(writer, (uint64_t)(end - writer->at));
    wire_put_tag(writer, field, WIRE_TYPE_LENGTH);
}

/* One of a repeated field: empty ones count. */
static inline void wire_put_item(struct wire_writer *writer, unsigned field, const char *text)
{
    const unsigned char *end = writer->at;
    wire_put_bytes(writer, text, strlen(text));
    wire_put_nested(writer, field, end);
}

static inline void wire_put_text(struct wire_writer *writer, unsigned field, const char *text)
{
    if (*text)
        wire_put_item(writer, field, text);
}

/* Digits of a number that is not negative. */
static inline void wire_put_digits(struct wire_writer *writer, uint64_t value)
{
    do
        *--writer->at = (unsigned char)('0' + value % 10);
    while (value /= 10);
}

#endif
