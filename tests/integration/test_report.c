/*
 * Reports of the whole product with a manual clock: the worked examples to the number, reports of the past,
 * and the real conversations, imported while the service is killed, against a rebuild from scratch.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_feed.h"
#include "tests/support/pg_server.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(report, .timeout = 240);

typedef Casework__Report__V1__GetCaseActivityRequest wire_request;
typedef Casework__Report__V1__GetCaseActivityResponse wire_response;
typedef Casework__Report__V1__CaseActivityRow wire_row;

#define PERIOD(name) CASEWORK__REPORT__V1__REPORT_PERIOD__REPORT_PERIOD_##name
#define PERIOD_CASE(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_##name
#define AS_OF_CASE(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_##name
#define AS_OF_NOT_SET CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF__NOT_SET

static const ProtobufCServiceDescriptor *const cases = &casework__cases__v1__case_service__descriptor;
static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

/* --- a suite with one account ----------------------------------------------------------------------------
 */

struct world {
    suite *suite;
    arena *memory;
    const char *account;
    int64_t position; /* of the last change */
};

static struct world begin_with(const char *zone, const struct suite_options *options)
{
    struct world w = {.suite = suite_start(options), .memory = arena_new(256 << 20)};
    w.account = suite_create_account(w.suite, "acme", zone, w.memory);
    w.position = suite_position(w.suite, w.account);
    return w;
}

static struct world begin(const char *zone, unsigned replicas)
{
    return begin_with(zone, &(struct suite_options){.replicas = replicas});
}

static void end(struct world *w)
{
    suite_stop(w->suite);
    arena_free(w->memory);
}

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

static void go_to(const struct world *w, const char *time)
{
    suite_advance(w->suite, at(time) - suite_now_us(w->suite));
}

static const char *create_case(struct world *w)
{
    return suite_create_case(w->suite, w->account, "Cannot log in", "Nothing happens.", w->memory,
                             &w->position);
}

/* "ResolveCase" and its like: a request with a name, an answer with a position. */
static void act(struct world *w, const char *method, const char *name)
{
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(cases, method);
    ProtobufCMessage *request = arena_alloc(w->memory, m->input->sizeof_message);
    m->input->message_init(request);
    size_t to = protobuf_c_message_descriptor_get_field_by_name(m->input, "name")->offset;
    memcpy((char *)request + to, &name, sizeof name);
    const char *response = suite_call(w->suite, cases, method, request, w->memory);
    size_t from = protobuf_c_message_descriptor_get_field_by_name(m->output, "position")->offset;
    memcpy(&w->position, response + from, sizeof w->position);
}

static wire_request ask(const struct world *w)
{
    wire_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = (char *)w->account;
    request.min_position = w->position;
    return request;
}

static wire_request ask_preset(const struct world *w, Casework__Report__V1__ReportPeriod preset)
{
    wire_request request = ask(w);
    request.period_case = PERIOD_CASE(PRESET);
    request.preset = preset;
    return request;
}

static wire_request ask_date(const struct world *w, const char *date)
{
    wire_request request = ask(w);
    request.period_case = PERIOD_CASE(DATE);
    request.date = (char *)date;
    return request;
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time->seconds * CLOCK_SECOND + time->nanos / 1000;
}

static int64_t average_of(const wire_row *row)
{
    const Google__Protobuf__Duration *d = row->average_resolve_duration;
    return d == NULL ? -1 : d->seconds * CLOCK_SECOND + d->nanos / 1000;
}

