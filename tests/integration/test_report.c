/*
 * Reports of the whole product with a manual clock: the worked examples to the number, reports of the past,
 * refusals, and a service that keeps being killed.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/activity.h"
#include "tests/support/report_world.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(report, .timeout = 240);

#define PERIOD(name) CASEWORK__REPORT__V1__REPORT_PERIOD__REPORT_PERIOD_##name
#define PERIOD_CASE(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_##name
#define AS_OF_CASE(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_##name
#define AS_OF_NOT_SET CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF__NOT_SET

static const ProtobufCServiceDescriptor *const cases = &casework__cases__v1__case_service__descriptor;
static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

/* --- asking -------------------------------------------------------------------------------------------- */

static activity_request ask(const struct report_world *w)
{
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = (char *)w->account;
    request.min_position = w->position;
    return request;
}

static activity_request ask_preset(const struct report_world *w, Casework__Report__V1__ReportPeriod preset)
{
    activity_request request = ask(w);
    request.period_case = PERIOD_CASE(PRESET);
    request.preset = preset;
    return request;
}

static activity_request ask_date(const struct report_world *w, const char *date)
{
    activity_request request = ask(w);
    request.period_case = PERIOD_CASE(DATE);
    request.date = (char *)date;
    return request;
}

static const activity_report *report(const struct report_world *w, const activity_request *request)
{
    const activity_report *response = suite_call(w->suite, reports, "GetCaseActivity", request, w->memory);
    activity_check_sums(response);
    cr_expect_geq(response->position, request->as_of_case == AS_OF_NOT_SET ? w->position : 0);
    return response;
}

/* --- the worked examples ---------------------------------------------------------------------------------
 */

Test(report, four_pending_cases_become_three_and_one_resolved)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *names[4];
    for (int i = 0; i < 4; i++)
        names[i] = report_world_create(&w);
    report_world_go(&w, "2026-03-02T10:00:00Z");
    for (int i = 0; i < 4; i++)
        report_world_act(&w, "MarkCasePending", names[i]);
    activity_request today = ask(&w);
    activity_expect_row(activity_row_at(report(&w, &today), "2026-03-02T10:00:00Z"), 0, 4, 0, 0);
    report_world_go(&w, "2026-03-02T11:00:00Z");
    report_world_act(&w, "ResolveCase", names[1]);

    today = ask(&w);
    const activity_report *response = report(&w, &today);
    cr_expect_eq(response->n_rows, 24);
    cr_expect_str_eq(response->time_zone, "UTC");
    activity_expect_row(activity_row_at(response, "2026-03-02T09:00:00Z"), 4, 0, 0, 0);
    activity_expect_row(activity_row_at(response, "2026-03-02T10:00:00Z"), 0, 3, 0, 0);
    activity_expect_row(activity_row_at(response, "2026-03-02T11:00:00Z"), 0, 0, 1, 0);
    activity_expect_row(activity_row_at(response, "2026-03-02T12:00:00Z"), 0, 0, 0, 0);
    activity_expect_row(response->total, 4, 3, 1, 0);
    cr_expect_eq(activity_average(activity_row_at(response, "2026-03-02T11:00:00Z")), 2 * CLOCK_HOUR);
    report_world_end(&w);
}

