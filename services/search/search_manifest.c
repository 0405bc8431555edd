#include "search/search_manifest.h"

#include "text/fold.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char magic[8] = "cwindex";

/* Little-endian like the sections. Accounts follow, then sections, then what is alive in those of which
 * something has died: bitmaps of chunks. */
struct header {
    char magic[8];
    uint64_t checksum; /* XXH3 of all that follows */
    uint64_t size;     /* of all */
    uint32_t version, section_version, text_version;
    uint32_t shard, shards;
    uint32_t accounts, sections, reserved;
    char epoch[FEED_EPOCH_SIZE];
    int64_t positions[FEED_PARTITIONS];
};

struct account_record {
    char id[SEARCH_ACCOUNT_SIZE];
    uint32_t erased, count;
};

struct section_record {
    uint64_t file, offset, size, checksum;
    uint32_t documents;
    uint32_t chunks; /* of which something has died */
};

struct chunk_record {
    uint32_t chunk, words; /* and so many words of bits behind */
};

static uint64_t checksum(const void *data, size_t size)
{
    size_t from = offsetof(struct header, size);
    return XXH3_64bits((const unsigned char *)data + from, size - from);
}

void search_manifest_release(struct search_manifest *manifest)
{
    for (uint32_t i = 0; manifest->sections && i < manifest->section_count; i++)
        search_alive_unref(manifest->sections[i].alive);
    free(manifest->sections);
    free(manifest->accounts);
    *manifest = (struct search_manifest){0};
}

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the manifest");
}

/* --- writing ------------------------------------------------------------------------------------------ */

static bool add(struct search_buffer *buffer, const void *data, size_t size)
{
    void *to = search_buffer_add(buffer, size);
    if (to)
        memcpy(to, data, size);
    return to;
}

static uint32_t chunks_with_deaths(const struct search_alive *alive)
{
    uint32_t count = 0;
    for (uint32_t i = 0; alive && i < alive->chunk_count; i++)
        count += alive->chunks[i] != NULL;
    return count;
}

static bool add_records(const struct search_manifest *manifest, struct search_buffer *buffer)
{
    for (uint32_t i = 0; i < manifest->account_count; i++) {
        const struct search_manifest_account *account = &manifest->accounts[i];
        struct account_record record = {.erased = account->erased, .count = account->count};
        memcpy(record.id, account->id, strnlen(account->id, sizeof record.id - 1));
        if (!add(buffer, &record, sizeof record))
            return false;
    }
    for (uint32_t i = 0; i < manifest->section_count; i++) {
        const struct search_manifest_section *section = &manifest->sections[i];
        const struct section_record record = {.file = section->file,
                                              .offset = section->offset,
                                              .size = section->size,
                                              .checksum = section->checksum,
                                              .documents = section->documents,
                                              .chunks = chunks_with_deaths(section->alive)};
        if (!add(buffer, &record, sizeof record))
            return false;
    }
    return true;
}

static bool add_bitmaps(const struct search_alive *alive, struct search_buffer *buffer)
{
    for (uint32_t i = 0; alive && i < alive->chunk_count; i++) {
        const struct search_alive_chunk *chunk = alive->chunks[i];
        if (!chunk)
            continue;
        const struct chunk_record record = {.chunk = i, .words = chunk->words};
        if (!add(buffer, &record, sizeof record) ||
            !add(buffer, chunk->bits, chunk->words * sizeof *chunk->bits))
            return false;
    }
    return true;
}

bool search_manifest_encode(const struct search_manifest *manifest, struct search_buffer *buffer, error *err)
{
    struct header header = {.version = SEARCH_MANIFEST_VERSION,
                            .section_version = SEARCH_SECTION_VERSION,
                            .text_version = TEXT_VERSION,
                            .shard = manifest->shard,
                            .shards = manifest->shards,
                            .accounts = manifest->account_count,
                            .sections = manifest->section_count};
    size_t from = buffer->length;
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.epoch, manifest->positions.epoch, strnlen(manifest->positions.epoch, FEED_EPOCH_SIZE - 1));
    memcpy(header.positions, manifest->positions.at, sizeof header.positions);
    bool done = add(buffer, &header, sizeof header) && add_records(manifest, buffer);
    for (uint32_t i = 0; done && i < manifest->section_count; i++)
        done = add_bitmaps(manifest->sections[i].alive, buffer);
    if (!done)
        return out_of_memory(err);
    header.size = buffer->length - from;
    memcpy(buffer->data + from, &header, sizeof header);
    header.checksum = checksum(buffer->data + from, header.size);
    memcpy(buffer->data + from, &header, sizeof header);
    return true;
}

/* --- reading ------------------------------------------------------------------------------------------ */

/* Bytes that have not been read yet. */
struct input {
    const unsigned char *at;
    size_t left;
};

static bool take(struct input *input, void *to, size_t size)
{
    if (input->left < size)
        return false;
    memcpy(to, input->at, size);
    input->at += size;
    input->left -= size;
    return true;
}

