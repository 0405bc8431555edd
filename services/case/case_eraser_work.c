#include "case/case_eraser_work.h"

#include "base/clock.h"
#include "base/injection.h"
#include "case/case_command.h"
#include "feed/partition.h"

#include <pthread.h>
#include <string.h>

#define SLICE (1 * CLOCK_SECOND)

enum {
    STEP_CASES = 64,
    STEP_MESSAGES = 256, /* a message may be 1 MiB */
    STEP_BYTES_MAX = 1 << 20,
};

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for an erasure");
}

/* --- a contact --------------------------------------------------------------------------------------------
 */

/* Cases of the contact whose texts are still there, behind a channel and a number; then those of others in
 * which it has written, under a channel that sorts behind all. */
#define GUESTS "~"
static const struct pg_statement find_cases = {
    .name = "erasure_cases",
    .sql =
        "SELECT * FROM (SELECT k.channel, k.case_id, c.last FROM contact_cases k CROSS JOIN LATERAL"
        " (SELECT t.message_count + t.messages_left AS last FROM cases t WHERE t.partition = k.partition "
        "AND t.account = k.account"
        " AND t.id = k.case_id AND NOT t.erased OFFSET 0) c"
        " WHERE k.partition = $1::int2 AND k.account = $2::text AND k.contact = $3::text"
        " AND (k.channel, k.case_id) > ($4::text, $5::int8) ORDER BY k.channel, k.case_id LIMIT $6::int4)"
        " own UNION ALL SELECT * FROM (SELECT '" GUESTS "' AS channel, g.case_id, c.last FROM case_guests g"
        " CROSS JOIN LATERAL (SELECT t.message_count + t.messages_left AS last FROM cases t"
        " WHERE t.partition = g.partition AND t.account = g.account AND t.id = g.case_id OFFSET 0) c"
        " WHERE g.partition = $1::int2 AND g.account = $2::text AND g.contact = $3::text"
        " AND g.case_id > CASE WHEN $4::text = '" GUESTS "' THEN $5::int8 ELSE 0 END"
        " ORDER BY g.case_id LIMIT $6::int4) others ORDER BY 1, 2 LIMIT $6::int4",
};

static const struct pg_statement finish_contact = {
    .name = "erasure_finish_contact",
    .sql = "DELETE FROM erasures e WHERE e.partition = $1::int2 AND e.account = $2::text AND e.contact = "
           "$3::text"
           " AND NOT EXISTS (SELECT 1 FROM contact_cases k CROSS JOIN LATERAL (SELECT 1 FROM cases t"
           " WHERE t.partition = k.partition AND t.account = k.account AND t.id = k.case_id AND NOT t.erased"
           " OFFSET 0) c WHERE k.partition = e.partition AND k.account = e.account AND k.contact = e.contact)"
           " AND NOT EXISTS (SELECT 1 FROM case_guests g WHERE g.partition = e.partition"
           " AND g.account = e.account AND g.contact = e.contact)",
};

/* Where the work on a contact stands: cases up to this one are done, of the next `messages` messages. */
struct place {
    const char *channel;
    int64_t case_id;
    int32_t messages;
};

static void add_contact(pg_params *params, const struct erasure *erasure)
{
    pg_add_int2(params, feed_partition(erasure->account));
    pg_add_text(params, erasure->account);
    pg_add_text(params, erasure->contact);
}

/* What fits into one step; moves the place behind it. */
static bool plan(const pg_result *cases, struct place *place, arena *memory, struct erase_part *parts,
                 size_t *ret_count, error *err)
{
    int32_t room = STEP_MESSAGES;
    size_t count = 0;
    for (int row = 0; row < pg_rows(cases) && room > 0; row++) {
        int32_t first = place->messages + 1, last = (int32_t)pg_get_int(cases, row, 2);
        struct erase_part *part = &parts[count++];
        *part = (struct erase_part){.case_id = pg_get_int(cases, row, 1), .first = first, .last = INT32_MAX};
        part->whole = last - first < room;
        part->guest = strcmp(pg_get_text(cases, row, 0), GUESTS) == 0;
        if (!part->whole) {
            part->last = first + room - 1;
            place->messages = part->last;
            break;
        }
        room -= last >= first ? last - first + 1 : 1;
        place->channel = arena_strdup(memory, pg_get_text(cases, row, 0));
        place->case_id = part->case_id;
        place->messages = 0;
        if (place->channel == NULL)
            return no_memory(err);
    }
    *ret_count = count;
    return true;
}

