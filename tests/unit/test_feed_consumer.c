#include "feed/consumer.h"

#include "base/clock.h"
#include "tests/support/fake_events.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* An owner as owners should be: what it has applied and the positions change together. */
struct owner {
    pthread_mutex_t lock;
    struct feed_positions positions;
    int64_t applied[FEED_PARTITIONS];
    size_t count, resets, cases; /* events, resets, cases of snapshots */
    int refusals;                /* how many of the next applies fail */
    bool wrong;                  /* an event came twice, or not in its turn */
    atomic_int applies;
    pthread_mutex_t busy; /* held while it applies, or by a test that wants it to be busy */
    atomic_int caught_up;
};

static bool load(void *context, struct feed_positions *ret_positions, error *err)
{
    (void)err;
    struct owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    *ret_positions = owner->positions;
    pthread_mutex_unlock(&owner->lock);
    return true;
}

static bool apply(void *context, Casework__Cases__V1__Event *const *events, size_t count,
                  const struct feed_positions *heads, error *err)
{
    struct owner *owner = context;
    atomic_fetch_add(&owner->applies, 1);
    pthread_mutex_lock(&owner->busy);
    pthread_mutex_unlock(&owner->busy);
    pthread_mutex_lock(&owner->lock);
    bool refused = owner->refusals > 0 && owner->refusals-- > 0;
    for (size_t i = 0; !refused && i < count; i++) {
        int64_t *applied = &owner->applied[events[i]->partition];
        owner->wrong = owner->wrong || events[i]->position != *applied + 1;
        *applied = events[i]->position;
        owner->count++;
    }
    if (!refused)
        owner->positions = *heads;
    pthread_mutex_unlock(&owner->lock);
    return !refused || error_set(err, STATUS_UNAVAILABLE, "", "refused on purpose");
}

static bool snapshot(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part,
                     const struct feed_positions *reached, error *err)
{
    struct owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    bool refused = part->n_cases > 0 && owner->refusals > 0 && owner->refusals-- > 0;
    if (!refused) {
        owner->cases += part->n_cases;
        if (reached) {
            owner->positions = *reached;
            memcpy(owner->applied, reached->at, sizeof owner->applied);
        }
    }
    pthread_mutex_unlock(&owner->lock);
    return !refused || error_set(err, STATUS_UNAVAILABLE, "", "refused on purpose");
}

static bool reset(void *context, const char *epoch, error *err)
{
    (void)err;
    struct owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    memset(&owner->positions, 0, sizeof owner->positions);
    memset(owner->applied, 0, sizeof owner->applied);
    snprintf(owner->positions.epoch, sizeof owner->positions.epoch, "%s", epoch);
    owner->count = 0;
    owner->resets++;
    pthread_mutex_unlock(&owner->lock);
    return true;
}

static void caught_up(void *context)
{
    atomic_fetch_add(&((struct owner *)context)->caught_up, 1);
}

static const struct feed_consumer_handlers handlers = {
    .load = load, .apply = apply, .reset = reset, .caught_up = caught_up};

static const struct feed_consumer_handlers handlers_with_snapshot = {
    .load = load, .apply = apply, .snapshot = snapshot, .reset = reset, .caught_up = caught_up};

struct world {
    fake_events *events;
    rpc_channel *channel;
    feed_consumer *consumer;
    struct owner owner;
};

static void begin(struct world *world)
{
    error err;
    memset(world, 0, sizeof *world);
    pthread_mutex_init(&world->owner.lock, NULL);
    pthread_mutex_init(&world->owner.busy, NULL);
    world->events = fake_events_new(NULL, NULL);
    const struct rpc_channel_options options = {.target = fake_events_target(world->events)};
    cr_assert(rpc_channel_new(&options, &world->channel, &err), "%s", err.message);
}

static void consume_with(struct world *world, const struct feed_consumer_handlers *with)
{
    error err;
    cr_assert(feed_consumer_new(world->channel, with, &world->owner, &world->consumer, &err), "%s",
              err.message);
}

static void consume(struct world *world)
{
    consume_with(world, &handlers);
}

static void end(struct world *world)
{
    feed_consumer_free(world->consumer);
    rpc_channel_free(world->channel);
    fake_events_free(world->events);
    cr_assert_not(world->owner.wrong);
    pthread_mutex_destroy(&world->owner.lock);
    pthread_mutex_destroy(&world->owner.busy);
}

static int64_t add(struct world *world, const char *account)
{
    return fake_events_add(world->events, account, 1,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_ADDED, NULL);
}

static void wait_for(struct world *world, const char *account, int64_t position)
{
    struct feed_positions heads = {.at = {0}};
    error err;
    heads.at[feed_partition(account)] = position;
    cr_assert(feed_consumer_wait(world->consumer, &heads, clock_monotonic_us() + 20 * CLOCK_SECOND, &err),
              "%s", err.message);
    cr_assert_eq(feed_consumer_position(world->consumer, feed_partition(account)), position);
}

static size_t count(struct world *world)
{
    pthread_mutex_lock(&world->owner.lock);
    size_t applied = world->owner.count;
    pthread_mutex_unlock(&world->owner.lock);
    return applied;
}

Test(feed_consumer, applies_every_event_once_in_order, .timeout = 60)
{
    struct world world;
    begin(&world);
    for (int i = 0; i < 10; i++)
        add(&world, i % 2 ? "acme" : "beta");
    consume(&world);
    wait_for(&world, "acme", 5);
    wait_for(&world, "beta", 5);
    cr_assert_eq(count(&world), 10);
    cr_assert(feed_consumer_caught_up(world.consumer));
    wait_for(&world, "acme", 5);
    int64_t position = add(&world, "acme");
    wait_for(&world, "acme", position);
    cr_assert_eq(count(&world), 11);
    cr_assert_eq(world.owner.caught_up, 1);
    end(&world);
}