static bool damaged(error *err)
{
    return error_set(err, STATUS_DATA_LOSS, "", "the manifest of the index is damaged");
}

static bool check_header(const void *data, size_t size, struct header *ret_header, error *err)
{
    struct input input = {data, size};
    if (!take(&input, ret_header, sizeof *ret_header) || memcmp(ret_header->magic, magic, sizeof magic) != 0)
        return damaged(err);
    if (ret_header->version != SEARCH_MANIFEST_VERSION)
        return error_set(err, STATUS_FAILED_PRECONDITION, "", "the index was written by another version");
    if (ret_header->size != size || ret_header->checksum != checksum(data, size) ||
        !memchr(ret_header->epoch, '\0', sizeof ret_header->epoch))
        return damaged(err);
    if (ret_header->section_version != SEARCH_SECTION_VERSION || ret_header->text_version != TEXT_VERSION)
        return error_set(err, STATUS_FAILED_PRECONDITION, "",
                         "the index was written by a version that reads text in another way");
    return true;
}

static bool take_accounts(struct input *input, struct search_manifest *manifest)
{
    uint64_t sections = 0;
    for (uint32_t i = 0; i < manifest->account_count; i++) {
        struct search_manifest_account *account = &manifest->accounts[i];
        struct account_record record;
        if (!take(input, &record, sizeof record) || !memchr(record.id, '\0', sizeof record.id) ||
            record.id[0] == '\0' || record.erased > 1 ||
            (i > 0 && strcmp(manifest->accounts[i - 1].id, record.id) >= 0))
            return false;
        memcpy(account->id, record.id, sizeof account->id);
        account->erased = record.erased;
        account->count = record.count;
        sections += record.count;
    }
    return sections == manifest->section_count;
}

/* `chunks` gets how many bitmaps each section has. */
static bool take_sections(struct input *input, struct search_manifest *manifest, uint32_t *chunks)
{
    for (uint32_t i = 0; i < manifest->section_count; i++) {
        struct section_record record;
        if (!take(input, &record, sizeof record) || record.documents == 0 ||
            record.documents > SEARCH_SECTION_DOCUMENTS_MAX || record.offset % 8)
            return false;
        manifest->sections[i] = (struct search_manifest_section){.file = record.file,
                                                                 .offset = record.offset,
                                                                 .size = record.size,
                                                                 .checksum = record.checksum,
                                                                 .documents = record.documents};
        chunks[i] = record.chunks;
    }
    return true;
}

static bool take_bitmaps(struct input *input, struct search_manifest_section *section, uint32_t chunks)
{
    uint64_t bits[SEARCH_CHUNK_WORDS];
    if (chunks > 0 && !(section->alive = search_alive_copy(NULL, section->documents)))
        return false;
    uint32_t next = 0;
    for (uint32_t i = 0; i < chunks; i++) {
        struct chunk_record record;
        if (!take(input, &record, sizeof record) || record.chunk < next ||
            record.words > SEARCH_CHUNK_WORDS || !take(input, bits, record.words * sizeof *bits) ||
            !search_alive_set(section->alive, record.chunk, bits, record.words))
            return false;
        next = record.chunk + 1;
    }
    return search_alive_count(section->alive, section->documents) > 0;
}

static bool take_all(struct input *input, struct search_manifest *manifest, uint32_t *chunks)
{
    bool done = take_accounts(input, manifest) && take_sections(input, manifest, chunks);
    for (uint32_t i = 0; done && i < manifest->section_count; i++)
        done = take_bitmaps(input, &manifest->sections[i], chunks[i]);
    return done && input->left == 0;
}

bool search_manifest_decode(const void *data, size_t size, struct search_manifest *ret_manifest, error *err)
{
    struct header header;
    if (!check_header(data, size, &header, err))
        return false;
    struct input input = {(const unsigned char *)data + sizeof header, size - sizeof header};
    if (header.accounts > input.left / sizeof(struct account_record) ||
        header.sections > input.left / sizeof(struct section_record))
        return damaged(err);
    struct search_manifest manifest = {.shard = header.shard,
                                       .shards = header.shards,
                                       .account_count = header.accounts,
                                       .section_count = header.sections};
    memcpy(manifest.positions.epoch, header.epoch, strlen(header.epoch));
    memcpy(manifest.positions.at, header.positions, sizeof header.positions);
    manifest.accounts = calloc(header.accounts + 1, sizeof *manifest.accounts);
    manifest.sections = calloc(header.sections + 1, sizeof *manifest.sections);
    uint32_t *chunks = calloc(header.sections + 1, sizeof *chunks);
    bool room = manifest.accounts && manifest.sections && chunks;
    bool done = room && take_all(&input, &manifest, chunks);
    free(chunks);
    if (done)
        *ret_manifest = manifest;
    else
        search_manifest_release(&manifest);
    return done || (room ? damaged(err) : out_of_memory(err));
}
