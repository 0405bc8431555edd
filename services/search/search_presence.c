#include "search/search_presence.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "rpc/call.h"
#include "search/search_index.h"

#define ASK_TIMEOUT (2 * CLOCK_SECOND)

bool search_presence_check(const struct search_service *service, const char *account, int64_t deadline_us,
                           arena *memory, error *err)
{
    if (search_index_has_cases(service->index, account))
        return true;
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    ProtobufCMessage *response;
    error failure;
    int64_t left = deadline_us - clock_monotonic_us();
    struct rpc_client_options options = {.timeout_us = left < ASK_TIMEOUT ? left : ASK_TIMEOUT};
    request.name = arena_printf(memory, "accounts/%s", account);
    if (!request.name)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                         "no memory to look for the account");
    return options.timeout_us <= 0 ||
           rpc_client_call(service->cases, &casework__cases__v1__account_service__descriptor, "GetAccount",
                           &request.base, &options, memory, &response, &failure) ||
           failure.code != STATUS_NOT_FOUND || rpc_error_not_found(err, request.name);
}
