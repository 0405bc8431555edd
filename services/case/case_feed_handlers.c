/* The methods of the feed, and GetPosition. */

#include "case/case_feed.h"
#include "case/case_feed_stream.h"
#include "case/case_read.h"
#include "casework/cases/v1/event_service.pb-c.h"

/* $1: one partition, or -1 for all. */
static const struct pg_statement feed_position = {
    .quick = true,
    .name = "feed_position",
    .sql = "SELECT p.partition, p.head, s.epoch FROM partitions p CROSS JOIN suite s"
           " WHERE $1::int2 < 0 OR p.partition = $1 ORDER BY p.partition",
};

static ProtobufCMessage *position_response(struct case_read *read, bool one)
{
    size_t count = (size_t)pg_rows(read->result);
    Casework__Cases__V1__GetPositionResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__PartitionPosition *members = arena_calloc(read->memory, count + 1, sizeof *members);
    Casework__Cases__V1__PartitionPosition **list = arena_calloc(read->memory, count + 1, sizeof(void *));
    if (!response || !members || !list)
        return NULL;
    casework__cases__v1__get_position_response__init(response);
    for (size_t i = 0; i < count; i++) {
        list[i] = &members[i];
        casework__cases__v1__partition_position__init(list[i]);
        list[i]->partition = (int32_t)pg_get_int(read->result, (int)i, 0);
        list[i]->position = pg_get_int(read->result, (int)i, 1);
        response->epoch = (char *)(uintptr_t)pg_get_text(read->result, (int)i, 2);
    }
    response->positions = list;
    response->n_positions = count;
    response->position = one && count == 1 ? list[0]->position : 0;
    return &response->base;
}

static ProtobufCMessage *answer_position(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__GetPositionRequest *request = (const void *)message;
    const char *account;
    if (!*request->parent) {
        error_bad_field(&read->err, "parent", "is required");
        return NULL;
    }
    if (!feed_parent_take(read->call, request->parent, &account, &read->err) ||
        (*account && !case_read_check_account(read, account)))
        return NULL;
    pg_add_int2(&read->params, *account ? feed_partition(account) : -1);
    return case_read_run(read, &feed_position) ? position_response(read, *account != '\0') : NULL;
}

static void handle_position(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_position);
}

const struct rpc_method case_feed_methods[] = {
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "StreamEvents",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_SERVICE,
     .any_account = true, /* checked by feed_parent_take */
     .endless = true,
     .stream = &case_feed_stream_handlers},
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "StreamSnapshot",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_SERVICE,
     .any_account = true,
     .stream = &case_snapshot_handlers},
    {0},
};

const struct rpc_method case_position_methods[] = {
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "GetPosition",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_SERVICE,
     .any_account = true,
     .unary = handle_position},
    {0},
};
