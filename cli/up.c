#include "cli/up.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/up_ground.h"
#include "cli/up_options.h"
#include "cli/up_ready.h"
#include "cli/up_service.h"
#include "rpc/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT (2 * CLOCK_MINUTE)
#define RENEW_READY_FILE CLOCK_DAY /* its token is good for a week */
#define PAUSE_STARTING (CLOCK_SECOND / 50)
#define PAUSE_RUNNING (CLOCK_SECOND / 2)

struct up {
    struct up_options options;
    struct up_ground ground;
    struct up_services services;
    process *tour;
    int64_t ready_written_us;
};

static int complain(const error *err)
{
    fprintf(stderr, "casework up: %s\n", err->message);
    if (err->detail[0])
        fprintf(stderr, "  %s\n", err->detail);
    return 1;
}

/* Also SIGHUP, so that a closed terminal stops us in order, and SIGCHLD, so that a death ends a pause. */
static void watched_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGCHLD);
}

/* Pauses; true if we were asked to stop. */
static bool asked_to_stop(int64_t pause_us)
{
    sigset_t set;
    watched_signals(&set);
    const struct timespec pause = {.tv_sec = pause_us / CLOCK_SECOND,
                                   .tv_nsec = (long)(pause_us % CLOCK_SECOND * 1000)};
    int got = sigtimedwait(&set, NULL, &pause);
    return got == SIGTERM || got == SIGINT || got == SIGHUP;
}

static bool write_ready_file(struct up *up, error *err)
{
    up->ready_written_us = clock_monotonic_us();
    return up_ready_write(up->options.ready_file, &up->options, &up->ground, &up->services, err);
}

/* True once all is healthy; false with *ret_stopped when a signal came first. */
static bool await_healthy(struct up *up, bool *ret_stopped, error *err)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT;
    while (clock_monotonic_us() < until) {
        bool changed;
        if (!up_services_keep(&up->services, &changed, err))
            return false;
        if (up_services_healthy(&up->services))
            return true;
        if (asked_to_stop(PAUSE_STARTING)) {
            *ret_stopped = true;
            return false;
        }
    }
    return error_set(err, STATUS_DEADLINE_EXCEEDED, "NOT_HEALTHY", "the services do not get healthy, see %s",
                     up->ground.logs);
}

static void show(const struct up *up)
{
    printf("casework is up.\n\n");
    for (size_t i = 0; i < up->services.count; i++) {
        const struct up_instance *in = &up->services.list[i];
        printf("  %-7s %-16s metrics http://%s/metrics\n", up_service_name(in->service), in->address,
               in->metrics);
    }
    if (!up->ground.ephemeral)
        printf("  %-7s %s\n", "data", up->ground.directory);
    printf("  %-7s %s\n", "logs", up->ground.logs);
    printf("  %-7s %s (addresses and a token, for programs)\n", "ready", up->options.ready_file);
    if (!up->options.tour)
        printf("\nCtrl-C stops everything.\n");
    printf("\n");
    fflush(stdout);
}

/* A program of its own, so that watching over the services goes on meanwhile. */
static bool start_tour(struct up *up, error *err)
{
    char program[PLACE_SIZE + 16];
    snprintf(program, sizeof program, "%s/casework", up->options.programs);
    const char *const argv[] = {program, "tour", up->options.ready_file, NULL};
    return process_start(&(struct process_options){.argv = argv}, &up->tour, err);
}

/* Until somebody asks us to stop. */
static bool keep_running(struct up *up, error *err)
{
    while (!asked_to_stop(PAUSE_RUNNING)) {
        bool changed = false;
        if (up->tour && !process_running(up->tour)) {
            process_free(up->tour);
            up->tour = NULL;
        }
        if (!up_ground_keep(&up->ground))
            continue;
        if (!up_services_keep(&up->services, &changed, err))
            return false;
        if ((changed || clock_monotonic_us() - up->ready_written_us > RENEW_READY_FILE) &&
            !write_ready_file(up, err))
            return false;
    }
    return true;
}

static bool run_services(struct up *up, error *err)
{
    bool stopped = false;
    if (!await_healthy(up, &stopped, err))
        return stopped;
    if (!write_ready_file(up, err))
        return false;
    show(up);
    if (up->options.tour && !start_tour(up, err))
        return false;
    return keep_running(up, err);
}

/* Programs that we start ask it how to reach the services, so there always is one. */
static void choose_ready_file(struct up *up)
{
    if (!up->options.ready_file[0])
        snprintf(up->options.ready_file, PLACE_SIZE, "%.400s/ready.json", up->ground.directory);
}

static int run(struct up *up)
{
    error err = {0};
    if (!up_ground_start(&up->options, &up->ground, &err))
        return complain(&err);
    choose_ready_file(up);
    int status = 0;
    if (!up_services_start(&up->services, &up->options, &up->ground, &err)) {
        status = complain(&err);
    } else {
        if (!run_services(up, &err))
            status = complain(&err);
        unlink(up->options.ready_file);
        process_free(up->tour);
        if (!up_services_stop(&up->services))
            status = 1;
    }
    up_ground_stop(&up->ground);
    return status;
}

int up_main(int argc, char **argv)
{
    static struct up up;
    error err = {0};
    sigset_t set;
    switch (up_options_parse(argc, argv, &up.options, &err)) {
    case UP_PARSED_HELP:
        return 0;
    case UP_PARSED_WRONG:
        fprintf(stderr, "casework up: %s\n", err.message);
        return 2;
    case UP_PARSED_RUN:
        break;
    }
    rpc_signals_block();
    watched_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return run(&up);
}
