/* pg/pg.h against a private server: parameters and results, errors, pipelines, transactions, the pool. */

#include "base/clock.h"
#include "pg/pg.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static embedded_pg *server;
static pg_conn *conn;
static arena *memory;

static struct pg_options options(void)
{
    return (struct pg_options){.url = embedded_pg_url(server), .statement_timeout_us = 2 * CLOCK_SECOND};
}

static void set_up(void)
{
    error err = {0};
    struct pg_options o;
    server = pg_server_start(false, NULL);
    o = options();
    memory = arena_new(1 << 20);
    cr_assert(pg_conn_open(&o, &conn, &err), "%s %s", err.message, err.detail);
}

static void tear_down(void)
{
    pg_conn_close(conn);
    arena_free(memory);
    embedded_pg_free(server);
}

TestSuite(pg_conn, .init = set_up, .fini = tear_down, .timeout = 60);

static pg_result *query(const struct pg_statement *statement, const pg_params *params)
{
    pg_result *result;
    error err = {0};
    cr_assert(pg_query(conn, statement, params, 0, &result, &err), "%s %s", err.message, err.detail);
    return result;
}

Test(pg_conn, values_come_back_as_they_went)
{
    static const struct pg_statement echo = {
        .name = "echo",
        .sql =
            "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::text, $6::bytea, $7::timestamptz, $8::text,"
            " $9::timestamptz, $7::timestamptz = '2019-03-04T05:06:07.000008Z'",
    };
    const int64_t time = INT64_C(1551675967000008);
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_bool(&p, true);
    pg_add_int2(&p, -2);
    pg_add_int4(&p, INT32_MIN);
    pg_add_int8(&p, INT64_MAX);
    pg_add_text(&p, "Zürich \"x\" {a,b} \\");
    pg_add_bytea(&p, "\0\1\377", 3);
    pg_add_time(&p, time);
    pg_add_text(&p, NULL);
    pg_add_time(&p, 0);
    pg_result *r = query(&echo, &p);
    size_t length;
    cr_assert_eq(pg_rows(r), 1);
    cr_assert(pg_get_bool(r, 0, 0));
    cr_assert_eq(pg_get_int(r, 0, 1), -2);
    cr_assert_eq(pg_get_int(r, 0, 2), INT32_MIN);
    cr_assert_eq(pg_get_int(r, 0, 3), INT64_MAX);
    cr_assert_str_eq(pg_get_text(r, 0, 4), "Zürich \"x\" {a,b} \\");
    cr_assert(memcmp(pg_get_bytes(r, 0, 5, &length), "\0\1\377", 3) == 0 && length == 3);
    cr_assert_eq(pg_get_time(r, 0, 6), time);
    cr_assert(pg_is_null(r, 0, 7));
    cr_assert_str_eq(pg_get_text(r, 0, 7), "");
    cr_assert(pg_is_null(r, 0, 8));
    cr_assert_eq(pg_get_time(r, 0, 8), 0);
    cr_assert(pg_get_bool(r, 0, 9), "the server's idea of the time differs");
    cr_assert_eq(pg_get_int(r, 1, 0), 0, "no such row");
    cr_assert_eq(pg_get_int(r, 0, 99), 0, "no such column");
    cr_assert_eq(pg_get_int(r, 0, 4), 0, "text is no number");
    pg_result_free(r);
}

