#include "case/case_address.h"
#include "case/case_write.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "rpc/name.h"

enum { NETWORK_MAX = 64 };

static bool begin_create(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__CreateChannelRequest *request = (const void *)message;
    const Casework__Cases__V1__Channel *wire = request->channel;
    const char *account = NULL;
    if (wire == NULL)
        return error_bad_field(err, "channel", "is required");
    if (!rpc_name_account(rpc_call_arena(call), request->parent, "parent", &account, err) ||
        !check_id(request->channel_id, "channel_id", err) ||
        !check_lower(wire->network, NETWORK_MAX, "channel.network", err) ||
        !address_check_given(wire->address, "channel.address", err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_CREATE_CHANNEL, account, err);
    if (write == NULL)
        return false;
    write->command.given_channel = (struct channel_record){
        .id = request->channel_id,
        .network = wire->network,
        .address = wire->address,
    };
    *ret_write = write;
    return true;
}

static void create_channel(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_create,
                   &casework__cases__v1__create_channel_response__descriptor);
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__UpdateChannelRequest *request = (const void *)message;
    const Casework__Cases__V1__Channel *wire = request->channel;
    const char *account = NULL, *id = NULL;
    if (wire == NULL)
        return error_bad_field(err, "channel", "is required");
    if (!rpc_name_member(rpc_call_arena(call), "channels", wire->name, "channel.name", &account, &id, err) ||
        !address_check_given(wire->address, "channel.address", err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_UPDATE_CHANNEL, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    const struct mask_field fields[] = {
        {"address", FIELD_ADDRESS, wire->address[0] != '\0'},
        {NULL, 0, false},
    };
    command->given_channel = (struct channel_record){.id = id, .network = "", .address = wire->address};
    *ret_write = write;
    return read_mask(request->update_mask, fields, &command->fields, err) &&
           parse_etag(wire->etag, &command->expected_version);
}

static void update_channel(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__update_channel_response__descriptor);
}

const struct rpc_method channel_methods[] = {
    {.service = &casework__cases__v1__channel_service__descriptor,
     .name = "CreateChannel",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "parent",
     .unary = create_channel},
    {.service = &casework__cases__v1__channel_service__descriptor,
     .name = "UpdateChannel",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "channel.name",
     .unary = update_channel},
    {.service = NULL},
};
