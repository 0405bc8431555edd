#include "search/search_postings.h"

#include "search/search_packed.h"

#include <string.h>

/* Halves without a branch: which half it is cannot be foreseen. */
uint32_t search_lower_bound(const uint32_t *values, uint32_t from, uint32_t to, uint32_t value)
{
    uint32_t count = to - from;
    for (; count > 1; count -= count / 2)
        from += values[from + count / 2 - 1] < value ? count / 2 : 0;
    return from + (count == 1 && values[from] < value);
}

uint32_t search_lower_bound_narrow(const uint16_t *values, uint32_t from, uint32_t to, uint32_t value)
{
    uint32_t count = to - from;
    for (; count > 1; count -= count / 2)
        from += values[from + count / 2 - 1] < value ? count / 2 : 0;
    return from + (count == 1 && values[from] < value);
}

static const struct search_list_header *list_of(const struct search_section *section,
                                                const struct search_term *term)
{
    return (const struct search_list_header *)(section->lists + (size_t)term->where * 8);
}

/* A list that is not packed. */
static void place(const struct search_section *section, const struct search_term *term,
                  struct search_postings *ret_postings)
{
    struct search_postings *postings = ret_postings;
    const struct search_list_header *header = list_of(section, term);
    const void *behind = header + 1;
    *postings = (struct search_postings){.count = term->count,
                                         .section_documents = section->documents,
                                         .fields = header->fields,
                                         .exception_count = header->exceptions};
    if (header->kind == SEARCH_LIST_PLAIN) {
        postings->documents = behind;
        postings->exceptions = postings->documents + term->count;
    } else {
        postings->base = (const unsigned char *)header;
        postings->chunks = behind;
        postings->chunk_count = header->chunks;
        postings->exceptions = (const uint32_t *)(postings->chunks + header->chunks);
    }
    postings->exception_fields = (const uint8_t *)(postings->exceptions + header->exceptions);
}

/* Where the exceptions of a packed list are. */
static const uint8_t *packed_exceptions(const struct search_section *section, const struct search_term *term)
{
    const uint64_t *words = (const uint64_t *)(list_of(section, term) + 1);
    return (const uint8_t *)(words + search_packed_words(section->documents, term->count));
}

static bool read_packed(const struct search_section *section, const struct search_term *term, arena *memory,
                        struct search_postings *ret_postings)
{
    const struct search_list_header *list = list_of(section, term);
    const uint8_t *indices = packed_exceptions(section, term);
    uint32_t *documents = arena_alloc(memory, (term->count + (size_t)list->exceptions) * sizeof *documents);
    if (!documents)
        return false;
    uint32_t *exceptions = documents + term->count;
    search_packed_read((const uint64_t *)(list + 1), section->documents, documents, term->count);
    for (uint32_t i = 0; i < list->exceptions; i++)
        exceptions[i] = documents[indices[i]];
    *ret_postings = (struct search_postings){.count = term->count,
                                             .section_documents = section->documents,
                                             .fields = list->fields,
                                             .documents = documents,
                                             .exception_count = list->exceptions,
                                             .exceptions = exceptions,
                                             .exception_fields = indices + list->exceptions};
    return true;
}

bool search_postings_read(const struct search_section *section, const struct search_term *term, arena *memory,
                          struct search_postings *ret_postings)
{
    if (term->kind == SEARCH_TERM_LIST) {
        if (list_of(section, term)->kind == SEARCH_LIST_PACKED)
            return read_packed(section, term, memory, ret_postings);
        place(section, term, ret_postings);
        return true;
    }
    uint32_t *documents = arena_alloc(memory, term->count * (sizeof *documents + 1));
    if (!documents)
        return false;
    uint8_t *fields = (uint8_t *)(documents + term->count);
    search_dictionary_unpack(term, documents, fields);
    *ret_postings = (struct search_postings){.count = term->count,
                                             .section_documents = section->documents,
                                             .fields = term->fields,
                                             .documents = documents};
    if (term->kind == SEARCH_TERM_MIXED) { /* each is an exception */
        ret_postings->fields = 0;
        ret_postings->exception_count = term->count;
        ret_postings->exceptions = documents;
        ret_postings->exception_fields = fields;
    }
    return true;
}

