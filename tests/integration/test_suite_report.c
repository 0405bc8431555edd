/* The worked examples of the case activity report, from commands to numbers. */

#include "base/clock.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MEMORY = 4 * 1024 * 1024, HOURS = 24 };

typedef Casework__Report__V1__GetCaseActivityResponse activity;

struct scene {
    suite *s;
    arena *memory;
    const char *account;
};

static struct scene begin(void)
{
    struct scene scene = {.s = suite_start(NULL), .memory = arena_new(MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "ann");
    return scene;
}

static void end(struct scene *scene)
{
    arena_free(scene->memory);
    suite_stop(scene->s);
}

static const char *create(struct scene *scene)
{
    return suite_create_case(scene->s, scene->account, "Invoice", "Where is it?", scene->memory, NULL);
}

static void to_hour(struct scene *scene, const char *time)
{
    int64_t to;
    cr_assert(clock_parse(time, &to));
    suite_advance(scene->s, to - suite_now_us(scene->s));
}

/* A day by hours, complete up to now. */
static const activity *day(struct scene *scene, const char *date)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = (char *)scene->account;
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_DATE;
    request.date = (char *)date;
    request.min_position = suite_position(scene->s, scene->account);
    const activity *answer = suite_call(scene->s, &casework__report__v1__report_service__descriptor,
                                        "GetCaseActivity", &request, scene->memory);
    cr_assert_eq(answer->n_rows, HOURS);
    return answer;
}

Test(suite_report, four_pending_and_one_of_them_resolved)
{
    struct scene scene = begin();
    const char *cases[4];
    for (int i = 0; i < 4; i++)
        cases[i] = create(&scene);
    to_hour(&scene, "2026-03-02T10:00:00Z");
    for (int i = 0; i < 4; i++)
        suite_step(scene.s, "MarkCasePending", cases[i], "ann");
    cr_expect_eq(day(&scene, "2026-03-02")->rows[10]->pending, 4);
    to_hour(&scene, "2026-03-02T11:00:00Z");
    suite_step(scene.s, "ResolveCase", cases[0], "ann");

    const activity *report = day(&scene, "2026-03-02");
    cr_expect_eq(report->rows[9]->created, 4);
    cr_expect_eq(report->rows[10]->pending, 3);
    cr_expect_eq(report->rows[11]->resolved, 1);
    cr_expect_eq(report->total->pending, 3);
    cr_expect_eq(report->total->resolved, 1);
    cr_assert_not_null(report->rows[11]->average_resolve_duration);
    cr_expect_eq(report->rows[11]->average_resolve_duration->seconds, 2 * 3600);
    end(&scene);
}

Test(suite_report, a_reopened_case_leaves_the_hour_in_which_it_was_resolved)
{
    struct scene scene = begin();
    const char *name = create(&scene);
    to_hour(&scene, "2026-03-02T14:00:00Z");
    suite_step(scene.s, "ResolveCase", name, "ann");
    cr_expect_eq(day(&scene, "2026-03-02")->rows[14]->resolved, 1);
    to_hour(&scene, "2026-03-02T16:00:00Z");
    suite_step(scene.s, "ReopenCase", name, "ann");

    const activity *report = day(&scene, "2026-03-02");
    cr_expect_eq(report->rows[14]->resolved, 0);
    const Casework__Report__V1__CaseActivityRow *row = report->rows[16];
    cr_expect_eq(row->created + row->pending + row->resolved + row->deleted, 0);
    end(&scene);
}

Test(suite_report, after_three_days_places_are_final)
{
    struct scene scene = begin();
    const char *name = create(&scene);
    to_hour(&scene, "2026-03-03T12:00:00Z");
    suite_step(scene.s, "MarkCasePending", name, "ann");
    cr_expect_eq(day(&scene, "2026-03-03")->total->pending, 1);
    to_hour(&scene, "2026-03-04T12:00:00Z");
    suite_step(scene.s, "ResolveCase", name, "ann");
    cr_expect_eq(day(&scene, "2026-03-03")->total->pending, 0);
    cr_expect_eq(day(&scene, "2026-03-04")->total->resolved, 1);
    to_hour(&scene, "2026-03-05T12:00:00Z");
    suite_step(scene.s, "MarkCasePending", name, "ann");

    cr_expect_eq(day(&scene, "2026-03-02")->total->created, 1);
    cr_expect_eq(day(&scene, "2026-03-03")->total->pending, 0);
    cr_expect_eq(day(&scene, "2026-03-04")->total->resolved, 1);
    cr_expect_eq(day(&scene, "2026-03-05")->total->pending, 0);
    end(&scene);
}
