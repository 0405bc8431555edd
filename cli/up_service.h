#ifndef CASEWORK_CLI_UP_SERVICE_H
#define CASEWORK_CLI_UP_SERVICE_H

/* The services as processes: so many replicas of each of the four, started, watched, started again, stopped.
 */

#include "base/error.h"
#include "cli/up_ground.h"
#include "cli/up_options.h"
#include "embedded/process.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum up_service { UP_CASE, UP_SEARCH, UP_SLA, UP_REPORT, UP_SERVICES };

const char *up_service_name(enum up_service service); /* "case" and so on */

struct up_instance {
    enum up_service service;
    unsigned replica; /* from 0 */
    uint16_t port;
    char address[32]; /* "127.0.0.1:7001" */
    char metrics[32];
    char log[PLACE_SIZE];
    process *process; /* NULL: has ended */
    rpc_channel *channel;
    bool healthy;      /* has said SERVING since it was started */
    bool ever_healthy; /* … or in an earlier life */
    int64_t started_at_us, restart_at_us, restart_delay_us;
    unsigned deaths;
};

struct up_services {
    const struct up_options *options;
    const struct up_ground *ground;
    char targets[UP_SERVICES][32 * UP_REPLICAS_MAX + 8]; /* what the others dial */
    struct up_instance list[UP_SERVICES * UP_REPLICAS_MAX];
    size_t count; /* replicas of `case` first, then search, SLA and report */
};

/* Chooses addresses and starts the processes. Both arguments must outlive the services. */
bool up_services_start(struct up_services *services, const struct up_options *options,
                       const struct up_ground *ground, error *err) __attribute__((warn_unused_result));

/*
 * Starts again what has ended (at once the first time, then ever later) and asks those that have not said
 * SERVING yet. *ret_changed: a process is new, or one has become healthy. False: one keeps dying before it
 * was ever healthy.
 */
bool up_services_keep(struct up_services *services, bool *ret_changed, error *err)
    __attribute__((warn_unused_result));

bool up_services_healthy(const struct up_services *services);

/* Stops consumers first, then the case service. False if one did not end with status 0. */
bool up_services_stop(struct up_services *services);

#endif
