/* Summary, volume and classifications over the whole product: the worked examples, refusals, who may ask,
 * crashes. */

#include "base/clock.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/activity.h"
#include "tests/support/engagements.h"
#include "tests/support/report_world.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(engagement_reports, .timeout = 240);

static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

typedef Casework__Report__V1__GetEngagementSummaryRequest summary_request;
typedef Casework__Report__V1__GetEngagementSummaryResponse summary;
typedef Casework__Report__V1__GetCaseVolumeRequest volume_request;
typedef Casework__Report__V1__GetCaseVolumeResponse volume;
typedef Casework__Report__V1__GetClassificationReportRequest classes_request;
typedef Casework__Report__V1__GetClassificationReportResponse classes;

static Google__Protobuf__Timestamp instant(const char *text)
{
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = activity_instant(text) / CLOCK_SECOND;
    return time;
}

/* Resolved cases close after an hour. */
static void close_after_an_hour(struct shop *s)
{
    Casework__Sla__V1__UpdatePolicyRequest request = CASEWORK__SLA__V1__UPDATE_POLICY_REQUEST__INIT;
    Casework__Sla__V1__SlaPolicy policy = CASEWORK__SLA__V1__SLA_POLICY__INIT;
    Casework__Sla__V1__ClosingRule closing = CASEWORK__SLA__V1__CLOSING_RULE__INIT;
    Google__Protobuf__Duration hour = GOOGLE__PROTOBUF__DURATION__INIT;
    hour.seconds = 3600;
    closing.rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
    closing.after_resolved_duration = &hour;
    policy.name = arena_printf(s->memory, "%s/slaPolicy", s->account);
    policy.closing = &closing;
    request.policy = &policy;
    suite_call(s->suite, &casework__sla__v1__sla_service__descriptor, "UpdatePolicy", &request, s->memory);
}

static const volume *days_of(struct shop *s, const char *start, const char *end, int by)
{
    volume_request request = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
    Google__Protobuf__Timestamp from = instant(start), to = instant(end);
    request.parent = (char *)s->account;
    request.start_time = &from;
    request.end_time = &to;
    request.by = (Casework__Report__V1__EngagementTime)by;
    request.min_position = suite_position(s->suite, s->account);
    return suite_call(s->suite, reports, "GetCaseVolume", &request, s->memory);
}

static const summary *sum_up(struct shop *s, int by, int grouping)
{
    summary_request request = CASEWORK__REPORT__V1__GET_ENGAGEMENT_SUMMARY_REQUEST__INIT;
    request.parent = (char *)s->account;
    request.by = (Casework__Report__V1__EngagementTime)by;
    request.group_by = (Casework__Report__V1__EngagementGrouping)grouping;
    request.min_position = suite_position(s->suite, s->account);
    return suite_call(s->suite, reports, "GetEngagementSummary", &request, s->memory);
}

Test(engagement_reports, eight_on_tuesday_and_none_on_wednesday)
{
    struct shop s = shop_begin("UTC", NULL);
    close_after_an_hour(&s);
    shop_go_to(&s, "2026-03-03T09:00:00Z");
    const char *names[8];
    for (int i = 0; i < 8; i++) {
        names[i] = shop_case(&s);
        shop_write(&s, names[i], "ann");
        suite_step(s.suite, "ResolveCase", names[i], "ann");
    }
    shop_go_to(&s, "2026-03-04T12:00:00Z");
    const volume *found = days_of(&s, "2026-03-02T00:00:00Z", "2026-03-05T00:00:00Z", 0);
    cr_assert_eq(found->n_rows, 3);
    cr_expect_eq(found->rows[0]->open_cases, 0);
    cr_expect_eq(found->rows[1]->open_cases, 8);
    cr_expect_eq(found->rows[2]->open_cases, 0);

    /* Re-opened on Wednesday: open then, and no longer among those that are closed. */
    shop_write(&s, names[0], "customer");
    found = days_of(&s, "2026-03-03T00:00:00Z", "2026-03-05T00:00:00Z", 0);
    cr_expect_eq(found->rows[0]->open_cases, 8);
    cr_expect_eq(found->rows[1]->open_cases, 1);
    found = days_of(&s, "2026-03-03T00:00:00Z", "2026-03-05T00:00:00Z", 1);
    cr_expect_eq(found->rows[0]->open_cases, 7);
    cr_expect_eq(sum_up(&s, 1, 0)->cases_closed, 7);
    cr_expect_eq(sum_up(&s, 2, 0)->engagements, 8);
    shop_end(&s);
}

