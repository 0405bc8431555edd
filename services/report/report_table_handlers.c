/* ListEngagements. */

#include "report/report_call.h"
#include "report/report_methods.h"
#include "report/report_wire.h"
#include "rpc/name.h"
#include "rpc/page.h"

typedef Casework__Report__V1__ListEngagementsRequest wire_request;
typedef Casework__Report__V1__ListEngagementsResponse wire_response;

/* A page on its way; in the call's arena. */
struct table {
    struct report_call base; /* first */
    struct report_range range;
    struct report_filter filter;
    struct rpc_page page;
    enum report_order order;
    bool descending;
};

static const wire_request *request_of(const struct table *table)
{
    return (const wire_request *)table->base.request;
}

/* --- the request -----------------------------------------------------------------------------------------
 */

static bool read_order(struct table *table)
{
    static const char *const words[REPORT_ORDERS] = {
        [REPORT_ORDER_CLOSING] = "close_time",
        [REPORT_ORDER_OPENING] = "open_time",
        [REPORT_ORDER_FIRST_REPLY] = "first_reply_duration",
        [REPORT_ORDER_RESOLUTION] = "resolution_duration",
        [REPORT_ORDER_INTERACTIONS] = "agent_interactions",
    };
    int order = table->range.by_opening ? REPORT_ORDER_OPENING : REPORT_ORDER_CLOSING;
    table->descending = true;
    if (!rpc_page_order(request_of(table)->order_by, words, REPORT_ORDERS, &order, &table->descending,
                        &table->base.err))
        return false;
    table->order = (enum report_order)order;
    return true;
}

static bool read_filter(struct table *table)
{
    const wire_request *request = request_of(table);
    struct report_call *call = &table->base;
    struct report_filter *filter = &table->filter;
    filter->label = request->label;
    filter->class_group = filter->class_value = "";
    if (request->classification != NULL) {
        filter->class_group = request->classification->group;
        filter->class_value = request->classification->value;
        if (filter->class_group[0] == '\0')
            return error_bad_field(&call->err, "classification.group", "must not be empty");
    }
    return rpc_name_member_of(call->memory, call->account, "agents", request->agent, "agent", &filter->agent,
                              &call->err) &&
           rpc_name_member_of(call->memory, call->account, "channels", request->channel, "channel",
                              &filter->channel, &call->err);
}

static bool read_request(struct table *table)
{
    const wire_request *request = request_of(table);
    struct report_call *call = &table->base;
    return report_call_read(call, request->parent, request->min_position) &&
           report_wire_range(call->account, request->start_time, request->end_time, request->by,
                             &table->range, &call->err) &&
           read_order(table) && read_filter(table) &&
           rpc_page_open(call->memory, &request->base, NULL, &rpc_page_sizes_usual, &table->page, &call->err);
}

/* --- the answer ------------------------------------------------------------------------------------------
 */

/* What the page has room for, and where the next one starts. */
static bool fill_response(struct table *table, const struct report_table *found, wire_response *response)
{
    struct report_call *call = &table->base;
    size_t wanted = (size_t)table->page.size, count = found->count < wanted ? found->count : wanted;
    response->engagements = arena_calloc(call->memory, count + 1, sizeof(void *));
    if (response->engagements == NULL)
        return report_call_out_of_memory(call);
    struct rpc_room room = {0};
    size_t filled = 0;
    for (; filled < count; filled++) {
        Casework__Report__V1__Engagement *item =
            report_wire_engagement(call->memory, call->account, &found->rows[filled]);
        if (item == NULL)
            return report_call_out_of_memory(call);
        if (!rpc_room_take(&room, &item->base))
            break;
        response->engagements[filled] = item;
    }
    response->n_engagements = filled;
    if (filled == found->count)
        return true;
    const struct report_table_row *last = &found->rows[filled - 1];
    const struct rpc_page_key key = {.first = last->value, .second = last->case_id};
    response->next_page_token = rpc_page_seal(call->memory, call->request, NULL, &key);
    return response->next_page_token != NULL || report_call_out_of_memory(call);
}

static bool answer(struct report_call *call, ProtobufCMessage **ret_response)
{
    struct table *table = (struct table *)call;
    wire_response *response = arena_alloc(call->memory, sizeof *response);
    const calendar_zone *zone;
    if (response == NULL)
        return report_call_out_of_memory(call);
    const struct report_table_page page = {
        .order = table->order,
        .descending = table->descending,
        .size = table->page.size + 1,
        .after = table->page.after,
        .after_value = table->page.key.first,
        .after_case = table->page.key.second,
        .count = true,
    };
    struct report_table found;
    if (!report_call_zone(call, "", INT64_MAX, &zone) ||
        !report_store_engagements(call->service->store, &table->range, &table->filter, &page,
                                  report_call_deadline(call), call->memory, &found, &call->err) ||
        !report_call_complete(call, found.position))
        return false;
    casework__report__v1__list_engagements_response__init(response);
    response->position = found.position;
    response->total_size = found.total < INT32_MAX ? (int32_t)found.total : INT32_MAX;
    *ret_response = &response->base;
    return fill_response(table, &found, response);
}

void report_method_table(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct table *table = report_call_new(call, message, context, sizeof *table);
    if (table == NULL)
        return;
    if (read_request(table))
        report_call_run(&table->base, answer);
    else
        report_call_fail(&table->base);
}
