#include "tests/support/activity.h"

#include "base/clock.h"

#include <criterion/criterion.h>

int64_t activity_instant(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

int64_t activity_time(const Google__Protobuf__Timestamp *time)
{
    return time->seconds * CLOCK_SECOND + time->nanos / 1000;
}

int64_t activity_average(const activity_row *row)
{
    const Google__Protobuf__Duration *d = row->average_resolve_duration;
    return d == NULL ? -1 : d->seconds * CLOCK_SECOND + d->nanos / 1000;
}

void activity_check_sums(const activity_report *response)
{
    activity_row sum = CASEWORK__REPORT__V1__CASE_ACTIVITY_ROW__INIT;
    for (size_t i = 0; i < response->n_rows; i++) {
        const activity_row *row = response->rows[i];
        int64_t end = i + 1 < response->n_rows ? activity_time(response->rows[i + 1]->start_time)
                                               : activity_time(response->total->end_time);
        cr_expect_eq(activity_time(row->end_time), end);
        cr_expect((row->average_resolve_duration != NULL) == (row->resolved > 0));
        sum.created += row->created;
        sum.pending += row->pending;
        sum.resolved += row->resolved;
        sum.deleted += row->deleted;
    }
    cr_expect_eq(sum.created, response->total->created);
    cr_expect_eq(sum.pending, response->total->pending);
    cr_expect_eq(sum.resolved, response->total->resolved);
    cr_expect_eq(sum.deleted, response->total->deleted);
}

const activity_row *activity_row_at(const activity_report *response, const char *start)
{
    for (size_t i = 0; i < response->n_rows; i++) {
        if (activity_time(response->rows[i]->start_time) == activity_instant(start))
            return response->rows[i];
    }
    cr_assert_fail("no row starts at %s", start);
    return NULL;
}

void activity_expect_row(const activity_row *row, int64_t created, int64_t pending, int64_t resolved,
                         int64_t deleted)
{
    char start[CLOCK_TEXT_SIZE];
    clock_format(activity_time(row->start_time), start);
    cr_expect_eq(row->created, created, "%s created: %d", start, (int)row->created);
    cr_expect_eq(row->pending, pending, "%s pending: %d", start, (int)row->pending);
    cr_expect_eq(row->resolved, resolved, "%s resolved: %d", start, (int)row->resolved);
    cr_expect_eq(row->deleted, deleted, "%s deleted: %d", start, (int)row->deleted);
}
