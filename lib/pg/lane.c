#include "base/clock.h"
#include "base/condition.h"
#include "base/metrics.h"
#include "pg/lane_internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MAX = 4, LOSSES_MAX = 2 };

/* When no partition of a batch could be had: until the next try. */
#define LEFT_OUT_PAUSE (CLOCK_SECOND / 1000)

/* For how long what waits may become more while another lane is at work. */
#define GATHER_TIME (CLOCK_SECOND / 1000)

/* And when none is: how soon callers who have just been answered are back. */
#define RETURN_TIME (3 * CLOCK_SECOND / 10000)

/* One partition: its commands, first come first served. At most one lane works for it at a time. */
struct waiting {
    struct pg_command *first, **last;
    unsigned count;
    bool busy;     /* a lane runs a batch of it */
    bool left_out; /* the last batch found it with another writer */
};

struct lane {
    pg_lanes *lanes;
    unsigned index;
    pthread_t thread;
    bool running;
    struct pg_lane_link link;
    pg_batch batch;
    struct pg_command **commands; /* of the batch being run */
    unsigned *taken;              /* its partitions */
    unsigned taken_count;
    size_t taken_commands;
    bool waits; /* for the one there is */
};

struct pg_lanes {
    struct pg_lane_options options;
    const struct pg_lane_ops *ops;
    void *context;
    struct lane *list;
    _Atomic int64_t down_since; /* monotonic; 0: the server answered last time */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting *waiting; /* by partition */
    unsigned *ready;         /* ring of partitions with commands and without a lane, longest waiting first */
    unsigned ready_first, ready_count;
    size_t ready_commands;  /* in those partitions */
    int64_t ready_since;    /* monotonic: since when there have been any */
    size_t running;         /* commands in batches */
    unsigned running_lanes; /* batches */
    size_t last_commands;   /* in the batch that ended last */
    int64_t last_end;       /* monotonic */
    unsigned waiters;       /* lanes whose batch waits for a partition */
    bool stopping;
    int64_t stop_at;         /* monotonic */
    _Atomic unsigned waking; /* submitters that are about to wake a lane */

    metrics_counter *submitted, *batches, *batch_commands, *reruns, *left_out, *lost_commits;
    metrics_histogram *batch_time;
};

/* --- outcomes --- */

static void tell_all(struct pg_command **commands, size_t count)
{
    for (size_t i = 0; i < count; i++)
        commands[i]->done(commands[i]);
}

static void fail_all(struct pg_command **commands, size_t count, const error *err)
{
    for (size_t i = 0; i < count; i++)
        commands[i]->outcome = *err;
    tell_all(commands, count);
}

/* Takes out those whose deadline has passed, and tells them. */
static size_t drop_late(struct pg_command **commands, size_t count)
{
    int64_t now = clock_monotonic_us();
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct pg_command *c = commands[i];
        if (c->deadline_us == 0 || c->deadline_us > now) {
            commands[kept++] = c;
            continue;
        }
        error_set(&c->outcome, STATUS_DEADLINE_EXCEEDED, "DEADLINE",
                  "the deadline passed before the work began");
        c->done(c);
    }
    return kept;
}

/* --- running --- */

static bool is_worth_running_alone(const error *err)
{
    return err->code != STATUS_UNAVAILABLE;
}

/* What becomes of a failed run with this error: again as it is? */
static bool is_worth_again(enum pg_run run, const error *err, int runs, int *losses)
{
    if (run == PG_RUN_LOST)
        return ++*losses < LOSSES_MAX;
    return run == PG_RUN_FAILED && err->code == STATUS_ABORTED && runs < RUNS_MAX;
}

/* One lane always stays free of waiting, so that a partition that somebody keeps does not stop the others. */
static bool may_wait(const pg_lanes *lanes)
{
    return lanes->options.lanes == 1 || lanes->waiters + 1 < lanes->options.lanes;
}

/* Commands whose partition another writer has are the first of their queues again. True: a batch may wait for
 * one of them. */
