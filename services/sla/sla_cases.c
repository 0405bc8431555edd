#include "sla/sla_cases.h"

#include "base/arena.h"
#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/wire.h"
#include "sla/timer_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_BYTES_MAX = 32 << 20, NAME_SIZE = TIMER_ACCOUNT_SIZE + 48 };
#define CALL_TIMEOUT_US (5 * CLOCK_SECOND)

#define CASE_SERVICE (&casework__cases__v1__case_service__descriptor)
#define EVENT_SERVICE (&casework__cases__v1__event_service__descriptor)
#define AGENT_SERVICE (&casework__cases__v1__agent_service__descriptor)
#define ACCOUNT_SERVICE (&casework__cases__v1__account_service__descriptor)

/* --- names ---------------------------------------------------------------------------------------- */

static const char accounts_prefix[] = "accounts/";
static const char cases_part[] = "/cases/";

/* The account's id at `text`, up to a slash or the end. NULL if it is none. */
static const char *parse_id(const char *text, char ret_account[TIMER_ACCOUNT_SIZE])
{
    size_t length = strcspn(text, "/");
    if (length == 0 || length >= TIMER_ACCOUNT_SIZE)
        return NULL;
    memcpy(ret_account, text, length);
    ret_account[length] = '\0';
    return text + length;
}

bool sla_cases_parse_account(const char *name, char ret_account[TIMER_ACCOUNT_SIZE])
{
    if (strncmp(name, accounts_prefix, sizeof accounts_prefix - 1) != 0)
        return false;
    const char *rest = parse_id(name + sizeof accounts_prefix - 1, ret_account);
    return rest && *rest == '\0';
}

bool sla_cases_parse_name(const char *name, char ret_account[TIMER_ACCOUNT_SIZE], int64_t *ret_case_id)
{
    if (strncmp(name, accounts_prefix, sizeof accounts_prefix - 1) != 0)
        return false;
    const char *rest = parse_id(name + sizeof accounts_prefix - 1, ret_account);
    return rest && strncmp(rest, cases_part, sizeof cases_part - 1) == 0 &&
           timer_number_parse(rest + sizeof cases_part - 1, ret_case_id);
}

/* --- calls ---------------------------------------------------------------------------------------- */

/* *ret_memory owns the response: free it when done. */
static bool call(rpc_channel *cases, const ProtobufCServiceDescriptor *service, const char *method,
                 const ProtobufCMessage *request, int64_t timeout_us, arena **ret_memory,
                 ProtobufCMessage **ret_response, error *err)
{
    arena *memory = arena_new(ANSWER_BYTES_MAX);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    struct rpc_client_options options = {.timeout_us = timeout_us > 0 ? timeout_us : 1};
    if (!rpc_client_call(cases, service, method, request, &options, memory, ret_response, err)) {
        arena_free(memory);
        return false;
    }
    *ret_memory = memory;
    return true;
}

bool sla_cases_positions(rpc_channel *cases, struct feed_positions *ret_heads, error *err)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    arena *memory;
    ProtobufCMessage *message;
    if (!call(cases, EVENT_SERVICE, "GetPosition", &request.base, CALL_TIMEOUT_US, &memory, &message, err))
        return false;
    const Casework__Cases__V1__GetPositionResponse *response = (const void *)message;
    struct feed_positions heads = {0};
    snprintf(heads.epoch, sizeof heads.epoch, "%s", response->epoch);
    for (size_t i = 0; i < response->n_positions; i++) {
        int32_t partition = response->positions[i]->partition;
        if (partition >= 0 && partition < FEED_PARTITIONS)
            heads.at[partition] = response->positions[i]->position;
    }
    arena_free(memory);
    *ret_heads = heads;
    return true;
}

/* A Get; *ret_memory, which owns the answer, is NULL when there is no such thing. */
static bool find(rpc_channel *cases, const ProtobufCServiceDescriptor *service, const char *method,
                 const ProtobufCMessage *request, int64_t deadline_us, arena **ret_memory,
                 ProtobufCMessage **ret_found, error *err)
{
    error failure;
    int64_t most_us = clock_monotonic_us() + CALL_TIMEOUT_US;
    int64_t left_us = (deadline_us < most_us ? deadline_us : most_us) - clock_monotonic_us();
    if (call(cases, service, method, request, left_us, ret_memory, ret_found, &failure))
        return true;
    if (failure.code == STATUS_NOT_FOUND) {
        *ret_memory = NULL;
        return true;
    }
    if (err)
        *err = failure;
    return false;
}

