#include "tests/support/lane_scene.h"

#include "base/clock.h"
#include "base/log.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

struct lane_scene lane_scene;

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

static bool append_read(void *context, pg_batch *batch, error *err)
{
    (void)context;
    pg_params p;
    pg_params_init(&p, pg_batch_memory(batch));
    pg_array *partitions = pg_add_array(&p, PG_INT2), *values = pg_add_array(&p, PG_INT8);
    lane_scene.started++;
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
    for (int i = 0; i < LANE_PARTITIONS; i++) {
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
    int64_t heads[LANE_PARTITIONS] = {0};
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
        if (a->value == LANE_REFUSED) {
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
    if ((int)pg_batch_count(batch) > lane_scene.largest)
        lane_scene.largest = (int)pg_batch_count(batch);
    if (pg_rows(locked) > lane_scene.widest)
        lane_scene.widest = pg_rows(locked);
    return !any || (pg_batch_write(batch, &append_items, &items, err) && write_heads(batch, heads, err));
}

static void append_finish(void *context, pg_batch *batch, bool was_committed)
{
    (void)context;
    (void)batch;
    lane_scene.finished++;
    lane_scene.committed += was_committed;
}

const struct pg_lane_ops lane_scene_ops = {.lock = &lock_partition,
                                           .lock_free = &lock_free_partitions,
                                           .mark = &read_mark,
                                           .read = append_read,
                                           .decide = append_decide,
                                           .finish = append_finish};

void lane_append_done(struct pg_command *command)
{
    struct append *a = (struct append *)command;
    a->head_was_readable = a->head && strncmp(a->head, "head ", 5) == 0;
    *a->told = true;
}

pg_conn *lane_open_conn(void)
{
    struct pg_options o = {.url = embedded_pg_url(lane_scene.server)};
    pg_conn *conn;
    error err = {0};
    cr_assert(pg_conn_open(&o, &conn, &err), "%s", err.detail);
    return conn;
}

int64_t lane_ask(const struct pg_statement *statement)
{
    pg_conn *conn = lane_open_conn();
    pg_result *r;
    error err = {0};
    cr_assert(pg_query(conn, statement, NULL, 0, &r, &err), "%s", err.detail);
    int64_t value = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_conn_close(conn);
    return value;
}

int64_t lane_item_count(void)
{
    static const struct pg_statement count = {.name = "count", .sql = "SELECT count(*) FROM items"};
    return lane_ask(&count);
}

/* Positions per partition are 1, 2, 3 … up to its head. */
bool lane_is_dense(void)
{
    static const struct pg_statement holes = {
        .name = "holes",
        .sql =
            "SELECT count(*) FROM (SELECT partition, head, (SELECT count(*) FROM items i WHERE i.partition ="
            " p.partition) AS n, (SELECT max(position) FROM items i WHERE i.partition = p.partition) AS top"
            " FROM partitions p) AS x WHERE head <> n OR coalesce(top, 0) <> head",
    };
    return lane_ask(&holes) == 0;
}

void lane_await(const atomic_bool *flag)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    while (!*flag && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    cr_assert(*flag, "never told");
}

struct pg_lane_options lane_scene_options(void)
{
    return (struct pg_lane_options){
        .connection = {.url = embedded_pg_url(lane_scene.server), .statement_timeout_us = 5 * CLOCK_SECOND},
        .partitions = LANE_PARTITIONS,
        .lanes = 3,
        .queue_max = 100};
}

void lane_set_up(void)
{
    error err = {0};
    log_init("test", LOG_LEVEL_OFF);
    lane_scene.server = pg_server_start(true, NULL);
    pg_conn *conn = lane_open_conn();
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
    struct pg_lane_options o = lane_scene_options();
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &lane_scene.lanes, &err));
}

void lane_tear_down(void)
{
    pg_lanes_free(lane_scene.lanes);
    embedded_pg_free(lane_scene.server);
}

void lane_submit(struct append *a, atomic_bool *told, unsigned partition, int64_t value)
{
    error err = {0};
    *told = false;
    *a = (struct append){
        .command = {.partition = partition, .done = lane_append_done}, .value = value, .told = told};
    cr_assert(pg_lanes_submit(lane_scene.lanes, &a->command, &err), "%s", err.message);
}

enum status_code lane_append(unsigned partition, int64_t value)
{
    struct append a;
    atomic_bool told;
    lane_submit(&a, &told, partition, value);
    lane_await(&told);
    return a.command.outcome.code;
}

/* Holds partition 0, so that what is submitted meanwhile becomes one batch. */
pg_conn *lane_hold_partition(void)
{
    static const struct pg_statement hold = {
        .name = "hold", .sql = "SELECT head FROM partitions WHERE partition = 0 FOR UPDATE"};
    error err = {0};
    pg_conn *conn = lane_open_conn();
    cr_assert(pg_begin(conn, 0, &err) && pg_query(conn, &hold, NULL, 0, NULL, &err), "%s", err.detail);
    return conn;
}

/* Submits `count` values as one batch behind one command that is already waiting for the partition. */
void lane_run_batch(struct append *appends, atomic_bool *told, const int64_t *values, int count)
{
    struct append first;
    atomic_bool first_told;
    pg_conn *holder = lane_hold_partition();
    int before = lane_scene.started;
    lane_submit(&first, &first_told, 0, 1000000 + values[0]);
    while (lane_scene.started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < count; i++)
        lane_submit(&appends[i], &told[i], 0, values[i]);
    pg_rollback(holder);
    pg_conn_close(holder);
    lane_await(&first_told);
    for (int i = 0; i < count; i++)
        lane_await(&told[i]);
}

/* Lanes of other options, in place of the usual ones. */
void lane_use(unsigned count, unsigned spread_max)
{
    struct pg_lane_options o = lane_scene_options();
    error err = {0};
    o.lanes = count;
    o.spread_max = spread_max;
    pg_lanes_free(lane_scene.lanes);
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &lane_scene.lanes, &err));
}
