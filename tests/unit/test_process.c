/* Child processes and their directories. */

#include "base/clock.h"
#include "embedded/process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 128, NOBODY = 65534 };

static char scratch[64];

static void setup(void)
{
    error err;
    cr_assert(process_make_scratch("casework-process", scratch, sizeof scratch, &err), "%s", err.message);
    umask(0077);
}

static void teardown(void)
{
    process_remove_tree(scratch);
}

TestSuite(process, .init = setup, .fini = teardown);

static const char *below(const char *name)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static unsigned mode_of(const char *name)
{
    struct stat status;
    return stat(below(name), &status) == 0 ? status.st_mode & 07777 : 0;
}

static bool make(const char *name)
{
    error err;
    return process_make_directory(below(name), &err);
}

Test(process, a_directory_is_ours_only_and_its_new_parents_can_be_passed_where_we_start_others)
{
    unsigned parents = geteuid() == 0 ? 0755 : 0700;
    cr_assert(make("data/home/casework/"));
    cr_expect_eq(mode_of("data"), parents, "%o", mode_of("data"));
    cr_expect_eq(mode_of("data/home"), parents, "%o", mode_of("data/home"));
    cr_expect_eq(mode_of("data/home/casework"), 0700, "%o", mode_of("data/home/casework"));
}

Test(process, a_directory_that_is_there_stays_as_it_is)
{
    cr_assert(make("there"));
    cr_assert_eq(chmod(below("there"), 0710), 0);
    cr_expect(make("there"));
    cr_expect(make("there/below"));
    cr_expect_eq(mode_of("there"), 0710, "%o", mode_of("there"));
}

static int as_an_ordinary_user(void)
{
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return 2;
    return make("theirs/home/casework") && mode_of("theirs/home") == 0700 &&
                   mode_of("theirs/home/casework") == 0700
               ? 0
               : 1;
}

Test(process, whoever_is_not_root_keeps_all_to_himself)
{
    int status = -1;
    if (geteuid() != 0)
        return; /* the first test has looked at it */
    cr_assert(make("theirs"));
    cr_assert_eq(chown(below("theirs"), NOBODY, NOBODY), 0);
    cr_assert_eq(chmod(scratch, 0711), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(as_an_ordinary_user());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
}

Test(process, what_is_no_directory_is_told)
{
    error err;
    FILE *file = fopen(below("file"), "w");
    cr_assert(file);
    fclose(file);
    cr_expect(!process_make_directory(below("file/in/it"), &err));
    cr_expect_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_expect(!process_make_directory("", &err));
    cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT);
}
