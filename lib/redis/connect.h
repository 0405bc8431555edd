#ifndef CASEWORK_REDIS_CONNECT_H
#define CASEWORK_REDIS_CONNECT_H

/* How a connection to Redis is made, and what its refusals mean. For client.c and subscriber.c. */

#include "base/error.h"
#include "redis/client.h"
#include "redis/url.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <sys/time.h>

struct redis_target {
    struct redis_address address;
    struct timeval connect_timeout, command_timeout;
};

/* Checks the options. SIGPIPE is ignored from then on, see client.h. */
bool redis_target_init(struct redis_target *target, const struct redis_options *options, error *err)
    __attribute__((warn_unused_result));

/*
 * A connection with password and database told; the caller frees it. With sentinels: to whom they call the
 * master now, which must say so itself. With a cluster: to any of the nodes named.
 */
bool redis_connect(const struct redis_target *target, redisContext **ret_context, error *err)
    __attribute__((warn_unused_result));

/* The same to this host, whatever the target's own. */
bool redis_connect_at(const struct redis_target *target, const char *host, int port,
                      redisContext **ret_context, error *err) __attribute__((warn_unused_result));

/* Runs one command that has no interesting reply. */
bool redis_ask(redisContext *context, int count, const char **arguments, error *err)
    __attribute__((warn_unused_result));

bool redis_refusal_is(const char *refusal, const char *prefix);
bool redis_unavailable(error *err, const char *detail); /* always false */
bool redis_refused(error *err, const char *refusal);    /* likewise */

#endif
