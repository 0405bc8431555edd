/* GetCase, BatchGetCases and ListCaseEvents. */

#include "case/case_input.h"
#include "case/case_model.h"
#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

static const struct rpc_page_sizes event_page_sizes = {.fallback = 100, .maximum = 1000};

static const struct pg_statement case_get = {
    .quick = true,
    .name = "case_get",
    .sql = "SELECT " CASE_COLUMNS
           " FROM cases c WHERE c.partition = $1::int2 AND c.account = $2::text AND c.id = $3::int8",
};

/* One row for each number asked for, in that order; all NULL where there is no such case. */
static const struct pg_statement case_get_batch = {
    .name = "case_get_batch",
    .sql = "SELECT " CASE_COLUMNS " FROM unnest($3::int8[]) WITH ORDINALITY AS u(id, place)"
           " LEFT JOIN LATERAL (SELECT * FROM cases WHERE partition = $1::int2 AND account = $2::text"
           " AND id = u.id LIMIT 1) c ON true ORDER BY u.place",
};

enum { CASE_ID_COLUMN = 2 };

static const struct pg_statement case_events = {
    .name = "case_events",
    .sql = "SELECT position, data FROM events WHERE partition = $1::int2 AND account = $2::text"
           " AND case_id = $3::int8 AND position > $4::int8 ORDER BY position LIMIT $5::int4",
};

static Casework__Cases__V1__Case *case_of(struct case_read *read, int row)
{
    struct case_record record;
    if (!case_row_read(read->result, row, read->memory, &record, &read->err))
        return NULL;
    return case_wire(read->memory, &record);
}

static ProtobufCMessage *answer_get(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__GetCaseRequest *request = (const void *)message;
    const char *account;
    int64_t id;
    if (!rpc_name_case(read->memory, request->name, "name", &account, &id, &read->err))
        return NULL;
    case_read_add_account(read, account);
    pg_add_int8(&read->params, id);
    if (!case_read_run(read, &case_get))
        return NULL;
    if (pg_rows(read->result) == 0)
        return case_read_not_found(read, request->name);
    Casework__Cases__V1__GetCaseResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__Case *found = case_of(read, 0);
    if (!response || !found)
        return NULL;
    casework__cases__v1__get_case_response__init(response);
    response->case_ = found;
    return &response->base;
}

/* The number of a case of `account`; false: the name is none of it. */
static bool batch_id(arena *memory, const char *account, const char *name, int64_t *ret_id, error *err)
{
    const char *its_account;
    int64_t id;
    if (!rpc_name_case(memory, name, "names", &its_account, &id, err))
        return false;
    if (strcmp(its_account, account) != 0)
        return rpc_error_not_found(err, name);
    *ret_id = id;
    return true;
}

struct batch {
    const char *account;
    struct rpc_room room;
    bool full; /* what follows is to be asked for again */
};

