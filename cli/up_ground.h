#ifndef CASEWORK_CLI_UP_GROUND_H
#define CASEWORK_CLI_UP_GROUND_H

/* What the services stand on: directories, PostgreSQL with a database for each service that has one, Redis,
 * keys. */

#include "base/error.h"
#include "cli/up_options.h"
#include "embedded/embedded_pg.h"
#include "embedded/embedded_redis.h"

#include <stdbool.h>
#include <stdint.h>

enum { UP_URL_SIZE = 1024 };

struct up_ground {
    embedded_pg *pg;
    embedded_redis *redis; /* NULL: not ours */
    const char *redis_url;
    char directory[PLACE_SIZE]; /* of everything that is kept */
    char keys[PLACE_SIZE];
    char logs[PLACE_SIZE];
    bool ephemeral;
    int lock;              /* held while we use the directory; -1: none */
    int64_t restart_at_us; /* monotonic; when the one that died is started again */
    int64_t restart_delay_us;
};

/* Starts both servers and brings the schemas up to date. On failure all is stopped again. */
bool up_ground_start(const struct up_options *options, struct up_ground *ret_ground, error *err)
    __attribute__((warn_unused_result));

/* Starts again what has ended by itself. False while it cannot. */
bool up_ground_keep(struct up_ground *ground);

/* "postgresql:///casework_case?…" for the service "case"; "" if the service has no database. */
void up_ground_database(const struct up_ground *ground, const char *service, char ret_url[UP_URL_SIZE]);

/* Stops Redis, then PostgreSQL; removes everything if it is ephemeral. */
void up_ground_stop(struct up_ground *ground);

#endif
