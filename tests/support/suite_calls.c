#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "tests/support/suite_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT CLOCK_MINUTE
#define RESTART_TIMEOUT CLOCK_MINUTE

static rpc_channel *new_channel(const suite *s, enum suite_service service, unsigned replica,
                                const char *token)
{
    rpc_channel *channel;
    error err;
    const struct rpc_channel_options options = {.target = suite_address(s, service, replica), .token = token};
    if (!rpc_channel_new(&options, &channel, &err))
        suite_give_up(s, "%s", err.message);
    return channel;
}

rpc_channel *suite_channel(suite *s, enum suite_service service, unsigned replica)
{
    rpc_channel **channel = &s->channels[service][replica];
    if (!*channel)
        *channel = new_channel(s, service, replica, json_string_value(json_object_get(s->ready, "token")));
    return *channel;
}

rpc_channel *suite_channel_as(suite *s, enum suite_service service, const char *token)
{
    return new_channel(s, service, 0, token);
}

static const char *key_directory(const suite *s)
{
    return json_string_value(json_object_get(s->ready, "key_directory"));
}

char *suite_token(suite *s, const struct rpc_token_claims *claims)
{
    char *token;
    error err;
    if (!rpc_token_make(key_directory(s), claims, &token, &err))
        suite_give_up(s, "%s", err.message);
    return token;
}

static enum suite_service service_of(const ProtobufCServiceDescriptor *service)
{
    for (enum suite_service i = SUITE_SEARCH; i < SUITE_SERVICES; i++) {
        char package[40];
        snprintf(package, sizeof package, "casework.%s.v1", suite_service_name(i));
        if (strcmp(service->package, package) == 0)
            return i;
    }
    return SUITE_CASE;
}

bool suite_try_at(suite *s, unsigned replica, const ProtobufCServiceDescriptor *service, const char *method,
                  const ProtobufCMessage *request, arena *memory, ProtobufCMessage **ret_response,
                  error *ret_err)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT};
    return rpc_client_call(suite_channel(s, service_of(service), replica), service, method, request, &options,
                           memory, ret_response, ret_err);
}

bool suite_try(suite *s, const ProtobufCServiceDescriptor *service, const char *method,
               const ProtobufCMessage *request, arena *memory, ProtobufCMessage **ret_response,
               error *ret_err)
{
    return suite_try_at(s, 0, service, method, request, memory, ret_response, ret_err);
}

void *suite_call_at(suite *s, unsigned replica, const ProtobufCServiceDescriptor *service, const char *method,
                    const void *request, arena *memory)
{
    ProtobufCMessage *response;
    error err;
    if (!suite_try_at(s, replica, service, method, request, memory, &response, &err))
        suite_give_up(s, "%s: %s: %s", method, status_code_name(err.code), err.message);
    return response;
}

void *suite_call(suite *s, const ProtobufCServiceDescriptor *service, const char *method, const void *request,
                 arena *memory)
{
    return suite_call_at(s, 0, service, method, request, memory);
}

static bool is_serving(suite *s, enum suite_service service, unsigned replica)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    arena *memory = arena_new(64 * 1024);
    bool serving = rpc_client_call(suite_channel(s, service, replica), &grpc__health__v1__health__descriptor,
                                   "Check", &request.base, &options, memory, &response, &err) &&
                   ((Grpc__Health__V1__HealthCheckResponse *)response)->status ==
                       GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    arena_free(memory);
    return serving;
}

void suite_await_restart(suite *s, enum suite_service service, unsigned replica, pid_t former)
{
    int64_t until = clock_monotonic_us() + RESTART_TIMEOUT;
    while (clock_monotonic_us() < until) {
        pid_t pid = suite_pid(s, service, replica);
        if (pid != 0 && pid != former && is_serving(s, service, replica))
            return;
        suite_pause(CLOCK_SECOND / 50);
    }
    suite_give_up(s, "%s-%u does not come back", suite_service_name(service), replica + 1);
}

void suite_advance(suite *s, int64_t duration_us)
{
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Casework__Testing__V1__AdvanceTimeRequest request = CASEWORK__TESTING__V1__ADVANCE_TIME_REQUEST__INIT;
    arena *memory = arena_new(64 * 1024);
    duration.seconds = duration_us / CLOCK_SECOND;
    duration.nanos = (int32_t)(duration_us % CLOCK_SECOND * 1000);
    request.duration = &duration;
    suite_call(s, &casework__testing__v1__clock_service__descriptor, "AdvanceTime", &request, memory);
    arena_free(memory);
}