/* NULL: *ret_why says why the case has none; STATUS_OK in it means that the whole call fails. */
static Casework__Cases__V1__Case *batch_case(struct case_read *read, int row, struct batch *batch,
                                             const char *name, error *ret_why)
{
    int64_t id;
    ret_why->code = STATUS_OK;
    if (!batch_id(read->memory, batch->account, name, &id, ret_why))
        return NULL;
    if (pg_is_null(read->result, row, CASE_ID_COLUMN)) {
        rpc_error_not_found(ret_why, name);
        return NULL;
    }
    Casework__Cases__V1__Case *found = NULL;
    if (!batch->full) {
        found = case_of(read, row);
        if (!found)
            return NULL;
        batch->full = !rpc_room_take(&batch->room, &found->base);
    }
    if (batch->full) {
        error_set(ret_why, STATUS_RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE", "ask again for fewer cases");
        return NULL;
    }
    return found;
}

static bool batch_result(struct case_read *read, int row, struct batch *batch, const char *name,
                         Casework__Cases__V1__CaseResult *result)
{
    error why;
    casework__cases__v1__case_result__init(result);
    result->name = (char *)(uintptr_t)name;
    Casework__Cases__V1__Case *found = batch_case(read, row, batch, name, &why);
    if (found) {
        result->outcome_case = CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE;
        result->case_ = found;
        return true;
    }
    if (why.code == STATUS_OK)
        return false;
    result->outcome_case = CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_ERROR;
    result->error = case_wire_status(read->memory, &why);
    return result->error != NULL;
}

static bool batch_read(struct case_read *read, const Casework__Cases__V1__BatchGetCasesRequest *request,
                       const char *account)
{
    int64_t ids[CASE_NAMES_MAX] = {0}; /* 0: no case has it */
    error ignored;                     /* told with the result */
    for (size_t i = 0; i < request->n_names; i++) {
        if (!batch_id(read->memory, account, request->names[i], &ids[i], &ignored))
            ids[i] = 0;
    }
    case_read_add_account(read, account);
    pg_add_int8_array(&read->params, ids, request->n_names);
    return case_read_run(read, &case_get_batch);
}

static ProtobufCMessage *answer_batch(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__BatchGetCasesRequest *request = (const void *)message;
    struct batch batch = {0};
    if (!rpc_name_account(read->memory, request->parent, "parent", &batch.account, &read->err))
        return NULL;
    if (!case_names_check(request->names, request->n_names, &read->err) ||
        !batch_read(read, request, batch.account))
        return NULL;
    Casework__Cases__V1__BatchGetCasesResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__CaseResult *results = arena_calloc(read->memory, request->n_names, sizeof *results);
    Casework__Cases__V1__CaseResult **list = arena_calloc(read->memory, request->n_names, sizeof(void *));
    if (!response || !results || !list)
        return NULL;
    casework__cases__v1__batch_get_cases_response__init(response);
    for (size_t i = 0; i < request->n_names; i++) {
        list[i] = &results[i];
        if (!batch_result(read, (int)i, &batch, request->names[i], list[i]))
            return NULL;
    }
    response->results = list;
    response->n_results = request->n_names;
    return &response->base;
}

static bool case_is_there(struct case_read *read, const char *account, int64_t id, const char *name)
{
    case_read_add_account(read, account);
    pg_add_int8(&read->params, id);
    if (!case_read_run(read, &case_get))
        return false;
    return pg_rows(read->result) > 0 || case_read_not_found(read, name);
}

/* Up to `count` events, as many as there is room for. */
static Casework__Cases__V1__ListCaseEventsResponse *events_response(struct case_read *read, size_t count)
{
    Casework__Cases__V1__ListCaseEventsResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__Event **list = arena_calloc(read->memory, count + 1, sizeof(void *));
    struct rpc_room room = {0};
    if (!response || !list)
        return NULL;
    casework__cases__v1__list_case_events_response__init(response);
    response->events = list;
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const void *data = pg_get_bytes(read->result, (int)i, 1, &length);
        ProtobufCMessage *event;
        if (!wire_unpack(&casework__cases__v1__event__descriptor, data, length, read->memory, &event,
                         &read->err)) {
            read->err.code = STATUS_DATA_LOSS;
            return NULL;
        }
        if (!rpc_room_take(&room, event))
            break;
        list[response->n_events++] = (Casework__Cases__V1__Event *)event;
    }
    return response;
}

static ProtobufCMessage *answer_events(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListCaseEventsRequest *request = (const void *)message;
    const char *account;
    int64_t id;
    struct rpc_page page;
    if (!rpc_name_case(read->memory, request->parent, "parent", &account, &id, &read->err) ||
        !rpc_page_open(read->memory, &request->base, NULL, &event_page_sizes, &page, &read->err))
        return NULL;
    case_read_add_account(read, account);
    pg_add_int8(&read->params, id);
    pg_add_int8(&read->params, page.key.second);
    pg_add_int4(&read->params, page.size + 1);
    if (!case_read_run(read, &case_events))
        return NULL;
    bool more;
    size_t count = case_read_page_rows(read, &page, &more);
    Casework__Cases__V1__ListCaseEventsResponse *response = events_response(read, count);
    if (!response)
        return NULL;
    if (count == 0 && !case_is_there(read, account, id, request->parent))
        return NULL;
    bool is_last = !more && response->n_events == count;
    const struct rpc_page_key key = {
        .second = is_last ? 0 : pg_get_int(read->result, (int)response->n_events - 1, 0)};
    return case_read_page_end(read, account, 0, &page, message, NULL, is_last ? NULL : &key,
                              &response->next_page_token)
               ? &response->base
               : NULL;
}

static void handle_get(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_get);
}

static void handle_batch(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_batch);
}

static void handle_events(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_events);
}

const struct rpc_method case_read_case_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "GetCase",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "name",
     .brief = true,
     .unary = handle_get},
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "BatchGetCases",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .unary = handle_batch},
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "ListCaseEvents",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .unary = handle_events},
    {0},
};
