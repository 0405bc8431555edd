/* pg/notify.h: wake-ups between two parties over one server. */

#include "base/clock.h"
#include "base/log.h"
#include "pg/notify.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <time.h>

static embedded_pg *server;
static pg_notifier *notifier;
static pg_listener *listener;
static atomic_ullong heard_now;
static atomic_int calls, connections;

static void heard(void *context, uint64_t partitions)
{
    (void)context;
    if (partitions == UINT64_MAX)
        connections++;
    else
        heard_now |= partitions;
    calls++;
}

static void wait_until_connected(int times)
{
    int64_t until = clock_monotonic_us() + 20 * CLOCK_SECOND;
    while (connections < times && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_geq(connections, times);
}

static void wait_for(uint64_t partitions)
{
    int64_t until = clock_monotonic_us() + 10 * CLOCK_SECOND;
    while ((heard_now & partitions) != partitions && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_eq(heard_now & partitions, partitions);
}

static void set_up(void)
{
    error err = {0};
    log_init("test", LOG_LEVEL_OFF);
    server = pg_server_start(false, NULL);
    struct pg_options o = {.url = embedded_pg_url(server)};
    cr_assert(pg_listener_new(&o, "feed", NULL, heard, NULL, &listener, &err));
    cr_assert(pg_notifier_new(&o, "feed", &notifier, &err));
    wait_until_connected(1);
}

static void tear_down(void)
{
    pg_notifier_free(notifier);
    pg_listener_free(listener);
    embedded_pg_free(server);
}

TestSuite(pg_notify, .init = set_up, .fini = tear_down, .timeout = 60);

Test(pg_notify, partitions_are_heard)
{
    pg_notifier_wake(notifier, UINT64_C(1) << 5);
    wait_for(UINT64_C(1) << 5);
    pg_notifier_wake(notifier, UINT64_C(1) << 63);
    wait_for(UINT64_C(1) << 63 | UINT64_C(1) << 5);
    cr_assert_eq(heard_now, UINT64_C(1) << 63 | UINT64_C(1) << 5);
}

static atomic_uint_fast64_t others;

static void heard_others(void *context, uint64_t partitions)
{
    (void)context;
    if (partitions != UINT64_MAX)
        others |= partitions;
    else
        connections++;
}

Test(pg_notify, what_one_sends_oneself_is_passed_over)
{
    struct pg_options o = {.url = embedded_pg_url(server)};
    pg_notifier *own;
    pg_listener *l;
    error err = {0};
    cr_assert(pg_notifier_new(&o, "feed", &own, &err));
    cr_assert(pg_listener_new(&o, "feed", own, heard_others, NULL, &l, &err));
    wait_until_connected(2);
    pg_notifier_wake(own, 1);
    wait_for(1);
    pg_notifier_wake(notifier, 2);
    int64_t until = clock_monotonic_us() + 10 * CLOCK_SECOND;
    while (others == 0 && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_eq(others, 2, "in the order sent: its own would have come before");
    pg_notifier_free(own);
    pg_listener_free(l);
}

Test(pg_notify, many_wake_ups_are_sent_as_few)
{
    for (int i = 0; i < 100000; i++)
        pg_notifier_wake(notifier, UINT64_C(1) << (i % 60));
    wait_for((UINT64_C(1) << 60) - 1);
    cr_assert_lt(calls, 5000);
}

Test(pg_notify, after_a_restart_everything_may_have_moved)
{
    error err = {0};
    embedded_pg_stop(server, EMBEDDED_PG_IMMEDIATE);
    pg_notifier_wake(notifier, 1);
    cr_assert(embedded_pg_restart(server, &err));
    wait_until_connected(2);
    pg_notifier_wake(notifier, 2);
    wait_for(2);
}

Test(pg_notify, a_channel_is_an_identifier)
{
    error err = {0};
    pg_notifier *n;
    pg_listener *l;
    struct pg_options o = {.url = embedded_pg_url(server)};
    cr_assert_not(pg_notifier_new(&o, "feed; DROP", &n, &err));
    cr_assert_not(pg_listener_new(&o, "", NULL, heard, NULL, &l, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
}
