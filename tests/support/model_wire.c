/* Calls, and the etags they need. */

#include "tests/support/model_wire_private.h"

#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/status_details.h"
#include "tests/support/case_script.h"

#include <stdlib.h>
#include <time.h>

enum { ATTEMPTS_MAX = 500 };

struct method {
    const ProtobufCServiceDescriptor *service;
    const char *name;
};

static struct method method_of(enum model_verb verb)
{
    static const char *const names[MODEL_VERBS] = {
        [MODEL_CREATE] = "CreateCase",
        [MODEL_OPEN] = "OpenCase",
        [MODEL_MARK_PENDING] = "MarkCasePending",
        [MODEL_RESOLVE] = "ResolveCase",
        [MODEL_REOPEN] = "ReopenCase",
        [MODEL_CLOSE] = "CloseCase",
        [MODEL_DELETE] = "DeleteCase",
        [MODEL_UNDELETE] = "UndeleteCase",
        [MODEL_ASSIGN] = "AssignCase",
        [MODEL_UPDATE] = "UpdateCase",
        [MODEL_CLASSIFY] = "AddClassifications",
        [MODEL_DECLASSIFY] = "RemoveClassifications",
        [MODEL_ADD_MESSAGE] = "AddMessage",
        [MODEL_SET_STATE] = "SetMessageState",
        [MODEL_SETTING] = "UpdateAccount",
        [MODEL_RECEIVE] = "ReceiveMessage",
        [MODEL_FORWARD_CASE] = "ForwardCase",
        [MODEL_FORWARD_MESSAGE] = "ForwardMessage",
        [MODEL_MERGE] = "MergeCases",
        [MODEL_UNMERGE] = "UnmergeCases",
        [MODEL_BATCH] = "BatchUpdateCases",
        [MODEL_BREAK_LOCK] = "BreakCaseLock",
    };
    const ProtobufCServiceDescriptor *service =
        verb == MODEL_ADD_MESSAGE || verb == MODEL_SET_STATE || verb == MODEL_FORWARD_MESSAGE
            ? &casework__cases__v1__message_service__descriptor
        : verb == MODEL_SETTING ? &casework__cases__v1__account_service__descriptor
        : verb == MODEL_RECEIVE ? &casework__cases__v1__connector_service__descriptor
                                : &casework__cases__v1__case_service__descriptor;
    return (struct method){service, names[verb]};
}

static void read_results(const Casework__Cases__V1__BatchUpdateCasesResponse *response,
                         struct model_reply *reply)
{
    for (size_t i = 0; i < response->n_results && i < MODEL_BATCH_MAX; i++) {
        const Casework__Cases__V1__CaseResult *result = response->results[i];
        struct model_result *found = &reply->results[i];
        unsigned char packed[STATUS_DETAILS_SIZE];
        error err = {0};
        if (result->outcome_case == CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE) {
            model_wire_see(result->case_, &found->seen);
            continue;
        }
        google__rpc__status__pack(result->error, packed);
        status_details_decode(packed, google__rpc__status__get_packed_size(result->error), &err);
        found->code = (enum status_code)result->error->code;
        snprintf(found->reason, sizeof found->reason, "%s", err.reason);
    }
}

static void read_reply(const ProtobufCMessage *response, struct model_reply *reply)
{
    Casework__Cases__V1__Case **about = model_field(response, "case");
    Casework__Cases__V1__Message **message = model_field(response, "message");
    Casework__Cases__V1__Case **source = model_field(response, "source");
    protobuf_c_boolean *created = model_field(response, "case_created");
    reply->position = *(int64_t *)model_field(response, "position");
    if (about && *about)
        model_wire_see(*about, &reply->seen);
    if (source && *source)
        model_wire_see(*source, &reply->source);
    if (response->descriptor == &casework__cases__v1__batch_update_cases_response__descriptor)
        read_results((const void *)response, reply);
    if (message && *message)
        model_wire_see_message(*message, &reply->message);
    if (created)
        reply->created = *created;
}

/* One attempt; false: *err. */
static bool attempt(rpc_channel *channel, const struct model_command *command, const void *request,
                    const char *session, arena *memory, struct model_reply *reply, error *err)
{
    struct method method = method_of(command->verb);
    const struct rpc_client_options options = {
        .timeout_us = MODEL_CALL_TIMEOUT_US,
        .agent = command->actor.kind == ACTOR_KIND_AGENT ? script_agents[command->actor.agent] : NULL,
        .session = session,
        .no_retry = true,
    };
    ProtobufCMessage *response = NULL;
    *err = (error){0};
    if (!rpc_client_call(channel, method.service, method.name, request, &options, memory, &response, err))
        return false;
    reply->code = STATUS_OK;
    read_reply(response, reply);
    return true;
}

void model_wire_call(const struct model_ways *ways, unsigned first, const char *account,
                     const struct model_command *command, const char *etag, const char *session,
                     arena *memory, struct model_reply *ret_reply)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    struct method method = method_of(command->verb);
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(method.service, method.name);
    const void *request = model_wire_request(descriptor->input, account, command, etag, memory);
    error err;
    *ret_reply = (struct model_reply){.attempts = 1};
    while (!attempt(ways->channels[(first + ret_reply->attempts - 1) % ways->count], command, request,
                    session, memory, ret_reply, &err)) {
        /* What was answered too late may have been carried out. */
        bool surely_not = err.code != STATUS_UNKNOWN && err.code != STATUS_UNAVAILABLE &&
                          err.code != STATUS_DEADLINE_EXCEEDED;
        if (surely_not || !command->request_id || ret_reply->attempts == ATTEMPTS_MAX) {
            ret_reply->code = err.code;
            snprintf(ret_reply->reason, sizeof ret_reply->reason, "%s", err.reason);
            snprintf(ret_reply->text, sizeof ret_reply->text, "%s", err.message);
            return;
        }
        ret_reply->attempts++;
        nanosleep(&pause, NULL);
    }
}

/* --- etags -------------------------------------------------------------------------------------------------
 */

void model_etags_learn(struct model_etags *etags, const struct model_seen *seen)
{
    char(**of)[MODEL_ETAG_SIZE] = &etags->of[seen->number - 1];
    if (!*of)
        *of = calloc(MODEL_VERSIONS_MAX, MODEL_ETAG_SIZE);
    if (!*of)
        abort();
    if (seen->facts.version < MODEL_VERSIONS_MAX)
        memcpy((*of)[seen->facts.version], seen->etag, MODEL_ETAG_SIZE);
}

const char *model_etags_for(const struct model_etags *etags, struct model_command *command)
{
    bool never = command->verb == MODEL_CLOSE || command->verb == MODEL_BREAK_LOCK ||
                 command->verb == MODEL_SET_STATE || command->number == 0;
    int64_t version = never ? 0 : command->expected_version;
    bool known = version > 0 && version < MODEL_VERSIONS_MAX && etags->of[command->number - 1];
    const char *etag = known ? etags->of[command->number - 1][version] : "";
    if (*etag == '\0')
        command->expected_version = 0;
    return etag;
}

void model_etags_release(struct model_etags *etags)
{
    for (int i = 0; i < ACCOUNT_CASES_MAX; i++)
        free(etags->of[i]);
}
