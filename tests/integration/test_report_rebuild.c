/* Rebuilding the report's tables beside those that serve: the same, exchanged, found different, and cut off.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "pg/pg.h"
#include "tests/support/engagements.h"
#include "tests/support/report_rebuild_run.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(report_rebuild, .timeout = 120);

enum { CASES = 12, DIFFERENT = 3 };

/* A few days of cases, and one account that is gone. */
static void live(struct shop *d)
{
    static const char *const labels[] = {"VIP", "Contract"};
    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    for (int i = 0; i < CASES; i++) {
        const char *name = shop_case(d);
        shop_write(d, name, i % 2 == 0 ? "ann" : "bob");
        suite_advance(d->suite, CLOCK_HOUR);
        shop_label(d, name, labels, (size_t)i % 3);
        shop_classify(d, name, "topic", i % 2 == 0 ? "Delivery" : "angry", true);
        if (i % 3 != 0)
            suite_step(d->suite, "ResolveCase", name, "ann");
        if (i % 4 == 0)
            shop_write(d, name, "customer");
    }
    gone.name = (char *)suite_create_account(d->suite, "gone", "UTC", d->memory);
    suite_create_case(d->suite, gone.name, "Chair", "It wobbles.", d->memory, NULL);
    suite_call(d->suite, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &gone,
               d->memory);
    suite_advance(d->suite, 5 * CLOCK_DAY);
}

/* Runs a script in the report's database. */
static void run(const struct shop *d, const char *script)
{
    const struct pg_options options = {.url = suite_database(d->suite, SUITE_REPORT)};
    pg_conn *conn;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err) && pg_run_script(conn, script, 0, &err), "%s (%s)",
              err.message, err.detail);
    pg_conn_close(conn);
}

static size_t engagements_of(const struct shop *d)
{
    const table_request request = shop_ask(d);
    return shop_table(d, &request)->n_engagements;
}

Test(report_rebuild, gives_the_same_tables_and_serves_from_them)
{
    struct shop d = shop_begin("Europe/Amsterdam", NULL);
    live(&d);
    cr_expect_eq(engagements_of(&d), CASES);
    cr_expect_eq(report_rebuild_run(d.suite, "check", ""), 0);
    cr_expect_eq(report_rebuild_run(d.suite, "swap", ""), 0);
    /* The service that has been running all along reads and writes the new ones. */
    cr_expect_eq(engagements_of(&d), CASES);
    shop_write(&d, shop_case(&d), "cid");
    cr_expect_eq(engagements_of(&d), CASES + 1);
    cr_expect_eq(report_rebuild_run(d.suite, "swap", ""), 0, "and they can be exchanged again");
    shop_end(&d);
}

Test(report_rebuild, finds_and_mends_what_differs)
{
    struct shop d = shop_begin("UTC", NULL);
    live(&d);
    suite_advance(d.suite, 5 * CLOCK_DAY);
    run(&d, "DELETE FROM report_engagements WHERE case_id = 1; UPDATE report_sums SET created = created + 1;"
            " UPDATE report_totals SET engagements = engagements + 1");
    cr_expect_eq(engagements_of(&d), CASES - 1);
    int status = report_rebuild_run(d.suite, "check", "");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == DIFFERENT);
    cr_expect_eq(engagements_of(&d), CASES - 1, "looking changes nothing");
    status = report_rebuild_run(d.suite, "swap", "");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == DIFFERENT);
    cr_expect_eq(engagements_of(&d), CASES);
    cr_expect_eq(report_rebuild_run(d.suite, "check", ""), 0);
    shop_end(&d);
}

Test(report_rebuild, a_rebuild_that_is_killed_leaves_all_as_it_was)
{
    static const char *const points[] = {"report_feed.applied=kill", "report_rebuild.before_exchange=kill"};
    struct shop d = shop_begin("UTC", NULL);
    live(&d);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        int status = report_rebuild_run(d.suite, "swap", points[i]);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", points[i]);
        cr_expect_eq(engagements_of(&d), CASES, "%s", points[i]);
        shop_write(&d, shop_case(&d), "ann"); /* counting goes on */
        cr_expect_eq(engagements_of(&d), CASES + 1);
        run(&d, "DELETE FROM report_engagements WHERE case_id > 12");
    }
    cr_expect_neq(report_rebuild_run(d.suite, "swap", ""), 0, "what was taken out above");
    cr_expect_eq(engagements_of(&d), CASES + 2);
    shop_end(&d);
}

Test(report_rebuild, wants_to_know_which)
{
    struct shop d = shop_begin("UTC", NULL);
    int status = report_rebuild_run(d.suite, "perhaps", "");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    shop_end(&d);
}
