/* The table of engagements. */

#include "report/report_engagement_store.h"

#include "pg/pg.h"
#include "report/report_totals_store.h"

#include <stdlib.h>

/* $1 partition, $2 account, $3 start, $4 last time of the range, both inclusive, $5 to $9 the filter. */
#define MATCHES(time, first, last)                                                               \
    "e.partition = $1::int2 AND e.account = $2::text AND e.engaged AND e.counted"                \
    " AND e." time " BETWEEN " first " AND " last                                                \
    " AND ($5::text = '' OR $5 = ANY (e.agents)) AND ($6::text = '' OR e.channel = $6)"          \
    " AND ($7::text = '' OR $7 = ANY (e.labels)) AND ($8::text = '' OR EXISTS (SELECT FROM"      \
    " unnest(e.class_groups, e.class_values) AS c (class_group, value) WHERE c.class_group = $8" \
    " AND ($9::text = '' OR c.value = $9)))"

/*
 * How many there are. $14, $15, $16: the range's parts, whole slots of totals or, level -1, times whose
 * engagements are counted one by one, or, level -2, all that are not closed, which the index alone knows;
 * $17, $18, $19: which totals.
 */
#define COUNT(time)                                                                                          \
    "(SELECT coalesce(sum(c.count), 0)::int8 FROM unnest($14::int2[], $15::int8[], $16::int8[]) AS r "       \
    "(level, first,"                                                                                         \
    " last), LATERAL (SELECT sum(t.engagements) AS count FROM report_totals t WHERE t.partition = $1"        \
    " AND t.account = $2 AND t.level = r.level AND t.dimension = $17::int2 AND t.slot BETWEEN r.first"       \
    " AND r.last AND t.key = $18::text AND t.value = $19::text AND r.level >= 0"                             \
    " UNION ALL SELECT count(*) FROM report_engagements e WHERE " MATCHES(                                   \
        time, "r.first", "r.last") " AND r.level = -1"                                                       \
                                   " UNION ALL SELECT count(*) FROM report_engagements e WHERE e.partition " \
                                   "= $1 AND e.account = $2"                                                 \
                                   " AND e.counted AND e.closed = 9223372036854775807 AND r.level = -2) c)"

/* $10 count all, $11 and $12 where to go on, $13 rows. The first row of the answer tells position and count.
 */
#define TABLE(time, order, compare, direction)                                                               \
    {                                                                                                        \
        .name = "report_table_" time "_" order "_" direction,                                                \
        .sql = "SELECT p.position, CASE WHEN $10::bool THEN " COUNT(                                         \
            time) " ELSE 0 END, e.* FROM"                                                                    \
                  " report_partitions p LEFT JOIN"                                                           \
                  " (SELECT e.case_id, e." order " AS value, e.status, e.channel, e.network,"                \
                  " e.channel_address, e.labels, e.class_groups, e.class_values, e.opened, e.closed,"        \
                  " e.first_reply, e.resolution, e.interactions, e.agents, e.last_agent, e.nps_sent"         \
                  " FROM report_engagements e WHERE " MATCHES(                                               \
                      time, "$3::int8", "$4::int8") " AND (e." order ", e.case_id) " compare                 \
                                                    " ($11::int8, $12::int8) ORDER BY e." order              \
                                                    " " direction ", e.case_id " direction                   \
                                                    " LIMIT $13::int8) e ON true WHERE p.partition = $1"     \
                                                    " ORDER BY e.value " direction ", e.case_id " direction, \
    }

#define DIRECTIONS(time, order)                                         \
    {                                                                   \
        TABLE(time, order, ">", "ASC"), TABLE(time, order, "<", "DESC") \
    }

#define ORDERS(time)                                                    \
    {                                                                   \
        [REPORT_ORDER_CLOSING] = DIRECTIONS(time, "closed"),            \
        [REPORT_ORDER_OPENING] = DIRECTIONS(time, "opened"),            \
        [REPORT_ORDER_FIRST_REPLY] = DIRECTIONS(time, "first_reply"),   \
        [REPORT_ORDER_RESOLUTION] = DIRECTIONS(time, "resolution"),     \
        [REPORT_ORDER_INTERACTIONS] = DIRECTIONS(time, "interactions"), \
    }