int64_t suite_now_us(suite *s)
{
    Casework__Testing__V1__GetTimeRequest request = CASEWORK__TESTING__V1__GET_TIME_REQUEST__INIT;
    arena *memory = arena_new(64 * 1024);
    const Casework__Testing__V1__GetTimeResponse *response =
        suite_call(s, &casework__testing__v1__clock_service__descriptor, "GetTime", &request, memory);
    int64_t now = response->time->seconds * CLOCK_SECOND + response->time->nanos / 1000;
    arena_free(memory);
    return now;
}

static void create_desk(suite *s, const char *account, arena *memory)
{
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = (char *)"email";
    channel.address = arena_printf(memory, "desk@%s.example", account + strlen("accounts/"));
    request.parent = (char *)account;
    request.channel_id = (char *)"desk";
    request.channel = &channel;
    suite_call(s, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request, memory);
}

const char *suite_create_account(suite *s, const char *id, const char *time_zone, arena *memory)
{
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__CreateAccountRequest request = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    account.display_name = (char *)id;
    account.time_zone = (char *)time_zone;
    request.account_id = (char *)id;
    request.account = &account;
    const Casework__Cases__V1__CreateAccountResponse *response =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "CreateAccount", &request, memory);
    create_desk(s, response->account->name, memory);
    return response->account->name;
}

void suite_create_agent(suite *s, const char *account, const char *id)
{
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    arena *memory = arena_new(64 * 1024);
    agent.display_name = (char *)id;
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    request.parent = (char *)account;
    request.agent_id = (char *)id;
    request.agent = &agent;
    suite_call(s, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request, memory);
    arena_free(memory);
}

const char *suite_create_case(suite *s, const char *account, const char *subject, const char *body,
                              arena *memory, int64_t *ret_position)
{
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    the_case.subject = (char *)subject;
    the_case.channel = arena_printf(memory, "%s/channels/desk", account);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = (char *)body;
    request.parent = (char *)account;
    request.case_ = &the_case;
    request.first_message = &message;
    const Casework__Cases__V1__CreateCaseResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "CreateCase", &request, memory);
    if (ret_position)
        *ret_position = response->position;
    return response->case_->name;
}

static void *call_as(suite *s, const char *agent, const ProtobufCServiceDescriptor *service,
                     const char *method, const ProtobufCMessage *request, arena *memory)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT, .agent = agent};
    ProtobufCMessage *response;
    error err;
    if (!rpc_client_call(suite_channel(s, service_of(service), 0), service, method, request, &options, memory,
                         &response, &err))
        suite_give_up(s, "%s: %s: %s", method, status_code_name(err.code), err.message);
    return response;
}

static void *field_at(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return (char *)message + field->offset;
}

int64_t suite_step(suite *s, const char *method, const char *case_name, const char *agent)
{
    const ProtobufCServiceDescriptor *service = &casework__cases__v1__case_service__descriptor;
    const ProtobufCMethodDescriptor *found =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    arena *memory = arena_new(4 * 1024 * 1024);
    ProtobufCMessage *request = arena_calloc(memory, 1, found->input->sizeof_message);
    found->input->message_init(request);
    *(const char **)field_at(request, "name") = case_name;
    const ProtobufCMessage *response = call_as(s, agent, service, method, request, memory);
    int64_t position = *(const int64_t *)field_at(response, "position");
    arena_free(memory);
    return position;
}

int64_t suite_write(suite *s, const char *case_name, int kind, const char *agent, const char *body)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    arena *memory = arena_new(4 * 1024 * 1024);
    message.kind = (Casework__Cases__V1__MessageKind)kind;
    message.body = (char *)body;
    request.parent = (char *)case_name;
    request.message = &message;
    const Casework__Cases__V1__AddMessageResponse *response = call_as(
        s, agent, &casework__cases__v1__message_service__descriptor, "AddMessage", &request.base, memory);
    int64_t position = response->position;
    arena_free(memory);
    return position;
}

const Casework__Cases__V1__Case *suite_case(suite *s, const char *case_name, arena *memory)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = (char *)case_name;
    const Casework__Cases__V1__GetCaseResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "GetCase", &request, memory);
    return response->case_;
}

int64_t suite_position(suite *s, const char *account)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    arena *memory = arena_new(64 * 1024);
    request.parent = (char *)account;
    const Casework__Cases__V1__GetPositionResponse *response =
        suite_call(s, &casework__cases__v1__event_service__descriptor, "GetPosition", &request, memory);
    int64_t position = response->position;
    arena_free(memory);
    return position;
}
