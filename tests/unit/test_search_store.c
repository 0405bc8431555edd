/* The index in files: what is written comes back, whatever is broken does no harm, what was erased goes. */

#include "base/clock.h"
#include "base/injection.h"
#include "embedded/process.h"
#include "search/search_manifest.h"
#include "search/search_store.h"
#include "tests/support/plain_search.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_US (10 * CLOCK_SECOND)

enum { ACCOUNTS = 3, CASES = 200, MEMORY = 4 << 20 };

/* An index with its files, and what it should find. */
struct world {
    char directory[64];
    struct search_store_options options;
    search_index *index;
    search_store *store;
    struct plain_reader *readers[ACCOUNTS];
    int64_t position;
};

static const char *const account_ids[ACCOUNTS] = {"acme", "bolt", "cord"};
static const char *const words[] = {"contract", "invoice", "refund", "late",
                                    "broken",   "urgent",  "hello",  "thanks"};

/* --- the world ---------------------------------------------------------------------------------------- */

static void open_world(struct world *world)
{
    error err = {0};
    cr_assert(search_index_new(&world->index, &err));
    cr_assert(search_store_open(&world->options, world->index, &world->store, &err), "%s", err.message);
}

static void close_world(struct world *world)
{
    search_store_stop(world->store);
    search_index_free(world->index);
    search_store_free(world->store);
}

static void begin(struct world *world)
{
    *world = (struct world){.position = 1};
    snprintf(world->directory, sizeof world->directory, "/tmp/casework-store-XXXXXX");
    cr_assert(mkdtemp(world->directory));
    world->options = (struct search_store_options){.directory = world->directory,
                                                   .shards = 1,
                                                   .interval_us = CLOCK_HOUR,
                                                   .bytes = INT64_MAX,
                                                   .erasure_us = 0};
    for (int i = 0; i < ACCOUNTS; i++)
        world->readers[i] = plain_reader_new();
    cr_assert_neq(feed_partition(account_ids[0]), feed_partition(account_ids[1]));
    cr_assert_neq(feed_partition(account_ids[1]), feed_partition(account_ids[2]));
    cr_assert_neq(feed_partition(account_ids[0]), feed_partition(account_ids[2]));
    open_world(world);
}

static void end(struct world *world)
{
    close_world(world);
    for (int i = 0; i < ACCOUNTS; i++)
        plain_reader_free(world->readers[i]);
    process_remove_tree(world->directory);
}

static void put(struct world *world, int account, int64_t number, const char *body)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)number);
    const struct search_text texts[] = {
        {SEARCH_FIELD_SUBJECT, words[number % 8]}, {SEARCH_FIELD_CASE_ID, id}, {SEARCH_FIELD_MESSAGE, body}};
    const struct search_document document = {.number = number,
                                             .position = ++world->position,
                                             .update_time_us = world->position,
                                             .status = 1 + (int)(number % 3),
                                             .subject = words[number % 8],
                                             .owner = "ann",
                                             .channel = "mail",
                                             .contact = "",
                                             .texts = texts,
                                             .text_count = 3};
    const struct search_change change = {.number = number, .document = &document};
    error err;
    cr_assert(search_index_apply(world->index, account_ids[account], &change, 1, &err));
    plain_reader_put(world->readers[account], &document);
}

/* All events so far are in. */
static void settle(struct world *world)
{
    struct feed_positions positions = {.epoch = "first"};
    for (int i = 0; i < FEED_PARTITIONS; i++)
        positions.at[i] = world->position;
    search_index_set_positions(world->index, &positions);
}

static void fill(struct world *world, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        char body[64];
        snprintf(body, sizeof body, "%s %s x%d", words[rand() % 8], words[rand() % 8], rand() % 50);
        put(world, rand() % ACCOUNTS, 1 + rand() % CASES, body);
    }
    settle(world);
}

static void checkpoint(struct world *world)
{
    error err = {0};
    cr_assert(search_store_checkpoint(world->store, &err), "%s", err.message);
}

static void reopen(struct world *world)
{
    close_world(world);
    open_world(world);
}

