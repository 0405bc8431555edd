#include "report/report_totals_store.h"

#include "base/clock.h"
#include "report/report_keys.h"

#include <string.h>

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the totals do not fit");
}

/* --- writing ------------------------------------------------------------------------------------------- */

static const struct pg_statement write_totals = {
    .name = "report_write_totals",
    .sql = "INSERT INTO report_totals (fresh, partition, account, level, slot, dimension, key, value, closed,"
           " engagements, first_reply, resolution, interactions, agents, sketches, measured)"
           " SELECT $1::bool, u.* FROM unnest($2::int2[], $3::text[], $4::int2[], $5::int8[], $6::int2[],"
           " $7::text[], $8::text[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::int8[],"
           " $14::int8[], $15::bytea[], $16::bytea[]) AS u",
};

struct columns {
    struct report_account_columns account;
    pg_array *level, *slot, *dimension, *key, *value, *closed, *engagements, *sums[REPORT_MEASURED],
        *sketches, *measured;
};

static struct columns add_columns(pg_params *p)
{
    struct columns c;
    c.account = report_keys_add(p);
    c.level = pg_add_array(p, PG_INT2);
    c.slot = pg_add_array(p, PG_INT8);
    c.dimension = pg_add_array(p, PG_INT2);
    c.key = pg_add_array(p, PG_TEXT);
    c.value = pg_add_array(p, PG_TEXT);
    c.closed = pg_add_array(p, PG_INT8);
    c.engagements = pg_add_array(p, PG_INT8);
    for (int m = 0; m < REPORT_MEASURED; m++)
        c.sums[m] = pg_add_array(p, PG_INT8);
    c.sketches = pg_add_array(p, PG_BYTEA);
    c.measured = pg_add_array(p, PG_BYTEA);
    return c;
}

static bool put_folded(const struct columns *c, struct report_folded *folded, arena *memory)
{
    const struct report_total *total = &folded->total;
    size_t size, values_size;
    const uint8_t *bytes = report_folded_pack(folded, memory, &size), *values;
    if (bytes == NULL || !report_folded_pack_values(folded, memory, &values, &values_size))
        return false;
    report_keys_put(&c->account, total->account);
    pg_put_int(c->level, total->level);
    pg_put_int(c->slot, total->slot);
    pg_put_int(c->dimension, total->dimension);
    pg_put_text(c->key, total->key);
    pg_put_text(c->value, total->value);
    pg_put_int(c->closed, total->closed);
    pg_put_int(c->engagements, total->engagements);
    for (int m = 0; m < REPORT_MEASURED; m++)
        pg_put_int(c->sums[m], total->sums[m]);
    pg_put_bytea(c->sketches, bytes, size);
    pg_put_bytea(c->measured, values, values_size);
    return true;
}

/* The rows of what the totals come to, as parameters of write_totals. *ret_any: there are some. */
static bool bind_rows(pg_params *p, struct report_totals *totals, bool fresh, bool *ret_any, error *err)
{
    struct report_folded *folded;
    size_t count;
    if (!report_totals_fold(totals, &folded, &count))
        return out_of_memory(err);
    pg_params_init(p, totals->memory);
    pg_add_bool(p, fresh);
    struct columns columns = add_columns(p);
    for (size_t i = 0; i < count; i++) {
        if (!put_folded(&columns, &folded[i], totals->memory))
            return out_of_memory(err);
    }
    *ret_any = count > 0;
    return true;
}

bool report_totals_write(struct report_totals *totals, pg_batch *batch, error *err)
{
    pg_params p;
    bool any;
    return bind_rows(&p, totals, true, &any, err) && (!any || pg_batch_write(batch, &write_totals, &p, err));
}

/* --- reading ------------------------------------------------------------------------------------------- */

struct report_parts report_totals_add_parts(pg_params *params)
{
    struct report_parts parts;
    parts.levels = pg_add_array(params, PG_INT2);
    parts.firsts = pg_add_array(params, PG_INT8);
    parts.lasts = pg_add_array(params, PG_INT8);
    return parts;
}

