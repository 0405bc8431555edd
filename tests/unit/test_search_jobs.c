/* Rebuilding and checking the index while it serves. */

#include "base/clock.h"
#include "base/metrics.h"
#include "tests/support/search_world.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct told {
    int items, different;
    Casework__Search__V1__CheckIndexResponse__Difference *first; /* in the world's memory */
    int64_t checked, done;
    bool finished;
};

static rpc_stream *open_job(struct search_world *world, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND};
    rpc_stream *stream;
    cr_assert(rpc_stream_open(world->server.channel, &casework__search__v1__search_service__descriptor,
                              method, &options, &stream, &world->server.err));
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    return stream;
}

static struct told check(struct search_world *world, const char *parent)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)parent;
    rpc_stream *stream = open_job(world, "CheckIndex", &request.base);
    struct told told = {0};
    ProtobufCMessage *message;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message,
                                   &world->server.err)) == RPC_READ_MESSAGE) {
        const Casework__Search__V1__CheckIndexResponse *item =
            (Casework__Search__V1__CheckIndexResponse *)message;
        cr_assert_not(told.finished);
        if (item->item_case == CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY) {
            told.checked = item->summary->cases_checked;
            told.different = (int)item->summary->cases_different;
            told.finished = true;
            continue;
        }
        told.first = told.first ? told.first : item->difference;
        told.items++;
    }
    cr_assert_eq(read, RPC_READ_END, "%s", world->server.err.message);
    cr_assert(told.finished);
    rpc_stream_free(stream);
    return told;
}

static struct told rebuild(struct search_world *world, const char *parent)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)parent;
    rpc_stream *stream = open_job(world, "RebuildIndex", &request.base);
    struct told told = {0};
    ProtobufCMessage *message;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message,
                                   &world->server.err)) == RPC_READ_MESSAGE) {
        const Casework__Search__V1__RebuildIndexResponse *progress =
            (Casework__Search__V1__RebuildIndexResponse *)message;
        cr_assert_not(told.finished);
        cr_assert_leq(progress->cases_done, progress->cases_total);
        told.done = progress->cases_done;
        told.finished = progress->done;
    }
    cr_assert_eq(read, RPC_READ_END, "%s", world->server.err.message);
    cr_assert(told.finished);
    rpc_stream_free(stream);
    return told;
}

/* Changes a case and tells nobody. */
static void spoil(struct search_world *world, int64_t number, struct world_case c)
{
    pthread_mutex_lock(&world->lock);
    world->cases[number] = c;
    pthread_mutex_unlock(&world->lock);
}

Test(search_jobs, a_check_finds_every_difference_and_a_rebuild_mends_it, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    int64_t position = 0;
    for (int64_t i = 1; i <= 40; i++)
        position = world_set_text(&world, i, "subject", "body of text");
    cr_assert_eq(world_total(&world, "subject", position), 40);
    struct told told = check(&world, "accounts/acme");
    cr_assert_eq(told.checked, 40);
    cr_assert_eq(told.items, 0);

    spoil(&world, 7,
          (struct world_case){.there = true,
                              .subject = "subject",
                              .body = "body of evidence",
                              .status = 2,
                              .update_time_us = 7 * CLOCK_SECOND});
    told = check(&world, "accounts/acme");
    cr_assert_eq(told.different, 1);
    cr_assert_eq(told.items, 1);
    cr_assert_str_eq(told.first->case_, "accounts/acme/cases/7");
    cr_assert_eq((int)told.first->kind, 3);
    cr_assert_eq((int)told.first->field, SEARCH_FIELD_MESSAGE);
    cr_assert_eq(told.first->n_missing_words, 1);
    cr_assert_str_eq(told.first->missing_words[0], "evidence");
    cr_assert_eq(told.first->n_surplus_words, 1);
    cr_assert_str_eq(told.first->surplus_words[0], "text");

    spoil(&world, 8, (struct world_case){.there = false});
    spoil(&world, 9,
          (struct world_case){.there = true,
                              .subject = "subject",
                              .body = "body of text",
                              .status = 3,
                              .update_time_us = 9 * CLOCK_SECOND});
    told = check(&world, "accounts/-");
    cr_assert_eq(told.different, 3);
    cr_assert_eq(told.items, 3);

    cr_assert_eq(rebuild(&world, "accounts/acme").done, 40);
    cr_assert_eq(world_total(&world, "evidence", 0), 1);
    cr_assert_eq(world_total(&world, "subject", 0), 39);
    cr_assert_eq(check(&world, "accounts/-").items, 0);
    cr_assert_eq(rebuild(&world, "accounts/-").done, 40);
    cr_assert_eq(world_total(&world, "subject", 0), 39);
    world_end(&world);
}

Test(search_jobs, what_goes_while_it_is_checked_is_no_difference, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    cr_assert_eq(world_total(&world, "subject", world_set_text(&world, 1, "subject", "body")), 1);
    const struct search_change gone = {.number = 1};
    cr_assert(search_index_apply(world.server.service.index, "acme", &gone, 1, &world.server.err));
    struct told told = check(&world, "accounts/acme");
    cr_assert_eq(told.items, 1);
    cr_assert_eq((int)told.first->kind, 1);
    spoil(&world, 1,
          (struct world_case){.there = true, .subject = "subject", .body = "body", .status = 2, .reads = 1});
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    world_end(&world);
}

