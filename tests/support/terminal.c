#include "tests/support/terminal.h"

#include "base/clock.h"
#include "tests/support/suite_private.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32, SCREEN_MAX = 1 << 20, NAME_MAX_SIZE = 64 };

#define RUN_TIMEOUT (60 * CLOCK_SECOND)

/* Answers the side that sees what is written; `ret_name` is what a program opens. */
static int open_terminal(char ret_name[NAME_MAX_SIZE])
{
    const struct winsize size = {.ws_row = 25, .ws_col = 80};
    struct termios plain;
    int screen = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (screen < 0)
        cr_skip_test("no pseudo-terminal can be had here");
    cr_assert_eq(grantpt(screen), 0);
    cr_assert_eq(unlockpt(screen), 0);
    cr_assert_eq(ptsname_r(screen, ret_name, NAME_MAX_SIZE), 0);
    cr_assert_eq(ioctl(screen, TIOCSWINSZ, &size), 0);
    cr_assert_eq(tcgetattr(screen, &plain), 0);
    cfmakeraw(&plain);
    cr_assert_eq(tcsetattr(screen, TCSANOW, &plain), 0);
    return screen;
}

/* Until the program has closed its side. */
static char *read_screen(int screen)
{
    char *text = calloc(1, SCREEN_MAX);
    size_t length = 0;
    int64_t until = clock_monotonic_us() + RUN_TIMEOUT;
    cr_assert_not_null(text);
    while (clock_monotonic_us() < until && length < SCREEN_MAX - 1) {
        struct pollfd ready = {.fd = screen, .events = POLLIN};
        if (poll(&ready, 1, 100) <= 0)
            continue;
        ssize_t got = read(screen, text + length, SCREEN_MAX - 1 - length);
        if (got <= 0)
            return text;
        length += (size_t)got;
    }
    cr_assert_fail("the program goes on and on: %s", text);
    return text;
}

int terminal_run(suite *s, const char *const *arguments, const char *output, char **ret_screen)
{
    char name[NAME_MAX_SIZE], program[SUITE_PATH_SIZE + 16];
    /* The shell does what process_start does not: give the two outputs different ways. */
    const char *argv[ARGUMENTS_MAX] = {"sh",
                                       "-c",
                                       output ? "to=$1; shift; exec \"$@\" >\"$to\"" : "shift; exec \"$@\"",
                                       "sh",
                                       output ? output : "",
                                       program};
    static const char *const settings[] = {"LC_ALL=C.UTF-8", "TERM=xterm", NULL};
    size_t count = 6;
    int status = 0;
    process *p;
    error err;
    snprintf(program, sizeof program, "%s/casework", s->programs);
    for (size_t i = 0; count < ARGUMENTS_MAX - 3 && arguments[i]; i++)
        argv[count++] = arguments[i];
    argv[count++] = "--ready-file";
    argv[count++] = s->ready_file;
    int screen = open_terminal(name);
    const struct process_options options = {.argv = argv, .output_file = name, .settings = settings};
    cr_assert(process_start(&options, &p, &err), "%s", err.message);
    *ret_screen = read_screen(screen);
    cr_assert(process_wait(p, clock_monotonic_us() + RUN_TIMEOUT, &status));
    process_free(p);
    close(screen);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
