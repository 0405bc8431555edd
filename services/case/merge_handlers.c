/* MergeCases and UnmergeCases. */

#include "case/case_write.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/call.h"
#include "rpc/name.h"

#include <string.h>

static bool begin_merge(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                        error *err)
{
    const Casework__Cases__V1__MergeCasesRequest *request = (const void *)message;
    const char *account = NULL, *other = NULL;
    int64_t source = 0, target = 0;
    arena *memory = rpc_call_arena(call);
    if (!rpc_name_case(memory, request->source, "source", &account, &source, err) ||
        !rpc_name_case(memory, request->target, "target", &other, &target, err))
        return false;
    if (strcmp(account, other) != 0)
        return rpc_error_not_found(err, request->target);
    if (source == target)
        return error_bad_field(err, "target", "is the source itself");
    struct case_write *write = case_write_begin(call, CASE_METHOD_MERGE, account, err);
    if (write == NULL)
        return false;
    write->command.merge.source = source;
    write->command.merge.target = target;
    *ret_write = write;
    return parse_etag(request->source_etag, &write->command.merge.expected_source) &&
           parse_etag(request->target_etag, &write->command.merge.expected_target);
}

static void merge_cases(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_merge,
                   &casework__cases__v1__merge_cases_response__descriptor);
}

static bool begin_unmerge(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                          error *err)
{
    const Casework__Cases__V1__UnmergeCasesRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t source = 0;
    if (!rpc_name_case(rpc_call_arena(call), request->name, "name", &account, &source, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_UNMERGE, account, err);
    if (write == NULL)
        return false;
    write->command.merge.source = source;
    *ret_write = write;
    return parse_etag(request->etag, &write->command.merge.expected_source);
}

static void unmerge_cases(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_unmerge,
                   &casework__cases__v1__unmerge_cases_response__descriptor);
}

const struct rpc_method merge_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "MergeCases",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "source",
     .unary = merge_cases},
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "UnmergeCases",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "name",
     .unary = unmerge_cases},
    {.service = NULL},
};
