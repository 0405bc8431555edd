#ifndef CASEWORK_BASE_BYTES_H
#define CASEWORK_BASE_BYTES_H

/*
 * A growing byte buffer with a cap. Append functions return false, and set `failed`, beyond the cap or out of
 * memory; later appends then do nothing, so that a writer may check once at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    unsigned char *data; /* owned; NUL follows the last byte whenever data is set */
    size_t length;
    size_t size;
    size_t cap;
    bool failed;
} bytes;

void bytes_init(bytes *b, size_t cap);
void bytes_release(bytes *b); /* takes a zeroed struct too */
void bytes_clear(bytes *b);   /* keeps the memory, forgets the failure */
bool bytes_reserve(bytes *b, size_t more);
bool bytes_append(bytes *b, const void *data, size_t length);
bool bytes_append_text(bytes *b, const char *text);
bool bytes_append_char(bytes *b, char c);
bool bytes_printf(bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `text` as a JSON string with its quotes (RFC 8259). */
bool bytes_append_json(bytes *b, const char *text);

/* The text so far, "" when there is none; the buffer keeps owning it. */
const char *bytes_text(const bytes *b);

#endif
