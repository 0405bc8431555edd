#include "search/search_rights.h"

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "rpc/call.h"

#define ASK_TIMEOUT (5 * CLOCK_SECOND)

static bool is_acting(const rpc_call *call)
{
    const struct rpc_caller *caller = rpc_call_caller(call);
    return caller->role == RPC_ROLE_SERVICE && caller->agent[0] != '\0';
}

bool search_rights_all(const rpc_call *call, const char *account, error *err)
{
    return account || !is_acting(call) ||
           error_set(err, STATUS_PERMISSION_DENIED, "ACTING_FOR_AN_AGENT",
                     "an agent has to do with its own account only");
}

static bool is_admin(const Casework__Cases__V1__Agent *agent)
{
    return agent && !agent->disabled && agent->role == CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN;
}

bool search_rights_admin(const struct search_service *service, const rpc_call *call, const char *account,
                         arena *memory, error *err)
{
    if (!is_acting(call) || !account)
        return search_rights_all(call, account, err);
    const char *agent = rpc_call_caller(call)->agent;
    int64_t left = rpc_call_deadline_us(call) - clock_monotonic_us();
    const struct rpc_client_options options = {.timeout_us = left < 1             ? 1
                                                             : left < ASK_TIMEOUT ? left
                                                                                  : ASK_TIMEOUT};
    Casework__Cases__V1__GetAgentRequest request = CASEWORK__CASES__V1__GET_AGENT_REQUEST__INIT;
    ProtobufCMessage *response;
    request.name = arena_printf(memory, "accounts/%s/agents/%s", account, agent);
    if (!request.name)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to look for the agent");
    if (rpc_client_call(service->cases, &casework__cases__v1__agent_service__descriptor, "GetAgent",
                        &request.base, &options, memory, &response, err)) {
        const Casework__Cases__V1__GetAgentResponse *found = (const void *)response;
        if (is_admin(found->agent))
            return true;
    } else if (err->code != STATUS_NOT_FOUND) {
        return false;
    }
    return error_set(err, STATUS_PERMISSION_DENIED, "NOT_AN_ADMIN", "agent %s is no admin", agent);
}
