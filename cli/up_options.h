#ifndef CASEWORK_CLI_UP_OPTIONS_H
#define CASEWORK_CLI_UP_OPTIONS_H

/* What `casework up` was asked for. */

#include "base/error.h"
#include "cli/place.h"

#include <stdbool.h>

enum { UP_REPLICAS_MAX = 8 };

struct up_options {
    bool ephemeral; /* everything under /tmp, gone at the end; no fsync */
    bool tour;      /* shows what there is once all is healthy */
    unsigned port;  /* of the case service; the others follow. 0: any free ports */
    unsigned replicas;
    const char *clock;                   /* "real", "manual", "manual=2026-01-31T00:00:00Z" */
    const char *log_level;               /* of the services */
    const char *redis_url;               /* a Redis that is there already; NULL: one of our own */
    char data_directory[PLACE_SIZE];     /* "" when ephemeral */
    char ready_file[PLACE_SIZE];         /* "" for ready.json where the data is */
    char log_directory[PLACE_SIZE];      /* "" for the default inside the data directory */
    char db_directory[PLACE_SIZE];       /* migrations by component */
    char template_directory[PLACE_SIZE]; /* see embedded_pg_options; "" for none */
    char programs[PLACE_SIZE];           /* where casework-case and the others are */
};

enum up_parsed {
    UP_PARSED_RUN,
    UP_PARSED_HELP,  /* --help was asked for and answered */
    UP_PARSED_WRONG, /* err says what */
};

enum up_parsed up_options_parse(int argc, char **argv, struct up_options *ret_options, error *err)
    __attribute__((warn_unused_result));

#endif
