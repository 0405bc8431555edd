#include "search/search_writer.h"

#include "base/injection.h"
#include "search/search_dictionary.h"
#include "search/search_packed.h"
#include "search/search_postings.h"
#include "search/search_words.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Sections with fewer terms are not spelled: most are merged soon, and a table takes 512 bytes. Words of the
 * sample are the first ones, which are any, for terms are in order of their hashes. */
enum { TERMS_PER_BUCKET = 4, SPELLED_FROM = 2048, SPELLING_SAMPLE = 2048 };

#define USUAL_FIELDS SEARCH_FIELD_BIT(SEARCH_FIELD_MESSAGE)

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

/* What a packed list takes, without its exceptions. */
static size_t measure_packed(const struct search_writer *writer, uint32_t count)
{
    return count <= SEARCH_LIST_PACKED_MAX ? search_packed_words(writer->documents, count) * sizeof(uint64_t)
                                           : SIZE_MAX;
}

static bool add_packed(struct search_writer *writer, const struct search_list_header *list,
                       const uint32_t *documents, const uint8_t *fields, uint32_t count)
{
    struct search_buffer *block = &writer->block;
    size_t size = measure_packed(writer, count);
    bool done = add_bytes(block, list, sizeof *list);
    uint64_t *words = done ? search_buffer_add(block, size + list->exceptions * (size_t)2) : NULL;
    if (!words)
        return false;
    memset(words, 0, size);
    search_packed_write(words, writer->documents, documents, count);
    uint8_t *indices = (uint8_t *)words + size;
    for (uint32_t i = 0, next = 0; next < list->exceptions && i < count; i++) {
        if (fields[i] == list->fields)
            continue;
        indices[next] = (uint8_t)i;
        indices[list->exceptions + next++] = fields[i];
    }
    return search_buffer_align(block);
}

