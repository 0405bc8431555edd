/* What the search service tells Prometheus, as it happens. */

#include "base/clock.h"
#include "tests/support/search_program.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_US (30 * CLOCK_SECOND)
#define SEARCH (&casework__search__v1__search_service__descriptor)

static void await_at_least(struct search_program *world, const char *name, double value)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    double seen;
    while ((seen = search_program_metric(world, name)) < value) {
        cr_assert_lt(clock_monotonic_us(), until, "%s is %g, not %g", name, seen, value);
        arena_clear(world->memory);
        search_program_pause();
    }
}

static void await_zero(struct search_program *world, const char *name)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    double seen;
    while ((seen = search_program_metric(world, name)) != 0) {
        cr_assert_lt(clock_monotonic_us(), until, "%s is %g, not 0", name, seen);
        arena_clear(world->memory);
        search_program_pause();
    }
}

/* Changes make sections, of which two of like size become one as soon as nobody waits for a rest. */
static void await_merge(struct search_program *world)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (search_program_metric(world, "casework_search_merges_total") < 1) {
        cr_assert_lt(clock_monotonic_us(), until, "nothing is merged");
        search_program_change(world);
        arena_clear(world->memory);
        search_program_pause();
    }
}

/* Cases that are there. */
static int count_cases(const struct search_program *world)
{
    int count = 0;
    for (int i = 1; i < SEARCH_PROGRAM_CASES; i++)
        count += world->cases[i].there;
    return count;
}

Test(search_metrics, tell_what_there_is, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_serve(
        &world, &(struct search_program_settings){.erasure = "0s", .inject = "search_merger.rest=drop"});
    int cases = count_cases(&world);
    await_at_least(&world, "casework_search_cases", cases);
    cr_assert_eq(search_program_metric(&world, "casework_search_cases"), cases);
    cr_assert_eq(search_program_metric(&world, "casework_search_accounts"), 1);
    cr_assert_geq(search_program_metric(&world, "casework_search_sections"), 1);
    cr_assert_gt(search_program_metric(&world, "casework_search_index_bytes"), 1000);
    cr_assert_geq(search_program_metric(&world, "casework_search_documents_filed_total"), cases);
    cr_assert_gt(search_program_metric(&world, "casework_search_filed_bytes_total"), 1000);
    await_at_least(&world, "casework_search_checkpoints_total{result=\"written\"}", 1);
    cr_assert_eq(search_program_metric(&world, "casework_search_checkpoints_total{result=\"failed\"}"), 0);
    cr_assert_geq(search_program_metric(&world, "casework_search_checkpoint_duration_seconds_count"), 1);
    cr_assert_geq(search_program_metric(&world, "casework_search_checkpoint_age_seconds"), 0);
    await_at_least(&world, "casework_search_file_bytes", 1000);
    await_at_least(&world, "casework_search_files", 1);

    double purges = search_program_metric(&world, "casework_search_purges_total");
    search_program_write(&world, 1, "w3", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    await_at_least(&world, "casework_search_purges_total", purges + 1);
    await_merge(&world);
    search_program_stop(&world);
    search_program_serve(&world, NULL); /* ten minutes until what is erased leaves */
    search_program_write(&world, 1, "w2", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    await_at_least(&world, "casework_search_erasure_age_seconds", 1);
    search_program_stop(&world);
    search_program_end(&world);
}

struct asking {
    struct search_program *world;
    int64_t position;
    bool answered;
    enum status_code code;
};

static void *ask_for_more(void *argument)
{
    struct asking *asking = argument;
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *response;
    error err = {0};
    arena *memory = arena_new(1 << 20);
    request.parent = (char *)"accounts/acme";
    request.query = (char *)"parcel";
    request.min_position = asking->position;
    asking->answered = rpc_client_call(asking->world->channel, SEARCH, "SearchCases", &request.base, &options,
                                       memory, &response, &err);
    asking->code = err.code;
    arena_free(memory);
    return NULL;
}

Test(search_metrics, tell_who_waits, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_serve(&world, &(struct search_program_settings){.in_memory = true});
    struct asking asking = {.world = &world, .position = world.position + 1};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, ask_for_more, &asking), 0);
    await_at_least(&world, "casework_search_waiting_calls", 1);
    search_program_change(&world);
    pthread_join(thread, NULL);
    cr_assert(asking.answered);
    await_zero(&world, "casework_search_waiting_calls");
    cr_assert_eq(search_program_metric(&world, "casework_search_checkpoints_total{result=\"written\"}"), -1);
    search_program_stop(&world);
    search_program_end(&world);
}

/* Reads of more than a few cases are refused: a contact with many of them waits. */
Test(search_metrics, tell_how_far_behind_it_is, .timeout = 60)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_serve(&world, &(struct search_program_settings){.in_memory = true});
    await_zero(&world, "casework_search_lag_events");
    search_program_find(&world, "parcel"); /* all of them have been read */
    fake_events_refuse_above(world.events, 5);
    search_program_rename(&world);
    await_at_least(&world, "casework_search_backlog_cases", count_cases(&world));
    await_at_least(&world, "casework_search_lag_events", 1);
    await_at_least(&world, "casework_search_lag_seconds", 1);
    fake_events_refuse_above(world.events, 0);
    await_zero(&world, "casework_search_backlog_cases");
    await_zero(&world, "casework_search_lag_events");
    await_zero(&world, "casework_search_lag_seconds");
    search_program_expect_same(&world);
    search_program_stop(&world);
    search_program_end(&world);
}
