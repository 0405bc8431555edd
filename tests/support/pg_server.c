#include "tests/support/pg_server.h"

#include "embedded/process.h"
#include "pg/migrate.h"
#include "pg/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void give_up(const char *what, const error *err)
{
    fprintf(stderr, "%s: %s (%s)\n", what, err->message, err->detail);
    abort();
}

embedded_pg *pg_server_start(bool durable, const char *const *settings)
{
    char template[64];
    embedded_pg *pg = NULL;
    error err = {0};
    snprintf(template, sizeof template, "build/test-pg/%u", geteuid());
    const struct embedded_pg_options options = {
        .template_directory = template, .durable = durable, .settings = settings};
    if (!process_make_directory("build/test-pg", &err) || !embedded_pg_start(&options, &pg, &err))
        give_up("a private PostgreSQL", &err);
    return pg;
}

void pg_server_migrate(const embedded_pg *pg, const char *component)
{
    char directory[64];
    error err = {0};
    const struct pg_options options = {.url = embedded_pg_url(pg)};
    snprintf(directory, sizeof directory, "db/%s", component);
    if (!pg_migrate(&options, component, directory, NULL, &err))
        give_up("migrations", &err);
}
