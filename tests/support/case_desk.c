#include "tests/support/case_desk.h"

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *desk_text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static bool try_as(struct case_server *server, const char *agent, const ProtobufCServiceDescriptor *service,
                   const char *method, const void *request, void **ret_response, error *err)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .agent = *agent ? agent : NULL};
    ProtobufCMessage *response = NULL;
    *err = (error){0};
    bool done =
        rpc_client_call(server->channel, service, method, request, &options, server->memory, &response, err);
    *ret_response = response;
    return done;
}

void *desk_call(struct case_server *server, const char *agent, const ProtobufCServiceDescriptor *service,
                const char *method, const void *request)
{
    void *response = NULL;
    error err;
    if (!try_as(server, agent, service, method, request, &response, &err)) {
        fprintf(stderr, "%s: %s %s\n", method, err.reason, err.message);
        abort();
    }
    return response;
}

error desk_fail(struct case_server *server, const char *agent, const ProtobufCServiceDescriptor *service,
                const char *method, const void *request)
{
    void *response = NULL;
    error err;
    if (try_as(server, agent, service, method, request, &response, &err)) {
        fprintf(stderr, "%s: has succeeded\n", method);
        abort();
    }
    return err;
}

static void create_agent(struct case_server *server, const char *id, const char *name, bool disabled)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = desk_text("accounts/acme");
    request.agent_id = desk_text(id);
    request.agent = &agent;
    agent.display_name = desk_text(name);
    agent.disabled = disabled;
    desk_call(server, "", &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request);
}

void desk_hire_boss(struct case_server *server)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = desk_text("accounts/acme");
    request.agent_id = desk_text("boss");
    request.agent = &agent;
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN;
    desk_call(server, "", &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request);
}

void desk_start(struct case_server *server)
{
    case_server_start(server);
    desk_open(server);
}

void desk_open(struct case_server *server)
{
    case_server_account(server, "acme");
    create_agent(server, "anna", "Anna Ames", false);
    create_agent(server, "bob", "", false);
    create_agent(server, "former", "", true);
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest mail = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = desk_text("email");
    channel.address = desk_text("help@acme.example");
    mail.parent = desk_text("accounts/acme");
    mail.channel_id = desk_text("mail");
    mail.channel = &channel;
    desk_call(server, "", &casework__cases__v1__channel_service__descriptor, "CreateChannel", &mail);
}

Casework__Cases__V1__ReceiveMessageResponse *desk_receive(struct case_server *server, const char *channel,
                                                          const char *sender, const char *external_id,
                                                          const char *body)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    request.parent = arena_printf(server->memory, "accounts/acme/channels/%s", channel);
    request.sender_address = desk_text(sender);
    request.sender_display_name = desk_text("Jo Smith");
    request.external_id = desk_text(external_id);
    request.subject = desk_text("Printer");
    request.body = desk_text(body);
    return desk_call(server, "", DESK_CONNECTORS, "ReceiveMessage", &request);
}

Casework__Cases__V1__AddMessageRequest *desk_message(struct case_server *server, const char *case_name,
                                                     int kind, const char *body)
{
    Casework__Cases__V1__AddMessageRequest *request = arena_alloc(server->memory, sizeof *request);
    Casework__Cases__V1__Message *message = arena_alloc(server->memory, sizeof *message);
    casework__cases__v1__add_message_request__init(request);
    casework__cases__v1__message__init(message);
    request->parent = desk_text(case_name);
    request->message = message;
    message->kind = (Casework__Cases__V1__MessageKind)kind;
    message->body = desk_text(body);
    return request;
}

Casework__Cases__V1__Message *desk_add(struct case_server *server, const char *agent, const char *case_name,
                                       int kind, const char *body)
{
    Casework__Cases__V1__AddMessageResponse *response =
        desk_call(server, agent, DESK_MESSAGES, "AddMessage", desk_message(server, case_name, kind, body));
    return response->message;
}

Casework__Cases__V1__Case *desk_case(struct case_server *server, const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    Casework__Cases__V1__GetCaseResponse *response = desk_call(server, "", DESK_CASES, "GetCase", &request);
    return response->case_;
}

