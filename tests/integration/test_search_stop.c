/* The search service is told to stop while the case service hangs: it waits for no call's deadline. */

#include "base/clock.h"
#include "tests/support/search_program.h"

#include <criterion/criterion.h>

/* Reads have 30 seconds. */
#define SOON (20 * CLOCK_SECOND)

/* Somebody reads a case and hangs: now it is to stop. Afterwards it goes on where it was. */
static void stop_and_go_on(struct search_program *world)
{
    search_program_await_hanging(world);
    int64_t begun_us = clock_monotonic_us();
    search_program_stop(world);
    cr_assert_lt(clock_monotonic_us() - begun_us, SOON);
    search_program_hang(world, false);
    search_program_serve(world, NULL);
    search_program_expect_same(world);
    search_program_stop(world);
    search_program_end(world);
}

static void begin_and_hang(struct search_program *world)
{
    search_program_begin(world);
    search_program_serve(world, NULL);
    search_program_expect_same(world); /* nothing is left to be read */
    search_program_hang(world, true);
}

Test(search_stop, waits_for_no_snapshot, .timeout = 120)
{
    struct search_program world;
    search_program_begin(&world);
    search_program_hang(&world, true);
    search_program_start(&world, NULL);
    stop_and_go_on(&world);
}

Test(search_stop, waits_for_no_event_s_cases, .timeout = 120)
{
    struct search_program world;
    begin_and_hang(&world);
    search_program_change(&world);
    stop_and_go_on(&world);
}

Test(search_stop, waits_for_no_contact_s_cases, .timeout = 120)
{
    struct search_program world;
    begin_and_hang(&world);
    search_program_rename(&world);
    stop_and_go_on(&world);
}

/* A job of the whole account, whose client waits for its end. */
static void stop_during(const char *method, const ProtobufCMessage *request)
{
    struct search_program world;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_channel *channel;
    rpc_stream *stream;
    error err;
    begin_and_hang(&world);
    const struct rpc_channel_options to = {.target = world.address};
    cr_assert(rpc_channel_new(&to, &channel, &err), "%s", err.message);
    cr_assert(rpc_stream_open(channel, &casework__search__v1__search_service__descriptor, method, &options,
                              &stream, &err),
              "%s", err.message);
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    stop_and_go_on(&world);
    arena *memory = arena_new(1 << 20);
    enum rpc_read read;
    ProtobufCMessage *message;
    while ((read = rpc_stream_read(stream, CLOCK_MINUTE, memory, &message, &err)) == RPC_READ_MESSAGE)
        continue;
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s: %s", status_code_name(err.code), err.message);
    arena_free(memory);
    rpc_stream_free(stream);
    rpc_channel_free(channel);
}

Test(search_stop, waits_for_no_rebuild, .timeout = 120)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    stop_during("RebuildIndex", &request.base);
}

Test(search_stop, waits_for_no_check, .timeout = 120)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    stop_during("CheckIndex", &request.base);
}
