#include "report/report_call.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "rpc/name.h"

/* How long a call without a deadline waits for a position. */
#define WAIT_MAX (60 * CLOCK_SECOND)

/* For questions to the case service. */
#define CASES_TIMEOUT (5 * CLOCK_SECOND)

void report_call_init(struct report_call *made, rpc_call *call, const ProtobufCMessage *request,
                      const struct report_service *service)
{
    *made = (struct report_call){
        .call = call, .memory = rpc_call_arena(call), .service = service, .request = request};
}

void *report_call_new(rpc_call *call, const ProtobufCMessage *request, void *context, size_t size)
{
    struct report_call *made = arena_calloc(rpc_call_arena(call), 1, size);
    if (made == NULL) {
        rpc_call_fail_memory(call);
        return NULL;
    }
    report_call_init(made, call, request, context);
    return made;
}

bool report_call_read(struct report_call *call, const char *parent, int64_t min_position)
{
    if (min_position < 0)
        return error_bad_field(&call->err, "min_position", "must not be negative");
    call->wanted = min_position;
    return rpc_name_account(call->memory, parent, "parent", &call->account, &call->err);
}

void report_call_fail(struct report_call *call)
{
    rpc_call_fail(call->call, &call->err);
}

int64_t report_call_deadline(const struct report_call *call)
{
    int64_t deadline = rpc_call_deadline_us(call->call);
    return deadline == INT64_MAX ? 0 : deadline;
}

bool report_call_complete(struct report_call *call, int64_t position)
{
    return position >= call->wanted || error_set(&call->err, STATUS_UNAVAILABLE, "REPORT_BEHIND",
                                                 "the report has not come to the position");
}

bool report_call_out_of_memory(struct report_call *call)
{
    return error_set(&call->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the report does not fit");
}

/* --- waiting ---------------------------------------------------------------------------------------------
 */

static void run_task(void *argument)
{
    struct report_call *call = argument;
    ProtobufCMessage *response;
    if (call->answer(call, &response) &&
        (call->finish.make == NULL || call->finish.make(call, response, &response)))
        rpc_call_reply(call->call, response);
    else
        report_call_fail(call);
}

static void wake(void *argument, bool reached)
{
    struct report_call *call = argument;
    if (reached && rpc_server_run(call->service->server, run_task, call))
        return;
    if (reached)
        error_set(&call->err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too many reports at once");
    else if (rpc_call_is_cancelled(call->call) || clock_monotonic_us() >= rpc_call_deadline_us(call->call))
        error_set(&call->err, STATUS_DEADLINE_EXCEEDED, "",
                  "the report has not come to the position in time");
    else
        error_set(&call->err, STATUS_UNAVAILABLE, "REPORT_BEHIND", "the report has not come to the position");
    report_call_fail(call);
}

void report_call_run(struct report_call *call,
                     bool (*answer)(struct report_call *call, ProtobufCMessage **ret_response))
{
    call->answer = answer;
    feed_consumer *consumer = call->service->consumer;
    int partition = feed_partition(call->account);
    if (call->wanted <= feed_consumer_position(consumer, partition)) {
        run_task(call);
        return;
    }
    int64_t deadline = rpc_call_deadline_us(call->call), longest = clock_monotonic_us() + WAIT_MAX;
    if (!feed_consumer_await(consumer, partition, call->wanted, deadline == INT64_MAX ? longest : deadline,
                             wake, call, &call->err))
        report_call_fail(call);
}

/* In slices, since nobody wakes this thread when the call ends. */
bool report_call_wait(struct report_call *call, struct rpc_job *job)
{
    int64_t deadline = rpc_call_deadline_us(call->call), now = clock_monotonic_us();
    if (deadline > now + WAIT_MAX)
        deadline = now + WAIT_MAX;
    struct feed_positions heads = {0};
    heads.at[feed_partition(call->account)] = call->wanted;
    for (;;) {
        int64_t slice = clock_monotonic_us() + CLOCK_SECOND;
        if (feed_consumer_wait(call->service->consumer, &heads, slice < deadline ? slice : deadline,
                               &call->err))
            return true;
        if (call->err.code != STATUS_DEADLINE_EXCEEDED || rpc_job_is_over(job))
            return false;
        if (clock_monotonic_us() >= deadline)
            return error_set(&call->err, STATUS_DEADLINE_EXCEEDED, "",
                             "the report has not come to the position in time");
    }
}

/* --- what the case service knows -------------------------------------------------------------------------
 */

bool report_call_ask(struct report_call *call, const ProtobufCServiceDescriptor *service, const char *method,
                     const ProtobufCMessage *request, ProtobufCMessage **ret_response)
{
    int64_t deadline = rpc_call_deadline_us(call->call), timeout = CASES_TIMEOUT;
    if (deadline != INT64_MAX && deadline - clock_monotonic_us() < timeout)
        timeout = deadline - clock_monotonic_us();
    const struct rpc_client_options options = {.timeout_us = timeout > 1 ? timeout : 1,
                                               .traceparent = rpc_call_traceparent(call->call)};
    return rpc_client_call(call->service->cases, service, method, request, &options, call->memory,
                           ret_response, &call->err);
}

char *report_call_account_name(struct report_call *call)
{
    char *name = arena_printf(call->memory, "accounts/%s", call->account);
    if (name == NULL)
        report_call_out_of_memory(call);
    return name;
}

/* An account of which the feed has not told yet, or none at all. */
static bool ask_time_zone(struct report_call *call, const char **ret_time_zone)
{
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    request.name = report_call_account_name(call);
    ProtobufCMessage *response;
    if (request.name == NULL || !report_call_ask(call, &casework__cases__v1__account_service__descriptor,
                                                 "GetAccount", &request.base, &response))
        return false;
    const Casework__Cases__V1__Account *account =
        ((const Casework__Cases__V1__GetAccountResponse *)response)->account;
    *ret_time_zone = account != NULL ? account->time_zone : "UTC";
    return true;
}

bool report_call_zone(struct report_call *call, const char *name, int64_t position,
                      const calendar_zone **ret_zone)
{
    const char *own;
    if (!report_store_time_zone(call->service->store, call->account, position, report_call_deadline(call),
                                call->memory, &own, &call->err))
        return false;
    if (own == NULL && !ask_time_zone(call, &own))
        return false;
    const calendar_zone *zone = calendar_zone_get(name[0] != '\0' ? name : own);
    if (zone == NULL && name[0] != '\0')
        return error_bad_field(&call->err, "time_zone", "not an IANA time zone");
    if (zone == NULL)
        zone = calendar_zone_get("UTC");
    *ret_zone = zone;
    return zone != NULL || report_call_out_of_memory(call);
}