Casework__Cases__V1__Message *desk_get_message(struct case_server *server, const char *name)
{
    Casework__Cases__V1__GetMessageRequest request = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
    request.name = desk_text(name);
    Casework__Cases__V1__GetMessageResponse *response =
        desk_call(server, "", DESK_MESSAGES, "GetMessage", &request);
    return response->message;
}

Casework__Cases__V1__Case *desk_step(struct case_server *server, const char *agent, const char *method,
                                     const char *case_name)
{
    Casework__Cases__V1__OpenCaseRequest open = CASEWORK__CASES__V1__OPEN_CASE_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    open.name = resolve.name = delete.name = desk_text(case_name);
    const void *request = strcmp(method, "OpenCase") == 0      ? (void *)&open
                          : strcmp(method, "ResolveCase") == 0 ? (void *)&resolve
                                                               : (void *)&delete;
    Casework__Cases__V1__OpenCaseResponse *response = desk_call(server, agent, DESK_CASES, method, request);
    return response->case_; /* all of them answer alike */
}

Casework__Cases__V1__ForwardMessageRequest *desk_forward_message(struct case_server *server, const char *name,
                                                                 const char *agent, const char *third_party,
                                                                 const char *note)
{
    Casework__Cases__V1__ForwardMessageRequest *request = arena_alloc(server->memory, sizeof *request);
    casework__cases__v1__forward_message_request__init(request);
    request->name = desk_text(name);
    request->note = desk_text(note);
    if (agent) {
        request->target_case = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_AGENT;
        request->agent = desk_text(agent);
    } else if (third_party) {
        request->target_case = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY;
        request->third_party = desk_text(third_party);
    }
    return request;
}

Casework__Cases__V1__ForwardCaseRequest *desk_forward_case(struct case_server *server, const char *name,
                                                           const char *agent, const char *third_party,
                                                           const char *note)
{
    Casework__Cases__V1__ForwardCaseRequest *request = arena_alloc(server->memory, sizeof *request);
    casework__cases__v1__forward_case_request__init(request);
    request->name = desk_text(name);
    request->note = desk_text(note);
    if (agent) {
        request->target_case = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_AGENT;
        request->agent = desk_text(agent);
    } else if (third_party) {
        request->target_case = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_THIRD_PARTY;
        request->third_party = desk_text(third_party);
    }
    return request;
}

Casework__Cases__V1__ListMessagesResponse *desk_list(struct case_server *server, const char *case_name,
                                                     int view)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = desk_text(case_name);
    request.view = (Casework__Cases__V1__MessageView)view;
    request.page_size = 1000;
    return desk_call(server, "", DESK_MESSAGES, "ListMessages", &request);
}

static Casework__Cases__V1__ListCaseEventsResponse *events_of(struct case_server *server, const char *name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    return desk_call(server, "", DESK_CASES, "ListCaseEvents", &request);
}

char *desk_history(struct case_server *server, const char *case_name)
{
    Casework__Cases__V1__ListCaseEventsResponse *events = events_of(server, case_name);
    char *kinds = arena_strdup(server->memory, "");
    for (size_t i = 0; i < events->n_events; i++)
        kinds = arena_printf(server->memory, "%s %d", kinds, (int)events->events[i]->kind);
    return kinds;
}

Casework__Cases__V1__Event *desk_last_event(struct case_server *server, const char *case_name, int kind)
{
    Casework__Cases__V1__ListCaseEventsResponse *events = events_of(server, case_name);
    for (size_t i = events->n_events; i-- > 0;) {
        if ((int)events->events[i]->kind == kind)
            return events->events[i];
    }
    return NULL;
}

Casework__Cases__V1__ReportDeliveryRequest *desk_report(struct case_server *server, const char *message,
                                                        int delivery, const char *failure,
                                                        const char *external_id)
{
    Casework__Cases__V1__ReportDeliveryRequest *request = arena_alloc(server->memory, sizeof *request);
    casework__cases__v1__report_delivery_request__init(request);
    request->name = desk_text(message);
    request->delivery = (Casework__Cases__V1__Delivery)delivery;
    request->failure = desk_text(failure);
    request->external_id = desk_text(external_id);
    return request;
}
