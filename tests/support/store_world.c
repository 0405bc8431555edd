#include "tests/support/store_world.h"

#include "base/clock.h"
#include "embedded/process.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MEMORY = 4 << 20 };

const char *const store_account_ids[STORE_ACCOUNTS] = {"acme", "bolt", "cord"};
static const char *const words[] = {"contract", "invoice", "refund", "late",
                                    "broken",   "urgent",  "hello",  "thanks"};

void store_world_open(struct store_world *world)
{
    error err = {0};
    cr_assert(search_index_new(&world->index, &err));
    cr_assert(search_store_open(&world->options, world->index, &world->store, &err), "%s", err.message);
}

void store_world_close(struct store_world *world)
{
    search_store_stop(world->store);
    search_index_free(world->index);
    search_store_free(world->store);
}

void store_world_begin(struct store_world *world)
{
    *world = (struct store_world){.position = 1};
    snprintf(world->directory, sizeof world->directory, "/tmp/casework-store-XXXXXX");
    cr_assert(mkdtemp(world->directory));
    world->options = (struct search_store_options){.directory = world->directory,
                                                   .shards = 1,
                                                   .interval_us = CLOCK_HOUR,
                                                   .bytes = INT64_MAX,
                                                   .erasure_us = 0};
    for (int i = 0; i < STORE_ACCOUNTS; i++)
        world->readers[i] = plain_reader_new();
    cr_assert_neq(feed_partition(store_account_ids[0]), feed_partition(store_account_ids[1]));
    cr_assert_neq(feed_partition(store_account_ids[1]), feed_partition(store_account_ids[2]));
    cr_assert_neq(feed_partition(store_account_ids[0]), feed_partition(store_account_ids[2]));
    store_world_open(world);
}

void store_world_end(struct store_world *world)
{
    store_world_close(world);
    for (int i = 0; i < STORE_ACCOUNTS; i++)
        plain_reader_free(world->readers[i]);
    process_remove_tree(world->directory);
}

void store_put(struct store_world *world, int account, int64_t number, const char *body)
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
    cr_assert(search_index_apply(world->index, store_account_ids[account], &change, 1, &err));
    plain_reader_put(world->readers[account], &document);
}

void store_settle(struct store_world *world)
{
    struct feed_positions positions = {.epoch = "first"};
    for (int i = 0; i < FEED_PARTITIONS; i++)
        positions.at[i] = world->position;
    search_index_set_positions(world->index, &positions);
}

void store_fill(struct store_world *world, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        char body[64];
        snprintf(body, sizeof body, "%s %s x%d", words[rand() % 8], words[rand() % 8], rand() % 50);
        store_put(world, rand() % STORE_ACCOUNTS, 1 + rand() % STORE_CASES, body);
    }
    store_settle(world);
}

void store_checkpoint(struct store_world *world)
{
    error err = {0};
    cr_assert(search_store_checkpoint(world->store, &err), "%s", err.message);
}

void store_world_reopen(struct store_world *world)
{
    store_world_close(world);
    store_world_open(world);
}

static uint64_t find(struct store_world *world, int account, const char *text,
                     struct search_answer *ret_answer, arena *memory)
{
    struct search_query query = {.fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .descending = true,
                                 .limit = STORE_CASES};
    error err;
    cr_assert(search_query_words(text, memory, &query.words, &query.word_count, &err));
    cr_assert(search_index_query(world->index, store_account_ids[account], &query, memory, ret_answer, &err));
    cr_assert(search_answer_read(ret_answer, memory));
    return ret_answer->total;
}

uint64_t store_total(struct store_world *world, int account, const char *text)
{
    struct search_answer answer;
    arena *memory = arena_new(MEMORY);
    uint64_t found = find(world, account, text, &answer, memory);
    search_answer_release(&answer);
    arena_free(memory);
    return found;
}

void store_expect_query(struct store_world *world, int account, const char *text)
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

void store_expect_same(struct store_world *world)
{
    for (int account = 0; account < STORE_ACCOUNTS; account++)
        for (int i = 0; i < 50; i++) {
            char text[64];
            snprintf(text, sizeof text, "x%d", i);
            store_expect_query(world, account, text);
            snprintf(text, sizeof text, "%s %s", words[i % 8], words[i / 8]);
            store_expect_query(world, account, text);
        }
}

/* --- files -------------------------------------------------------------------------------------------- */

void store_path(const struct store_world *world, const char *name, char path[320])
{
    snprintf(path, 320, "%s/%s", world->directory, name);
}

bool store_sections_file(const struct store_world *world, int n, char path[320])
{
    DIR *directory = opendir(world->directory);
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(directory)))
        if (strncmp(entry->d_name, "sections-", 9) == 0 && n-- == 0) {
            store_path(world, entry->d_name, path);
            found = true;
        }
    closedir(directory);
    return found;
}

unsigned char *store_read_file(const char *path, size_t *ret_size)
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

void store_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(data, 1, size, file) == size);
    fclose(file);
}

int store_files_with(const struct store_world *world, const char *text)
{
    DIR *directory = opendir(world->directory);
    const struct dirent *entry;
    int found = 0;
    while ((entry = readdir(directory))) {
        char path[320];
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        store_path(world, entry->d_name, path);
        unsigned char *data = store_read_file(path, &size);
        found += data && memmem(data, size, text, strlen(text)) != NULL;
        free(data);
    }
    closedir(directory);
    return found;
}

int64_t store_position(struct store_world *world, int account)
{
    return search_index_position(world->index, store_account_ids[account]);
}
