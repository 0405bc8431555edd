/*
 * The search service as a program, ended, killed at every point that matters, started again. What it finds
 * afterwards is what reading all cases gives.
 */

#include "base/clock.h"
#include "tests/support/search_program.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define WAIT_US (30 * CLOCK_SECOND)

Test(search_restart, after_sigterm_only_the_tail_is_read, .timeout = 60)
{
    enum { TAIL = 5 };
    struct search_program world;
    search_program_begin(&world);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    search_program_expect_same(&world);
    search_program_stop(&world);
    size_t documents = fake_events_documents_read(world.events);
    size_t snapshots = fake_events_snapshots_read(world.events);
    for (int64_t number = 1; number <= TAIL; number++)
        search_program_write(&world, number, "w1 w2",
                             CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    cr_assert_eq(fake_events_documents_read(world.events) - documents, TAIL);
    cr_assert_eq(fake_events_snapshots_read(world.events), snapshots);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

/* Something of everything, now and then; a little at a time. */
static void go_on(struct search_program *world)
{
    search_program_change(world);
    search_program_write(world, 1, "w3", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    if (rand() % 4 == 0)
        search_program_rename(world);
    if (rand() % 4 == 0)
        (void)search_program_rebuild(world); /* fails when the program is killed meanwhile */
    arena_clear(world->memory);
}

static void expect_same_after_start(struct search_program *world, bool in_memory)
{
    const struct search_program_settings settings = {.erasure = "0s", .in_memory = in_memory};
    search_program_start(world, &settings);
    search_program_await_serving(world);
    search_program_expect_same(world);
    search_program_stop(world);
}

/* One story of a service that is killed at the point, and comes back. */
static void be_killed(const char *point, bool in_memory)
{
    struct search_program world;
    char inject[96];
    struct search_program_settings settings = {.inject = inject, .erasure = "0s", .in_memory = in_memory};
    search_program_begin(&world);
    snprintf(inject, sizeof inject, "%s=kill@3", point);
    search_program_start(&world, &settings);
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (process_running(world.program)) {
        cr_assert_lt(clock_monotonic_us(), until, "nobody was killed at %s", point);
        go_on(&world);
        search_program_pause();
    }
    int status = search_program_await_end(&world);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: status %d", point, status);
    expect_same_after_start(&world, in_memory);
    expect_same_after_start(&world, in_memory);
    search_program_end(&world);
}

/* Points that are reached only where there is a directory. */
static void be_killed_at(const char *point)
{
    be_killed(point, false);
}

/* Points that have nothing to do with files. */
static void be_killed_anywhere_at(const char *point)
{
    be_killed(point, false);
    be_killed(point, true);
}

Test(search_restart, killed_before_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_store.before_sections");
}

Test(search_restart, killed_while_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_files.write");
}

Test(search_restart, killed_after_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_store.after_sections");
}

Test(search_restart, killed_before_its_manifest_is_there, .timeout = 60)
{
    be_killed_at("search_store.before_manifest");
}

Test(search_restart, killed_after_its_manifest_is_there, .timeout = 60)
{
    be_killed_at("search_store.after_manifest");
}

Test(search_restart, killed_before_it_tidies_up, .timeout = 60)
{
    be_killed_at("search_store.before_sweep");
}

Test(search_restart, killed_while_it_merges, .timeout = 60)
{
    be_killed_anywhere_at("search_account.merged");
}

Test(search_restart, killed_when_cases_are_filed, .timeout = 60)
{
    be_killed_anywhere_at("search_follower.filed");
}

Test(search_restart, killed_amid_a_contact_s_cases, .timeout = 60)
{
    be_killed_anywhere_at("search_backlog.filed");
}

Test(search_restart, killed_before_a_rebuilt_account_is_in_place, .timeout = 60)
{
    be_killed_anywhere_at("search_index.rebuilt");
}

Test(search_restart, redacted_words_leave_the_files, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_write(&world, 1, "sesame w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    search_program_start(&world, &(struct search_program_settings){.erasure = "0s"});
    search_program_await_serving(&world);
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (search_program_files_with(&world, "sesame") == 0) {
        cr_assert_lt(clock_monotonic_us(), until, "nothing is written");
        search_program_pause();
    }
    search_program_write(&world, 1, "w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    while (search_program_files_with(&world, "sesame") > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "it is still there");
        search_program_pause();
    }
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, a_deleted_account_leaves_the_files, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_write(&world, 1, "sesame w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (search_program_files_with(&world, "sesame") == 0) {
        cr_assert_lt(clock_monotonic_us(), until, "nothing is written");
        search_program_pause();
    }
    fake_events_add(world.events, "acme", 0, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED,
                    NULL);
    while (search_program_files_with(&world, "sesame") + search_program_files_with(&world, "parcel") +
               search_program_files_with(&world, "acme") >
           0) {
        cr_assert_lt(clock_monotonic_us(), until, "it is still there");
        search_program_pause();
    }
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, another_database_starts_anew, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    search_program_expect_same(&world);
    search_program_stop(&world);
    fake_events_restore(world.events, "another");
    pthread_mutex_lock(&world.lock);
    for (int64_t number = 1; number < SEARCH_PROGRAM_CASES; number++)
        world.cases[number].there = false;
    pthread_mutex_unlock(&world.lock);
    for (int i = 0; i < SEARCH_PROGRAM_CASES; i++)
        search_program_change(&world);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, two_in_one_directory_is_an_error, .timeout = 60)
{
    struct search_program world, second;
    search_program_begin(&world);
    search_program_start(&world, NULL);
    search_program_await_serving(&world);
    second = world;
    search_program_start(&second, NULL);
    int status = search_program_await_end(&second);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}
