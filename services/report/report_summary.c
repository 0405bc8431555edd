/* Summaries and classifications. */

#include "report/report_totals_store.h"

#include <stdlib.h>
#include <string.h>

/* $1 partition, $2 account, $3 start, $4 last time of the range, both inclusive. */
#define OF_ACCOUNT "e.partition = $1::int2 AND e.account = $2::text AND "
#define CLOSED OF_ACCOUNT "e.counted AND e.closed BETWEEN $3::int8 AND $4::int8"
#define OPENED OF_ACCOUNT "e.engaged AND e.opened BETWEEN $3::int8 AND $4::int8"

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the summary does not fit");
}

static void bind(pg_params *p, arena *memory, const struct report_range *range)
{
    pg_params_init(p, memory);
    pg_add_int2(p, feed_partition(range->account));
    pg_add_text(p, range->account);
    pg_add_int8(p, range->start);
    pg_add_int8(p, report_range_last(range, false));
}

/* --- summaries -------------------------------------------------------------------------------------------
 */

/* percentile_disc is the nearest rank. */
#define MEASURE(column)                                                                               \
    ", sum(" column ") FILTER (WHERE e.engaged)::int8, percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN" \
    " GROUP (ORDER BY " column ") FILTER (WHERE e.engaged)"

#define MEASURES                                                                                         \
    "count(*) FILTER (WHERE e.closed < 9223372036854775807), count(*) FILTER (WHERE e.engaged)" MEASURE( \
        "e.first_reply") MEASURE("e.resolution") MEASURE("e.interactions")                               \
        MEASURE("cardinality(e.agents)::int8")

#define SUMMARY(title, range, keys, joined)                                                            \
    {                                                                                                  \
        .name = "report_summary_" title,                                                               \
        .sql = "SELECT p.position, s.* FROM report_partitions p, (SELECT false AS grouped, '' AS key," \
               " '' AS value, " MEASURES " FROM report_engagements e WHERE " range                     \
               " UNION ALL SELECT true, " keys ", " MEASURES " FROM report_engagements e" joined       \
               " WHERE " range " AND $5::bool GROUP BY 2, 3) s WHERE p.partition = $1"                 \
               " ORDER BY s.grouped, s.key COLLATE \"C\", s.value COLLATE \"C\"",                      \
    }

#define OF_LABELS " LEFT JOIN LATERAL unnest(e.labels) AS g (key) ON true"
#define OF_CLASSES " LEFT JOIN LATERAL unnest(e.class_groups, e.class_values) AS g (key, value) ON true"

#define GROUPINGS(title, range)                                                                         \
    {                                                                                                   \
        [REPORT_GROUPING_NONE] = SUMMARY(title, range, "'', ''", ""),                                   \
        [REPORT_GROUPING_AGENT] = SUMMARY(title "_agent", range, "e.last_agent, ''", ""),               \
        [REPORT_GROUPING_CHANNEL] = SUMMARY(title "_channel", range, "e.channel, ''", ""),              \
        [REPORT_GROUPING_LABEL] = SUMMARY(title "_label", range, "coalesce(g.key, ''), ''", OF_LABELS), \
        [REPORT_GROUPING_CLASSIFICATION] =                                                              \
            SUMMARY(title "_class", range, "coalesce(g.key, ''), coalesce(g.value, '')", OF_CLASSES),   \
    }

static const struct pg_statement summaries[2][REPORT_GROUPINGS] = {GROUPINGS("closed", CLOSED),
                                                                   GROUPINGS("opened", OPENED)};

enum { KEY_COLUMN = 2, CLOSED_COLUMN = 4, MEASURE_COLUMN = 6 };

