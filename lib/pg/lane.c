#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pg/lane_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a batch waits for a server that has just gone; later ones hear UNAVAILABLE after one try. */
#define RECONNECT_WAIT (2 * CLOCK_SECOND)
#define RETRY_FIRST (20 * CLOCK_SECOND / 1000)
#define RETRY_LAST (500 * CLOCK_SECOND / 1000)

enum { RUNS_MAX = 4, LOSSES_MAX = 2 };

static const struct pg_statement get_fate = {
    .name = "get_fate",
    .sql = "SELECT pg_xact_status($1::xid8)",
};

/* Commands waiting for one partition, first come first served. */
struct waiting {
    struct pg_command *first, **last;
    unsigned count;
};

struct lane {
    pg_lanes *lanes;
    unsigned index;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting *waiting; /* of partition p at p / lanes */
    unsigned *ready;         /* ring of those that have commands, longest waiting first */
    unsigned ready_first, ready_count;
    unsigned queued;
    bool stopping;

    /* Of the thread alone. */
    pg_conn *conn;
    int64_t down_since; /* monotonic; 0: the server answered last time */
    pg_batch batch;
    struct pg_command **commands; /* of the batch being run */
};

struct pg_lanes {
    struct pg_lane_options options;
    const struct pg_lane_ops *ops;
    void *context;
    unsigned per_lane; /* partitions at the most */
    struct lane *list;
    int64_t stop_at; /* monotonic; set before stopping */

    metrics_counter *batches, *batch_commands, *reruns, *lost_commits;
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

/* --- the connection --- */

static void disconnect(struct lane *lane)
{
    pg_conn_close(lane->conn);
    lane->conn = NULL;
}

/*
 * A lane looks rows up by key only, and always with the same few statements: plans made once. A plan made
 * while the tables were empty must not read them from end to end later.
 */
static bool set_up_session(pg_conn *conn, error *err)
{
    return pg_conn_set(conn, "plan_cache_mode", "force_generic_plan", err) &&
           pg_conn_set(conn, "enable_seqscan", "off", err);
}

static bool connect_once(struct lane *lane, error *err)
{
    disconnect(lane);
    if (!pg_conn_open(&lane->lanes->options.connection, &lane->conn, err))
        return false;
    if (set_up_session(lane->conn, err))
        return true;
    disconnect(lane);
    return false;
}

/* Tries until `until`, at least once. */
static bool connect_until(struct lane *lane, int64_t until, error *err)
{
    int64_t pause = RETRY_FIRST;
    while (!connect_once(lane, err)) {
        int64_t now = clock_monotonic_us();
        if (!lane->down_since) {
            lane->down_since = now;
            log_warn("no connection to the database", LOG_NUMBER("lane", lane->index),
                     LOG_TEXT("error", err->detail));
        }
        if (now + pause >= until)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000}, NULL);
        pause = pause * 2 < RETRY_LAST ? pause * 2 : RETRY_LAST;
    }
    if (lane->down_since)
        log_info("connected to the database again", LOG_NUMBER("lane", lane->index));
    lane->down_since = 0;
    return true;
}

static bool ensure_connected(struct lane *lane, error *err)
{
    if (pg_conn_usable(lane->conn))
        return true;
    int64_t since = lane->down_since ? lane->down_since : clock_monotonic_us();
    return connect_until(lane, since + RECONNECT_WAIT, err);
}

/* --- a commit whose answer was lost --- */

enum fate { FATE_COMMITTED, FATE_ABORTED, FATE_IN_PROGRESS, FATE_UNKNOWN };

static enum fate ask_fate(struct lane *lane, int64_t xid, error *err)
{
    pg_params p;
    pg_result *result;
    pg_params_init(&p, lane->batch.memory);
    pg_add_int8(&p, xid); /* xid8 travels like int8 */
    if (!pg_query(lane->conn, &get_fate, &p, 0, &result, err)) {
        if (!pg_conn_usable(lane->conn))
            return FATE_IN_PROGRESS;
        /* 22023: "in the future". A crash lost the id itself: nothing of it was ever durable. */
        return strstr(err->detail, "22023") ? FATE_ABORTED : FATE_UNKNOWN;
    }
    const char *status = pg_get_text(result, 0, 0);
    enum fate fate = strcmp(status, "committed") == 0     ? FATE_COMMITTED
                     : strcmp(status, "aborted") == 0     ? FATE_ABORTED
                     : strcmp(status, "in progress") == 0 ? FATE_IN_PROGRESS
                                                          : FATE_UNKNOWN;
    pg_result_free(result);
    return fate;
}

/* Whose is a committed transaction of our id after a crash? Ours for sure if the partition still carries our
 * mark. */
static enum fate check_mark(struct lane *lane, error *err)
{
    pg_params p;
    pg_result *result;
    const struct pg_statement *statement = lane->lanes->ops->mark;
    pg_params_init(&p, lane->batch.memory);
    pg_add_int2(&p, lane->batch.partition);
    if (!statement || !pg_query(lane->conn, statement, &p, 0, &result, err))
        return FATE_UNKNOWN;
    bool ours = pg_rows(result) == 1 && pg_get_int(result, 0, 0) == lane->batch.mark;
    pg_result_free(result);
    return ours ? FATE_COMMITTED : FATE_UNKNOWN;
}

