/* What the services and the command line refuse: who is not there, what is not yet, what cannot be. */

#include "base/clock.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_SERVICE (&casework__testing__v1__clock_service__descriptor)
#define REPORTS (&casework__report__v1__report_service__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)

static suite *s;
static arena *memory;

static void setup(void)
{
    s = suite_start(NULL);
    memory = arena_new(16 << 20);
    suite_create_account(s, "acme", "UTC", memory);
}

static void teardown(void)
{
    arena_free(memory);
    suite_stop(s);
}

TestSuite(suite_refusals, .init = setup, .fini = teardown, .timeout = 120);

static error refused(const ProtobufCServiceDescriptor *service, const char *method, const void *request)
{
    ProtobufCMessage *response;
    error err = {0};
    cr_assert_not(suite_try(s, service, method, request, memory, &response, &err), "%s", method);
    return err;
}

static void expect_field(const error *err, const char *field)
{
    cr_expect_eq(err->code, STATUS_INVALID_ARGUMENT, "%s: %s", field, err->message);
    cr_expect_eq(err->violation_count, 1);
    cr_expect_str_eq(err->violations[0].key, field);
}

static void expect_no_account(void)
{
    Casework__Search__V1__SearchCasesRequest search = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Search__V1__GetIndexStatusRequest status = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    search.parent = status.parent = (char *)(uintptr_t) "accounts/nobody";
    search.query = (char *)(uintptr_t) "printer";
    cr_expect_eq(refused(SEARCH, "SearchCases", &search).code, STATUS_NOT_FOUND);
    cr_expect_eq(refused(SEARCH, "GetIndexStatus", &status).code, STATUS_NOT_FOUND);
    search.parent = status.parent = (char *)(uintptr_t) "accounts/acme"; /* without a case, but there */
    suite_call(s, SEARCH, "SearchCases", &search, memory);
    suite_call(s, SEARCH, "GetIndexStatus", &status, memory);
}

static void expect_no_future(void)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    int64_t now_us = suite_now_us(s);
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.as_of_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_TIME;
    request.as_of_time = wire_timestamp(memory, now_us + 1);
    error err = refused(REPORTS, "GetCaseActivity", &request);
    expect_field(&err, "as_of_time");
    request.as_of_time = wire_timestamp(memory, now_us);
    suite_call(s, REPORTS, "GetCaseActivity", &request, memory);
}

/* The clock ends with the year 9999; whoever is asked, and nothing moves. */
static void expect_no_such_time(void)
{
    Casework__Testing__V1__AdvanceTimeRequest request = CASEWORK__TESTING__V1__ADVANCE_TIME_REQUEST__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    static const int64_t seconds[] = {INT64_C(315576000001), INT64_MAX, INT64_MIN, -1, INT64_C(315576000000)};
    int64_t now_us = suite_now_us(s);
    request.duration = &duration;
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        duration.seconds = seconds[i];
        error err = refused(CLOCK_SERVICE, "AdvanceTime", &request);
        expect_field(&err, "duration");
    }
    cr_expect_eq(suite_now_us(s), now_us);
}

Test(suite_refusals, who_is_not_there_and_what_cannot_be)
{
    expect_no_account();
    expect_no_future();
    expect_no_such_time();
}

static const char *write_lines(const char *text)
{
    const char *path = arena_printf(memory, "%s/lines.jsonl", suite_directory(s));
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static void expect_refusal(const json_t *refusals, size_t place, int line, const char *reason)
{
    const json_t *refusal = json_array_get(refusals, place);
    cr_expect_eq(json_integer_value(json_object_get(refusal, "line")), line);
    cr_expect_str_eq(json_string_value(json_object_get(refusal, "reason")), reason);
    cr_expect_gt(strlen(json_string_value(json_object_get(refusal, "message"))), 0);
}

/* Lines that cannot be read, and one that the service refuses: each by its line, the good ones done. */
Test(suite_refusals, an_import_tells_every_refused_line_as_json)
{
    static const char good[] = "{\"external_id\":\"g%d\",\"account\":\"acme\",\"channel\":\"chat\","
                               "\"contact\":{\"name\":\"Jo\"},\"subject\":\"s\",\"messages\":[{\"from\":"
                               "\"customer\",\"name\":\"Jo\",\"at\":\"%s\",\"text\":\"t\"}]}\n";
    char lines[2048], *output = NULL;
    size_t length = (size_t)snprintf(lines, sizeof lines, good, 1, "2026-01-02T03:04:05Z");
    length += (size_t)snprintf(lines + length, sizeof lines - length, "no json\n");
    length += (size_t)snprintf(lines + length, sizeof lines - length, good, 3, "2099-01-02T03:04:05Z");
    snprintf(lines + length, sizeof lines - length, good, 4, "2026-01-02T03:04:06Z");
    const char *const import[] = {"import", write_lines(lines), "--json", NULL};
    cr_assert_eq(suite_run(s, import, &output), 1);
    json_error_t why;
    json_t *answer = json_loads(strchr(output, '{'), JSON_DISABLE_EOF_CHECK, &why);
    cr_assert_not_null(answer, "%s", output);
    const json_t *refusals = json_object_get(answer, "refusals");
    cr_expect_str_eq(json_string_value(json_object_get(answer, "conversationsImported")), "2");
    cr_expect_str_eq(json_string_value(json_object_get(answer, "conversationsRefused")), "2");
    cr_assert_eq(json_array_size(refusals), 2, "%s", output);
    expect_refusal(refusals, 0, 2, "INVALID_LINE");
    expect_refusal(refusals, 1, 3, "INVALID_FIELD");
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(refusals, 1), "externalId")), "g3");
    json_decref(answer);
    free(output);
}
