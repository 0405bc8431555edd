#include "cli/up_options.h"

#include "base/clock.h"
#include "base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DEFAULT = 7001, PORT_MAX = 65000 };

static const char help[] =
    "Usage: casework up [OPTION]…\n"
    "Runs PostgreSQL, Redis and the four services on this machine until Ctrl-C.\n"
    "\n"
    "  --data-directory=DIR      where everything is kept (~/.local/share/casework; for root "
    "/var/lib/casework)\n"
    "  --ephemeral               keep nothing: data under $TMPDIR (/tmp), thrown away at the end\n"
    "  --port=N                  the services listen on N to N+3 (7001); 0: any free ports\n"
    "  --replicas=N              so many of each service (1)\n"
    "  --clock=real|manual[=TIME]\n"
    "                            manual: the clock stands still until ClockService moves it (real)\n"
    "  --ready-file=FILE         written once all is healthy: addresses and a token, as JSON "
    "(DIR/ready.json)\n"
    "  --log-directory=DIR       the services' logs (DIR/log)\n"
    "  --log-level=LEVEL         of the services: debug, info, warn, error, off (info)\n"
    "  --db-directory=DIR        the migrations (those that came with this program)\n"
    "  --redis-url=URL           a Redis that is there already, with Sentinel or Cluster if wanted (one of "
    "our "
    "own)\n"
    "  --template-directory=DIR  a new PostgreSQL starts as a copy of this one, which is made if need be\n"
    "  --tour                    load the sample if there is nothing yet, and show what there is\n";

enum option_key {
    KEY_DATA_DIRECTORY = 256,
    KEY_EPHEMERAL,
    KEY_PORT,
    KEY_REPLICAS,
    KEY_CLOCK,
    KEY_READY_FILE,
    KEY_LOG_DIRECTORY,
    KEY_LOG_LEVEL,
    KEY_DB_DIRECTORY,
    KEY_REDIS_URL,
    KEY_TEMPLATE_DIRECTORY,
    KEY_TOUR,
    KEY_HELP,
};

static const struct option long_options[] = {
    {"data-directory", required_argument, NULL, KEY_DATA_DIRECTORY},
    {"ephemeral", no_argument, NULL, KEY_EPHEMERAL},
    {"port", required_argument, NULL, KEY_PORT},
    {"replicas", required_argument, NULL, KEY_REPLICAS},
    {"clock", required_argument, NULL, KEY_CLOCK},
    {"ready-file", required_argument, NULL, KEY_READY_FILE},
    {"log-directory", required_argument, NULL, KEY_LOG_DIRECTORY},
    {"log-level", required_argument, NULL, KEY_LOG_LEVEL},
    {"db-directory", required_argument, NULL, KEY_DB_DIRECTORY},
    {"redis-url", required_argument, NULL, KEY_REDIS_URL},
    {"template-directory", required_argument, NULL, KEY_TEMPLATE_DIRECTORY},
    {"tour", no_argument, NULL, KEY_TOUR},
    {"help", no_argument, NULL, KEY_HELP},
    {NULL, 0, NULL, 0},
};

static bool wrong(error *err, const char *what, const char *text)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "BAD_OPTION", "%s: %s", what, text);
}

static bool number(const char *name, const char *text, unsigned maximum, unsigned *ret, error *err)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value > maximum)
        return wrong(err, name, "not a number in range");
    *ret = (unsigned)value;
    return true;
}

/* The server programs change directory, so that every path has to be absolute. */
static bool path(const char *name, const char *text, char ret_path[PLACE_SIZE], error *err)
{
    char *here = text[0] == '/' ? NULL : realpath(".", NULL);
    int written = text[0] == '/' ? snprintf(ret_path, PLACE_SIZE, "%s", text)
                                 : snprintf(ret_path, PLACE_SIZE, "%s/%s", here ? here : ".", text);
    free(here);
    if (text[0] == '\0' || written >= PLACE_SIZE)
        return wrong(err, name, "not a usable path");
    return true;
}

static bool is_clock(const char *text)
{
    int64_t time;
    if (strcmp(text, "real") == 0 || strcmp(text, "manual") == 0)
        return true;
    return strncmp(text, "manual=", 7) == 0 && clock_parse(text + 7, &time);
}

static bool set_option(struct up_options *o, enum option_key key, const char *value, error *err)
{
    enum log_level level;
    switch (key) {
    case KEY_DATA_DIRECTORY:
        return path("--data-directory", value, o->data_directory, err);
    case KEY_PORT:
        return number("--port", value, PORT_MAX, &o->port, err);
    case KEY_REPLICAS:
        return number("--replicas", value, UP_REPLICAS_MAX, &o->replicas, err);
    case KEY_READY_FILE:
        return path("--ready-file", value, o->ready_file, err);
    case KEY_LOG_DIRECTORY:
        return path("--log-directory", value, o->log_directory, err);
    case KEY_DB_DIRECTORY:
        return path("--db-directory", value, o->db_directory, err);
    case KEY_CLOCK:
        o->clock = value;
        return is_clock(value) || wrong(err, "--clock", "neither real nor manual[=TIME]");
    case KEY_LOG_LEVEL:
        o->log_level = value;
        return log_level_parse(value, &level) || wrong(err, "--log-level", "no such level");
    case KEY_REDIS_URL:
        o->redis_url = value;
        return *value || wrong(err, "--redis-url", "is empty");
    case KEY_TEMPLATE_DIRECTORY:
        return path("--template-directory", value, o->template_directory, err);
    case KEY_EPHEMERAL:
        return o->ephemeral = true;
    case KEY_TOUR:
        return o->tour = true;
    case KEY_HELP:
        break;
    }
    return true;
}

/* What follows from the other options and from where the program is. */
static bool complete(struct up_options *o, error *err)
{
    if (o->replicas == 0)
        return wrong(err, "--replicas", "at least one");
    if (!place_programs(o->programs))
        return wrong(err, "casework", "cannot find its own directory");
    if (!o->db_directory[0] && !place_find("db", o->db_directory))
        return wrong(err, "--db-directory", "the migrations are not where the program is");
    if (o->ephemeral)
        return o->data_directory[0] ? wrong(err, "--data-directory", "goes against --ephemeral") : true;
    if (!o->data_directory[0] && !place_data(o->data_directory))
        return wrong(err, "--data-directory", "needed, as there is no home directory");
    if (!o->ready_file[0] &&
        snprintf(o->ready_file, PLACE_SIZE, "%s/ready.json", o->data_directory) >= PLACE_SIZE)
        return wrong(err, "--data-directory", "too long");
    return true;
}

enum up_parsed up_options_parse(int argc, char **argv, struct up_options *ret_options, error *err)
{
    struct up_options o = {.port = PORT_DEFAULT, .replicas = 1, .clock = "real", .log_level = "info"};
    int key;
    optind = 0; /* starts anew: whoever called us may have parsed with getopt as well */
    while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (key == KEY_HELP) {
            fputs(help, stdout);
            return UP_PARSED_HELP;
        }
        if (key == '?') {
            wrong(err, "casework up", "see casework up --help");
            return UP_PARSED_WRONG;
        }
        if (!set_option(&o, (enum option_key)key, optarg, err))
            return UP_PARSED_WRONG;
    }
    if (optind < argc) {
        wrong(err, argv[optind], "unexpected argument");
        return UP_PARSED_WRONG;
    }
    if (!complete(&o, err))
        return UP_PARSED_WRONG;
    *ret_options = o;
    return UP_PARSED_RUN;
}
