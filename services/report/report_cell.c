/* The ledger's entries behind a number of the activity report. */

#include "report/report_store.h"

/* $1 partition, $2 account, $3 column, $4 start, $5 end (microseconds since 1970: a time of 0 is NULL), $6 as
 * of. */
#define OF_CELL                                                                      \
    "e.partition = $1::int2 AND e.account = $2::text AND e.place = $3::int2"         \
    " AND e.place_time >= timestamptz 'epoch' + $4::int8 * interval '1 microsecond'" \
    " AND e.place_time < timestamptz 'epoch' + $5::int8 * interval '1 microsecond'"  \
    " AND e.position <= $6::int8"

/* $7 and $8 where to go on, $9 rows. The first row of the answer tells position and total. */
static const struct pg_statement read_cell = {
    .name = "report_read_cell",
    .sql =
        "SELECT p.position, (SELECT coalesce(sum(e.delta), 0)::int8 FROM report_entries e WHERE " OF_CELL
        "), e.* FROM report_partitions p LEFT JOIN (SELECT e.position AS at, e.ordinal, e.case_id, e.delta,"
        " e.place_time, e.resolve_duration, e.event_time FROM report_entries e WHERE " OF_CELL
        " AND (e.position, e.ordinal) > ($7::int8, $8::int2) ORDER BY e.position, e.ordinal LIMIT $9::int8"
        ") e ON true WHERE p.partition = $1 ORDER BY e.at, e.ordinal",
};

static void bind(pg_params *p, const struct report_cell *cell, const struct report_entry_key *after,
                 int64_t size)
{
    pg_add_int2(p, feed_partition(cell->account));
    pg_add_text(p, cell->account);
    pg_add_int2(p, (int64_t)cell->column);
    pg_add_int8(p, cell->start);
    pg_add_int8(p, cell->end);
    pg_add_int8(p, cell->as_of);
    pg_add_int8(p, after->position);
    pg_add_int2(p, after->ordinal);
    pg_add_int8(p, size);
}

static struct report_cell_entry read_entry(const pg_result *result, int i, enum report_column column)
{
    return (struct report_cell_entry){
        .key = {.position = pg_get_int(result, i, 2), .ordinal = pg_get_int(result, i, 3)},
        .case_id = pg_get_int(result, i, 4),
        .entry = {.column = column,
                  .delta = (int)pg_get_int(result, i, 5),
                  .place_time = pg_get_time(result, i, 6),
                  .resolve_duration = pg_get_int(result, i, 7)},
        .event_time = pg_get_time(result, i, 8),
    };
}

bool report_store_explain(report_store *store, const struct report_cell *cell,
                          const struct report_entry_key *after, int64_t size, int64_t deadline_us,
                          arena *memory, struct report_cell_page *ret, error *err)
{
    pg_params p;
    pg_params_init(&p, memory);
    bind(&p, cell, after, size);
    pg_result *result;
    if (!report_store_query(store, &read_cell, &p, deadline_us, &result, err))
        return false;
    size_t count = pg_is_null(result, 0, 2) ? 0 : (size_t)pg_rows(result);
    struct report_cell_entry *entries = arena_calloc(memory, count + 1, sizeof *entries);
    for (size_t i = 0; entries != NULL && i < count; i++)
        entries[i] = read_entry(result, (int)i, cell->column);
    *ret = (struct report_cell_page){.entries = entries,
                                     .count = count,
                                     .total = pg_get_int(result, 0, 1),
                                     .position = pg_get_int(result, 0, 0)};
    pg_result_free(result);
    return entries != NULL ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the entries do not fit");
}
