/* What there is before the first command. */

#include "tests/support/model_wire_private.h"

#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_script.h"

#include <stdlib.h>

static void *must(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                  const void *request, arena *memory)
{
    const struct rpc_client_options options = {.timeout_us = MODEL_CALL_TIMEOUT_US};
    ProtobufCMessage *response = NULL;
    error err = {0};
    if (!rpc_client_call(channel, service, method, request, &options, memory, &response, &err)) {
        fprintf(stderr, "%s: %s %s\n", method, err.reason, err.message);
        abort();
    }
    return response;
}

static void create_channel(rpc_channel *channel, const char *account, int number, const char *network,
                           arena *memory)
{
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__Channel resource = CASEWORK__CASES__V1__CHANNEL__INIT;
    resource.network = model_text(network);
    resource.address = model_text("help@acme.example");
    request.parent = model_text(account);
    request.channel_id = model_text(script_channels[number]);
    request.channel = &resource;
    must(channel, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request, memory);
}

static void create_agent(rpc_channel *channel, const char *account, int number, arena *memory)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent resource = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = model_text(account);
    request.agent_id = arena_printf(memory, "a%d", number);
    request.agent = &resource;
    resource.role = number == MODEL_ADMIN ? CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN
                                          : CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    must(channel, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request, memory);
}

static int64_t create_contact(rpc_channel *channel, const char *account, int number, arena *memory)
{
    Casework__Cases__V1__CreateContactRequest request = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact resource = CASEWORK__CASES__V1__CONTACT__INIT;
    char *email = arena_printf(memory, "c%d@example.net", number);
    resource.n_emails = 1;
    resource.emails = &email;
    request.parent = model_text(account);
    request.contact_id = arena_printf(memory, "c%d", number);
    request.contact = &resource;
    Casework__Cases__V1__CreateContactResponse *response =
        must(channel, &casework__cases__v1__contact_service__descriptor, "CreateContact", &request, memory);
    return response->position;
}

int64_t model_wire_account(rpc_channel *channel, const char *account, bool no_grace, arena *memory)
{
    Casework__Cases__V1__CreateAccountRequest request = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__Account resource = CASEWORK__CASES__V1__ACCOUNT__INIT;
    int64_t position = 0;
    request.account_id = model_text(model_last_segment(account));
    request.account = &resource;
    resource.session_grace_duration = wire_duration(memory, no_grace ? 0 : CLOCK_HOUR);
    must(channel, &casework__cases__v1__account_service__descriptor, "CreateAccount", &request, memory);
    create_channel(channel, account, 1, "email", memory);
    create_channel(channel, account, 2, "chat", memory);
    for (int agent = 1; agent <= MODEL_AGENTS; agent++)
        create_agent(channel, account, agent, memory);
    for (int contact = 1; contact <= ACCOUNT_GIVEN_CONTACTS; contact++)
        position = create_contact(channel, account, contact, memory);
    return position;
}