static bool put_back(pg_lanes *lanes, struct pg_command **commands, size_t count)
{
    metrics_add(lanes->left_out, (int64_t)count);
    pthread_mutex_lock(&lanes->lock);
    for (size_t i = count; i-- > 0;) {
        struct waiting *w = &lanes->waiting[commands[i]->partition];
        if (!w->first)
            w->last = &commands[i]->next;
        commands[i]->next = w->first;
        w->first = commands[i];
        w->count++;
        w->left_out = true;
    }
    bool can_wait = may_wait(lanes);
    pthread_mutex_unlock(&lanes->lock);
    return can_wait;
}

static void run_alone(struct lane *lane, struct pg_command **commands, size_t count);

/* Runs commands until each of them has been told its outcome or was put back. */
static void run_commands(struct lane *lane, struct pg_command **commands, size_t count, bool waits)
{
    const struct pg_lane_ops *ops = lane->lanes->ops;
    void *context = lane->lanes->context;
    pg_batch *batch = &lane->batch;
    enum pg_run run = PG_RUN_LOST;
    error err = {.code = STATUS_OK};
    int losses = 0;
    for (int runs = 1;; runs++) {
        count = drop_late(commands, count);
        if (count == 0)
            return;
        if (!pg_lane_link_ensure(&lane->link, &err)) {
            run = PG_RUN_LOST;
            break;
        }
        pg_batch_clear(batch);
        batch->conn = lane->link.conn;
        batch->commands = commands;
        batch->count = count;
        batch->waits = waits;
        run = pg_batch_run(batch, ops, context, &err);
        if (run == PG_RUN_LOST_AT_COMMIT) {
            run = pg_lane_link_resolve(&lane->link, batch, &err);
            metrics_add(lane->lanes->lost_commits, 1);
        }
        metrics_add(runs == 1 ? lane->lanes->batches : lane->lanes->reruns, 1);
        pg_batch_end(batch, ops, context, run == PG_RUN_COMMITTED);
        if (batch->left_out > 0) {
            count = batch->count;
            if (!put_back(lane->lanes, commands + count, batch->left_out) && count == 0)
                nanosleep(&(struct timespec){.tv_nsec = LEFT_OUT_PAUSE * 1000}, NULL);
        }
        if (run == PG_RUN_COMMITTED || run == PG_RUN_NOTHING) {
            tell_all(commands, count);
            pg_batch_clear(batch);
            return;
        }
        if (!is_worth_again(run, &err, runs, &losses))
            break;
    }
    if (run == PG_RUN_FAILED && count > 1 && is_worth_running_alone(&err))
        run_alone(lane, commands, count);
    else
        fail_all(commands, count, &err);
}

static void run_alone(struct lane *lane, struct pg_command **commands, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pg_command *one = commands[i];
        run_commands(lane, &one, 1, true);
    }
}

/* --- the queue --- */

/*
 * A lane that is free leaves what is ready alone for a moment, until it is as much as another lane is at work
 * on; or, when none is, as much as the last batch had, whose callers are about to be back. What a batch costs
 * is mostly fixed: two batches of the same size serve callers who wait for their answers better than a large
 * one with many small ones beside it, and one after the other better than a small one and the rest in turns.
 */
static bool is_enough(const pg_lanes *lanes)
{
    if (lanes->stopping || lanes->ready_commands >= lanes->options.batch_max)
        return true;
    if (lanes->running_lanes > 0)
        return lanes->ready_commands * lanes->running_lanes >= lanes->running;
    return lanes->ready_commands >= lanes->last_commands;
}

static int64_t gathers_until(const pg_lanes *lanes)
{
    return lanes->running_lanes ? lanes->ready_since + GATHER_TIME : lanes->last_end + RETURN_TIME;
}

static void add_ready(pg_lanes *lanes, unsigned partition)
{
    unsigned size = lanes->options.partitions;
    if (lanes->ready_count == 0)
        lanes->ready_since = clock_monotonic_us();
    lanes->ready[(lanes->ready_first + lanes->ready_count++) % size] = partition;
    lanes->ready_commands += lanes->waiting[partition].count;
}

static void take_commands(struct lane *lane, struct waiting *w, size_t *count)
{
    while (w->first && *count < lane->lanes->options.batch_max) {
        lane->commands[(*count)++] = w->first;
        w->first = w->first->next;
        w->count--;
    }
    if (!w->first)
        w->last = &w->first;
    w->busy = true;
}