/* Whatever is asked: rows follow each other and sum up to the total. */
static void check_sums(const wire_response *response)
{
    wire_row sum = CASEWORK__REPORT__V1__CASE_ACTIVITY_ROW__INIT;
    for (size_t i = 0; i < response->n_rows; i++) {
        const wire_row *row = response->rows[i];
        int64_t end = i + 1 < response->n_rows ? time_of(response->rows[i + 1]->start_time)
                                               : time_of(response->total->end_time);
        cr_expect_eq(time_of(row->end_time), end);
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

static const wire_response *report(const struct world *w, const wire_request *request)
{
    const wire_response *response = suite_call(w->suite, reports, "GetCaseActivity", request, w->memory);
    check_sums(response);
    cr_expect_geq(response->position, request->as_of_case == AS_OF_NOT_SET ? w->position : 0);
    return response;
}

static const wire_row *row_at(const wire_response *response, const char *start)
{
    for (size_t i = 0; i < response->n_rows; i++) {
        if (time_of(response->rows[i]->start_time) == at(start))
            return response->rows[i];
    }
    cr_assert_fail("no row starts at %s", start);
    return NULL;
}

/* Created, pending, resolved, deleted. */
static void expect_row(const wire_row *row, int created, int pending, int resolved, int deleted)
{
    char start[CLOCK_TEXT_SIZE];
    clock_format(time_of(row->start_time), start);
    cr_expect_eq(row->created, created, "%s created: %d", start, (int)row->created);
    cr_expect_eq(row->pending, pending, "%s pending: %d", start, (int)row->pending);
    cr_expect_eq(row->resolved, resolved, "%s resolved: %d", start, (int)row->resolved);
    cr_expect_eq(row->deleted, deleted, "%s deleted: %d", start, (int)row->deleted);
}

/* --- the worked examples ---------------------------------------------------------------------------------
 */

Test(report, four_pending_cases_become_three_and_one_resolved)
{
    struct world w = begin("UTC", 1);
    const char *names[4];
    for (int i = 0; i < 4; i++)
        names[i] = create_case(&w);
    go_to(&w, "2026-03-02T10:00:00Z");
    for (int i = 0; i < 4; i++)
        act(&w, "MarkCasePending", names[i]);
    wire_request today = ask(&w);
    expect_row(row_at(report(&w, &today), "2026-03-02T10:00:00Z"), 0, 4, 0, 0);
    go_to(&w, "2026-03-02T11:00:00Z");
    act(&w, "ResolveCase", names[1]);

    today = ask(&w);
    const wire_response *response = report(&w, &today);
    cr_expect_eq(response->n_rows, 24);
    cr_expect_str_eq(response->time_zone, "UTC");
    expect_row(row_at(response, "2026-03-02T09:00:00Z"), 4, 0, 0, 0);
    expect_row(row_at(response, "2026-03-02T10:00:00Z"), 0, 3, 0, 0);
    expect_row(row_at(response, "2026-03-02T11:00:00Z"), 0, 0, 1, 0);
    expect_row(row_at(response, "2026-03-02T12:00:00Z"), 0, 0, 0, 0);
    expect_row(response->total, 4, 3, 1, 0);
    cr_expect_eq(average_of(row_at(response, "2026-03-02T11:00:00Z")), 2 * CLOCK_HOUR);
    end(&w);
}

Test(report, a_reopened_case_leaves_its_hour_and_its_average)
{
    struct world w = begin("UTC", 1);
    const char *stays = create_case(&w), *leaves = create_case(&w);
    go_to(&w, "2026-03-02T14:00:00Z");
    act(&w, "ResolveCase", leaves);
    go_to(&w, "2026-03-02T14:30:00Z");
    act(&w, "ResolveCase", stays);
    wire_request today = ask_preset(&w, PERIOD(TODAY));
    const wire_response *before = report(&w, &today);
    expect_row(row_at(before, "2026-03-02T14:00:00Z"), 0, 0, 2, 0);
    cr_expect_eq(average_of(before->total), 5 * CLOCK_HOUR + 15 * CLOCK_MINUTE);

    go_to(&w, "2026-03-02T16:00:00Z");
    act(&w, "ReopenCase", leaves);
    today = ask_preset(&w, PERIOD(TODAY));
    const wire_response *after = report(&w, &today);
    expect_row(row_at(after, "2026-03-02T14:00:00Z"), 0, 0, 1, 0);
    expect_row(row_at(after, "2026-03-02T16:00:00Z"), 0, 0, 0, 0);
    cr_expect_eq(average_of(after->total), 5 * CLOCK_HOUR + 30 * CLOCK_MINUTE);

    /* As of then it is what it was then, to the byte but for nothing. */
    wire_request past = ask_preset(&w, PERIOD(TODAY));
    past.as_of_case = AS_OF_CASE(POSITION);
    past.as_of_position = before->position;
    const wire_response *again = report(&w, &past);
    size_t size = protobuf_c_message_get_packed_size(&before->base);
    uint8_t *then = arena_alloc(w.memory, size), *now = arena_alloc(w.memory, size);
    cr_assert_eq(protobuf_c_message_get_packed_size(&again->base), size);
    protobuf_c_message_pack(&before->base, then);
    protobuf_c_message_pack(&again->base, now);
    cr_expect_arr_eq(then, now, size);
    Google__Protobuf__Timestamp instant = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    instant.seconds = at("2026-03-02T15:00:00Z") / CLOCK_SECOND;
    past.as_of_case = AS_OF_CASE(TIME);
    past.as_of_time = &instant;
    again = report(&w, &past);
    cr_assert_eq(protobuf_c_message_get_packed_size(&again->base), size);
    protobuf_c_message_pack(&again->base, now);
    cr_expect_arr_eq(then, now, size);
    end(&w);
}

Test(report, day_one_to_day_four_and_what_still_counts_after_it)
{
    struct world w = begin("UTC", 1);
    const char *name = create_case(&w), *old = create_case(&w);
    go_to(&w, "2026-03-03T09:00:00Z");
    act(&w, "MarkCasePending", name);
    act(&w, "MarkCasePending", old);
    wire_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    expect_row(row_at(report(&w, &days), "2026-03-03T00:00:00Z"), 0, 2, 0, 0);
    go_to(&w, "2026-03-04T09:00:00Z");
    act(&w, "ResolveCase", name);
    days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const wire_response *response = report(&w, &days);
    expect_row(row_at(response, "2026-03-03T00:00:00Z"), 0, 1, 0, 0);
    expect_row(row_at(response, "2026-03-04T00:00:00Z"), 0, 0, 1, 0);

    go_to(&w, "2026-03-05T09:00:00Z"); /* day 4 */
    act(&w, "MarkCasePending", name);
    act(&w, "ResolveCase", old);
    act(&w, "DeleteCase", name);
    days = ask_preset(&w, PERIOD(LAST_14_DAYS));
    response = report(&w, &days);
    cr_expect_eq(response->n_rows, 14);
    expect_row(row_at(response, "2026-03-02T00:00:00Z"), 2, 0, 0, 0);
    expect_row(row_at(response, "2026-03-03T00:00:00Z"), 0, 1, 0, 0); /* the old one, for ever */
    expect_row(row_at(response, "2026-03-04T00:00:00Z"), 0, 0, 1, 0); /* though deleted since */
    expect_row(row_at(response, "2026-03-05T00:00:00Z"), 0, 0, 1, 1);
    cr_expect_eq(average_of(response->total), 60 * CLOCK_HOUR); /* 48 and 72 */

    act(&w, "UndeleteCase", name);
    act(&w, "ReopenCase", old);
    days = ask_preset(&w, PERIOD(LAST_28_DAYS));
    response = report(&w, &days);
    cr_expect_eq(response->n_rows, 28);
    expect_row(response->total, 2, 1, 2, 1);
    end(&w);
}

Test(report, deleting_and_undeleting_within_the_period)
{
    struct world w = begin("UTC", 1);
    const char *name = create_case(&w);
    act(&w, "ResolveCase", name);
    go_to(&w, "2026-03-03T12:00:00Z");
    act(&w, "DeleteCase", name);
    wire_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const wire_response *response = report(&w, &days);
    expect_row(row_at(response, "2026-03-02T00:00:00Z"), 1, 0, 0, 0);
    expect_row(row_at(response, "2026-03-03T00:00:00Z"), 0, 0, 0, 1);
    go_to(&w, "2026-03-04T12:00:00Z");
    act(&w, "UndeleteCase", name);
    wire_request yesterday = ask_preset(&w, PERIOD(YESTERDAY));
    expect_row(report(&w, &yesterday)->total, 0, 0, 0, 0);
    wire_request monday = ask_date(&w, "2026-03-02");
    expect_row(row_at(report(&w, &monday), "2026-03-02T09:00:00Z"), 1, 0, 1, 0);
    end(&w);
}

Test(report, closing_moves_nothing)
{
    struct world w = begin("UTC", 1);
    const char *name = create_case(&w);
    act(&w, "ResolveCase", name);
    go_to(&w, "2026-03-05T09:00:00Z"); /* 72 hours */
    Casework__Cases__V1__GetCaseRequest get = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    get.name = (char *)name;
    const Casework__Cases__V1__GetCaseResponse *closed =
        suite_call(w.suite, cases, "GetCase", &get, w.memory);
    cr_expect_eq(closed->case_->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED);
    w.position = suite_position(w.suite, w.account);
    wire_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const wire_response *response = report(&w, &days);
    expect_row(row_at(response, "2026-03-02T00:00:00Z"), 1, 0, 1, 0);
    expect_row(response->total, 1, 0, 1, 0);
    end(&w);
}

/* --- zones, periods, refusals ----------------------------------------------------------------------------
 */

Test(report, days_and_hours_are_those_of_the_zone)
{
    struct world w = begin("Europe/Amsterdam", 1);
    create_case(&w); /* ten o'clock there */
    wire_request request = ask(&w);
    const wire_response *response = report(&w, &request);
    cr_expect_str_eq(response->time_zone, "Europe/Amsterdam");
    cr_expect_eq(time_of(response->total->start_time), at("2026-03-01T23:00:00Z"));
    expect_row(row_at(response, "2026-03-02T09:00:00Z"), 1, 0, 0, 0);
    request.time_zone = (char *)"Asia/Kathmandu";
    response = report(&w, &request);
    cr_expect_eq(time_of(response->total->start_time), at("2026-03-01T18:15:00Z"));
    expect_row(row_at(response, "2026-03-02T08:15:00Z"), 1, 0, 0, 0);

    request = ask_date(&w, "2026-03-29");
    cr_expect_eq(report(&w, &request)->n_rows, 23);
    request = ask_date(&w, "2026-10-25");
    cr_expect_eq(report(&w, &request)->n_rows, 25);
    request = ask(&w);
    request.period_case = PERIOD_CASE(MONTH);
    request.month = (char *)"2026-03";
    response = report(&w, &request);
    cr_expect_eq(response->n_rows, 31);
    expect_row(response->total, 1, 0, 0, 0);
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    range.start_date = (char *)"2026-03-02";
    range.end_date = (char *)"2026-03-03";
    request.period_case = PERIOD_CASE(RANGE);
    request.range = &range;
    response = report(&w, &request);
    cr_expect_eq(response->n_rows, 1);
    expect_row(response->rows[0], 1, 0, 0, 0);
    end(&w);
}

static void expect_refused(const struct world *w, const wire_request *request, enum status_code code,
                           const char *field)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(
        suite_try(w->suite, reports, "GetCaseActivity", &request->base, w->memory, &response, &err));
    cr_expect_eq(err.code, code, "%s: %s", status_code_name(err.code), err.message);
    if (field != NULL)
        cr_expect_str_eq(err.violations[0].key, field);
}

static void expect_stranger_kept_out(const struct world *w)
{
    const struct rpc_token_claims claims = {
        .account = "other", .role = RPC_ROLE_AGENT, .agent = "eve", .ttl_us = CLOCK_HOUR};
    char *token = suite_token(w->suite, &claims);
    rpc_channel *channel = suite_channel_as(w->suite, SUITE_REPORT, token);
    wire_request request = ask(w);
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND};
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(rpc_client_call(channel, reports, "GetCaseActivity", &request.base, &options, w->memory,
                                  &response, &err));
    cr_expect_eq(err.code, STATUS_NOT_FOUND);
    rpc_channel_free(channel);
    free(token);
}