Test(pg_conn, rows_of_arrays_go_through_unnest)
{
    static const struct pg_statement unnest = {
        .name = "unnest",
        .sql = "SELECT id, subject, at, flag, data, labels::text[], numbers::int8[] FROM"
               " unnest($1::int8[], $2::text[], $3::timestamptz[], $4::bool[], $5::bytea[], $6::text[], "
               "$7::text[])"
               " AS u(id, subject, at, flag, data, labels, numbers)",
    };
    const char *const labels[] = {"a", "Contract Needed", "q\"uo\\te", "", "NULL", NULL, "{x,y}"};
    const int64_t numbers[] = {-1, 0, INT64_MAX};
    const char **texts;
    int64_t *values;
    size_t count;
    pg_params p;
    pg_params_init(&p, memory);
    pg_array *id = pg_add_array(&p, PG_INT8), *subject = pg_add_array(&p, PG_TEXT);
    pg_array *at = pg_add_array(&p, PG_TIME), *flag = pg_add_array(&p, PG_BOOL);
    pg_array *data = pg_add_array(&p, PG_BYTEA), *label = pg_add_array(&p, PG_TEXT);
    pg_array *number = pg_add_array(&p, PG_TEXT);
    for (int i = 0; i < 500; i++) {
        pg_put_int(id, i);
        pg_put_text(subject, i % 2 ? "odd" : NULL);
        pg_put_time(at, i * CLOCK_SECOND);
        pg_put_bool(flag, i % 3 == 0);
        pg_put_bytea(data, i % 5 ? "\0x" : NULL, 2);
        pg_put_text_list(label, labels, i == 7 ? 7 : 0);
        pg_put_int8_list(number, numbers, i == 7 ? 3 : 0);
    }
    pg_result *r = query(&unnest, &p);
    cr_assert_eq(pg_rows(r), 500);
    cr_assert_eq(pg_get_int(r, 499, 0), 499);
    cr_assert(pg_is_null(r, 0, 1));
    cr_assert_str_eq(pg_get_text(r, 1, 1), "odd");
    cr_assert_eq(pg_get_time(r, 10, 2), 10 * CLOCK_SECOND);
    cr_assert(pg_get_bool(r, 3, 3));
    cr_assert(pg_is_null(r, 5, 4));
    cr_assert(pg_get_text_array(r, 7, 5, memory, &texts, &count));
    cr_assert_eq(count, 7);
    for (int i = 0; i < 7; i++)
        cr_assert_str_eq(texts[i], labels[i] ? labels[i] : "");
    cr_assert(pg_get_text_array(r, 8, 5, memory, &texts, &count));
    cr_assert_eq(count, 0);
    cr_assert(pg_get_int_array(r, 7, 6, memory, &values, &count));
    cr_assert_eq(count, 3);
    cr_assert_eq(values[2], INT64_MAX);
    cr_assert_not(pg_get_int_array(r, 7, 5, memory, &values, &count), "text members are no numbers");
    cr_assert_not(pg_get_text_array(r, 7, 3, memory, &texts, &count), "a bool is no array");
    pg_result_free(r);
}

/* A single row goes as values, several as arrays: the same rows come out, and one form does not stand in for
 * the other. */
Test(pg_conn, a_single_row_is_as_good_as_several)
{
    static const struct pg_statement rows = {
        .name = "rows",
        .rows = true,
        .sql = "SELECT u.*, (u.list::text[])[1] FROM (SELECT unnest($1::int2[]), unnest($2::text[]),"
               " unnest($3::bytea[]), unnest($4::timestamptz[]), unnest($5::text[]),"
               " generate_subscripts($1::int2[], 1)) AS u(number, text, data, time, list, ord)"
               " WHERE number > $6::int8 ORDER BY ord",
    };
    const char *list[] = {"a,b", "\"c\""};
    for (int round = 0; round < 3; round++) {
        int count = round == 1 ? 3 : 1;
        pg_params p;
        pg_params_init(&p, memory);
        pg_array *columns[] = {pg_add_array(&p, PG_INT2), pg_add_array(&p, PG_TEXT),
                               pg_add_array(&p, PG_BYTEA), pg_add_array(&p, PG_TIME),
                               pg_add_array(&p, PG_TEXT)};
        pg_add_int8(&p, 6);
        for (int i = 0; i < count; i++) {
            pg_put_int(columns[0], 7 + i);
            pg_put_text(columns[1], i == 1 ? NULL : "");
            pg_put_bytea(columns[2], "\0\1", 2);
            pg_put_time(columns[3], round == 2 ? 0 : INT64_C(1551675967000008));
            pg_put_text_list(columns[4], list, 2);
        }
        pg_result *r = query(&rows, &p);
        size_t length;
        cr_assert_eq(pg_rows(r), count);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(pg_get_int(r, i, 0), 7 + i);
            cr_assert_eq(pg_is_null(r, i, 1), i == 1);
            cr_assert(memcmp(pg_get_bytes(r, i, 2, &length), "\0\1", 2) == 0 && length == 2);
            cr_assert_eq(pg_get_time(r, i, 3), round == 2 ? 0 : INT64_C(1551675967000008));
            cr_assert_eq(pg_get_int(r, i, 5), i + 1);
            cr_assert_str_eq(pg_get_text(r, i, 6), "a,b");
        }
        pg_result_free(r);
    }
}