static bool add_list(struct search_writer *writer, const uint32_t *documents, const uint8_t *fields,
                     uint32_t count)
{
    struct search_buffer *block = &writer->block;
    struct search_chunk chunks[CHUNKS_MAX];
    struct search_list_header list = {.kind = SEARCH_LIST_CHUNKED};
    list.fields = usual_fields(fields, count, &list.exceptions);
    size_t chunked = measure_chunks(writer, documents, count, chunks, &list.chunks);
    if (measure_packed(writer, count) < chunked) {
        list.kind = SEARCH_LIST_PACKED;
        list.chunks = 0;
        return add_packed(writer, &list, documents, fields, count);
    }
    if (chunked >= count * sizeof *documents) {
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

static void put_head(struct entry *entry, enum search_term_kind kind, size_t length)
{
    size_t told = length < SEARCH_TERM_LONG ? length : SEARCH_TERM_LONG;
    *entry->at++ = (unsigned char)((unsigned)kind | (unsigned)(told << SEARCH_TERM_KIND_BITS));
    if (told == SEARCH_TERM_LONG)
        put_number(entry, (uint32_t)length);
}

static void put_text(struct entry *entry, enum search_term_kind kind, const char *text, size_t length)
{
    put_head(entry, kind, length);
    memcpy(entry->at, text, length);
    entry->at += length;
}

static void put_few(struct entry *entry, const uint32_t *documents, uint32_t count)
{
    unsigned char *size = entry->at++;
    for (uint32_t i = 0, last = 0; i < count; last = documents[i++])
        put_number(entry, documents[i] - last);
    *size = (unsigned char)(entry->at - size - 1);
}

static enum search_term_kind kind_of(const uint8_t *fields, uint32_t count)
{
    bool elsewhere = *fields != USUAL_FIELDS;
    if (count == 1)
        return elsewhere ? SEARCH_TERM_SINGLE_ELSEWHERE : SEARCH_TERM_SINGLE;
    if (count > SEARCH_TERM_FEW_MAX)
        return SEARCH_TERM_LIST;
    if (memcmp(fields, fields + 1, count - 1) != 0)
        return SEARCH_TERM_MIXED;
    return elsewhere ? SEARCH_TERM_FEW_ELSEWHERE : SEARCH_TERM_FEW;
}

static bool put_list(struct search_writer *writer, struct entry *entry, const uint32_t *documents,
                     const uint8_t *fields, uint32_t count)
{
    size_t where = (writer->block.length - header_of(writer)->parts[SEARCH_PART_LISTS].offset) / 8;
    if (where > UINT32_MAX)
        return false;
    put_number(entry, (uint32_t)where);
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
    enum search_term_kind kind = kind_of(fields, count);
    bool done = true;
    put_text(&entry, kind, text, length);
    if (kind % 2)
        *entry.at++ = *fields;
    switch (kind) {
    case SEARCH_TERM_SINGLE:
    case SEARCH_TERM_SINGLE_ELSEWHERE:
        put_number(&entry, *documents);
        break;
    case SEARCH_TERM_FEW:
    case SEARCH_TERM_FEW_ELSEWHERE:
        put_few(&entry, documents, count);
        break;
    case SEARCH_TERM_MIXED:
        put_few(&entry, documents, count);
        memcpy(entry.at, fields, count);
        entry.at += count;
        break;
    case SEARCH_TERM_LIST:
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

/* Whether the buckets of some group lie too far from its beginning. */
static bool fill_directory(const struct search_writer *writer, const struct search_section_header *header,
                           uint32_t *bases, uint16_t *steps)
{
    const struct search_writer_place *places = (const struct search_writer_place *)writer->places.data;
    uint32_t buckets = UINT32_C(1) << header->directory_bits, base = 0;
    unsigned drop = 32 - header->directory_bits;
    for (uint32_t bucket = 0, at = 0; bucket <= buckets; bucket++) {
        while (at < header->terms && (uint64_t)places[at].top >> drop < bucket)
            at++;
        uint32_t offset = at < header->terms ? places[at].offset : (uint32_t)writer->terms.length;
        if (!steps) {
            bases[bucket] = offset;
            continue;
        }
        if (bucket % SEARCH_DIRECTORY_GROUP == 0)
            base = bases[bucket / SEARCH_DIRECTORY_GROUP] = offset;
        if (offset - base > UINT16_MAX)
            return false;
        steps[bucket] = (uint16_t)(offset - base);
    }
    return true;
}

static bool add_directory(struct search_writer *writer)
{
    struct search_section_header *header = header_of(writer);
    header->terms = (uint32_t)(writer->places.length / sizeof(struct search_writer_place));
    while (header->terms >> header->directory_bits > TERMS_PER_BUCKET)
        header->directory_bits++;
    uint32_t buckets = UINT32_C(1) << header->directory_bits, bases = search_directory_bases(buckets, false);
    if (!add_part(writer, SEARCH_PART_DIRECTORY, NULL,
                  bases * sizeof(uint32_t) + (buckets + UINT64_C(1)) * sizeof(uint16_t)))
        return false;
    uint32_t *directory = column(writer, SEARCH_PART_DIRECTORY);
    if (fill_directory(writer, header_of(writer), directory, (uint16_t *)(directory + bases)))
        return true;
    writer->block.length = header_of(writer)->parts[SEARCH_PART_DIRECTORY].offset;
    header_of(writer)->wide_directory = 1;
    return add_part(writer, SEARCH_PART_DIRECTORY, NULL, (buckets + UINT64_C(1)) * sizeof(uint32_t)) &&
           fill_directory(writer, header_of(writer), column(writer, SEARCH_PART_DIRECTORY), NULL);
}

/* An entry of the dictionary as it was put: its text, and where it ends. */
struct put {
    enum search_term_kind kind;
    uint32_t length;
    const unsigned char *text, *end;
};

static struct put entry_at(const struct search_writer *writer, size_t index)
{
    const struct search_writer_place *places = (const struct search_writer_place *)writer->places.data;
    size_t count = writer->places.length / sizeof *places;
    size_t end = index + 1 < count ? places[index + 1].offset : writer->terms.length;
    struct put put = {.end = writer->terms.data + end};
    put.text = search_dictionary_head(writer->terms.data + places[index].offset, &put.kind, &put.length);
    return put;
}

static void choose_spelling(const struct search_writer *writer, size_t count, struct search_speller *speller)
{
    for (size_t i = 0; i < count; i++) {
        struct put entry = entry_at(writer, i);
        search_speller_use(speller, entry.text, entry.length);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < count && i < SPELLING_SAMPLE; i++) {
            struct put entry = entry_at(writer, i);
            search_speller_sample(speller, entry.text, entry.length);
        }
        search_speller_choose(speller);
    }
}

/* A long one's head may become shorter: it is measured first. */
static void put_spelled(struct entry *to, const struct search_speller *speller, const struct put *from)
{
    unsigned char *head = to->at;
    put_head(to, from->kind,
             from->length < SEARCH_TERM_LONG ? 0 : search_speller_measure(speller, from->text, from->length));
    size_t length = search_speller_write(speller, from->text, from->length, to->at);
    to->at += length;
    if (from->length < SEARCH_TERM_LONG)
        put_head(&(struct entry){head}, from->kind, length);
}

/* Spells the terms where they stand: none becomes longer. */
static bool spell_terms(struct search_writer *writer)
{
    struct search_writer_place *places = (struct search_writer_place *)writer->places.data;
    size_t count = writer->places.length / sizeof *places;
    if (count < SPELLED_FROM || injection_point("search_writer.spell")) /* who looks for words in the bytes */
        return add_part(writer, SEARCH_PART_SPELLING, NULL, 0);
    struct search_speller *speller = calloc(1, sizeof *speller);
    if (!speller)
        return false;
    choose_spelling(writer, count, speller);
    struct entry to = {writer->terms.data};
    struct put from = entry_at(writer, 0);
    for (size_t i = 0; i < count; i++) {
        struct put next = i + 1 < count ? entry_at(writer, i + 1) : from;
        places[i].offset = (uint32_t)(to.at - writer->terms.data);
        put_spelled(&to, speller, &from);
        size_t behind = (size_t)(from.end - from.text) - from.length;
        memmove(to.at, from.text + from.length, behind);
        to.at += behind;
        from = next;
    }
    writer->terms.length = (size_t)(to.at - writer->terms.data);
    bool done = add_part(writer, SEARCH_PART_SPELLING, &speller->spelling, sizeof speller->spelling);
    free(speller);
    return done;
}

static bool finish(struct search_writer *writer)
{
    add_text(writer, ""); /* a NUL ends the texts */
    if (writer->failed)
        return false;
    end_part(writer, SEARCH_PART_LISTS);
    if (!add_status_bits(writer) || !spell_terms(writer) ||
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