static bool is_to_wait(const pg_lanes *lanes)
{
    return lanes->ready_count > 0 && lanes->waiting[lanes->ready[lanes->ready_first]].left_out &&
           may_wait(lanes);
}

/* All that is ready, as far as it fits; or one partition that was left out before, to wait for it. */
static size_t take_batch(pg_lanes *lanes, struct lane *lane)
{
    const struct pg_lane_options *options = &lanes->options;
    size_t count = 0;
    lane->taken_count = 0;
    lane->waits = is_to_wait(lanes);
    lanes->waiters += lane->waits;
    do {
        unsigned partition = lanes->ready[lanes->ready_first];
        struct waiting *w = &lanes->waiting[partition];
        lanes->ready_first = (lanes->ready_first + 1) % options->partitions;
        lanes->ready_count--;
        lanes->ready_commands -= w->count;
        w->left_out = false;
        take_commands(lane, w, &count);
        lane->taken[lane->taken_count++] = partition;
    } while (!lane->waits && lanes->ready_count > 0 && !is_to_wait(lanes) && count < options->batch_max &&
             lane->taken_count < options->spread_max);
    lane->taken_commands = count;
    lanes->running += count;
    lanes->running_lanes++;
    lanes->ready_since = clock_monotonic_us();
    return count;
}

/* What has come in meanwhile queues up behind the other partitions. */
static void give_back(pg_lanes *lanes, struct lane *lane)
{
    pthread_mutex_lock(&lanes->lock);
    lanes->running -= lane->taken_commands;
    lanes->running_lanes--;
    lanes->last_commands = lane->taken_commands;
    lanes->last_end = clock_monotonic_us();
    for (unsigned i = 0; i < lane->taken_count; i++) {
        struct waiting *w = &lanes->waiting[lane->taken[i]];
        w->busy = false;
        if (w->first)
            add_ready(lanes, lane->taken[i]);
    }
    lanes->waiters -= lane->waits;
    if (lanes->stopping)
        pthread_cond_broadcast(&lanes->wake);
    pthread_mutex_unlock(&lanes->lock);
}

static bool is_idle(const pg_lanes *lanes)
{
    for (unsigned i = 0; i < lanes->options.partitions; i++)
        if (lanes->waiting[i].first)
            return false;
    return true;
}

/* 0 when the lane is to end: nothing waits any more, nor can anything come back. */
static size_t wait_for_batch(struct lane *lane, bool *ret_too_late)
{
    pg_lanes *lanes = lane->lanes;
    pthread_mutex_lock(&lanes->lock);
    for (;;) {
        int64_t until = gathers_until(lanes);
        if (lanes->ready_count == 0 && lanes->stopping && is_idle(lanes))
            break;
        if (lanes->ready_count > 0 && (is_enough(lanes) || clock_monotonic_us() >= until))
            break;
        if (lanes->ready_count == 0)
            pthread_cond_wait(&lanes->wake, &lanes->lock);
        else
            condition_wait_until(&lanes->wake, &lanes->lock, until);
    }
    size_t count = lanes->ready_count ? take_batch(lanes, lane) : 0;
    if (lanes->ready_count)
        pthread_cond_signal(&lanes->wake);
    *ret_too_late = lanes->stopping && clock_monotonic_us() > lanes->stop_at;
    pthread_mutex_unlock(&lanes->lock);
    return count;
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    char name[16];
    size_t count;
    bool too_late;
    snprintf(name, sizeof name, "lane-%u", lane->index);
    pthread_setname_np(pthread_self(), name);
    while ((count = wait_for_batch(lane, &too_late)) > 0) {
        int64_t start = clock_monotonic_us();
        if (too_late) {
            error err;
            error_set(&err, STATUS_UNAVAILABLE, "SHUTDOWN", "the service is stopping");
            fail_all(lane->commands, count, &err);
        } else {
            run_commands(lane, lane->commands, count, lane->waits);
        }
        give_back(lane->lanes, lane);
        metrics_add(lane->lanes->batch_commands, (int64_t)count);
        metrics_observe(lane->lanes->batch_time, clock_monotonic_us() - start);
    }
    pg_lane_link_close(&lane->link);
    return NULL;
}