Test(report, what_cannot_be_answered_is_refused)
{
    struct world w = begin("UTC", 1);
    wire_request request = ask(&w);
    request.time_zone = (char *)"Mars/Olympus";
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "time_zone");
    request = ask_date(&w, "2026-02-30");
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "date");
    request = ask_preset(&w, (Casework__Report__V1__ReportPeriod)17);
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "preset");
    request = ask(&w);
    request.min_position = -1;
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "min_position");
    request = ask(&w);
    request.as_of_case = AS_OF_CASE(POSITION);
    request.as_of_position = -1;
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "as_of_position");
    request = ask(&w);
    request.parent = (char *)"accounts/nobody";
    request.min_position = 0;
    expect_refused(&w, &request, STATUS_NOT_FOUND, NULL);
    request.parent = (char *)"acme";
    expect_refused(&w, &request, STATUS_INVALID_ARGUMENT, "parent");
    expect_stranger_kept_out(&w);

    request = ask(&w);
    request.min_position = w.position + 1000;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND / 2};
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(rpc_client_call(suite_channel(w.suite, SUITE_REPORT, 0), reports, "GetCaseActivity",
                                  &request.base, &options, w.memory, &response, &err));
    cr_expect_eq(err.code, STATUS_DEADLINE_EXCEEDED);
    end(&w);
}

