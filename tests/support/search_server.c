#include "tests/support/search_server.h"

#include "descriptor_set.h"

#include <criterion/criterion.h>
#include <stdio.h>

void search_server_begin(struct search_server *server, fake_document *document, void *context)
{
    *server =
        (struct search_server){.events = fake_events_new(document, context), .memory = arena_new(64 << 20)};
}

void search_server_start(struct search_server *server, void (*caught_up)(void *context), void *context)
{
    struct search_service *service = &server->service;
    service->shards = (struct search_shards){.count = 1, .partitions = UINT64_MAX};
    const struct rpc_channel_options to_cases = {.target = fake_events_target(server->events)};
    const struct rpc_server_options options = {.address = "127.0.0.1:0",
                                               .descriptor_set = casework_descriptor_set,
                                               .descriptor_set_size = casework_descriptor_set_size};
    bool done = rpc_channel_new(&to_cases, &service->cases, &server->err) &&
                search_index_new(&service->index, &server->err) &&
                suite_clock_new(service->cases, false, &service->clock, &server->err) &&
                rpc_server_new(&options, &service->server, &server->err) &&
                search_handlers_add(service, &server->err) &&
                search_follower_new(service->cases, service->index, UINT64_MAX, caught_up, context,
                                    &service->follower, &server->err) &&
                rpc_server_start(service->server, &server->err);
    cr_assert(done, "%s", server->err.message);
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", rpc_server_port(service->server));
    const struct rpc_channel_options to_search = {.target = target};
    cr_assert(rpc_channel_new(&to_search, &server->channel, &server->err));
}

void search_server_end(struct search_server *server)
{
    struct search_service *service = &server->service;
    search_follower_stop(service->follower);
    rpc_channel_free(server->channel);
    rpc_server_free(service->server);
    search_follower_free(service->follower);
    search_index_free(service->index);
    suite_clock_free(service->clock);
    rpc_channel_free(service->cases);
    fake_events_free(server->events);
    arena_free(server->memory);
}
