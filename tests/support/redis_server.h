#ifndef CASEWORK_TESTS_SUPPORT_REDIS_SERVER_H
#define CASEWORK_TESTS_SUPPORT_REDIS_SERVER_H

/* A private Redis for a test, gone when the test is over. */

#include "embedded/embedded_redis.h"

/*
 * Never NULL: a test without its server ends as failed. `append_only`: keeps its data over a restart.
 * `settings` as in embedded_redis_options, may be NULL. End it with embedded_redis_free.
 */
embedded_redis *redis_server_start(bool append_only, const char *const *settings);

#endif