static const struct pg_statement tables[2][REPORT_ORDERS][2] = {ORDERS("closed"), ORDERS("opened")};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the engagements do not fit");
}

int64_t report_range_last(const struct report_range *range, bool with_open)
{
    if (range->end != INT64_MAX)
        return range->end - 1;
    return range->by_opening || (with_open && range->start == INT64_MIN) ? INT64_MAX : INT64_MAX - 1;
}

/* The totals that say how many match; false where these have to be counted. */
static bool totals_of(const struct report_range *range, const struct report_filter *filter,
                      struct report_total *ret)
{
    bool channel = filter->channel[0] != '\0', label = filter->label[0] != '\0',
         class = filter->class_group[0] != '\0';
    *ret = (struct report_total){.dimension = REPORT_DIMENSION_ALL, .key = "", .value = ""};
    if (range->by_opening || filter->agent[0] != '\0' || channel + label + class > 1)
        return false;
    if (channel)
        *ret =
            (struct report_total){.dimension = REPORT_DIMENSION_CHANNEL, .key = filter->channel, .value = ""};
    if (label)
        *ret = (struct report_total){.dimension = REPORT_DIMENSION_LABEL, .key = filter->label, .value = ""};
    if (class)
        *ret =
            (struct report_total){.dimension = filter->class_value[0] != '\0' ? REPORT_DIMENSION_CLASS
                                                                              : REPORT_DIMENSION_CLASS_GROUP,
                                  .key = filter->class_group,
                                  .value = filter->class_value};
    return true;
}

/* Those that are not closed are in no total. */
static void bind_count(pg_params *p, const struct report_range *range, const struct report_filter *filter)
{
    struct report_total total;
    int64_t last = report_range_last(range, true);
    struct report_parts parts = report_totals_add_parts(p);
    if (!totals_of(range, filter, &total)) {
        report_totals_put_part(&parts, REPORT_PART_TIMES, range->start, last);
    } else {
        report_totals_put_range(&parts, range, REPORT_LEVELS);
        if (last == REPORT_NOT_CLOSED)
            report_totals_put_part(
                &parts, total.dimension == REPORT_DIMENSION_ALL ? REPORT_PART_OPEN : REPORT_PART_TIMES, last,
                last);
    }
    pg_add_int2(p, total.dimension);
    pg_add_text(p, total.key);
    pg_add_text(p, total.value);
}

static void bind(pg_params *p, const struct report_range *range, const struct report_filter *filter,
                 const struct report_table_page *page)
{
    int64_t edge = page->descending ? INT64_MAX : INT64_MIN;
    pg_add_int2(p, feed_partition(range->account));
    pg_add_text(p, range->account);
    pg_add_int8(p, range->start);
    pg_add_int8(p, report_range_last(range, true));
    pg_add_text(p, filter->agent);
    pg_add_text(p, filter->channel);
    pg_add_text(p, filter->label);
    pg_add_text(p, filter->class_group);
    pg_add_text(p, filter->class_value);
    pg_add_bool(p, page->count);
    pg_add_int8(p, page->after ? page->after_value : edge);
    pg_add_int8(p, page->after ? page->after_case : edge);
    pg_add_int8(p, page->size);
    bind_count(p, range, filter);
}

static bool copy_texts(const pg_result *result, int i, int column, arena *memory, struct report_texts *ret)
{
    return pg_get_text_array(result, i, column, memory, &ret->items, &ret->count);
}

