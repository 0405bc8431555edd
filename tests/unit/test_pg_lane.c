/*
 * pg/lane.h against a private server, with a service that appends numbers to a list: batches, refusals,
 * guilty commands, lost connections at every moment, two replicas, crashes.
 */

#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "pg/lane.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS = 8, FORBIDDEN = -1, REFUSED = -2 };

#define LOCK                                                                                               \
    "SELECT partition, pg_current_xact_id(), head, 'head ' || head FROM partitions WHERE partition = ANY " \
    "($1::int2[]) FOR UPDATE"

static const struct pg_statement lock_partition = {.name = "lock_partition", .sql = LOCK};
static const struct pg_statement lock_free_partitions = {.name = "lock_free", .sql = LOCK " SKIP LOCKED"};
static const struct pg_statement read_known = {
    .name = "read_known",
    .sql = "SELECT i.partition, i.value FROM unnest($1::int2[], $2::int8[]) AS k(partition, value)"
           " JOIN items i USING (partition, value)",
};
static const struct pg_statement append_items = {
    .name = "append_items",
    .sql = "INSERT INTO items (partition, position, value) SELECT * FROM unnest($1::int2[], $2::int8[],"
           " $3::int8[])",
};
static const struct pg_statement move_heads = {
    .name = "move_heads",
    .sql = "UPDATE partitions p SET head = u.head, mark = $3::int8 FROM unnest($1::int2[], $2::int8[])"
           " AS u(partition, head) WHERE p.partition = u.partition",
};

static const struct pg_statement read_mark = {
    .name = "read_mark",
    .sql = "SELECT mark FROM partitions WHERE partition = ANY ($1::int2[])",
};

/* Appends `value`; does nothing if it is there already. */
struct append {
    struct pg_command command;
    int64_t value;
    int64_t position; /* told by decide */
    int runs;
    const char *head; /* as the lock statement's result has it, for `done` to read */
    bool head_was_readable;
    atomic_bool *told;
};

static embedded_pg *server;
static pg_lanes *lanes;
static atomic_int started, finished, committed, largest, widest;

static bool append_read(void *context, pg_batch *batch, error *err)
{
    (void)context;
    pg_params p;
    pg_params_init(&p, pg_batch_memory(batch));
    pg_array *partitions = pg_add_array(&p, PG_INT2), *values = pg_add_array(&p, PG_INT8);
    started++;
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        struct append *a = (struct append *)pg_batch_command(batch, i);
        a->runs++;
        pg_put_int(partitions, a->command.partition);
        pg_put_int(values, a->value);
    }
    size_t index;
    return pg_batch_read(batch, &read_known, &p, &index, err);
}

static bool is_known(const pg_result *known, const struct append *a)
{
    for (int i = 0; i < pg_rows(known); i++)
        if (pg_get_int(known, i, 0) == a->command.partition && pg_get_int(known, i, 1) == a->value)
            return true;
    return false;
}

/* The row of a partition in the lock's result. */
static int row_of(const pg_result *locked, unsigned partition)
{
    for (int row = 0; row < pg_rows(locked); row++)
        if (pg_get_int(locked, row, 0) == partition)
            return row;
    cr_assert_fail("a command whose partition was not got");
    return -1;
}

/* The heads that have moved, with the mark. */
static bool write_heads(pg_batch *batch, const int64_t *heads, error *err)
{
    pg_params p;
    pg_params_init(&p, pg_batch_memory(batch));
    pg_array *partitions = pg_add_array(&p, PG_INT2), *positions = pg_add_array(&p, PG_INT8);
    for (int i = 0; i < PARTITIONS; i++) {
        if (heads[i] == 0)
            continue;
        pg_put_int(partitions, i);
        pg_put_int(positions, heads[i]);
    }
    pg_add_int8(&p, pg_batch_mark(batch));
    return pg_batch_write(batch, &move_heads, &p, err);
}

