/* The index in files: what is written comes back, whatever is broken does no harm. */

#include "base/injection.h"
#include "embedded/process.h"
#include "search/search_manifest.h"
#include "tests/support/store_world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(search_store, what_was_written_comes_back)
{
    struct store_world world;
    store_world_begin(&world);
    for (int round = 0; round < 12; round++) {
        store_fill(&world, 1 + rand() % 300);
        if (round % 3)
            store_checkpoint(&world);
        store_expect_same(&world);
        if (round % 4 == 3)
            search_index_settle(world.index);
        if (round % 2)
            store_world_reopen(&world);
        store_expect_same(&world);
        cr_assert_eq(store_position(&world, 0), world.position);
    }
    store_world_end(&world);
}

Test(search_store, files_that_are_not_needed_go)
{
    struct store_world world;
    store_world_begin(&world);
    for (int round = 0; round < 120; round++) {
        store_fill(&world, 20);
        store_checkpoint(&world);
    }
    search_index_settle(world.index);
    store_checkpoint(&world);
    char path[320];
    int count = 0;
    while (store_sections_file(&world, count, path))
        count++;
    cr_assert(count > 0 && count <= 12, "%d files", count);
    store_expect_same(&world);
    store_world_end(&world);
}

Test(search_store, nothing_is_written_when_nothing_changed)
{
    struct store_world world;
    struct stat before, after;
    char path[320];
    store_world_begin(&world);
    store_path(&world, "manifest", path);
    store_checkpoint(&world);
    cr_assert_neq(stat(path, &before), 0, "there is no epoch to go on from");
    store_fill(&world, 10);
    store_checkpoint(&world);
    store_checkpoint(&world); /* from memory to files: another view, the same content */
    cr_assert_eq(stat(path, &before), 0);
    store_checkpoint(&world);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    store_world_end(&world);
}

Test(search_store, one_process_has_the_directory)
{
    struct store_world world;
    search_index *index;
    search_store *store;
    error err = {0};
    store_world_begin(&world);
    cr_assert(search_index_new(&index, &err));
    cr_assert_not(search_store_open(&world.options, index, &store, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert(strstr(err.message, "another process uses"), "%s", err.message);
    struct search_store_options nowhere = world.options;
    nowhere.directory = "/proc/nowhere";
    cr_assert_not(search_store_open(&nowhere, index, &store, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    search_index_free(index);
    store_world_end(&world);
}

/* Accounts are there as they were, or not at all and with nothing said to be complete. */
static int count_lost(struct store_world *world)
{
    int lost = 0;
    for (int account = 0; account < STORE_ACCOUNTS; account++) {
        bool gone = store_position(world, account) == 0;
        if (gone)
            cr_assert_eq(store_total(world, account, "contract"), 0);
        else
            store_expect_query(world, account, "contract");
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

static void keep(struct store_world *world, struct kept *kept)
{
    store_fill(world, 600);
    store_world_close(world);
    cr_assert(store_sections_file(world, 0, kept->names[0]));
    store_path(world, "manifest", kept->names[1]);
    for (int i = 0; i < 2; i++) {
        kept->data[i] = store_read_file(kept->names[i], &kept->sizes[i]);
        cr_assert(kept->data[i], "%s", kept->names[i]);
    }
}

/* With a byte changed at a place, or cut there. */
static void put_back(const struct store_world *world, const struct kept *kept, int damaged, bool cut)
{
    process_remove_tree(world->directory);
    cr_assert_eq(mkdir(world->directory, 0700), 0);
    for (int i = 0; i < 2; i++) {
        size_t at = (size_t)rand() % kept->sizes[i];
        unsigned char change = (unsigned char)(i == damaged ? 1 + rand() % 255 : 0);
        kept->data[i][at] ^= change;
        store_write_file(kept->names[i], kept->data[i], i == damaged && cut ? at : kept->sizes[i]);
        kept->data[i][at] ^= change;
    }
}

static void finish(struct store_world *world, struct kept *kept)
{
    put_back(world, kept, -1, false);
    store_world_open(world);
    store_expect_same(world);
    store_world_end(world);
    free(kept->data[0]);
    free(kept->data[1]);
}

Test(search_store, damaged_sections_are_left_out)
{
    struct store_world world;
    struct kept kept;
    int lost = 0;
    store_world_begin(&world);
    keep(&world, &kept);
    for (int round = 0; round < 60; round++) {
        put_back(&world, &kept, 0, round % 5 == 0);
        store_world_open(&world);
        lost += count_lost(&world);
        store_world_close(&world);
    }
    cr_assert_geq(lost, 50, "only %d accounts were lost", lost);
    finish(&world, &kept);
}

Test(search_store, a_damaged_manifest_is_no_manifest)
{
    struct store_world world;
    struct kept kept;
    store_world_begin(&world);
    keep(&world, &kept);
    for (int round = 0; round < 60; round++) {
        put_back(&world, &kept, 1, round % 3 == 0);
        store_world_open(&world);
        cr_assert_eq(count_lost(&world), STORE_ACCOUNTS);
        struct feed_positions positions;
        search_index_positions(world.index, &positions);
        cr_assert_str_eq(positions.epoch, "");
        store_world_close(&world);
    }
    finish(&world, &kept);
}

Test(search_store, what_cannot_be_read_is_left_out)
{
    struct store_world world;
    struct kept kept;
    store_world_begin(&world);
    keep(&world, &kept);
    for (int i = 0; i < 2; i++) {
        put_back(&world, &kept, -1, false);
        cr_assert_eq(unlink(kept.names[i]), 0);
        if (i)
            cr_assert_eq(mkdir(kept.names[i], 0700), 0);
        store_world_open(&world);
        cr_assert_eq(count_lost(&world), STORE_ACCOUNTS);
        store_settle(&world);
        error err;
        cr_assert_eq(search_store_checkpoint(world.store, &err), i == 0);
        store_world_close(&world);
    }
    finish(&world, &kept);
}

Test(search_store, another_shard_starts_anew)
{
    struct store_world world;
    store_world_begin(&world);
    store_fill(&world, 100);
    world.options.shards = 2;
    store_world_reopen(&world);
    cr_assert_eq(count_lost(&world), STORE_ACCOUNTS);
    store_world_end(&world);
}

Test(search_store, a_full_disk_is_waited_for)
{
    struct store_world world;
    char path[320];
    error err = {0};
    store_world_begin(&world);
    store_fill(&world, 100);
    injection_set("search_files.write=drop");
    cr_assert_not(search_store_checkpoint(world.store, &err));
    cr_assert_geq(injection_fired("search_files.write"), 1);
    cr_assert(strstr(err.message, "No space left"), "%s", err.message);
    cr_assert_not(store_sections_file(&world, 0, path), "a file is left over");
    store_fill(&world, 100);
    store_expect_same(&world);
    injection_set("");
    store_checkpoint(&world);
    store_world_reopen(&world);
    store_expect_same(&world);
    store_world_end(&world);
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
        snprintf(manifest.accounts[i].id, sizeof manifest.accounts[i].id, "%s", store_account_ids[i]);
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
    cr_assert_str_eq(read.accounts[1].id, store_account_ids[1]);
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
