/* ExplainReportCell. */

#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_as_of.h"
#include "report/report_methods.h"
#include "report/report_wire.h"
#include "rpc/page.h"
#include "rpc/wire.h"

typedef Casework__Report__V1__ExplainReportCellRequest wire_request;
typedef Casework__Report__V1__ExplainReportCellResponse wire_response;
typedef Casework__Report__V1__ReportEntry wire_entry;

/* A page on its way; in the call's arena. */
struct explanation {
    struct report_call base; /* first */
    struct report_cell cell;
    struct report_as_of as_of;
    struct rpc_page page; /* the key: position and ordinal; its base the position that the walk is as of */
};

/* --- the request ------------------------------------------------------------------------------------------
 */

static bool read_time(struct report_call *call, const char *field, const Google__Protobuf__Timestamp *from,
                      int64_t *ret_time)
{
    if (from == NULL)
        return error_bad_field(&call->err, field, "must be set");
    return wire_time_us(from, ret_time) || error_bad_field(&call->err, field, "not a time");
}

static bool read_cell(struct explanation *explanation, const wire_request *request)
{
    struct report_call *call = &explanation->base;
    struct report_cell *cell = &explanation->cell;
    if (!read_time(call, "start_time", request->start_time, &cell->start) ||
        !read_time(call, "end_time", request->end_time, &cell->end))
        return false;
    if (cell->end <= cell->start)
        return error_bad_field(&call->err, "end_time", "must be after start_time");
    if ((int)request->column < REPORT_COLUMN_CREATED || (int)request->column > REPORT_COLUMN_DELETED)
        return error_bad_field(&call->err, "column", "not a column");
    cell->column = (enum report_column)request->column;
    cell->account = call->account;
    return true;
}

static bool read_as_of(struct explanation *explanation, const wire_request *request)
{
    bool by_time = request->as_of_case == CASEWORK__REPORT__V1__EXPLAIN_REPORT_CELL_REQUEST__AS_OF_AS_OF_TIME;
    bool by_position =
        request->as_of_case == CASEWORK__REPORT__V1__EXPLAIN_REPORT_CELL_REQUEST__AS_OF_AS_OF_POSITION;
    return report_as_of_read(&explanation->base, by_time ? request->as_of_time : NULL,
                             by_position ? &request->as_of_position : NULL, &explanation->as_of);
}

/* What a walk began with holds for all of its pages: their entries sum up to the total of each. */
static bool read_page(struct explanation *explanation, const wire_request *request)
{
    struct rpc_page *page = &explanation->page;
    if (!rpc_page_open(explanation->base.memory, &request->base, NULL, &rpc_page_sizes_usual, page,
                       &explanation->base.err))
        return false;
    if (page->after)
        explanation->as_of = (struct report_as_of){.position = page->key.base};
    return true;
}

static bool read_request(struct explanation *explanation)
{
    struct report_call *call = &explanation->base;
    const wire_request *request = (const wire_request *)call->request;
    return report_call_read(call, request->parent, request->min_position) &&
           read_cell(explanation, request) && read_as_of(explanation, request) &&
           read_page(explanation, request) && report_as_of_want(call, &explanation->as_of);
}

/* --- the answer -------------------------------------------------------------------------------------------
 */

static wire_entry *make_entry(struct report_call *call, const struct report_cell_entry *from)
{
    wire_entry *to = arena_alloc(call->memory, sizeof *to);
    Google__Protobuf__Timestamp *times = arena_calloc(call->memory, 2, sizeof *times);
    if (to == NULL || times == NULL)
        return NULL;
    casework__report__v1__report_entry__init(to);
    report_wire_set_time(&times[0], from->entry.place_time);
    report_wire_set_time(&times[1], from->event_time);
    to->case_ = arena_printf(call->memory, "accounts/%s/cases/%lld", call->account, (long long)from->case_id);
    to->delta = from->entry.delta;
    to->place_time = &times[0];
    to->event_time = &times[1];
    to->position = from->key.position;
    if (from->entry.column != REPORT_COLUMN_RESOLVED)
        return to->case_ != NULL ? to : NULL;
    to->resolve_duration = wire_duration(call->memory, from->entry.resolve_duration);
    return to->case_ != NULL && to->resolve_duration != NULL ? to : NULL;
}

/* What the page has room for, and where the next one starts. */
static bool fill_entries(struct explanation *explanation, const struct report_cell_page *found,
                         wire_response *response)
{
    struct report_call *call = &explanation->base;
    size_t wanted = (size_t)explanation->page.size, count = found->count < wanted ? found->count : wanted;
    response->entries = arena_calloc(call->memory, count + 1, sizeof(wire_entry *));
    if (response->entries == NULL)
        return report_call_out_of_memory(call);
    struct rpc_room room = {0};
    size_t filled = 0;
    for (; filled < count; filled++) {
        wire_entry *entry = make_entry(call, &found->entries[filled]);
        if (entry == NULL)
            return report_call_out_of_memory(call);
        if (!rpc_room_take(&room, &entry->base))
            break;
        response->entries[filled] = entry;
    }
    response->n_entries = filled;
    if (filled == found->count)
        return true;
    const struct report_entry_key *last = &found->entries[filled - 1].key;
    const struct rpc_page_key key = {
        .first = last->position, .second = last->ordinal, .base = response->position};
    response->next_page_token = rpc_page_seal(call->memory, call->request, NULL, &key);
    return response->next_page_token != NULL || report_call_out_of_memory(call);
}

static bool answer(struct report_call *call, ProtobufCMessage **ret_response)
{
    struct explanation *explanation = (struct explanation *)call;
    const struct rpc_page *page = &explanation->page;
    const struct report_entry_key after = {.position = page->key.first, .ordinal = page->key.second};
    wire_response *response = arena_alloc(call->memory, sizeof *response);
    const calendar_zone *zone;
    struct report_cell_page found;
    if (response == NULL)
        return report_call_out_of_memory(call);
    /* The zone only tells that the account is there. */
    if (!report_as_of_find(call, &explanation->as_of) || !report_call_zone(call, "", INT64_MAX, &zone))
        return false;
    explanation->cell.as_of = explanation->as_of.position;
    if (!report_store_explain(call->service->store, &explanation->cell, &after, page->size + 1,
                              report_call_deadline(call), call->memory, &found, &call->err) ||
        !report_call_complete(call, found.position))
        return false;
    casework__report__v1__explain_report_cell_response__init(response);
    *ret_response = &response->base;
    response->total = found.total;
    response->position =
        explanation->as_of.position != INT64_MAX ? explanation->as_of.position : found.position;
    return fill_entries(explanation, &found, response);
}

void report_method_explain(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct explanation *explanation = report_call_new(call, message, context, sizeof *explanation);
    if (explanation == NULL)
        return;
    if (read_request(explanation))
        report_call_run(&explanation->base, answer);
    else
        report_call_fail(&explanation->base);
}
