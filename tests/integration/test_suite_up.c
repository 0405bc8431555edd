/* `casework up`: healthy, told where, kept running, stopped in order. */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <signal.h>
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