Test(pg_conn, whole_arrays)
{
    static const struct pg_statement sums = {
        .name = "sums",
        .sql = "SELECT (SELECT sum(v)::int8 FROM unnest($1::int8[]) v), (SELECT sum(v)::int8 FROM "
               "unnest($2::int4[]) v),"
               " (SELECT string_agg(v, '|') FROM unnest($3::text[]) v), cardinality($4::int8[])",
    };
    const int64_t longs[] = {INT64_C(1) << 40, 5};
    const int32_t ints[] = {-7, 3};
    const char *const texts[] = {"x", NULL, "y"};
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int8_array(&p, longs, 2);
    pg_add_int4_array(&p, ints, 2);
    pg_add_text_array(&p, texts, 3);
    pg_add_int8_array(&p, NULL, 0);
    pg_result *r = query(&sums, &p);
    cr_assert_eq(pg_get_int(r, 0, 0), (INT64_C(1) << 40) + 5);
    cr_assert_eq(pg_get_int(r, 0, 1), -4);
    cr_assert_str_eq(pg_get_text(r, 0, 2), "x|y");
    cr_assert_eq(pg_get_int(r, 0, 3), 0);
    pg_result_free(r);
}

static enum status_code fails_with(const struct pg_statement *statement, const pg_params *params)
{
    error err = {0};
    cr_assert_not(pg_query(conn, statement, params, 0, NULL, &err));
    return err.code;
}

Test(pg_conn, parameters_that_do_not_fit_are_refused_before_sending)
{
    static const struct pg_statement one = {.name = "one", .sql = "SELECT $1::int2"};
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int2(&p, 40000);
    cr_assert_eq(fails_with(&one, &p), STATUS_RESOURCE_EXHAUSTED);
    arena *small = arena_new(600);
    pg_params_init(&p, small);
    pg_array *a = pg_add_array(&p, PG_TEXT);
    for (int i = 0; i < 1000; i++)
        pg_put_text(a, "many");
    cr_assert(p.failed);
    cr_assert_eq(fails_with(&one, &p), STATUS_RESOURCE_EXHAUSTED);
    arena_free(small);
    pg_params_init(&p, memory);
    pg_put_int(pg_add_array(&p, PG_TEXT), 5);
    cr_assert(p.failed);
    cr_assert(pg_conn_usable(conn));
}

