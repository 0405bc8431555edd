#include "report/report_batch.h"

#include "report/report_engagements.h"
#include "report/report_ledger.h"

#include <string.h>

/* --- statements ------------------------------------------------------------------------------------------
 */

/* What a row of the locks tells. */
enum { LOCK_PARTITION, LOCK_POSITION = 2, LOCK_EPOCH };

#define LOCK_PARTITIONS                                                              \
    "SELECT partition, pg_current_xact_id(), position, epoch FROM report_partitions" \
    " WHERE partition = ANY ($1::int2[]) FOR UPDATE"

static const struct pg_statement lock_partition = {
    .name = "report_lock_partition",
    .sql = LOCK_PARTITIONS,
};

static const struct pg_statement lock_free_partition = {
    .name = "report_lock_free_partition",
    .sql = LOCK_PARTITIONS " SKIP LOCKED",
};

/* Everything here can be derived again, so nothing has to wait for the disk: after a crash of the database
 * the feed is read on from the position that survived. */
static const struct pg_statement commit_at_leisure = {
    .name = "report_commit_at_leisure",
    .sql = "SELECT set_config('synchronous_commit', 'off', true)",
};

static const struct pg_statement write_commits = {
    .name = "report_write_commits",
    .sql = "INSERT INTO report_commits (partition, commit_time, position)"
           " SELECT * FROM unnest($1::int2[], $2::timestamptz[], $3::int8[])"
           " ON CONFLICT (partition, commit_time) DO UPDATE SET position = excluded.position",
};

static const struct pg_statement write_positions = {
    .name = "report_write_positions",
    .sql = "UPDATE report_partitions p SET position = u.position, epoch = u.epoch"
           " FROM unnest($1::int2[], $2::int8[], $3::text[]) AS u (partition, position, epoch)"
           " WHERE p.partition = u.partition",
};

/* --- what a batch knows ----------------------------------------------------------------------------------
 */

/* Up to where a partition's events have come by a commit's time. */
struct commit {
    int partition;
    const struct report_event *event;
};

/* What is stored of a partition, and what the batch makes of it. */
struct progress {
    int64_t stored, position;
    const char *epoch;
    struct commit *last; /* NULL: none in this batch */
};

struct batch_state {
    arena *memory;
    report_ledger *ledger;
    report_engagements *engagements;
    struct progress progress[FEED_PARTITIONS];
    struct commit *commits;
    size_t commit_count;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory for a batch of events");
}

static const struct report_part *part_of(const pg_batch *batch, size_t index)
{
    return ((const struct report_command *)pg_batch_command(batch, index))->part;
}

