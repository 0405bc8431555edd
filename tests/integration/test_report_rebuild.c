/* Rebuilding the report's tables beside those that serve: the same, exchanged, found different, and cut off.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "feed/partition.h"
#include "pg/pg.h"
#include "tests/support/engagements.h"
#include "tests/support/report_rebuild_run.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(report_rebuild, .timeout = 120);

enum { CASES = 12, DIFFERENT = 3 };

/* A few days of cases, and one account of their partition that is gone: only the serving tables know its
 * commits. */
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
    const char *id;
    int number = 0;
    do
        id = arena_printf(d->memory, "gone-%d", ++number);
    while (feed_partition(id) != feed_partition("acme"));
    gone.name = (char *)suite_create_account(d->suite, id, "UTC", d->memory);
    suite_advance(d->suite, CLOCK_HOUR);
    suite_create_case(d->suite, gone.name, "Chair", "It wobbles.", d->memory, NULL);
    suite_advance(d->suite, CLOCK_HOUR);
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

/* Rows that nothing told of, and rows that are not true; those of the account that is gone are. */
Test(report_rebuild, finds_commits_that_never_were)
{
    static const char *const lies[] = {
        /* what has not been counted yet */
        "INSERT INTO report_commits SELECT partition, commit_time + interval '1 hour', position + 1"
        " FROM report_commits ORDER BY position DESC LIMIT 1",
        "INSERT INTO report_commits SELECT min(partition), '2026-03-01', 1 FROM report_partitions"
        " WHERE position = 0",
        /* a commit less, or at another time */
        "DELETE FROM report_commits WHERE (partition, position) IN (SELECT partition, min(position)"
        " FROM report_commits GROUP BY 1)",
        "UPDATE report_commits SET commit_time = commit_time - interval '1 us' WHERE (partition, position) IN"
        " (SELECT partition, max(position) FROM report_commits GROUP BY 1)",
        /* one that ended between two events of one commit: before it, and after it */
        "INSERT INTO report_commits SELECT e.partition, e.commit_time - interval '1 us', e.position"
        " FROM report_entries e JOIN report_commits c ON c.partition = e.partition AND"
        " c.commit_time = e.commit_time AND c.position > e.position LIMIT 1",
        "INSERT INTO report_commits SELECT e.partition, e.commit_time + interval '1 us', e.position"
        " FROM report_entries e JOIN report_commits c ON c.partition = e.partition AND"
        " c.commit_time = e.commit_time AND c.position > e.position LIMIT 1",
    };
    struct shop d = shop_begin("UTC", NULL);
    live(&d);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        run(&d, lies[i]);
        int status = report_rebuild_run(d.suite, "swap", "");
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == DIFFERENT, "%s", lies[i]);
    }
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

/* --- killed at any moment ---------------------------------------------------------------------------------
 */

enum { KILLS = 6 };

static void pass(int64_t duration_us)
{
    const struct timespec time = {.tv_sec = duration_us / CLOCK_SECOND,
                                  .tv_nsec = duration_us % CLOCK_SECOND * 1000};
    nanosleep(&time, NULL);
}

/* Kills the rebuild, or what it lives on; that goes on then. Answers how the rebuild ended. */
static int kill_one(const struct shop *d, pid_t rebuild, int victim)
{
    static const enum suite_service services[] = {SUITE_REPORT, SUITE_CASE};
    if (victim == 0) {
        kill(rebuild, SIGKILL);
        return report_rebuild_end(rebuild);
    }
    enum suite_service service = services[victim - 1];
    suite_await_restart(d->suite, service, 0, suite_kill(d->suite, service, 0));
    return report_rebuild_end(rebuild);
}

/*
 * Half of the moments are spread over the time that a whole one takes, from its very beginning; the others
 * are near to its end, where the tables are exchanged. CASEWORK_REPORT_KILLS=200 kills more often.
 */
Test(report_rebuild, whoever_is_killed_whenever_nothing_is_lost)
{
    struct shop d = shop_begin("UTC", NULL);
    live(&d);
    int64_t began = clock_monotonic_us();
    cr_assert_eq(report_rebuild_run(d.suite, "swap", ""), 0);
    int64_t whole = clock_monotonic_us() - began;
    unsigned seed = (unsigned)clock_real_us();
    fprintf(stderr, "seed %u, a whole one takes %.3f s\n", seed, (double)whole / CLOCK_SECOND);
    const char *more = getenv("CASEWORK_REPORT_KILLS");
    int kills = more != NULL ? (int)strtol(more, NULL, 10) : KILLS, killed = 0;
    for (int i = 0; i < kills; i++) {
        int64_t part = i < kills / 2 ? i * 1000 / (kills / 2) : 700 + rand_r(&seed) % 300;
        const char *name = shop_case(&d);
        /* the first one dies whatever else comes to pass */
        pid_t rebuild = report_rebuild_begin(d.suite, i % 4 == 3 ? "check" : "swap",
                                             i == 0 ? "report_feed.applied=kill" : "");
        pass(whole * part / 1000);
        int status = kill_one(&d, rebuild, i % 2 == 0 ? 0 : 1 + i / 2 % 2);
        killed += WIFSIGNALED(status);
        cr_expect(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "kill %d ended with %d", i, status);
        shop_write(&d, name, "ann"); /* counting goes on */
        cr_expect_eq(engagements_of(&d), (size_t)CASES + 1 + (size_t)i, "kill %d", i);
    }
    cr_expect_gt(killed, 0);
    cr_expect_eq(report_rebuild_run(d.suite, "check", ""), 0);
    shop_end(&d);
}

Test(report_rebuild, wants_to_know_which)
{
    struct shop d = shop_begin("UTC", NULL);
    int status = report_rebuild_run(d.suite, "perhaps", "");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    shop_end(&d);
}
