/* pg/lane.h: batches, refusals, guilty commands, several partitions a transaction. */

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

TestSuite(pg_lane, .init = lane_set_up, .fini = lane_tear_down, .timeout = 120);

Test(pg_lane, what_is_told_as_done_is_there)
{
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(lane_append(i % LANE_PARTITIONS, i), STATUS_OK);
    cr_assert_eq(lane_item_count(), 20);
    cr_assert(lane_is_dense());
    cr_assert_eq(lane_scene.finished, 20);
    cr_assert_eq(lane_scene.committed, 20);
}

Test(pg_lane, nothing_to_write_is_no_commit)
{
    cr_assert_eq(lane_append(3, 7), STATUS_OK);
    cr_assert_eq(lane_append(3, 7), STATUS_OK);
    cr_assert_eq(lane_item_count(), 1);
    cr_assert_eq(lane_scene.finished, 2);
    cr_assert_eq(lane_scene.committed, 1);
}

Test(pg_lane, a_batch_that_writes_nothing_lets_the_partition_go)
{
    cr_assert_eq(lane_append(0, LANE_REFUSED), STATUS_FAILED_PRECONDITION);
    pg_conn *other = lane_hold_partition();
    pg_conn_close(other);
    cr_assert_eq(lane_append(0, LANE_FORBIDDEN), STATUS_INTERNAL);
    other = lane_hold_partition();
    pg_conn_close(other);
}

Test(pg_lane, waiting_commands_become_one_transaction)
{
    struct append a[50];
    atomic_bool told[50];
    int64_t values[50];
    for (int i = 0; i < 50; i++)
        values[i] = i;
    lane_run_batch(a, told, values, 50);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
        cr_assert_eq(a[i].position, i + 2, "in the order submitted");
        cr_assert(a[i].head_was_readable, "results live until the commands are done");
    }
    cr_assert_eq(lane_scene.largest, 50);
    cr_assert_eq(lane_scene.committed, 2);
}

Test(pg_lane, a_refused_command_takes_no_other_with_it)
{
    struct append a[3];
    atomic_bool told[3];
    lane_run_batch(a, told, (const int64_t[]){5, LANE_REFUSED, 6}, 3);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(a[1].command.outcome.reason, "REFUSED");
    cr_assert_eq(a[2].command.outcome.code, STATUS_OK);
    cr_assert_eq(lane_item_count(), 3);
}

Test(pg_lane, only_the_guilty_command_gets_the_sql_error)
{
    struct append a[3];
    atomic_bool told[3];
    lane_run_batch(a, told, (const int64_t[]){5, LANE_FORBIDDEN, 6}, 3);
    cr_assert_eq(lane_scene.largest, 3);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_INTERNAL);
    cr_assert_eq(a[2].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[0].runs, 2);
    cr_assert_eq(lane_item_count(), 3);
    cr_assert(lane_is_dense());
    cr_assert_eq(lane_scene.finished, 6, "one for each run: the first command's partition was left out once");
}