static bool refuse(enum status_code code, const char *reason, const char *message, error *err)
{
    return error_set(err, code, reason, "%s", message);
}

/* One command more, perhaps its partition's first. True: a lane is to be woken, to look at the clock, or
 * since it is time. */
static bool add_to_ready(pg_lanes *lanes, unsigned partition, bool is_first)
{
    if (is_first)
        add_ready(lanes, partition);
    else
        lanes->ready_commands++;
    return lanes->ready_commands == 1 || is_enough(lanes);
}

/* Queues it, under the lock. *wakes is set, never cleared. */
static bool queue(pg_lanes *lanes, struct pg_command *command, bool *wakes, error *err)
{
    if (command->partition >= lanes->options.partitions)
        return refuse(STATUS_INTERNAL, "PARTITION", "internal error", err);
    struct waiting *w = &lanes->waiting[command->partition];
    if (lanes->stopping)
        return refuse(STATUS_UNAVAILABLE, "SHUTDOWN", "the service is stopping", err);
    if (w->count >= lanes->options.queue_max)
        return refuse(STATUS_RESOURCE_EXHAUSTED, "BUSY", "too many changes are waiting", err);
    bool was_empty = w->first == NULL;
    memset(&command->outcome, 0, sizeof command->outcome);
    command->next = NULL;
    *w->last = command;
    w->last = &command->next;
    w->count++;
    if (!w->busy && add_to_ready(lanes, command->partition, was_empty))
        *wakes = true;
    metrics_add(lanes->submitted, 1);
    return true;
}

static void unlock_and_wake(pg_lanes *lanes, bool wakes)
{
    if (wakes)
        atomic_fetch_add(&lanes->waking, 1);
    pthread_mutex_unlock(&lanes->lock);
    if (wakes) {
        pthread_cond_signal(&lanes->wake); /* a lane that wakes finds the lock free */
        atomic_fetch_sub(&lanes->waking, 1);
    }
}

bool pg_lanes_submit(pg_lanes *lanes, struct pg_command *command, error *err)
{
    bool wakes = false;
    pthread_mutex_lock(&lanes->lock);
    bool queued = queue(lanes, command, &wakes, err);
    unlock_and_wake(lanes, wakes);
    return queued;
}

void pg_lanes_submit_all(pg_lanes *lanes, struct pg_command *const *commands, size_t count)
{
    struct pg_command *refused = NULL;
    bool wakes = false;
    pthread_mutex_lock(&lanes->lock);
    for (size_t i = 0; i < count; i++) {
        error err = {0};
        if (queue(lanes, commands[i], &wakes, &err))
            continue;
        commands[i]->outcome = err;
        commands[i]->next = refused;
        refused = commands[i];
    }
    unlock_and_wake(lanes, wakes);
    while (refused != NULL) {
        struct pg_command *command = refused;
        refused = command->next;
        command->done(command);
    }
}

/* --- start and end --- */

static void set_defaults(struct pg_lane_options *o)
{
    if (!o->partitions)
        o->partitions = 64;
    if (!o->lanes)
        o->lanes = 2;
    if (o->lanes > o->partitions)
        o->lanes = o->partitions;
    if (!o->batch_max)
        o->batch_max = 256;
    if (!o->spread_max || o->spread_max > o->partitions)
        o->spread_max = o->partitions;
    if (!o->queue_max)
        o->queue_max = 4096;
    if (!o->memory_max)
        o->memory_max = (size_t)256 * 1024 * 1024;
    if (!o->outcome_wait_us)
        o->outcome_wait_us = 10 * CLOCK_SECOND;
    if (!o->drain_us)
        o->drain_us = 10 * CLOCK_SECOND;
    if (!o->connection.application)
        o->connection.application = "casework-lane";
    if (!o->connection.idle_timeout_us)
        o->connection.idle_timeout_us = 3 * CLOCK_SECOND;
}

