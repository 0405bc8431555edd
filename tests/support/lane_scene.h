#ifndef CASEWORK_TESTS_SUPPORT_LANE_SCENE_H
#define CASEWORK_TESTS_SUPPORT_LANE_SCENE_H

/* Lanes (pg/lane.h) on a private server, with a service that appends numbers to a list in each partition. */

#include "embedded/embedded_pg.h"
#include "pg/lane.h"

#include <stdatomic.h>

/* Partitions; a value that the database does not take, and one that the rules refuse. */
enum { LANE_PARTITIONS = 8, LANE_FORBIDDEN = -1, LANE_REFUSED = -2 };

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

extern struct lane_scene {
    embedded_pg *server;
    pg_lanes *lanes;
    atomic_int started, finished, committed; /* runs of batches */
    atomic_int largest, widest;              /* of a batch: commands, partitions */
} lane_scene;

extern const struct pg_lane_ops lane_scene_ops;

/* Of a test suite. */
void lane_set_up(void);
void lane_tear_down(void);

struct pg_lane_options lane_scene_options(void);

/* Lanes of other options, in place of the usual ones. */
void lane_use(unsigned count, unsigned spread_max);

pg_conn *lane_open_conn(void);

/* The one number that a statement answers. */
int64_t lane_ask(const struct pg_statement *statement);

int64_t lane_item_count(void);

/* Positions per partition are 1, 2, 3 … up to its head. */
bool lane_is_dense(void);

void lane_append_done(struct pg_command *command); /* sets `told` */
void lane_await(const atomic_bool *told);
void lane_submit(struct append *a, atomic_bool *told, unsigned partition, int64_t value);

/* Both. */
enum status_code lane_append(unsigned partition, int64_t value);

/* Holds partition 0, so that what is submitted meanwhile becomes one batch. */
pg_conn *lane_hold_partition(void);

/* Submits `count` values as one batch behind one command that is already waiting for the partition. */
void lane_run_batch(struct append *appends, atomic_bool *told, const int64_t *values, int count);

#endif
