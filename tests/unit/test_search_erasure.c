/* After an erasure no word that only the erased contact used is in the index's files, however it was spelled
 * there. */

#include "base/clock.h"
#include "embedded/process.h"
#include "search/search_store.h"
#include "tests/support/section_words.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_US (30 * CLOCK_SECOND)

/* Case n is contact n % CONTACTS'. Each has WORDS words of its own, of which every case takes some, and words
 * that all have. */
enum { CONTACTS = 4, ERASED = 1, CASES = 400, WORDS = 1200, WORDS_OF_CASE = 40, COMMON = 200, BATCH = 100 };

#define ACCOUNT "acme"

struct world {
    char directory[64];
    struct search_store_options options;
    search_index *index;
    search_store *store;
    int64_t position;
};

/* Which words stand in files. */
struct seen {
    bool own[CONTACTS][WORDS], common[COMMON], key[CONTACTS];
    size_t counts[CONTACTS], commons, keys, others;
    struct section_files files;
};

static void own_word(int64_t contact, int64_t n, char word[48])
{
    snprintf(word, 48, "%s%lldx%lldтаб", n % 2 ? "invoice" : "стол", (long long)contact, (long long)n);
}

static void body_of(int64_t number, char *body, size_t size)
{
    size_t length = 0;
    char word[48];
    for (int64_t i = 0; i < WORDS_OF_CASE; i++) {
        own_word(number % CONTACTS, (number * 31 + i * 7) % WORDS, word);
        length += (size_t)snprintf(body + length, size - length, "%s common%lld ", word,
                                   (long long)((number + i) % COMMON));
        cr_assert_lt(length, size);
    }
}

/* What is left of an erased contact's case are its number and its status. */
static void put(struct world *world, int64_t from, int64_t to, int64_t step, bool blank)
{
    static char bodies[BATCH][WORDS_OF_CASE * 64], contacts[BATCH][8];
    static struct search_text texts[BATCH];
    static struct search_document documents[BATCH];
    struct search_change changes[BATCH];
    size_t count = 0;
    error err;
    for (int64_t number = from; number < to; number += step, count++) {
        body_of(number, bodies[count], sizeof bodies[count]);
        snprintf(contacts[count], sizeof contacts[count], "k%lld", (long long)(number % CONTACTS));
        texts[count] = (struct search_text){SEARCH_FIELD_MESSAGE, bodies[count]};
        documents[count] = (struct search_document){.number = number + 1,
                                                    .position = ++world->position,
                                                    .update_time_us = number,
                                                    .status = 1,
                                                    .subject = blank ? "" : bodies[count],
                                                    .owner = "ann",
                                                    .channel = "mail",
                                                    .contact = contacts[count],
                                                    .texts = &texts[count],
                                                    .text_count = !blank};
        changes[count] = (struct search_change){.number = number + 1, .document = &documents[count]};
    }
    cr_assert(search_index_apply(world->index, ACCOUNT, changes, count, &err));
}

static void checkpoint(struct world *world)
{
    struct feed_positions positions = {.epoch = "first"};
    error err = {0};
    for (int i = 0; i < FEED_PARTITIONS; i++)
        positions.at[i] = world->position;
    search_index_set_positions(world->index, &positions);
    cr_assert(search_store_checkpoint(world->store, &err), "%s", err.message);
}

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
    snprintf(world->directory, sizeof world->directory, "/tmp/casework-erasure-XXXXXX");
    cr_assert(mkdtemp(world->directory));
    world->options = (struct search_store_options){.directory = world->directory,
                                                   .shards = 1,
                                                   .interval_us = CLOCK_HOUR,
                                                   .bytes = INT64_MAX,
                                                   .erasure_us = 1};
    open_world(world);
}

static void end(struct world *world)
{
    close_world(world);
    process_remove_tree(world->directory);
}

static void reopen(struct world *world)
{
    close_world(world);
    open_world(world);
}

static void note(bool *is_there, size_t *count)
{
    *count += !*is_there;
    *is_there = true;
}

static void see(void *context, const char *word, size_t length)
{
    struct seen *seen = context;
    char text[64];
    if (length > 0 && *word == '\0') {
        seen->keys++; /* of a filter: names, which stay */
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)(length < 63 ? length : 63), word);
    char *end;
    long first = strtol(text + strcspn(text, "0123456789"), &end, 10);
    long n = *end == 'x' ? strtol(end + 1, NULL, 10) : first;
    if (strncmp(text, "common", 6) == 0 && n >= 0 && n < COMMON)
        note(&seen->common[n], &seen->commons);
    else if (*end == 'x' && first >= 0 && first < CONTACTS && n >= 0 && n < WORDS)
        note(&seen->own[first][n], &seen->counts[first]);
    else
        seen->others++;
}

/* False while files change. */
static bool look(const struct world *world, struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    return section_words_read(world->directory, see, seen, &seen->files);
}

/* The others' words are all there, and nothing that no section is made of. */
static void expect_others(const struct seen *seen)
{
    for (int contact = 0; contact < CONTACTS; contact++)
        if (contact != ERASED)
            cr_assert_eq(seen->counts[contact], WORDS, "%zu of %d", seen->counts[contact], contact);
    cr_assert_eq(seen->commons, COMMON);
    cr_assert_eq(seen->others, 0);
    cr_assert_gt(seen->keys, 0);
    cr_assert_eq(seen->files.stray, 0, "%zu bytes outside of sections", seen->files.stray);
}

static void await_erasure(const struct world *world, struct seen *seen)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (!look(world, seen) || seen->counts[ERASED] > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "%zu words are still there", seen->counts[ERASED]);
        nanosleep(&pause, NULL);
    }
}

/* In large sections, whose words are spelled, and in small ones beside them. */
static void fill(struct world *world)
{
    struct seen seen;
    for (int64_t from = 0; from < CASES; from += BATCH)
        put(world, from, from + BATCH, 1, false);
    checkpoint(world);
    for (int64_t number = 0; number < CASES; number += 61)
        put(world, number, number + 1, 1, false);
    checkpoint(world);
    cr_assert(look(world, &seen));
    cr_assert_eq(seen.counts[ERASED], WORDS, "%zu", seen.counts[ERASED]);
    cr_assert_gt(seen.files.spelled, 0);
    cr_assert_gt(seen.files.sections, seen.files.spelled);
    expect_others(&seen);
}

static void erase(struct world *world)
{
    struct seen seen;
    put(world, ERASED, CASES, CONTACTS, true);
    checkpoint(world);
    cr_assert(look(world, &seen));
    cr_assert_eq(seen.counts[ERASED], WORDS, "dead documents' words are there until they are rewritten");
    search_index_mark_erased(world->index, ACCOUNT);
}

Test(search_erasure, no_word_of_an_erased_contact_is_left_in_files, .timeout = 120)
{
    struct world world;
    struct seen seen;
    begin(&world);
    fill(&world);
    erase(&world);
    await_erasure(&world, &seen);
    cr_assert_gt(seen.files.spelled, 0);
    expect_others(&seen);
    end(&world);
}

/* The account was marked, and the process ended before anything was rewritten. */
Test(search_erasure, nor_when_a_restart_came_between, .timeout = 120)
{
    struct world world;
    struct seen seen;
    begin(&world);
    fill(&world);
    world.options.erasure_us = CLOCK_HOUR;
    reopen(&world);
    erase(&world);
    world.options.erasure_us = 1;
    reopen(&world);
    await_erasure(&world, &seen);
    expect_others(&seen);
    end(&world);
}
