/* RenderChart over the whole product: the numbers of the reports, and what is refused. */

#include "base/clock.h"
#include "tests/support/activity.h"
#include "tests/support/engagements.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(chart, .timeout = 240);

typedef Casework__Report__V1__RenderChartRequest chart_request;
typedef Casework__Report__V1__RenderChartResponse chart_answer;

static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

static const char *draw(struct shop *d, const chart_request *request, int64_t min_position)
{
    const chart_answer *answer = suite_call(d->suite, reports, "RenderChart", request, d->memory);
    cr_expect_str_eq(answer->content_type, "image/svg+xml");
    cr_expect_geq(answer->position, min_position);
    return arena_strndup(d->memory, (const char *)answer->data.data, answer->data.len);
}

/* By a real parser, where there is one. */
static void expect_xml(const struct shop *d, const char *svg)
{
    char path[512];
    snprintf(path, sizeof path, "%s/chart.svg", suite_directory(d->suite));
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(svg, file), 0);
    cr_assert_eq(fclose(file), 0);
    if (access("/usr/bin/python3", X_OK) != 0)
        return;
    const struct process_options options = {
        .argv = (const char *const[]){"/usr/bin/python3", "-c",
                                      "import sys, xml.dom.minidom as x; x.parse(sys.argv[1])", path, NULL}};
    error err = {0};
    cr_expect(process_run(&options, CLOCK_MINUTE, &err), "%s", err.message);
}

Test(chart, shows_what_the_reports_say)
{
    struct shop d = shop_begin("Europe/Amsterdam", NULL);
    for (int i = 0; i < 3; i++)
        shop_write(&d, shop_case(&d), "ann");
    activity_request activity = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Report__V1__GetCaseVolumeRequest volume = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
    chart_request request = CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__INIT;
    activity.min_position = volume.min_position = suite_position(d.suite, d.account);
    request.parent = (char *)d.account;
    request.chart_case = CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_ACTIVITY;
    request.case_activity = &activity;
    const char *svg = draw(&d, &request, activity.min_position);
    expect_xml(&d, svg);
    cr_expect_not_null(strstr(svg, "Case activity, 2026-03-02 (Europe/Amsterdam)"));
    cr_expect_not_null(strstr(svg, "<title>2026-03-02 10:00: created 3</title>"));
    cr_expect_not_null(strstr(svg, "width=\"960\" height=\"480\""));
    cr_expect_str_eq(draw(&d, &request, 0), svg);

    Google__Protobuf__Timestamp start = GOOGLE__PROTOBUF__TIMESTAMP__INIT, end = start;
    start.seconds = activity_instant("2026-03-01T12:00:00Z") / CLOCK_SECOND;
    end.seconds = activity_instant("2026-03-04T12:00:00Z") / CLOCK_SECOND;
    volume.start_time = &start;
    volume.end_time = &end;
    request.chart_case = CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_VOLUME;
    request.case_volume = &volume;
    request.width = 200;
    request.height = 4000;
    svg = draw(&d, &request, volume.min_position);
    expect_xml(&d, svg);
    cr_expect_not_null(strstr(svg, "<title>Open cases, 2026-03-01 to 2026-03-04 (Europe/Amsterdam)</title>"));
    cr_expect_not_null(strstr(svg, "<title>2026-03-02: open 3</title>"));
    shop_end(&d);
}

static void expect_refused(struct shop *d, const chart_request *request, enum status_code code,
                           const char *field)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_expect_not(suite_try(d->suite, reports, "RenderChart", &request->base, d->memory, &response, &err));
    cr_expect_eq(err.code, code, "%s: %s", field, err.message);
    if (code == STATUS_INVALID_ARGUMENT)
        cr_expect_str_eq(err.violations[0].key, field);
}

Test(chart, what_cannot_be_drawn_is_refused)
{
    struct shop d = shop_begin("UTC", NULL);
    activity_request activity = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    const chart_request today = {
        PROTOBUF_C_MESSAGE_INIT(&casework__report__v1__render_chart_request__descriptor),
        .parent = (char *)d.account};
    static const int32_t widths[] = {-1, 1, 199, 4001}, heights[] = {-1, 99, 4001};
    cr_expect_not_null(strstr(draw(&d, &today, 0), "Case activity"));
    for (size_t i = 0; i < 4; i++) {
        chart_request request = today;
        request.width = widths[i];
        expect_refused(&d, &request, STATUS_INVALID_ARGUMENT, "width");
        request.width = 0;
        request.height = heights[i % 3];
        expect_refused(&d, &request, STATUS_INVALID_ARGUMENT, "height");
    }
    chart_request request = today;
    request.chart_case = CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_ACTIVITY;
    request.case_activity = &activity;
    activity.parent = (char *)"accounts/other";
    expect_refused(&d, &request, STATUS_INVALID_ARGUMENT, "case_activity.parent");
    activity.parent = (char *)"";
    activity.time_zone = (char *)"Mars/Olympus";
    expect_refused(&d, &request, STATUS_INVALID_ARGUMENT, "time_zone");
    request = today;
    request.parent = (char *)"accounts/nobody";
    expect_refused(&d, &request, STATUS_NOT_FOUND, "");
    shop_end(&d);
}
