#include "search/search_store_load.h"

#include "base/clock.h"
#include "base/log.h"
#include "search/search_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Accounts that could not be loaded are named in the log, so many of them. */
enum { LOGGED_MAX = 16 };

struct loading {
    search_files *files;
    search_index *index;
    struct search_manifest manifest;
    struct search_listed *listed;
    uint64_t lost; /* partitions of accounts that could not be loaded, a bit each */
    uint32_t lost_accounts;
};

void search_listed_release(struct search_listed *listed)
{
    for (size_t i = 0; i < listed->count; i++)
        search_place_unuse(listed->places[i]);
    free(listed->places);
    *listed = (struct search_listed){0};
}

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to load the index");
}

/* --- the manifest ------------------------------------------------------------------------------------- */

static bool read_all(int descriptor, struct search_buffer *buffer, error *err)
{
    enum { PIECE = 1 << 20 };
    for (;;) {
        if (!search_buffer_reserve(buffer, PIECE))
            return out_of_memory(err);
        ssize_t length = read(descriptor, buffer->data + buffer->length, PIECE);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return error_set(err, STATUS_DATA_LOSS, "", "cannot read the manifest: %s", strerror(errno));
        if (length == 0)
            return true;
        buffer->length += (size_t)length;
    }
}

/* False with *ret_there when there is one but it is of no use. */
static bool read_manifest(const search_files *files, struct search_manifest *ret_manifest, bool *ret_there,
                          error *err)
{
    int descriptor = openat(search_files_directory(files), "manifest", O_RDONLY | O_CLOEXEC);
    *ret_there = descriptor >= 0 || errno != ENOENT;
    if (descriptor < 0)
        return error_set(err, STATUS_DATA_LOSS, "", "cannot read the manifest: %s", strerror(errno));
    struct search_buffer buffer = {0};
    bool done = read_all(descriptor, &buffer, err) &&
                search_manifest_decode(buffer.data, buffer.length, ret_manifest, err);
    search_buffer_release(&buffer);
    close(descriptor);
    return done;
}

/* --- accounts ----------------------------------------------------------------------------------------- */

static bool load_section(struct loading *loading, const struct search_manifest_section *section,
                         struct search_draft *draft, error *err)
{
    const struct search_place wanted = {
        .offset = section->offset, .size = section->size, .checksum = section->checksum};
    struct search_place *place;
    if (!search_files_find(loading->files, section->file, &wanted, &place, err))
        return false;
    loading->listed->places[loading->listed->count++] = place;
    struct search_block *block = search_place_block(place, err);
    if (!block)
        return false;
    if (block->section.documents != section->documents) {
        search_block_unref(block);
        return error_set(err, STATUS_DATA_LOSS, "", "a section has another size than the manifest says");
    }
    return search_draft_add(draft, block, search_alive_ref(section->alive)) || out_of_memory(err);
}

static bool load_account(struct loading *loading, const struct search_manifest_account *account,
                         const struct search_manifest_section *sections, error *err)
{
    struct search_draft draft = {0};
    size_t listed = loading->listed->count;
    bool done = true;
    for (uint32_t i = 0; done && i < account->count; i++)
        done = load_section(loading, &sections[i], &draft, err);
    struct search_view *view = done ? search_draft_finish(&draft) : NULL;
    if (view)
        return search_index_restore(loading->index, account->id, view, account->erased, err);
    if (done)
        out_of_memory(err);
    else
        search_draft_release(&draft);
    while (loading->listed->count > listed)
        search_place_unuse(loading->listed->places[--loading->listed->count]);
    return false;
}

/* What is lost is read from the feed again: from the beginning of the account's partition. */
static void lose(struct loading *loading, const char *account, const error *err)
{
    loading->lost |= UINT64_C(1) << feed_partition(account);
    if (loading->lost_accounts++ < LOGGED_MAX)
        log_error("an account's index cannot be used and is read anew", LOG_TEXT("account", account),
                  LOG_TEXT("error.message", err->message));
}

static void load_accounts(struct loading *loading)
{
    const struct search_manifest_section *sections = loading->manifest.sections;
    for (uint32_t i = 0; i < loading->manifest.account_count; i++) {
        const struct search_manifest_account *account = &loading->manifest.accounts[i];
        error err = {0};
        if (!load_account(loading, account, sections, &err))
            lose(loading, account->id, &err);
        sections += account->count;
    }
    struct feed_positions positions = loading->manifest.positions;
    for (int i = 0; i < FEED_PARTITIONS; i++)
        if (loading->lost >> i & 1)
            positions.at[i] = 0;
    search_index_set_positions(loading->index, &positions);
}

static bool is_for_us(const struct search_manifest *manifest, uint32_t shard, uint32_t shards, error *err)
{
    return (manifest->shard == shard && manifest->shards == shards) ||
           error_set(err, STATUS_FAILED_PRECONDITION, "", "the index is of shard %u/%u", manifest->shard,
                     manifest->shards);
}

bool search_store_load(search_files *files, uint32_t shard, uint32_t shards, search_index *index,
                       struct search_listed *ret_listed, error *err)
{
    struct loading loading = {.files = files, .index = index, .listed = ret_listed};
    int64_t begin_us = clock_monotonic_us();
    error why = {0};
    bool there;
    *ret_listed = (struct search_listed){0};
    bool good = read_manifest(files, &loading.manifest, &there, &why) &&
                is_for_us(&loading.manifest, shard, shards, &why);
    if (good) {
        ret_listed->places = calloc(loading.manifest.section_count + 1, sizeof(struct search_place *));
        if (!ret_listed->places) {
            search_manifest_release(&loading.manifest);
            return out_of_memory(err);
        }
        load_accounts(&loading);
    } else if (there) {
        log_error("the stored index cannot be used and is read anew", LOG_TEXT("error.message", why.message));
    }
    search_files_trim(files);
    log_info("index loaded",
             LOG_NUMBER("accounts", (int64_t)loading.manifest.account_count - loading.lost_accounts),
             LOG_NUMBER("accounts_lost", loading.lost_accounts),
             LOG_NUMBER("sections", (int64_t)ret_listed->count),
             LOG_NUMBER("bytes", (int64_t)search_files_bytes(files)),
             LOG_NUMBER("duration_us", clock_monotonic_us() - begin_us));
    search_manifest_release(&loading.manifest);
    return true;
}