/* Replies after 1, 2 … 10 hours; an eleventh case is closed unanswered. */
Test(engagement_reports, means_and_percentiles_by_nearest_rank)
{
    struct shop s = shop_begin("UTC", NULL);
    close_after_an_hour(&s);
    static const char *const topics[] = {"Delivery", "Repair"};
    const char *names[11];
    for (int i = 0; i < 11; i++)
        names[i] = shop_case(&s);
    for (int i = 0; i < 10; i++) {
        suite_advance(s.suite, CLOCK_HOUR);
        shop_write(&s, names[i], i % 2 == 0 ? "ann" : "bob");
        shop_classify(&s, names[i], "topic", topics[i < 3], true);
    }
    for (int i = 0; i < 11; i++)
        suite_step(s.suite, "ResolveCase", names[i], "cid");
    suite_advance(s.suite, CLOCK_DAY);
    const summary *all = sum_up(&s, 0, 1);
    cr_expect_eq(all->cases_closed, 11);
    cr_expect_eq(all->engagements, 10);
    cr_expect_eq(shop_duration(all->first_reply_duration->mean), 11 * CLOCK_HOUR / 2);
    cr_expect_eq(shop_duration(all->first_reply_duration->median), 5 * CLOCK_HOUR);
    cr_expect_eq(shop_duration(all->first_reply_duration->p90), 9 * CLOCK_HOUR);
    cr_expect_eq(shop_duration(all->first_reply_duration->p99), 10 * CLOCK_HOUR);
    cr_expect_eq(shop_duration(all->resolution_duration->p99), 10 * CLOCK_HOUR);
    cr_expect_float_eq(all->agent_interactions->mean, 1, 1e-9);
    cr_expect_float_eq(all->agents_involved->p90, 1, 1e-9);
    cr_assert_eq(all->n_groups, 3);
    cr_expect_str_eq(all->groups[0]->key, "");
    cr_expect_eq(all->groups[0]->cases_closed, 1);
    cr_expect_null(all->groups[0]->first_reply_duration->mean);
    cr_expect_str_eq(all->groups[1]->key, "accounts/acme/agents/ann");
    cr_expect_eq(shop_duration(all->groups[1]->first_reply_duration->mean), 5 * CLOCK_HOUR);
    cr_expect_eq(shop_duration(all->groups[2]->first_reply_duration->median), 6 * CLOCK_HOUR);

    classes_request request = CASEWORK__REPORT__V1__GET_CLASSIFICATION_REPORT_REQUEST__INIT;
    request.parent = (char *)s.account;
    const classes *found = suite_call(s.suite, reports, "GetClassificationReport", &request, s.memory);
    cr_expect_eq(found->total_cases, 11);
    cr_expect_eq(found->unclassified_cases, 1);
    cr_assert_eq(found->n_rows, 2);
    cr_expect_str_eq(found->rows[0]->classification->value, "Delivery");
    cr_expect_eq(found->rows[0]->cases, 7);
    cr_expect_float_eq(found->rows[0]->share, 0.7, 1e-9);
    cr_expect_eq(shop_duration(found->rows[1]->mean_first_reply_duration), 2 * CLOCK_HOUR);
    shop_end(&s);
}

