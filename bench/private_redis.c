/*
 * A private Redis for a benchmark: prints its URL on standard output once it answers and runs until SIGTERM,
 * SIGINT, or its parent's end.
 *
 *     private_redis --name value …     settings of the server
 */

#include "bench/support/until_end.h"
#include "embedded/embedded_redis.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    embedded_redis *redis;
    error err = {.code = STATUS_OK};
    (void)argc;
    until_end_prepare();
    const struct embedded_redis_options options = {.settings = (const char *const *)argv + 1};
    if (!embedded_redis_start(&options, &redis, &err)) {
        fprintf(stderr, "private_redis: %s %s\n", err.message, err.detail);
        return 1;
    }
    until_end_say(embedded_redis_url(redis));
    embedded_redis_free(redis);
    return 0;
}