Test(report, a_reopened_case_leaves_its_hour_and_its_average)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *stays = report_world_create(&w), *leaves = report_world_create(&w);
    report_world_go(&w, "2026-03-02T14:00:00Z");
    report_world_act(&w, "ResolveCase", leaves);
    report_world_go(&w, "2026-03-02T14:30:00Z");
    report_world_act(&w, "ResolveCase", stays);
    activity_request today = ask_preset(&w, PERIOD(TODAY));
    const activity_report *before = report(&w, &today);
    activity_expect_row(activity_row_at(before, "2026-03-02T14:00:00Z"), 0, 0, 2, 0);
    cr_expect_eq(activity_average(before->total), 5 * CLOCK_HOUR + 15 * CLOCK_MINUTE);

    report_world_go(&w, "2026-03-02T16:00:00Z");
    report_world_act(&w, "ReopenCase", leaves);
    today = ask_preset(&w, PERIOD(TODAY));
    const activity_report *after = report(&w, &today);
    activity_expect_row(activity_row_at(after, "2026-03-02T14:00:00Z"), 0, 0, 1, 0);
    activity_expect_row(activity_row_at(after, "2026-03-02T16:00:00Z"), 0, 0, 0, 0);
    cr_expect_eq(activity_average(after->total), 5 * CLOCK_HOUR + 30 * CLOCK_MINUTE);

    /* As of then it is what it was then, to the byte but for nothing. */
    activity_request past = ask_preset(&w, PERIOD(TODAY));
    past.as_of_case = AS_OF_CASE(POSITION);
    past.as_of_position = before->position;
    const activity_report *again = report(&w, &past);
    size_t size = protobuf_c_message_get_packed_size(&before->base);
    uint8_t *then = arena_alloc(w.memory, size), *now = arena_alloc(w.memory, size);
    cr_assert_eq(protobuf_c_message_get_packed_size(&again->base), size);
    protobuf_c_message_pack(&before->base, then);
    protobuf_c_message_pack(&again->base, now);
    cr_expect_arr_eq(then, now, size);
    Google__Protobuf__Timestamp instant = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    instant.seconds = activity_instant("2026-03-02T15:00:00Z") / CLOCK_SECOND;
    past.as_of_case = AS_OF_CASE(TIME);
    past.as_of_time = &instant;
    again = report(&w, &past);
    cr_assert_eq(protobuf_c_message_get_packed_size(&again->base), size);
    protobuf_c_message_pack(&again->base, now);
    cr_expect_arr_eq(then, now, size);
    instant.seconds = 0; /* was a time, too */
    cr_expect_eq(activity_time(report(&w, &past)->total->start_time), 0);
    report_world_end(&w);
}

Test(report, day_one_to_day_four_and_what_still_counts_after_it)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *name = report_world_create(&w), *old = report_world_create(&w);
    report_world_go(&w, "2026-03-03T09:00:00Z");
    report_world_act(&w, "MarkCasePending", name);
    report_world_act(&w, "MarkCasePending", old);
    activity_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    activity_expect_row(activity_row_at(report(&w, &days), "2026-03-03T00:00:00Z"), 0, 2, 0, 0);
    report_world_go(&w, "2026-03-04T09:00:00Z");
    report_world_act(&w, "ResolveCase", name);
    days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const activity_report *response = report(&w, &days);
    activity_expect_row(activity_row_at(response, "2026-03-03T00:00:00Z"), 0, 1, 0, 0);
    activity_expect_row(activity_row_at(response, "2026-03-04T00:00:00Z"), 0, 0, 1, 0);

    report_world_go(&w, "2026-03-05T09:00:00Z"); /* day 4 */
    report_world_act(&w, "MarkCasePending", name);
    report_world_act(&w, "ResolveCase", old);
    report_world_act(&w, "DeleteCase", name);
    days = ask_preset(&w, PERIOD(LAST_14_DAYS));
    response = report(&w, &days);
    cr_expect_eq(response->n_rows, 14);
    activity_expect_row(activity_row_at(response, "2026-03-02T00:00:00Z"), 2, 0, 0, 0);
    activity_expect_row(activity_row_at(response, "2026-03-03T00:00:00Z"), 0, 1, 0,
                        0); /* the old one, for ever */
    activity_expect_row(activity_row_at(response, "2026-03-04T00:00:00Z"), 0, 0, 1,
                        0); /* though deleted since */
    activity_expect_row(activity_row_at(response, "2026-03-05T00:00:00Z"), 0, 0, 1, 1);
    cr_expect_eq(activity_average(response->total), 60 * CLOCK_HOUR); /* 48 and 72 */

    report_world_act(&w, "UndeleteCase", name);
    report_world_act(&w, "ReopenCase", old);
    days = ask_preset(&w, PERIOD(LAST_28_DAYS));
    response = report(&w, &days);
    cr_expect_eq(response->n_rows, 28);
    activity_expect_row(response->total, 2, 1, 2, 1);
    report_world_end(&w);
}