static void set_up_metrics(pg_lanes *lanes)
{
    lanes->submitted =
        metrics_counter_get("casework_lane_submitted_total", "Commands that were taken in.", "");
    lanes->batches = metrics_counter_get("casework_lane_batches_total", "Batches run.", "");
    lanes->reruns =
        metrics_counter_get("casework_lane_reruns_total", "Batches run again after a failure.", "");
    lanes->batch_commands =
        metrics_counter_get("casework_lane_commands_total", "Commands run in batches.", "");
    lanes->left_out = metrics_counter_get(
        "casework_lane_left_out_total", "Commands put back because another writer had their partition.", "");
    lanes->lost_commits =
        metrics_counter_get("casework_lane_lost_commits_total", "Commits whose answer was lost.", "");
    lanes->batch_time = metrics_histogram_get("casework_lane_batch_seconds",
                                              "Time from taking a batch to its last answer.", "");
}

static bool lane_init(struct lane *lane, pg_lanes *lanes, unsigned index)
{
    lane->lanes = lanes;
    lane->index = index;
    lane->link = (struct pg_lane_link){.options = &lanes->options,
                                       .mark = lanes->ops->mark,
                                       .down_since = &lanes->down_since,
                                       .lane = index};
    lane->commands = calloc(lanes->options.batch_max, sizeof(struct pg_command *));
    lane->taken = calloc(lanes->options.partitions, sizeof *lane->taken);
    lane->batch.memory = arena_new(lanes->options.memory_max);
    lane->batch.partitions = calloc(lanes->options.partitions, sizeof *lane->batch.partitions);
    lane->batch.has = calloc(lanes->options.partitions, sizeof *lane->batch.has);
    lane->batch.partition_limit = lanes->options.partitions;
    if (!lane->commands || !lane->taken || !lane->batch.memory || !lane->batch.partitions || !lane->batch.has)
        return false;
    return pthread_create(&lane->thread, NULL, run_lane, lane) == 0 && (lane->running = true);
}

static void lane_release(struct lane *lane)
{
    if (lane->running)
        pthread_join(lane->thread, NULL);
    if (lane->batch.memory)
        pg_batch_clear(&lane->batch);
    free(lane->commands);
    free(lane->taken);
    free(lane->batch.partitions);
    free(lane->batch.has);
    free(lane->batch.results);
    arena_free(lane->batch.memory);
}

static bool start_all(pg_lanes *lanes)
{
    unsigned partitions = lanes->options.partitions;
    lanes->waiting = calloc(partitions, sizeof *lanes->waiting);
    lanes->ready = calloc(partitions, sizeof *lanes->ready);
    lanes->list = calloc(lanes->options.lanes, sizeof *lanes->list);
    if (!lanes->waiting || !lanes->ready || !lanes->list)
        return false;
    for (unsigned i = 0; i < partitions; i++)
        lanes->waiting[i].last = &lanes->waiting[i].first;
    for (unsigned i = 0; i < lanes->options.lanes; i++)
        if (!lane_init(&lanes->list[i], lanes, i))
            return false;
    return true;
}

bool pg_lanes_new(const struct pg_lane_options *options, const struct pg_lane_ops *ops, void *context,
                  pg_lanes **ret_lanes, error *err)
{
    pg_lanes *lanes = calloc(1, sizeof *lanes);
    if (!lanes)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    lanes->options = *options;
    set_defaults(&lanes->options);
    lanes->ops = ops;
    lanes->context = context;
    set_up_metrics(lanes);
    pthread_mutex_init(&lanes->lock, NULL);
    condition_init(&lanes->wake);
    if (!start_all(lanes)) {
        pg_lanes_free(lanes);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "cannot start the writing threads");
    }
    *ret_lanes = lanes;
    return true;
}

void pg_lanes_free(pg_lanes *lanes)
{
    if (!lanes)
        return;
    pthread_mutex_lock(&lanes->lock);
    lanes->stop_at = clock_monotonic_us() + lanes->options.drain_us;
    lanes->stopping = true;
    pthread_cond_broadcast(&lanes->wake);
    pthread_mutex_unlock(&lanes->lock);
    for (unsigned i = 0; lanes->list && i < lanes->options.lanes; i++)
        lane_release(&lanes->list[i]);
    while (atomic_load(&lanes->waking) > 0)
        sched_yield();
    pthread_mutex_destroy(&lanes->lock);
    pthread_cond_destroy(&lanes->wake);
    free(lanes->waiting);
    free(lanes->ready);
    free(lanes->list);
    free(lanes);
}
