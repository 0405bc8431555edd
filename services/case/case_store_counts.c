/* Counts of folders: what a batch's changes of cases add to them and take from them. */

#include "base/clock.h"
#include "case/case_store_rows.h"

#include <stdlib.h>
#include <string.h>

/* As in db/case/. */
enum count_kind { COUNT_STATUS = 1, COUNT_DESK, COUNT_NEED_REPLY, COUNT_INVOLVED, COUNT_OPENED };

struct count {
    const char *account, *agent;
    enum count_kind kind;
    int64_t slot, cases;
};

struct counts {
    arena *memory;
    struct count *list;
    size_t count, size;
    bool failed;
};

static const struct pg_statement add_counts = {
    .name = "case_add_counts",
    .rows = true,
    .sql =
        "INSERT INTO case_counts AS n (partition, account, kind, agent, slot, cases)"
        " SELECT unnest($1::int2[]), unnest($2::text[]), unnest($3::int2[]), unnest($4::text[]), "
        "unnest($5::int8[]), unnest($6::int8[])"
        " ON CONFLICT (partition, account, kind, agent, slot) DO UPDATE SET cases = n.cases + excluded.cases",
};

static void add(struct counts *counts, const struct case_record *record, enum count_kind kind,
                const char *agent, int64_t slot, int64_t cases)
{
    if (counts->count == counts->size) {
        size_t size = counts->size ? 2 * counts->size : 64;
        struct count *list = arena_calloc(counts->memory, size, sizeof *list);
        if (!list) {
            counts->failed = true;
            return;
        }
        if (counts->count)
            memcpy(list, counts->list, counts->count * sizeof *list);
        counts->list = list;
        counts->size = size;
    }
    counts->list[counts->count++] = (struct count){record->account, agent, kind, slot, cases};
}

static int64_t hour_of(int64_t time_us)
{
    return time_us / CLOCK_HOUR - (time_us % CLOCK_HOUR < 0);
}

/* Everything that the case counts in; `cases`: 1, or -1 to take it out. */
static void add_case(struct counts *counts, const struct case_record *record, int64_t cases)
{
    if (record->merged_into != 0)
        return;
    add(counts, record, COUNT_STATUS, "", record->status, cases);
    if (record->status <= CASE_STATUS_PENDING)
        add(counts, record, COUNT_DESK, record->owner, 0, cases);
    if (record->open_time != 0 && record->status <= CASE_STATUS_CLOSED)
        add(counts, record, COUNT_OPENED, "", hour_of(record->open_time), cases);
    if (record->status > CASE_STATUS_RESOLVED)
        return;
    if (record->need_reply)
        add(counts, record, COUNT_NEED_REPLY, "", 0, cases);
    for (size_t i = 0; i < record->involved.count; i++)
        add(counts, record, COUNT_INVOLVED, record->involved.items[i], 0, cases);
}

/* Most messages change none of it. */
static bool counts_as_before(const struct case_record *before, const struct case_record *after)
{
    return before->status == after->status && before->need_reply == after->need_reply &&
           before->open_time == after->open_time && before->merged_into == after->merged_into &&
           before->involved.items == after->involved.items &&
           before->involved.count == after->involved.count && strcmp(before->owner, after->owner) == 0;
}

static int compare(const void *left, const void *right)
{
    const struct count *a = left, *b = right;
    int order = strcmp(a->account, b->account);
    if (order == 0)
        order = (a->kind > b->kind) - (a->kind < b->kind);
    if (order == 0)
        order = strcmp(a->agent, b->agent);
    return order ? order : (a->slot > b->slot) - (a->slot < b->slot);
}

/* One of each, with what all together make. */
static void sum_up(struct counts *counts)
{
    size_t kept = 0;
    if (counts->count > 0)
        qsort(counts->list, counts->count, sizeof *counts->list, compare);
    for (size_t i = 0; i < counts->count; i++) {
        if (kept > 0 && compare(&counts->list[kept - 1], &counts->list[i]) == 0)
            counts->list[kept - 1].cases += counts->list[i].cases;
        else
            counts->list[kept++] = counts->list[i];
    }
    counts->count = kept;
}

bool store_write_counts(struct overlay *overlay, pg_batch *batch, error *err)
{
    struct counts counts = {.memory = overlay->memory};
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (!entry_is_written(&entry->entry) ||
            (!entry->entry.inserted && counts_as_before(&entry->stored, &entry->record)))
            continue;
        if (!entry->entry.inserted)
            add_case(&counts, &entry->stored, -1);
        add_case(&counts, &entry->record, 1);
    }
    sum_up(&counts);
    overlay->failed = overlay->failed || counts.failed;
    struct rows rows;
    ROWS_BEGIN(&rows, overlay, PG_INT2, PG_TEXT, PG_INT8, PG_INT8);
    for (size_t i = 0; i < counts.count; i++) {
        const struct count *count = &counts.list[i];
        if (count->cases == 0)
            continue;
        rows_begin_row(&rows, count->account);
        rows_put_int(&rows, count->kind);
        rows_put_text(&rows, count->agent);
        rows_put_int(&rows, count->slot);
        rows_put_int(&rows, count->cases);
        rows_end_row(&rows);
    }
    return rows_write(&rows, &add_counts, batch, err);
}
