#ifndef CASEWORK_CASE_CLOCK_H
#define CASEWORK_CASE_CLOCK_H

/*
 * The suite's manual clock: a value in the database that ClockService moves. It passes through every due
 * timer in order: the peers settle at the present time (do what is due, apply the feed), the earliest next
 * due time that they tell is where the clock goes next, until the target is reached and all have caught up.
 */

#include "base/error.h"
#include "pg/pg.h"
#include "rpc/host.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A service that has to follow the clock; every replica that its target names ("ipv4:a:1,b:2"). */
struct case_clock_peer {
    const char *name;   /* for errors */
    const char *target; /* "": there is none */
};

typedef struct case_clock case_clock;

/*
 * At start, before anything asks for the time. manual: the stored time stays, or begins with `start_us` (0:
 * with the real time). Otherwise a time left over from a manual clock is taken away.
 */
bool case_clock_prepare(const struct pg_options *connection, bool manual, int64_t start_us, error *err)
    __attribute__((warn_unused_result));

/*
 * The host says how to reach the peers. The connection's text and the names must outlive the clock.
 * Connections are kept: a database that takes no new ones for a while does not stop the clock.
 */
bool case_clock_new(const struct pg_options *connection, const struct rpc_host *host,
                    const struct case_clock_peer *peers, size_t count, case_clock **ret_clock, error *err)
    __attribute__((warn_unused_result));
void case_clock_free(case_clock *clock); /* takes NULL */

/* ClockService; context: the case_clock. Only to be served with a manual clock. */
extern const struct rpc_method case_clock_methods[];

#endif
