/* base/config.h: where values come from, what they mean, what is refused. */

#include "base/clock.h"
#include "base/config.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *url;
static int64_t number, duration;
static bool flag;

static const struct config_option options[] = {
    {.env = "TEST_URL",
     .help = "where",
     .fallback = "nowhere",
     .type = CONFIG_TEXT,
     .secret = true,
     .value = &url},
    {.env = "TEST_NUMBER",
     .help = "how many",
     .fallback = "5",
     .type = CONFIG_NUMBER,
     .minimum = 1,
     .maximum = 100,
     .value = &number},
    {.env = "TEST_DURATION",
     .help = "how long",
     .fallback = "15s",
     .type = CONFIG_DURATION,
     .minimum = 1,
     .maximum = 3 * CLOCK_DAY,
     .value = &duration},
    {.env = "TEST_FLAG", .help = "whether", .fallback = "false", .type = CONFIG_FLAG, .value = &flag},
    {.env = NULL},
};

static error err;

static enum config_outcome read_args(const char *const *args)
{
    char *argv[8] = {"program"};
    int argc = 1;
    while (args && *args)
        argv[argc++] = (char *)*args++;
    return config_read("program", "does things", options, argc, argv, &err);
}

#define READ(...) read_args((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

Test(config, fallbacks)
{
    cr_assert_eq(READ(), CONFIG_RUN);
    cr_assert_str_eq(url, "nowhere");
    cr_assert_eq(number, 5);
    cr_assert_eq(duration, 15 * CLOCK_SECOND);
    cr_assert_not(flag);
}

Test(config, the_command_line_wins_over_the_environment)
{
    setenv("TEST_URL", "from environment", 1);
    setenv("TEST_NUMBER", "7", 1);
    cr_assert_eq(READ("--test-number=8", "--test-flag"), CONFIG_RUN);
    cr_assert_str_eq(url, "from environment");
    cr_assert_eq(number, 8);
    cr_assert(flag);
    cr_assert_eq(READ("--test-url", "given apart", "--test-flag=false"), CONFIG_RUN);
    cr_assert_str_eq(url, "given apart");
    cr_assert_not(flag);
}

Test(config, values_from_files)
{
    char path[] = "/tmp/casework-config-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, "se cret\n", 8), 8);
    close(fd);
    setenv("TEST_URL_FILE", path, 1);
    cr_assert_eq(READ(), CONFIG_RUN);
    cr_assert_str_eq(url, "se cret");
    setenv("TEST_URL", "both", 1);
    cr_assert_eq(READ(), CONFIG_WRONG);
    cr_assert_not_null(strstr(err.message, "TEST_URL_FILE"));
    unsetenv("TEST_URL");
    unlink(path);
    cr_assert_eq(READ(), CONFIG_WRONG);
    cr_assert_not_null(strstr(err.message, path));
}

Test(config, durations)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"--test-duration=500ms", CLOCK_SECOND / 2},
                {"--test-duration=7us", 7},
                {"--test-duration=5m", 5 * CLOCK_MINUTE},
                {"--test-duration=72h", 72 * CLOCK_HOUR},
                {"--test-duration=3d", 3 * CLOCK_DAY}};
    static const char *const bad[] = {"15", "s", "1 s", "-1s", "1w", "", "99999999999999d", "4d", "0"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(READ(good[i].text), CONFIG_RUN, "%s", good[i].text);
        cr_assert_eq(duration, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("TEST_DURATION", bad[i], 1);
        cr_assert_eq(READ(), CONFIG_WRONG, "\"%s\"", bad[i]);
        cr_assert_not_null(strstr(err.message, "TEST_DURATION"));
    }
}

Test(config, what_is_wrong_changes_nothing)
{
    number = -7;
    cr_assert_eq(READ("--test-number=8", "--test-flag=perhaps"), CONFIG_WRONG);
    cr_assert_eq(number, -7);
    cr_assert_not_null(strstr(err.message, "TEST_FLAG"));
    cr_assert_eq(READ("--test-number=0"), CONFIG_WRONG);
    cr_assert_eq(READ("--test-number=101"), CONFIG_WRONG);
    cr_assert_eq(READ("--test-number=8x"), CONFIG_WRONG);
    cr_assert_eq(READ("--test-number=99999999999999999999"), CONFIG_WRONG);
    cr_assert_eq(READ("--no-such-thing"), CONFIG_WRONG);
    cr_assert_eq(READ("stray"), CONFIG_WRONG);
    cr_assert_eq(READ("--test-number"), CONFIG_WRONG);
    cr_assert_eq(number, -7);
}

Test(config, a_required_option_must_be_there)
{
    const struct config_option required[] = {
        {.env = "TEST_REQUIRED", .help = "x", .type = CONFIG_TEXT, .value = &url}, {.env = NULL}};
    char *argv[] = {"program", NULL};
    cr_assert_eq(config_read("program", "", required, 1, argv, &err), CONFIG_WRONG);
    cr_assert_not_null(strstr(err.message, "TEST_REQUIRED"));
}

static bool prints(const char *flag_text, const char *expected, const char *not_expected)
{
    char text[4096] = "";
    cr_redirect_stdout();
    if (READ(flag_text) != CONFIG_EXIT)
        return false;
    fflush(stdout);
    FILE *out = cr_get_redirected_stdout();
    size_t length = fread(text, 1, sizeof text - 1, out);
    text[length] = '\0';
    return strstr(text, expected) && (!not_expected || !strstr(text, not_expected));
}

Test(config, help)
{
    cr_assert(prints("--help", "--test-duration", NULL));
}

Test(config, version)
{
    cr_assert(prints("--version", "program ", NULL));
}

Test(config, the_configuration_is_shown_without_secrets)
{
    cr_assert(prints("--print-config", "TEST_URL=***\nTEST_NUMBER=5\n", "nowhere"));
}
