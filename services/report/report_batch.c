#include "report/report_batch.h"

#include "report/report_engagements.h"
#include "report/report_ledger.h"

#include <string.h>

/* --- statements ------------------------------------------------------------------------------------------
 */

/* What a row of the locks tells. */
enum { LOCK_POSITION = 2, LOCK_EPOCH };

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
           " SELECT $1::int2, u.* FROM unnest($2::timestamptz[], $3::int8[]) AS u"
           " ON CONFLICT (partition, commit_time) DO UPDATE SET position = excluded.position",
};

static const struct pg_statement write_position = {
    .name = "report_write_position",
    .sql = "UPDATE report_partitions SET position = $2::int8, epoch = $3::text WHERE partition = $1::int2",
};

/* --- what a batch knows ----------------------------------------------------------------------------------
 */

struct batch_state {
    arena *memory;
    report_ledger *ledger;
    report_engagements *engagements;
    const struct report_event **events; /* all that are new, the last one of each commit time */
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
    *state = (struct batch_state){
        .memory = memory,
        .ledger = report_ledger_new(memory, count),
        .engagements = report_engagements_new(memory, count),
        .events = arena_calloc(memory, count + 1, sizeof(void *)),
    };
    return state->ledger == NULL || state->engagements == NULL || state->events == NULL ? NULL : state;
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

static bool apply_event(struct batch_state *state, const struct report_event *event, error *err)
{
    if (state->commit_count > 0 && state->events[state->commit_count - 1]->commit_time == event->commit_time)
        state->commit_count--;
    state->events[state->commit_count++] = event;
    report_ledger_apply(state->ledger, event);
    return report_engagements_apply(state->engagements, event) || out_of_memory(err);
}

static bool queue_commits(pg_batch *batch, struct batch_state *state, error *err)
{
    if (state->commit_count == 0)
        return true;
    pg_params p;
    pg_params_init(&p, state->memory);
    pg_add_int2(&p, pg_batch_partition(batch));
    pg_array *time = pg_add_array(&p, PG_TIME), *position = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < state->commit_count; i++) {
        pg_put_time(time, state->events[i]->commit_time);
        pg_put_int(position, state->events[i]->position);
    }
    return pg_batch_write(batch, &write_commits, &p, err);
}

static bool queue_position(pg_batch *batch, struct batch_state *state, int64_t position, const char *epoch,
                           error *err)
{
    pg_params p;
    pg_params_init(&p, state->memory);
    pg_add_int2(&p, pg_batch_partition(batch));
    pg_add_int8(&p, position);
    pg_add_text(&p, epoch);
    return pg_batch_write(batch, &write_position, &p, err);
}
static bool queue_writes(pg_batch *batch, struct batch_state *state, int64_t position, const char *epoch,
                         error *err)
{
    return pg_batch_write(batch, &commit_at_leisure, NULL, err) &&
           report_ledger_write(state->ledger, batch, err) &&
           report_engagements_write(state->engagements, batch, err) && queue_commits(batch, state, err) &&
           queue_position(batch, state, position, epoch, err);
}

/* The same epoch, or the first one ever heard of. */
static bool epoch_fits(const char *stored, const char *epoch, int64_t position)
{
    return strcmp(stored, epoch) == 0 || (stored[0] == '\0' && position == 0);
}

static bool batch_decide(void *context, pg_batch *batch, error *err)
{
    (void)context;
    struct batch_state *state = pg_batch_state(batch);
    int64_t stored = pg_get_int(pg_batch_lock(batch), 0, LOCK_POSITION), position = stored;
    const char *epoch = pg_get_text(pg_batch_lock(batch), 0, LOCK_EPOCH);
    report_ledger_take(state->ledger, batch);
    if (!report_engagements_take(state->engagements, batch, err))
        return false;
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        const struct report_command *command = (const struct report_command *)pg_batch_command(batch, i);
        if (!epoch_fits(epoch, command->epoch, position))
            return error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                             "the reports belong to another history of the feed");
        epoch = command->epoch;
        for (size_t j = 0; j < command->part->count; j++) {
            const struct report_event *event = &command->part->events[j];
            if (event->position <= position)
                continue;
            position = event->position;
            if (!apply_event(state, event, err))
                return false;
        }
        position = command->part->head > position ? command->part->head : position;
    }
    return position == stored || queue_writes(batch, state, position, epoch, err);
}

const struct pg_lane_ops report_batch_ops = {
    .lock = &lock_partition,
    .lock_free = &lock_free_partition,
    .read = batch_read,
    .decide = batch_decide,
};
