/* A merge and its undoing, as search, timers and reports see it. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MEMORY = 8 * 1024 * 1024 };

#define CASES (&casework__cases__v1__case_service__descriptor)

/* The names of the cases that have the word, each behind a space. */
static const char *found(suite *s, const char *account, const char *word, int64_t position, arena *memory)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)account;
    request.query = (char *)(uintptr_t)word;
    request.min_position = position;
    const Casework__Search__V1__SearchCasesResponse *response =
        suite_call(s, &casework__search__v1__search_service__descriptor, "SearchCases", &request, memory);
    const char *names = "";
    for (size_t i = 0; i < response->n_results; i++)
        names = arena_printf(memory, "%s %s", names, response->results[i]->case_);
    return names;
}

static size_t timers_of(suite *s, const char *name, int64_t position, arena *memory)
{
    Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)name;
    request.min_position = position;
    const Casework__Sla__V1__ListCaseTimersResponse *response =
        suite_call(s, &casework__sla__v1__sla_service__descriptor, "ListCaseTimers", &request, memory);
    return response->n_timers;
}

static const char *counted(suite *s, const char *account, int64_t position, arena *memory)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)account;
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_PRESET;
    request.preset = CASEWORK__REPORT__V1__REPORT_PERIOD__REPORT_PERIOD_LAST_7_DAYS;
    request.min_position = position;
    const Casework__Report__V1__GetCaseActivityResponse *response =
        suite_call(s, &casework__report__v1__report_service__descriptor, "GetCaseActivity", &request, memory);
    return arena_printf(memory, "%d %d %d %d", (int)response->total->created, (int)response->total->pending,
                        (int)response->total->resolved, (int)response->total->deleted);
}

Test(suite_merge, followers_see_the_merge_and_its_undoing, .timeout = 120)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    suite_create_agent(s, account, "ann");
    const char *source = suite_create_case(s, account, "Kettle", "It whistles alphaword.", memory, NULL);
    const char *target = suite_create_case(s, account, "Toaster", "It smokes betaword.", memory, NULL);
    suite_step(s, "ResolveCase", source, "ann");
    int64_t position = suite_step(s, "MarkCasePending", target, "ann");
    cr_expect_eq(timers_of(s, source, position, memory), 1);
    cr_expect_str_eq(counted(s, account, position, memory), "2 1 1 0");

    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    merge.source = (char *)(uintptr_t)source;
    merge.target = (char *)(uintptr_t)target;
    const Casework__Cases__V1__MergeCasesResponse *merged =
        suite_call(s, CASES, "MergeCases", &merge, memory);
    cr_expect_str_eq(found(s, account, "alphaword", merged->position, memory),
                     arena_printf(memory, " %s", target), "its messages are at the target");
    cr_expect_str_eq(found(s, account, "kettle", merged->position, memory),
                     arena_printf(memory, " %s", source), "its own subject finds it");
    cr_expect_eq(timers_of(s, source, merged->position, memory), 0);
    cr_expect_str_eq(counted(s, account, merged->position, memory), "2 1 1 0");
    suite_advance(s, 100 * CLOCK_HOUR);
    cr_expect_eq((int)suite_case(s, source, memory)->status, 4, "no rule has closed it");

    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = merge.source;
    const Casework__Cases__V1__UnmergeCasesResponse *undone =
        suite_call(s, CASES, "UnmergeCases", &undo, memory);
    cr_expect_str_eq(found(s, account, "alphaword", undone->position, memory),
                     arena_printf(memory, " %s", source));
    cr_expect_eq(timers_of(s, source, undone->position, memory), 1);
    cr_expect_str_eq(counted(s, account, undone->position, memory), "2 1 1 0");
    suite_advance(s, 71 * CLOCK_HOUR);
    cr_expect_eq((int)suite_case(s, source, memory)->status, 4, "the timer has started anew");
    suite_advance(s, 2 * CLOCK_HOUR);
    cr_expect_eq((int)suite_case(s, source, memory)->status, 5);
    arena_free(memory);
    suite_stop(s);
}
