/* ListCases and CountCases. */

#include "base/clock.h"
#include "case/case_list.h"
#include "case/case_model.h"
#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

enum { LABELS_MAX = 10 };

static const struct pg_statement business_time = {
    .quick = true,
    .name = "business_time",
    .sql = "SELECT coalesce(manual_time, clock_timestamp()) FROM suite",
};

/*
 * All folders at one moment, in the order of the contract, from counts that are kept (db/case/); $3: whose.
 * The hour in which the 24 hours of Recent begin is counted out.
 */
static const struct pg_statement case_count = {
    .name = "case_count",
    .sql =
        "WITH n AS MATERIALIZED (SELECT kind, agent, slot, cases FROM case_counts WHERE partition = $1::int2"
        " AND account = $2::text AND kind <= 4 AND agent IN ('', $3::text)),"
        " since AS MATERIALIZED (SELECT time, floor(extract(epoch FROM time) / 3600)::int8 AS hour FROM "
        "(SELECT"
        " coalesce(manual_time, clock_timestamp()) - interval '24 hours' AS time FROM suite) t)"
        " SELECT (SELECT sum(cases) FROM n WHERE kind = 1 AND slot <= 5)::int8,"
        " (SELECT cases FROM n WHERE kind = 1 AND slot = 1), (SELECT cases FROM n WHERE kind = 1 AND slot = "
        "2),"
        " (SELECT cases FROM n WHERE kind = 1 AND slot = 3), (SELECT cases FROM n WHERE kind = 1 AND slot = "
        "4),"
        " (SELECT cases FROM n WHERE kind = 1 AND slot = 5), (SELECT cases FROM n WHERE kind = 1 AND slot = "
        "6),"
        " (SELECT cases FROM n WHERE kind = 2 AND agent = $3), (SELECT cases FROM n WHERE kind = 2 AND agent "
        "= ''),"
        " (SELECT coalesce((SELECT sum(cases) FROM case_counts WHERE partition = $1 AND account = $2"
        " AND kind = 5 AND agent = '' AND slot > since.hour), 0) + (SELECT count(*) FROM cases WHERE "
        "partition = $1"
        " AND account = $2 AND status <> 6 AND status <= 5 AND open_time >= since.time"
        " AND open_time < to_timestamp((since.hour + 1) * 3600)) FROM since)::int8,"
        " (SELECT cases FROM n WHERE kind = 3), (SELECT cases FROM n WHERE kind = 4 AND agent = $3)",
};

/* Whose folders: the agent named, else the caller's. "" when there is none. */
static bool agent_of(struct case_read *read, const char *account, const char *name, const char **ret_agent)
{
    if (!rpc_name_member_of(read->memory, account, "agents", name, "agent", ret_agent, &read->err))
        return false;
    if (!**ret_agent)
        *ret_agent = rpc_call_caller(read->call)->agent;
    return true;
}

static bool filter_name(struct case_read *read, const char *account, const char *collection, const char *name,
                        const char *field, const char **ret_id)
{
    const char *id;
    if (!rpc_name_member_of(read->memory, account, collection, name, field, &id, &read->err))
        return false;
    *ret_id = *id ? id : NULL;
    return true;
}

static bool list_filters(struct case_read *read, const Casework__Cases__V1__ListCasesRequest *request,
                         struct case_list_query *query)
{
    error *err = &read->err;
    if (!filter_name(read, query->account, "agents", request->owner, "owner", &query->owner) ||
        !filter_name(read, query->account, "contacts", request->contact, "contact", &query->contact) ||
        !filter_name(read, query->account, "channels", request->channel, "channel", &query->channel))
        return false;
    if (!wire_bound_us(request->start_time, &query->start_time))
        return error_bad_field(err, "start_time", "is out of range");
    if (!wire_bound_us(request->end_time, &query->end_time))
        return error_bad_field(err, "end_time", "is out of range");
    if (request->n_labels > LABELS_MAX)
        return error_bad_field(err, "labels", "at most %d", LABELS_MAX);
    query->labels = (const char *const *)request->labels;
    query->label_count = request->n_labels;
    if (request->classification) {
        if (!*request->classification->group)
            return error_bad_field(err, "classification.group", "is required");
        query->group = request->classification->group;
        query->value = *request->classification->value ? request->classification->value : NULL;
    }
    return true;
}

bool case_list_take(struct case_read *read, const Casework__Cases__V1__ListCasesRequest *request,
                    struct case_list_query *query)
{
    error *err = &read->err;
    *query =
        (struct case_list_query){.folder = request->folder ? (enum case_folder)request->folder : FOLDER_ALL};
    if (!rpc_name_account(read->memory, request->parent, "parent", &query->account, err))
        return false;
    if (query->folder >= FOLDER_COUNT)
        return error_bad_field(err, "folder", "is no folder");
    if (!case_order_parse(request->order_by, &query->order, &query->descending, err) ||
        !agent_of(read, query->account, request->agent, &query->agent) || !list_filters(read, request, query))
        return false;
    if (case_folder_needs_agent(query->folder) && !*query->agent)
        return error_bad_field(err, "agent", "is required: the folder is an agent's and the caller is none");
    return true;
}

bool case_list_settle_owner(struct case_list_query *query)
{
    const char *owner = query->folder == FOLDER_MY_CASES     ? query->agent
                        : query->folder == FOLDER_UNASSIGNED ? ""
                                                             : NULL;
    if (!owner)
        return true;
    if (query->owner && strcmp(query->owner, owner) != 0)
        return false;
    query->owner = owner;
    return true;
}

