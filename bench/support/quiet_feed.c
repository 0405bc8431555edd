#include "bench/support/quiet_feed.h"

#include "casework/cases/v1/event_service.pb-c.h"
#include "descriptor_set.h"
#include "rpc/server.h"

#include <stdio.h>
#include <stdlib.h>

typedef Casework__Cases__V1__PartitionPosition wire_position;

struct quiet_feed {
    rpc_server *server;
    char target[32];
    const char *epoch;
    wire_position heads[FEED_PARTITIONS], *pointers[FEED_PARTITIONS];
};

static void stream_events(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    quiet_feed *feed = context;
    Casework__Cases__V1__StreamEventsResponse response = CASEWORK__CASES__V1__STREAM_EVENTS_RESPONSE__INIT;
    response.epoch = (char *)feed->epoch;
    response.heads = feed->pointers;
    response.n_heads = FEED_PARTITIONS;
    response.caught_up = true;
    if (rpc_call_write(call, &response.base) != RPC_WRITE_OK)
        fprintf(stderr, "quiet feed: nobody hears it\n");
}

static void get_position(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    quiet_feed *feed = context;
    Casework__Cases__V1__GetPositionResponse response = CASEWORK__CASES__V1__GET_POSITION_RESPONSE__INIT;
    response.epoch = (char *)feed->epoch;
    response.positions = feed->pointers;
    response.n_positions = FEED_PARTITIONS;
    rpc_call_reply(call, &response.base);
}

static const struct rpc_stream_handlers handlers = {.on_message = stream_events};

static const struct rpc_method methods[] = {
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "StreamEvents",
     .endless = true,
     .stream = &handlers},
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "GetPosition",
     .unary = get_position},
    {.service = NULL},
};

quiet_feed *quiet_feed_new(const struct feed_positions *positions)
{
    quiet_feed *feed = calloc(1, sizeof *feed);
    const struct rpc_server_options options = {.address = "127.0.0.1:0",
                                               .descriptor_set = casework_descriptor_set,
                                               .descriptor_set_size = casework_descriptor_set_size};
    error err = {0};
    if (!feed)
        abort();
    feed->epoch = positions->epoch;
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        casework__cases__v1__partition_position__init(&feed->heads[i]);
        feed->heads[i].partition = i;
        feed->heads[i].position = positions->at[i];
        feed->pointers[i] = &feed->heads[i];
    }
    if (!rpc_server_new(&options, &feed->server, &err) ||
        !rpc_server_add(feed->server, methods, feed, &err) || !rpc_server_start(feed->server, &err)) {
        fprintf(stderr, "quiet feed: %s\n", err.message);
        abort();
    }
    snprintf(feed->target, sizeof feed->target, "127.0.0.1:%d", rpc_server_port(feed->server));
    return feed;
}

void quiet_feed_free(quiet_feed *feed)
{
    rpc_server_free(feed->server);
    free(feed);
}

const char *quiet_feed_target(const quiet_feed *feed)
{
    return feed->target;
}
