#ifndef CASEWORK_EMBEDDED_PROCESS_H
#define CASEWORK_EMBEDDED_PROCESS_H

/*
 * Child processes: started in a process group of their own (an interrupt at the terminal reaches only us, and
 * we stop them in order), with no descriptor of ours, and told to end when we die, however that happens.
 *
 * A process may be forked while threads run; never after grpc_init.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_options {
    const char *const *argv;     /* ended by NULL; argv[0] is looked up in PATH */
    const char *user;            /* to become when we are root; NULL: stays as it is */
    const char *directory;       /* to start in; NULL: ours */
    const char *output_file;     /* gets standard output and error, appended; NULL: they stay ours */
    const char *const *settings; /* "NAME=value", added to our environment, ended by NULL; NULL: none */
    int death_signal;            /* sent when the thread that started it ends or dies; 0: SIGKILL; -1: none */
};

typedef struct process process;

bool process_start(const struct process_options *options, process **ret_process, error *err)
    __attribute__((warn_unused_result));

/* Kills (SIGKILL) and reaps what still runs. Takes NULL. */
void process_free(process *p);

pid_t process_pid(const process *p);

/* True as long as it has not ended. Reaps it when it has. */
bool process_running(process *p);

/* Waits until it has ended; false if the deadline (monotonic) comes first. *ret_status as of waitpid; may be
 * NULL. */
bool process_wait(process *p, int64_t deadline_us, int *ret_status);

/* Does nothing to one that has ended. */
void process_signal(process *p, int signal_number);

/* Signal, wait for `grace_us`, SIGKILL if need be, reap. */
void process_stop(process *p, int signal_number, int64_t grace_us);

/* Runs a program to its end. False if it cannot start, takes longer than `timeout_us`, or ends with anything
 * but 0. */
bool process_run(const struct process_options *options, int64_t timeout_us, error *err)
    __attribute__((warn_unused_result));

/*
 * Makes a directory and its parents, for us only (mode 0700). Where we are root, programs that become another
 * user must get to what is theirs below: parents that are missing are made with mode 0755 then. Fine if it is
 * there.
 */
bool process_make_directory(const char *path, error *err) __attribute__((warn_unused_result));

/*
 * Makes a new directory PREFIX-XXXXXX (mode 0700) in TMPDIR, or in /tmp where that is not set or too long for
 * a socket in it. `size`: of ret_path; 64 suffice.
 */
bool process_make_scratch(const char *prefix, char *ret_path, size_t size, error *err)
    __attribute__((warn_unused_result));

/* Removes a directory with all that is in it. Does not follow links. Missing is fine. */
void process_remove_tree(const char *path);

/* The last lines of a log file, at most size - 1 bytes, for error texts; "" if there is none. */
void process_log_tail(const char *path, char *ret_text, size_t size);

#endif
