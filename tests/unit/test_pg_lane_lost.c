/* pg/lane.h: lost connections at every moment, two replicas, crashes. */

#include "base/clock.h"
#include "base/injection.h"
#include "tests/support/lane_scene.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(pg_lane_lost, .init = lane_set_up, .fini = lane_tear_down, .timeout = 120);

/* --- connections lost --- */

static void kill_backends(void)
{
    static const struct pg_statement terminate = {
        .name = "terminate",
        .sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = "
               "'casework-lane'",
    };
    cr_assert_gt(lane_ask(&terminate), 0);
}

Test(pg_lane_lost, lost_while_idle_is_run_again)
{
    cr_assert_eq(lane_append(0, 1), STATUS_OK);
    kill_backends();
    cr_assert_eq(lane_append(0, 2), STATUS_OK);
    cr_assert_eq(lane_item_count(), 2);
}

Test(pg_lane_lost, lost_before_the_commit_is_sent_is_run_again)
{
    cr_assert_eq(lane_append(0, 1), STATUS_OK);
    injection_set("pg_lane.before_commit=drop@1");
    cr_assert_eq(lane_append(0, 2), STATUS_OK);
    cr_assert_eq(injection_fired("pg_lane.before_commit"), 1);
    cr_assert_eq(lane_item_count(), 2);
    cr_assert(lane_is_dense());
}

/* A process that is stopped in the middle of a batch, and goes on later. */
Test(pg_lane_lost, whoever_stands_still_gives_its_partitions_up)
{
    struct pg_lane_options o = lane_scene_options();
    o.connection.idle_timeout_us = CLOCK_SECOND / 5;
    pg_lanes *usual = lane_scene.lanes;
    struct append slow;
    atomic_bool told;
    error err = {0};
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &lane_scene.lanes, &err));
    injection_set("pg_lane.before_commit=sleep:2000@1");
    lane_submit(&slow, &told, 0, 1);
    while (lane_scene.started == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* behind its decisions */
    pg_lanes *slow_lanes = lane_scene.lanes;
    lane_scene.lanes = usual;
    cr_assert_eq(lane_append(0, 2), STATUS_OK);
    cr_assert_not(told);
    lane_await(&told);
    cr_assert_eq(slow.command.outcome.code, STATUS_OK, "run again");
    cr_assert_eq(injection_fired("pg_lane.before_commit"), 1);
    pg_lanes_free(slow_lanes);
    cr_assert_eq(lane_item_count(), 2);
    cr_assert(lane_is_dense());
}

Test(pg_lane_lost, lost_with_the_commit_under_way_is_looked_up)
{
    for (int i = 0; i < 20; i++) {
        injection_set("pg_lane.at_commit=drop@1");
        cr_assert_eq(lane_append(0, i), STATUS_OK);
        cr_assert_eq(injection_fired("pg_lane.at_commit"), 1);
    }
    cr_assert_eq(lane_item_count(), 20);
    cr_assert(lane_is_dense());
}

Test(pg_lane_lost, an_outcome_nobody_can_tell_is_unknown)
{
    pg_lanes_free(lane_scene.lanes);
    lane_scene.lanes = NULL;
    struct pg_lane_options o = lane_scene_options();
    struct append a;
    atomic_bool told;
    error err = {0};
    o.outcome_wait_us = CLOCK_SECOND / 2;
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &lane_scene.lanes, &err));
    cr_assert_eq(lane_append(0, 1), STATUS_OK);
    injection_set("pg_lane.before_commit=sleep:2000|pg_lane.at_commit=drop@1");
    lane_submit(&a, &told, 0, 2);
    for (int i = 0; i < 10000 && injection_fired("pg_lane.before_commit") == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    embedded_pg_stop(lane_scene.server, EMBEDDED_PG_KILL);
    lane_await(&told);
    cr_assert_eq(a.command.outcome.code, STATUS_UNKNOWN);
    injection_set("");
    cr_assert(embedded_pg_restart(lane_scene.server, &err), "%s %s", err.message, err.detail);
    cr_assert_eq(lane_append(0, 3), STATUS_OK);
    cr_assert_eq(lane_item_count(), 2, "the server was gone before the commit");
}

