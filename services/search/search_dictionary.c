#include "search/search_dictionary.h"

#include "search/search_postings.h"

#include <string.h>

#define USUAL_FIELDS SEARCH_FIELD_BIT(SEARCH_FIELD_MESSAGE)

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

static uint32_t read_length(unsigned char head, const unsigned char **at)
{
    uint32_t length = head >> SEARCH_TERM_KIND_BITS;
    return length < SEARCH_TERM_LONG ? length : read_number(at);
}

static enum search_term_kind kind_of(unsigned char head)
{
    return head % (1 << SEARCH_TERM_KIND_BITS);
}

/* Each document is a number, whose last byte is below 128. */
static uint32_t count_packed(const unsigned char *packed, uint32_t size)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < size; i++)
        count += packed[i] < 0x80;
    return count;
}

/* What follows the text. */
static const unsigned char *read_documents(const unsigned char *at, struct search_term *term)
{
    term->fields = term->kind % 2 ? *at++ : USUAL_FIELDS;
    switch (term->kind) {
    case SEARCH_TERM_SINGLE:
    case SEARCH_TERM_SINGLE_ELSEWHERE:
        term->where = read_number(&at);
        term->count = 1;
        return at;
    case SEARCH_TERM_LIST:
        term->where = read_number(&at);
        term->count = read_number(&at);
        return at;
    case SEARCH_TERM_FEW:
    case SEARCH_TERM_FEW_ELSEWHERE:
    case SEARCH_TERM_MIXED:
        break;
    }
    term->packed_size = *at++;
    term->packed = at;
    term->count = count_packed(at, term->packed_size);
    return at + term->packed_size + (term->kind == SEARCH_TERM_MIXED ? term->count : 0);
}

const unsigned char *search_dictionary_head(const unsigned char *at, enum search_term_kind *ret_kind,
                                            uint32_t *ret_length)
{
    unsigned char head = *at++;
    *ret_kind = kind_of(head);
    *ret_length = read_length(head, &at);
    return at;
}

const unsigned char *search_dictionary_read(const unsigned char *at, struct search_term *ret_term)
{
    at = search_dictionary_head(at, &ret_term->kind, &ret_term->spelled_length);
    ret_term->spelled = at;
    return read_documents(at + ret_term->spelled_length, ret_term);
}

bool search_dictionary_text(const struct search_section *section, const struct search_term *term, bytes *room,
                            const char **ret_text, size_t *ret_length)
{
    *ret_text = (const char *)term->spelled;
    *ret_length = term->spelled_length;
    if (!section->spelling)
        return true;
    bytes_clear(room);
    if (!bytes_reserve(room, term->spelled_length * (size_t)2 + 1))
        return false;
    char *text = (char *)room->data;
    *ret_length = search_spelling_read(section->spelling, term->spelled, term->spelled_length, text);
    *ret_text = text;
    return true;
}

void search_dictionary_unpack(const struct search_term *term, uint32_t *documents, uint8_t *fields)
{
    if (term->kind < SEARCH_TERM_FEW) {
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

static const unsigned char *skip_number(const unsigned char *at)
{
    while (*at++ >= 0x80)
        ;
    return at;
}

/* Where the entry ends, whose text ends at `at`. */
static const unsigned char *skip(enum search_term_kind kind, const unsigned char *at)
{
    at += kind % 2;
    if (kind < SEARCH_TERM_FEW)
        return skip_number(at);
    if (kind < SEARCH_TERM_MIXED)
        return at + 1 + *at;
    if (kind == SEARCH_TERM_MIXED)
        return at + 1 + *at + count_packed(at + 1, *at);
    return skip_number(skip_number(at));
}

static bool is_text(const struct search_section *section, const unsigned char *at, uint32_t spelled_length,
                    const char *text, size_t length)
{
    if (section->spelling)
        return search_spelling_is(section->spelling, at, spelled_length, text, length);
    return spelled_length == length && memcmp(at, text, length) == 0;
}

bool search_dictionary_find(const struct search_section *section, uint64_t hash, const char *text,
                            size_t length, struct search_term *ret_term)
{
    uint32_t bucket = section->directory_bits ? (uint32_t)(hash >> (64 - section->directory_bits)) : 0;
    const unsigned char *at = section->terms + search_section_bucket(section, bucket);
    const unsigned char *end = section->terms + search_section_bucket(section, bucket + 1);
    while (at < end) {
        unsigned char head = *at++;
        uint32_t spelled_length = read_length(head, &at);
        if (is_text(section, at, spelled_length, text, length)) {
            *ret_term =
                (struct search_term){.spelled = at, .spelled_length = spelled_length, .kind = kind_of(head)};
            read_documents(at + spelled_length, ret_term);
            return true;
        }
        at = skip(kind_of(head), at + spelled_length);
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

static bool check_text(struct input *input, enum search_term_kind *ret_kind)
{
    if (input->at == input->end)
        return false;
    unsigned char head = *input->at++;
    uint64_t length = head >> SEARCH_TERM_KIND_BITS;
    *ret_kind = kind_of(head);
    return (length < SEARCH_TERM_LONG || check_number(input, &length)) && check_bytes(input, length);
}

/* The size in front of them, the documents, and nothing else. */
static bool check_packed(struct input *input, uint32_t documents, uint32_t *ret_count)
{
    if (input->at == input->end)
        return false;
    unsigned char size = *input->at++;
    struct input packed = {input->at, input->at + size};
    if (!check_bytes(input, size))
        return false;
    uint32_t count = 0;
    for (uint64_t document = 0, distance; packed.at < packed.end; count++) {
        if (!check_number(&packed, &distance) || (count > 0 && distance == 0))
            return false;
        document += distance;
        if (document >= documents)
            return false;
    }
    *ret_count = count;
    return count >= 2 && count <= SEARCH_TERM_FEW_MAX;
}

static bool check_entry(const struct search_section *section, struct input *input)
{
    uint64_t where, count;
    uint32_t packed;
    enum search_term_kind kind;
    if (!check_text(input, &kind))
        return false;
    if (kind % 2 && !check_bytes(input, 1))
        return false;
    switch (kind) {
    case SEARCH_TERM_SINGLE:
    case SEARCH_TERM_SINGLE_ELSEWHERE:
        return check_number(input, &where) && where < section->documents;
    case SEARCH_TERM_FEW:
    case SEARCH_TERM_FEW_ELSEWHERE:
        return check_packed(input, section->documents, &packed);
    case SEARCH_TERM_MIXED:
        return check_packed(input, section->documents, &packed) && check_bytes(input, packed);
    case SEARCH_TERM_LIST:
        return check_number(input, &where) && check_number(input, &count) &&
               search_postings_check(section, (uint32_t)where, (uint32_t)count);
    }
    return false;
}

bool search_dictionary_check(const struct search_section *section)
{
    uint32_t buckets = UINT32_C(1) << section->directory_bits, count = 0;
    if (search_section_bucket(section, 0) != 0 ||
        search_section_bucket(section, buckets) != section->terms_size)
        return false;
    for (uint32_t i = 0; i < buckets; i++) {
        uint32_t from = search_section_bucket(section, i), to = search_section_bucket(section, i + 1);
        if (from > to || to > section->terms_size)
            return false;
        struct input input = {section->terms + from, section->terms + to};
        for (; input.at < input.end; count++)
            if (!check_entry(section, &input))
                return false;
    }
    return count == section->term_count;
}
