#include "search/search_dictionary.h"

#include "search/search_postings.h"

#include <string.h>

enum { LONG = 255 };

static uint32_t read_number(const unsigned char **at)
{
    uint32_t number = *(*at)++;
    if (number < 0x80)
        return number;
    number &= 0x7f;
    for (unsigned shift = 7; shift < 32; shift += 7) {
        unsigned char byte = *(*at)++;
        number |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return number;
}

const unsigned char *search_dictionary_read(const unsigned char *at, struct search_term *ret_term)
{
    struct search_term *term = ret_term;
    uint32_t length = *at++;
    if (length == LONG) {
        memcpy(&length, at, sizeof length);
        at += sizeof length;
    }
    term->text = (const char *)at;
    term->length = length;
    at += length;
    uint32_t head = read_number(&at);
    term->kind = head % 4;
    term->where = term->count = head / 4;
    switch (term->kind) {
    case SEARCH_TERM_SINGLE:
        term->count = 1;
        term->fields = *at++;
        return at;
    case SEARCH_TERM_LIST:
        term->count = read_number(&at);
        return at;
    case SEARCH_TERM_FEW:
        term->fields = *at++;
        term->packed_size = *at++;
        term->packed = at;
        return at + term->packed_size;
    case SEARCH_TERM_MIXED:
        term->packed_size = *at++;
        term->packed = at;
        return at + term->packed_size + term->count;
    }
    return at;
}

void search_dictionary_unpack(const struct search_term *term, uint32_t *documents, uint8_t *fields)
{
    if (term->kind == SEARCH_TERM_SINGLE) {
        *documents = term->where;
        *fields = term->fields;
        return;
    }
    const unsigned char *at = term->packed;
    for (uint32_t i = 0, document = 0; i < term->count; i++)
        documents[i] = document += read_number(&at);
    if (term->kind == SEARCH_TERM_MIXED)
        memcpy(fields, at, term->count);
    else
        memset(fields, term->fields, term->count);
}

/* Where the entry at `at` ends, when its text is not the one that is looked for. */
static const unsigned char *skip(const unsigned char *at)
{
    uint32_t length = *at;
    if (length == LONG) {
        struct search_term term;
        return search_dictionary_read(at, &term);
    }
    at += 1 + length;
    uint32_t head = read_number(&at);
    switch ((enum search_term_kind)(head % 4)) {
    case SEARCH_TERM_SINGLE:
        return at + 1;
    case SEARCH_TERM_LIST:
        read_number(&at);
        return at;
    case SEARCH_TERM_FEW:
        return at + 2 + at[1];
    case SEARCH_TERM_MIXED:
        return at + 1 + at[0] + head / 4;
    }
    return at;
}

bool search_dictionary_find(const struct search_section *section, uint64_t hash, const char *text,
                            size_t length, struct search_term *ret_term)
{
    uint32_t bucket = section->directory_bits ? (uint32_t)(hash >> (64 - section->directory_bits)) : 0;
    const unsigned char *at = section->terms + section->directory[bucket];
    const unsigned char *end = section->terms + section->directory[bucket + 1];
    unsigned char front = (unsigned char)(length < LONG ? length : LONG);
    for (; at < end; at = skip(at)) {
        if (*at != front)
            continue;
        if (front < LONG && memcmp(at + 1, text, length) != 0)
            continue;
        struct search_term term;
        search_dictionary_read(at, &term);
        if (term.length == length && memcmp(term.text, text, length) == 0) {
            *ret_term = term;
            return true;
        }
    }
    return false;
}

/* --- trust -------------------------------------------------------------------------------------------- */

/* Bytes that are left to be read. */
struct input {
    const unsigned char *at, *end;
};

static bool check_number(struct input *input, uint64_t *ret_number)
{
    enum { BYTES_MAX = 5 };
    *ret_number = 0;
    for (unsigned i = 0; i < BYTES_MAX && input->at < input->end; i++) {
        unsigned char byte = *input->at++;
        *ret_number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return *ret_number <= UINT32_MAX;
    }
    return false;
}

static bool check_bytes(struct input *input, uint64_t count)
{
    if ((uint64_t)(input->end - input->at) < count)
        return false;
    input->at += count;
    return true;
}

static bool check_text(struct input *input)
{
    if (input->at == input->end)
        return false;
    uint32_t length = *input->at++;
    if (length == LONG) {
        const unsigned char *at = input->at;
        if (!check_bytes(input, sizeof length))
            return false;
        memcpy(&length, at, sizeof length);
    }
    return check_bytes(input, length);
}

/* The size in front of them, the documents, and nothing else. */
static bool check_packed(struct input *input, uint64_t count, uint32_t documents)
{
    if (input->at == input->end || count < 2 || count > SEARCH_TERM_FEW_MAX)
        return false;
    unsigned char size = *input->at++;
    struct input packed = {input->at, input->at + size};
    if (!check_bytes(input, size))
        return false;
    uint64_t document = 0, distance;
    for (uint64_t i = 0; i < count; i++) {
        if (!check_number(&packed, &distance) || (i > 0 && distance == 0) || distance >= documents)
            return false;
        document += distance;
    }
    return document < documents && packed.at == packed.end;
}

static bool check_entry(const struct search_section *section, struct input *input)
{
    uint64_t head, count;
    if (!check_text(input) || !check_number(input, &head))
        return false;
    switch ((enum search_term_kind)(head % 4)) {
    case SEARCH_TERM_SINGLE:
        return head / 4 < section->documents && check_bytes(input, 1);
    case SEARCH_TERM_LIST:
        return check_number(input, &count) &&
               search_postings_check(section, (uint32_t)(head / 4), (uint32_t)count);
    case SEARCH_TERM_FEW:
        return check_bytes(input, 1) && check_packed(input, head / 4, section->documents);
    case SEARCH_TERM_MIXED:
        return check_packed(input, head / 4, section->documents) && check_bytes(input, head / 4);
    }
    return false;
}

bool search_dictionary_check(const struct search_section *section)
{
    uint32_t buckets = UINT32_C(1) << section->directory_bits, count = 0;
    if (section->directory[0] != 0 || section->directory[buckets] != section->terms_size)
        return false;
    for (uint32_t i = 0; i < buckets; i++) {
        if (section->directory[i] > section->directory[i + 1] ||
            section->directory[i + 1] > section->terms_size)
            return false;
        struct input input = {section->terms + section->directory[i],
                              section->terms + section->directory[i + 1]};
        for (; input.at < input.end; count++)
            if (!check_entry(section, &input))
                return false;
    }
    return count == section->term_count;
}
