/*
 * Configuration: values from the environment and from flags, a line each, `NAME=value` or a flag. What is
 * taken is within its bounds; what is not is told, naming the option.
 */
#include "base/clock.h"
#include "base/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARGUMENTS_MAX = 16, TEXT_MAX = 4096 };

static const char *url;
static int64_t number, duration;
static bool flag;

static const struct config_option options[] = {
    {.env = "FUZZ_URL", .help = "where", .fallback = "x", .type = CONFIG_TEXT, .secret = true, .value = &url},
    {.env = "FUZZ_NUMBER",
     .help = "how many",
     .fallback = "5",
     .type = CONFIG_NUMBER,
     .minimum = 1,
     .maximum = 100,
     .value = &number},
    {.env = "FUZZ_DURATION",
     .help = "how long",
     .fallback = "15s",
     .type = CONFIG_DURATION,
     .minimum = 1,
     .maximum = 3 * CLOCK_DAY,
     .value = &duration},
    {.env = "FUZZ_FLAG", .help = "whether", .fallback = "false", .type = CONFIG_FLAG, .value = &flag},
    {.env = NULL},
};

/* Only the options' own names get into the environment. */
static bool set_environment(char *line)
{
    char *equals = strchr(line, '=');
    if (!equals)
        return false;
    for (const struct config_option *option = options; option->env; option++) {
        size_t length = strlen(option->env);
        if ((size_t)(equals - line) == length && memcmp(line, option->env, length) == 0)
            return setenv(option->env, equals + 1, 1) == 0;
    }
    return false;
}

/* These answer on standard output. */
static bool is_question(const char *line)
{
    return strncmp(line, "--help", 6) == 0 || strncmp(line, "--version", 9) == 0 ||
           strncmp(line, "--print-config", 14) == 0 || strcmp(line, "-h") == 0;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX + 1], program[] = "program";
    char *arguments[ARGUMENTS_MAX + 2] = {program}, *rest = NULL;
    int count = 1;
    error err = {.code = STATUS_OK};
    if (size > TEXT_MAX)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (const struct config_option *option = options; option->env; option++)
        unsetenv(option->env);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!set_environment(line) && !is_question(line) && count <= ARGUMENTS_MAX)
            arguments[count++] = line;
    }
    switch (config_read("program", "does things", options, count, arguments, &err)) {
    case CONFIG_RUN:
        must(url && number >= 1 && number <= 100 && duration >= 1 && duration <= 3 * CLOCK_DAY);
        break;
    case CONFIG_WRONG:
        must(err.message[0] != '\0');
        break;
    case CONFIG_EXIT:
        break;
    }
    return 0;
}
