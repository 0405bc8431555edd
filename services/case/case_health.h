#ifndef CASEWORK_CASE_HEALTH_H
#define CASEWORK_CASE_HEALTH_H

/* Whether the service can do its work: a thread asks the database every other second and sets the server's
 * health. */

#include "base/error.h"
#include "pg/pg.h"
#include "rpc/server.h"

#include <stdbool.h>

enum { CASE_SCHEMA_VERSION = 12 }; /* of db/case, that this program is written for */

/*
 * At start: is the schema the one this program knows? Waits for a database that is still starting, for half a
 * minute at the most. FAILED_PRECONDITION, UNAVAILABLE.
 */
bool case_health_check_schema(const struct pg_options *connection, error *err)
    __attribute__((warn_unused_result));

typedef struct case_health case_health;

/* Starts the thread; pool and server must outlive it. */
bool case_health_new(pg_pool *pool, rpc_server *server, case_health **ret_health, error *err)
    __attribute__((warn_unused_result));
void case_health_free(case_health *health); /* stops and joins; takes NULL */

#endif