static uint64_t find(struct world *world, int account, const char *text, struct search_answer *ret_answer,
                     arena *memory)
{
    struct search_query query = {.fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .descending = true,
                                 .limit = CASES};
    error err;
    cr_assert(search_query_words(text, memory, &query.words, &query.word_count, &err));
    cr_assert(search_index_query(world->index, account_ids[account], &query, memory, ret_answer, &err));
    cr_assert(search_answer_read(ret_answer, memory));
    return ret_answer->total;
}

static uint64_t total(struct world *world, int account, const char *text)
{
    struct search_answer answer;
    arena *memory = arena_new(MEMORY);
    uint64_t found = find(world, account, text, &answer, memory);
    search_answer_release(&answer);
    arena_free(memory);
    return found;
}

static void expect_query(struct world *world, int account, const char *text)
{
    const struct plain_query query = {.text = text, .order = 'u', .descending = true};
    struct plain_answer expected;
    struct search_answer answer;
    arena *memory = arena_new(MEMORY);
    plain_reader_find(world->readers[account], &query, &expected);
    cr_assert_eq(find(world, account, text, &answer, memory), expected.count, "%s: %zu", text,
                 expected.count);
    for (size_t i = 0; i < expected.count; i++)
        cr_assert_eq(answer.results[i].number, expected.results[i].number);
    plain_answer_release(&expected);
    search_answer_release(&answer);
    arena_free(memory);
}

static void expect_same(struct world *world)
{
    for (int account = 0; account < ACCOUNTS; account++)
        for (int i = 0; i < 50; i++) {
            char text[64];
            snprintf(text, sizeof text, "x%d", i);
            expect_query(world, account, text);
            snprintf(text, sizeof text, "%s %s", words[i % 8], words[i / 8]);
            expect_query(world, account, text);
        }
}

/* --- files -------------------------------------------------------------------------------------------- */

static void path_of(const struct world *world, const char *name, char path[320])
{
    snprintf(path, 320, "%s/%s", world->directory, name);
}

/* The n-th file of sections, as readdir tells them; false: there are not so many. */
static bool sections_file(const struct world *world, int n, char path[320])
{
    DIR *directory = opendir(world->directory);
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(directory)))
        if (strncmp(entry->d_name, "sections-", 9) == 0 && n-- == 0) {
            path_of(world, entry->d_name, path);
            found = true;
        }
    closedir(directory);
    return found;
}

/* NULL: it has gone. The caller frees. */
static unsigned char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "r");
    if (!file && errno == ENOENT)
        return NULL;
    cr_assert(file, "%s", path);
    struct stat status;
    cr_assert_eq(fstat(fileno(file), &status), 0);
    unsigned char *data = malloc((size_t)status.st_size + 1);
    *ret_size = fread(data, 1, (size_t)status.st_size, file);
    fclose(file);
    return data;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(data, 1, size, file) == size);
    fclose(file);
}

/* In how many files of the directory the text stands; the index may put others in their place meanwhile. */
static int files_with(const struct world *world, const char *text)
{
    DIR *directory = opendir(world->directory);
    const struct dirent *entry;
    int found = 0;
    while ((entry = readdir(directory))) {
        char path[320];
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        path_of(world, entry->d_name, path);
        unsigned char *data = read_file(path, &size);
        found += data && memmem(data, size, text, strlen(text)) != NULL;
        free(data);
    }
    closedir(directory);
    return found;
}

static int64_t position_of(struct world *world, int account)
{
    return search_index_position(world->index, account_ids[account]);
}

/* --- tests -------------------------------------------------------------------------------------------- */

Test(search_store, what_was_written_comes_back)
{
    struct world world;
    begin(&world);
    for (int round = 0; round < 12; round++) {
        fill(&world, 1 + rand() % 300);
        if (round % 3)
            checkpoint(&world);
        expect_same(&world);
        if (round % 4 == 3)
            search_index_settle(world.index);
        if (round % 2)
            reopen(&world);
        expect_same(&world);
        cr_assert_eq(position_of(&world, 0), world.position);
    }
    end(&world);
}