/* --- crashes ---------------------------------------------------------------------------------------------
 */

/* The service dies each time it has stored its third response and not yet said so. */
Test(report, killed_between_effect_and_position_nothing_counts_twice)
{
    static const char *const settings[] = {"CASEWORK_INJECT=report_feed.applied=kill@3", NULL};
    struct world w = begin_with("UTC", &(struct suite_options){.settings = settings});
    pid_t former = suite_pid(w.suite, SUITE_REPORT, 0);
    int deaths = 0, made = 0;
    for (; deaths < 3 && made < 300; made++) {
        act(&w, made % 2 == 0 ? "ResolveCase" : "MarkCasePending", create_case(&w));
        const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
        pid_t now = suite_pid(w.suite, SUITE_REPORT, 0);
        if (now == former)
            continue;
        suite_await_restart(w.suite, SUITE_REPORT, 0, former);
        former = suite_pid(w.suite, SUITE_REPORT, 0);
        deaths++;
    }
    cr_expect_eq(deaths, 3);
    wire_request today = ask(&w);
    ProtobufCMessage *response;
    error err = {0};
    while (!suite_try(w.suite, reports, "GetCaseActivity", &today.base, w.memory, &response, &err))
        cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s", err.message); /* dying once more on its way */
    check_sums((const wire_response *)response);
    expect_row(((const wire_response *)response)->total, made, made / 2, (made + 1) / 2, 0);
    end(&w);
}

