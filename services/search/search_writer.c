#include "search/search_writer.h"

#include "search/search_dictionary.h"
#include "search/search_postings.h"
#include "search/search_words.h"
#include "text/fold.h"

#include <string.h>
#include <xxhash.h>

enum { TERMS_PER_BUCKET = 4, LONG_WORD = 255 };

static const struct {
    enum search_part part;
    size_t size;
} columns[] = {
    {SEARCH_PART_NUMBERS, 8},       {SEARCH_PART_POSITIONS, 8}, {SEARCH_PART_TIMES, 8},
    {SEARCH_PART_FINGERPRINTS, 8},  {SEARCH_PART_POSTINGS, 4},  {SEARCH_PART_SUBJECTS, 4},
    {SEARCH_PART_OWNERS, 4},        {SEARCH_PART_BY_NUMBER, 4}, {SEARCH_PART_BY_SUBJECT, 4},
    {SEARCH_PART_SUBJECT_RANKS, 4}, {SEARCH_PART_STATES, 1},
};

static struct search_section_header *header_of(struct search_writer *writer)
{
    return (struct search_section_header *)writer->block.data;
}

static void *column(struct search_writer *writer, enum search_part part)
{
    return writer->block.data + header_of(writer)->parts[part].offset;
}

/* A part begins. */
static bool begin_part(struct search_writer *writer, enum search_part part)
{
    if (!search_buffer_align(&writer->block))
        return false;
    header_of(writer)->parts[part].offset = writer->block.length;
    return true;
}

static void end_part(struct search_writer *writer, enum search_part part)
{
    struct search_section_header *header = header_of(writer);
    header->parts[part].size = writer->block.length - header->parts[part].offset;
}

static bool add_part(struct search_writer *writer, enum search_part part, const void *data, size_t size)
{
    void *added = begin_part(writer, part) ? search_buffer_add(&writer->block, size) : NULL;
    if (!added)
        return false;
    if (data && size > 0)
        memcpy(added, data, size);
    end_part(writer, part);
    return true;
}

void search_writer_init(struct search_writer *writer, uint32_t documents)
{
    *writer = (struct search_writer){.documents = documents};
    void *header = search_buffer_add(&writer->block, sizeof(struct search_section_header));
    if (header)
        memset(header, 0, sizeof(struct search_section_header));
    writer->failed = !header;
    for (size_t i = 0; i < sizeof columns / sizeof *columns && !writer->failed; i++)
        writer->failed = !add_part(writer, columns[i].part, NULL, documents * columns[i].size);
    writer->failed = writer->failed || !begin_part(writer, SEARCH_PART_LISTS);
}

void search_writer_release(struct search_writer *writer)
{
    search_buffer_release(&writer->block);
    search_buffer_release(&writer->texts);
    search_buffer_release(&writer->terms);
    search_buffer_release(&writer->places);
}

uint32_t *search_writer_column(struct search_writer *writer, enum search_part part)
{
    return writer->failed ? NULL : column(writer, part);
}

/* --- documents ---------------------------------------------------------------------------------------- */

static uint32_t add_text(struct search_writer *writer, const char *text)
{
    size_t size = strlen(text) + 1, at = writer->texts.length;
    void *added = size > UINT32_MAX - at ? NULL : search_buffer_add(&writer->texts, size);
    if (added)
        memcpy(added, text, size);
    writer->failed = writer->failed || !added;
    return (uint32_t)at;
}

/* Owners are few: what was written of one is used again. */
static uint32_t add_owner(struct search_writer *writer, const char *owner)
{
    uint64_t hash = XXH3_64bits(owner, strlen(owner));
    uint32_t slot = hash % SEARCH_WRITER_OWNERS, known = writer->owners[slot].text;
    if (known && writer->owners[slot].hash == hash &&
        strcmp((const char *)writer->texts.data + known - 1, owner) == 0)
        return known - 1;
    uint32_t text = add_text(writer, owner);
    writer->owners[slot].hash = hash;
    writer->owners[slot].text = text + 1;
    return text;
}

