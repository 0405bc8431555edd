/* ExplainReportCell: what is behind a number of the activity report. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/activity.h"
#include "tests/support/report_world.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(report_explain, .timeout = 240);

typedef Casework__Report__V1__ExplainReportCellRequest explain_request;
typedef Casework__Report__V1__ExplainReportCellResponse explanation;

#define COLUMN(name) CASEWORK__REPORT__V1__REPORT_COLUMN__REPORT_COLUMN_##name
#define AS_OF(name) CASEWORK__REPORT__V1__EXPLAIN_REPORT_CELL_REQUEST__AS_OF_AS_OF_##name

static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

/* --- asking --------------------------------------------------------------------------------------------- */

/* A request about a cell between two times, which belong to it. */
struct question {
    explain_request request;
    Google__Protobuf__Timestamp start, end;
};

static void ask_between(const struct report_world *w, Casework__Report__V1__ReportColumn column,
                        int64_t start, int64_t end, struct question *question)
{
    explain_request *request = &question->request;
    casework__report__v1__explain_report_cell_request__init(request);
    google__protobuf__timestamp__init(&question->start);
    google__protobuf__timestamp__init(&question->end);
    question->start.seconds = start / CLOCK_SECOND;
    question->end.seconds = end / CLOCK_SECOND;
    request->parent = (char *)w->account;
    request->start_time = &question->start;
    request->end_time = &question->end;
    request->column = column;
    request->min_position = w->position;
}

static void ask_hour(const struct report_world *w, Casework__Report__V1__ReportColumn column,
                     const char *hour, struct question *question)
{
    ask_between(w, column, activity_instant(hour), activity_instant(hour) + CLOCK_HOUR, question);
}

static const explanation *explain(const struct report_world *w, const struct question *question)
{
    return suite_call(w->suite, reports, "ExplainReportCell", &question->request, w->memory);
}

/* All pages; each must tell the same total, and the deltas must sum up to it. Returns the number of entries.
 */
static int64_t walk(const struct report_world *w, struct question *question, int32_t page_size)
{
    int64_t entries = 0, sum = 0, last = 0;
    const explanation *page;
    question->request.page_size = page_size;
    question->request.page_token = (char *)"";
    do {
        page = explain(w, question);
        cr_assert_leq(page->n_entries, (size_t)page_size);
        for (size_t i = 0; i < page->n_entries; i++, entries++) {
            cr_assert_geq(page->entries[i]->position, last);
            last = page->entries[i]->position;
            sum += page->entries[i]->delta;
        }
        question->request.page_token = page->next_page_token;
    } while (page->next_page_token[0] != '\0');
    question->request.page_token = (char *)"";
    cr_expect_eq(sum, page->total);
    return entries;
}

/* The kind of event that the case's history has at the entry's position. */
static void expect_event(const struct report_world *w, const Casework__Report__V1__ReportEntry *entry)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = entry->case_;
    const Casework__Cases__V1__ListCaseEventsResponse *events = suite_call(
        w->suite, &casework__cases__v1__case_service__descriptor, "ListCaseEvents", &request, w->memory);
    for (size_t i = 0; i < events->n_events; i++) {
        if (events->events[i]->position != entry->position)
            continue;
        cr_expect_eq(activity_time(events->events[i]->event_time), activity_time(entry->event_time));
        return;
    }
    cr_assert_fail("%s has no event at %lld", entry->case_, (long long)entry->position);
}

/* --- the examples --------------------------------------------------------------------------------------- */

Test(report_explain, four_pending_of_which_one_was_resolved)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *names[4];
    struct question question;
    for (int i = 0; i < 4; i++)
        names[i] = report_world_create(&w);
    report_world_go(&w, "2026-03-02T10:00:00Z");
    for (int i = 0; i < 4; i++)
        report_world_act(&w, "MarkCasePending", names[i]);
    int64_t before = w.position;
    report_world_go(&w, "2026-03-02T11:00:00Z");
    report_world_act(&w, "ResolveCase", names[1]);

    ask_hour(&w, COLUMN(PENDING), "2026-03-02T10:00:00Z", &question);
    const explanation *answer = explain(&w, &question);
    cr_expect_eq(answer->total, 3);
    cr_expect_geq(answer->position, w.position);
    cr_expect_str_empty(answer->next_page_token);
    cr_assert_eq(answer->n_entries, 5);
    for (size_t i = 0; i < 5; i++) {
        const Casework__Report__V1__ReportEntry *entry = answer->entries[i];
        cr_expect_str_eq(entry->case_, names[i < 4 ? i : 1]);
        cr_expect_eq(entry->delta, i < 4 ? 1 : -1);
        cr_expect_eq(activity_time(entry->place_time), activity_instant("2026-03-02T10:00:00Z"));
        cr_expect_eq(activity_time(entry->event_time),
                     activity_instant(i < 4 ? "2026-03-02T10:00:00Z" : "2026-03-02T11:00:00Z"));
        cr_expect_null(entry->resolve_duration);
        expect_event(&w, entry);
    }
    for (int32_t size = 1; size <= 6; size++)
        cr_expect_eq(walk(&w, &question, size), 5);

    /* As it was before. */
    question.request.as_of_case = AS_OF(POSITION);
    question.request.as_of_position = before;
    answer = explain(&w, &question);
    cr_expect_eq(answer->total, 4);
    cr_expect_eq(answer->n_entries, 4);
    cr_expect_eq(answer->position, before);
    Google__Protobuf__Timestamp instant = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    instant.seconds = activity_instant("2026-03-02T10:30:00Z") / CLOCK_SECOND;
    question.request.as_of_case = AS_OF(TIME);
    question.request.as_of_time = &instant;
    cr_expect_eq(explain(&w, &question)->total, 4);

    /* From 1970 on: a time like others. */
    ask_between(&w, COLUMN(PENDING), 0, activity_instant("2026-03-03T00:00:00Z"), &question);
    cr_expect_eq(explain(&w, &question)->total, 3);
    ask_between(&w, COLUMN(PENDING), -CLOCK_DAY, 0, &question);
    cr_expect_eq(explain(&w, &question)->total, 0);

    ask_hour(&w, COLUMN(RESOLVED), "2026-03-02T11:00:00Z", &question);
    answer = explain(&w, &question);
    cr_assert_eq(answer->n_entries, 1);
    cr_expect_str_eq(answer->entries[0]->case_, names[1]);
    cr_assert_not_null(answer->entries[0]->resolve_duration);
    cr_expect_eq(answer->entries[0]->resolve_duration->seconds, 2 * 3600);
    report_world_end(&w);
}

