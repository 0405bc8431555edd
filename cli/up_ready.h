#ifndef CASEWORK_CLI_UP_READY_H
#define CASEWORK_CLI_UP_READY_H

/*
 * The ready file: how to reach what is running, for programs.
 *
 *   case, search, sla, report   host:port of the first replica
 *   token                       a service token for all accounts, good for some days; renewed in time
 *   key_directory               where tokens are made from
 *   replicas, metrics, pids     by service a list, one member a replica; pids also has "up", "postgresql",
 * "redis" database                    URL by service that has one redis                       URL clock as
 * given by --clock log_directory               JSON lines, a file for each replica
 */

#include "base/error.h"
#include "cli/up_ground.h"
#include "cli/up_service.h"

#include <stdbool.h>

/* Writes it whole under its name, readable by us only. The token is new each time. */
bool up_ready_write(const char *path, const struct up_options *options, const struct up_ground *ground,
                    const struct up_services *services, error *err) __attribute__((warn_unused_result));

#endif
