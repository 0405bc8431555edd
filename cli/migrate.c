#include "cli/programs.h"

#include "base/config.h"
#include "cli/command.h"
#include "pg/migrate.h"

#include <stdio.h>
#include <string.h>

static bool migrate_component(const char *url, const char *component, const char *root, error *err)
{
    char directory[4096];
    int length = snprintf(directory, sizeof directory, "%s/%s", root, component);
    if (length < 0 || (size_t)length >= sizeof directory)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "the directory's name is too long");
    struct pg_options options = {.url = url};
    int applied = 0;
    int version = 0;
    if (!pg_migrate(&options, component, directory, &applied, err) ||
        !pg_migrate_version(&options, component, &version, err))
        return false;
    printf("%s: %d applied, now at %d\n", component, applied, version);
    return true;
}

int program_migrate(struct session *session, int argc, char **argv)
{
    (void)session;
    const char *url, *root;
    const char *component;
    const struct config_option options[] = {
        {.env = "DATABASE_URL",
         .help = "database of the component",
         .type = CONFIG_TEXT,
         .secret = true,
         .value = &url},
        {.env = "MIGRATIONS_DIRECTORY",
         .help = "where the components' folders are",
         .fallback = "db",
         .type = CONFIG_TEXT,
         .value = &root},
        {.env = "MIGRATIONS_COMPONENT",
         .help = "case, sla or report",
         .type = CONFIG_TEXT,
         .value = &component},
        {0},
    };
    error err;
    switch (config_read("casework migrate", "Brings a component's database schema up to date.", options, argc,
                        argv, &err)) {
    case CONFIG_EXIT:
        return 0;
    case CONFIG_WRONG:
        command_fail(&err);
        return 2;
    case CONFIG_RUN:
        break;
    }
    return migrate_component(url, component, root, &err) ? 0 : command_fail(&err);
}
