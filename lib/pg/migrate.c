#include "pg/migrate.h"

#include "base/clock.h"
#include "base/log.h"
#include "pg/pg_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A migration may rewrite a large table. */
#define MIGRATION_TIMEOUT CLOCK_HOUR

enum { FILE_MAX = 8 * 1024 * 1024, NUMBER_MAX = 9999, CHECKSUM_SIZE = 33 };

static const char make_table[] = "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                 " component text NOT NULL,"
                                 " number int NOT NULL,"
                                 " name text NOT NULL,"
                                 " checksum text NOT NULL,"
                                 " applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
                                 " PRIMARY KEY (component, number))";

/* A number of ours; "casework" in a telephone's letters. Held by the session: each migration has its own
 * transaction. */
static const struct pg_statement lock_migrations = {
    .name = "lock_migrations",
    .sql = "SELECT pg_advisory_lock(22739675)",
};
static const struct pg_statement get_applied = {
    .name = "get_applied",
    .sql = "SELECT number, name, checksum FROM schema_migrations WHERE component = $1::text ORDER BY number",
};
static const struct pg_statement add_applied = {
    .name = "add_applied",
    .sql = "INSERT INTO schema_migrations (component, number, name, checksum)"
           " VALUES ($1::text, $2::int4, $3::text, $4::text)",
};
static const struct pg_statement has_table = {
    .name = "has_table",
    .sql = "SELECT to_regclass('schema_migrations') IS NOT NULL",
};
static const struct pg_statement get_version = {
    .name = "get_version",
    .sql = "SELECT coalesce(max(number), 0) FROM schema_migrations WHERE component = $1::text",
};

struct migration {
    int number;
    char name[128];
    char checksum[CHECKSUM_SIZE];
    char *sql;
};

struct migrations {
    struct migration *list; /* by number, from 1, without holes */
    int count;
};

static bool wrong(error *err, const char *format, const char *what)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "MIGRATION", format, what);
}

static void migrations_release(struct migrations *all)
{
    for (int i = 0; i < all->count; i++)
        free(all->list[i].sql);
    free(all->list);
}

static bool read_file(const char *directory, struct migration *m, error *err)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, m->name);
    FILE *f = fopen(path, "re");
    m->sql = malloc(FILE_MAX);
    size_t length = f && m->sql ? fread(m->sql, 1, FILE_MAX, f) : FILE_MAX;
    if (f)
        fclose(f);
    if (length == FILE_MAX)
        return wrong(err, "cannot read the migration %s", path);
    m->sql[length] = '\0';
    XXH128_hash_t hash = XXH3_128bits(m->sql, length);
    snprintf(m->checksum, sizeof m->checksum, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return true;
}

static int is_migration(const struct dirent *entry)
{
    int end = 0;
    size_t length = strlen(entry->d_name);
    return sscanf(entry->d_name, "%*4[0-9]_%n", &end) == 0 && end == 5 && length < 128 && length > 9 &&
           strcmp(entry->d_name + length - 4, ".sql") == 0;
}

static bool read_migrations(const char *directory, struct migrations *ret_all, error *err)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_migration, alphasort);
    if (count < 0)
        return wrong(err, "cannot read the migrations in %s", directory);
    struct migrations all = {.list = calloc(count ? (size_t)count : 1, sizeof *all.list)};
    bool good = all.list != NULL;
    for (int i = 0; i < count; i++) {
        if (good) {
            struct migration *m = &all.list[all.count++];
            m->number = (int)strtol(entries[i]->d_name, NULL, 10);
            snprintf(m->name, sizeof m->name, "%.127s", entries[i]->d_name);
            good = m->number == i + 1 ? read_file(directory, m, err)
                                      : wrong(err, "migrations are not numbered 0001, 0002, …: %s", m->name);
        }
        free(entries[i]);
    }
    free(entries);
    if (good)
        *ret_all = all;
    else
        migrations_release(&all);
    return good;
}

/* What has been applied must be what the directory holds. */
static bool check_applied(const pg_result *applied, const struct migrations *all, error *err)
{
    for (int i = 0; i < pg_rows(applied); i++) {
        const char *name = pg_get_text(applied, i, 1);
        if (pg_get_int(applied, i, 0) != i + 1)
            return wrong(err, "the database lacks a migration before %s", name);
        if (i >= all->count)
            return wrong(err, "the database is newer than this program: it has %s", name);
        if (strcmp(pg_get_text(applied, i, 2), all->list[i].checksum) != 0)
            return wrong(err, "the migration %s has changed since it was applied", all->list[i].name);
    }
    return true;
}