void report_totals_put_part(const struct report_parts *parts, int level, int64_t first, int64_t last)
{
    if (first > last)
        return;
    pg_put_int(parts->levels, level);
    pg_put_int(parts->firsts, first);
    pg_put_int(parts->lasts, last);
}

/* Whole slots of the level between two times that are its bounds; the next one's where they fit. */
static void put_slots(const struct report_parts *parts, int level, int levels, int64_t from, int64_t to)
{
    int64_t length = report_level_lengths[level];
    if (level + 1 < levels) {
        int64_t coarse = report_level_lengths[level + 1];
        int64_t first = (from / coarse + (from % coarse != 0)) * coarse, last = to / coarse * coarse;
        if (first < last) {
            report_totals_put_part(parts, level, from / length, first / length - 1);
            put_slots(parts, level + 1, levels, first, last);
            report_totals_put_part(parts, level, last / length, to / length - 1);
            return;
        }
    }
    report_totals_put_part(parts, level, from / length, to / length - 1);
}

void report_totals_put_range(const struct report_parts *parts, const struct report_range *range, int levels)
{
    int64_t start = range->start > 0 ? range->start : 0, last = report_range_last(range, false);
    int64_t from = start / CLOCK_HOUR * CLOCK_HOUR, to = last / CLOCK_HOUR * CLOCK_HOUR;
    if (start > last)
        return;
    if (from < start)
        from += CLOCK_HOUR;
    if (last - to == CLOCK_HOUR - 1)
        to += CLOCK_HOUR;
    if (from >= to) {
        report_totals_put_part(parts, REPORT_PART_TIMES, start, last);
        return;
    }
    report_totals_put_part(parts, REPORT_PART_TIMES, start, from - 1);
    put_slots(parts, 0, levels, from, to);
    report_totals_put_part(parts, REPORT_PART_TIMES, to, last);
}

/* $3, $4, $5 the range's parts; $6 dimensions, $7 and $8 whether with sketches, with values. Kind 1 is a case
 * of its own. */
static const struct pg_statement read_totals = {
    .name = "report_read_totals",
    .sql = "WITH r AS MATERIALIZED (SELECT * FROM unnest($3::int2[], $4::int8[], $5::int8[]) AS r (level,"
           " first, last)) SELECT p.position, u.* FROM report_partitions p LEFT JOIN ("
           "SELECT 0 AS kind, t.dimension, t.key, t.value, t.closed, t.engagements, t.first_reply,"
           " t.resolution, t.interactions, t.agents, CASE WHEN $7::bool THEN t.sketches ELSE ''::bytea END,"
           " CASE WHEN $8::bool THEN t.measured END, NULL::text[] AS labels, NULL::text[] AS class_groups, "
           "NULL::text[] AS class_values"
           " FROM r, unnest($6::int2[]) AS d (dimension), LATERAL (SELECT * FROM report_totals t"
           " WHERE t.partition = $1::int2 AND t.account = $2::text AND t.level = r.level"
           " AND t.dimension = d.dimension AND t.slot BETWEEN r.first AND r.last) t WHERE r.level >= 0"
           " UNION ALL SELECT 1, 0::int2, e.last_agent, e.channel, 1, CASE WHEN e.engaged THEN"
           " e.interactions ELSE 0 END, e.first_reply, e.resolution, e.interactions,"
           " cardinality(e.agents)::int8, ''::bytea, NULL::bytea, e.labels, e.class_groups, e.class_values "
           "FROM r, LATERAL"
           " (SELECT * FROM report_engagements e WHERE e.partition = $1 AND e.account = $2 AND e.counted"
           " AND e.closed BETWEEN r.first AND r.last) e WHERE r.level = -1)"
           " u ON true WHERE p.partition = $1",
};

enum {
    KIND_COLUMN = 1,
    DIMENSION_COLUMN,
    KEY_COLUMN,
    VALUE_COLUMN,
    CLOSED_COLUMN,
    ENGAGEMENTS_COLUMN,
    SUMS_COLUMN,
    SKETCHES_COLUMN = SUMS_COLUMN + REPORT_MEASURED,
    MEASURED_COLUMN,
    LABELS_COLUMN,
    GROUPS_COLUMN,
    VALUES_COLUMN,
};

