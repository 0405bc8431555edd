#include "search/search_store.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread_priority.h"
#include "search/search_manifest.h"
#include "search/search_store_load.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* How often the thread looks; bytes a second that a purge writes. */
#define LOOK_US (CLOCK_SECOND / 4)
#define PURGE_AGAIN (10 * CLOCK_SECOND) /* after one that failed */
enum { PURGE_RATE = 64 << 20 };

struct search_store {
    struct search_store_options options;
    search_index *index;
    search_files *files;
    struct search_listed listed; /* by the manifest that is there */
    struct feed_positions positions;
    uint64_t filed; /* search_index_filed as of the last checkpoint */
    uint64_t marks; /* of its manifest, like those of a checkpoint */
    int64_t checkpoint_us, retry_us, try_at_us;
    pthread_mutex_t lock; /* of `stopping` */
    pthread_cond_t stop;
    pthread_t thread;
    bool stopping;
    pthread_mutex_t writing; /* one checkpoint at a time */
    metrics_counter *done, *failed, *purged;
    metrics_gauge *bytes, *files_gauge, *age, *erasure;
    metrics_histogram *took;
};

/* A checkpoint while it is made. */
struct checkpoint {
    struct search_captured *accounts;
    size_t account_count;
    struct search_manifest manifest;
    struct search_block **blocks; /* of each section of the manifest; in the captured views */
    struct search_listed places;  /* likewise */
    bool *fresh;                  /* likewise: written now */
    size_t fresh_count;
    uint64_t marks; /* a sum over the accounts with something to be erased */
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a checkpoint");
}

/* --- what there is ------------------------------------------------------------------------------------ */

static bool allocate(struct checkpoint *made)
{
    size_t sections = 1;
    for (size_t i = 0; i < made->account_count; i++)
        sections += made->accounts[i].view->count;
    made->manifest.accounts = calloc(made->account_count + 1, sizeof *made->manifest.accounts);
    made->manifest.sections = calloc(sections, sizeof *made->manifest.sections);
    made->blocks = calloc(sections, sizeof(struct search_block *));
    made->places.places = calloc(sections, sizeof(struct search_place *));
    made->fresh = calloc(sections, sizeof *made->fresh);
    return made->manifest.accounts && made->manifest.sections && made->blocks && made->places.places &&
           made->fresh;
}

static void release(struct checkpoint *made)
{
    search_listed_release(&made->places);
    search_manifest_release(&made->manifest);
    search_index_captured_free(made->accounts, made->account_count);
    free(made->blocks);
    free(made->fresh);
}

/* Takes the present state; says which sections have to be written. */
static bool capture(const search_store *store, struct checkpoint *made, error *err)
{
    struct search_manifest *manifest = &made->manifest;
    if (!search_index_capture(store->index, &manifest->positions, &made->accounts, &made->account_count, err))
        return false;
    if (!allocate(made))
        return out_of_memory(err);
    manifest->shard = store->options.shard;
    manifest->shards = store->options.shards;
    for (size_t i = 0; i < made->account_count; i++) {
        const struct search_captured *captured = &made->accounts[i];
        struct search_manifest_account *account = &manifest->accounts[manifest->account_count++];
        snprintf(account->id, sizeof account->id, "%s", captured->id);
        account->erased = captured->erased;
        made->marks += captured->erased ? XXH3_64bits(captured->id, strlen(captured->id)) : 0;
        account->count = captured->view->count;
        for (uint32_t slice = 0; slice < captured->view->count; slice++) {
            const struct search_slice *from = &captured->view->slices[slice];
            const struct search_place *place = search_place_of(from->block);
            uint32_t to = manifest->section_count++;
            made->blocks[to] = from->block;
            made->fresh[to] = !place || search_place_is_lonely(place);
            made->fresh_count += made->fresh[to];
            manifest->sections[to].documents = from->block->section.documents;
            manifest->sections[to].alive = search_alive_ref(from->alive);
        }
    }
    return true;
}

/* --- files -------------------------------------------------------------------------------------------- */

