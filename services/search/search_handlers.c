/* SearchCases. */

#include "search/search_handlers.h"

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/page.h"
#include "rpc/wire.h"
#include "search/search_presence.h"
#include "search/search_reply.h"

#include <string.h>

/* How long a call without a deadline waits for a position. */
#define WAIT_MAX (60 * CLOCK_SECOND)

/* No label is longer than 256 characters. */
enum { FIELDS = 8, LABEL_BYTES_MAX = 1024 };

/* Of search_index_cost: a tenth of a millisecond or two. */
enum { INLINE_COST = 1 << 17 };

typedef Casework__Search__V1__SearchCasesRequest wire_request;

/* A search on its way; in the call's arena. */
struct search {
    rpc_call *call;
    arena *memory;
    const struct search_service *service;
    const wire_request *request;
    const char *account;
    struct search_query query;
    struct search_cursor after;
    int64_t position; /* up to which the answer is complete */
    struct search_answer answer;
    error err;
};

/* --- the request -------------------------------------------------------------------------------------- */

static bool read_order(const char *text, struct search_query *query, error *err)
{
    static const char *const names[] = {[SEARCH_ORDER_UPDATE_TIME] = "update_time",
                                        [SEARCH_ORDER_SUBJECT] = "subject",
                                        [SEARCH_ORDER_STATUS] = "status"};
    int order = SEARCH_ORDER_UPDATE_TIME;
    query->descending = true;
    if (!rpc_page_order(text, names, sizeof names / sizeof *names, &order, &query->descending, err))
        return false;
    query->order = (enum search_order)order;
    return true;
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
    if (request->start_time && !wire_bound_us(request->start_time, &query->start_time_us))
        return error_bad_field(err, "start_time", "not a time");
    if (request->end_time && !wire_bound_us(request->end_time, &query->end_time_us))
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
    if (strlen(request->label) > LABEL_BYTES_MAX)
        return error_bad_field(&search->err, "label", "longer than %d bytes", LABEL_BYTES_MAX);
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

static bool set_behind(error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "INDEX_BEHIND", "the index has not come to the position");
}

/* A position goes back only when everything starts anew: then what was found is of no use. */
static bool is_complete(struct search *search, int64_t position)
{
    return (position >= search->request->min_position &&
            search_index_position(search->service->index, search->account) >= position) ||
           set_behind(&search->err);
}

static bool write_reply(struct search *search, const unsigned char **ret_data, size_t *ret_length)
{
    struct search_answer *answer = &search->answer;
    struct search_reply reply = {search->account, &search->query, answer, "", search->position};
    if (answer->more)
        reply.next_page_token = next_token(search, &answer->last);
    return reply.next_page_token && search_answer_read(answer, search->memory) &&
           search_reply_write(&reply, search->memory, ret_data, ret_length);
}

/* Ends the call: with what was found, unless it has failed. */
static void finish(struct search *search, bool done)
{
    const unsigned char *data;
    size_t length;
    bool complete = done && is_complete(search, search->position);
    bool written = complete && write_reply(search, &data, &length);
    search_answer_release(&search->answer);
    if (written)
        rpc_call_reply_packed(search->call, data, length);
    else if (complete)
        rpc_call_fail_memory(search->call);
    else
        rpc_call_fail(search->call, &search->err);
}

/* What waits for the case service, or takes its time, is for the workers. */
static void hand_over(struct search *search, void (*task)(void *search))
{
    if (rpc_server_run(search->service->server, task, search))
        return;
    error_set(&search->err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too many searches at once");
    finish(search, false);
}

/* Nothing was found in an account of which the index knows nothing. */
static void check_presence(void *argument)
{
    struct search *search = argument;
    finish(search, search_presence_check(search->service, search->account, rpc_call_deadline_us(search->call),
                                         search->memory, &search->err));
}

/* The position is asked for first: the index may be further than the answer says, never less far. */
static void run(void *argument)
{
    struct search *search = argument;
    search_index *index = search->service->index;
    search->position = search_index_position(index, search->account);
    bool done = search_index_query(index, search->account, &search->query, search->memory, &search->answer,
                                   &search->err);
    if (!done || search->answer.total > 0 || search_index_has_cases(index, search->account))
        finish(search, done);
    else
        hand_over(search, check_presence);
}

/* Most searches take less than it takes to wake a worker: they are answered where they came in. */
static void start(struct search *search)
{
    if (search_index_cost(search->service->index, search->account, &search->query) <= INLINE_COST)
        run(search);
    else
        hand_over(search, run);
}

/* --- waiting ------------------------------------------------------------------------------------------ */

static void wake(void *argument, bool reached)
{
    struct search *search = argument;
    if (reached) {
        hand_over(search, run);
        return;
    }
    if (rpc_call_is_cancelled(search->call) || clock_monotonic_us() >= rpc_call_deadline_us(search->call))
        error_set(&search->err, STATUS_DEADLINE_EXCEEDED, "",
                  "the index has not come to the position in time");
    else
        set_behind(&search->err);
    rpc_call_fail(search->call, &search->err);
}

/* Until the index has been read for the first time, what it holds of a partition without a position is a part
 * that was true at no moment. */
static bool is_read(struct search *search, feed_consumer *consumer)
{
    struct feed_positions positions;
    search_index_positions(search->service->index, &positions);
    return (feed_consumer_caught_up(consumer) && *positions.epoch) ||
           error_set(&search->err, STATUS_UNAVAILABLE, "INDEX_BEHIND", "the index is being read");
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
    int64_t position = search_index_position(search->service->index, search->account);
    if (search->request->min_position <= position) {
        if (position > 0 || is_read(search, consumer))
            start(search);
        else
            rpc_call_fail(call, &search->err);
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
     .run = RPC_RUN_INLINE,
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