static bool read_row(const pg_result *result, int i, arena *memory, struct report_table_row *ret)
{
    struct report_table_row row = {
        .case_id = pg_get_int(result, i, 2),
        .value = pg_get_int(result, i, 3),
        .engagement = {.known = true,
                       .facts = {.status = (enum report_status)pg_get_int(result, i, 4),
                                 .channel = arena_strdup(memory, pg_get_text(result, i, 5)),
                                 .network = arena_strdup(memory, pg_get_text(result, i, 6)),
                                 .channel_address = arena_strdup(memory, pg_get_text(result, i, 7))},
                       .opened = pg_get_int(result, i, 11),
                       .closed = pg_get_int(result, i, 12),
                       .first_reply = pg_get_int(result, i, 13),
                       .resolution = pg_get_int(result, i, 14),
                       .interactions = pg_get_int(result, i, 15),
                       .last_agent = arena_strdup(memory, pg_get_text(result, i, 17)),
                       .nps_sent = pg_get_bool(result, i, 18)},
    };
    struct report_facts *facts = &row.engagement.facts;
    if (facts->channel == NULL || facts->network == NULL || facts->channel_address == NULL ||
        row.engagement.last_agent == NULL || !copy_texts(result, i, 8, memory, &facts->labels) ||
        !copy_texts(result, i, 9, memory, &facts->class_groups) ||
        !copy_texts(result, i, 10, memory, &facts->class_values) ||
        !copy_texts(result, i, 16, memory, &row.engagement.agents))
        return false;
    *ret = row;
    return true;
}

static bool read_rows(const pg_result *result, arena *memory, struct report_table *ret, error *err)
{
    int found = pg_is_null(result, 0, 2) ? 0 : pg_rows(result);
    struct report_table_row *rows = arena_calloc(memory, (size_t)found + 1, sizeof *rows);
    if (rows == NULL)
        return out_of_memory(err);
    for (int i = 0; i < found; i++) {
        if (!read_row(result, i, memory, &rows[i]))
            return out_of_memory(err);
    }
    *ret = (struct report_table){.rows = rows,
                                 .count = (size_t)found,
                                 .total = pg_get_int(result, 0, 1),
                                 .position = pg_get_int(result, 0, 0)};
    return true;
}

static const struct pg_statement *statement_of(const struct report_range *range,
                                               const struct report_table_page *page)
{
    return &tables[range->by_opening][page->order][page->descending];
}

bool report_store_engagements(report_store *store, const struct report_range *range,
                              const struct report_filter *filter, const struct report_table_page *page,
                              int64_t deadline_us, arena *memory, struct report_table *ret, error *err)
{
    pg_params p;
    pg_params_init(&p, memory);
    bind(&p, range, filter, page);
    pg_result *result;
    if (!report_store_query(store, statement_of(range, page), &p, deadline_us, &result, err))
        return false;
    bool read = read_rows(result, memory, ret, err);
    pg_result_free(result);
    return read;
}

/* --- page by page, of one moment -------------------------------------------------------------------------
 */

struct report_reading {
    report_store *store;
    pg_conn *conn;
    unsigned resets; /* of the store, at the beginning */
};

static const struct pg_statement isolate = {
    .name = "report_isolate",
    .sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
};

bool report_reading_begin(report_store *store, int64_t deadline_us, report_reading **ret_reading, error *err)
{
    report_reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        return out_of_memory(err);
    reading->store = store;
    reading->resets = report_store_resets(store);
    if (!pg_pool_acquire(report_store_long_reads(store), deadline_us, &reading->conn, err) ||
        !pg_begin(reading->conn, deadline_us, err) ||
        !pg_query(reading->conn, &isolate, NULL, deadline_us, NULL, err)) {
        report_reading_end(reading);
        return false;
    }
    *ret_reading = reading;
    return true;
}

bool report_reading_page(report_reading *reading, const struct report_range *range,
                         const struct report_filter *filter, const struct report_table_page *page,
                         arena *memory, struct report_table *ret, error *err)
{
    if (report_store_resets(reading->store) != reading->resets)
        return error_set(err, STATUS_UNAVAILABLE, "REPORT_BEHIND", "the report is built again from nothing");
    pg_params p;
    pg_params_init(&p, memory);
    bind(&p, range, filter, page);
    pg_result *result;
    if (!pg_query(reading->conn, statement_of(range, page), &p, 0, &result, err))
        return false;
    bool read = read_rows(result, memory, ret, err);
    pg_result_free(result);
    return read;
}

void report_reading_end(report_reading *reading)
{
    if (reading == NULL)
        return;
    pg_pool_release(report_store_long_reads(reading->store), reading->conn); /* rolls back */
    free(reading);
}
