#include "case/case_address.h"
#include "case/case_write.h"
#include "case/message_input.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "rpc/name.h"

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

static bool check_received(const Casework__Cases__V1__ReceiveMessageRequest *request, error *err)
{
    return address_check(request->sender_address, "sender_address", err) &&
           check_text(request->sender_display_name, CASE_NAME_MAX, "sender_display_name", err) &&
           check_text(request->subject, CASE_SUBJECT_MAX, "subject", err) &&
           check_text(request->body, CASE_BODY_MAX, "body", err) &&
           check_required(request->external_id, CASE_EXTERNAL_ID_MAX, "external_id", err);
}

static bool read_received(struct case_write *write, const char *channel,
                          const Casework__Cases__V1__ReceiveMessageRequest *request, error *err)
{
    struct case_command *command = &write->command;
    struct case_act act = {.kind = CASE_ACT_ADD_MESSAGE};
    struct message_record *message = &act.add.message;
    *message = (struct message_record){
        .kind = MESSAGE_KIND_CUSTOMER,
        .automatic = request->automatic,
        .author = "",
        .third_party = "",
        .external_id = request->external_id,
        .delivery_failure = "",
        .body = request->body,
        .attachment_count = request->n_attachments,
    };
    command->receive.channel = channel;
    command->receive.address = request->sender_address;
    command->receive.folded = case_address_key(write->memory, "email", request->sender_address);
    command->receive.phone = case_address_key(write->memory, "phone", request->sender_address);
    command->receive.display_name = request->sender_display_name;
    command->receive.subject = request->subject;
    command->receive.subject_key = case_subject_key(write->memory, request->subject);
    if (command->receive.folded == NULL || command->receive.phone == NULL ||
        command->receive.subject_key == NULL)
        return out_of_memory(err);
    if (!time_input(request->send_time, "send_time", &message->send_time, err) ||
        !attachments_input(write, request->attachments, request->n_attachments, &message->attachments, err))
        return false;
    command->receive.message = act;
    return true;
}

static bool begin_receive(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                          error *err)
{
    const Casework__Cases__V1__ReceiveMessageRequest *request = (const void *)message;
    const char *account = NULL, *channel = NULL;
    if (!rpc_name_member(rpc_call_arena(call), "channels", request->parent, "parent", &account, &channel,
                         err) ||
        !check_received(request, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_RECEIVE_MESSAGE, account, err);
    if (write == NULL)
        return false;
    *ret_write = write;
    if (write->command.actor.kind == ACTOR_KIND_AGENT)
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED",
                         "an agent cannot hand in a customer's message");
    return read_received(write, channel, request, err);
}

static void receive_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_receive,
                   &casework__cases__v1__receive_message_response__descriptor);
}

enum { FAILURE_MAX = 1024 };

static bool check_report(const Casework__Cases__V1__ReportDeliveryRequest *request, error *err)
{
    enum delivery_state delivery = (enum delivery_state)request->delivery;
    if (delivery != DELIVERY_SENT && delivery != DELIVERY_FAILED)
        return error_bad_field(err, "delivery", "must be DELIVERY_SENT or DELIVERY_FAILED");
    if (delivery == DELIVERY_SENT && request->failure[0] != '\0')
        return error_bad_field(err, "failure", "goes with DELIVERY_FAILED only");
    return check_text(request->failure, FAILURE_MAX, "failure", err) &&
           check_text(request->external_id, CASE_EXTERNAL_ID_MAX, "external_id", err);
}

static bool begin_report(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__ReportDeliveryRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    int32_t number = 0;
    if (!rpc_name_message(rpc_call_arena(call), request->name, "name", &account, &case_id, &number, err) ||
        !check_report(request, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_REPORT_DELIVERY, account, err);
    if (write == NULL)
        return false;
    *ret_write = write;
    struct case_command *command = &write->command;
    command->report.case_id = case_id;
    command->report.number = number;
    command->report.delivery = (enum delivery_state)request->delivery;
    command->report.failure = request->failure;
    command->report.external_id = request->external_id;
    return command->actor.kind != ACTOR_KIND_AGENT ||
           error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED", "an agent delivers no messages");
}

static void report_delivery(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_report,
                   &casework__cases__v1__report_delivery_response__descriptor);
}

const struct rpc_method connector_methods[] = {
    {.service = &casework__cases__v1__connector_service__descriptor,
     .name = "ReceiveMessage",
     .roles = RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = receive_message},
    {.service = &casework__cases__v1__connector_service__descriptor,
     .name = "ReportDelivery",
     .roles = RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "name",
     .unary = report_delivery},
    {.service = NULL},
};
