/* What was erased leaves the files of the search index too, whoever is killed in between. */

#include "base/clock.h"
#include "tests/support/erase_marks.h"
#include "tests/support/section_words.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_US (60 * CLOCK_SECOND)

static void take_word(void *context, const char *word, size_t length)
{
    marks_in_text(context, word, length, "a section's words");
}

/* In the bytes, and in the words however they are spelled. False: files change meanwhile, it is not all. */
static bool count_marks(const char *directory, size_t *ret_count, struct section_files *ret_files)
{
    struct marks_found found = {0};
    bool whole = section_words_read(directory, take_word, &found, ret_files);
    marks_in_folder(&found, directory, "none");
    *ret_count = found.count;
    return whole;
}

/* Until the marks in the files are at least, or at most, so many; `spelled`: in sections that spell words. */
static void await_marks(const char *directory, size_t least, size_t most, bool spelled)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    struct section_files files = {0};
    size_t count = 0;
    while (!count_marks(directory, &count, &files) || count < least || count > most ||
           (spelled && files.spelled == 0)) {
        cr_assert_lt(clock_monotonic_us(), until, "%zu marks in the files, not %zu to %zu; %zu are spelled",
                     count, least, most, files.spelled);
        nanosleep(&(const struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    }
}

/* `plain`: words stand in the files as they are. */
static void erase_all(bool plain, bool kill)
{
    char folder[] = "/tmp/casework-search-erase-XXXXXX", setting[96], directory[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(directory, sizeof directory, "%s/index", folder);
    snprintf(setting, sizeof setting, "SEARCH_DATA_DIRECTORY=%s", directory);
    const char *const settings[] = {
        setting, "SEARCH_CHECKPOINT_INTERVAL=50ms", "SEARCH_ERASURE_INTERVAL=500ms",
        plain ? "CASEWORK_INJECT=search_writer.spell=drop" : "CASEWORK_INJECT=", NULL};
    const struct suite_options options = {.settings = settings};
    struct erase_scene scene = {.s = suite_start(&options), .memory = arena_new(ERASE_SCENE_MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    scene_create_channel(&scene);
    scene_plant(&scene);
    size_t searchable = marks_searchable(&scene);
    cr_assert_gt(searchable, 12);
    await_marks(directory, searchable, ERASE_MARKS_MAX, !plain); /* one body has thousands of words */

    scene_erase(&scene);
    if (kill) {
        pid_t former = suite_kill(scene.s, SUITE_SEARCH, 0);
        suite_await_restart(scene.s, SUITE_SEARCH, 0, former);
    }
    scene_await_erased(&scene);
    await_marks(directory, 0, 0, false);
    cr_assert_eq(marks_searchable(&scene), 0);
    cr_assert_gt(scene_search(&scene, "keepme7x"), 0, "others keep theirs");
    scene_end(&scene);
    await_marks(directory, 0, 0, false);
    process_remove_tree(folder);
}

Test(search_erase, no_byte_is_left_in_the_files, .timeout = 240)
{
    erase_all(true, false);
}

Test(search_erase, no_word_is_left_however_it_is_spelled, .timeout = 240)
{
    erase_all(false, false);
}

Test(search_erase, no_word_is_left_when_it_was_killed, .timeout = 240)
{
    erase_all(false, true);
}