Test(engagement_reports, a_bound_counts_to_the_nanosecond)
{
    struct shop s = shop_begin("UTC", NULL);
    close_after_an_hour(&s);
    const char *name = shop_case(&s);
    shop_write(&s, name, "ann");
    suite_step(s.suite, "ResolveCase", name, "ann");
    suite_advance(s.suite, 2 * CLOCK_HOUR);
    table_request table = shop_ask(&s);
    Google__Protobuf__Timestamp at = *shop_table(&s, &table)->engagements[0]->close_time, after = at;
    after.nanos++;
    table.start_time = &at;
    table.end_time = &after;
    cr_expect_eq(shop_table(&s, &table)->n_engagements, 1);
    table.start_time = &after;
    table.end_time = NULL;
    cr_expect_eq(shop_table(&s, &table)->n_engagements, 0);
    table.start_time = NULL;
    table.end_time = &at;
    cr_expect_eq(shop_table(&s, &table)->n_engagements, 0);
    shop_end(&s);
}

/* --- refusals --------------------------------------------------------------------------------------------
 */

static void expect_refused(struct shop *s, const char *method, const void *request, const char *field)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(suite_try(s->suite, reports, method, request, s->memory, &response, &err));
    cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT, "%s: %s", method, err.message);
    if (field != NULL)
        cr_expect_str_eq(err.violations[0].key, field);
}

static void expect_stranger_kept_out(struct shop *s, const char *method, const ProtobufCMessage *request)
{
    static const struct {
        enum rpc_role role;
        const char *account;
        enum status_code code;
    } callers[] = {{RPC_ROLE_AGENT, "other", STATUS_NOT_FOUND},
                   {RPC_ROLE_CONNECTOR, "acme", STATUS_PERMISSION_DENIED}};
    for (size_t i = 0; i < 2; i++) {
        const struct rpc_token_claims claims = {.account = callers[i].account,
                                                .role = callers[i].role,
                                                .agent = callers[i].role == RPC_ROLE_AGENT ? "eve" : NULL,
                                                .ttl_us = CLOCK_HOUR};
        char *token = suite_token(s->suite, &claims);
        rpc_channel *channel = suite_channel_as(s->suite, SUITE_REPORT, token);
        const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND};
        ProtobufCMessage *response;
        error err = {0};
        cr_expect_not(
            rpc_client_call(channel, reports, method, request, &options, s->memory, &response, &err));
        cr_expect_eq(err.code, callers[i].code, "%s: %s", method, err.message);
        rpc_channel_free(channel);
        free(token);
    }
}

Test(engagement_reports, what_cannot_be_answered_is_refused)
{
    struct shop s = shop_begin("UTC", NULL);
    table_request table = shop_ask(&s);
    table.order_by = (char *)"close_time ascending";
    expect_refused(&s, "ListEngagements", &table, "order_by");
    table = shop_ask(&s);
    table.page_size = -1;
    expect_refused(&s, "ListEngagements", &table, "page_size");
    table = shop_ask(&s);
    table.page_token = (char *)"edited";
    expect_refused(&s, "ListEngagements", &table, NULL);
    table = shop_ask(&s);
    table.agent = (char *)"ann";
    expect_refused(&s, "ListEngagements", &table, "agent");
    table = shop_ask(&s);
    table.by = (Casework__Report__V1__EngagementTime)9;
    expect_refused(&s, "ListEngagements", &table, "by");
    Google__Protobuf__Timestamp early = instant("2026-03-01T00:00:00Z"),
                                late = instant("2526-03-02T00:00:00Z");
    table = shop_ask(&s);
    table.start_time = &late;
    table.end_time = &early;
    expect_refused(&s, "ListEngagements", &table, "end_time");
    table = shop_ask(&s);
    table.parent = (char *)"accounts/nobody";
    table.min_position = 0;
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(suite_try(s.suite, reports, "ListEngagements", &table.base, s.memory, &response, &err));
    cr_expect_eq(err.code, STATUS_NOT_FOUND);

    volume_request month = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
    month.parent = (char *)s.account;
    expect_refused(&s, "GetCaseVolume", &month, "start_time");
    month.start_time = &early;
    month.end_time = &late;
    expect_refused(&s, "GetCaseVolume", &month, "end_time");
    month.time_zone = (char *)"Mars/Olympus";
    expect_refused(&s, "GetCaseVolume", &month, "time_zone");
    summary_request sum = CASEWORK__REPORT__V1__GET_ENGAGEMENT_SUMMARY_REQUEST__INIT;
    sum.parent = (char *)s.account;
    sum.min_position = -1;
    expect_refused(&s, "GetEngagementSummary", &sum, "min_position");
    sum.min_position = 0;
    sum.group_by = (Casework__Report__V1__EngagementGrouping)5;
    expect_refused(&s, "GetEngagementSummary", &sum, "group_by");
    classes_request tags = CASEWORK__REPORT__V1__GET_CLASSIFICATION_REPORT_REQUEST__INIT;
    tags.parent = (char *)"acme";
    expect_refused(&s, "GetClassificationReport", &tags, "parent");
    tags.parent = sum.parent;
    table = shop_ask(&s);
    sum.group_by = 0;
    expect_stranger_kept_out(&s, "ListEngagements", &table.base);
    expect_stranger_kept_out(&s, "GetEngagementSummary", &sum.base);
    expect_stranger_kept_out(&s, "GetClassificationReport", &tags.base);
    month.end_time = &early;
    expect_stranger_kept_out(&s, "GetCaseVolume", &month.base);
    shop_end(&s);
}