static bool append_decide(void *context, pg_batch *batch, error *err)
{
    (void)context;
    const pg_result *locked = pg_batch_lock(batch);
    int64_t heads[PARTITIONS] = {0};
    bool any = false;
    pg_params items;
    pg_params_init(&items, pg_batch_memory(batch));
    pg_array *partitions = pg_add_array(&items, PG_INT2);
    pg_array *positions = pg_add_array(&items, PG_INT8), *values = pg_add_array(&items, PG_INT8);
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        struct append *a = (struct append *)pg_batch_command(batch, i);
        unsigned partition = a->command.partition;
        int row = row_of(locked, partition);
        a->head = pg_get_text(locked, row, 3);
        if (a->value == REFUSED) {
            error_set(&a->command.outcome, STATUS_FAILED_PRECONDITION, "REFUSED", "no");
        } else if (!is_known(pg_batch_result(batch, 0), a)) {
            any = true;
            heads[partition] = (heads[partition] ? heads[partition] : pg_get_int(locked, row, 2)) + 1;
            a->position = heads[partition];
            pg_put_int(partitions, partition);
            pg_put_int(positions, a->position);
            pg_put_int(values, a->value);
        }
    }
    if ((int)pg_batch_count(batch) > largest)
        largest = (int)pg_batch_count(batch);
    if (pg_rows(locked) > widest)
        widest = pg_rows(locked);
    return !any || (pg_batch_write(batch, &append_items, &items, err) && write_heads(batch, heads, err));
}

static void append_finish(void *context, pg_batch *batch, bool was_committed)
{
    (void)context;
    (void)batch;
    finished++;
    committed += was_committed;
}

static const struct pg_lane_ops ops = {.lock = &lock_partition,
                                       .lock_free = &lock_free_partitions,
                                       .mark = &read_mark,
                                       .read = append_read,
                                       .decide = append_decide,
                                       .finish = append_finish};

static void append_done(struct pg_command *command)
{
    struct append *a = (struct append *)command;
    a->head_was_readable = a->head && strncmp(a->head, "head ", 5) == 0;
    *a->told = true;
}

/* --- help --- */

static pg_conn *open_conn(void)
{
    struct pg_options o = {.url = embedded_pg_url(server)};
    pg_conn *conn;
    error err = {0};
    cr_assert(pg_conn_open(&o, &conn, &err), "%s", err.detail);
    return conn;
}

static int64_t ask(const struct pg_statement *statement)
{
    pg_conn *conn = open_conn();
    pg_result *r;
    error err = {0};
    cr_assert(pg_query(conn, statement, NULL, 0, &r, &err), "%s", err.detail);
    int64_t value = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_conn_close(conn);
    return value;
}

static int64_t item_count(void)
{
    static const struct pg_statement count = {.name = "count", .sql = "SELECT count(*) FROM items"};
    return ask(&count);
}

/* Positions per partition are 1, 2, 3 … up to its head. */
static bool is_dense(void)
{
    static const struct pg_statement holes = {
        .name = "holes",
        .sql =
            "SELECT count(*) FROM (SELECT partition, head, (SELECT count(*) FROM items i WHERE i.partition ="
            " p.partition) AS n, (SELECT max(position) FROM items i WHERE i.partition = p.partition) AS top"
            " FROM partitions p) AS x WHERE head <> n OR coalesce(top, 0) <> head",
    };
    return ask(&holes) == 0;
}

static void await(const atomic_bool *flag)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    while (!*flag && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    cr_assert(*flag, "never told");
}

static struct pg_lane_options lane_options(void)
{
    return (struct pg_lane_options){
        .connection = {.url = embedded_pg_url(server), .statement_timeout_us = 5 * CLOCK_SECOND},
        .partitions = PARTITIONS,
        .lanes = 3,
        .queue_max = 100};
}

static void set_up(void)
{
    error err = {0};
    log_init("test", LOG_LEVEL_OFF);
    server = pg_server_start(true, NULL);
    pg_conn *conn = open_conn();
    cr_assert(
        pg_run_script(
            conn,
            "CREATE TABLE partitions (partition smallint PRIMARY KEY, head bigint NOT NULL, mark bigint);"
            "CREATE TABLE items (partition smallint, position bigint, value bigint CHECK (value <> -1),"
            " PRIMARY KEY (partition, position), UNIQUE (partition, value));"
            "INSERT INTO partitions SELECT p, 0 FROM generate_series(0, 7) p",
            0, &err),
        "%s", err.detail);
    pg_conn_close(conn);
    struct pg_lane_options o = lane_options();
    cr_assert(pg_lanes_new(&o, &ops, NULL, &lanes, &err));
}