void search_writer_set(struct search_writer *writer, uint32_t document, const struct search_row *row)
{
    uint32_t subject = add_text(writer, row->subject), owner = add_owner(writer, row->owner);
    if (writer->failed)
        return;
    ((int64_t *)column(writer, SEARCH_PART_NUMBERS))[document] = row->number;
    ((int64_t *)column(writer, SEARCH_PART_POSITIONS))[document] = row->position;
    ((int64_t *)column(writer, SEARCH_PART_TIMES))[document] = row->time_us;
    ((uint64_t *)column(writer, SEARCH_PART_FINGERPRINTS))[document] = row->fingerprint;
    ((uint32_t *)column(writer, SEARCH_PART_POSTINGS))[document] = row->posting_count;
    ((uint32_t *)column(writer, SEARCH_PART_SUBJECTS))[document] = subject;
    ((uint32_t *)column(writer, SEARCH_PART_OWNERS))[document] = owner;
    ((uint8_t *)column(writer, SEARCH_PART_STATES))[document] = row->state;
    writer->statuses |= SEARCH_STATUS_BIT(row->state & ~SEARCH_STATE_NEED_REPLY);
}

/* --- lists -------------------------------------------------------------------------------------------- */

/* The fields that most documents have, and how many have others. */
static uint8_t usual_fields(const uint8_t *fields, uint32_t count, uint32_t *ret_exceptions)
{
    *ret_exceptions = 0;
    if (memcmp(fields, fields + 1, count - 1) == 0)
        return *fields;
    uint32_t counts[UINT8_MAX + 1] = {0}, most = 0;
    for (uint32_t i = 0; i < count; i++)
        counts[fields[i]]++;
    for (uint32_t i = 0; i <= UINT8_MAX; i++)
        if (counts[i] > counts[most])
            most = i;
    *ret_exceptions = count - counts[most];
    return (uint8_t)most;
}

static bool add_exceptions(struct search_buffer *block, const struct search_list_header *list,
                           const uint32_t *documents, const uint8_t *fields, uint32_t count)
{
    uint32_t *others = search_buffer_add(block, list->exceptions * (sizeof *others + 1));
    if (!others)
        return false;
    uint8_t *other_fields = (uint8_t *)(others + list->exceptions);
    for (uint32_t i = 0, next = 0; next < list->exceptions && i < count; i++) {
        if (fields[i] == list->fields)
            continue;
        others[next] = documents[i];
        other_fields[next++] = fields[i];
    }
    return true;
}

static bool add_bytes(struct search_buffer *block, const void *data, size_t size)
{
    void *added = search_buffer_add(block, size);
    if (added)
        memcpy(added, data, size);
    return added;
}

/* Where the chunk ends that begins at `from`: galloping, for chunks may be long. */
static uint32_t chunk_end(const uint32_t *documents, uint32_t from, uint32_t count)
{
    uint32_t next = (documents[from] >> SEARCH_CHUNK_BITS) + 1, step = 1, to = from + 1;
    if (documents[count - 1] >> SEARCH_CHUNK_BITS < next)
        return count;
    while (to < count && documents[to] >> SEARCH_CHUNK_BITS < next) {
        from = to;
        step *= 2;
        to = count - to > step ? to + step : count;
    }
    return search_lower_bound(documents, from, to, next << SEARCH_CHUNK_BITS);
}

static size_t container_size(uint32_t words, uint32_t count)
{
    return search_chunk_is_array(words, count) ? (count * sizeof(uint16_t) + 7) / 8 * 8
                                               : words * sizeof(uint64_t);
}

static bool add_container(struct search_buffer *block, const uint32_t *documents, uint32_t words,
                          uint32_t count)
{
    size_t size = container_size(words, count);
    unsigned char *added = search_buffer_add(block, size);
    if (!added)
        return false;
    memset(added, 0, size);
    uint16_t *narrow = (uint16_t *)added;
    uint64_t *bits = (uint64_t *)added;
    if (search_chunk_is_array(words, count))
        for (uint32_t i = 0; i < count; i++)
            narrow[i] = (uint16_t)documents[i];
    else
        for (uint32_t i = 0; i < count; i++)
            bits[documents[i] % SEARCH_CHUNK_SIZE / 64] |= UINT64_C(1) << documents[i] % 64;
    return true;
}

enum { CHUNKS_MAX = SEARCH_SECTION_DOCUMENTS_MAX / SEARCH_CHUNK_SIZE };

/* How large the list's chunks are; fills the table but for the offsets. */
static size_t measure_chunks(const struct search_writer *writer, const uint32_t *documents, uint32_t count,
                             struct search_chunk chunks[static CHUNKS_MAX], uint16_t *ret_count)
{
    size_t size = 0;
    uint16_t chunk = 0;
    for (uint32_t from = 0, to; from < count; from = to, chunk++) {
        to = chunk_end(documents, from, count);
        chunks[chunk] = (struct search_chunk){.key = (uint16_t)(documents[from] >> SEARCH_CHUNK_BITS),
                                              .last = (uint16_t)(to - from - 1)};
        size += sizeof *chunks +
                container_size(search_chunk_words(writer->documents, chunks[chunk].key), to - from);
    }
    *ret_count = chunk;
    return size;
}