/* A row of totals; bytes stay the result's. `column` is where closed is. */
static void read_numbers(const pg_result *rows, int i, int column, struct report_total *to)
{
    to->closed = pg_get_int(rows, i, column);
    to->engagements = pg_get_int(rows, i, column + 1);
    for (int m = 0; m < REPORT_MEASURED; m++)
        to->sums[m] = pg_get_int(rows, i, column + 2 + m);
    to->packed = pg_get_bytes(rows, i, column + 2 + REPORT_MEASURED, &to->packed_size);
    to->values = pg_get_bytes(rows, i, column + 3 + REPORT_MEASURED, &to->values_size);
}

static bool put_total(struct report_totals *totals, const pg_result *rows, int i)
{
    struct report_total total = {
        .account = "",
        .dimension = (enum report_dimension)pg_get_int(rows, i, DIMENSION_COLUMN),
        .key = arena_strdup(totals->memory, pg_get_text(rows, i, KEY_COLUMN)),
        .value = arena_strdup(totals->memory, pg_get_text(rows, i, VALUE_COLUMN)),
    };
    read_numbers(rows, i, CLOSED_COLUMN, &total);
    return total.key != NULL && total.value != NULL && report_totals_put(totals, &total);
}

static bool put_case(struct report_totals *totals, const pg_result *rows, int i, unsigned dimensions)
{
    arena *memory = totals->memory;
    struct report_engagement engagement = {
        .known = true,
        .first_reply = pg_get_int(rows, i, SUMS_COLUMN),
        .resolution = pg_get_int(rows, i, SUMS_COLUMN + 1),
        .interactions = pg_get_int(rows, i, ENGAGEMENTS_COLUMN),
        .agents.count = (size_t)pg_get_int(rows, i, SUMS_COLUMN + REPORT_MEASURED_AGENTS),
        .last_agent = arena_strdup(memory, pg_get_text(rows, i, KEY_COLUMN)),
        .facts.channel = arena_strdup(memory, pg_get_text(rows, i, VALUE_COLUMN)),
    };
    struct report_facts *facts = &engagement.facts;
    if (engagement.last_agent == NULL || facts->channel == NULL ||
        !pg_get_text_array(rows, i, LABELS_COLUMN, memory, &facts->labels.items, &facts->labels.count) ||
        !pg_get_text_array(rows, i, GROUPS_COLUMN, memory, &facts->class_groups.items,
                           &facts->class_groups.count) ||
        !pg_get_text_array(rows, i, VALUES_COLUMN, memory, &facts->class_values.items,
                           &facts->class_values.count))
        return false;
    for (unsigned d = 0; d < REPORT_DIMENSIONS; d++) {
        const struct report_total at = {.account = "", .dimension = (enum report_dimension)d};
        if ((dimensions & 1U << d) != 0 && !report_totals_put_dimension(totals, &at, &engagement, +1))
            return false;
    }
    return true;
}

static bool take_rows(const pg_result *rows, unsigned dimensions, arena *memory,
                      struct report_range_totals *ret, error *err)
{
    struct report_totals totals = {.memory = memory};
    bool fits = true;
    for (int i = 0; fits && i < pg_rows(rows) && !pg_is_null(rows, i, KIND_COLUMN); i++)
        fits = pg_get_int(rows, i, KIND_COLUMN) == 0 ? put_total(&totals, rows, i)
                                                     : put_case(&totals, rows, i, dimensions);
    struct report_folded *folded = NULL;
    *ret = (struct report_range_totals){.position = pg_get_int(rows, 0, 0)};
    if (!fits || !report_totals_fold(&totals, &folded, &ret->count))
        return out_of_memory(err);
    ret->list = folded;
    return true;
}