static void tear_down(void)
{
    pg_lanes_free(lanes);
    embedded_pg_free(server);
}

TestSuite(pg_lane, .init = set_up, .fini = tear_down, .timeout = 120);

static void submit(struct append *a, atomic_bool *told, unsigned partition, int64_t value)
{
    error err = {0};
    *told = false;
    *a = (struct append){
        .command = {.partition = partition, .done = append_done}, .value = value, .told = told};
    cr_assert(pg_lanes_submit(lanes, &a->command, &err), "%s", err.message);
}

static enum status_code append(unsigned partition, int64_t value)
{
    struct append a;
    atomic_bool told;
    submit(&a, &told, partition, value);
    await(&told);
    return a.command.outcome.code;
}

/* Holds partition 0, so that what is submitted meanwhile becomes one batch. */
static pg_conn *hold_partition(void)
{
    static const struct pg_statement hold = {
        .name = "hold", .sql = "SELECT head FROM partitions WHERE partition = 0 FOR UPDATE"};
    error err = {0};
    pg_conn *conn = open_conn();
    cr_assert(pg_begin(conn, 0, &err) && pg_query(conn, &hold, NULL, 0, NULL, &err), "%s", err.detail);
    return conn;
}

/* Submits `count` values as one batch behind one command that is already waiting for the partition. */
static void run_batch(struct append *appends, atomic_bool *told, const int64_t *values, int count)
{
    struct append first;
    atomic_bool first_told;
    pg_conn *holder = hold_partition();
    int before = started;
    submit(&first, &first_told, 0, 1000000 + values[0]);
    while (started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < count; i++)
        submit(&appends[i], &told[i], 0, values[i]);
    pg_rollback(holder);
    pg_conn_close(holder);
    await(&first_told);
    for (int i = 0; i < count; i++)
        await(&told[i]);
}

/* --- tests --- */

Test(pg_lane, what_is_told_as_done_is_there)
{
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(append(i % PARTITIONS, i), STATUS_OK);
    cr_assert_eq(item_count(), 20);
    cr_assert(is_dense());
    cr_assert_eq(finished, 20);
    cr_assert_eq(committed, 20);
}

Test(pg_lane, nothing_to_write_is_no_commit)
{
    cr_assert_eq(append(3, 7), STATUS_OK);
    cr_assert_eq(append(3, 7), STATUS_OK);
    cr_assert_eq(item_count(), 1);
    cr_assert_eq(finished, 2);
    cr_assert_eq(committed, 1);
}

Test(pg_lane, a_batch_that_writes_nothing_lets_the_partition_go)
{
    cr_assert_eq(append(0, REFUSED), STATUS_FAILED_PRECONDITION);
    pg_conn *other = hold_partition();
    pg_conn_close(other);
    cr_assert_eq(append(0, FORBIDDEN), STATUS_INTERNAL);
    other = hold_partition();
    pg_conn_close(other);
}

Test(pg_lane, waiting_commands_become_one_transaction)
{
    struct append a[50];
    atomic_bool told[50];
    int64_t values[50];
    for (int i = 0; i < 50; i++)
        values[i] = i;
    run_batch(a, told, values, 50);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
        cr_assert_eq(a[i].position, i + 2, "in the order submitted");
        cr_assert(a[i].head_was_readable, "results live until the commands are done");
    }
    cr_assert_eq(largest, 50);
    cr_assert_eq(committed, 2);
}

Test(pg_lane, a_refused_command_takes_no_other_with_it)
{
    struct append a[3];
    atomic_bool told[3];
    run_batch(a, told, (const int64_t[]){5, REFUSED, 6}, 3);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(a[1].command.outcome.reason, "REFUSED");
    cr_assert_eq(a[2].command.outcome.code, STATUS_OK);
    cr_assert_eq(item_count(), 3);
}

