/* `casework up`: healthy, told where, kept running, stopped in order. */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

Test(suite_up, starts_serves_and_stops_with_status_0)
{
    suite *s = suite_start(NULL);
    static const char *const health[] = {"health", NULL};
    struct stat status;
    int64_t start;
    cr_assert_eq(stat(suite_ready_file(s), &status), 0);
    cr_expect_eq(status.st_mode & 077, 0, "the ready file holds a token");
    json_t *answer = suite_run_json(s, health);
    for (int i = 0; i < SUITE_SERVICES; i++) {
        static const char *const names[] = {"case", "search", "sla", "report"};
        const char *said = json_string_value(json_object_get(answer, names[i]));
        cr_expect_str_eq(said ? said : "nothing", "SERVING", "%s", names[i]);
    }
    json_decref(answer);
    cr_assert(clock_parse(SUITE_START, &start));
    cr_expect_eq(suite_now_us(s), start);
    suite_advance(s, CLOCK_HOUR);
    cr_expect_eq(suite_now_us(s), start + CLOCK_HOUR);
    suite_stop(s);
}

Test(suite_up, what_dies_is_started_again)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(1024 * 1024);
    int64_t position;
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    const char *before = suite_create_case(s, account, "Before", "Hello", memory, &position);
    for (enum suite_service service = SUITE_CASE; service < SUITE_SERVICES; service++) {
        pid_t former = suite_kill(s, service, 0);
        suite_await_restart(s, service, 0, former);
    }
    cr_assert_eq(kill(suite_redis_pid(s), SIGKILL), 0);
    cr_expect_str_eq(suite_case(s, before, memory)->subject, "Before");
    suite_create_case(s, account, "After", "Hello again", memory, NULL);
    suite_advance(s, 0);
    arena_free(memory);
    suite_stop(s);
}

/* As root the servers run as other users, who must get to their folders. */
Test(suite_up, keeps_its_data_below_parents_that_it_has_made)
{
    char home[64], data[128], path[160];
    struct stat status;
    error err;
    cr_assert(process_make_scratch("casework-home", home, sizeof home, &err), "%s", err.message);
    cr_assert_eq(chmod(home, 0711), 0);
    snprintf(data, sizeof data, "%s/not/there/casework", home);
    umask(0077);
    for (int round = 0; round < 2; round++) {
        suite *s = suite_start(&(struct suite_options){.data_directory = data});
        arena *memory = arena_new(1024 * 1024);
        if (round == 0)
            suite_create_account(s, "acme", "UTC", memory);
        else
            suite_create_case(s, "accounts/acme", "Kept", "Hello", memory, NULL);
        arena_free(memory);
        suite_stop(s);
    }
    static const char *const private[] = {"postgresql", "redis", "keys"};
    for (size_t i = 0; i < sizeof private / sizeof *private; i++) {
        snprintf(path, sizeof path, "%s/%s", data, private[i]);
        cr_expect_eq(stat(path, &status), 0, "%s", path);
        cr_expect_eq(status.st_mode & 077, 0, "%s: %o", path, status.st_mode);
    }
    process_remove_tree(home);
}
