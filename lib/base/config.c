#include "base/config.h"

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CASEWORK_VERSION
#define CASEWORK_VERSION "0.1.0"
#endif

enum { OPTIONS_MAX = 64, NAME_SIZE = 64, FILE_VALUE_MAX = 64 * 1024 };

/* getopt_long hands out these for the flags that every program has, and FIRST_OPTION + i for the i-th of the
 * table. */
enum { ASK_HELP = 1, ASK_VERSION, ASK_PRINT, FIRST_OPTION = 256 };

struct reading {
    const char *program;
    const char *purpose;
    const struct config_option *options;
    size_t count;
    char flags[OPTIONS_MAX][NAME_SIZE]; /* "database-url" */
    struct option long_options[OPTIONS_MAX + 4];
    const char *texts[OPTIONS_MAX]; /* as written; NULL: not given */
    int asked;                      /* ASK_…, 0: run */
};

/* Values live as long as the program, and stay reachable. */
static struct kept {
    struct kept *next;
    char text[];
} * kept_texts;

static const char *keep(const char *text)
{
    size_t size = strlen(text) + 1;
    struct kept *k = malloc(sizeof *k + size);
    if (!k)
        return NULL;
    memcpy(k->text, text, size);
    k->next = kept_texts;
    kept_texts = k;
    return k->text;
}

static bool wrong(error *err, const char *name, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "CONFIGURATION", "%s: %s", name, what);
}

/* --- where values come from --- */

static void set_up(struct reading *r)
{
    static const struct option common[] = {{"help", no_argument, NULL, ASK_HELP},
                                           {"version", no_argument, NULL, ASK_VERSION},
                                           {"print-config", no_argument, NULL, ASK_PRINT}};
    while (r->options[r->count].env && r->count < OPTIONS_MAX) {
        size_t i = r->count++;
        size_t j = 0;
        for (const char *c = r->options[i].env; *c && j + 1 < NAME_SIZE; c++)
            r->flags[i][j++] = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
        r->flags[i][j] = '\0';
        r->long_options[i] = (struct option){.name = r->flags[i],
                                             .has_arg = r->options[i].type == CONFIG_FLAG ? optional_argument
                                                                                          : required_argument,
                                             .val = FIRST_OPTION + (int)i};
    }
    memcpy(&r->long_options[r->count], common, sizeof common);
}

static bool read_flags(struct reading *r, int argc, char **argv, error *err)
{
    int found;
    opterr = 0;
    optind = 0; /* start anew, whatever was read before */
    while ((found = getopt_long(argc, argv, "", r->long_options, NULL)) != -1) {
        if (found == '?')
            return error_set(err, STATUS_INVALID_ARGUMENT, "CONFIGURATION",
                             "%s: unknown, or its value is missing",
                             optind > 0 && optind <= argc ? argv[optind - 1] : "?");
        if (found < FIRST_OPTION)
            r->asked = r->asked ? r->asked : found;
        else
            r->texts[found - FIRST_OPTION] = optarg ? optarg : "true";
    }
    if (optind < argc)
        return wrong(err, argv[optind], "does not belong here");
    return true;
}

/* The file's content without the newline at its end. */
static bool read_value_file(const char *name, const char *path, const char **ret_text, error *err)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(FILE_VALUE_MAX + 1) : NULL;
    size_t length = text ? fread(text, 1, FILE_VALUE_MAX + 1, f) : 0;
    bool good = text && !ferror(f) && length <= FILE_VALUE_MAX && memchr(text, '\0', length) == NULL;
    if (f)
        fclose(f);
    if (good) {
        while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
            length--;
        text[length] = '\0';
        *ret_text = keep(text);
        good = *ret_text != NULL;
    }
    free(text);
    return good || error_set(err, STATUS_INVALID_ARGUMENT, "CONFIGURATION", "%s: cannot read the file %s",
                             name, path);
}

/* The flag wins; then NAME or NAME_FILE, not both; then the fallback. */
static bool find_text(struct reading *r, size_t i, error *err)
{
    const struct config_option *o = &r->options[i];
    char file_name[NAME_SIZE + 8];
    snprintf(file_name, sizeof file_name, "%s_FILE", o->env);
    if (r->texts[i])
        return true;
    const char *text = getenv(o->env);
    const char *path = getenv(file_name);
    if (text && path)
        return wrong(err, file_name, "set together with the variable itself");
    if (path)
        return read_value_file(file_name, path, &r->texts[i], err);
    r->texts[i] = text ? text : o->fallback;
    return true;
}

/* --- what they mean --- */

static bool parse_number(const char *text, int64_t *ret_value, const char **ret_rest)
{
    char *end;
    if (!isdigit((unsigned char)*text) && !(*text == '-' && isdigit((unsigned char)text[1])))
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    *ret_value = value;
    *ret_rest = end;
    return true;
}