/* --- the most rows ------------------------------------------------------------------------------------ */

Test(engagement_reports, a_volume_has_as_many_rows_as_promised)
{
    struct shop s = shop_begin("UTC", NULL);
    static const int64_t rows[] = {25000, 50000, 100000};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        volume_request request = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
        Google__Protobuf__Timestamp from = instant("2020-01-01T00:00:00Z"), to = from;
        to.seconds += rows[i] * 3600;
        request.parent = (char *)s.account;
        request.start_time = &from;
        request.end_time = &to;
        request.unit = CASEWORK__REPORT__V1__TIME_UNIT__TIME_UNIT_HOUR;
        const volume *answer = suite_call(s.suite, reports, "GetCaseVolume", &request, s.memory);
        cr_expect_eq(answer->n_rows, (size_t)rows[i]);
    }
    shop_end(&s);
}

/* --- crashes ---------------------------------------------------------------------------------------------
 */

/* The service dies each time it has stored its third response and not yet said so. */
Test(engagement_reports, killed_between_effect_and_position_nothing_counts_twice)
{
    static const char *const settings[] = {"CASEWORK_INJECT=report_feed.applied=kill@3", NULL};
    struct shop s = shop_begin("UTC", &(struct suite_options){.settings = settings});
    pid_t former = suite_pid(s.suite, SUITE_REPORT, 0);
    int deaths = 0, made = 0;
    table_request request;
    ProtobufCMessage *response;
    error err = {0};
    for (int64_t until = clock_monotonic_us() + 2 * CLOCK_MINUTE; deaths < 2 && clock_monotonic_us() < until;
         made++) {
        const char *name = shop_case(&s);
        shop_write(&s, name, "ann");
        shop_write(&s, name, "bob");
        request = shop_ask(&s); /* waits until one more response is stored, or the service has died of it */
        (void)!suite_try(s.suite, reports, "ListEngagements", &request.base, s.memory, &response, &err);
        deaths += report_world_died(s.suite, &former);
    }
    cr_expect_eq(deaths, 2);
    request = shop_ask(&s);
    while (!suite_try(s.suite, reports, "ListEngagements", &request.base, s.memory, &response, &err))
        cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s", err.message); /* dying once more on its way */
    const table_page *page = (const table_page *)response;
    cr_assert_eq(page->n_engagements, (size_t)made);
    for (size_t i = 0; i < page->n_engagements; i++)
        cr_expect_eq(page->engagements[i]->agent_interactions, 2);
    shop_end(&s);
}