Test(report, deleting_and_undeleting_within_the_period)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *name = report_world_create(&w);
    report_world_act(&w, "ResolveCase", name);
    report_world_go(&w, "2026-03-03T12:00:00Z");
    report_world_act(&w, "DeleteCase", name);
    activity_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const activity_report *response = report(&w, &days);
    activity_expect_row(activity_row_at(response, "2026-03-02T00:00:00Z"), 1, 0, 0, 0);
    activity_expect_row(activity_row_at(response, "2026-03-03T00:00:00Z"), 0, 0, 0, 1);
    report_world_go(&w, "2026-03-04T12:00:00Z");
    report_world_act(&w, "UndeleteCase", name);
    activity_request yesterday = ask_preset(&w, PERIOD(YESTERDAY));
    activity_expect_row(report(&w, &yesterday)->total, 0, 0, 0, 0);
    activity_request monday = ask_date(&w, "2026-03-02");
    activity_expect_row(activity_row_at(report(&w, &monday), "2026-03-02T09:00:00Z"), 1, 0, 1, 0);
    report_world_end(&w);
}

Test(report, closing_moves_nothing)
{
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    const char *name = report_world_create(&w);
    report_world_act(&w, "ResolveCase", name);
    report_world_go(&w, "2026-03-05T09:00:00Z"); /* 72 hours */
    Casework__Cases__V1__GetCaseRequest get = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    get.name = (char *)name;
    const Casework__Cases__V1__GetCaseResponse *closed =
        suite_call(w.suite, cases, "GetCase", &get, w.memory);
    cr_expect_eq(closed->case_->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED);
    w.position = suite_position(w.suite, w.account);
    activity_request days = ask_preset(&w, PERIOD(LAST_7_DAYS));
    const activity_report *response = report(&w, &days);
    activity_expect_row(activity_row_at(response, "2026-03-02T00:00:00Z"), 1, 0, 1, 0);
    activity_expect_row(response->total, 1, 0, 1, 0);
    report_world_end(&w);
}

/* --- zones, periods, refusals ----------------------------------------------------------------------------
 */

Test(report, days_and_hours_are_those_of_the_zone)
{
    struct report_world w = report_world_begin("Europe/Amsterdam", &(struct suite_options){.replicas = 1});
    report_world_create(&w); /* ten o'clock there */
    activity_request request = ask(&w);
    const activity_report *response = report(&w, &request);
    cr_expect_str_eq(response->time_zone, "Europe/Amsterdam");
    cr_expect_eq(activity_time(response->total->start_time), activity_instant("2026-03-01T23:00:00Z"));
    activity_expect_row(activity_row_at(response, "2026-03-02T09:00:00Z"), 1, 0, 0, 0);
    request.time_zone = (char *)"Asia/Kathmandu";
    response = report(&w, &request);
    cr_expect_eq(activity_time(response->total->start_time), activity_instant("2026-03-01T18:15:00Z"));
    activity_expect_row(activity_row_at(response, "2026-03-02T08:15:00Z"), 1, 0, 0, 0);

    request = ask_date(&w, "2026-03-29");
    cr_expect_eq(report(&w, &request)->n_rows, 23);
    request = ask_date(&w, "2026-10-25");
    cr_expect_eq(report(&w, &request)->n_rows, 25);
    request = ask(&w);
    request.period_case = PERIOD_CASE(MONTH);
    request.month = (char *)"2026-03";
    response = report(&w, &request);
    cr_expect_eq(response->n_rows, 31);
    activity_expect_row(response->total, 1, 0, 0, 0);
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    range.start_date = (char *)"2026-03-02";
    range.end_date = (char *)"2026-03-03";
    request.period_case = PERIOD_CASE(RANGE);
    request.range = &range;
    response = report(&w, &request);
    cr_expect_eq(response->n_rows, 1);
    activity_expect_row(response->rows[0], 1, 0, 0, 0);
    report_world_end(&w);
}

