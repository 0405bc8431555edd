#include "cli/command.h"

#include "base/log.h"
#include "cli/tour.h"
#include "cli/up.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Commands that take every word after them themselves. */
static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} programs[] = {
    {"up", "run everything on this machine: PostgreSQL, Redis and the four services", up_main},
    {"tour", "show what there is, on the way through all four services", tour_main},
};

enum { PROGRAM_COUNT = sizeof programs / sizeof *programs };

static void print_commands(FILE *to)
{
    fprintf(to, "usage: casework COMMAND [ARGUMENTS] [--json] [--ready-file FILE] [--token TOKEN]\n"
                "                [--as-agent AGENT] [--timeout SECONDS]\n\n");
    for (int i = 0; i < PROGRAM_COUNT; i++)
        fprintf(to, "  %-8s %-9s %s\n", programs[i].name, "", programs[i].help);
    for (const struct command *c = commands; c->group; c++)
        fprintf(to, "  %-8s %-9s %s\n", c->group, c->verb, c->help);
    fprintf(
        to,
        "\nAddresses come from CASE_TARGET, SEARCH_TARGET, SLA_TARGET and REPORT_TARGET, the token from\n"
        "CASEWORK_TOKEN; a ready file (CASEWORK_READY_FILE) says both, and where nothing is set, that of\n"
        "`casework up` does. \"acme/5\" is short for accounts/acme/cases/5.\n");
}

/* *ret_words: how many words of argv name the command. */
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    for (const struct command *c = commands; c->group; c++) {
        if (argc < 2 || strcmp(c->group, argv[1]) != 0)
            continue;
        if (!*c->verb || (argc > 2 && strcmp(c->verb, argv[2]) == 0)) {
            *ret_words = *c->verb ? 2 : 1;
            return c;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    log_init("casework", LOG_LEVEL_WARN);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_commands(stdout);
        return 0;
    }
    for (int i = 0; i < PROGRAM_COUNT; i++)
        if (argc > 1 && strcmp(programs[i].name, argv[1]) == 0)
            return programs[i].run(argc - 1, argv + 1);
    struct session session;
    error err;
    if (!session_init(&session, &err)) {
        session_release(&session);
        return command_fail(&err);
    }
    int status = 2;
    if (command_take_globals(&session, &argc, argv)) {
        int words = 0;
        const struct command *command = find_command(argc, argv, &words);
        if (command)
            status = command_run(&session, command, argc - words, argv + words);
        else
            print_commands(stderr);
    }
    session_release(&session);
    return status;
}