static bool read_group(const pg_result *result, int i, arena *memory, struct report_group *ret)
{
    struct report_group group = {
        .key = arena_strdup(memory, pg_get_text(result, i, KEY_COLUMN)),
        .value = arena_strdup(memory, pg_get_text(result, i, KEY_COLUMN + 1)),
        .closed = pg_get_int(result, i, CLOSED_COLUMN),
        .engagements = pg_get_int(result, i, CLOSED_COLUMN + 1),
    };
    if (group.key == NULL || group.value == NULL)
        return false;
    for (int m = 0; m < REPORT_MEASURED; m++) {
        struct report_measure *measure = &group.measures[m];
        int64_t *ranks;
        size_t count;
        measure->sum = pg_get_int(result, i, MEASURE_COLUMN + 2 * m);
        if (!pg_get_int_array(result, i, MEASURE_COLUMN + 2 * m + 1, memory, &ranks, &count))
            return false;
        for (size_t r = 0; r < count && r < REPORT_PERCENTILES; r++)
            measure->percentiles[r] = ranks[r];
    }
    *ret = group;
    return true;
}

static bool read_summary(const pg_result *result, arena *memory, struct report_summary *ret, error *err)
{
    size_t count = (size_t)pg_rows(result) - 1; /* the first row is the total */
    struct report_group *groups = arena_calloc(memory, count + 1, sizeof *groups);
    struct report_summary summary = {.groups = groups, .count = count, .position = pg_get_int(result, 0, 0)};
    if (groups == NULL || !read_group(result, 0, memory, &summary.total))
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!read_group(result, (int)i + 1, memory, &groups[i]))
            return out_of_memory(err);
    }
    *ret = summary;
    return true;
}

/* From the engagements, one by one. */
static bool exact_summary(report_store *store, const struct report_range *range,
                          enum report_grouping grouping, int64_t deadline_us, arena *memory,
                          struct report_summary *ret, error *err)
{
    pg_params p;
    bind(&p, memory, range);
    pg_add_bool(&p, grouping != REPORT_GROUPING_NONE);
    pg_result *result;
    if (!report_store_query(store, &summaries[range->by_opening][grouping], &p, deadline_us, &result, err))
        return false;
    bool read = read_summary(result, memory, ret, err);
    pg_result_free(result);
    return read;
}

/* --- summaries from totals --- */

static int64_t nearest_rank(int64_t count, int per_cent)
{
    return (count * per_cent + 99) / 100;
}

static void ask(struct report_folded *folded, bool exactly, struct report_group *to)
{
    static const int per_cents[REPORT_PERCENTILES] = {50, 90, 99};
    const struct report_total *total = &folded->total;
    *to = (struct report_group){
        .key = total->key, .value = total->value, .closed = total->closed, .engagements = total->engagements};
    for (int m = 0; m < REPORT_MEASURED; m++) {
        to->measures[m].sum = total->sums[m];
        for (int r = 0; r < REPORT_PERCENTILES; r++) {
            int64_t rank = nearest_rank(total->engagements, per_cents[r]);
            to->measures[m].percentiles[r] = exactly ? report_values_rank(&folded->values[m], rank)
                                                     : report_sketch_rank(&folded->sketches[m], rank);
        }
    }
}

/* From the totals: the first is that of all. */
static bool summary_of_totals(const struct report_range_totals *totals, enum report_grouping grouping,
                              bool exactly, arena *memory, struct report_summary *ret, error *err)
{
    struct report_group *groups = arena_calloc(memory, totals->count + 1, sizeof *groups);
    if (groups == NULL)
        return out_of_memory(err);
    *ret = (struct report_summary){
        .total = {.key = "", .value = ""}, .groups = groups, .position = totals->position};
    for (size_t i = 0; i < totals->count; i++) {
        struct report_folded *folded = &totals->list[i];
        if (folded->total.dimension == REPORT_DIMENSION_ALL)
            ask(folded, exactly, &ret->total);
        else if ((int)folded->total.dimension == (int)grouping)
            ask(folded, exactly, &groups[ret->count++]);
    }
    return true;
}

static bool is_whole(const struct report_range_totals *totals)
{
    for (size_t i = 0; i < totals->count; i++) {
        if (!totals->list[i].whole)
            return false;
    }
    return true;
}

