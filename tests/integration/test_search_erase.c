/* What was erased leaves the files of the search index too, whoever is killed in between. */

#include "base/clock.h"
#include "tests/support/erase_marks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_US (60 * CLOCK_SECOND)

static size_t marks_in_index(const char *directory)
{
    struct marks_found found = {0};
    marks_in_folder(&found, directory, "none");
    return found.count;
}

/* Until the marks in the files are at least, or at most, so many. */
static void await_marks(const char *directory, size_t least, size_t most)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    size_t count;
    while ((count = marks_in_index(directory)) < least || count > most) {
        cr_assert_lt(clock_monotonic_us(), until, "%zu marks in the files, not %zu to %zu", count, least,
                     most);
        nanosleep(&(const struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    }
}

static void erase_all(bool kill)
{
    char folder[] = "/tmp/casework-search-erase-XXXXXX", setting[96], directory[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(directory, sizeof directory, "%s/index", folder);
    snprintf(setting, sizeof setting, "SEARCH_DATA_DIRECTORY=%s", directory);
    const char *const settings[] = {setting, "SEARCH_CHECKPOINT_INTERVAL=50ms",
                                    "SEARCH_ERASURE_INTERVAL=500ms",
                                    "CASEWORK_INJECT=search_writer.spell=drop", /* marks as they are */
                                    NULL};
    const struct suite_options options = {.settings = settings};
    struct erase_scene scene = {.s = suite_start(&options), .memory = arena_new(ERASE_SCENE_MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    scene_create_channel(&scene);
    scene_plant(&scene);
    size_t searchable = marks_searchable(&scene);
    cr_assert_gt(searchable, 12);
    await_marks(directory, searchable, ERASE_MARKS_MAX);

    scene_erase(&scene);
    if (kill) {
        pid_t former = suite_kill(scene.s, SUITE_SEARCH, 0);
        suite_await_restart(scene.s, SUITE_SEARCH, 0, former);
    }
    scene_await_erased(&scene);
    await_marks(directory, 0, 0);
    cr_assert_eq(marks_searchable(&scene), 0);
    cr_assert_gt(scene_search(&scene, "keepme7x"), 0, "others keep theirs");
    scene_end(&scene);
    cr_assert_eq(marks_in_index(directory), 0);
    process_remove_tree(folder);
}

Test(search_erase, no_byte_is_left_in_the_files, .timeout = 240)
{
    erase_all(false);
}

Test(search_erase, no_byte_is_left_when_it_was_killed, .timeout = 240)
{
    erase_all(true);
}