Test(report_explain, a_walk_stays_as_of_its_beginning)
{
    enum { CASES = 5 };
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *names[CASES];
    struct question question;
    for (int i = 0; i < CASES; i++)
        names[i] = report_world_create(&w);
    ask_hour(&w, COLUMN(CREATED), "2026-03-02T09:00:00Z", &question);
    question.request.page_size = 2;
    const explanation *page = explain(&w, &question);
    cr_assert_eq(page->n_entries, 2);
    cr_expect_eq(page->total, CASES);
    int64_t position = page->position;
    const char *later = report_world_create(&w);
    struct question other;
    ask_hour(&w, COLUMN(CREATED), "2026-03-02T09:00:00Z", &other); /* waits until it is known */
    cr_expect_eq(explain(&w, &other)->total, CASES + 1);
    for (int seen = 2; seen < CASES; seen += 2) {
        question.request.page_token = page->next_page_token;
        page = explain(&w, &question);
        cr_expect_eq(page->total, CASES);
        cr_expect_eq(page->position, position);
        for (size_t i = 0; i < page->n_entries; i++) {
            cr_expect_str_eq(page->entries[i]->case_, names[seen + (int)i]);
            cr_expect_str_neq(page->entries[i]->case_, later);
        }
    }
    cr_expect_str_empty(page->next_page_token);
    report_world_end(&w);
}

/* --- every cell ----------------------------------------------------------------------------------------- */

static void expect_cells(const struct report_world *w, const activity_row *row)
{
    const int64_t counts[] = {row->created, row->pending, row->resolved, row->deleted};
    for (int column = COLUMN(CREATED); column <= COLUMN(DELETED); column++) {
        struct question question;
        ask_between(w, (Casework__Report__V1__ReportColumn)column, activity_time(row->start_time),
                    activity_time(row->end_time), &question);
        cr_expect_eq(explain(w, &question)->total, counts[column - COLUMN(CREATED)], "column %d", column);
        walk(w, &question, 7);
    }
}

Test(report_explain, every_cell_of_a_busy_day)
{
    enum { CASES = 12, ROUNDS = 60 };
    static const char *const acts[] = {"MarkCasePending", "ResolveCase", "ReopenCase", "DeleteCase",
                                       "UndeleteCase"};
    struct report_world w = report_world_begin("Europe/Berlin", &(struct suite_options){.replicas = 1});
    const char *names[CASES];
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < CASES; i++)
        names[i] = report_world_create(&w);
    for (int i = 0; i < ROUNDS; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (i % 10 == 9)
            suite_advance(w.suite, CLOCK_HOUR);
        report_world_try(&w, acts[random % 5], names[random / 8 % CASES]);
    }
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = (char *)w.account;
    request.min_position = w.position;
    const activity_report *day = suite_call(w.suite, reports, "GetCaseActivity", &request, w.memory);
    cr_expect_gt(day->total->pending + day->total->resolved, 0);
    for (size_t i = 0; i < day->n_rows; i++)
        expect_cells(&w, day->rows[i]);
    expect_cells(&w, day->total);
    report_world_end(&w);
}

/* --- refusals ------------------------------------------------------------------------------------------- */

static void expect_refused(const struct report_world *w, const struct question *question,
                           enum status_code code, const char *field)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(suite_try(w->suite, reports, "ExplainReportCell", &question->request.base, w->memory,
                            &response, &err));
    cr_expect_eq(err.code, code, "%s: %s", status_code_name(err.code), err.message);
    if (field != NULL)
        cr_expect_str_eq(err.violations[0].key, field);
}

Test(report_explain, what_is_no_cell_is_refused)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    struct question question;
    for (int i = 0; i < 3; i++)
        report_world_create(&w);
    const char *hour = "2026-03-02T09:00:00Z";
    ask_hour(&w, COLUMN(UNSPECIFIED), hour, &question);
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "column");
    ask_hour(&w, (Casework__Report__V1__ReportColumn)5, hour, &question);
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "column");
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.request.start_time = NULL;
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "start_time");
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.request.end_time = NULL;
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "end_time");
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.end = question.start;
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "end_time");
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.request.page_size = -1;
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, "page_size");
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.request.min_position = 0;
    question.request.parent = (char *)"accounts/nobody";
    expect_refused(&w, &question, STATUS_NOT_FOUND, NULL);
    ask_hour(&w, COLUMN(CREATED), hour, &question);
    question.request.page_size = 1;
    const explanation *page = explain(&w, &question);
    question.request.page_token = page->next_page_token;
    question.request.column = COLUMN(PENDING); /* other arguments */
    expect_refused(&w, &question, STATUS_INVALID_ARGUMENT, NULL);
    report_world_end(&w);
}
