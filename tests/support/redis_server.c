#include "tests/support/redis_server.h"

#include <stdio.h>
#include <stdlib.h>

embedded_redis *redis_server_start(bool append_only, const char *const *settings)
{
    embedded_redis *redis;
    error err = {0};
    const struct embedded_redis_options options = {.append_only = append_only, .settings = settings};
    if (!embedded_redis_start(&options, &redis, &err)) {
        fprintf(stderr, "a private Redis: %s (%s)\n", err.message, err.detail);
        abort();
    }
    return redis;
}