static bool exists(rpc_channel *cases, const ProtobufCServiceDescriptor *service, const char *method,
                   const ProtobufCMessage *request, int64_t deadline_us, bool *ret_exists, error *err)
{
    arena *memory;
    ProtobufCMessage *found;
    if (!find(cases, service, method, request, deadline_us, &memory, &found, err))
        return false;
    *ret_exists = memory != NULL;
    arena_free(memory);
    return true;
}

bool sla_cases_agent_is_admin(rpc_channel *cases, const char *account, const char *agent, int64_t deadline_us,
                              bool *ret_admin, error *err)
{
    Casework__Cases__V1__GetAgentRequest request = CASEWORK__CASES__V1__GET_AGENT_REQUEST__INIT;
    char name[2 * NAME_SIZE];
    arena *memory;
    ProtobufCMessage *found;
    snprintf(name, sizeof name, "accounts/%s/agents/%s", account, agent);
    request.name = name;
    if (!find(cases, AGENT_SERVICE, "GetAgent", &request.base, deadline_us, &memory, &found, err))
        return false;
    const Casework__Cases__V1__Agent *record =
        memory ? ((const Casework__Cases__V1__GetAgentResponse *)(const void *)found)->agent : NULL;
    *ret_admin =
        record && !record->disabled && record->role == CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN;
    arena_free(memory);
    return true;
}

bool sla_cases_account_exists(rpc_channel *cases, const char *account, int64_t deadline_us, bool *ret_exists,
                              error *err)
{
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "accounts/%s", account);
    request.name = name;
    return exists(cases, ACCOUNT_SERVICE, "GetAccount", &request.base, deadline_us, ret_exists, err);
}

bool sla_cases_time_zone(rpc_channel *cases, const char *account, int64_t deadline_us, arena *memory,
                         const char **ret_time_zone, error *err)
{
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    char name[NAME_SIZE];
    arena *own;
    ProtobufCMessage *found;
    snprintf(name, sizeof name, "accounts/%s", account);
    request.name = name;
    if (!find(cases, ACCOUNT_SERVICE, "GetAccount", &request.base, deadline_us, &own, &found, err))
        return false;
    if (!own)
        return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "accounts/%s does not exist", account);
    const Casework__Cases__V1__Account *record =
        ((const Casework__Cases__V1__GetAccountResponse *)(const void *)found)->account;
    *ret_time_zone = arena_strdup(memory, record ? record->time_zone : "UTC");
    arena_free(own);
    return *ret_time_zone || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

bool sla_cases_case_exists(rpc_channel *cases, const char *account, int64_t case_id, int64_t deadline_us,
                           bool *ret_exists, error *err)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "accounts/%s/cases/%" PRId64, account, case_id);
    request.name = name;
    return exists(cases, CASE_SERVICE, "GetCase", &request.base, deadline_us, ret_exists, err);
}

/* --- the truth ------------------------------------------------------------------------------------ */

static bool read_page(const Casework__Cases__V1__ListDueCasesResponse *response, struct due_case **ret_cases,
                      size_t *ret_count, error *err)
{
    struct due_case *cases = calloc(response->n_due_cases + 1, sizeof *cases);
    if (!cases)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    size_t count = 0;
    for (size_t i = 0; i < response->n_due_cases; i++) {
        const Casework__Cases__V1__DueCase *due = response->due_cases[i];
        struct due_case *one = &cases[count];
        one->version = due->basis_version;
        if (!sla_cases_parse_name(due->case_, one->account, &one->case_id) ||
            !wire_time_us(due->basis_time, &one->basis_time_us)) {
            free(cases);
            return error_set(err, STATUS_INTERNAL, "BAD_DUE_CASE", "a due case cannot be read");
        }
        count++;
    }
    *ret_cases = cases;
    *ret_count = count;
    return true;
}