Test(pg_lane, a_deadline_that_passes_while_waiting_is_told)
{
    struct append first, late;
    atomic_bool first_told, late_told = false;
    error err = {0};
    pg_conn *holder = lane_hold_partition();
    int before = lane_scene.started;
    lane_submit(&first, &first_told, 0, 1);
    while (lane_scene.started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    late = (struct append){
        .command = {.partition = 0, .done = lane_append_done, .deadline_us = clock_monotonic_us() + 50000},
        .value = 2,
        .told = &late_told};
    cr_assert(pg_lanes_submit(lane_scene.lanes, &late.command, &err));
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    pg_rollback(holder);
    pg_conn_close(holder);
    lane_await(&late_told);
    lane_await(&first_told);
    cr_assert_eq(late.command.outcome.code, STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(late.runs, 0);
    cr_assert_eq(lane_item_count(), 1);
}

Test(pg_lane, a_partition_that_somebody_keeps_is_unavailable)
{
    pg_conn *holder = lane_hold_partition();
    cr_assert_eq(lane_append(0, 1), STATUS_UNAVAILABLE);
    cr_assert_eq(lane_append(1, 1), STATUS_OK);
    pg_conn_close(holder);
    cr_assert_eq(lane_append(0, 1), STATUS_OK);
}

Test(pg_lane, a_full_queue_says_so_at_once)
{
    static struct append a[101], one_more;
    static atomic_bool told[101];
    error err = {0};
    pg_conn *holder = lane_hold_partition();
    lane_submit(&a[0], &told[0], 0, 0);
    while (lane_scene.started < 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 1; i <= 100; i++)
        lane_submit(&a[i], &told[i], 0, i);
    one_more = (struct append){.command = {.partition = 0, .done = lane_append_done}};
    cr_assert_not(pg_lanes_submit(lane_scene.lanes, &one_more.command, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    struct append both[2];
    atomic_bool both_told[2] = {false, false};
    for (unsigned i = 0; i < 2; i++)
        both[i] = (struct append){
            .command = {.partition = i, .done = lane_append_done}, .value = 200, .told = &both_told[i]};
    pg_lanes_submit_all(lane_scene.lanes, (struct pg_command *const[]){&both[0].command, &both[1].command},
                        2);
    cr_assert(both_told[0]);
    cr_assert_eq(both[0].command.outcome.code, STATUS_RESOURCE_EXHAUSTED);
    lane_await(&both_told[1]);
    cr_assert_eq(both[1].command.outcome.code, STATUS_OK);
    pg_rollback(holder);
    pg_conn_close(holder);
    for (int i = 0; i <= 100; i++)
        lane_await(&told[i]);
    cr_assert_eq(lane_item_count(), 102);
}

Test(pg_lane, freeing_runs_what_is_queued)
{
    static struct append a[60];
    static atomic_bool told[60];
    for (int i = 0; i < 60; i++)
        lane_submit(&a[i], &told[i], (unsigned)i % LANE_PARTITIONS, i);
    pg_lanes_free(lane_scene.lanes);
    lane_scene.lanes = NULL;
    for (int i = 0; i < 60; i++) {
        cr_assert(told[i]);
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
    }
    cr_assert_eq(lane_item_count(), 60);
}

/* --- several partitions a transaction --- */

/* Submits values[i] for partition i + 1, all behind the one lane's wait for partition 0. */
static void run_spread(struct append *appends, atomic_bool *told, const int64_t *values, int count)
{
    struct append first;
    atomic_bool first_told;
    pg_conn *holder = lane_hold_partition();
    lane_submit(&first, &first_told, 0, 1000000);
    while (lane_scene.started < 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < count; i++)
        lane_submit(&appends[i], &told[i], (unsigned)i + 1, values[i]);
    pg_rollback(holder);
    pg_conn_close(holder);
    lane_await(&first_told);
    for (int i = 0; i < count; i++)
        lane_await(&told[i]);
}

Test(pg_lane, one_transaction_serves_several_partitions)
{
    struct append a[7];
    atomic_bool told[7];
    lane_use(1, 0);
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
        cr_assert_eq(a[i].position, 1);
    }
    cr_assert_eq(lane_scene.widest, 7);
    cr_assert_eq(lane_scene.committed, 2);
    cr_assert_eq(lane_item_count(), 8);
    cr_assert(lane_is_dense());
}

Test(pg_lane, what_is_submitted_together_is_one_transaction)
{
    struct append a[LANE_PARTITIONS];
    struct pg_command *commands[LANE_PARTITIONS];
    atomic_bool told[LANE_PARTITIONS];
    for (unsigned i = 0; i < LANE_PARTITIONS; i++) {
        told[i] = false;
        a[i] = (struct append){
            .command = {.partition = i, .done = lane_append_done}, .value = i, .told = &told[i]};
        commands[i] = &a[i].command;
    }
    pg_lanes_submit_all(lane_scene.lanes, commands, LANE_PARTITIONS);
    for (unsigned i = 0; i < LANE_PARTITIONS; i++) {
        lane_await(&told[i]);
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
    }
    cr_assert_eq(lane_scene.committed, 1);
    cr_assert_eq(lane_scene.widest, LANE_PARTITIONS);
    cr_assert_eq(lane_item_count(), LANE_PARTITIONS);
}

Test(pg_lane, a_bound_of_one_keeps_to_one_partition)
{
    struct append a[7];
    atomic_bool told[7];
    lane_use(1, 1);
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    cr_assert_eq(lane_scene.widest, 1);
    cr_assert_eq(lane_scene.committed, 8);
    cr_assert(lane_is_dense());
}

Test(pg_lane, a_guilty_command_fails_no_other_partition)
{
    struct append a[4];
    atomic_bool told[4];
    lane_use(1, 0);
    run_spread(a, told, (const int64_t[]){5, LANE_FORBIDDEN, LANE_REFUSED, 6}, 4);
    cr_assert_eq(lane_scene.widest, 4);
    cr_assert_eq(a[0].command.outcome.code, STATUS_OK);
    cr_assert_eq(a[1].command.outcome.code, STATUS_INTERNAL);
    cr_assert_eq(a[2].command.outcome.code, STATUS_FAILED_PRECONDITION);
    cr_assert_eq(a[3].command.outcome.code, STATUS_OK);
    cr_assert_eq(lane_item_count(), 3);
    cr_assert(lane_is_dense());
}

Test(pg_lane, a_lost_commit_of_several_partitions_is_looked_up)
{
    struct append a[7];
    atomic_bool told[7];
    lane_use(1, 0);
    injection_set("pg_lane.at_commit=drop@2");
    run_spread(a, told, (const int64_t[]){1, 2, 3, 4, 5, 6, 7}, 7);
    cr_assert_eq(injection_fired("pg_lane.at_commit"), 1);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(a[i].command.outcome.code, STATUS_OK);
    cr_assert_eq(lane_item_count(), 8);
    cr_assert(lane_is_dense());
}

Test(pg_lane, a_partition_that_somebody_keeps_stops_no_other)
{
    enum { KEPT = 20 }; /* many, so that what others there is never becomes as much */
    struct append kept[KEPT], other[7];
    atomic_bool kept_told[KEPT], other_told[7];
    lane_use(2, 0);
    pg_conn *holder = lane_hold_partition();
    int before = lane_scene.started;
    for (int i = 0; i < KEPT; i++)
        lane_submit(&kept[i], &kept_told[i], 0, i);
    while (lane_scene.started < before + 2) /* left out at first, then waiting */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 7; i++)
            lane_submit(&other[i], &other_told[i], i + 1, round);
        for (int i = 0; i < 7; i++) {
            lane_await(&other_told[i]);
            cr_assert_eq(other[i].command.outcome.code, STATUS_OK);
        }
    }
    pg_rollback(holder);
    pg_conn_close(holder);
    for (int i = 0; i < KEPT; i++) {
        lane_await(&kept_told[i]);
        cr_assert_eq(kept[i].command.outcome.code, STATUS_OK);
    }
    cr_assert_gt(kept[0].runs, 1, "left out first, then waited for");
    cr_assert_eq(lane_item_count(), KEPT + 35);
    cr_assert(lane_is_dense());
}