static bool add_list(struct search_writer *writer, const uint32_t *documents, const uint8_t *fields,
                     uint32_t count)
{
    struct search_buffer *block = &writer->block;
    struct search_chunk chunks[CHUNKS_MAX];
    struct search_list_header list = {.kind = SEARCH_LIST_CHUNKED};
    list.fields = usual_fields(fields, count, &list.exceptions);
    if (measure_chunks(writer, documents, count, chunks, &list.chunks) >= count * sizeof *documents) {
        list.kind = SEARCH_LIST_PLAIN;
        list.chunks = 0;
        return add_bytes(block, &list, sizeof list) &&
               add_bytes(block, documents, count * sizeof *documents) &&
               add_exceptions(block, &list, documents, fields, count) && search_buffer_align(block);
    }
    size_t offset = sizeof list + list.chunks * sizeof *chunks + list.exceptions * (sizeof *documents + 1);
    offset = (offset + 7) / 8 * 8;
    for (uint32_t i = 0; i < list.chunks; i++) {
        chunks[i].offset = (uint32_t)offset;
        offset += container_size(search_chunk_words(writer->documents, chunks[i].key),
                                 chunks[i].last + UINT32_C(1));
    }
    bool done = add_bytes(block, &list, sizeof list) &&
                add_bytes(block, chunks, list.chunks * sizeof *chunks) &&
                add_exceptions(block, &list, documents, fields, count) && search_buffer_align(block);
    for (uint32_t i = 0; i < list.chunks && done; i++) {
        done = add_container(block, documents, search_chunk_words(writer->documents, chunks[i].key),
                             chunks[i].last + UINT32_C(1));
        documents += chunks[i].last + UINT32_C(1);
    }
    return done;
}

/* --- terms -------------------------------------------------------------------------------------------- */

/* An entry of the dictionary while it is written. */
struct entry {
    unsigned char *at;
};

static void put_number(struct entry *entry, uint32_t number)
{
    for (; number >= 0x80; number >>= 7)
        *entry->at++ = (unsigned char)(number | 0x80);
    *entry->at++ = (unsigned char)number;
}

static void put_text(struct entry *entry, const char *text, size_t length)
{
    *entry->at++ = (unsigned char)(length < LONG_WORD ? length : LONG_WORD);
    if (length >= LONG_WORD) {
        memcpy(entry->at, &(uint32_t){(uint32_t)length}, sizeof(uint32_t));
        entry->at += sizeof(uint32_t);
    }
    memcpy(entry->at, text, length);
    entry->at += length;
}

static void put_few(struct entry *entry, const uint32_t *documents, const uint8_t *fields, uint32_t count)
{
    bool mixed = memcmp(fields, fields + 1, count - 1) != 0;
    put_number(entry, count * 4 + (mixed ? SEARCH_TERM_MIXED : SEARCH_TERM_FEW));
    if (!mixed)
        *entry->at++ = *fields;
    unsigned char *size = entry->at++;
    for (uint32_t i = 0, last = 0; i < count; last = documents[i++])
        put_number(entry, documents[i] - last);
    *size = (unsigned char)(entry->at - size - 1);
    if (mixed) {
        memcpy(entry->at, fields, count);
        entry->at += count;
    }
}

static bool put_list(struct search_writer *writer, struct entry *entry, const uint32_t *documents,
                     const uint8_t *fields, uint32_t count)
{
    size_t where = (writer->block.length - header_of(writer)->parts[SEARCH_PART_LISTS].offset) / 8;
    if (where > UINT32_MAX / 4)
        return false;
    put_number(entry, (uint32_t)where * 4 + SEARCH_TERM_LIST);
    put_number(entry, count);
    return add_list(writer, documents, fields, count);
}