/* From the values that the totals keep; where these keep too few, one by one. */
static bool exact_by_closing(report_store *store, const struct report_range *range,
                             enum report_grouping grouping, int64_t deadline_us, arena *memory,
                             struct report_summary *ret, error *err)
{
    static const enum report_detail details[] = {REPORT_DETAIL_VALUES, REPORT_DETAIL_HOURS};
    const unsigned wanted = 1U << REPORT_DIMENSION_ALL | 1U << grouping;
    for (size_t i = 0; i < sizeof details / sizeof details[0]; i++) {
        struct report_range_totals totals;
        if (!report_store_totals(store, range, wanted, details[i], deadline_us, memory, &totals, err))
            return false;
        if (is_whole(&totals))
            return summary_of_totals(&totals, grouping, true, memory, ret, err);
    }
    return exact_summary(store, range, grouping, deadline_us, memory, ret, err);
}

/* How many there are says how they are counted. */
bool report_store_summary(report_store *store, const struct report_range *range,
                          enum report_grouping grouping, int64_t deadline_us, arena *memory,
                          struct report_summary *ret, error *err)
{
    const unsigned all = 1U << REPORT_DIMENSION_ALL, wanted = all | 1U << grouping;
    struct report_range_totals totals;
    if (range->by_opening)
        return exact_summary(store, range, grouping, deadline_us, memory, ret, err);
    if (!report_store_totals(store, range, all, REPORT_DETAIL_NONE, deadline_us, memory, &totals, err))
        return false;
    if (totals.count == 0 || totals.list[0].total.engagements <= report_store_exact_max(store))
        return exact_by_closing(store, range, grouping, deadline_us, memory, ret, err);
    return report_store_totals(store, range, wanted, REPORT_DETAIL_SKETCHES, deadline_us, memory, &totals,
                               err) &&
           summary_of_totals(&totals, grouping, false, memory, ret, err);
}

/* --- classifications -------------------------------------------------------------------------------------
 */

/* $5 the only group. The first row of the answer tells position and counts, and perhaps no classification. */
#define CLASSES(title, range)                                                                             \
    {                                                                                                     \
        .name = "report_classes_" title,                                                                  \
        .sql = "WITH c AS MATERIALIZED (SELECT e.case_id, e.engaged, e.first_reply, e.resolution, g.key," \
               " g.value FROM report_engagements e LEFT JOIN LATERAL unnest(e.class_groups,"              \
               " e.class_values) AS g (key, value) ON true WHERE " range ")"                              \
               " SELECT p.position, t.cases, t.unclassified, r.key, r.value, r.cases, o.cases,"           \
               " r.engagements, r.first_reply, r.resolution FROM report_partitions p"                     \
               " CROSS JOIN (SELECT count(DISTINCT c.case_id) AS cases, count(*) FILTER (WHERE c.key IS"  \
               " NULL) AS unclassified FROM c) t"                                                         \
               " LEFT JOIN (SELECT c.key, c.value, count(*) AS cases, count(*) FILTER (WHERE c.engaged)"  \
               " AS engagements, sum(c.first_reply) FILTER (WHERE c.engaged)::int8 AS first_reply,"       \
               " sum(c.resolution) FILTER (WHERE c.engaged)::int8 AS resolution FROM c"                   \
               " WHERE c.key IS NOT NULL AND ($5::text = '' OR c.key = $5) GROUP BY 1, 2) r ON true"      \
               " LEFT JOIN (SELECT c.key, count(DISTINCT c.case_id) AS cases FROM c GROUP BY 1) o"        \
               " ON o.key = r.key WHERE p.partition = $1"                                                 \
               " ORDER BY r.key COLLATE \"C\", r.cases DESC, r.value COLLATE \"C\"",                      \
    }

static const struct pg_statement classes_opened = CLASSES("opened", OPENED);

