/*
 * A private PostgreSQL for a benchmark, with fsync on: prints its URL on standard output once it accepts
 * connections and runs until SIGTERM, SIGINT, or its parent's end.
 *
 *     private_pg name=value …          settings of the server
 */

#include "embedded/embedded_pg.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    sigset_t ends;
    int number;
    embedded_pg *pg;
    error err = {.code = STATUS_OK};
    (void)argc;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const struct embedded_pg_options options = {.durable = true, .settings = (const char *const *)argv + 1};
    if (!embedded_pg_start(&options, &pg, &err)) {
        fprintf(stderr, "private_pg: %s %s\n", err.message, err.detail);
        return 1;
    }
    printf("%s\n", embedded_pg_url(pg));
    fflush(stdout);
    sigwait(&ends, &number);
    embedded_pg_free(pg);
    return 0;
}
