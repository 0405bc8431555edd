#include "feed/waiters.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct note {
    atomic_int reached, missed;
};

static void note_wake(void *argument, bool reached)
{
    struct note *note = argument;
    atomic_fetch_add(reached ? &note->reached : &note->missed, 1);
}

static feed_waiters *new_waiters(size_t limit)
{
    feed_waiters *waiters;
    error err;
    cr_assert(feed_waiters_new(limit, &waiters, &err));
    return waiters;
}

static void reach(feed_waiters *waiters, int partition, int64_t position)
{
    int64_t positions[FEED_PARTITIONS] = {0};
    positions[partition] = position;
    feed_waiters_reach(waiters, positions);
}

static void await(feed_waiters *waiters, int partition, int64_t position, int64_t deadline_us,
                  struct note *note)
{
    error err;
    cr_assert(feed_waiters_add(waiters, partition, position, deadline_us, note_wake, note, &err));
}

static bool comes_true(atomic_int *value, int expected)
{
    for (int i = 0; i < 2000 && atomic_load(value) != expected; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return atomic_load(value) == expected;
}

Test(feed_waiters, wake_when_their_position_is_reached)
{
    feed_waiters *waiters = new_waiters(100);
    struct note at_once = {0}, five = {0}, other = {0};
    reach(waiters, 3, 4);
    await(waiters, 3, 4, INT64_MAX, &at_once);
    cr_assert_eq(at_once.reached, 1);
    await(waiters, 3, 5, INT64_MAX, &five);
    await(waiters, 7, 1, INT64_MAX, &other);
    cr_assert_eq(five.reached, 0);
    reach(waiters, 3, 6);
    cr_assert_eq(five.reached, 1);
    cr_assert_eq(other.reached, 0);
    cr_assert_eq(feed_waiters_count(waiters), 1);
    cr_assert_eq(feed_waiters_position(waiters, 3), 6);
    feed_waiters_free(waiters);
    cr_assert_eq(other.missed, 1);
}

Test(feed_waiters, give_up_at_their_deadline)
{
    feed_waiters *waiters = new_waiters(100);
    struct note late = {0}, soon = {0};
    int64_t now = clock_monotonic_us();
    await(waiters, 0, 10, now + 3600 * CLOCK_SECOND, &late);
    await(waiters, 0, 10, now + 20000, &soon);
    cr_assert(comes_true(&soon.missed, 1));
    cr_assert_geq(clock_monotonic_us(), now + 20000);
    cr_assert_eq(late.missed, 0);
    reach(waiters, 0, 10);
    cr_assert_eq(late.reached, 1);
    feed_waiters_free(waiters);
}

Test(feed_waiters, are_bounded)
{
    feed_waiters *waiters = new_waiters(2);
    struct note note = {0};
    error err;
    await(waiters, 0, 1, INT64_MAX, &note);
    await(waiters, 1, 1, INT64_MAX, &note);
    cr_assert_not(feed_waiters_add(waiters, 2, 1, INT64_MAX, note_wake, &note, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    reach(waiters, 0, 1);
    await(waiters, 2, 1, INT64_MAX, &note);
    feed_waiters_stop(waiters);
    cr_assert_eq(note.reached, 1);
    cr_assert_eq(note.missed, 2);
    cr_assert_not(feed_waiters_add(waiters, 2, 1, INT64_MAX, note_wake, &note, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    feed_waiters_free(waiters);
}

/* Each one wakes exactly once, and not before its position, in whatever order they come. */
struct step {
    int partition;
    int64_t position;
    const int64_t *reached;
    int woken;
};

static void check_step(void *argument, bool reached)
{
    struct step *step = argument;
    cr_assert(reached);
    cr_assert_geq(step->reached[step->partition], step->position);
    step->woken++;
}

Test(feed_waiters, wake_once_and_in_time)
{
    enum { COUNT = 2000 };
    static struct step steps[COUNT];
    int64_t positions[FEED_PARTITIONS] = {0};
    feed_waiters *waiters = new_waiters(COUNT);
    srand(3);
    int64_t far = clock_monotonic_us() + 3600 * CLOCK_SECOND;
    for (int i = 0; i < COUNT; i++) {
        error err;
        steps[i] = (struct step){rand() % 4, rand() % 500, positions, 0};
        cr_assert(feed_waiters_add(waiters, steps[i].partition, steps[i].position, far + rand() % 1000,
                                   check_step, &steps[i], &err));
        if (i % 10)
            continue;
        positions[rand() % 4] += rand() % 5;
        feed_waiters_reach(waiters, positions);
    }
    for (int i = 0; i < 4; i++)
        positions[i] = 500;
    feed_waiters_reach(waiters, positions);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(steps[i].woken, 1);
    cr_assert_eq(feed_waiters_count(waiters), 0);
    feed_waiters_free(waiters);
}

static void *advance(void *argument)
{
    int64_t positions[FEED_PARTITIONS] = {0};
    for (positions[0] = 1; positions[0] <= 20000; positions[0]++)
        feed_waiters_reach(argument, positions);
    return NULL;
}

Test(feed_waiters, none_is_missed_while_the_position_moves)
{
    feed_waiters *waiters = new_waiters(100000);
    struct note note = {0};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, advance, waiters), 0);
    for (int i = 1; i <= 20000; i++)
        await(waiters, 0, i, INT64_MAX, &note);
    pthread_join(thread, NULL);
    cr_assert(comes_true(&note.reached, 20000));
    feed_waiters_free(waiters);
}

struct held_back {
    const char *account;
    int64_t from; /* INT64_MAX: not held */
};

static bool is_held(void *context, int partition, const char *account, int64_t position)
{
    const struct held_back *held = context;
    return partition == feed_partition(held->account) && position >= held->from &&
           (!account || strcmp(account, held->account) == 0);
}

static void await_account(feed_waiters *waiters, const char *account, int64_t position, struct note *note)
{
    error err;
    cr_assert(feed_waiters_add_account(waiters, account, position, INT64_MAX, note_wake, note, &err));
}

Test(feed_waiters, of_an_account_that_is_held_back_wait_alone)
{
    char other[32] = "other0";
    int partition = feed_partition("acme");
    for (int i = 1; feed_partition(other) != partition; i++)
        snprintf(other, sizeof other, "other%d", i);
    struct held_back held = {"acme", 5};
    feed_waiters *waiters = new_waiters(100);
    feed_waiters_hold(waiters, is_held, &held);
    struct note before = {0}, early = {0}, late = {0}, beyond = {0}, whole = {0}, neighbour = {0};
    await_account(waiters, "acme", 4, &before);
    await_account(waiters, "acme", 5, &early);
    await_account(waiters, "acme", 20, &beyond);
    await_account(waiters, other, 8, &neighbour);
    await(waiters, partition, 8, INT64_MAX, &whole);
    reach(waiters, partition, 10);
    await_account(waiters, "acme", 9, &late);
    cr_assert_eq(before.reached, 1);
    cr_assert_eq(neighbour.reached, 1);
    cr_assert_eq(early.reached + late.reached + whole.reached + beyond.reached, 0);
    held.from = 7;
    feed_waiters_release(waiters);
    cr_assert_eq(early.reached, 1);
    cr_assert_eq(late.reached + whole.reached, 0);
    reach(waiters, partition, 0); /* everything starts anew */
    held.from = INT64_MAX;
    feed_waiters_release(waiters);
    cr_assert_eq(late.reached + whole.reached, 0);
    reach(waiters, partition, 10);
    cr_assert_eq(late.reached, 1);
    cr_assert_eq(whole.reached, 1);
    cr_assert_eq(beyond.reached, 0);
    feed_waiters_free(waiters);
    cr_assert_eq(beyond.missed, 1);
}