static void fill_section(struct search_manifest_section *section, const struct search_place *place)
{
    section->file = search_place_file(place);
    section->offset = place->offset;
    section->size = place->size;
    section->checksum = place->checksum;
}

static bool add_sections(search_store *store, struct checkpoint *made, error *err)
{
    for (uint32_t i = 0; i < made->manifest.section_count; i++) {
        struct search_place *place = search_place_of(made->blocks[i]);
        if (!made->fresh[i])
            search_place_use(place);
        else if (!search_files_add(store->files, &made->blocks[i]->section, &place, err))
            return false;
        made->places.places[made->places.count++] = place;
        fill_section(&made->manifest.sections[i], place);
    }
    return true;
}

static bool write_sections(search_store *store, struct checkpoint *made, error *err)
{
    if (made->fresh_count == 0)
        return add_sections(store, made, err);
    injection_point("search_store.before_sections");
    if (!search_files_begin(store->files, err))
        return false;
    if (!add_sections(store, made, err)) {
        search_files_abandon(store->files);
        return false;
    }
    bool done = search_files_end(store->files, err);
    injection_point("search_store.after_sections");
    return done;
}

static bool write_all(int descriptor, const struct search_buffer *buffer)
{
    for (size_t at = 0; at < buffer->length;) {
        ssize_t written = write(descriptor, buffer->data + at, buffer->length - at);
        if (written < 0 && errno != EINTR)
            return false;
        at += written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* Under another name first: whoever is killed leaves the old one or the new one, whole. */
static bool replace_manifest(int directory, const struct search_buffer *buffer, error *err)
{
    int descriptor = openat(directory, "manifest.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = descriptor >= 0 && write_all(descriptor, buffer) && fdatasync(descriptor) == 0;
    int why = errno;
    if (descriptor >= 0)
        close(descriptor);
    injection_point("search_store.before_manifest");
    if (done) {
        done = renameat(directory, "manifest.new", directory, "manifest") == 0 && fsync(directory) == 0;
        why = errno;
    }
    injection_point("search_store.after_manifest");
    return done || error_set(err, STATUS_UNAVAILABLE, "", "cannot write the manifest: %s", strerror(why));
}

static bool write_manifest(search_store *store, const struct search_manifest *manifest, error *err)
{
    struct search_buffer buffer = {0};
    bool done = search_manifest_encode(manifest, &buffer, err) &&
                replace_manifest(search_files_directory(store->files), &buffer, err);
    search_buffer_release(&buffer);
    return done;
}

/* --- from memory to files ----------------------------------------------------------------------------- */

/* From now on what was written is read from the mapping. What is being merged just now stays in memory: it
 * will be gone soon, and is written once more if it is not. */
static void exchange(const struct search_captured *captured, struct search_block *const *blocks,
                     struct search_place *const *places, const bool *fresh)
{
    uint32_t count = captured->view->count, made = 0;
    struct search_block **to = calloc(count, sizeof(struct search_block *));
    for (uint32_t i = 0; to && i < count; i++) {
        error err;
        to[i] = fresh[i] ? search_place_block(places[i], &err) : NULL;
        made += to[i] != NULL;
    }
    if (made > 0 && !search_account_exchange(captured->account, blocks, to, count))
        log_warn("no memory to read an account's index from its file", LOG_TEXT("account", captured->id));
    for (uint32_t i = 0; to && i < count; i++)
        search_block_unref(to[i]);
    free(to);
}

static void exchange_all(const struct checkpoint *made)
{
    size_t at = 0;
    for (size_t i = 0; i < made->account_count; i++) {
        const struct search_captured *captured = &made->accounts[i];
        exchange(captured, made->blocks + at, made->places.places + at, made->fresh + at);
        at += captured->view->count;
    }
}

/* --- a checkpoint ------------------------------------------------------------------------------------- */

/* Whether the directory says something else than this. */
static bool is_news(const search_store *store, const struct checkpoint *made)
{
    if (made->fresh_count > 0 || made->marks != store->marks ||
        made->manifest.section_count != store->listed.count ||
        memcmp(&made->manifest.positions, &store->positions, sizeof store->positions) != 0)
        return true;
    for (uint32_t i = 0; i < made->manifest.section_count; i++)
        if (search_place_of(made->blocks[i]) != store->listed.places[i])
            return true;
    return false;
}

static bool write_checkpoint(search_store *store, struct checkpoint *made, error *err)
{
    if (!write_sections(store, made, err) || !write_manifest(store, &made->manifest, err))
        return false;
    const struct search_listed old = store->listed;
    store->listed = made->places;
    made->places = old; /* released with the rest */
    store->positions = made->manifest.positions;
    store->marks = made->marks;
    struct checkpoint written = *made;
    written.places = store->listed;
    exchange_all(&written);
    return true;
}

/* A feed that has not been met yet has nothing to go on from. */
static bool checkpoint(search_store *store, error *err)
{
    struct checkpoint made = {0};
    uint64_t filed = search_index_filed(store->index);
    bool done = capture(store, &made, err);
    if (done && *made.manifest.positions.epoch && is_news(store, &made)) {
        done = write_checkpoint(store, &made, err);
        if (done)
            metrics_add(store->done, 1);
    }
    release(&made);
    injection_point("search_store.before_sweep");
    search_files_sweep(store->files);
    if (done)
        store->filed = filed;
    return done;
}

bool search_store_checkpoint(search_store *store, error *err)
{
    pthread_mutex_lock(&store->writing);
    int64_t begun_us = clock_monotonic_us();
    bool done = checkpoint(store, err);
    metrics_observe(store->took, clock_monotonic_us() - begun_us);
    if (done) {
        store->checkpoint_us = clock_monotonic_us();
        store->retry_us = 0;
    } else {
        metrics_add(store->failed, 1);
        store->retry_us = store->retry_us ? store->retry_us * 2 : CLOCK_SECOND;
        if (store->retry_us > store->options.interval_us)
            store->retry_us = store->options.interval_us;
    }
    store->try_at_us = clock_monotonic_us() + store->retry_us;
    metrics_set(store->bytes, (int64_t)search_files_bytes(store->files));
    metrics_set(store->files_gauge, (int64_t)search_files_count(store->files));
    pthread_mutex_unlock(&store->writing);
    return done;
}

/* --- the thread --------------------------------------------------------------------------------------- */

/* True when it is time to stop. */
static bool pause_for(search_store *store, int64_t duration_us)
{
    int64_t until = clock_monotonic_us() + duration_us;
    bool in_time = true;
    pthread_mutex_lock(&store->lock);
    while (!store->stopping && in_time)
        in_time = condition_wait_until(&store->stop, &store->lock, until);
    bool stopping = store->stopping;
    pthread_mutex_unlock(&store->lock);
    return stopping;
}

static bool step(void *context, size_t written)
{
    return !pause_for(context, (int64_t)written * CLOCK_SECOND / PURGE_RATE);
}

static void try_checkpoint(search_store *store)
{
    error err;
    if (!search_store_checkpoint(store, &err))
        log_error("the index is not written to its files and goes on in memory",
                  LOG_TEXT("error.message", err.message), LOG_NUMBER("retry_us", store->retry_us));
}

/* What was erased is in the files until it is rewritten and a manifest does without what it was. */
static bool purge(search_store *store)
{
    const struct search_pace pace = {step, store};
    error err = {0};
    if (search_index_purge(store->index, &pace, &err)) {
        metrics_add(store->purged, 1);
        return true;
    }
    if (err.code != STATUS_CANCELLED)
        log_error("what was erased is not purged yet", LOG_TEXT("error.message", err.message));
    return false;
}

/* Where the last checkpoint, which others make too, has left things. */
struct outlook {
    bool may_try, due;
    int64_t checkpoint_us;
};

static struct outlook look_at(search_store *store, int64_t now)
{
    pthread_mutex_lock(&store->writing);
    bool many = search_index_filed(store->index) - store->filed >= (uint64_t)store->options.bytes;
    bool old = now - store->checkpoint_us >= store->options.interval_us;
    struct outlook outlook = {.may_try = now >= store->try_at_us, .checkpoint_us = store->checkpoint_us};
    outlook.due = outlook.may_try && (many || old);
    pthread_mutex_unlock(&store->writing);
    return outlook;
}

static void *run(void *argument)
{
    search_store *store = argument;
    thread_lower_priority();
    int64_t look = store->options.interval_us < LOOK_US ? store->options.interval_us : LOOK_US;
    int64_t purge_at_us = 0;
    while (!pause_for(store, look)) {
        int64_t now = clock_monotonic_us();
        int64_t erased_for = search_index_erased_for(store->index, now);
        struct outlook outlook = look_at(store, now);
        bool wanted = erased_for > 0 && erased_for >= store->options.erasure_us && now >= purge_at_us;
        bool purged = wanted && outlook.may_try && purge(store);
        if (wanted && outlook.may_try && !purged)
            purge_at_us = now + PURGE_AGAIN;
        if (purged || outlook.due)
            try_checkpoint(store);
        now = clock_monotonic_us();
        metrics_set(store->erasure, search_index_erased_for(store->index, now) / CLOCK_SECOND);
        metrics_set(store->age, (now - look_at(store, now).checkpoint_us) / CLOCK_SECOND);
    }
    return NULL;
}

static void get_metrics(search_store *store)
{
    const char *help = "Checkpoints of the search index.";
    store->done = metrics_counter_get("casework_search_checkpoints_total", help, "result=\"written\"");
    store->failed = metrics_counter_get("casework_search_checkpoints_total", help, "result=\"failed\"");
    store->took = metrics_histogram_get("casework_search_checkpoint_duration_seconds",
                                        "Time that checkpoints took, also those with nothing to write.", "");
    store->purged = metrics_counter_get("casework_search_purges_total",
                                        "Times that erased words were rewritten away.", "");
    store->bytes = metrics_gauge_get("casework_search_file_bytes", "Bytes of sections in files.", "");
    store->files_gauge = metrics_gauge_get("casework_search_files", "Files that hold sections.", "");
    store->age = metrics_gauge_get("casework_search_checkpoint_age_seconds",
                                   "Time since the files were last known to be up to date.", "");
    store->erasure = metrics_gauge_get("casework_search_erasure_age_seconds",
                                       "Time since the oldest erasure whose words are still in sections; 0: "
                                       "there is none.",
                                       "");
}

static bool start(search_store *store, error *err)
{
    condition_init(&store->stop);
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->writing, NULL);
    if (pthread_create(&store->thread, NULL, run, store) == 0)
        return true;
    pthread_mutex_destroy(&store->writing);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->stop);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no thread to write checkpoints");
}

bool search_store_open(const struct search_store_options *options, search_index *index,
                       search_store **ret_store, error *err)
{
    search_store *store = calloc(1, sizeof *store);
    if (!store)
        return out_of_memory(err);
    store->options = *options;
    store->index = index;
    store->checkpoint_us = clock_monotonic_us();
    get_metrics(store);
    bool done = search_files_open(options->directory, &store->files, err) &&
                search_store_load(store->files, options->shard, options->shards, index, &store->listed, err);
    search_index_positions(index, &store->positions);
    if (done && start(store, err)) {
        *ret_store = store;
        return true;
    }
    search_index_clear(index);
    search_listed_release(&store->listed);
    search_files_close(store->files);
    free(store);
    return false;
}

void search_store_stop(search_store *store)
{
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    bool first = !store->stopping;
    store->stopping = true;
    pthread_cond_broadcast(&store->stop);
    pthread_mutex_unlock(&store->lock);
    if (!first)
        return;
    pthread_join(store->thread, NULL);
    try_checkpoint(store);
}

void search_store_free(search_store *store)
{
    if (!store)
        return;
    search_store_stop(store);
    search_listed_release(&store->listed);
    search_files_close(store->files);
    pthread_mutex_destroy(&store->writing);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->stop);
    free(store);
}
