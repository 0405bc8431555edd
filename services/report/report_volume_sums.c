#include "report/report_volume_sums.h"

#include "base/clock.h"
#include "report/report_keys.h"

#include <stdlib.h>
#include <string.h>

static const struct pg_statement write_volume = {
    .name = "report_write_volume",
    .sql = "INSERT INTO report_volume AS v (partition, account, unit, slot, starts, ends)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int2[], $4::int8[], $5::int8[], $6::int8[])"
           " ON CONFLICT (partition, account, unit, slot) DO UPDATE SET starts = v.starts + excluded.starts,"
           " ends = v.ends + excluded.ends",
};

static const struct pg_statement write_pauses = {
    .name = "report_write_pauses",
    .sql = "INSERT INTO report_pauses AS p (partition, account, from_quarter, to_quarter, pauses)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int8[], $5::int8[])"
           " ON CONFLICT (partition, account, from_quarter, to_quarter) DO UPDATE"
           " SET pauses = p.pauses + excluded.pauses",
};

enum volume_unit { UNIT_QUARTER, UNIT_DAY, UNIT_PAUSE };

/* A change: of a slot, or of the pauses from one quarter to another. */
struct change {
    const char *account;
    enum volume_unit unit;
    int64_t slot, other;
    int64_t starts, ends; /* of a pause: how many, and 0 */
};

struct report_volume_sums {
    arena *memory;
    struct change *list;
    size_t count, size;
};

report_volume_sums *report_volume_sums_new(arena *memory)
{
    report_volume_sums *sums = arena_calloc(memory, 1, sizeof *sums);
    if (sums != NULL)
        sums->memory = memory;
    return sums;
}

static int64_t slot_of(int64_t time_us, int64_t length)
{
    return time_us / length - (time_us % length < 0);
}

static int64_t quarter_of(int64_t time_us)
{
    return slot_of(time_us, 15 * CLOCK_MINUTE);
}

static bool add(report_volume_sums *sums, const struct change *change)
{
    if (sums->count == sums->size) {
        size_t size = sums->size == 0 ? 64 : 2 * sums->size;
        struct change *grown = arena_calloc(sums->memory, size, sizeof *grown);
        if (grown == NULL)
            return false;
        if (sums->count > 0)
            memcpy(grown, sums->list, sums->count * sizeof *grown);
        sums->list = grown;
        sums->size = size;
    }
    sums->list[sums->count++] = *change;
    return true;
}

static bool add_edge(report_volume_sums *sums, const char *account, int64_t time_us, int starts, int ends)
{
    const struct change quarter = {account, UNIT_QUARTER, quarter_of(time_us), 0, starts, ends};
    const struct change day = {account, UNIT_DAY, slot_of(time_us, CLOCK_DAY), 0, starts, ends};
    return add(sums, &quarter) && add(sums, &day);
}

bool report_volume_sums_add(report_volume_sums *sums, const char *account, const int64_t *spans, size_t count,
                            int sign)
{
    for (size_t i = 0; i < count; i++) {
        bool starts = i % 2 == 0;
        if (!add_edge(sums, account, starts ? spans[i] : spans[i] - 1, starts ? sign : 0, starts ? 0 : sign))
            return false;
        if (!starts || i == 0)
            continue;
        const struct change pause = {account, UNIT_PAUSE, quarter_of(spans[i - 1] - 1), quarter_of(spans[i]),
                                     sign,    0};
        if (!add(sums, &pause))
            return false;
    }
    return true;
}

/* --- writing ---------------------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    int order = strcmp(x->account, y->account);
    if (order == 0)
        order = (x->unit > y->unit) - (x->unit < y->unit);
    if (order == 0)
        order = (x->slot > y->slot) - (x->slot < y->slot);
    return order != 0 ? order : (x->other > y->other) - (x->other < y->other);
}

/* What was taken away and added again is no change. */
static void add_up(report_volume_sums *sums)
{
    if (sums->count == 0)
        return;
    qsort(sums->list, sums->count, sizeof *sums->list, compare);
    size_t last = 0, kept = 0;
    for (size_t i = 1; i < sums->count; i++) {
        struct change *to = &sums->list[last];
        if (compare(to, &sums->list[i]) == 0) {
            to->starts += sums->list[i].starts;
            to->ends += sums->list[i].ends;
        } else {
            sums->list[++last] = sums->list[i];
        }
    }
    for (size_t i = 0; i <= last; i++) {
        if (sums->list[i].starts != 0 || sums->list[i].ends != 0)
            sums->list[kept++] = sums->list[i];
    }
    sums->count = kept;
}

static bool write_slots(const report_volume_sums *sums, pg_batch *batch, error *err)
{
    pg_params p;
    pg_params_init(&p, sums->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *unit = pg_add_array(&p, PG_INT2), *slot = pg_add_array(&p, PG_INT8);
    pg_array *starts = pg_add_array(&p, PG_INT8), *ends = pg_add_array(&p, PG_INT8);
    bool any = false;
    for (size_t i = 0; i < sums->count; i++) {
        const struct change *change = &sums->list[i];
        if (change->unit == UNIT_PAUSE)
            continue;
        any = true;
        report_keys_put(&account, change->account);
        pg_put_int(unit, change->unit);
        pg_put_int(slot, change->slot);
        pg_put_int(starts, change->starts);
        pg_put_int(ends, change->ends);
    }
    return !any || pg_batch_write(batch, &write_volume, &p, err);
}

static bool write_all_pauses(const report_volume_sums *sums, pg_batch *batch, error *err)
{
    pg_params p;
    pg_params_init(&p, sums->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *from = pg_add_array(&p, PG_INT8), *to = pg_add_array(&p, PG_INT8);
    pg_array *pauses = pg_add_array(&p, PG_INT8);
    bool any = false;
    for (size_t i = 0; i < sums->count; i++) {
        const struct change *change = &sums->list[i];
        if (change->unit != UNIT_PAUSE)
            continue;
        any = true;
        report_keys_put(&account, change->account);
        pg_put_int(from, change->slot);
        pg_put_int(to, change->other);
        pg_put_int(pauses, change->starts);
    }
    return !any || pg_batch_write(batch, &write_pauses, &p, err);
}

bool report_volume_sums_write(report_volume_sums *sums, pg_batch *batch, error *err)
{
    add_up(sums);
    return write_slots(sums, batch, err) && write_all_pauses(sums, batch, err);
}