Test(pg_lane, only_the_guilty_command_gets_the_sql_error)
{
    struct append a[3];
    atomic_bool told[3];
    run_batch(a, told, (const int64_t[]){5, FORBIDDEN, 6}, 3);
    cr_assert_eq(largest, 3);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_INTERNAL);
    cr_assert_eq(a[2].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[0].runs, 2);
    cr_assert_eq(item_count(), 3);
    cr_assert(is_dense());
    cr_assert_eq(finished, 6, "one for each run: the first command's partition was left out once");
}

Test(pg_lane, a_deadline_that_passes_while_waiting_is_told)
{
    struct append first, late;
    atomic_bool first_told, late_told = false;
    error err = {0};
    pg_conn *holder = hold_partition();
    int before = started;
    submit(&first, &first_told, 0, 1);
    while (started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    late = (struct append){
        .command = {.partition = 0, .done = append_done, .deadline_us = clock_monotonic_us() + 50000},
        .value = 2,
        .told = &late_told};
    cr_assert(pg_lanes_submit(lanes, &late.command, &err));
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    pg_rollback(holder);
    pg_conn_close(holder);
    await(&late_told);
    await(&first_told);
    cr_assert_eq(late.command.outcome.code, STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(late.runs, 0);
    cr_assert_eq(item_count(), 1);
}

Test(pg_lane, a_partition_that_somebody_keeps_is_unavailable)
{
    pg_conn *holder = hold_partition();
    cr_assert_eq(append(0, 1), STATUS_UNAVAILABLE);
    cr_assert_eq(append(1, 1), STATUS_OK);
    pg_conn_close(holder);
    cr_assert_eq(append(0, 1), STATUS_OK);
}

Test(pg_lane, a_full_queue_says_so_at_once)
{
    static struct append a[101], one_more;
    static atomic_bool told[101];
    error err = {0};
    pg_conn *holder = hold_partition();
    submit(&a[0], &told[0], 0, 0);
    while (started < 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 1; i <= 100; i++)
        submit(&a[i], &told[i], 0, i);
    one_more = (struct append){.command = {.partition = 0, .done = append_done}};
    cr_assert_not(pg_lanes_submit(lanes, &one_more.command, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    pg_rollback(holder);
    pg_conn_close(holder);
    for (int i = 0; i <= 100; i++)
        await(&told[i]);
    cr_assert_eq(item_count(), 101);
}

Test(pg_lane, freeing_runs_what_is_queued)
{
    static struct append a[60];
    static atomic_bool told[60];
    for (int i = 0; i < 60; i++)
        submit(&a[i], &told[i], (unsigned)i % PARTITIONS, i);
    pg_lanes_free(lanes);
    lanes = NULL;
    for (int i = 0; i < 60; i++) {
        cr_assert(told[i]);
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
    }
    cr_assert_eq(item_count(), 60);
}

/* --- several partitions a transaction --- */

/* Lanes of other options, in place of the usual ones. */
static void use_lanes(unsigned count, unsigned spread_max)
{
    struct pg_lane_options o = lane_options();
    error err = {0};
    o.lanes = count;
    o.spread_max = spread_max;
    pg_lanes_free(lanes);
    cr_assert(pg_lanes_new(&o, &ops, NULL, &lanes, &err));
}

/* Submits values[i] for partition i + 1, all behind the one lane's wait for partition 0. */
static void run_spread(struct append *appends, atomic_bool *told, const int64_t *values, int count)
{
    struct append first;
    atomic_bool first_told;
    pg_conn *holder = hold_partition();
    submit(&first, &first_told, 0, 1000000);
    while (started < 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < count; i++)
        submit(&appends[i], &told[i], (unsigned)i + 1, values[i]);
    pg_rollback(holder);
    pg_conn_close(holder);
    await(&first_told);
    for (int i = 0; i < count; i++)
        await(&told[i]);
}

Test(pg_lane, one_transaction_serves_several_partitions)
{
    struct append a[7];
    atomic_bool told[7];
    use_lanes(1, 0);
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
        cr_assert_eq(a[i].position, 1);
    }
    cr_assert_eq(widest, 7);
    cr_assert_eq(committed, 2);
    cr_assert_eq(item_count(), 8);
    cr_assert(is_dense());
}

Test(pg_lane, a_bound_of_one_keeps_to_one_partition)
{
    struct append a[7];
    atomic_bool told[7];
    use_lanes(1, 1);
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    cr_assert_eq(widest, 1);
    cr_assert_eq(committed, 8);
    cr_assert(is_dense());
}

Test(pg_lane, a_guilty_command_fails_no_other_partition)
{
    struct append a[4];
    atomic_bool told[4];
    use_lanes(1, 0);
    run_spread(a, told, (const int64_t[]){5, FORBIDDEN, REFUSED, 6}, 4);
    cr_assert_eq(widest, 4);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_INTERNAL);
    cr_assert_eq(a[2].command.outcome.code, STATUS_FAILED_PRECONDITION);
    cr_assert_eq(a[3].command.outcome.code, STATUS_OK);
    cr_assert_eq(item_count(), 3);
    cr_assert(is_dense());
}

Test(pg_lane, a_lost_commit_of_several_partitions_is_looked_up)
{
    struct append a[7];
    atomic_bool told[7];
    use_lanes(1, 0);
    injection_set("pg_lane.at_commit=drop@2");
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    cr_assert_eq(injection_fired("pg_lane.at_commit"), 1);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
    cr_assert_eq(item_count(), 8);
    cr_assert(is_dense());
}

Test(pg_lane, a_partition_that_somebody_keeps_stops_no_other)
{
    enum { KEPT = 20 }; /* many, so that what others there is never becomes as much */
    struct append kept[KEPT], other[7];
    atomic_bool kept_told[KEPT], other_told[7];
    use_lanes(2, 0);
    pg_conn *holder = hold_partition();
    int before = started;
    for (int i = 0; i < KEPT; i++)
        submit(&kept[i], &kept_told[i], 0, i);
    while (started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 7; i++)
            submit(&other[i], &other_told[i], i + 1, round);
        for (int i = 0; i < 7; i++) {
            await(&other_told[i]);
            cr_assert_eq(other[i].command.outcome.code, STATUS_OK);
        }
    }
    pg_rollback(holder);
    pg_conn_close(holder);
    for (int i = 0; i < KEPT; i++) {
        await(&kept_told[i]);
        cr_assert_eq(kept[i].command.outcome.code, STATUS_OK);
    }
    cr_assert_gt(kept[0].runs, 1, "left out first, then waited for");
    cr_assert_eq(item_count(), KEPT + 35);
    cr_assert(is_dense());
}

/* --- connections lost --- */

static void kill_backends(void)
{
    static const struct pg_statement terminate = {
        .name = "terminate",
        .sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = "
               "'casework-lane'",
    };
    cr_assert_gt(ask(&terminate), 0);
}

Test(pg_lane, lost_while_idle_is_run_again)
{
    cr_assert_eq(append(0, 1), STATUS_OK);
    kill_backends();
    cr_assert_eq(append(0, 2), STATUS_OK);
    cr_assert_eq(item_count(), 2);
}

Test(pg_lane, lost_before_the_commit_is_sent_is_run_again)
{
    cr_assert_eq(append(0, 1), STATUS_OK);
    injection_set("pg_lane.before_commit=drop@1");
    cr_assert_eq(append(0, 2), STATUS_OK);
    cr_assert_eq(injection_fired("pg_lane.before_commit"), 1);
    cr_assert_eq(item_count(), 2);
    cr_assert(is_dense());
}

/* A process that is stopped in the middle of a batch, and goes on later. */
Test(pg_lane, whoever_stands_still_gives_its_partitions_up)
{
    struct pg_lane_options o = lane_options();
    o.connection.idle_timeout_us = CLOCK_SECOND / 5;
    pg_lanes *usual = lanes;
    struct append slow;
    atomic_bool told;
    error err = {0};
    cr_assert(pg_lanes_new(&o, &ops, NULL, &lanes, &err));
    injection_set("pg_lane.before_commit=sleep:2000@1");
    submit(&slow, &told, 0, 1);
    while (started == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* behind its decisions */
    pg_lanes *slow_lanes = lanes;
    lanes = usual;
    cr_assert_eq(append(0, 2), STATUS_OK);
    cr_assert_not(told);
    await(&told);
    cr_assert_eq(slow.command.outcome.code, STATUS_OK, "run again");
    cr_assert_eq(injection_fired("pg_lane.before_commit"), 1);
    pg_lanes_free(slow_lanes);
    cr_assert_eq(item_count(), 2);
    cr_assert(is_dense());
}

Test(pg_lane, lost_with_the_commit_under_way_is_looked_up)
{
    for (int i = 0; i < 20; i++) {
        injection_set("pg_lane.at_commit=drop@1");
        cr_assert_eq(append(0, i), STATUS_OK);
        cr_assert_eq(injection_fired("pg_lane.at_commit"), 1);
    }
    cr_assert_eq(item_count(), 20);
    cr_assert(is_dense());
}

Test(pg_lane, an_outcome_nobody_can_tell_is_unknown)
{
    pg_lanes_free(lanes);
    lanes = NULL;
    struct pg_lane_options o = lane_options();
    struct append a;
    atomic_bool told;
    error err = {0};
    o.outcome_wait_us = CLOCK_SECOND / 2;
    cr_assert(pg_lanes_new(&o, &ops, NULL, &lanes, &err));
    cr_assert_eq(append(0, 1), STATUS_OK);
    injection_set("pg_lane.before_commit=sleep:400|pg_lane.at_commit=drop@1");
    submit(&a, &told, 0, 2);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    embedded_pg_stop(server, EMBEDDED_PG_KILL);
    await(&told);
    cr_assert_eq(a.command.outcome.code, STATUS_UNKNOWN);
    injection_set("");
    cr_assert(embedded_pg_restart(server, &err), "%s %s", err.message, err.detail);
    cr_assert_eq(append(0, 3), STATUS_OK);
    cr_assert_eq(item_count(), 2, "the server was gone before the commit");
}

Test(pg_lane, no_server_is_unavailable_and_then_it_goes_on)
{
    error err = {0};
    cr_assert_eq(append(0, 1), STATUS_OK);
    embedded_pg_stop(server, EMBEDDED_PG_FAST);
    cr_assert_eq(append(0, 2), STATUS_UNAVAILABLE);
    int64_t start = clock_monotonic_us();
    cr_assert_eq(append(0, 2), STATUS_UNAVAILABLE);
    cr_assert_lt(clock_monotonic_us() - start, CLOCK_SECOND / 2, "only the first one waits");
    cr_assert(embedded_pg_restart(server, &err));
    cr_assert_eq(append(0, 2), STATUS_OK);
}

/* --- many writers, replicas, crashes --- */

enum { WRITERS = 4, EACH = 150 };

struct writer {
    pthread_t thread;
    int64_t base;
    pg_lanes *lanes;
    enum status_code codes[EACH];
};

static void *write_all(void *argument)
{
    struct writer *w = argument;
    for (int i = 0; i < EACH; i++) {
        atomic_bool told = false;
        error err = {0};
        struct append a = {.command = {.partition = (unsigned)i % PARTITIONS, .done = append_done},
                           .value = w->base + i,
                           .told = &told};
        if (!pg_lanes_submit(w->lanes, &a.command, &err)) {
            w->codes[i] = err.code;
            continue;
        }
        await(&told);
        w->codes[i] = a.command.outcome.code;
    }
    return NULL;
}

static void start_writers(struct writer *w, pg_lanes *other)
{
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.base = i * 10000, .lanes = i % 2 ? other : lanes};
        pthread_create(&w[i].thread, NULL, write_all, &w[i]);
    }
}

