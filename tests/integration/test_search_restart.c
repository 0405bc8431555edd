/*
 * The search service as a program, ended, killed at every point that matters, started again. What it finds
 * afterwards is what reading all cases gives.
 */

#include "base/clock.h"
#include "tests/support/search_program.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_US (30 * CLOCK_SECOND)

/* Until there are files with the text, or none. */
static void await_files_with(const struct search_program *world, const char *text, bool wanted)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while ((search_program_files_with(world, text) > 0) != wanted) {
        cr_assert_lt(clock_monotonic_us(), until, "%s %s", text,
                     wanted ? "is not written" : "is still there");
        search_program_pause();
    }
}

Test(search_restart, after_sigterm_only_the_tail_is_read, .timeout = 60)
{
    enum { TAIL = 5 };
    struct search_program world;
    search_program_begin(&world);
    search_program_serve(&world, NULL);
    search_program_expect_same(&world);
    search_program_stop(&world);
    size_t documents = fake_events_documents_read(world.events);
    size_t snapshots = fake_events_snapshots_read(world.events);
    for (int64_t number = 1; number <= TAIL; number++)
        search_program_write(&world, number, "w1 w2",
                             CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    search_program_serve(&world, NULL);
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
    search_program_serve(world, &settings);
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
    search_program_serve(&world, &(struct search_program_settings){.erasure = "0s"});
    await_files_with(&world, "sesame", true);
    search_program_write(&world, 1, "w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    await_files_with(&world, "sesame", false);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, a_deleted_account_leaves_the_files, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_write(&world, 1, "sesame w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    search_program_serve(&world, NULL);
    await_files_with(&world, "sesame", true);
    fake_events_add(world.events, "acme", 0, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED,
                    NULL);
    await_files_with(&world, "sesame", false);
    await_files_with(&world, "parcel", false);
    await_files_with(&world, "acme", false);
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, another_database_starts_anew, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_serve(&world, NULL);
    search_program_expect_same(&world);
    search_program_stop(&world);
    fake_events_restore(world.events, "another");
    pthread_mutex_lock(&world.lock);
    for (int64_t number = 1; number < SEARCH_PROGRAM_CASES; number++)
        world.cases[number].there = false;
    pthread_mutex_unlock(&world.lock);
    for (int i = 0; i < SEARCH_PROGRAM_CASES; i++)
        search_program_change(&world);
    search_program_serve(&world, NULL);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

Test(search_restart, two_in_one_directory_is_an_error, .timeout = 60)
{
    struct search_program world, second;
    search_program_begin(&world);
    search_program_serve(&world, NULL);
    pthread_mutex_lock(&world.lock); /* somebody may be reading a case */
    second = world;
    pthread_mutex_unlock(&world.lock);
    search_program_start(&second, NULL);
    int status = search_program_await_end(&second);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}

static void cut_files_short(const struct search_program *world)
{
    char path[80], name[400];
    snprintf(path, sizeof path, "%s/index", world->directory);
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int cut = 0;
    cr_assert_not_null(directory);
    while ((entry = readdir(directory))) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (strncmp(entry->d_name, "sections-", strlen("sections-")) == 0) {
            cr_assert_eq(truncate(name, 0), 0);
            cut++;
        }
    }
    closedir(directory);
    cr_assert_gt(cut, 0, "there are no files");
}

/* Under a sanitizer too a program dies of SIGBUS and makes no report of it. Before there are threads. */
static void let_die_of_sigbus(const char *options)
{
    char value[1024];
    const char *others = getenv(options);
    snprintf(value, sizeof value, "%s%shandle_sigbus=0", others ? others : "", others ? ":" : "");
    cr_assert_eq(setenv(options, value, 1), 0);
}

/* Whoever starts it again heals it: the disk has failed, or somebody has laid hands on the files. */
Test(search_restart, files_that_are_cut_short_cost_a_start_and_no_case, .timeout = 60)
{
    struct search_program world;
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    let_die_of_sigbus("ASAN_OPTIONS");
    let_die_of_sigbus("TSAN_OPTIONS");
    search_program_begin(&world);
    search_program_serve(&world, NULL);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_serve(&world, NULL); /* from its files */
    cut_files_short(&world);
    request.parent = (char *)"accounts/acme";
    request.query = (char *)"parcel";
    cr_assert_not(rpc_client_call(world.channel, &casework__search__v1__search_service__descriptor,
                                  "SearchCases", &request.base, &options, world.memory, &response, &err));
    int status = search_program_await_end(&world);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "status %d", status);
    search_program_serve(&world, NULL);
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}