Test(pg_conn, sql_errors_get_their_code_and_leave_the_connection_usable)
{
    static const struct pg_statement bad = {.name = "bad", .sql = "SELECT nothing FROM nowhere"};
    static const struct pg_statement divide = {.name = "divide", .sql = "SELECT 1 / $1::int4"};
    static const struct pg_statement slow = {.name = "slow", .sql = "SELECT pg_sleep(30)"};
    static const struct pg_statement raise_full = {.name = "full", .sql = "SELECT pg_temp.fail('53100')"};
    static const struct pg_statement raise_conflict = {.name = "conflict",
                                                       .sql = "SELECT pg_temp.fail('40001')"};
    error err = {0};
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int4(&p, 0);
    cr_assert(pg_run_script(conn,
                            "CREATE FUNCTION pg_temp.fail(code text) RETURNS void LANGUAGE plpgsql AS"
                            " $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = code; END $$",
                            0, &err));
    cr_assert_eq(fails_with(&bad, NULL), STATUS_INTERNAL);
    cr_assert_eq(fails_with(&divide, &p), STATUS_INTERNAL);
    cr_assert_eq(fails_with(&divide, &p), STATUS_INTERNAL, "prepared by now");
    cr_assert_eq(fails_with(&slow, NULL), STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(fails_with(&raise_full, NULL), STATUS_UNAVAILABLE);
    cr_assert_eq(fails_with(&raise_conflict, NULL), STATUS_ABORTED);
    cr_assert_not(pg_query(conn, &raise_full, NULL, 0, NULL, &err));
    cr_assert_null(strstr(err.message, "secret"));
    cr_assert_not_null(strstr(err.detail, "secret"));
    cr_assert(pg_conn_usable(conn));
    pg_params_init(&p, memory);
    pg_add_int4(&p, 1);
    pg_result_free(query(&divide, &p));
}

Test(pg_conn, several_statements_in_one_round_trip_are_one_transaction)
{
    static const struct pg_statement insert = {.name = "insert", .sql = "INSERT INTO t VALUES ($1::int4)"};
    static const struct pg_statement count = {.name = "count", .sql = "SELECT count(*) FROM t"};
    error err = {0};
    pg_result *results[3];
    pg_params p;
    cr_assert(pg_run_script(conn, "CREATE TEMP TABLE t (i int CHECK (i < 10))", 0, &err));
    for (int i = 0; i < 2; i++) {
        pg_params_init(&p, memory);
        pg_add_int4(&p, i);
        cr_assert(pg_send(conn, &insert, &p, &err));
    }
    cr_assert(pg_send(conn, &count, NULL, &err));
    cr_assert(pg_receive_all(conn, 0, results, 3, &err), "%s", err.detail);
    cr_assert_eq(pg_rows_affected(results[0]), 1);
    cr_assert_eq(pg_get_int(results[2], 0, 0), 2);
    for (int i = 0; i < 3; i++)
        pg_result_free(results[i]);
    for (int i = 9; i < 11; i++) {
        pg_params_init(&p, memory);
        pg_add_int4(&p, i);
        cr_assert(pg_send(conn, &insert, &p, &err));
    }
    cr_assert_not(pg_receive_all(conn, 0, results, 2, &err));
    cr_assert_eq(err.code, STATUS_INTERNAL);
    pg_result *r = query(&count, NULL);
    cr_assert_eq(pg_get_int(r, 0, 0), 2, "the good one of the failed pair must be gone too");
    pg_result_free(r);
}

Test(pg_conn, transactions_commit_and_roll_back)
{
    static const struct pg_statement insert = {.name = "insert", .sql = "INSERT INTO t VALUES (1)"};
    static const struct pg_statement bad = {.name = "bad", .sql = "SELECT 1 / 0"};
    static const struct pg_statement count = {.name = "count", .sql = "SELECT count(*) FROM t"};
    error err = {0};
    cr_assert(pg_run_script(conn, "CREATE TEMP TABLE t (i int)", 0, &err));
    cr_assert(pg_begin(conn, 0, &err));
    pg_result_free(query(&insert, NULL));
    pg_rollback(conn);
    cr_assert(pg_begin(conn, 0, &err));
    pg_result_free(query(&insert, NULL));
    cr_assert(pg_commit(conn, 0, &err));
    cr_assert(pg_begin(conn, 0, &err));
    pg_result_free(query(&insert, NULL));
    cr_assert_not(pg_query(conn, &bad, NULL, 0, NULL, &err));
    cr_assert_not(pg_commit(conn, 0, &err));
    cr_assert_eq(err.code, STATUS_ABORTED);
    pg_rollback(conn);
    pg_result *r = query(&count, NULL);
    cr_assert_eq(pg_get_int(r, 0, 0), 1);
    pg_result_free(r);
}

Test(pg_conn, many_statements_on_one_connection)
{
    static char names[300][16], texts[300][32];
    static struct pg_statement statements[300];
    error err = {0};
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof names[i], "same");
        snprintf(texts[i], sizeof texts[i], "SELECT %d", i);
        statements[i] = (struct pg_statement){.name = names[i], .sql = texts[i]};
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++) {
            pg_result *r;
            cr_assert(pg_query(conn, &statements[i], NULL, 0, &r, &err), "%d: %s", i, err.detail);
            cr_assert_eq(pg_get_int(r, 0, 0), i);
            pg_result_free(r);
        }
}

