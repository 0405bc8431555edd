/* pg/migrate.h: numbered files, once each, whoever else runs them. */

#include "base/log.h"
#include "embedded/process.h"
#include "pg/migrate.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static embedded_pg *server;
static struct pg_options options;
static char directory[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void set_up(void)
{
    log_init("test", LOG_LEVEL_OFF);
    server = pg_server_start(false, NULL);
    options = (struct pg_options){.url = embedded_pg_url(server)};
    snprintf(directory, sizeof directory, "/tmp/casework-migrate-XXXXXX");
    cr_assert(mkdtemp(directory));
    write_file("0001_first.sql", "CREATE TABLE a (i int); INSERT INTO a VALUES (1);");
    write_file("0002_second.sql", "INSERT INTO a VALUES (2);\nSELECT count(*) FROM a;");
    write_file("README", "not a migration");
}

static void tear_down(void)
{
    process_remove_tree(directory);
    embedded_pg_free(server);
}

TestSuite(pg_migrate, .init = set_up, .fini = tear_down, .timeout = 60);

static int64_t rows_of_a(void)
{
    static const struct pg_statement count = {.name = "count", .sql = "SELECT count(*) FROM a"};
    pg_conn *conn;
    pg_result *r;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err));
    cr_assert(pg_query(conn, &count, NULL, 0, &r, &err), "%s", err.detail);
    int64_t rows = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_conn_close(conn);
    return rows;
}

static int migrate(error *err)
{
    int applied = -1;
    return pg_migrate(&options, "test", directory, &applied, err) ? applied : -1;
}

Test(pg_migrate, each_file_is_applied_once)
{
    error err = {0};
    int version = -1;
    cr_assert(pg_migrate_version(&options, "test", &version, &err));
    cr_assert_eq(version, 0);
    cr_assert_eq(migrate(&err), 2, "%s %s", err.message, err.detail);
    cr_assert_eq(migrate(&err), 0);
    cr_assert_eq(rows_of_a(), 2);
    write_file("0003_third.sql", "INSERT INTO a VALUES (3)");
    cr_assert_eq(migrate(&err), 1);
    cr_assert(pg_migrate_version(&options, "test", &version, &err));
    cr_assert_eq(version, 3);
    cr_assert(pg_migrate_version(&options, "other", &version, &err));
    cr_assert_eq(version, 0);
}

Test(pg_migrate, a_service_starts_only_on_its_own_version)
{
    error err = {0};
    cr_assert_not(pg_migrate_check(&options, "test", 2, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_not_null(strstr(err.message, "casework migrate"));
    cr_assert_eq(migrate(&err), 2);
    cr_assert(pg_migrate_check(&options, "test", 2, &err));
    cr_assert_not(pg_migrate_check(&options, "test", 1, &err));
    cr_assert_not(pg_migrate_check(&options, "test", 3, &err));
}

Test(pg_migrate, a_failing_file_leaves_nothing_behind)
{
    error err = {0};
    int version;
    write_file("0003_bad.sql", "INSERT INTO a VALUES (3); INSERT INTO nowhere VALUES (1)");
    cr_assert_eq(migrate(&err), -1);
    cr_assert_not_null(strstr(err.message, "0003_bad.sql"));
    cr_assert_not_null(strstr(err.detail, "nowhere"));
    cr_assert_eq(rows_of_a(), 2);
    cr_assert(pg_migrate_version(&options, "test", &version, &err));
    cr_assert_eq(version, 2);
}

Test(pg_migrate, changed_missing_and_newer_files_are_refused)
{
    error err = {0};
    char path[128];
    cr_assert_eq(migrate(&err), 2);
    write_file("0001_first.sql", "CREATE TABLE b (i int)");
    cr_assert_eq(migrate(&err), -1);
    cr_assert_not_null(strstr(err.message, "0001_first.sql"));
    write_file("0001_first.sql", "CREATE TABLE a (i int); INSERT INTO a VALUES (1);");
    snprintf(path, sizeof path, "%s/0002_second.sql", directory);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(migrate(&err), -1);
    cr_assert_not_null(strstr(err.message, "newer"));
    write_file("0003_hole.sql", "SELECT 1");
    cr_assert_eq(migrate(&err), -1);
    cr_assert_not_null(strstr(err.message, "0003_hole.sql"));
}

static void *migrate_apart(void *argument)
{
    error err = {0};
    int *applied = argument;
    *applied = migrate(&err);
    return NULL;
}

Test(pg_migrate, several_runners_at_once)
{
    pthread_t threads[4];
    int applied[4], sum = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, migrate_apart, &applied[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_geq(applied[i], 0);
        sum += applied[i];
    }
    cr_assert_eq(sum, 2);
    cr_assert_eq(rows_of_a(), 2);
}