static bool move_walk(struct due_walk *walk, const char *token, error *err)
{
    char *next = NULL;
    if (*token) {
        next = strdup(token);
        if (!next)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    free(walk->page_token);
    walk->page_token = next;
    walk->end = next == NULL;
    return true;
}

bool due_walk_next(struct due_walk *walk, rpc_channel *cases, struct due_case **ret_cases, size_t *ret_count,
                   error *err)
{
    Casework__Cases__V1__ListDueCasesRequest request = CASEWORK__CASES__V1__LIST_DUE_CASES_REQUEST__INIT;
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char parent[NAME_SIZE];
    snprintf(parent, sizeof parent, "accounts/%s", walk->account ? walk->account : "-");
    request.parent = parent;
    request.rule = (Casework__Cases__V1__DueRule)walk->rule;
    request.page_size = walk->page_size;
    if (walk->page_token)
        request.page_token = walk->page_token;
    if (walk->unchanged_since_us > 0) {
        since.seconds = walk->unchanged_since_us / CLOCK_SECOND;
        since.nanos = (int32_t)(walk->unchanged_since_us % CLOCK_SECOND) * 1000;
        request.unchanged_since_time = &since;
    }
    arena *memory;
    ProtobufCMessage *message;
    if (!call(cases, CASE_SERVICE, "ListDueCases", &request.base, CALL_TIMEOUT_US, &memory, &message, err))
        return false;
    const Casework__Cases__V1__ListDueCasesResponse *response = (const void *)message;
    struct due_case *page = NULL;
    size_t count = 0;
    bool ok = read_page(response, &page, &count, err) && move_walk(walk, response->next_page_token, err);
    arena_free(memory);
    if (!ok) {
        free(page);
        return false;
    }
    *ret_cases = page;
    *ret_count = count;
    return true;
}

void due_walk_release(struct due_walk *walk)
{
    free(walk->page_token);
    walk->page_token = NULL;
}

/* --- closing -------------------------------------------------------------------------------------- */

struct closing {
    close_done *done;
    void *argument;
};

enum close_result close_result_of(const error *err)
{
    switch (err->code) {
    case STATUS_ABORTED:
        return strcmp(err->reason, "STALE_VERSION") == 0 ? CLOSE_STALE : CLOSE_UNKNOWN;
    case STATUS_NOT_FOUND:
        return CLOSE_STALE;
    case STATUS_FAILED_PRECONDITION:
        return strcmp(err->reason, "NOT_DUE") == 0 ? CLOSE_EARLY : CLOSE_STALE;
    default:
        return CLOSE_UNKNOWN;
    }
}

static void closed(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct closing closing = *(struct closing *)argument;
    free(argument);
    int64_t close_time_us = 0;
    if (!response) {
        closing.done(closing.argument, close_result_of(err), 0, err);
        return;
    }
    const Casework__Cases__V1__Case *after =
        ((const Casework__Cases__V1__CloseCaseResponse *)response)->case_;
    if (!after || !wire_time_us(after->close_time, &close_time_us))
        close_time_us = 0;
    closing.done(closing.argument, CLOSE_DONE, close_time_us, NULL);
}

void sla_cases_close(rpc_channel *cases, const struct timer *timer, int64_t timeout_us, close_done *done,
                     void *argument)
{
    struct closing *closing = malloc(sizeof *closing);
    if (!closing) {
        error err;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        done(argument, CLOSE_UNKNOWN, 0, &err);
        return;
    }
    *closing = (struct closing){.done = done, .argument = argument};
    char name[NAME_SIZE];
    char request_id[128];
    snprintf(name, sizeof name, "accounts/%s/cases/%" PRId64, timer->account, timer->case_id);
    snprintf(request_id, sizeof request_id, "sla-close-%" PRId64 "-%d-%" PRId64 "-%" PRId64, timer->case_id,
             (int)timer->rule, timer->version, timer->due_us);
    Google__Protobuf__Timestamp due = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    due.seconds = timer->due_us / CLOCK_SECOND;
    due.nanos = (int32_t)(timer->due_us % CLOCK_SECOND) * 1000;
    Casework__Cases__V1__CloseCaseRequest request = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    request.name = name;
    request.rule = (Casework__Cases__V1__DueRule)timer->rule;
    request.basis_version = timer->version;
    request.due_time = &due;
    request.request_id = request_id;
    struct rpc_client_options options = {.timeout_us = timeout_us};
    rpc_client_call_async(cases, CASE_SERVICE, "CloseCase", &request.base, &options, closed, closing);
}
