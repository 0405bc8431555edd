#include "case/case_address.h"
#include "case/case_write.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "rpc/name.h"

static bool read_agent(const Casework__Cases__V1__Agent *wire, struct agent_record *record, error *err)
{
    record->display_name = wire->display_name;
    record->email = wire->email;
    record->disabled = wire->disabled;
    record->role = wire->role == 0 ? AGENT_ROLE_AGENT : (enum agent_role)wire->role;
    if (record->role > AGENT_ROLE_ADMIN)
        return error_bad_field(err, "agent.role", "is no role");
    return check_text(record->display_name, CASE_NAME_MAX, "agent.display_name", err) &&
           address_check_given(record->email, "agent.email", err);
}

static bool begin_create(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__CreateAgentRequest *request = (const void *)message;
    const char *account = NULL;
    if (request->agent == NULL)
        return error_bad_field(err, "agent", "is required");
    if (!rpc_name_account(rpc_call_arena(call), request->parent, "parent", &account, err) ||
        !check_id(request->agent_id, "agent_id", err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_CREATE_AGENT, account, err);
    if (write == NULL)
        return false;
    write->command.given_agent.id = request->agent_id;
    *ret_write = write;
    return read_agent(request->agent, &write->command.given_agent, err);
}

static void create_agent(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_create,
                   &casework__cases__v1__create_agent_response__descriptor);
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__UpdateAgentRequest *request = (const void *)message;
    const Casework__Cases__V1__Agent *wire = request->agent;
    const char *account = NULL, *id = NULL;
    if (wire == NULL)
        return error_bad_field(err, "agent", "is required");
    if (!rpc_name_member(rpc_call_arena(call), "agents", wire->name, "agent.name", &account, &id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_UPDATE_AGENT, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    const struct mask_field fields[] = {
        {"display_name", FIELD_DISPLAY_NAME, wire->display_name[0] != '\0'},
        {"email", FIELD_EMAIL, wire->email[0] != '\0'},
        {"role", FIELD_ROLE, wire->role != 0},
        {"disabled", FIELD_DISABLED, wire->disabled},
        {NULL, 0, false},
    };
    command->given_agent.id = id;
    *ret_write = write;
    return read_agent(wire, &command->given_agent, err) &&
           read_mask(request->update_mask, fields, &command->fields, err) &&
           parse_etag(wire->etag, &command->expected_version);
}

static void update_agent(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__update_agent_response__descriptor);
}

const struct rpc_method agent_methods[] = {
    {.service = &casework__cases__v1__agent_service__descriptor,
     .name = "CreateAgent",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "parent",
     .unary = create_agent},
    {.service = &casework__cases__v1__agent_service__descriptor,
     .name = "UpdateAgent",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "agent.name",
     .unary = update_agent},
    {.service = NULL},
};
