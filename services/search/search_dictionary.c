#include "search/search_dictionary.h"

#include <string.h>

enum { LONG = 255 };

const char *search_dictionary_text(const struct search_section *section, const struct search_term *term,
                                   size_t *ret_length)
{
    const char *text = section->texts + term->text;
    uint32_t length = (unsigned char)*text++;
    if (length == LONG) {
        memcpy(&length, text, sizeof length);
        text += sizeof length;
    }
    *ret_length = length;
    return text;
}

bool search_dictionary_check_text(const struct search_section *section, uint32_t text)
{
    if (text >= section->texts_size)
        return false;
    size_t room = section->texts_size - text - 1;
    uint32_t length = (unsigned char)section->texts[text];
    if (length == LONG) {
        if (room < sizeof length)
            return false;
        memcpy(&length, section->texts + text + 1, sizeof length);
        room -= sizeof length;
    }
    return length <= room;
}

const struct search_term *search_dictionary_find(const struct search_section *section, uint64_t hash,
                                                 const char *text, size_t length)
{
    uint32_t bucket = section->directory_bits ? (uint32_t)(hash >> (64 - section->directory_bits)) : 0;
    const struct search_term *term = section->terms + section->directory[bucket];
    const struct search_term *end = section->terms + section->directory[bucket + 1];
    for (; term < end; term++) {
        if (term->tag != (uint32_t)hash)
            continue;
        size_t filed_length;
        const char *filed = search_dictionary_text(section, term, &filed_length);
        if (filed_length == length && memcmp(filed, text, length) == 0)
            return term;
    }
    return NULL;
}