Test(pg_lane_lost, no_server_is_unavailable_and_then_it_goes_on)
{
    error err = {0};
    cr_assert_eq(lane_append(0, 1), STATUS_OK);
    embedded_pg_stop(lane_scene.server, EMBEDDED_PG_FAST);
    cr_assert_eq(lane_append(0, 2), STATUS_UNAVAILABLE);
    /* Whoever waited would do so for two seconds; on a slow machine one try may take long too. */
    bool at_once = false;
    for (int i = 0; i < 10 && !at_once; i++) {
        int64_t start = clock_monotonic_us();
        cr_assert_eq(lane_append(0, 2), STATUS_UNAVAILABLE);
        at_once = clock_monotonic_us() - start < CLOCK_SECOND;
    }
    cr_assert(at_once, "only the first one waits");
    cr_assert(embedded_pg_restart(lane_scene.server, &err));
    cr_assert_eq(lane_append(0, 2), STATUS_OK);
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
        struct append a = {.command = {.partition = (unsigned)i % LANE_PARTITIONS, .done = lane_append_done},
                           .value = w->base + i,
                           .told = &told};
        if (!pg_lanes_submit(w->lanes, &a.command, &err)) {
            w->codes[i] = err.code;
            continue;
        }
        lane_await(&told);
        w->codes[i] = a.command.outcome.code;
    }
    return NULL;
}

static void start_writers(struct writer *w, pg_lanes *other)
{
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.base = i * 10000, .lanes = i % 2 ? other : lane_scene.lanes};
        pthread_create(&w[i].thread, NULL, write_all, &w[i]);
    }
}

Test(pg_lane_lost, two_replicas_write_side_by_side)
{
    struct writer w[WRITERS];
    struct pg_lane_options o = lane_scene_options();
    pg_lanes *other;
    error err = {0};
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &other, &err));
    start_writers(w, other);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
        for (int j = 0; j < EACH; j++)
            cr_assert_eq(w[i].codes[j], STATUS_OK);
    }
    pg_lanes_free(other);
    cr_assert_eq(lane_item_count(), WRITERS * EACH);
    cr_assert(lane_is_dense());
}

enum { OPPOSITE_ROUNDS = 40 };

/* Replicas that queue the same partitions up in opposite order. */
Test(pg_lane_lost, opposite_orders_are_no_deadlock)
{
    static const struct pg_statement deadlocks = {
        .name = "deadlocks",
        .sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    };
    static struct append a[2][OPPOSITE_ROUNDS][LANE_PARTITIONS];
    static atomic_bool told[2][OPPOSITE_ROUNDS][LANE_PARTITIONS];
    struct pg_lane_options o = lane_scene_options();
    pg_lanes *replicas[2] = {lane_scene.lanes};
    error err = {0};
    cr_assert(pg_lanes_new(&o, &lane_scene_ops, NULL, &replicas[1], &err));
    for (int i = 0; i < OPPOSITE_ROUNDS * LANE_PARTITIONS; i++) {
        int round = i / LANE_PARTITIONS, k = i % LANE_PARTITIONS;
        for (int r = 0; r < 2; r++) {
            struct append *one = &a[r][round][k];
            *one = (struct append){.command = {.partition = (unsigned)(r ? LANE_PARTITIONS - 1 - k : k),
                                               .done = lane_append_done},
                                   .value = r * 100000 + i,
                                   .told = &told[r][round][k]};
            cr_assert(pg_lanes_submit(replicas[r], &one->command, &err), "%s", err.message);
        }
    }
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < OPPOSITE_ROUNDS * LANE_PARTITIONS; i++) {
            lane_await(&told[r][i / LANE_PARTITIONS][i % LANE_PARTITIONS]);
            cr_assert_eq(a[r][i / LANE_PARTITIONS][i % LANE_PARTITIONS].command.outcome.code, STATUS_OK);
        }
    pg_lanes_free(replicas[1]);
    cr_assert_eq(lane_ask(&deadlocks), 0);
    cr_assert_eq(lane_item_count(), 2 * OPPOSITE_ROUNDS * LANE_PARTITIONS);
    cr_assert(lane_is_dense());
}

/* All values, in order. */
static int64_t *read_values(size_t *ret_count)
{
    static const struct pg_statement all = {.name = "all", .sql = "SELECT value FROM items ORDER BY value"};
    pg_conn *conn = lane_open_conn();
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

Test(pg_lane_lost, crashes_lose_nothing_that_was_acknowledged)
{
    struct writer w[WRITERS];
    error err = {0};
    int ok = 0;
    start_writers(w, lane_scene.lanes);
    for (int i = 0; i < 3; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
        embedded_pg_stop(lane_scene.server, i % 2 ? EMBEDDED_PG_IMMEDIATE : EMBEDDED_PG_KILL);
        cr_assert(embedded_pg_restart(lane_scene.server, &err), "%s %s", err.message, err.detail);
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
    cr_assert(lane_is_dense());
}