static bool record(pg_conn *conn, const char *component, const struct migration *m, error *err)
{
    arena *memory = arena_new(4096);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_text(&p, component);
    pg_add_int4(&p, m->number);
    pg_add_text(&p, m->name);
    pg_add_text(&p, m->checksum);
    bool good = pg_query(conn, &add_applied, &p, 0, NULL, err);
    arena_free(memory);
    return good;
}

static bool apply(pg_conn *conn, const char *component, const struct migration *m, error *err)
{
    error why;
    if (pg_begin(conn, 0, &why) &&
        pg_run_script(conn, m->sql, clock_monotonic_us() + MIGRATION_TIMEOUT, &why) &&
        record(conn, component, m, &why) && pg_commit(conn, 0, &why)) {
        log_info("migrated", LOG_TEXT("component", component), LOG_TEXT("migration", m->name));
        return true;
    }
    pg_rollback(conn);
    error_set(err, why.code, "MIGRATION", "the migration %s failed", m->name);
    error_add_detail(err, "%s", why.detail[0] ? why.detail : why.message);
    return false;
}

static bool query_component(pg_conn *conn, const struct pg_statement *statement, const char *component,
                            pg_result **ret_result, error *err)
{
    arena *memory = arena_new(4096);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_text(&p, component);
    bool good = pg_query(conn, statement, &p, 0, ret_result, err);
    arena_free(memory);
    return good;
}

static bool apply_missing(pg_conn *conn, const char *component, const struct migrations *all,
                          int *ret_applied, error *err)
{
    pg_result *applied;
    int done = 0;
    if (!pg_query(conn, &lock_migrations, NULL, clock_monotonic_us() + MIGRATION_TIMEOUT, NULL, err) ||
        !pg_run_script(conn, make_table, 0, err) ||
        !query_component(conn, &get_applied, component, &applied, err))
        return false;
    int have = pg_rows(applied);
    bool good = check_applied(applied, all, err);
    pg_result_free(applied);
    for (int i = have; good && i < all->count; i++) {
        good = apply(conn, component, &all->list[i], err);
        done += good;
    }
    if (good && ret_applied)
        *ret_applied = done;
    return good;
}

bool pg_migrate(const struct pg_options *options, const char *component, const char *directory,
                int *ret_applied, error *err)
{
    struct migrations all = {.count = 0};
    pg_conn *conn;
    struct pg_options patient = *options;
    patient.statement_timeout_us = MIGRATION_TIMEOUT;
    patient.read_only = false;
    if (!read_migrations(directory, &all, err))
        return false;
    bool good = pg_conn_open(&patient, &conn, err);
    if (good) {
        good = apply_missing(conn, component, &all, ret_applied, err);
        pg_conn_close(conn);
    }
    migrations_release(&all);
    return good;
}

static bool read_version(pg_conn *conn, const char *component, int *ret_version, error *err)
{
    pg_result *result;
    if (!pg_query(conn, &has_table, NULL, 0, &result, err))
        return false;
    bool there = pg_get_bool(result, 0, 0);
    pg_result_free(result);
    int version = 0;
    if (there) {
        if (!query_component(conn, &get_version, component, &result, err))
            return false;
        version = (int)pg_get_int(result, 0, 0);
        pg_result_free(result);
    }
    *ret_version = version;
    return true;
}

bool pg_migrate_version(const struct pg_options *options, const char *component, int *ret_version, error *err)
{
    pg_conn *conn;
    if (!pg_conn_open(options, &conn, err))
        return false;
    bool good = read_version(conn, component, ret_version, err);
    pg_conn_close(conn);
    return good;
}

bool pg_migrate_check(const struct pg_options *options, const char *component, int version, error *err)
{
    int found;
    if (!pg_migrate_version(options, component, &found, err))
        return false;
    if (found < version)
        return error_set(
            err, STATUS_FAILED_PRECONDITION, "MIGRATION",
            "the database's %s schema is at version %d, this program needs %d: run `casework migrate`",
            component, found, version);
    if (found > version)
        return error_set(
            err, STATUS_FAILED_PRECONDITION, "MIGRATION",
            "the database's %s schema is at version %d, this program knows only %d: run a newer one",
            component, found, version);
    return true;
}
