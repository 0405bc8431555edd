#ifndef CASEWORK_EMBEDDED_EMBEDDED_REDIS_H
#define CASEWORK_EMBEDDED_EMBEDDED_REDIS_H

/*
 * A private Redis server of our own: found on the machine, on a Unix socket, and never as root. Used by
 * `casework up` and by the tests.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct embedded_redis_options {
    const char *data_directory; /* for the append-only file; NULL: in TMPDIR, gone with embedded_redis_free */
    bool append_only;           /* keeps the data over a restart; false: nothing is ever written to disk */
    uint16_t port;              /* on 127.0.0.1 as well as on the socket; 0: socket only */
    const char *const
        *settings; /* further arguments, such as "--maxmemory", "1mb"; ended by NULL; NULL: none */
};

typedef struct embedded_redis embedded_redis;

/* The server answers when this returns. */
bool embedded_redis_start(const struct embedded_redis_options *options, embedded_redis **ret_redis,
                          error *err) __attribute__((warn_unused_result));
void embedded_redis_free(
    embedded_redis *redis); /* stops it and removes what was made in TMPDIR; takes NULL */

const char *embedded_redis_url(const embedded_redis *redis); /* "unix:///tmp/…/redis.sock", owned by redis */
const char *embedded_redis_log_file(const embedded_redis *redis);
pid_t embedded_redis_pid(const embedded_redis *redis); /* 0 while stopped */
bool embedded_redis_running(embedded_redis *redis);

/* `crash`: SIGKILL; otherwise it ends in order. */
void embedded_redis_stop(embedded_redis *redis, bool crash);
bool embedded_redis_restart(embedded_redis *redis, error *err) __attribute__((warn_unused_result));

#endif