static const struct search_chunk *find_chunk(const struct search_postings *postings, uint32_t key)
{
    uint32_t to = postings->chunk_count, from = 0;
    if (key < to && postings->chunks[key].key == key) /* no chunk before it is missing */
        return &postings->chunks[key];
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (postings->chunks[middle].key < key)
            from = middle + 1;
        else
            to = middle;
    }
    return from < postings->chunk_count && postings->chunks[from].key == key ? &postings->chunks[from] : NULL;
}

struct search_container search_postings_container(const struct search_postings *postings, uint32_t chunk)
{
    struct search_container container = {.kind = SEARCH_NONE};
    if (postings->documents) {
        uint32_t first =
            search_lower_bound(postings->documents, 0, postings->count, chunk << SEARCH_CHUNK_BITS);
        uint32_t end =
            search_lower_bound(postings->documents, first, postings->count, (chunk + 1) << SEARCH_CHUNK_BITS);
        container.kind = first < end ? SEARCH_WIDE : SEARCH_NONE;
        container.count = end - first;
        container.wide = postings->documents + first;
        return container;
    }
    const struct search_chunk *found = find_chunk(postings, chunk);
    if (!found)
        return container;
    container.count = found->last + UINT32_C(1);
    if (search_chunk_is_array(search_chunk_words(postings->section_documents, chunk), container.count)) {
        container.kind = SEARCH_NARROW;
        container.narrow = (const uint16_t *)(postings->base + found->offset);
    } else {
        container.kind = SEARCH_BITS;
        container.bits = (const uint64_t *)(postings->base + found->offset);
    }
    return container;
}

bool search_container_has(const struct search_container *container, uint32_t document)
{
    uint32_t low = document % SEARCH_CHUNK_SIZE, at;
    switch (container->kind) {
    case SEARCH_WIDE:
        at = search_lower_bound(container->wide, 0, container->count, document);
        return at < container->count && container->wide[at] == document;
    case SEARCH_NARROW:
        at = search_lower_bound_narrow(container->narrow, 0, container->count, low);
        return at < container->count && container->narrow[at] == low;
    case SEARCH_BITS:
        return container->bits[low / 64] >> low % 64 & 1;
    case SEARCH_NONE:
        break;
    }
    return false;
}

bool search_postings_has(const struct search_postings *postings, uint32_t document)
{
    if (postings->documents) {
        uint32_t at = search_lower_bound(postings->documents, 0, postings->count, document);
        return at < postings->count && postings->documents[at] == document;
    }
    struct search_container container = search_postings_container(postings, document >> SEARCH_CHUNK_BITS);
    return search_container_has(&container, document);
}

uint8_t search_postings_fields(const struct search_postings *postings, uint32_t document)
{
    uint32_t at = search_lower_bound(postings->exceptions, 0, postings->exception_count, document);
    if (at < postings->exception_count && postings->exceptions[at] == document)
        return postings->exception_fields[at];
    return postings->fields;
}

/* Galloping, in whichever direction. */
uint8_t search_postings_fields_near(const struct search_postings *postings, uint32_t document, uint32_t *near)
{
    const uint32_t *exceptions = postings->exceptions;
    uint32_t count = postings->exception_count, from = *near < count ? *near : count, to = from, step = 1;
    while (from > 0 && exceptions[from - 1] >= document) {
        to = from - 1;
        from = to > step ? to - step : 0;
        step *= 2;
    }
    for (; to < count && exceptions[to] < document; step *= 2) {
        from = to + 1;
        to = count - from > step ? from + step : count;
    }
    uint32_t at = search_lower_bound(exceptions, from, to, document);
    *near = at;
    return at < count && exceptions[at] == document ? postings->exception_fields[at] : postings->fields;
}

