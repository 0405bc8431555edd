/* SearchCases. */

#include "search/search_handlers.h"

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/page.h"
#include "rpc/wire.h"
#include "search/search_presence.h"

#include <limits.h>
#include <string.h>

/* How long a call without a deadline waits for a position. */
#define WAIT_MAX (60 * CLOCK_SECOND)

enum { FIELDS = 8 };

typedef Casework__Search__V1__SearchCasesRequest wire_request;
typedef Casework__Search__V1__SearchCasesResponse wire_response;
typedef Casework__Search__V1__SearchResult wire_result;
typedef Casework__Search__V1__SearchMatch wire_match;

/* A search on its way; in the call's arena. */
struct search {
    rpc_call *call;
    arena *memory;
    const struct search_service *service;
    const wire_request *request;
    const char *account;
    struct search_query query;
    struct search_cursor after;
    error err;
};

/* --- the request -------------------------------------------------------------------------------------- */

static bool read_order(const char *text, struct search_query *query, error *err)
{
    static const struct {
        const char *text;
        enum search_order order;
        bool descending;
    } orders[] = {
        {"", SEARCH_ORDER_UPDATE_TIME, true},
        {"update_time", SEARCH_ORDER_UPDATE_TIME, false},
        {"update_time desc", SEARCH_ORDER_UPDATE_TIME, true},
        {"subject", SEARCH_ORDER_SUBJECT, false},
        {"subject desc", SEARCH_ORDER_SUBJECT, true},
        {"status", SEARCH_ORDER_STATUS, false},
        {"status desc", SEARCH_ORDER_STATUS, true},
    };
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (strcmp(text, orders[i].text) != 0)
            continue;
        query->order = orders[i].order;
        query->descending = orders[i].descending;
        return true;
    }
    return error_bad_field(err, "order_by", "must be update_time, subject or status, with or without desc");
}

static bool read_sets(const wire_request *request, struct search_query *query, error *err)
{
    query->fields = request->n_fields ? 0 : SEARCH_FIELDS_ALL;
    for (size_t i = 0; i < request->n_fields; i++) {
        if ((int)request->fields[i] < 1 || (int)request->fields[i] > FIELDS)
            return error_bad_field(err, "fields", "not a field");
        query->fields |= SEARCH_FIELD_BIT(request->fields[i]);
    }
    query->statuses = request->n_statuses ? 0 : ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED);
    for (size_t i = 0; i < request->n_statuses; i++) {
        if ((int)request->statuses[i] < 1 || (int)request->statuses[i] > SEARCH_STATUS_DELETED)
            return error_bad_field(err, "statuses", "not a status");
        query->statuses |= SEARCH_STATUS_BIT(request->statuses[i]);
    }
    return true;
}

static bool read_times(const wire_request *request, struct search_query *query, error *err)
{
    query->start_time_us = INT64_MIN;
    query->end_time_us = INT64_MAX;
    if (request->start_time && !wire_time_us(request->start_time, &query->start_time_us))
        return error_bad_field(err, "start_time", "not a time");
    if (request->end_time && !wire_time_us(request->end_time, &query->end_time_us))
        return error_bad_field(err, "end_time", "not a time");
    return true;
}

/* The id that a filter names; NULL when there is no filter. */
static bool read_filter(struct search *search, const char *collection, const char *name, const char *field,
                        const char **ret_id)
{
    *ret_id = NULL;
    return !*name ||
           rpc_name_member_of(search->memory, search->account, collection, name, field, ret_id, &search->err);
}

static bool read_page(struct search *search)
{
    struct rpc_page page;
    if (!rpc_page_open(search->memory, &search->request->base, NULL, &rpc_page_sizes_usual, &page,
                       &search->err))
        return false;
    search->query.limit = (size_t)page.size;
    search->after = (struct search_cursor){.update_time_us = page.key.first,
                                           .subject_key = page.key.text,
                                           .status = (int)page.key.first,
                                           .number = page.key.second};
    search->query.after = page.after ? &search->after : NULL;
    return true;
}

static bool read_request(struct search *search)
{
    const wire_request *request = search->request;
    struct search_query *query = &search->query;
    query->label = *request->label ? request->label : NULL;
    if (request->min_position < 0)
        return error_bad_field(&search->err, "min_position", "must not be negative");
    return rpc_name_account(search->memory, request->parent, "parent", &search->account, &search->err) &&
           search_query_words(request->query, search->memory, &query->words, &query->word_count,
                              &search->err) &&
           read_sets(request, query, &search->err) && read_times(request, query, &search->err) &&
           read_order(request->order_by, query, &search->err) &&
           read_filter(search, "agents", request->owner, "owner", &query->owner) &&
           read_filter(search, "channels", request->channel, "channel", &query->channel) && read_page(search);
}

/* --- the answer --------------------------------------------------------------------------------------- */

static bool add_matches(const struct search *search, const struct search_result *result, wire_result *wire)
{
    const struct search_query *query = &search->query;
    size_t count = 0, at = 0;
    for (size_t i = 0; i < query->word_count; i++)
        count += (size_t)__builtin_popcount(result->fields[i]);
    wire->matches = arena_calloc(search->memory, count + 1, sizeof(wire_match *));
    wire_match *matches = arena_calloc(search->memory, count + 1, sizeof *matches);
    if (!wire->matches || !matches)
        return false;
    for (size_t i = 0; i < query->word_count; i++)
        for (int field = 1; field <= FIELDS; field++) {
            if (!(result->fields[i] & SEARCH_FIELD_BIT(field)))
                continue;
            casework__search__v1__search_match__init(&matches[at]);
            matches[at].word = (char *)query->words[i];
            matches[at].field = (Casework__Search__V1__SearchField)field;
            wire->matches[at] = &matches[at];
            at++;
        }
    wire->n_matches = at;
    return true;
}

