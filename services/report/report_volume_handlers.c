/* GetCaseVolume. */

#include "report/report_call.h"
#include "report/report_chart_parts.h"
#include "report/report_methods.h"
#include "report/report_wire.h"

typedef Casework__Report__V1__GetCaseVolumeRequest wire_request;
typedef Casework__Report__V1__GetCaseVolumeResponse wire_response;
typedef Casework__Report__V1__CaseVolumeRow wire_row;

#define UNIT(name) CASEWORK__REPORT__V1__TIME_UNIT__TIME_UNIT_##name

/* A report on its way; in the call's arena. */
struct volume {
    struct report_call base; /* first */
    struct report_range range;
    bool all; /* instead of those whose closing or opening is in the range */
};

/* --- the request -----------------------------------------------------------------------------------------
 */

static bool read_request(struct volume *volume)
{
    struct report_call *call = &volume->base;
    const wire_request *request = (const wire_request *)call->request;
    if (!report_call_read(call, request->parent, request->min_position))
        return false;
    if (request->start_time == NULL)
        return error_bad_field(&call->err, "start_time", "must be set");
    if (request->end_time == NULL)
        return error_bad_field(&call->err, "end_time", "must be set");
    if ((unsigned)request->unit > UNIT(DAY))
        return error_bad_field(&call->err, "unit", "not a unit of time");
    if (request->time_zone[0] != '\0' && calendar_zone_get(request->time_zone) == NULL)
        return error_bad_field(&call->err, "time_zone", "not an IANA time zone");
    volume->all = request->by == CASEWORK__REPORT__V1__ENGAGEMENT_TIME__ENGAGEMENT_TIME_UNSPECIFIED;
    return report_wire_range(call->account, request->start_time, request->end_time, request->by,
                             &volume->range, &call->err);
}

/* --- the answer ------------------------------------------------------------------------------------------
 */

/* A row of the answer with what it points to. */
struct filled_row {
    wire_row row;
    Google__Protobuf__Timestamp start, end;
};

static bool fill_response(struct volume *volume, const struct report_rows *rows, const int64_t *counts,
                          wire_response *response)
{
    struct report_call *call = &volume->base;
    struct filled_row *filled = arena_calloc(call->memory, rows->count + 1, sizeof *filled);
    response->rows = arena_calloc(call->memory, rows->count + 1, sizeof(void *));
    if (filled == NULL || response->rows == NULL)
        return report_call_out_of_memory(call);
    for (size_t i = 0; i < rows->count; i++) {
        casework__report__v1__case_volume_row__init(&filled[i].row);
        report_wire_set_time(&filled[i].start, rows->bounds[i]);
        report_wire_set_time(&filled[i].end, rows->bounds[i + 1]);
        filled[i].row.start_time = &filled[i].start;
        filled[i].row.end_time = &filled[i].end;
        filled[i].row.open_cases = counts[i];
        response->rows[i] = &filled[i].row;
    }
    response->n_rows = rows->count;
    return true;
}

static bool answer(struct report_call *call, ProtobufCMessage **ret_response)
{
    struct volume *volume = (struct volume *)call;
    const wire_request *request = (const wire_request *)call->request;
    wire_response *response = arena_alloc(call->memory, sizeof *response);
    const calendar_zone *zone;
    struct report_rows rows;
    if (response == NULL)
        return report_call_out_of_memory(call);
    casework__report__v1__get_case_volume_response__init(response);
    *ret_response = &response->base;
    if (!report_call_zone(call, request->time_zone, INT64_MAX, &zone) ||
        !report_period_rows_between(zone, volume->range.start, volume->range.end, request->unit == UNIT(HOUR),
                                    call->memory, &rows, &call->err))
        return false;
    int64_t *counts = arena_calloc(call->memory, rows.count + 1, sizeof *counts);
    if (counts == NULL)
        return report_call_out_of_memory(call);
    response->time_zone = (char *)calendar_zone_name(zone);
    return report_store_volume(call->service->store, call->account, volume->all ? NULL : &volume->range,
                               &rows, report_call_deadline(call), counts, &response->position, &call->err) &&
           report_call_complete(call, response->position) && fill_response(volume, &rows, counts, response);
}

void report_volume_begin(rpc_call *call, const wire_request *request, void *context,
                         const struct report_finish *finish)
{
    struct volume *volume = report_call_new(call, &request->base, context, sizeof *volume);
    if (volume == NULL)
        return;
    volume->base.finish = *finish;
    if (read_request(volume))
        report_call_run(&volume->base, answer);
    else
        report_call_fail(&volume->base);
}

void report_method_volume(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    report_volume_begin(call, (const wire_request *)message, context, &(struct report_finish){NULL, NULL});
}
