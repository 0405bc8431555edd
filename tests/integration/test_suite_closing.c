/* A resolved case's 72 hours, through all four services. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>

#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name
#define ALMOST (71 * CLOCK_HOUR + 59 * CLOCK_MINUTE)

enum { CASES = 5, MEMORY = 4 * 1024 * 1024 };

static int status_of(suite *s, const char *name)
{
    arena *memory = arena_new(MEMORY);
    int status = (int)suite_case(s, name, memory)->status;
    arena_free(memory);
    return status;
}

/* How many cases search finds with that status. */
static int found_with(suite *s, const char *account, int status, int64_t min_position)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Cases__V1__CaseStatus statuses[] = {(Casework__Cases__V1__CaseStatus)status};
    arena *memory = arena_new(MEMORY);
    request.parent = (char *)account;
    request.query = (char *)"kettle";
    request.statuses = statuses;
    request.n_statuses = 1;
    request.min_position = min_position;
    const Casework__Search__V1__SearchCasesResponse *response =
        suite_call(s, &casework__search__v1__search_service__descriptor, "SearchCases", &request, memory);
    int total = response->total_size;
    arena_free(memory);
    return total;
}

static size_t timers_of(suite *s, const char *account, int64_t min_position)
{
    Casework__Sla__V1__ListTimersRequest request = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    request.parent = (char *)account;
    request.min_position = min_position;
    const Casework__Sla__V1__ListTimersResponse *response =
        suite_call(s, &casework__sla__v1__sla_service__descriptor, "ListTimers", &request, memory);
    size_t count = response->n_timers;
    arena_free(memory);
    return count;
}

static int64_t resolved_in_all(suite *s, const char *account, int64_t min_position)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    request.parent = (char *)account;
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_PRESET;
    request.preset = CASEWORK__REPORT__V1__REPORT_PERIOD__REPORT_PERIOD_LAST_14_DAYS;
    request.min_position = min_position;
    const Casework__Report__V1__GetCaseActivityResponse *response =
        suite_call(s, &casework__report__v1__report_service__descriptor, "GetCaseActivity", &request, memory);
    int64_t resolved = response->total->resolved;
    arena_free(memory);
    return resolved;
}

static void expect_all(suite *s, const char *const *cases, int status)
{
    for (int i = 0; i < CASES; i++)
        cr_expect_eq(status_of(s, cases[i]), status, "case %d has status %d instead of %d", i,
                     status_of(s, cases[i]), status);
}

static void expect_close_time(suite *s, const char *name, int64_t time_us)
{
    arena *memory = arena_new(MEMORY);
    const Casework__Cases__V1__Case *c = suite_case(s, name, memory);
    cr_assert_not_null(c->close_time);
    cr_expect_eq(c->close_time->seconds * CLOCK_SECOND + c->close_time->nanos / 1000, time_us);
    arena_free(memory);
}

Test(suite_closing, a_resolved_case_closes_72_hours_after_its_last_message)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    const char *cases[CASES];
    int64_t position = 0;
    suite_create_agent(s, account, "ann");
    for (int i = 0; i < CASES; i++) {
        cases[i] = suite_create_case(s, account, "Kettle", "It no longer switches on.", memory, NULL);
        suite_write(s, cases[i], CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT, "ann",
                    "A new one comes.");
        position = suite_step(s, "ResolveCase", cases[i], "ann");
    }
    cr_expect_eq(timers_of(s, account, position), CASES);
    suite_advance(s, ALMOST);
    expect_all(s, cases, STATUS(RESOLVED));
    for (int i = 0; i < CASES; i++)
        position = suite_write(s, cases[i], CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER, NULL,
                               "Thanks!");
    int64_t last_message = suite_now_us(s);
    suite_advance(s, ALMOST);
    expect_all(s, cases, STATUS(RESOLVED));
    cr_expect_eq(found_with(s, account, STATUS(RESOLVED), position), CASES);
    cr_expect_eq(resolved_in_all(s, account, position), CASES);

    suite_advance(s, CLOCK_HOUR); /* past the deadline: the clock stops at it on the way */
    expect_all(s, cases, STATUS(CLOSED));
    for (int i = 0; i < CASES; i++)
        expect_close_time(s, cases[i], last_message + 72 * CLOCK_HOUR);
    position = suite_position(s, account);
    cr_expect_eq(timers_of(s, account, position), 0);
    cr_expect_eq(found_with(s, account, STATUS(RESOLVED), position), 0);
    cr_expect_eq(found_with(s, account, STATUS(CLOSED), position), CASES);
    cr_expect_eq(resolved_in_all(s, account, position), CASES, "closing moves nothing in the report");
    arena_free(memory);
    suite_stop(s);
}