bool report_store_totals(report_store *store, const struct report_range *range, unsigned dimensions,
                         enum report_detail detail, int64_t deadline_us, arena *memory,
                         struct report_range_totals *ret, error *err)
{
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int2(&p, feed_partition(range->account));
    pg_add_text(&p, range->account);
    struct report_parts parts = report_totals_add_parts(&p);
    report_totals_put_range(&parts, range,
                            detail == REPORT_DETAIL_HOURS    ? 1
                            : detail == REPORT_DETAIL_VALUES ? REPORT_VALUE_LEVELS
                                                             : REPORT_LEVELS);
    pg_array *wanted = pg_add_array(&p, PG_INT2);
    for (int d = 0; d < REPORT_DIMENSIONS; d++) {
        if ((dimensions & 1U << d) != 0)
            pg_put_int(wanted, d);
    }
    pg_add_bool(&p, detail == REPORT_DETAIL_SKETCHES);
    pg_add_bool(&p, detail == REPORT_DETAIL_VALUES || detail == REPORT_DETAIL_HOURS);
    pg_result *rows;
    if (!report_store_query(store, &read_totals, &p, deadline_us, &rows, err))
        return false;
    bool read = take_rows(rows, dimensions, memory, ret, err);
    pg_result_free(rows);
    return read;
}

/* --- merging ------------------------------------------------------------------------------------------- */

/* So many at a time that who counts into the partition waits for some milliseconds only. */
enum { KEYS_MAX = 500 };

/* Whatever the statistics of a table that has just been filled say. */
static const struct pg_statement by_index = {
    .name = "report_by_index",
    .sql = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
           " set_config('enable_seqscan', 'off', true), set_config('synchronous_commit', 'off', true)",
};

/* OFFSET 0: the rows of each key are looked up by the index, not each row among the keys. */
static const struct pg_statement take_fresh = {
    .name = "report_take_fresh",
    .sql = "WITH k AS MATERIALIZED (SELECT DISTINCT account, level, slot, dimension, key, value FROM"
           " (SELECT * FROM report_totals WHERE partition = $1::int2 AND fresh LIMIT $2::int8) f),"
           " r AS MATERIALIZED (SELECT t.row FROM k, LATERAL (SELECT t.ctid AS row FROM report_totals t"
           " WHERE t.partition = $1 AND t.account = k.account AND t.level = k.level"
           " AND t.dimension = k.dimension AND t.slot = k.slot AND t.key = k.key AND t.value = k.value"
           " OFFSET 0) t)"
           " DELETE FROM report_totals t WHERE t.ctid = ANY (ARRAY(SELECT row FROM r))"
           " RETURNING t.account, t.level, t.slot, t.dimension, t.key, t.value,"
           " t.closed, t.engagements, t.first_reply, t.resolution, t.interactions, t.agents, t.sketches,"
           " t.measured",
};

static bool merge_rows(pg_conn *conn, const pg_result *rows, arena *memory, error *err)
{
    struct report_totals totals = {.memory = memory};
    for (int i = 0; i < pg_rows(rows); i++) {
        struct report_total total = {.account = pg_get_text(rows, i, 0),
                                     .level = (int)pg_get_int(rows, i, 1),
                                     .slot = pg_get_int(rows, i, 2),
                                     .dimension = (enum report_dimension)pg_get_int(rows, i, 3),
                                     .key = pg_get_text(rows, i, 4),
                                     .value = pg_get_text(rows, i, 5)};
        read_numbers(rows, i, 6, &total);
        if (!report_totals_put(&totals, &total))
            return out_of_memory(err);
    }
    pg_params p;
    bool any;
    return bind_rows(&p, &totals, false, &any, err) &&
           (!any || pg_query(conn, &write_totals, &p, 0, NULL, err));
}

bool report_totals_merge(pg_conn *conn, int partition, arena *memory, bool *ret_more, error *err)
{
    pg_params p;
    pg_params_init(&p, memory);
    pg_add_int2(&p, partition);
    pg_add_int8(&p, KEYS_MAX);
    pg_result *rows;
    if (!pg_query(conn, &by_index, NULL, 0, NULL, err) || !pg_query(conn, &take_fresh, &p, 0, &rows, err))
        return false;
    *ret_more = pg_rows(rows) > 0;
    bool merged = merge_rows(conn, rows, memory, err);
    pg_result_free(rows);
    return merged;
}
