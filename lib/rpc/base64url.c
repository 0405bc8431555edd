#include "rpc/base64url.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *base64url_encode(arena *memory, const void *data, size_t length)
{
    const unsigned char *from = data;
    char *text = arena_alloc(memory, (length + 2) / 3 * 4 + 1);
    if (!text)
        return NULL;
    char *to = text;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | from[i];
        for (count += 8; count >= 6; count -= 6)
            *to++ = alphabet[bits >> (count - 6) & 63u];
    }
    if (count > 0)
        *to++ = alphabet[bits << (6 - count) & 63u];
    *to = '\0';
    return text;
}

bool base64url_decode(arena *memory, const char *text, unsigned char **ret_data, size_t *ret_length)
{
    size_t length = strlen(text);
    unsigned char *data = arena_alloc(memory, length * 3 / 4 + 1);
    if (!data)
        return false;
    size_t written = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < length; i++) {
        const char *found = strchr(alphabet, text[i]);
        if (!found)
            return false;
        bits = bits << 6 | (uint32_t)(found - alphabet);
        count += 6;
        if (count >= 8) {
            count -= 8;
            data[written++] = (unsigned char)(bits >> count);
        }
    }
    if (count >= 6 || (bits & ((1u << count) - 1)) != 0)
        return false;
    *ret_data = data;
    *ret_length = written;
    return true;
}