Test(pg_lane, two_replicas_write_side_by_side)
{
    struct writer w[WRITERS];
    struct pg_lane_options o = lane_options();
    pg_lanes *other;
    error err = {0};
    cr_assert(pg_lanes_new(&o, &ops, NULL, &other, &err));
    start_writers(w, other);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
        for (int j = 0; j < EACH; j++)
            cr_assert_eq(w[i].codes[j], STATUS_OK);
    }
    pg_lanes_free(other);
    cr_assert_eq(item_count(), WRITERS * EACH);
    cr_assert(is_dense());
}

enum { OPPOSITE_ROUNDS = 40 };

/* Replicas that queue the same partitions up in opposite order. */
Test(pg_lane, opposite_orders_are_no_deadlock)
{
    static const struct pg_statement deadlocks = {
        .name = "deadlocks",
        .sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    };
    static struct append a[2][OPPOSITE_ROUNDS][PARTITIONS];
    static atomic_bool told[2][OPPOSITE_ROUNDS][PARTITIONS];
    struct pg_lane_options o = lane_options();
    pg_lanes *replicas[2] = {lanes};
    error err = {0};
    cr_assert(pg_lanes_new(&o, &ops, NULL, &replicas[1], &err));
    for (int i = 0; i < OPPOSITE_ROUNDS * PARTITIONS; i++) {
        int round = i / PARTITIONS, k = i % PARTITIONS;
        for (int r = 0; r < 2; r++) {
            struct append *one = &a[r][round][k];
            *one = (struct append){
                .command = {.partition = (unsigned)(r ? PARTITIONS - 1 - k : k), .done = append_done},
                .value = r * 100000 + i,
                .told = &told[r][round][k]};
            cr_assert(pg_lanes_submit(replicas[r], &one->command, &err), "%s", err.message);
        }
    }
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < OPPOSITE_ROUNDS * PARTITIONS; i++) {
            await(&told[r][i / PARTITIONS][i % PARTITIONS]);
            cr_assert_eq(a[r][i / PARTITIONS][i % PARTITIONS].command.outcome.code, STATUS_OK);
        }
    pg_lanes_free(replicas[1]);
    cr_assert_eq(ask(&deadlocks), 0);
    cr_assert_eq(item_count(), 2 * OPPOSITE_ROUNDS * PARTITIONS);
    cr_assert(is_dense());
}