static bool parse_duration(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"us", 1},           {"ms", 1000},      {"s", CLOCK_SECOND},
                 {"m", CLOCK_MINUTE}, {"h", CLOCK_HOUR}, {"d", CLOCK_DAY}};
    int64_t number;
    const char *unit;
    if (!parse_number(text, &number, &unit) || number < 0)
        return false;
    if (number == 0 && *unit == '\0') {
        *ret_us = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i].unit) == 0)
            return !__builtin_mul_overflow(number, units[i].us, ret_us);
    return false;
}

static bool parse_flag(const char *text, bool *ret_value)
{
    bool yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return false;
    *ret_value = yes;
    return true;
}

static bool within(const struct config_option *o, int64_t value, error *err)
{
    if (o->minimum == 0 && o->maximum == 0)
        return true;
    if (value >= o->minimum && value <= o->maximum)
        return true;
    if (o->type == CONFIG_DURATION)
        return error_set(err, STATUS_INVALID_ARGUMENT, "CONFIGURATION", "%s: must be from %lldms to %lldms",
                         o->env, (long long)o->minimum / 1000, (long long)o->maximum / 1000);
    return error_set(err, STATUS_INVALID_ARGUMENT, "CONFIGURATION", "%s: must be from %lld to %lld", o->env,
                     (long long)o->minimum, (long long)o->maximum);
}

/* Checks the text; stores the value if `store`. */
static bool take_value(const struct config_option *o, const char *text, bool store, error *err)
{
    int64_t number = 0;
    bool flag = false;
    const char *rest = "";
    if (!text)
        return wrong(err, o->env, "is required");
    if (o->type == CONFIG_NUMBER && (!parse_number(text, &number, &rest) || *rest))
        return wrong(err, o->env, "is not a number");
    if (o->type == CONFIG_DURATION && !parse_duration(text, &number))
        return wrong(err, o->env, "is not a duration such as 500ms, 15s, 5m, 72h or 3d");
    if (o->type == CONFIG_FLAG && !parse_flag(text, &flag))
        return wrong(err, o->env, "is neither true nor false");
    if ((o->type == CONFIG_NUMBER || o->type == CONFIG_DURATION) && !within(o, number, err))
        return false;
    if (!store)
        return true;
    if (o->type == CONFIG_TEXT) {
        const char *kept = keep(text);
        if (!kept)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
        *(const char **)o->value = kept;
    } else if (o->type == CONFIG_FLAG) {
        *(bool *)o->value = flag;
    } else {
        *(int64_t *)o->value = number;
    }
    return true;
}

/* All are checked before the first is stored. */
static bool take_all(const struct reading *r, error *err)
{
    for (int store = 0; store < 2; store++)
        for (size_t i = 0; i < r->count; i++)
            if (!take_value(&r->options[i], r->texts[i], store, err))
                return false;
    return true;
}

/* --- what people ask for --- */

static void print_help(const struct reading *r)
{
    static const char *const kinds[] = {"text", "number", "duration", "true|false"};
    printf("%s - %s\n\nusage: %s [--option=value …]\n\n"
           "Each option can also be set in the environment (NAME), or read from a file (NAME_FILE).\n\n",
           r->program, r->purpose, r->program);
    for (size_t i = 0; i < r->count; i++) {
        const struct config_option *o = &r->options[i];
        printf("  --%s=%s\n      %s", r->flags[i], kinds[o->type], o->help);
        if (!o->fallback)
            printf(" (required)");
        else if (*o->fallback && !o->secret)
            printf(" (default %s)", o->fallback);
        printf("\n      %s\n", o->env);
    }
    printf("  --print-config\n      show the configuration and exit\n  --version\n  --help\n");
}

static void print_config(const struct reading *r)
{
    for (size_t i = 0; i < r->count; i++)
        printf("%s=%s\n", r->options[i].env, r->options[i].secret && *r->texts[i] ? "***" : r->texts[i]);
}

enum config_outcome config_read(const char *program, const char *purpose, const struct config_option *options,
                                int argc, char **argv, error *err)
{
    struct reading r = {.program = program, .purpose = purpose, .options = options};
    set_up(&r);
    if (!read_flags(&r, argc, argv, err))
        return CONFIG_WRONG;
    if (r.asked == ASK_HELP || r.asked == ASK_VERSION) {
        if (r.asked == ASK_HELP)
            print_help(&r);
        else
            printf("%s %s\n", program, CASEWORK_VERSION);
        return CONFIG_EXIT;
    }
    for (size_t i = 0; i < r.count; i++)
        if (!find_text(&r, i, err))
            return CONFIG_WRONG;
    if (!take_all(&r, err))
        return CONFIG_WRONG;
    if (r.asked == ASK_PRINT) {
        print_config(&r);
        return CONFIG_EXIT;
    }
    return CONFIG_RUN;
}
