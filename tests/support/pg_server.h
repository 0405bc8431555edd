#ifndef CASEWORK_TESTS_SUPPORT_PG_SERVER_H
#define CASEWORK_TESTS_SUPPORT_PG_SERVER_H

/*
 * A private PostgreSQL for a test, gone when the test is over. The first test of all runs initdb (a second or
 * two); the others copy what it made (a fraction of a second).
 */

#include "embedded/embedded_pg.h"

/*
 * Never NULL: a test without its server ends as failed. `durable`: with fsync, for tests that crash it.
 * `settings` as in embedded_pg_options, may be NULL. End it with embedded_pg_free.
 */
embedded_pg *pg_server_start(bool durable, const char *const *settings);

/* Runs migrations db/<component> into it; the test fails if that does. */
void pg_server_migrate(const embedded_pg *pg, const char *component);

#endif