Test(search_store, files_that_are_not_needed_go)
{
    struct world world;
    begin(&world);
    for (int round = 0; round < 120; round++) {
        fill(&world, 20);
        checkpoint(&world);
    }
    search_index_settle(world.index);
    checkpoint(&world);
    char path[320];
    int count = 0;
    while (sections_file(&world, count, path))
        count++;
    cr_assert(count > 0 && count <= 12, "%d files", count);
    expect_same(&world);
    end(&world);
}

Test(search_store, nothing_is_written_when_nothing_changed)
{
    struct world world;
    struct stat before, after;
    char path[320];
    begin(&world);
    path_of(&world, "manifest", path);
    checkpoint(&world);
    cr_assert_neq(stat(path, &before), 0, "there is no epoch to go on from");
    fill(&world, 10);
    checkpoint(&world);
    checkpoint(&world); /* from memory to files: another view, the same content */
    cr_assert_eq(stat(path, &before), 0);
    checkpoint(&world);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    end(&world);
}

Test(search_store, one_process_has_the_directory)
{
    struct world world;
    search_index *index;
    search_store *store;
    error err = {0};
    begin(&world);
    cr_assert(search_index_new(&index, &err));
    cr_assert_not(search_store_open(&world.options, index, &store, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert(strstr(err.message, "another process uses"), "%s", err.message);
    struct search_store_options nowhere = world.options;
    nowhere.directory = "/proc/nowhere";
    cr_assert_not(search_store_open(&nowhere, index, &store, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    search_index_free(index);
    end(&world);
}

/* Accounts are there as they were, or not at all and with nothing said to be complete. */
static int count_lost(struct world *world)
{
    int lost = 0;
    for (int account = 0; account < ACCOUNTS; account++) {
        bool gone = position_of(world, account) == 0;
        if (gone)
            cr_assert_eq(total(world, account, "contract"), 0);
        else
            expect_query(world, account, "contract");
        lost += gone;
    }
    return lost;
}

/* A directory as it was left, to be damaged time and again. */
struct kept {
    char names[2][320]; /* a file of sections, the manifest */
    unsigned char *data[2];
    size_t sizes[2];
};

static void keep(struct world *world, struct kept *kept)
{
    fill(world, 600);
    close_world(world);
    cr_assert(sections_file(world, 0, kept->names[0]));
    path_of(world, "manifest", kept->names[1]);
    for (int i = 0; i < 2; i++) {
        kept->data[i] = read_file(kept->names[i], &kept->sizes[i]);
        cr_assert(kept->data[i], "%s", kept->names[i]);
    }
}

/* With a byte changed at a place, or cut there. */
static void put_back(const struct world *world, const struct kept *kept, int damaged, bool cut)
{
    process_remove_tree(world->directory);
    cr_assert_eq(mkdir(world->directory, 0700), 0);
    for (int i = 0; i < 2; i++) {
        size_t at = (size_t)rand() % kept->sizes[i];
        unsigned char change = (unsigned char)(i == damaged ? 1 + rand() % 255 : 0);
        kept->data[i][at] ^= change;
        write_file(kept->names[i], kept->data[i], i == damaged && cut ? at : kept->sizes[i]);
        kept->data[i][at] ^= change;
    }
}

static void finish(struct world *world, struct kept *kept)
{
    put_back(world, kept, -1, false);
    open_world(world);
    expect_same(world);
    end(world);
    free(kept->data[0]);
    free(kept->data[1]);
}

Test(search_store, damaged_sections_are_left_out)
{
    struct world world;
    struct kept kept;
    int lost = 0;
    begin(&world);
    keep(&world, &kept);
    for (int round = 0; round < 60; round++) {
        put_back(&world, &kept, 0, round % 5 == 0);
        open_world(&world);
        lost += count_lost(&world);
        close_world(&world);
    }
    cr_assert_geq(lost, 50, "only %d accounts were lost", lost);
    finish(&world, &kept);
}

Test(search_store, a_damaged_manifest_is_no_manifest)
{
    struct world world;
    struct kept kept;
    begin(&world);
    keep(&world, &kept);
    for (int round = 0; round < 60; round++) {
        put_back(&world, &kept, 1, round % 3 == 0);
        open_world(&world);
        cr_assert_eq(count_lost(&world), ACCOUNTS);
        struct feed_positions positions;
        search_index_positions(world.index, &positions);
        cr_assert_str_eq(positions.epoch, "");
        close_world(&world);
    }
    finish(&world, &kept);
}

Test(search_store, what_cannot_be_read_is_left_out)
{
    struct world world;
    struct kept kept;
    begin(&world);
    keep(&world, &kept);
    for (int i = 0; i < 2; i++) {
        put_back(&world, &kept, -1, false);
        cr_assert_eq(unlink(kept.names[i]), 0);
        if (i)
            cr_assert_eq(mkdir(kept.names[i], 0700), 0);
        open_world(&world);
        cr_assert_eq(count_lost(&world), ACCOUNTS);
        settle(&world);
        error err;
        cr_assert_eq(search_store_checkpoint(world.store, &err), i == 0);
        close_world(&world);
    }
    finish(&world, &kept);
}

Test(search_store, another_shard_starts_anew)
{
    struct world world;
    begin(&world);
    fill(&world, 100);
    world.options.shards = 2;
    reopen(&world);
    cr_assert_eq(count_lost(&world), ACCOUNTS);
    end(&world);
}

Test(search_store, a_full_disk_is_waited_for)
{
    struct world world;
    char path[320];
    error err = {0};
    begin(&world);
    fill(&world, 100);
    injection_set("search_files.write=drop");
    cr_assert_not(search_store_checkpoint(world.store, &err));
    cr_assert_geq(injection_fired("search_files.write"), 1);
    cr_assert(strstr(err.message, "No space left"), "%s", err.message);
    cr_assert_not(sections_file(&world, 0, path), "a file is left over");
    fill(&world, 100);
    expect_same(&world);
    injection_set("");
    checkpoint(&world);
    reopen(&world);
    expect_same(&world);
    end(&world);
}

Test(search_store, a_deleted_account_leaves_no_bytes)
{
    struct world world;
    begin(&world);
    fill(&world, 100);
    put(&world, 1, 7, "sesame");
    put(&world, 2, 7, "almond");
    settle(&world);
    checkpoint(&world);
    cr_assert_eq(files_with(&world, "sesame"), 1);
    search_index_drop(world.index, account_ids[1]);
    settle(&world);
    checkpoint(&world);
    cr_assert_eq(files_with(&world, "sesame"), 0);
    cr_assert_eq(files_with(&world, account_ids[1]), 0);
    cr_assert_eq(files_with(&world, "almond"), 1);
    reopen(&world);
    cr_assert_eq(total(&world, 1, "sesame"), 0);
    cr_assert_eq(total(&world, 2, "almond"), 1);
    expect_query(&world, 0, "contract");
    end(&world);
}

static void await_no_file_with(const struct world *world, const char *text)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (files_with(world, text) > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "%s is still there", text);
        nanosleep(&pause, NULL);
    }
}

Test(search_store, erased_words_leave_the_files)
{
    struct world world;
    begin(&world);
    for (int round = 0; round < 3; round++) {
        fill(&world, 200);
        put(&world, 1, CASES + 1, round ? "sesame again" : "sesame");
        settle(&world);
        checkpoint(&world);
    }
    cr_assert_geq(files_with(&world, "sesame"), 1);
    put(&world, 1, CASES + 1, "nothing");
    settle(&world);
    checkpoint(&world);
    cr_assert_geq(files_with(&world, "sesame"), 1, "a dead document's words are there until it is merged");
    search_index_mark_erased(world.index, account_ids[1]);
    await_no_file_with(&world, "sesame");
    expect_same(&world);
    reopen(&world);
    expect_same(&world);
    end(&world);
}

Test(search_store, what_is_to_be_erased_is_remembered)
{
    struct world world;
    begin(&world);
    world.options.erasure_us = CLOCK_HOUR;
    reopen(&world);
    fill(&world, 200);
    put(&world, 1, CASES + 1, "sesame");
    settle(&world);
    checkpoint(&world);
    put(&world, 1, CASES + 1, "nothing");
    settle(&world);
    search_index_mark_erased(world.index, account_ids[1]);
    world.options.erasure_us = 1;
    reopen(&world);
    await_no_file_with(&world, "sesame");
    expect_same(&world);
    end(&world);
}

static bool refuse(void *context, size_t written)
{
    (void)context, (void)written;
    return false;
}

/* More words than a purge writes without looking whether it is to go on. */
static void put_many_words(struct world *world)
{
    enum { MANY_CASES = 100, MANY_WORDS = 400 };
    static char body[MANY_WORDS * 32];
    for (int64_t number = 1; number <= MANY_CASES; number++) {
        size_t length = 0;
        for (int i = 0; i < MANY_WORDS; i++)
            length += (size_t)snprintf(body + length, sizeof body - length, "%x%dx%lld ", rand(), i,
                                       (long long)number);
        put(world, 1, number, body);
    }
}

/* However often it is tried in vain, an erasure does not look younger. */
Test(search_store, a_purge_that_is_given_up_leaves_the_mark_as_it_was)
{
    struct world world;
    const struct search_pace pace = {.step = refuse};
    error err = {0};
    begin(&world);
    world.options.erasure_us = CLOCK_HOUR;
    reopen(&world);
    put_many_words(&world);
    search_index_settle(world.index);
    put(&world, 1, 1, "nothing");
    search_index_mark_erased(world.index, account_ids[1]);
    int64_t later_us = clock_monotonic_us() + CLOCK_MINUTE;
    int64_t age_us = search_index_erased_for(world.index, later_us);
    cr_assert_geq(age_us, CLOCK_MINUTE);
    cr_assert_not(search_index_purge(world.index, &pace, &err));
    cr_assert_eq(err.code, STATUS_CANCELLED);
    cr_assert_eq(search_index_erased_for(world.index, later_us), age_us);
    cr_assert(search_index_purge(world.index, NULL, &err));
    cr_assert_eq(search_index_erased_for(world.index, later_us), 0);
    end(&world);
}

Test(search_store, a_manifest_comes_back)
{
    struct search_manifest manifest = {.positions = {.epoch = "first"}, .shard = 1, .shards = 3}, read;
    struct search_buffer buffer = {0};
    error err;
    manifest.account_count = manifest.section_count = 2;
    manifest.accounts = calloc(2, sizeof *manifest.accounts);
    manifest.sections = calloc(2, sizeof *manifest.sections);
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(manifest.accounts[i].id, sizeof manifest.accounts[i].id, "%s", account_ids[i]);
        manifest.accounts[i].count = 1;
        manifest.accounts[i].erased = i == 1;
        manifest.sections[i] = (struct search_manifest_section){
            .file = 5 + i, .offset = 64 * i, .size = 1000, .checksum = 77 * i, .documents = 70000};
        manifest.positions.at[i] = 12 + i;
    }
    manifest.sections[1].alive = search_alive_copy(NULL, 70000);
    cr_assert(search_alive_kill(manifest.sections[1].alive, 69999));
    cr_assert(search_manifest_encode(&manifest, &buffer, &err));
    cr_assert(search_manifest_decode(buffer.data, buffer.length, &read, &err), "%s", err.message);
    cr_assert_eq(read.shard, 1);
    cr_assert_eq(read.shards, 3);
    cr_assert_arr_eq(&read.positions, &manifest.positions, sizeof read.positions);
    cr_assert_eq(read.account_count, 2);
    cr_assert_str_eq(read.accounts[1].id, account_ids[1]);
    cr_assert(!read.accounts[0].erased && read.accounts[1].erased);
    cr_assert_eq(read.sections[1].file, 6);
    cr_assert_eq(read.sections[1].checksum, 77);
    cr_assert_null(read.sections[0].alive);
    cr_assert_eq(search_alive_count(read.sections[1].alive, 70000), 69999);
    cr_assert_not(search_alive_has(read.sections[1].alive, 69999));
    search_manifest_release(&read);
    for (size_t size = 0; size < buffer.length; size += 7)
        cr_assert_not(search_manifest_decode(buffer.data, size, &read, &err));
    search_manifest_release(&manifest);
    search_buffer_release(&buffer);
}
