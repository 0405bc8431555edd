#ifndef CASEWORK_BASE_CONFIG_H
#define CASEWORK_BASE_CONFIG_H

/*
 * Configuration: a table of options, read once at start from the environment (NAME, or NAME_FILE naming a
 * file that holds the value) and from the command line (--name-in-lower-case=value, which wins), wholly
 * checked before anything starts.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_TEXT,     /* const char *, owned by the configuration for the life of the program */
    CONFIG_NUMBER,   /* int64_t, within minimum and maximum */
    CONFIG_DURATION, /* int64_t microseconds; written 500ms, 15s, 5m, 72h, 3d */
    CONFIG_FLAG,     /* bool; true, false, 1, 0; on the command line without a value: true */
};

struct config_option {
    const char *env;      /* "DATABASE_URL"; the flag is --database-url */
    const char *help;     /* one line for --help */
    const char *fallback; /* as written; NULL: required */
    enum config_type type;
    bool secret; /* --print-config shows "***" */
    int64_t minimum, maximum;
    void *value; /* where it goes */
};

enum config_outcome {
    CONFIG_RUN,   /* go on */
    CONFIG_EXIT,  /* --help, --version or --print-config was asked for and answered on standard output */
    CONFIG_WRONG, /* err says which option and why */
};

/*
 * Reads `options` (ended by an option whose env is NULL). Unknown flags and stray arguments are wrong.
 * `program` and `purpose` head the help text.
 */
enum config_outcome config_read(const char *program, const char *purpose, const struct config_option *options,
                                int argc, char **argv, error *err) __attribute__((warn_unused_result));

#endif