/* All values, in order. */
static int64_t *read_values(size_t *ret_count)
{
    static const struct pg_statement all = {.name = "all", .sql = "SELECT value FROM items ORDER BY value"};
    pg_conn *conn = open_conn();
    pg_result *r;
    error err = {0};
    cr_assert(pg_query(conn, &all, NULL, 0, &r, &err), "%s", err.detail);
    *ret_count = (size_t)pg_rows(r);
    int64_t *values = calloc(*ret_count + 1, sizeof *values);
    for (size_t i = 0; values && i < *ret_count; i++)
        values[i] = pg_get_int(r, (int)i, 0);
    pg_result_free(r);
    pg_conn_close(conn);
    cr_assert_not_null(values);
    return values;
}

static bool is_there(const int64_t *values, size_t count, int64_t value)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] == value)
            return true;
    return false;
}

Test(pg_lane, crashes_lose_nothing_that_was_acknowledged)
{
    struct writer w[WRITERS];
    error err = {0};
    int ok = 0;
    start_writers(w, lanes);
    for (int i = 0; i < 3; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
        embedded_pg_stop(server, i % 2 ? EMBEDDED_PG_IMMEDIATE : EMBEDDED_PG_KILL);
        cr_assert(embedded_pg_restart(server, &err), "%s %s", err.message, err.detail);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    size_t count;
    int64_t *values = read_values(&count);
    for (size_t i = 1; i < count; i++)
        cr_assert_neq(values[i - 1], values[i], "applied twice");
    for (int i = 0; i < WRITERS; i++)
        for (int j = 0; j < EACH; j++) {
            bool there = is_there(values, count, w[i].base + j);
            ok += w[i].codes[j] == STATUS_OK;
            cr_assert(w[i].codes[j] != STATUS_OK || there, "acknowledged and lost");
            cr_assert(w[i].codes[j] == STATUS_OK || w[i].codes[j] == STATUS_UNKNOWN || !there,
                      "refused and there");
        }
    free(values);
    cr_assert_gt(ok, 0);
    cr_assert(is_dense());
}