static struct batch_state *new_state(pg_batch *batch)
{
    arena *memory = pg_batch_memory(batch);
    size_t count = 0;
    for (size_t i = 0; i < pg_batch_count(batch); i++)
        count += part_of(batch, i)->count;
    struct batch_state *state = arena_calloc(memory, 1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->memory = memory;
    state->ledger = report_ledger_new(memory, count);
    state->engagements = report_engagements_new(memory, count);
    state->commits = arena_calloc(memory, count + 1, sizeof *state->commits);
    return state->ledger == NULL || state->engagements == NULL || state->commits == NULL ? NULL : state;
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

static void meet_events(const pg_batch *batch, struct batch_state *state)
{
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        const struct report_part *part = part_of(batch, i);
        for (size_t j = 0; j < part->count; j++) {
            report_ledger_meet(state->ledger, &part->events[j]);
            report_engagements_meet(state->engagements, &part->events[j]);
        }
    }
}

static bool batch_read(void *context, pg_batch *batch, error *err)
{
    (void)context;
    struct batch_state *state = new_state(batch);
    if (state == NULL)
        return out_of_memory(err);
    pg_batch_set_state(batch, state);
    meet_events(batch, state);
    return report_ledger_read(state->ledger, batch, err) &&
           report_engagements_read(state->engagements, batch, err);
}

/* --- deciding --------------------------------------------------------------------------------------------
 */

static void take_locks(struct batch_state *state, const pg_result *rows)
{
    for (int i = 0; i < pg_rows(rows); i++) {
        int64_t position = pg_get_int(rows, i, LOCK_POSITION);
        state->progress[pg_get_int(rows, i, LOCK_PARTITION)] = (struct progress){
            .stored = position, .position = position, .epoch = pg_get_text(rows, i, LOCK_EPOCH)};
    }
}

/* The same epoch, or the first one ever heard of. */
static bool epoch_fits(const struct progress *progress, const char *epoch)
{
    return strcmp(progress->epoch, epoch) == 0 || (progress->epoch[0] == '\0' && progress->position == 0);
}

static void note_commit(struct batch_state *state, struct progress *progress, int partition,
                        const struct report_event *event)
{
    if (progress->last == NULL || progress->last->event->commit_time != event->commit_time)
        progress->last = &state->commits[state->commit_count++];
    *progress->last = (struct commit){.partition = partition, .event = event};
}

/* What is above the partition's position; the rest has been applied before. */
static bool apply_part(struct batch_state *state, const struct report_part *part, error *err)
{
    struct progress *progress = &state->progress[part->partition];
    for (size_t i = 0; i < part->count; i++) {
        const struct report_event *event = &part->events[i];
        if (event->position <= progress->position)
            continue;
        progress->position = event->position;
        note_commit(state, progress, part->partition, event);
        report_ledger_apply(state->ledger, event);
        if (!report_engagements_apply(state->engagements, event))
            return out_of_memory(err);
    }
    if (part->head > progress->position)
        progress->position = part->head;
    return true;
}

static bool queue_commits(pg_batch *batch, struct batch_state *state, error *err)
{
    if (state->commit_count == 0)
        return true;
    pg_params p;
    pg_params_init(&p, state->memory);
    pg_array *partition = pg_add_array(&p, PG_INT2);
    pg_array *time = pg_add_array(&p, PG_TIME), *position = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < state->commit_count; i++) {
        const struct commit *commit = &state->commits[i];
        pg_put_int(partition, commit->partition);
        pg_put_time(time, commit->event->commit_time);
        pg_put_int(position, commit->event->position);
    }
    return pg_batch_write(batch, &write_commits, &p, err);
}

static bool queue_positions(pg_batch *batch, struct batch_state *state, error *err)
{
    pg_params p;
    pg_params_init(&p, state->memory);
    pg_array *partition = pg_add_array(&p, PG_INT2), *position = pg_add_array(&p, PG_INT8);
    pg_array *epoch = pg_add_array(&p, PG_TEXT);
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        const struct progress *progress = &state->progress[i];
        if (progress->position == progress->stored)
            continue;
        pg_put_int(partition, i);
        pg_put_int(position, progress->position);
        pg_put_text(epoch, progress->epoch);
    }
    return pg_batch_write(batch, &write_positions, &p, err);
}

static bool queue_writes(pg_batch *batch, struct batch_state *state, error *err)
{
    return pg_batch_write(batch, &commit_at_leisure, NULL, err) &&
           report_ledger_write(state->ledger, batch, err) &&
           report_engagements_write(state->engagements, batch, err) && queue_commits(batch, state, err) &&
           queue_positions(batch, state, err);
}

static bool batch_decide(void *context, pg_batch *batch, error *err)
{
    (void)context;
    struct batch_state *state = pg_batch_state(batch);
    bool moved = false;
    take_locks(state, pg_batch_lock(batch));
    report_ledger_take(state->ledger, batch);
    if (!report_engagements_take(state->engagements, batch, err))
        return false;
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        const struct report_command *command = (const struct report_command *)pg_batch_command(batch, i);
        struct progress *progress = &state->progress[command->part->partition];
        if (!epoch_fits(progress, command->epoch))
            return error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                             "the reports belong to another history of the feed");
        progress->epoch = command->epoch;
        if (!apply_part(state, command->part, err))
            return false;
        moved = moved || progress->position != progress->stored;
    }
    return !moved || queue_writes(batch, state, err);
}

const struct pg_lane_ops report_batch_ops = {
    .lock = &lock_partition,
    .lock_free = &lock_free_partition,
    .read = batch_read,
    .decide = batch_decide,
};