/* A command that somebody waits for. */
struct waiting {
    struct case_command command; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void done(struct pg_command *lane)
{
    struct waiting *waiting = (struct waiting *)lane;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

/* Through the lane of the account's partition, as everything that changes a case. */
static bool run_step(const struct eraser_work *work, const struct erasure *erasure,
                     const struct erase_part *parts, size_t count, error *err)
{
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    case_command_init(&waiting.command, CASE_METHOD_ERASE_STEP, erasure->account);
    waiting.command.erase = (struct erase_step){
        .contact = erasure->contact, .actor = erasure->actor, .parts = parts, .count = count};
    waiting.command.lane.done = done;
    if (!pg_lanes_submit(work->lanes, &waiting.command.lane, err))
        return false;
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done)
        pthread_cond_wait(&waiting.changed, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    if (waiting.command.lane.outcome.code != STATUS_OK) {
        *err = waiting.command.lane.outcome;
        return false;
    }
    injection_point("case_eraser.step");
    return true;
}

/* One step; *ret_over: nothing was left to do. */
static bool step(const struct eraser_work *work, const struct erasure *erasure, struct place *place,
                 arena *memory, bool *ret_over, error *err)
{
    struct erase_part parts[STEP_CASES];
    size_t count = 0;
    pg_params params;
    pg_result *cases = NULL;
    pg_params_init(&params, memory);
    add_contact(&params, erasure);
    pg_add_text(&params, place->channel);
    pg_add_int8(&params, place->case_id);
    pg_add_int4(&params, STEP_CASES);
    if (!pg_query(work->conn, &find_cases, &params, 0, &cases, err))
        return false;
    *ret_over = pg_rows(cases) == 0;
    bool fine = plan(cases, place, memory, parts, &count, err);
    pg_result_free(cases);
    return fine && (*ret_over || run_step(work, erasure, parts, count, err));
}

static bool erase_contact(const struct eraser_work *work, const struct erasure *erasure, int64_t until,
                          arena *memory, bool *ret_more, error *err)
{
    struct place place = {.channel = "", .case_id = 0};
    bool over = false;
    while (!over) {
        if (clock_monotonic_us() > until || work->is_stopping(work->context)) {
            *ret_more = true;
            return true;
        }
        if (!step(work, erasure, &place, memory, &over, err))
            return err->code == STATUS_NOT_FOUND; /* the account was deleted, and takes it along */
    }
    pg_params params;
    pg_params_init(&params, memory);
    add_contact(&params, erasure);
    return pg_query(work->conn, &finish_contact, &params, 0, NULL, err);
}

/* --- an account -------------------------------------------------------------------------------------------
 */

/* Rows of the account, `many` at a time. Its last event stays. */
#define PURGE(table, condition, many)                                                                        \
    {                                                                                                        \
        .name = "purge_" #table, .sql = "DELETE FROM " #table                                                \
                                        " WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM " #table                \
                                        " t WHERE t.partition = $1::int2 AND t.account = $2::text" condition \
                                        " AND $3::int8 > 0 LIMIT " #many "))"                                \
    }

/*
 * Every table with rows of accounts but for the account's own, which went with the commit, and the memory of
 * its deletion. What leads to an account's texts goes first.
 */
static const struct pg_statement purges[] = {
    PURGE(messages, "", 500),
    PURGE(cases, "", 1000),
    PURGE(contacts, "", 1000),
    PURGE(contact_addresses, "", 2000),
    PURGE(contact_cases, "", 2000),
    PURGE(case_guests, "", 2000),
    PURGE(forwarded_texts, "", 2000),
    PURGE(involved_cases, "", 2000),
    PURGE(external_ids, "", 2000),
    PURGE(request_ids, "", 2000),
    PURGE(outgoing, "", 2000),
    PURGE(case_merges, "", 2000),
    PURGE(case_counts, "", 2000),
    PURGE(batch_results, "", 1000),
    PURGE(timer_steps, "", 2000),
    PURGE(tabs, "", 2000),
    PURGE(sessions, "", 2000),
    PURGE(agents, "", 1000),
    PURGE(channels, "", 1000),
    PURGE(events, " AND t.position <> $3::int8", 2000),
    PURGE(erasures, " AND t.contact <> ''", 1000),
};

static const struct pg_statement finish_account = {
    .name = "erasure_finish_account",
    .sql = "DELETE FROM erasures WHERE partition = $1::int2 AND account = $2::text AND contact = ''"
           " AND position = $3::int8",
};

static bool run_purge(const struct eraser_work *work, const struct erasure *erasure,
                      const struct pg_statement *statement, arena *memory, int64_t *ret_rows, error *err)
{
    pg_params params;
    pg_result *result = NULL;
    arena_clear(memory);
    pg_params_init(&params, memory);
    pg_add_int2(&params, feed_partition(erasure->account));
    pg_add_text(&params, erasure->account);
    pg_add_int8(&params, erasure->position);
    if (!pg_query(work->conn, statement, &params, 0, &result, err))
        return false;
    *ret_rows = pg_rows_affected(result);
    pg_result_free(result);
    injection_point("case_eraser.step");
    return true;
}

static bool purge_account(const struct eraser_work *work, const struct erasure *erasure, int64_t until,
                          arena *memory, bool *ret_more, error *err)
{
    int64_t rows = 0;
    for (size_t i = 0; i < sizeof purges / sizeof purges[0];) {
        if (clock_monotonic_us() > until || work->is_stopping(work->context)) {
            *ret_more = true;
            return true;
        }
        if (!run_purge(work, erasure, &purges[i], memory, &rows, err))
            return false;
        if (rows == 0)
            i++;
    }
    return run_purge(work, erasure, &finish_account, memory, &rows, err);
}

bool eraser_work_on(const struct eraser_work *work, const struct erasure *erasure, bool *ret_more, error *err)
{
    arena *memory = arena_new(STEP_BYTES_MAX);
    if (memory == NULL)
        return no_memory(err);
    int64_t until = clock_monotonic_us() + SLICE;
    bool done = erasure->contact[0] == '\0' ? purge_account(work, erasure, until, memory, ret_more, err)
                                            : erase_contact(work, erasure, until, memory, ret_more, err);
    arena_free(memory);
    return done;
}