static bool read_class(const pg_result *result, int i, arena *memory, struct report_class *ret)
{
    *ret = (struct report_class){
        .group = arena_strdup(memory, pg_get_text(result, i, 3)),
        .value = arena_strdup(memory, pg_get_text(result, i, 4)),
        .cases = pg_get_int(result, i, 5),
        .of_group = pg_get_int(result, i, 6),
        .engagements = pg_get_int(result, i, 7),
        .first_reply = pg_get_int(result, i, 8),
        .resolution = pg_get_int(result, i, 9),
    };
    return ret->group != NULL && ret->value != NULL;
}

static bool read_classes(const pg_result *result, arena *memory, struct report_classes *ret, error *err)
{
    size_t count = pg_is_null(result, 0, 3) ? 0 : (size_t)pg_rows(result);
    struct report_class *rows = arena_calloc(memory, count + 1, sizeof *rows);
    if (rows == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!read_class(result, (int)i, memory, &rows[i]))
            return out_of_memory(err);
    }
    *ret = (struct report_classes){
        .rows = rows,
        .count = count,
        .cases = pg_get_int(result, 0, 1),
        .unclassified = pg_get_int(result, 0, 2),
        .position = pg_get_int(result, 0, 0),
    };
    return true;
}

static bool classes_by_opening(report_store *store, const struct report_range *range, const char *group,
                               int64_t deadline_us, arena *memory, struct report_classes *ret, error *err)
{
    pg_params p;
    bind(&p, memory, range);
    pg_add_text(&p, group);
    pg_result *result;
    if (!report_store_query(store, &classes_opened, &p, deadline_us, &result, err))
        return false;
    bool read = read_classes(result, memory, ret, err);
    pg_result_free(result);
    return read;
}

/* By group, the most cases first, value. */
static int compare_classes(const void *a, const void *b)
{
    const struct report_class *x = a, *y = b;
    int order = strcmp(x->group, y->group);
    if (order == 0)
        order = (x->cases < y->cases) - (x->cases > y->cases);
    return order != 0 ? order : strcmp(x->value, y->value);
}

/* Totals come by dimension, so that the classes of a group are there before its cases are. */
static void add_class(const struct report_total *total, const char *group, struct report_classes *classes,
                      struct report_class *rows)
{
    if (total->dimension == REPORT_DIMENSION_CLASS_GROUP) {
        for (size_t i = 0; i < classes->count; i++) {
            if (strcmp(rows[i].group, total->key) == 0)
                rows[i].of_group = total->closed;
        }
        return;
    }
    if (total->dimension == REPORT_DIMENSION_ALL)
        classes->cases = total->closed;
    else if (total->key[0] == '\0')
        classes->unclassified = total->closed;
    else if (group[0] == '\0' || strcmp(group, total->key) == 0)
        rows[classes->count++] = (struct report_class){
            .group = total->key,
            .value = total->value,
            .cases = total->closed,
            .engagements = total->engagements,
            .first_reply = total->sums[REPORT_MEASURED_FIRST_REPLY],
            .resolution = total->sums[REPORT_MEASURED_RESOLUTION],
        };
}

bool report_store_classes(report_store *store, const struct report_range *range, const char *group,
                          int64_t deadline_us, arena *memory, struct report_classes *ret, error *err)
{
    const unsigned wanted =
        1U << REPORT_DIMENSION_ALL | 1U << REPORT_DIMENSION_CLASS | 1U << REPORT_DIMENSION_CLASS_GROUP;
    struct report_range_totals totals;
    if (range->by_opening)
        return classes_by_opening(store, range, group, deadline_us, memory, ret, err);
    if (!report_store_totals(store, range, wanted, REPORT_DETAIL_NONE, deadline_us, memory, &totals, err))
        return false;
    struct report_class *rows = arena_calloc(memory, totals.count + 1, sizeof *rows);
    if (rows == NULL)
        return out_of_memory(err);
    *ret = (struct report_classes){.rows = rows, .position = totals.position};
    for (size_t i = 0; i < totals.count; i++)
        add_class(&totals.list[i].total, group, ret, rows);
    if (ret->count > 1)
        qsort(rows, ret->count, sizeof *rows, compare_classes);
    return true;
}
