#include "text/fold.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

static bool is_ascii(const char *text, size_t length)
{
    unsigned char seen = 0;
    for (size_t i = 0; i < length; i++)
        seen |= (unsigned char)text[i];
    return seen < 0x80;
}

static char lower_ascii(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool text_fold_append_plain(bytes *out, const char *text, size_t length)
{
    if (length == 0)
        return !out->failed;
    size_t folded_length = 0;
    uint8_t *folded = u8_casefold((const uint8_t *)text, length, NULL, UNINORM_NFD, NULL, &folded_length);
    if (!folded) {
        out->failed = true;
        return false;
    }
    bool done = bytes_append(out, folded, folded_length);
    free(folded);
    return done;
}

bool text_fold_append(bytes *out, const char *text, size_t length)
{
    if (!is_ascii(text, length))
        return text_fold_append_plain(out, text, length);
    size_t start = out->length;
    if (!bytes_append(out, text, length))
        return false;
    for (size_t i = start; i < out->length; i++)
        out->data[i] = (unsigned char)lower_ascii((char)out->data[i]);
    return true;
}

char *text_fold(arena *memory, const char *text)
{
    size_t length = strlen(text);
    if (is_ascii(text, length)) {
        char *copy = arena_strndup(memory, text, length);
        for (char *c = copy; c && *c; c++)
            *c = lower_ascii(*c);
        return copy;
    }
    bytes folded;
    bytes_init(&folded, SIZE_MAX / 2);
    char *copy = NULL;
    if (text_fold_append_plain(&folded, text, length))
        copy = arena_strndup(memory, bytes_text(&folded), folded.length);
    bytes_release(&folded);
    return copy;
}