/*
 * A transaction's id means something only in the history it was given in: not on another cluster, nor after a
 * standby was promoted. A crash takes back the ids of transactions of which nothing had reached the disk, and
 * the server gives them out again: an id that is unknown or aborted then is surely not committed, but one
 * that is committed may be another's.
 */
static enum fate find_fate(struct lane *lane, error *err)
{
    char origin[sizeof lane->conn->origin], incarnation[sizeof lane->conn->incarnation];
    int64_t until = clock_monotonic_us() + lane->lanes->options.outcome_wait_us;
    memcpy(origin, lane->conn->origin, sizeof origin);
    memcpy(incarnation, lane->conn->incarnation, sizeof incarnation);
    for (;;) {
        if (!pg_conn_usable(lane->conn) && !connect_until(lane, until, err))
            return FATE_UNKNOWN;
        if (strcmp(origin, lane->conn->origin) != 0)
            return FATE_UNKNOWN;
        enum fate fate = ask_fate(lane, lane->batch.xid, err);
        if (fate == FATE_COMMITTED && strcmp(incarnation, lane->conn->incarnation) != 0)
            return check_mark(lane, err);
        if (fate != FATE_IN_PROGRESS)
            return fate;
        if (clock_monotonic_us() >= until)
            return FATE_UNKNOWN;
        nanosleep(&(struct timespec){.tv_nsec = RETRY_FIRST * 1000}, NULL);
    }
}

/* Turns a lost commit into what became of it. */
static enum pg_run resolve_lost_commit(struct lane *lane, error *err)
{
    enum fate fate = find_fate(lane, err);
    metrics_add(lane->lanes->lost_commits, 1);
    static const char *const names[] = {"committed", "aborted", "in progress", "unknown"};
    log_warn("connection lost at commit", LOG_NUMBER("lane", lane->index), LOG_NUMBER("xid", lane->batch.xid),
             LOG_TEXT("fate", names[fate]));
    if (fate == FATE_COMMITTED)
        return PG_RUN_COMMITTED;
    if (fate == FATE_ABORTED)
        return PG_RUN_LOST;
    error_set(err, STATUS_UNKNOWN, "OUTCOME_UNKNOWN",
              "the connection was lost and the outcome cannot be found out");
    return PG_RUN_LOST_AT_COMMIT;
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

static void run_alone(struct lane *lane, struct pg_command **commands, size_t count);

/* Runs commands of one partition until each of them has been told its outcome. */
static void run_commands(struct lane *lane, struct pg_command **commands, size_t count)
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
        if (!ensure_connected(lane, &err)) {
            run = PG_RUN_LOST;
            break;
        }
        pg_batch_clear(batch);
        batch->conn = lane->conn;
        batch->commands = commands;
        batch->count = count;
        run = pg_batch_run(batch, ops, context, &err);
        if (run == PG_RUN_LOST_AT_COMMIT)
            run = resolve_lost_commit(lane, &err);
        metrics_add(runs == 1 ? lane->lanes->batches : lane->lanes->reruns, 1);
        pg_batch_end(batch, ops, context, run == PG_RUN_COMMITTED);
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
        run_commands(lane, &one, 1);
    }
}

/* --- the queue --- */

static void add_ready(struct lane *lane, unsigned slot)
{
    unsigned size = lane->lanes->per_lane;
    lane->ready[(lane->ready_first + lane->ready_count++) % size] = slot;
}

/* The next batch of the partition that has waited longest; what does not fit comes behind the other
 * partitions. */
static size_t take_batch(struct lane *lane)
{
    unsigned lanes = lane->lanes->options.lanes;
    unsigned slot = lane->ready[lane->ready_first];
    struct waiting *w = &lane->waiting[slot];
    size_t count = 0;
    lane->ready_first = (lane->ready_first + 1) % lane->lanes->per_lane;
    lane->ready_count--;
    while (w->first && count < lane->lanes->options.batch_max) {
        lane->commands[count++] = w->first;
        w->first = w->first->next;
    }
    w->count -= (unsigned)count;
    lane->queued -= (unsigned)count;
    if (w->first)
        add_ready(lane, slot);
    else
        w->last = &w->first;
    lane->batch.partition = slot * lanes + lane->index;
    return count;
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    char name[16];
    snprintf(name, sizeof name, "lane-%u", lane->index);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        pthread_mutex_lock(&lane->lock);
        while (lane->ready_count == 0 && !lane->stopping)
            pthread_cond_wait(&lane->wake, &lane->lock);
        size_t count = lane->ready_count ? take_batch(lane) : 0;
        bool stopping = lane->stopping;
        pthread_mutex_unlock(&lane->lock);
        if (count == 0)
            break;
        if (stopping && clock_monotonic_us() > lane->lanes->stop_at) {
            error err;
            error_set(&err, STATUS_UNAVAILABLE, "SHUTDOWN", "the service is stopping");
            fail_all(lane->commands, count, &err);
        } else {
            int64_t start = clock_monotonic_us();
            run_commands(lane, lane->commands, count);
            metrics_add(lane->lanes->batch_commands, (int64_t)count);
            metrics_observe(lane->lanes->batch_time, clock_monotonic_us() - start);
        }
    }
    disconnect(lane);
    return NULL;
}

