/* ForwardCase and ForwardMessage. */

#include "case/case_address.h"
#include "case/case_write.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/name.h"

/* Who gets it. The address is looked at again when its case's network is known. */
static bool read_target(struct case_write *write, bool is_agent, const char *agent, bool is_third_party,
                        const char *third_party, error *err)
{
    struct case_command *command = &write->command;
    command->forward.agent = command->forward.third_party = "";
    if (is_third_party) {
        command->forward.third_party = third_party;
        return address_check(third_party, "third_party", err);
    }
    if (!is_agent || agent[0] == '\0')
        return error_bad_field(err, is_agent ? "agent" : "target", "is required");
    return rpc_name_member_of(write->memory, command->account, "agents", agent, "agent",
                              &command->forward.agent, err);
}

static bool read_note(struct case_write *write, const char *note, error *err)
{
    struct case_command *command = &write->command;
    command->forward.note = note;
    if (!check_text(note, CASE_NOTE_MAX, "note", err))
        return false;
    if (note[0] != '\0' && command->forward.agent[0] != '\0' && command->actor.kind != ACTOR_KIND_AGENT)
        return error_set(err, STATUS_PERMISSION_DENIED, "MESSAGE_KIND_NOT_ALLOWED",
                         "only agents write notes");
    return true;
}

static bool begin_forward_message(rpc_call *call, const ProtobufCMessage *message,
                                  struct case_write **ret_write, error *err)
{
    const Casework__Cases__V1__ForwardMessageRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    int32_t number = 0;
    if (!rpc_name_message(rpc_call_arena(call), request->name, "name", &account, &case_id, &number, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_FORWARD, account, err);
    if (write == NULL)
        return false;
    *ret_write = write;
    write->command.forward.case_id = case_id;
    write->command.forward.number = number;
    return read_target(
               write, request->target_case == CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_AGENT,
               request->agent,
               request->target_case == CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY,
               request->third_party, err) &&
           read_note(write, request->note, err);
}

static void forward_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_forward_message,
                   &casework__cases__v1__forward_message_response__descriptor);
}

static bool begin_forward_case(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                               error *err)
{
    const Casework__Cases__V1__ForwardCaseRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    if (!rpc_name_case(rpc_call_arena(call), request->name, "name", &account, &case_id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_FORWARD, account, err);
    if (write == NULL)
        return false;
    *ret_write = write;
    write->command.forward.case_id = case_id;
    return read_target(write, request->target_case == CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_AGENT,
                       request->agent,
                       request->target_case == CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_THIRD_PARTY,
                       request->third_party, err) &&
           read_note(write, request->note, err) &&
           parse_etag(request->etag, &write->command.forward.expected_version);
}

static void forward_case(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_forward_case,
                   &casework__cases__v1__forward_case_response__descriptor);
}

const struct rpc_method forward_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "ForwardCase",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "name",
     .unary = forward_case},
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "ForwardMessage",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "name",
     .unary = forward_message},
    {.service = NULL},
};