static uint32_t decode_chunk(const struct search_postings *postings, const struct search_chunk *chunk,
                             uint32_t *documents)
{
    uint32_t base = (uint32_t)chunk->key << SEARCH_CHUNK_BITS, count = chunk->last + UINT32_C(1);
    const unsigned char *data = postings->base + chunk->offset;
    uint32_t words = search_chunk_words(postings->section_documents, chunk->key);
    if (search_chunk_is_array(words, count)) {
        const uint16_t *narrow = (const uint16_t *)data;
        for (uint32_t i = 0; i < count; i++)
            documents[i] = base + narrow[i];
        return count;
    }
    const uint64_t *bits = (const uint64_t *)data;
    uint32_t *next = documents;
    for (uint32_t word = 0; word < words; word++)
        for (uint64_t rest = bits[word]; rest; rest &= rest - 1)
            *next++ = base + word * 64 + (uint32_t)__builtin_ctzll(rest);
    return count;
}

static void decode(const struct search_postings *postings, uint32_t *documents, uint8_t *fields)
{
    memset(fields, postings->fields, postings->count);
    uint32_t filled = 0;
    if (postings->documents)
        memcpy(documents, postings->documents, postings->count * sizeof *documents);
    for (uint32_t i = 0; i < postings->chunk_count; i++)
        filled += decode_chunk(postings, &postings->chunks[i], documents + filled);
    for (uint32_t i = 0, at = 0; i < postings->exception_count; i++, at++) {
        at = search_lower_bound(documents, at, postings->count, postings->exceptions[i]);
        if (at == postings->count)
            break;
        fields[at] = postings->exception_fields[i];
    }
}

static void unpack_list(const struct search_section *section, const struct search_term *term,
                        uint32_t *documents, uint8_t *fields)
{
    const struct search_list_header *list = list_of(section, term);
    const uint8_t *indices = packed_exceptions(section, term);
    search_packed_read((const uint64_t *)(list + 1), section->documents, documents, term->count);
    memset(fields, list->fields, term->count);
    for (uint32_t i = 0; i < list->exceptions; i++)
        fields[indices[i]] = indices[list->exceptions + i];
}

void search_postings_unpack(const struct search_section *section, const struct search_term *term,
                            uint32_t *documents, uint8_t *fields)
{
    struct search_postings postings;
    if (term->kind != SEARCH_TERM_LIST) {
        search_dictionary_unpack(term, documents, fields);
    } else if (list_of(section, term)->kind == SEARCH_LIST_PACKED) {
        unpack_list(section, term, documents, fields);
    } else {
        place(section, term, &postings);
        decode(&postings, documents, fields);
    }
}

uint8_t search_postings_fields_of(const struct search_section *section, const struct search_term *term,
                                  uint32_t document)
{
    if (term->count > SEARCH_LIST_PACKED_MAX) {
        struct search_postings postings;
        place(section, term, &postings);
        return search_postings_has(&postings, document) ? search_postings_fields(&postings, document) : 0;
    }
    uint32_t documents[SEARCH_LIST_PACKED_MAX] = {0};
    uint8_t fields[SEARCH_LIST_PACKED_MAX] = {0};
    search_postings_unpack(section, term, documents, fields);
    uint32_t at = search_lower_bound(documents, 0, term->count, document);
    return at < term->count && documents[at] == document ? fields[at] : 0;
}

/* --- what can be trusted ------------------------------------------------------------------------------ */

/* Ascending and below `limit`. */
static bool ascends(const uint32_t *values, uint32_t count, uint32_t limit)
{
    for (uint32_t i = 0; i < count; i++)
        if (values[i] >= limit || (i > 0 && values[i] <= values[i - 1]))
            return false;
    return true;
}

static bool ascends_narrow(const uint16_t *values, uint32_t count, uint32_t limit)
{
    for (uint32_t i = 0; i < count; i++)
        if (values[i] >= limit || (i > 0 && values[i] <= values[i - 1]))
            return false;
    return true;
}