Test(search_jobs, an_account_that_goes_does_not_end_the_rebuild_of_all, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    cr_assert_eq(world_total(&world, "subject", world_set_text(&world, 1, "subject", "body")), 1);
    pthread_mutex_lock(&world.lock);
    world.drop = true;
    pthread_mutex_unlock(&world.lock);
    rebuild(&world, "accounts/-");
    world_end(&world);
}

/* Reading a case takes until the gate is open: whoever rebuilds is held up in the middle. */
static void set_gate(struct search_world *world, bool closed)
{
    pthread_mutex_lock(&world->lock);
    world->closed = closed;
    pthread_cond_broadcast(&world->opened);
    pthread_mutex_unlock(&world->lock);
}

static bool is_rebuilding(struct search_world *world)
{
    struct search_account_status *accounts;
    size_t count;
    cr_assert(search_index_status(world->server.service.index, "acme", world->server.memory, &accounts,
                                  &count, &world->server.err));
    return count > 0 && accounts[0].rebuilding;
}

static void await_rebuilding(struct search_world *world, bool rebuilding)
{
    int64_t until = clock_monotonic_us() + 20 * CLOCK_SECOND;
    while (is_rebuilding(world) != rebuilding)
        cr_assert_lt(clock_monotonic_us(), until);
}

/* How a rebuild ends that cannot begin. */
static void expect_no_rebuild(struct search_world *world, const char *reason)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    rpc_stream *stream = open_job(world, "RebuildIndex", &request.base);
    ProtobufCMessage *message;
    cr_assert_eq(
        rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message, &world->server.err),
        RPC_READ_FAILED);
    cr_assert_str_eq(world->server.err.reason, reason);
    rpc_stream_free(stream);
}

Test(search_jobs, a_rebuild_is_alone_and_may_be_given_up, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    cr_assert_eq(world_total(&world, "subject", world_set_text(&world, 1, "subject", "body")), 1);
    set_gate(&world, true);
    rpc_stream *first = open_job(&world, "RebuildIndex", &request.base);
    await_rebuilding(&world, true);
    expect_no_rebuild(&world, "REBUILD_RUNNING");
    cr_assert_eq(world_total(&world, "subject", 0), 1, "it serves meanwhile");
    rpc_stream_cancel(first);
    rpc_stream_free(first);
    set_gate(&world, false);
    await_rebuilding(&world, false);
    cr_assert_eq(world_total(&world, "subject", 0), 1);
    cr_assert_eq(rebuild(&world, "accounts/acme").done, 1);
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    world_end(&world);
}

/* How many checks have ended as cancelled, as the service counts them. */
static int64_t count_cancelled(void)
{
    return metrics_counter_value(
        metrics_counter_get("rpc_server_calls_total", "Calls that have ended.",
                            "rpc_service=\"casework.search.v1.SearchService\",rpc_method=\"CheckIndex\",rpc_"
                            "grpc_status_code=\"CANCELLED\""));
}

/* A check tells nothing while nothing differs, and yet it notices that nobody listens any more. Of 40 cases
 * 20 are read at once. */
Test(search_jobs, a_check_ends_when_its_client_has_gone, .timeout = 60)
{
    enum { CASES = 40, AT_ONCE = 20 };
    struct search_world world;
    world_begin(&world);
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    int64_t position = 0;
    for (int64_t i = 1; i <= CASES; i++)
        position = world_set_text(&world, i, "subject", "body");
    cr_assert_eq(world_total(&world, "subject", position), CASES);
    int64_t cancelled = count_cancelled(), until = clock_monotonic_us() + 20 * CLOCK_SECOND;
    size_t read = fake_events_documents_read(world.server.events);
    cr_assert_eq(atomic_load(&world.reads), read);
    set_gate(&world, true);
    rpc_stream *stream = open_job(&world, "CheckIndex", &request.base);
    while (fake_events_documents_read(world.server.events) == read)
        cr_assert_lt(clock_monotonic_us(), until);
    rpc_stream_cancel(stream);
    rpc_stream_free(stream);
    while (count_cancelled() == cancelled)
        cr_assert_lt(clock_monotonic_us(), until);
    set_gate(&world, false);
    world_end(&world); /* when the job has ended */
    cr_assert_eq(atomic_load(&world.reads) - read, AT_ONCE);
}

struct writer {
    struct search_world *world;
    atomic_bool stop;
    int64_t last;
};

static void *keep_writing(void *argument)
{
    struct writer *writer = argument;
    for (int64_t i = 0; !atomic_load(&writer->stop) && i < 2000; i++)
        writer->last = world_set_text(writer->world, 1 + i % 40, i % 2 ? "odd" : "even", "body");
    return NULL;
}

/* Searches, writes, rebuilds and checks at once: nothing is lost, and no difference is told that is none. */
Test(search_jobs, is_rebuilt_and_checked_while_it_serves, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    struct writer writer = {.world = &world};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    for (int i = 0; i < 5; i++) {
        rebuild(&world, "accounts/acme");
        world_total(&world, "body", 0);
        rebuild(&world, "accounts/-");
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    cr_assert_eq(world_total(&world, "body", writer.last), 40);
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    world_end(&world);
}
