/*
 * A private PostgreSQL for a benchmark, with fsync on: prints its URL on standard output once it accepts
 * connections and runs until SIGTERM, SIGINT, or its parent's end.
 *
 *     private_pg [--data=DIRECTORY] name=value …          settings of the server
 *
 * With a directory, which is made where it is not there, the data stay for the next time.
 */

#include "bench/support/until_end.h"
#include "embedded/embedded_pg.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char data[] = "--data=";
    bool keep = argc > 1 && strncmp(argv[1], data, sizeof data - 1) == 0;
    embedded_pg *pg;
    error err = {.code = STATUS_OK};
    until_end_prepare();
    const struct embedded_pg_options options = {.data_directory = keep ? argv[1] + sizeof data - 1 : NULL,
                                                .durable = true,
                                                .settings = (const char *const *)argv + (keep ? 2 : 1)};
    if (!embedded_pg_start(&options, &pg, &err)) {
        fprintf(stderr, "private_pg: %s %s\n", err.message, err.detail);
        return 1;
    }
    until_end_say(embedded_pg_url(pg));
    embedded_pg_free(pg);
    return 0;
}