static void expect_refused(const struct report_world *w, const activity_request *request,
                           enum status_code code, const char *field)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(
        suite_try(w->suite, reports, "GetCaseActivity", &request->base, w->memory, &response, &err));
    cr_expect_eq(err.code, code, "%s: %s", status_code_name(err.code), err.message);
    if (field != NULL)
        cr_expect_str_eq(err.violations[0].key, field);
}

/* What it is about does not come within the call's time. */
static void expect_no_answer(const struct report_world *w, const activity_request *request)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND / 2};
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(rpc_client_call(suite_channel(w->suite, SUITE_REPORT, 0), reports, "GetCaseActivity",
                                  &request->base, &options, w->memory, &response, &err));
    cr_expect_eq(err.code, STATUS_DEADLINE_EXCEEDED);
}

static void expect_stranger_kept_out(const struct report_world *w)
{
    const struct rpc_token_claims claims = {
        .account = "other", .role = RPC_ROLE_AGENT, .agent = "eve", .ttl_us = CLOCK_HOUR};
    char *token = suite_token(w->suite, &claims);
    rpc_channel *channel = suite_channel_as(w->suite, SUITE_REPORT, token);
    activity_request request = ask(w);
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
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.replicas = 1});
    activity_request request = ask(&w);
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
    expect_no_answer(&w, &request);
    request = ask(&w);
    request.as_of_case = AS_OF_CASE(POSITION);
    request.as_of_position = w.position + 1000;
    expect_no_answer(&w, &request);
    request.as_of_position = INT64_MAX;
    expect_no_answer(&w, &request);

    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    gone.name = (char *)w.account;
    const Casework__Cases__V1__DeleteAccountResponse *deleted = suite_call(
        w.suite, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &gone, w.memory);
    request = ask(&w);
    request.min_position = deleted->position;
    expect_refused(&w, &request, STATUS_NOT_FOUND, NULL);
    report_world_end(&w);
}

/* --- crashes ---------------------------------------------------------------------------------------------
 */

/* The service dies each time it has stored its third response and not yet said so. */
Test(report, killed_between_effect_and_position_nothing_counts_twice)
{
    static const char *const settings[] = {"CASEWORK_INJECT=report_feed.applied=kill@3", NULL};
    struct report_world w = report_world_begin("UTC", &(struct suite_options){.settings = settings});
    pid_t former = suite_pid(w.suite, SUITE_REPORT, 0);
    int deaths = 0, made = 0;
    activity_request today;
    ProtobufCMessage *response;
    error err = {0};
    for (int64_t until = clock_monotonic_us() + 2 * CLOCK_MINUTE; deaths < 3 && clock_monotonic_us() < until;
         made++) {
        report_world_act(&w, made % 2 == 0 ? "ResolveCase" : "MarkCasePending", report_world_create(&w));
        today = ask(&w); /* waits until one more response is stored, or the service has died of it */
        (void)!suite_try(w.suite, reports, "GetCaseActivity", &today.base, w.memory, &response, &err);
        deaths += report_world_died(w.suite, &former);
    }
    cr_expect_eq(deaths, 3);
    today = ask(&w);
    while (!suite_try(w.suite, reports, "GetCaseActivity", &today.base, w.memory, &response, &err))
        cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s", err.message); /* dying once more on its way */
    activity_check_sums((const activity_report *)response);
    activity_expect_row(((const activity_report *)response)->total, made, made / 2, (made + 1) / 2, 0);
    report_world_end(&w);
}