Test(feed_consumer, goes_on_after_a_break_though_events_come_twice, .timeout = 60)
{
    struct world world;
    begin(&world);
    consume(&world);
    wait_for(&world, "acme", add(&world, "acme"));
    fake_events_repeat(world.events, 2);
    for (int i = 0; i < 3; i++) {
        fake_events_break(world.events);
        add(&world, "acme");
        wait_for(&world, "acme", add(&world, "acme"));
    }
    cr_assert_eq(count(&world), 7);
    end(&world);
}

Test(feed_consumer, reads_again_what_could_not_be_applied, .timeout = 60)
{
    struct world world;
    begin(&world);
    world.owner.refusals = 2;
    add(&world, "acme");
    add(&world, "acme");
    consume(&world);
    wait_for(&world, "acme", 2);
    cr_assert_eq(count(&world), 2);
    cr_assert_geq(fake_events_streams_opened(world.events), 3);
    end(&world);
}

/* Busy with one event, while as many responses more come in. */
static void be_busy(struct world *world, int responses)
{
    begin(world);
    consume(world);
    wait_for(world, "acme", add(world, "acme"));
    int applies = world->owner.applies;
    pthread_mutex_lock(&world->owner.busy);
    for (int i = 0; i < responses + 1; i++) {
        add(world, "acme");
        while (world->owner.applies == applies)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

Test(feed_consumer, takes_along_what_has_come_while_it_was_busy, .timeout = 60)
{
    struct world world;
    be_busy(&world, 50);
    int applies = world.owner.applies;
    pthread_mutex_unlock(&world.owner.busy);
    wait_for(&world, "acme", 52);
    cr_assert_eq(count(&world), 52);
    cr_assert_lt(world.owner.applies, applies + 50);
    end(&world);
}

Test(feed_consumer, applies_what_came_before_a_break, .timeout = 60)
{
    struct world world;
    be_busy(&world, 5);
    fake_events_break(world.events);
    pthread_mutex_unlock(&world.owner.busy);
    wait_for(&world, "acme", 7);
    cr_assert_eq(count(&world), 7);
    wait_for(&world, "acme", add(&world, "acme"));
    end(&world);
}

Test(feed_consumer, starts_anew_under_another_epoch, .timeout = 60)
{
    struct world world;
    begin(&world);
    consume(&world);
    add(&world, "acme");
    wait_for(&world, "acme", add(&world, "acme"));
    fake_events_restore(world.events, "second");
    add(&world, "beta");
    wait_for(&world, "beta", 1);
    cr_assert_eq(world.owner.resets, 1);
    cr_assert_str_eq(world.owner.positions.epoch, "second");
    cr_assert_eq(count(&world), 1);
    cr_assert_eq(feed_consumer_position(world.consumer, feed_partition("acme")), 0);
    end(&world);
}

Test(feed_consumer, begins_with_a_snapshot_and_goes_on_from_there, .timeout = 60)
{
    struct world world;
    begin(&world);
    for (int i = 0; i < 10; i++)
        add(&world, i % 2 ? "acme" : "beta");
    consume_with(&world, &handlers_with_snapshot);
    wait_for(&world, "acme", 5);
    cr_assert_eq(count(&world), 0, "nothing of before comes as an event");
    cr_assert_eq(world.owner.cases, 2);
    wait_for(&world, "acme", add(&world, "acme"));
    cr_assert_eq(count(&world), 1);
    fake_events_break(world.events);
    wait_for(&world, "acme", add(&world, "acme"));
    cr_assert_eq(fake_events_snapshots_read(world.events), 1, "who has a position goes on from it");
    cr_assert_eq(count(&world), 2);
    end(&world);
}

Test(feed_consumer, a_snapshot_that_failed_is_made_up_for_by_events, .timeout = 60)
{
    struct world world;
    begin(&world);
    for (int i = 0; i < 10; i++)
        add(&world, i % 2 ? "acme" : "beta");
    world.owner.refusals = 1; /* of the first partition with cases: those before it are reached */
    consume_with(&world, &handlers_with_snapshot);
    wait_for(&world, "acme", 5);
    wait_for(&world, "beta", 5);
    cr_assert_eq(world.owner.cases, 0);
    cr_assert_eq(count(&world), 10);
    cr_assert_eq(feed_consumer_position(world.consumer, feed_partition("acme")), 5);
    end(&world);
}

static void note(void *argument, bool reached)
{
    atomic_store((atomic_int *)argument, reached ? 1 : 2);
}

Test(feed_consumer, a_stop_wakes_those_who_wait, .timeout = 60)
{
    struct world world;
    begin(&world);
    consume(&world);
    atomic_int woken = 0;
    error err;
    cr_assert(feed_consumer_await(world.consumer, 0, 99, INT64_MAX, note, &woken, &err));
    feed_consumer_stop(world.consumer);
    cr_assert_eq(woken, 2);
    cr_assert_not(feed_consumer_await(world.consumer, 0, 99, INT64_MAX, note, &woken, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    end(&world);
}

Test(feed_consumer, a_wait_ends_at_its_deadline, .timeout = 60)
{
    struct world world;
    begin(&world);
    consume(&world);
    struct feed_positions heads = {.at = {[5] = 1}};
    error err;
    cr_assert_not(feed_consumer_wait(world.consumer, &heads, clock_monotonic_us() + 30000, &err));
    cr_assert_eq(err.code, STATUS_DEADLINE_EXCEEDED);
    end(&world);
}
