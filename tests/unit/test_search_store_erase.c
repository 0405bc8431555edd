/* What was erased goes from the files of the index. */

#include "base/clock.h"
#include "tests/support/store_world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_US (10 * CLOCK_SECOND)

Test(search_store_erase, a_deleted_account_leaves_no_bytes)
{
    struct store_world world;
    store_world_begin(&world);
    store_fill(&world, 100);
    store_put(&world, 1, 7, "sesame");
    store_put(&world, 2, 7, "almond");
    store_settle(&world);
    store_checkpoint(&world);
    cr_assert_eq(store_files_with(&world, "sesame"), 1);
    search_index_drop(world.index, store_account_ids[1]);
    store_settle(&world);
    store_checkpoint(&world);
    cr_assert_eq(store_files_with(&world, "sesame"), 0);
    cr_assert_eq(store_files_with(&world, store_account_ids[1]), 0);
    cr_assert_eq(store_files_with(&world, "almond"), 1);
    store_world_reopen(&world);
    cr_assert_eq(store_total(&world, 1, "sesame"), 0);
    cr_assert_eq(store_total(&world, 2, "almond"), 1);
    store_expect_query(&world, 0, "contract");
    store_world_end(&world);
}

static void await_no_file_with(const struct store_world *world, const char *text)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (store_files_with(world, text) > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "%s is still there", text);
        nanosleep(&pause, NULL);
    }
}

Test(search_store_erase, erased_words_leave_the_files)
{
    struct store_world world;
    store_world_begin(&world);
    for (int round = 0; round < 3; round++) {
        store_fill(&world, 200);
        store_put(&world, 1, STORE_CASES + 1, round ? "sesame again" : "sesame");
        store_settle(&world);
        store_checkpoint(&world);
    }
    cr_assert_geq(store_files_with(&world, "sesame"), 1);
    store_put(&world, 1, STORE_CASES + 1, "nothing");
    store_settle(&world);
    store_checkpoint(&world);
    cr_assert_geq(store_files_with(&world, "sesame"), 1,
                  "a dead document's words are there until it is merged");
    search_index_mark_erased(world.index, store_account_ids[1]);
    await_no_file_with(&world, "sesame");
    store_expect_same(&world);
    store_world_reopen(&world);
    store_expect_same(&world);
    store_world_end(&world);
}

Test(search_store_erase, what_is_to_be_erased_is_remembered)
{
    struct store_world world;
    store_world_begin(&world);
    world.options.erasure_us = CLOCK_HOUR;
    store_world_reopen(&world);
    store_fill(&world, 200);
    store_put(&world, 1, STORE_CASES + 1, "sesame");
    store_settle(&world);
    store_checkpoint(&world);
    store_put(&world, 1, STORE_CASES + 1, "nothing");
    store_settle(&world);
    search_index_mark_erased(world.index, store_account_ids[1]);
    world.options.erasure_us = 1;
    store_world_reopen(&world);
    await_no_file_with(&world, "sesame");
    store_expect_same(&world);
    store_world_end(&world);
}

static bool refuse(void *context, size_t written)
{
    (void)context, (void)written;
    return false;
}

/* More words than a purge writes without looking whether it is to go on. */
static void put_many_words(struct store_world *world)
{
    enum { MANY_CASES = 100, MANY_WORDS = 400 };
    static char body[MANY_WORDS * 32];
    for (int64_t number = 1; number <= MANY_CASES; number++) {
        size_t length = 0;
        for (int i = 0; i < MANY_WORDS; i++)
            length += (size_t)snprintf(body + length, sizeof body - length, "%x%dx%lld ", rand(), i,
                                       (long long)number);
        store_put(world, 1, number, body);
    }
}

/* However often it is tried in vain, an erasure does not look younger. */
Test(search_store_erase, a_purge_that_is_given_up_leaves_the_mark_as_it_was)
{
    struct store_world world;
    const struct search_pace pace = {.step = refuse};
    error err = {0};
    store_world_begin(&world);
    world.options.erasure_us = CLOCK_HOUR;
    store_world_reopen(&world);
    put_many_words(&world);
    search_index_settle(world.index);
    store_put(&world, 1, 1, "nothing");
    search_index_mark_erased(world.index, store_account_ids[1]);
    int64_t later_us = clock_monotonic_us() + CLOCK_MINUTE;
    int64_t age_us = search_index_erased_for(world.index, later_us);
    cr_assert_geq(age_us, CLOCK_MINUTE);
    cr_assert_not(search_index_purge(world.index, &pace, &err));
    cr_assert_eq(err.code, STATUS_CANCELLED);
    cr_assert_eq(search_index_erased_for(world.index, later_us), age_us);
    cr_assert(search_index_purge(world.index, NULL, &err));
    cr_assert_eq(search_index_erased_for(world.index, later_us), 0);
    store_world_end(&world);
}