/* --- the real conversations ------------------------------------------------------------------------------
 */

struct importing {
    suite *suite;
    const char *path;
    atomic_bool done;
    int status;
};

static void *import(void *argument)
{
    struct importing *importing = argument;
    importing->status =
        suite_run(importing->suite, (const char *const[]){"import", importing->path, NULL}, NULL);
    atomic_store(&importing->done, true);
    return NULL;
}

/* Kills the replicas in turn for as long as the import runs; how often while it did. */
static int import_under_fire(const struct world *w, const char *path)
{
    struct importing importing = {.suite = w->suite, .path = path};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, import, &importing), 0);
    int kills = 0;
    const struct timespec pause = {.tv_nsec = 60 * 1000 * 1000};
    nanosleep(&pause, NULL);
    while (!atomic_load(&importing.done)) {
        unsigned replica = (unsigned)kills++ % 2;
        suite_await_restart(w->suite, SUITE_REPORT, replica, suite_kill(w->suite, SUITE_REPORT, replica));
    }
    pthread_join(thread, NULL);
    cr_expect_eq(importing.status, 0);
    return kills;
}

static void nothing(void *context)
{
    (void)context;
}

struct rebuild {
    embedded_pg *pg;
    report_store *store;
    report_feed *feed;
};

/* The same feed from its beginning into tables of its own. */
static struct rebuild rebuild(const struct world *w, const struct feed_positions *heads)
{
    struct rebuild r = {.pg = pg_server_start(false, NULL)};
    pg_server_migrate(r.pg, "report");
    const struct report_store_options options = {
        .database_url = embedded_pg_url(r.pg), .readers = 2, .lanes = 2};
    error err = {0};
    cr_assert(report_store_new(&options, &r.store, &err), "%s", err.message);
    cr_assert(report_feed_new(suite_channel(w->suite, SUITE_CASE, 0), r.store, nothing, NULL, &r.feed, &err),
              "%s", err.message);
    cr_assert(
        feed_consumer_wait(report_feed_consumer(r.feed), heads, clock_monotonic_us() + CLOCK_MINUTE, &err),
        "%s", err.message);
    return r;
}