static bool refuse(enum status_code code, const char *reason, const char *message, error *err)
{
    return error_set(err, code, reason, "%s", message);
}

bool pg_lanes_submit(pg_lanes *lanes, struct pg_command *command, error *err)
{
    if (command->partition >= lanes->options.partitions)
        return refuse(STATUS_INTERNAL, "PARTITION", "internal error", err);
    struct lane *lane = &lanes->list[command->partition % lanes->options.lanes];
    unsigned slot = command->partition / lanes->options.lanes;
    memset(&command->outcome, 0, sizeof command->outcome);
    command->next = NULL;
    pthread_mutex_lock(&lane->lock);
    bool stopping = lane->stopping;
    bool full = lane->queued >= lanes->options.queue_max;
    if (!stopping && !full) {
        struct waiting *w = &lane->waiting[slot];
        if (!w->first)
            add_ready(lane, slot);
        *w->last = command;
        w->last = &command->next;
        w->count++;
        lane->queued++;
        pthread_cond_signal(&lane->wake);
    }
    pthread_mutex_unlock(&lane->lock);
    if (stopping)
        return refuse(STATUS_UNAVAILABLE, "SHUTDOWN", "the service is stopping", err);
    if (full)
        return refuse(STATUS_RESOURCE_EXHAUSTED, "BUSY", "too many changes are waiting", err);
    return true;
}

/* --- start and end --- */

static void set_defaults(struct pg_lane_options *o)
{
    if (!o->partitions)
        o->partitions = 64;
    if (!o->lanes)
        o->lanes = 4;
    if (o->lanes > o->partitions)
        o->lanes = o->partitions;
    if (!o->batch_max)
        o->batch_max = 256;
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
}

static void set_up_metrics(pg_lanes *lanes)
{
    lanes->batches = metrics_counter_get("casework_lane_batches_total", "Batches run.", "");
    lanes->reruns =
        metrics_counter_get("casework_lane_reruns_total", "Batches run again after a failure.", "");
    lanes->batch_commands =
        metrics_counter_get("casework_lane_commands_total", "Commands run in batches.", "");
    lanes->lost_commits =
        metrics_counter_get("casework_lane_lost_commits_total", "Commits whose answer was lost.", "");
    lanes->batch_time = metrics_histogram_get("casework_lane_batch_seconds",
                                              "Time from taking a batch to its last answer.", "");
}

static bool lane_init(struct lane *lane, pg_lanes *lanes, unsigned index)
{
    lane->lanes = lanes;
    lane->index = index;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->wake, NULL);
    lane->waiting = calloc(lanes->per_lane, sizeof *lane->waiting);
    lane->ready = calloc(lanes->per_lane, sizeof *lane->ready);
    lane->commands = calloc(lanes->options.batch_max, sizeof *lane->commands);
    lane->batch.memory = arena_new(lanes->options.memory_max);
    if (!lane->waiting || !lane->ready || !lane->commands || !lane->batch.memory)
        return false;
    for (unsigned i = 0; i < lanes->per_lane; i++)
        lane->waiting[i].last = &lane->waiting[i].first;
    return pthread_create(&lane->thread, NULL, run_lane, lane) == 0 && (lane->running = true);
}

static void lane_release(struct lane *lane)
{
    if (!lane->lanes)
        return;
    if (lane->running)
        pthread_join(lane->thread, NULL);
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->wake);
    free(lane->waiting);
    free(lane->ready);
    free(lane->commands);
    if (lane->batch.memory)
        pg_batch_clear(&lane->batch);
    free(lane->batch.results);
    arena_free(lane->batch.memory);
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
    lanes->per_lane = (lanes->options.partitions + lanes->options.lanes - 1) / lanes->options.lanes;
    lanes->list = calloc(lanes->options.lanes, sizeof *lanes->list);
    bool good = lanes->list != NULL;
    for (unsigned i = 0; good && i < lanes->options.lanes; i++)
        good = lane_init(&lanes->list[i], lanes, i);
    if (!good) {
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
    lanes->stop_at = clock_monotonic_us() + lanes->options.drain_us;
    for (unsigned i = 0; lanes->list && i < lanes->options.lanes; i++) {
        struct lane *lane = &lanes->list[i];
        if (!lane->running)
            continue;
        pthread_mutex_lock(&lane->lock);
        lane->stopping = true;
        pthread_cond_signal(&lane->wake);
        pthread_mutex_unlock(&lane->lock);
    }
    for (unsigned i = 0; lanes->list && i < lanes->options.lanes; i++)
        lane_release(&lanes->list[i]);
    free(lanes->list);
    free(lanes);
}
