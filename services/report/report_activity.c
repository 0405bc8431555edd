/* GetCaseActivity. */

#include "base/clock.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_as_of.h"
#include "report/report_chart_parts.h"
#include "report/report_methods.h"
#include "report/report_wire.h"

typedef Casework__Report__V1__GetCaseActivityRequest wire_request;
typedef Casework__Report__V1__GetCaseActivityResponse wire_response;
typedef Casework__Report__V1__CaseActivityRow wire_row;

/* A report on its way; in the call's arena. */
struct activity {
    struct report_call base; /* first */
    struct report_period period;
    const calendar_zone *zone; /* NULL until known */
    struct report_as_of as_of;
};

static const wire_request *request_of(const struct activity *activity)
{
    return (const wire_request *)activity->base.request;
}

/* --- the request -----------------------------------------------------------------------------------------
 */

static bool read_period(struct activity *activity)
{
    const wire_request *request = request_of(activity);
    struct report_period *period = &activity->period;
    switch (request->period_case) {
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_DATE:
        return report_period_date(request->date, period, &activity->base.err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_MONTH:
        return report_period_month(request->month, period, &activity->base.err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_RANGE:
        return report_period_range(request->range->start_date, request->range->end_date, period,
                                   &activity->base.err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_PRESET:
        return report_period_preset((enum report_preset)request->preset, period, &activity->base.err);
    default:
        return report_period_preset(REPORT_PRESET_NONE, period, &activity->base.err);
    }
}

static bool read_as_of(struct activity *activity)
{
    const wire_request *request = request_of(activity);
    bool by_time = request->as_of_case == CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_TIME;
    bool by_position =
        request->as_of_case == CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_POSITION;
    return report_as_of_read(&activity->base, by_time ? request->as_of_time : NULL,
                             by_position ? &request->as_of_position : NULL, &activity->as_of);
}

static bool read_zone(struct activity *activity)
{
    if (request_of(activity)->time_zone[0] == '\0')
        return true;
    activity->zone = calendar_zone_get(request_of(activity)->time_zone);
    return activity->zone != NULL ||
           error_bad_field(&activity->base.err, "time_zone", "not an IANA time zone");
}

static bool read_request(struct activity *activity)
{
    const wire_request *request = request_of(activity);
    return report_call_read(&activity->base, request->parent, request->min_position) &&
           read_period(activity) && read_as_of(activity) && read_zone(activity) &&
           report_as_of_want(&activity->base, &activity->as_of);
}

/* --- the answer ------------------------------------------------------------------------------------------
 */

/* A row of the answer with what it points to. */
struct filled_row {
    wire_row row;
    Google__Protobuf__Timestamp start, end;
    Google__Protobuf__Duration average;
};

static void fill_row(struct filled_row *filled, int64_t start, int64_t end,
                     const struct report_counts *counts)
{
    wire_row *row = &filled->row;
    casework__report__v1__case_activity_row__init(row);
    report_wire_set_time(&filled->start, start);
    report_wire_set_time(&filled->end, end);
    row->start_time = &filled->start;
    row->end_time = &filled->end;
    row->created = counts->created;
    row->pending = counts->pending;
    row->resolved = counts->resolved;
    row->deleted = counts->deleted;
    if (counts->resolved > 0) {
        report_wire_set_mean(&filled->average, counts->resolve_duration, counts->resolved);
        row->average_resolve_duration = &filled->average;
    }
}

static struct report_counts total_of(const struct report_counts *counts, size_t count)
{
    struct report_counts total = {0};
    for (size_t i = 0; i < count; i++) {
        total.created += counts[i].created;
        total.pending += counts[i].pending;
        total.resolved += counts[i].resolved;
        total.deleted += counts[i].deleted;
        total.resolve_duration += counts[i].resolve_duration;
    }
    return total;
}

static bool fill_response(struct activity *activity, const struct report_rows *rows,
                          const struct report_counts *counts, wire_response *response)
{
    struct filled_row *filled = arena_calloc(activity->base.memory, rows->count + 1, sizeof *filled);
    response->rows = arena_calloc(activity->base.memory, rows->count + 1, sizeof(wire_row *));
    if (filled == NULL || response->rows == NULL)
        return report_call_out_of_memory(&activity->base);
    for (size_t i = 0; i < rows->count; i++) {
        fill_row(&filled[i], rows->bounds[i], rows->bounds[i + 1], &counts[i]);
        response->rows[i] = &filled[i].row;
    }
    response->n_rows = rows->count;
    struct report_counts total = total_of(counts, rows->count);
    fill_row(&filled[rows->count], rows->bounds[0], rows->bounds[rows->count], &total);
    response->total = &filled[rows->count].row;
    response->time_zone = (char *)calendar_zone_name(activity->zone);
    return true;
}

/* --- the report ------------------------------------------------------------------------------------------
 */

/* The account must exist, whichever zone is asked for. */
static bool find_zone(struct activity *activity)
{
    return report_call_zone(&activity->base, request_of(activity)->time_zone, activity->as_of.position,
                            &activity->zone);
}

/* The instant that relative periods count from: as of a past one they are what they were then. */
static bool find_now(struct activity *activity, int64_t *ret_now)
{
    int64_t now = suite_clock_now_us(activity->base.service->clock), then = now;
    if (activity->as_of.by_time) {
        *ret_now = activity->as_of.time;
        return true;
    }
    if (activity->as_of.position != INT64_MAX &&
        !report_store_commit_time(activity->base.service->store, activity->base.account,
                                  activity->as_of.position, report_call_deadline(&activity->base), &then,
                                  &activity->base.err))
        return false;
    *ret_now = then != 0 && then < now ? then : now;
    return true;
}

static bool make_report(struct activity *activity, wire_response *response)
{
    int64_t now, position;
    struct report_rows rows;
    if (!report_as_of_find(&activity->base, &activity->as_of) || !find_zone(activity) ||
        !find_now(activity, &now) ||
        !report_period_rows(&activity->period, activity->zone, now, activity->base.memory, &rows,
                            &activity->base.err))
        return false;
    struct report_counts *counts = arena_calloc(activity->base.memory, rows.count + 1, sizeof *counts);
    if (counts == NULL)
        return report_call_out_of_memory(&activity->base);
    if (!report_store_activity(activity->base.service->store, activity->base.account, &rows,
                               activity->as_of.position, report_call_deadline(&activity->base), counts,
                               &position, &activity->base.err))
        return false;
    if (!report_call_complete(&activity->base, position))
        return false;
    response->position = activity->as_of.position != INT64_MAX ? activity->as_of.position : position;
    return fill_response(activity, &rows, counts, response);
}

static bool answer(struct report_call *call, ProtobufCMessage **ret_response)
{
    wire_response *response = arena_alloc(call->memory, sizeof *response);
    if (response == NULL)
        return report_call_out_of_memory(call);
    casework__report__v1__get_case_activity_response__init(response);
    *ret_response = &response->base;
    return make_report((struct activity *)call, response);
}

void report_activity_begin(rpc_call *call, const wire_request *request, void *context,
                           const struct report_finish *finish)
{
    struct activity *activity = report_call_new(call, &request->base, context, sizeof *activity);
    if (activity == NULL)
        return;
    activity->base.finish = *finish;
    if (read_request(activity))
        report_call_run(&activity->base, answer);
    else
        report_call_fail(&activity->base);
}

void report_method_activity(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    report_activity_begin(call, (const wire_request *)message, context, &(struct report_finish){NULL, NULL});
}