bool case_list_recent_since(struct case_read *read, int64_t *ret_since_us)
{
    if (!case_read_run(read, &business_time))
        return false;
    *ret_since_us = pg_get_time(read->result, 0, 0) - CLOCK_DAY;
    return true;
}

/* Recent means 24 hours before the walk began: no page of it forgets a case because time goes by. */
static bool settle_recent(struct case_read *read, struct case_list_query *query, struct rpc_page *page)
{
    if (query->folder != FOLDER_RECENT)
        return true;
    if (!page->after && !case_list_recent_since(read, &page->key.base))
        return false;
    query->opened_since = page->key.base;
    return true;
}

static struct rpc_page_key key_of(const struct case_list_query *query, const struct rpc_page *page,
                                  const struct case_record *last)
{
    struct rpc_page_key key = {.second = last->id, .base = page->key.base, .text = ""};
    if (query->order == CASE_ORDER_SUBJECT)
        key.text = last->subject_key;
    else
        key.first = query->order == CASE_ORDER_STATUS ? (int64_t)last->status : last->update_time;
    return key;
}

/* Up to `count` cases, as many as there is room for; *ret_last is the last of them. */
static Casework__Cases__V1__ListCasesResponse *list_response(struct case_read *read, size_t count,
                                                             struct case_record *ret_last)
{
    struct rpc_room room = {0};
    Casework__Cases__V1__ListCasesResponse *response = arena_alloc(read->memory, sizeof *response);
    if (!response)
        return NULL;
    casework__cases__v1__list_cases_response__init(response);
    response->cases = arena_calloc(read->memory, count + 1, sizeof(void *));
    if (!response->cases)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct case_record record;
        if (!case_row_read(read->result, (int)i, read->memory, &record, &read->err))
            return NULL;
        response->cases[i] = case_wire(read->memory, &record);
        if (!response->cases[i])
            return NULL;
        if (!rpc_room_take(&room, &response->cases[i]->base))
            break;
        response->n_cases++;
        *ret_last = record;
    }
    return response;
}

static ProtobufCMessage *answer_list(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListCasesRequest *request = (const void *)message;
    struct case_list_query query;
    struct rpc_page page;
    struct case_record last = {.subject_key = ""};
    if (!case_list_take(read, request, &query) ||
        !rpc_page_open(read->memory, &request->base, query.agent, &rpc_page_sizes_usual, &page, &read->err))
        return NULL;
    if (!case_list_settle_owner(&query)) {
        if (!case_read_check_account(read, query.account))
            return NULL;
        Casework__Cases__V1__ListCasesResponse *empty = list_response(read, 0, &last);
        return empty ? &empty->base : NULL;
    }
    if (!settle_recent(read, &query, &page))
        return NULL;
    const struct pg_statement *statement =
        case_list_statement(&query, &page, feed_partition(query.account), &read->params);
    if (!case_read_run(read, statement))
        return NULL;
    bool more;
    size_t count = case_read_page_rows(read, &page, &more);
    Casework__Cases__V1__ListCasesResponse *response = list_response(read, count, &last);
    int64_t origin = count > 0 ? pg_get_int(read->result, 0, CASE_COLUMN_COUNT) : 0;
    if (!response || (count == 0 && !case_read_check_account(read, query.account)))
        return NULL;
    bool is_last = !more && response->n_cases == count;
    const struct rpc_page_key key = key_of(&query, &page, &last);
    return case_read_page_end(read, query.account, origin, &page, message, query.agent, is_last ? NULL : &key,
                              &response->next_page_token)
               ? &response->base
               : NULL;
}

static Casework__Cases__V1__CountCasesResponse *count_response(struct case_read *read, bool with_agent)
{
    Casework__Cases__V1__CountCasesResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__FolderCount *counts = arena_calloc(read->memory, FOLDER_COUNT, sizeof *counts);
    Casework__Cases__V1__FolderCount **list = arena_calloc(read->memory, FOLDER_COUNT, sizeof(void *));
    if (!response || !counts || !list)
        return NULL;
    casework__cases__v1__count_cases_response__init(response);
    response->counts = list;
    for (int folder = FOLDER_ALL; folder < FOLDER_COUNT; folder++) {
        if (!with_agent && case_folder_needs_agent((enum case_folder)folder))
            continue;
        Casework__Cases__V1__FolderCount *count = &counts[response->n_counts];
        casework__cases__v1__folder_count__init(count);
        count->folder = (Casework__Cases__V1__Folder)folder;
        count->count = pg_get_int(read->result, 0, folder - FOLDER_ALL);
        list[response->n_counts++] = count;
    }
    return response;
}

static ProtobufCMessage *answer_count(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__CountCasesRequest *request = (const void *)message;
    const char *account, *agent;
    if (!rpc_name_account(read->memory, request->parent, "parent", &account, &read->err) ||
        !agent_of(read, account, request->agent, &agent) || !case_read_check_account(read, account))
        return NULL;
    case_read_add_account(read, account);
    pg_add_text(&read->params, agent);
    if (!case_read_run(read, &case_count))
        return NULL;
    Casework__Cases__V1__CountCasesResponse *response = count_response(read, *agent != '\0');
    return response ? &response->base : NULL;
}

static void handle_list(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_list);
}

static void handle_count(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_count);
}

const struct rpc_method case_list_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "ListCases",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .unary = handle_list},
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "CountCases",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .unary = handle_count},
    {0},
};