/* So many bits are set, none beyond `limit`. */
static bool has_bits(const uint64_t *bits, uint32_t words, uint32_t count, uint32_t limit)
{
    uint32_t seen = 0;
    for (uint32_t word = 0; word < words; word++)
        seen += (uint32_t)__builtin_popcountll(bits[word]);
    return seen == count && (limit % 64 == 0 || bits[words - 1] >> limit % 64 == 0);
}

static bool check_chunk(const unsigned char *list, size_t room, const struct search_chunk *chunk,
                        uint32_t documents)
{
    uint32_t count = chunk->last + UINT32_C(1), base = (uint32_t)chunk->key << SEARCH_CHUNK_BITS;
    if (base >= documents)
        return false;
    uint32_t limit = documents - base < SEARCH_CHUNK_SIZE ? documents - base : SEARCH_CHUNK_SIZE;
    uint32_t words = search_chunk_words(documents, chunk->key);
    bool narrow = search_chunk_is_array(words, count);
    size_t size = narrow ? count * sizeof(uint16_t) : words * sizeof(uint64_t);
    if (chunk->offset % 8 || chunk->offset > room || room - chunk->offset < size)
        return false;
    return narrow ? ascends_narrow((const uint16_t *)(list + chunk->offset), count, limit)
                  : has_bits((const uint64_t *)(list + chunk->offset), words, count, limit);
}

static bool check_chunks(const unsigned char *list, size_t room, const struct search_postings *postings,
                         uint32_t documents)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < postings->chunk_count; i++) {
        const struct search_chunk *chunk = &postings->chunks[i];
        if ((i > 0 && chunk->key <= chunk[-1].key) || !check_chunk(list, room, chunk, documents))
            return false;
        count += chunk->last + UINT64_C(1);
    }
    return count == postings->count;
}

static bool check_packed(const struct search_section *section, const struct search_term *term, size_t room)
{
    uint32_t documents[SEARCH_LIST_PACKED_MAX];
    const struct search_list_header *list = list_of(section, term);
    const uint64_t *words = (const uint64_t *)(list + 1);
    if (term->count > SEARCH_LIST_PACKED_MAX || list->exceptions > term->count ||
        search_packed_words(section->documents, term->count) * 8 + (size_t)list->exceptions * 2 >
            room - sizeof *list ||
        !search_packed_check(words, section->documents, term->count))
        return false;
    search_packed_read(words, section->documents, documents, term->count);
    const uint8_t *indices = packed_exceptions(section, term);
    for (uint32_t i = 0; i < list->exceptions; i++)
        if (indices[i] >= term->count || (i > 0 && indices[i] <= indices[i - 1]))
            return false;
    return ascends(documents, term->count, section->documents);
}

static bool check_unpacked(const struct search_section *section, const struct search_term *term, size_t room)
{
    const struct search_list_header *header = list_of(section, term);
    size_t needed = sizeof *header + (size_t)header->exceptions * 5 +
                    (header->kind == SEARCH_LIST_PLAIN ? term->count * sizeof(uint32_t)
                                                       : header->chunks * sizeof(struct search_chunk));
    if (header->kind > SEARCH_LIST_CHUNKED || header->exceptions > term->count || needed > room)
        return false;
    struct search_postings postings;
    place(section, term, &postings);
    if (!ascends(postings.exceptions, postings.exception_count, section->documents))
        return false;
    return postings.documents
               ? ascends(postings.documents, postings.count, section->documents)
               : check_chunks((const unsigned char *)header, room, &postings, section->documents);
}

bool search_postings_check(const struct search_section *section, uint32_t where, uint32_t count)
{
    const struct search_term term = {.kind = SEARCH_TERM_LIST, .where = where, .count = count};
    size_t offset = (size_t)where * 8;
    if (count == 0 || count > section->documents || offset >= section->lists_size ||
        section->lists_size - offset < sizeof(struct search_list_header))
        return false;
    size_t room = section->lists_size - offset;
    return list_of(section, &term)->kind == SEARCH_LIST_PACKED ? check_packed(section, &term, room)
                                                               : check_unpacked(section, &term, room);
}