Test(pg_conn, a_deadline_ends_the_wait)
{
    static const struct pg_statement slow = {.name = "slow", .sql = "SELECT pg_sleep(60)"};
    error err = {0};
    int64_t start = clock_monotonic_us();
    cr_assert_not(pg_query(conn, &slow, NULL, start + 100000, NULL, &err));
    cr_assert_eq(err.code, STATUS_DEADLINE_EXCEEDED);
    cr_assert_lt(clock_monotonic_us() - start, 30 * CLOCK_SECOND);
    cr_assert_not(pg_conn_usable(conn));
}

Test(pg_conn, a_server_that_goes_is_noticed)
{
    static const struct pg_statement one = {.name = "one", .sql = "SELECT 1"};
    error err = {0};
    struct pg_options o = options();
    pg_conn *other;
    embedded_pg_stop(server, EMBEDDED_PG_IMMEDIATE);
    cr_assert_not(pg_query(conn, &one, NULL, 0, NULL, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    cr_assert_not(pg_conn_usable(conn));
    cr_assert_not(pg_conn_open(&o, &other, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
}

Test(pg_conn, the_first_host_that_answers_is_taken)
{
    char url[512];
    error err = {0};
    const char *place = strstr(embedded_pg_url(server), "host=") + 5;
    snprintf(url, sizeof url, "postgresql:///postgres?host=127.0.0.1,%.*s&port=1,5432&user=casework",
             (int)strcspn(place, "&"), place);
    struct pg_options o = {.url = url};
    pg_conn *other;
    cr_assert(pg_conn_open(&o, &other, &err), "%s %s", err.message, err.detail);
    pg_conn_close(other);
}

Test(pg_conn, the_pool_is_bounded_and_survives_a_restart)
{
    static const struct pg_statement one = {.name = "one", .sql = "SELECT 1"};
    error err = {0};
    struct pg_options o = options();
    pg_pool *pool;
    pg_conn *a, *b, *c;
    pg_result *r;
    o.read_only = true;
    cr_assert(pg_pool_new(&o, 2, &pool, &err));
    cr_assert(pg_pool_acquire(pool, 0, &a, &err));
    cr_assert(pg_pool_acquire(pool, 0, &b, &err));
    cr_assert_not(pg_pool_acquire(pool, clock_monotonic_us() + 50000, &c, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert(pg_begin(b, 0, &err));
    pg_pool_release(pool, a);
    pg_pool_release(pool, b);
    embedded_pg_stop(server, EMBEDDED_PG_FAST);
    cr_assert(embedded_pg_restart(server, &err), "%s", err.message);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    cr_assert(pg_pool_acquire(pool, 0, &b, &err), "%s", err.detail);
    cr_assert(pg_begin(b, 0, &err), "a connection that is handed out is alive: %s", err.detail);
    cr_assert(pg_pool_query(pool, &one, NULL, 0, &r, &err), "%s", err.detail);
    pg_pool_release(pool, b);
    cr_assert_eq(pg_get_int(r, 0, 0), 1);
    pg_result_free(r);
    cr_assert(pg_pool_ping(pool, 0, &err));
    cr_assert(pg_pool_acquire(pool, 0, &a, &err));
    cr_assert(pg_begin(a, 0, &err), "the other kept one was lost in the restart too");
    pg_pool_release(pool, a);
    pg_pool_free(pool);
}