static wire_result *translate(const struct search *search, const struct search_result *result)
{
    wire_result *wire = arena_alloc(search->memory, sizeof *wire);
    if (!wire)
        return NULL;
    casework__search__v1__search_result__init(wire);
    wire->case_ =
        arena_printf(search->memory, "accounts/%s/cases/%lld", search->account, (long long)result->number);
    wire->subject = (char *)result->subject;
    wire->status = (Casework__Cases__V1__CaseStatus)result->status;
    wire->owner = *result->owner
                      ? arena_printf(search->memory, "accounts/%s/agents/%s", search->account, result->owner)
                      : arena_strdup(search->memory, "");
    wire->update_time = wire_timestamp(search->memory, result->update_time_us);
    wire->need_reply = result->need_reply;
    bool timed = wire->update_time || result->update_time_us == 0;
    return wire->case_ && wire->owner && timed && add_matches(search, result, wire) ? wire : NULL;
}

static char *next_token(const struct search *search, const struct search_cursor *last)
{
    struct rpc_page_key key = {.second = last->number, .text = ""};
    switch (search->query.order) {
    case SEARCH_ORDER_UPDATE_TIME:
        key.first = last->update_time_us;
        break;
    case SEARCH_ORDER_SUBJECT:
        key.text = last->subject_key;
        break;
    case SEARCH_ORDER_STATUS:
        key.first = last->status;
        break;
    }
    return rpc_page_seal(search->memory, &search->request->base, NULL, &key);
}

static bool fill_response(const struct search *search, const struct search_answer *answer,
                          wire_response *response)
{
    response->results = arena_calloc(search->memory, answer->count + 1, sizeof(wire_result *));
    bool room = response->results != NULL;
    for (size_t i = 0; room && i < answer->count; i++)
        room = (response->results[i] = translate(search, &answer->results[i])) != NULL;
    response->n_results = answer->count;
    response->query_words = (char **)search->query.words;
    response->n_query_words = search->query.word_count;
    response->total_size = answer->total > INT32_MAX ? INT32_MAX : (int32_t)answer->total;
    if (room && answer->more)
        room = (response->next_page_token = next_token(search, &answer->last)) != NULL;
    return room;
}

static bool set_behind(error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "INDEX_BEHIND", "the index has not come to the position");
}

static bool find(struct search *search, struct search_answer *ret_answer)
{
    return search_index_query(search->service->index, search->account, &search->query, search->memory,
                              ret_answer, &search->err) &&
           (ret_answer->total > 0 ||
            search_presence_check(search->service, search->account, rpc_call_deadline_us(search->call),
                                  search->memory, &search->err));
}

/* A position goes back only when everything starts anew: then what was found is of no use. */
static bool is_complete(struct search *search, int64_t position)
{
    return (position >= search->request->min_position &&
            search_index_position(search->service->index, search->account) >= position) ||
           set_behind(&search->err);
}

/* The position is asked for first: the index may be further than the answer says, never less far. */
static void run(struct search *search)
{
    wire_response response = CASEWORK__SEARCH__V1__SEARCH_CASES_RESPONSE__INIT;
    response.indexed_position = search_index_position(search->service->index, search->account);
    struct search_answer answer;
    if (!find(search, &answer) || !is_complete(search, response.indexed_position))
        rpc_call_fail(search->call, &search->err);
    else if (!fill_response(search, &answer, &response))
        rpc_call_fail_memory(search->call);
    else
        rpc_call_reply(search->call, &response.base);
}

/* --- waiting ------------------------------------------------------------------------------------------ */

static void run_task(void *argument)
{
    run(argument);
}

static void wake(void *argument, bool reached)
{
    struct search *search = argument;
    if (reached && rpc_server_run(search->service->server, run_task, search))
        return;
    if (reached)
        error_set(&search->err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too many searches at once");
    else if (rpc_call_is_cancelled(search->call) ||
             clock_monotonic_us() >= rpc_call_deadline_us(search->call))
        error_set(&search->err, STATUS_DEADLINE_EXCEEDED, "",
                  "the index has not come to the position in time");
    else
        set_behind(&search->err);
    rpc_call_fail(search->call, &search->err);
}

static void search_cases(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    arena *memory = rpc_call_arena(call);
    struct search *search = arena_calloc(memory, 1, sizeof *search);
    if (!search) {
        rpc_call_fail_memory(call);
        return;
    }
    search->call = call;
    search->memory = memory;
    search->service = context;
    search->request = (const wire_request *)message;
    if (!read_request(search)) {
        rpc_call_fail(call, &search->err);
        return;
    }
    if (search_shards_forward(&search->service->shards, call, "SearchCases", message, search->account))
        return;
    feed_consumer *consumer = search_follower_consumer(search->service->follower);
    if (search->request->min_position <= search_index_position(search->service->index, search->account)) {
        run(search);
        return;
    }
    int64_t deadline = rpc_call_deadline_us(call), longest = clock_monotonic_us() + WAIT_MAX;
    if (!feed_consumer_await_account(consumer, search->account, search->request->min_position,
                                     deadline == INT64_MAX ? longest : deadline, wake, search, &search->err))
        rpc_call_fail(call, &search->err);
}

const struct rpc_method search_methods[] = {
    {.service = &casework__search__v1__search_service__descriptor,
     .name = "SearchCases",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = search_cases},
    {.service = NULL},
};

bool search_handlers_add(struct search_service *service, error *err)
{
    const struct rpc_method *const tables[] = {search_methods, search_status_methods, search_rebuild_methods,
                                               search_check_methods, NULL};
    for (size_t i = 0; tables[i]; i++)
        if (!rpc_server_add(service->server, tables[i], service, err))
            return false;
    return true;
}
