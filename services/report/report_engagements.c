#include "report/report_engagements.h"

#include "report/report_engagement_rules.h"
#include "report/report_keys.h"
#include "report/report_totals_store.h"
#include "report/report_volume_sums.h"

#include <stdlib.h>
#include <string.h>

/* --- statements ------------------------------------------------------------------------------------------
 */

static const struct pg_statement read_engagements = {
    .name = "report_read_engagements",
    .sql =
        "SELECT e.account, e.case_id, e.status, e.merged, e.channel, e.network, e.channel_address, e.labels,"
        " e.class_groups, e.class_values, e.sent, e.opened, e.closed, e.first_reply, e.resolution,"
        " e.interactions, e.agents, e.last_agent, e.nps_sent, e.pauses"
        " FROM unnest($1::int2[], $2::text[], $3::int8[]) AS k (partition, account, case_id), LATERAL "
        "(SELECT *"
        " FROM report_engagements WHERE partition = k.partition AND account = k.account"
        " AND case_id = k.case_id LIMIT 1) e",
};

static const struct pg_statement deletes[] = {
    {.name = "report_delete_engagements",
     .sql = "DELETE FROM report_engagements WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_volume",
     .sql = "DELETE FROM report_volume WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_pauses",
     .sql = "DELETE FROM report_pauses WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_totals",
     .sql = "DELETE FROM report_totals WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
};

static const struct pg_statement write_engagements = {
    .name = "report_write_engagements",
    .sql = "INSERT INTO report_engagements (partition, account, case_id, status, merged, channel, network,"
           " channel_address, labels, class_groups, class_values, sent, opened, closed, first_reply,"
           " resolution, interactions, agents, last_agent, nps_sent, pauses, spans, engaged, counted)"
           " SELECT u.partition, u.account, u.case_id, u.status, u.merged, u.channel, u.network, "
           "u.channel_address,"
           " u.labels::text[], u.class_groups::text[], u.class_values::text[], u.sent, u.opened, u.closed,"
           " u.first_reply, u.resolution, u.interactions, u.agents::text[], u.last_agent, u.nps_sent,"
           " u.pauses::int8[], u.spans::int8[], u.engaged, u.counted"
           " FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int2[], $5::bool[], $6::text[], $7::text[], "
           "$8::text[],"
           " $9::text[], $10::text[], $11::text[], $12::int8[], $13::int8[], $14::int8[], $15::int8[],"
           " $16::int8[], $17::int8[], $18::text[], $19::text[], $20::bool[], $21::text[], $22::text[],"
           " $23::bool[], $24::bool[]) AS u (partition, account, case_id, status, merged, channel, network,"
           " channel_address, labels, class_groups, class_values, sent, opened, closed, first_reply,"
           " resolution, interactions, agents, last_agent, nps_sent, pauses, spans, engaged, counted)"
           " ON CONFLICT (partition, account, case_id) DO UPDATE SET status = excluded.status,"
           " merged = excluded.merged, channel = excluded.channel, network = excluded.network,"
           " channel_address = excluded.channel_address, labels = excluded.labels,"
           " class_groups = excluded.class_groups, class_values = excluded.class_values,"
           " sent = excluded.sent, opened = excluded.opened, closed = excluded.closed,"
           " first_reply = excluded.first_reply, resolution = excluded.resolution,"
           " interactions = excluded.interactions, agents = excluded.agents,"
           " last_agent = excluded.last_agent, nps_sent = excluded.nps_sent, pauses = excluded.pauses,"
           " spans = excluded.spans, engaged = excluded.engaged, counted = excluded.counted",
};

/* --- what a batch knows ----------------------------------------------------------------------------------
 */

struct known {
    const char *account;
    int64_t id;
    struct report_engagement state;
    struct report_engagement former; /* as the totals have it */
    int64_t *spans;                  /* as the sums have them */
    size_t span_count;
    bool changed;
};

struct report_engagements {
    arena *memory;
    struct known *list; /* by account and id */
    size_t count;
    report_volume_sums *volume;
    struct report_totals totals;
    const char **deleted; /* accounts */
    size_t deleted_count;
    size_t read; /* index of the result */
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory for a batch of events");
}

static int compare(const void *a, const void *b)
{
    const struct known *left = a, *right = b;
    int order = strcmp(left->account, right->account);
    return order != 0 ? order : (left->id > right->id) - (left->id < right->id);
}

report_engagements *report_engagements_new(arena *memory, size_t event_count)
{
    report_engagements *engagements = arena_calloc(memory, 1, sizeof *engagements);
    if (engagements == NULL)
        return NULL;
    *engagements = (report_engagements){
        .memory = memory,
        .list = arena_calloc(memory, event_count + 1, sizeof *engagements->list),
        .volume = report_volume_sums_new(memory),
        .totals = {.memory = memory},
        .deleted = arena_calloc(memory, event_count + 1, sizeof(void *)),
    };
    return engagements->list == NULL || engagements->volume == NULL || engagements->deleted == NULL
               ? NULL
               : engagements;
}

static struct known *find(const report_engagements *engagements, const char *account, int64_t id)
{
    struct known key = {.account = account, .id = id};
    return bsearch(&key, engagements->list, engagements->count, sizeof key, compare);
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

void report_engagements_meet(report_engagements *engagements, const struct report_event *event)
{
    if (event->change != NULL)
        engagements->list[engagements->count++] =
            (struct known){.account = event->account, .id = event->case_id};
}

bool report_engagements_read(report_engagements *engagements, pg_batch *batch, error *err)
{
    engagements->count =
        report_keys_unique(engagements->list, engagements->count, sizeof *engagements->list, compare);
    pg_params p;
    pg_params_init(&p, engagements->memory);
    struct report_account_columns accounts = report_keys_add(&p);
    pg_array *ids = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < engagements->count; i++) {
        report_keys_put(&accounts, engagements->list[i].account);
        pg_put_int(ids, engagements->list[i].id);
    }
    return engagements->count == 0 || pg_batch_read(batch, &read_engagements, &p, &engagements->read, err);
}

static bool take_row(const pg_result *rows, int i, arena *memory, struct report_engagement *ret)
{
    struct report_engagement state = {
        .known = true,
        .facts = {.status = (enum report_status)pg_get_int(rows, i, 2),
                  .merged = pg_get_bool(rows, i, 3),
                  .channel = pg_get_text(rows, i, 4),
                  .network = pg_get_text(rows, i, 5),
                  .channel_address = pg_get_text(rows, i, 6)},
        .sent = pg_get_int(rows, i, 10),
        .opened = pg_get_int(rows, i, 11),
        .closed = pg_get_int(rows, i, 12),
        .first_reply = pg_get_int(rows, i, 13),
        .resolution = pg_get_int(rows, i, 14),
        .interactions = pg_get_int(rows, i, 15),
        .last_agent = pg_get_text(rows, i, 17),
        .nps_sent = pg_get_bool(rows, i, 18),
    };
    struct report_facts *facts = &state.facts;
    if (!pg_get_text_array(rows, i, 7, memory, &facts->labels.items, &facts->labels.count) ||
        !pg_get_text_array(rows, i, 8, memory, &facts->class_groups.items, &facts->class_groups.count) ||
        !pg_get_text_array(rows, i, 9, memory, &facts->class_values.items, &facts->class_values.count) ||
        !pg_get_text_array(rows, i, 16, memory, &state.agents.items, &state.agents.count) ||
        !pg_get_int_array(rows, i, 19, memory, &state.pauses, &state.pause_count))
        return false;
    *ret = state;
    return true;
}

bool report_engagements_take(report_engagements *engagements, const pg_batch *batch, error *err)
{
    if (engagements->count == 0)
        return true;
    const pg_result *rows = pg_batch_result(batch, engagements->read);
    for (int i = 0; i < pg_rows(rows); i++) {
        struct known *known = find(engagements, pg_get_text(rows, i, 0), pg_get_int(rows, i, 1));
        if (known == NULL)
            continue;
        if (!take_row(rows, i, engagements->memory, &known->state) ||
            !report_engagement_spans(&known->state, engagements->memory, &known->spans, &known->span_count))
            return out_of_memory(err);
        known->former = known->state;
    }
    return true;
}

/* --- deciding --------------------------------------------------------------------------------------------
 */

/* What is known of the account goes with what is stored of it. */
static void delete_account(report_engagements *engagements, const char *account)
{
    for (size_t i = 0; i < engagements->count; i++) {
        struct known *known = &engagements->list[i];
        if (strcmp(known->account, account) == 0)
            *known = (struct known){.account = known->account, .id = known->id};
    }
    engagements->deleted[engagements->deleted_count++] = account;
}

bool report_engagements_apply(report_engagements *engagements, const struct report_event *event)
{
    if (event->kind == REPORT_EVENT_ACCOUNT_DELETED)
        delete_account(engagements, event->account);
    if (event->change == NULL)
        return true;
    struct known *known = find(engagements, event->account, event->case_id);
    known->changed = true;
    return report_engagement_rules_apply(&known->state, event->change, engagements->memory);
}

/* --- writing ---------------------------------------------------------------------------------------------
 */

static void put_texts(pg_array *array, const struct report_texts *texts)
{
    pg_put_text_list(array, texts->items, texts->count);
}

/* The columns of write_engagements, in its order. */
struct columns {
    struct report_account_columns account;
    pg_array *id, *status, *merged, *channel, *network, *channel_address, *labels, *class_groups,
        *class_values, *sent, *opened, *closed, *first_reply, *resolution, *interactions, *agents,
        *last_agent, *nps_sent, *pauses, *spans, *engaged, *counted;
};

static struct columns add_columns(pg_params *p)
{
    struct columns c;
    c.account = report_keys_add(p);
    c.id = pg_add_array(p, PG_INT8);
    c.status = pg_add_array(p, PG_INT2);
    c.merged = pg_add_array(p, PG_BOOL);
    c.channel = pg_add_array(p, PG_TEXT);
    c.network = pg_add_array(p, PG_TEXT);
    c.channel_address = pg_add_array(p, PG_TEXT);
    c.labels = pg_add_array(p, PG_TEXT);
    c.class_groups = pg_add_array(p, PG_TEXT);
    c.class_values = pg_add_array(p, PG_TEXT);
    c.sent = pg_add_array(p, PG_INT8);
    c.opened = pg_add_array(p, PG_INT8);
    c.closed = pg_add_array(p, PG_INT8);
    c.first_reply = pg_add_array(p, PG_INT8);
    c.resolution = pg_add_array(p, PG_INT8);
    c.interactions = pg_add_array(p, PG_INT8);
    c.agents = pg_add_array(p, PG_TEXT);
    c.last_agent = pg_add_array(p, PG_TEXT);
    c.nps_sent = pg_add_array(p, PG_BOOL);
    c.pauses = pg_add_array(p, PG_TEXT);
    c.spans = pg_add_array(p, PG_TEXT);
    c.engaged = pg_add_array(p, PG_BOOL);
    c.counted = pg_add_array(p, PG_BOOL);
    return c;
}

static void put_row(const struct columns *c, const struct known *known, const int64_t *spans,
                    size_t span_count)
{
    const struct report_engagement *state = &known->state;
    report_keys_put(&c->account, known->account);
    pg_put_int(c->id, known->id);
    pg_put_int(c->status, state->facts.status);
    pg_put_bool(c->merged, state->facts.merged);
    pg_put_text(c->channel, state->facts.channel);
    pg_put_text(c->network, state->facts.network);
    pg_put_text(c->channel_address, state->facts.channel_address);
    put_texts(c->labels, &state->facts.labels);
    put_texts(c->class_groups, &state->facts.class_groups);
    put_texts(c->class_values, &state->facts.class_values);
    pg_put_int(c->sent, state->sent);
    pg_put_int(c->opened, state->opened);
    pg_put_int(c->closed, state->closed);
    pg_put_int(c->first_reply, state->first_reply);
    pg_put_int(c->resolution, state->resolution);
    pg_put_int(c->interactions, state->interactions);
    put_texts(c->agents, &state->agents);
    pg_put_text(c->last_agent, state->last_agent);
    pg_put_bool(c->nps_sent, state->nps_sent);
    pg_put_int8_list(c->pauses, state->pauses, state->pause_count);
    pg_put_int8_list(c->spans, spans, span_count);
    pg_put_bool(c->engaged, report_engagement_is_one(state));
    pg_put_bool(c->counted, report_engagement_counts(state));
}

/* The row, and what the sums have to take away and add for it. */
static bool put_changed(report_engagements *engagements, const struct columns *columns,
                        const struct known *known)
{
    int64_t *spans;
    size_t count;
    if (!report_engagement_spans(&known->state, engagements->memory, &spans, &count))
        return false;
    put_row(columns, known, spans, count);
    return report_volume_sums_add(engagements->volume, known->account, known->spans, known->span_count, -1) &&
           report_volume_sums_add(engagements->volume, known->account, spans, count, +1) &&
           report_totals_put_case(&engagements->totals, known->account, &known->former, -1) &&
           report_totals_put_case(&engagements->totals, known->account, &known->state, +1);
}

static bool queue_deletes(report_engagements *engagements, pg_batch *batch, error *err)
{
    for (size_t i = 0; engagements->deleted_count > 0 && i < sizeof deletes / sizeof deletes[0]; i++) {
        pg_params p;
        pg_params_init(&p, engagements->memory);
        struct report_account_columns accounts = report_keys_add(&p);
        for (size_t j = 0; j < engagements->deleted_count; j++)
            report_keys_put(&accounts, engagements->deleted[j]);
        if (!pg_batch_write(batch, &deletes[i], &p, err))
            return false;
    }
    return true;
}

bool report_engagements_write(report_engagements *engagements, pg_batch *batch, error *err)
{
    if (!queue_deletes(engagements, batch, err))
        return false;
    pg_params p;
    pg_params_init(&p, engagements->memory);
    struct columns columns = add_columns(&p);
    bool any = false;
    for (size_t i = 0; i < engagements->count; i++) {
        if (!engagements->list[i].changed)
            continue;
        any = true;
        if (!put_changed(engagements, &columns, &engagements->list[i]))
            return out_of_memory(err);
    }
    return !any || (pg_batch_write(batch, &write_engagements, &p, err) &&
                    report_volume_sums_write(engagements->volume, batch, err) &&
                    report_totals_write(&engagements->totals, batch, err));
}
