#include "cli/up_ground.h"

#include "base/clock.h"
#include "embedded/process.h"
#include "pg/migrate.h"
#include "rpc/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESTART_DELAY_LEAST (CLOCK_SECOND / 5)
#define RESTART_DELAY_MOST (10 * CLOCK_SECOND)

static const struct database {
    const char *service;
    struct pg_statement find;
    const char *create;
} databases[] = {
    {"case",
     {.name = "find_case", .sql = "SELECT 1 FROM pg_database WHERE datname = 'casework_case'"},
     "CREATE DATABASE casework_case"},
    {"sla",
     {.name = "find_sla", .sql = "SELECT 1 FROM pg_database WHERE datname = 'casework_sla'"},
     "CREATE DATABASE casework_sla"},
    {"report",
     {.name = "find_report", .sql = "SELECT 1 FROM pg_database WHERE datname = 'casework_report'"},
     "CREATE DATABASE casework_report"},
};

enum { DATABASE_COUNT = sizeof databases / sizeof *databases };

static bool part(const char *directory, const char *name, char ret_path[PLACE_SIZE], error *err)
{
    if (snprintf(ret_path, PLACE_SIZE, "%s/%s", directory, name) >= PLACE_SIZE)
        return error_set(err, STATUS_INVALID_ARGUMENT, "PATH", "too long: %s", directory);
    return true;
}

/* Two of us in one directory would start two PostgreSQL servers on the same files. */
static bool lock_directory(struct up_ground *g, error *err)
{
    char path[PLACE_SIZE];
    if (!part(g->directory, "lock", path, err))
        return false;
    g->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (g->lock < 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "cannot write to %s: %s", g->directory,
                         strerror(errno));
    if (flock(g->lock, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "RUNNING",
                         "casework is already running with the data in %s", g->directory);
    return true;
}

static bool prepare_directories(const struct up_options *options, struct up_ground *g, error *err)
{
    if (g->ephemeral) {
        if (!process_make_scratch("casework", g->directory, PLACE_SIZE, err))
            return false;
    } else {
        memcpy(g->directory, options->data_directory, PLACE_SIZE);
        if (!process_make_directory(g->directory, err))
            return false;
    }
    /* As root the servers run as other users, who have to get to their own folders in it. */
    if (chmod(g->directory, geteuid() == 0 ? 0711 : 0700) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "%s is not ours", g->directory);
    if (!lock_directory(g, err) || !part(g->directory, "keys", g->keys, err))
        return false;
    if (options->log_directory[0])
        memcpy(g->logs, options->log_directory, PLACE_SIZE);
    else if (!part(g->directory, "log", g->logs, err))
        return false;
    return process_make_directory(g->logs, err);
}

static bool start_servers(const struct up_options *options, struct up_ground *g, error *err)
{
    char pg[PLACE_SIZE], redis[PLACE_SIZE];
    if (!part(g->directory, "postgresql", pg, err) || !part(g->directory, "redis", redis, err))
        return false;
    const struct embedded_pg_options pg_options = {
        .data_directory = pg,
        .template_directory = options->template_directory[0] ? options->template_directory : NULL,
        .durable = !g->ephemeral};
    const struct embedded_redis_options redis_options = {.data_directory = redis,
                                                         .append_only = !g->ephemeral};
    g->redis_url = options->redis_url;
    if (!embedded_pg_start(&pg_options, &g->pg, err))
        return false;
    if (g->redis_url)
        return true;
    if (!embedded_redis_start(&redis_options, &g->redis, err))
        return false;
    g->redis_url = embedded_redis_url(g->redis);
    return true;
}

static bool create_databases(const struct up_ground *g, error *err)
{
    const struct pg_options options = {.url = embedded_pg_url(g->pg), .application = "casework up"};
    pg_conn *conn;
    if (!pg_conn_open(&options, &conn, err))
        return false;
    bool good = true;
    for (size_t i = 0; good && i < DATABASE_COUNT; i++) {
        pg_result *found;
        good = pg_query(conn, &databases[i].find, NULL, 0, &found, err);
        bool missing = good && pg_rows(found) == 0;
        if (good)
            pg_result_free(found);
        if (missing)
            good = pg_run_script(conn, databases[i].create, clock_monotonic_us() + CLOCK_MINUTE, err);
    }
    pg_conn_close(conn);
    return good;
}

static bool migrate(const struct up_options *options, const struct up_ground *g, error *err)
{
    for (size_t i = 0; i < DATABASE_COUNT; i++) {
        char url[UP_URL_SIZE], directory[PLACE_SIZE];
        const char *component = databases[i].service;
        const struct pg_options connection = {.url = url, .application = "casework up"};
        up_ground_database(g, component, url);
        if (!part(options->db_directory, component, directory, err) ||
            !pg_migrate(&connection, component, directory, NULL, err))
            return false;
    }
    return true;
}

void up_ground_database(const struct up_ground *ground, const char *service, char ret_url[UP_URL_SIZE])
{
    ret_url[0] = '\0';
    for (size_t i = 0; i < DATABASE_COUNT; i++)
        if (strcmp(databases[i].service, service) == 0)
            snprintf(ret_url, UP_URL_SIZE, "postgresql:///casework_%s%s", service,
                     strchr(embedded_pg_url(ground->pg), '?'));
}

bool up_ground_start(const struct up_options *options, struct up_ground *ret_ground, error *err)
{
    struct up_ground g = {
        .ephemeral = options->ephemeral, .lock = -1, .restart_delay_us = RESTART_DELAY_LEAST};
    if (!prepare_directories(options, &g, err) || !rpc_keys_generate(g.keys, err) ||
        !start_servers(options, &g, err) || !create_databases(&g, err) || !migrate(options, &g, err)) {
        up_ground_stop(&g);
        return false;
    }
    *ret_ground = g;
    return true;
}

/* A Redis that is not ours is not ours to keep. */
static bool redis_is_up(const struct up_ground *g)
{
    return !g->redis || embedded_redis_running(g->redis);
}

static bool restart(struct up_ground *g, error *err)
{
    if (!embedded_pg_running(g->pg)) {
        fprintf(stderr, "casework up: PostgreSQL has ended, starting it again\n");
        embedded_pg_stop(g->pg, EMBEDDED_PG_IMMEDIATE);
        if (!embedded_pg_restart(g->pg, err))
            return false;
    }
    if (!redis_is_up(g)) {
        fprintf(stderr, "casework up: Redis has ended, starting it again\n");
        embedded_redis_stop(g->redis, true);
        if (!embedded_redis_restart(g->redis, err))
            return false;
    }
    return true;
}

bool up_ground_keep(struct up_ground *g)
{
    error err;
    int64_t now = clock_monotonic_us();
    if (embedded_pg_running(g->pg) && redis_is_up(g))
        return true;
    if (now < g->restart_at_us)
        return false;
    if (restart(g, &err)) {
        g->restart_delay_us = RESTART_DELAY_LEAST;
        return true;
    }
    fprintf(stderr, "casework up: %s\n", err.message);
    g->restart_at_us = clock_monotonic_us() + g->restart_delay_us;
    g->restart_delay_us =
        g->restart_delay_us * 2 < RESTART_DELAY_MOST ? g->restart_delay_us * 2 : RESTART_DELAY_MOST;
    return false;
}

void up_ground_stop(struct up_ground *g)
{
    embedded_redis_free(g->redis);
    embedded_pg_free(g->pg);
    if (g->ephemeral && g->directory[0])
        process_remove_tree(g->directory);
    if (g->lock >= 0)
        close(g->lock);
    g->redis = NULL;
    g->pg = NULL;
    g->lock = -1;
}
