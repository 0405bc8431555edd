/*
 * A private PostgreSQL for a benchmark, with fsync on: prints its URL on standard output once it accepts
 * connections and runs until SIGTERM, SIGINT, or its parent's end.
 *
 *     private_pg name=value …          settings of the server
 */

#include "bench/support/until_end.h"
#include "embedded/embedded_pg.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    embedded_pg *pg;
    error err = {.code = STATUS_OK};
    (void)argc;
    until_end_prepare();
    const struct embedded_pg_options options = {.durable = true, .settings = (const char *const *)argv + 1};
    if (!embedded_pg_start(&options, &pg, &err)) {
        fprintf(stderr, "private_pg: %s %s\n", err.message, err.detail);
        return 1;
    }
    until_end_say(embedded_pg_url(pg));
    embedded_pg_free(pg);
    return 0;
}
