/*
 * Generated histories (tests/support/report_story) over changes of daylight saving, while report services are
 * killed and every event is told twice; then every report against a plain reading of each case's history, and
 * the tables against a rebuild. CASEWORK_REPORT_STEPS=5000 runs longer, CASEWORK_REPORT_SEEDS=20 so many
 * histories, CASEWORK_REPORT_SEED=… (printed) the same again.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "tests/support/plain_engagements.h"
#include "tests/support/report_rebuild_run.h"
#include "tests/support/report_story.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(engagement_history, .timeout = 86400);

enum { STEPS = 500 };

/* An account leaves nothing behind. */
static void end_account(const struct report_story *s)
{
    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    gone.name = (char *)s->shop.account;
    suite_call(s->shop.suite, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &gone,
               s->shop.memory);
    cr_assert_eq(report_rebuild_run(s->shop.suite, "check", ""), 0, "a rebuild after the deletion differs");
}

/* Compared at 250 steps, 500, 1,000, 2,000, … and at the end: twice the last one in all. */
static void live(uint64_t seed, const char *zone, const struct suite_options *options, int64_t error_percent)
{
    struct report_story *s = report_story_begin(zone, options, seed);
    size_t steps = report_story_number("CASEWORK_REPORT_STEPS", STEPS), next = STEPS / 2;
    s->error_percent = error_percent;
    for (size_t done = 0; done < steps; done = next, next *= 2) {
        next = next < steps ? next : steps;
        report_story_go_on(s, next - done);
        report_story_compare(s);
    }
    end_account(s);
    report_story_end(s);
}

static void live_on(const char *zone, const struct suite_options *options, int64_t error_percent)
{
    uint64_t seed = report_story_seed();
    size_t histories = report_story_number("CASEWORK_REPORT_SEEDS", 1);
    for (size_t i = 0; i < histories; i++)
        live(seed + i, zone, options, error_percent);
}

Test(engagement_history, every_report_equals_a_plain_reading_of_each_case)
{
    const struct suite_options options = {.clock = "manual=2026-03-20T09:07:00Z"};
    live_on("Europe/Amsterdam", &options, 0);
}

/* Two of each service. */
Test(engagement_history, beyond_the_exact_ones_percentiles_are_within_one_per_cent)
{
    static const char *const settings[] = {"REPORT_EXACT_MAX=0", NULL};
    const struct suite_options options = {
        .clock = "manual=2026-10-25T09:07:00Z", .settings = settings, .replicas = 2};
    live_on("America/New_York", &options, 1);
}

/* --- the real conversations --------------------------------------------------------------------------------
 */

static size_t cases_of(suite *s, const char *account, arena *memory)
{
    Casework__Cases__V1__CountCasesRequest request = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    const Casework__Cases__V1__CountCasesResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "CountCases", &request, memory);
    for (size_t i = 0; i < response->n_counts; i++) {
        if (response->counts[i]->folder == CASEWORK__CASES__V1__FOLDER__FOLDER_ALL)
            return (size_t)response->counts[i]->count;
    }
    return 0;
}

Test(engagement_history, the_real_conversations)
{
    const char *path = suite_conversations();
    suite *s = suite_start(NULL);
    arena *memory = arena_new((size_t)2 << 30);
    cr_assert_eq(suite_run(s, (const char *const[]){"import", path, NULL}, NULL), 0);
    Casework__Cases__V1__ListAccountsRequest list = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    list.page_size = 1000;
    const Casework__Cases__V1__ListAccountsResponse *accounts =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "ListAccounts", &list, memory);
    size_t cases = 0;
    for (size_t i = 0; i < accounts->n_accounts; i++) {
        const char *account = accounts->accounts[i]->name;
        const struct plain_settings settings = {.zone = accounts->accounts[i]->time_zone,
                                                .lock_days = accounts->accounts[i]->report_lock_days};
        struct plain_activity activity = {
            .suite = s, .account = account, .settings = &settings, .settings_count = 1, .memory = memory};
        size_t count = cases_of(s, account, memory);
        struct plain_history history = plain_read(s, account, count, memory);
        cr_expect_gt(plain_compare(&history, i + 1), 0);
        cr_expect_gt(plain_activity_compare(&activity, count, i + 1, memory), 0);
        cases += count;
    }
    cr_expect_eq(cases, 503);
    arena_free(memory);
    suite_stop(s);
}