static bool add_term(struct search_writer *writer, uint64_t hash, const char *text, size_t length,
                     const uint32_t *documents, const uint8_t *fields, uint32_t count)
{
    enum { BEHIND_MAX = 16 + SEARCH_TERM_FEW_MAX * 5 }; /* what follows the text */
    size_t offset = writer->terms.length;
    struct search_writer_place *place = search_buffer_add(&writer->places, sizeof *place);
    if (!place || length > UINT32_MAX - BEHIND_MAX || offset > UINT32_MAX - BEHIND_MAX - length ||
        !search_buffer_reserve(&writer->terms, length + BEHIND_MAX))
        return false;
    *place = (struct search_writer_place){(uint32_t)(hash >> 32), (uint32_t)offset};
    struct entry entry = {writer->terms.data + offset};
    put_text(&entry, text, length);
    bool done = true;
    if (count == 1) {
        put_number(&entry, *documents * 4 + SEARCH_TERM_SINGLE);
        *entry.at++ = *fields;
    } else if (count <= SEARCH_TERM_FEW_MAX) {
        put_few(&entry, documents, fields, count);
    } else {
        done = put_list(writer, &entry, documents, fields, count);
    }
    writer->terms.length = (size_t)(entry.at - writer->terms.data);
    writer->words += length == 0 || *text != '\0';
    return done;
}

void search_writer_add(struct search_writer *writer, uint64_t hash, const char *text, size_t length,
                       const uint32_t *documents, const uint8_t *fields, uint32_t count)
{
    writer->failed = writer->failed || !add_term(writer, hash, text, length, documents, fields, count);
}

/* --- the end ------------------------------------------------------------------------------------------ */

static bool add_status_bits(struct search_writer *writer)
{
    size_t words = (writer->documents + 63) / 64;
    size_t size = words * sizeof(uint64_t) * (size_t)__builtin_popcount(writer->statuses);
    if (!add_part(writer, SEARCH_PART_STATUS_BITS, NULL, size))
        return false;
    uint64_t *bits = column(writer, SEARCH_PART_STATUS_BITS);
    const uint8_t *states = column(writer, SEARCH_PART_STATES);
    memset(bits, 0, size);
    for (uint32_t i = 0; i < writer->documents; i++) {
        unsigned below = SEARCH_STATUS_BIT(states[i] & ~SEARCH_STATE_NEED_REPLY) - 1;
        size_t row = (size_t)__builtin_popcount(writer->statuses & below);
        bits[row * words + i / 64] |= UINT64_C(1) << i % 64;
    }
    return true;
}

static bool add_directory(struct search_writer *writer)
{
    struct search_section_header *header = header_of(writer);
    header->terms = (uint32_t)(writer->places.length / sizeof(struct search_writer_place));
    while (header->terms >> header->directory_bits > TERMS_PER_BUCKET)
        header->directory_bits++;
    uint32_t buckets = UINT32_C(1) << header->directory_bits, count = header->terms;
    unsigned drop = 32 - header->directory_bits;
    if (!add_part(writer, SEARCH_PART_DIRECTORY, NULL, (buckets + UINT64_C(1)) * sizeof(uint32_t)))
        return false;
    uint32_t *directory = column(writer, SEARCH_PART_DIRECTORY);
    const struct search_writer_place *places = (const struct search_writer_place *)writer->places.data;
    for (uint32_t bucket = 0, at = 0; bucket <= buckets; bucket++) {
        while (at < count && (uint64_t)places[at].top >> drop < bucket)
            at++;
        directory[bucket] = at < count ? places[at].offset : (uint32_t)writer->terms.length;
    }
    return true;
}

static bool finish(struct search_writer *writer)
{
    add_text(writer, ""); /* a NUL ends the texts */
    if (writer->failed)
        return false;
    end_part(writer, SEARCH_PART_LISTS);
    if (!add_status_bits(writer) ||
        !add_part(writer, SEARCH_PART_TERMS, writer->terms.data, writer->terms.length) ||
        !add_directory(writer) ||
        !add_part(writer, SEARCH_PART_TEXTS, writer->texts.data, writer->texts.length) ||
        !search_buffer_align(&writer->block))
        return false;
    struct search_section_header *header = header_of(writer);
    memcpy(header->magic, "cwsearch", sizeof header->magic);
    header->version = SEARCH_SECTION_VERSION;
    header->text_version = TEXT_VERSION;
    header->size = writer->block.length;
    header->documents = writer->documents;
    header->words = writer->words;
    header->statuses = writer->statuses;
    header->checksum = search_section_checksum(writer->block.data, writer->block.length);
    return true;
}

struct search_block *search_writer_finish(struct search_writer *writer)
{
    struct search_block *block = finish(writer) ? search_block_new(&writer->block) : NULL;
    search_writer_release(writer);
    return block;
}
