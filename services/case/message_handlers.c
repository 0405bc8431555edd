#include "case/case_write.h"
#include "case/message_input.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/name.h"

static bool begin_add(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                      error *err)
{
    const Casework__Cases__V1__AddMessageRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    if (!rpc_name_case(rpc_call_arena(call), request->parent, "parent", &account, &case_id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_ADD_MESSAGE, account, err);
    if (write == NULL)
        return false;
    struct case_act *act = &write->command.change.act;
    write->command.change.case_id = case_id;
    *ret_write = write;
    return message_input(write, request->message, (int)request->then, "message", act, err) &&
           parse_etag(request->etag, &act->expected_version);
}

static void add_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_add, &casework__cases__v1__add_message_response__descriptor);
}

static bool begin_set_state(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                            error *err)
{
    const Casework__Cases__V1__SetMessageStateRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    int32_t number = 0;
    if (!rpc_name_message(rpc_call_arena(call), request->name, "name", &account, &case_id, &number, err))
        return false;
    if ((int)request->state <= MESSAGE_STATE_NONE || (int)request->state > MESSAGE_STATE_CLOSED)
        return error_bad_field(err, "state", "is required");
    struct case_write *write = case_write_begin(call, CASE_METHOD_SET_MESSAGE_STATE, account, err);
    if (write == NULL)
        return false;
    write->command.change.case_id = case_id;
    write->command.change.act = (struct case_act){
        .kind = CASE_ACT_SET_MESSAGE_STATE,
        .set_state = {.number = number, .to = (enum message_state)request->state},
    };
    *ret_write = write;
    return true;
}

static void set_message_state(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_set_state,
                   &casework__cases__v1__set_message_state_response__descriptor);
}

const struct rpc_method message_methods[] = {
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "AddMessage",
     .roles = WRITE_ROLES_ALL,
     .resource = "parent",
     .brief = true,
     .unary = add_message},
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "SetMessageState",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "name",
     .unary = set_message_state},
    {.service = NULL},
};