static void end_rebuild(struct rebuild *r)
{
    report_feed_free(r->feed);
    report_store_free(r->store);
    embedded_pg_free(r->pg);
}

static struct feed_positions heads_of(const struct world *w)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    const Casework__Cases__V1__GetPositionResponse *response = suite_call(
        w->suite, &casework__cases__v1__event_service__descriptor, "GetPosition", &request, w->memory);
    struct feed_positions heads = {0};
    for (size_t i = 0; i < response->n_positions; i++)
        heads.at[response->positions[i]->partition] = response->positions[i]->position;
    return heads;
}

/* Ten years, day by day; the same in the rebuild's tables and from either replica. Cases created. */
static int64_t compare_account(const struct world *w, struct rebuild *r, const char *name,
                               const struct feed_positions *heads)
{
    const char *account = name + strlen("accounts/");
    wire_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    range.start_date = (char *)"2017-01-01";
    range.end_date = (char *)"2026-12-31";
    request.parent = (char *)name;
    request.period_case = PERIOD_CASE(RANGE);
    request.range = &range;
    request.min_position = heads->at[feed_partition(account)];
    struct report_period period;
    struct report_rows rows;
    int64_t created = 0, position;
    error err = {0};
    cr_assert(report_period_range(range.start_date, range.end_date, &period, &err));
    for (unsigned replica = 0; replica < 2; replica++) {
        const wire_response *found =
            suite_call_at(w->suite, replica, reports, "GetCaseActivity", &request, w->memory);
        check_sums(found);
        cr_assert(
            report_period_rows(&period, calendar_zone_get(found->time_zone), 0, w->memory, &rows, &err));
        struct report_counts *expected = arena_calloc(w->memory, rows.count, sizeof *expected);
        cr_assert(report_store_activity(r->store, account, &rows, INT64_MAX, 0, expected, &position, &err),
                  "%s", err.message);
        cr_assert_eq(found->n_rows, rows.count);
        for (size_t i = 0; i < rows.count; i++)
            expect_row(found->rows[i], (int)expected[i].created, (int)expected[i].pending,
                       (int)expected[i].resolved, (int)expected[i].deleted);
        created = found->total->created;
    }
    return created;
}

Test(report, the_real_conversations_under_fire_equal_a_rebuild, .timeout = 300)
{
    const char *path = suite_conversations();
    if (path == NULL)
        return;
    struct world w = begin("UTC", 2);
    cr_expect_gt(import_under_fire(&w, path), 0);
    (void)import_under_fire(&w, path); /* again: without a second effect */
    struct feed_positions heads = heads_of(&w);
    struct rebuild r = rebuild(&w, &heads);
    Casework__Cases__V1__ListAccountsRequest list = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    list.page_size = 1000;
    const Casework__Cases__V1__ListAccountsResponse *accounts = suite_call(
        w.suite, &casework__cases__v1__account_service__descriptor, "ListAccounts", &list, w.memory);
    int64_t created = 0;
    for (size_t i = 0; i < accounts->n_accounts; i++)
        created += compare_account(&w, &r, accounts->accounts[i]->name, &heads);
    cr_expect_eq(created, 503);
    end_rebuild(&r);
    end(&w);
}
