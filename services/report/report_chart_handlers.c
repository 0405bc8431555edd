/* RenderChart: GetCaseActivity or GetCaseVolume, and a picture of the answer. */

#include "base/clock.h"
#include "report/report_chart.h"
#include "report/report_chart_parts.h"
#include "report/report_methods.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef Casework__Report__V1__RenderChartRequest wire_request;
typedef Casework__Report__V1__RenderChartResponse wire_response;
typedef Casework__Report__V1__GetCaseActivityRequest activity_request;
typedef Casework__Report__V1__GetCaseActivityResponse activity_response;
typedef Casework__Report__V1__GetCaseVolumeRequest volume_request;
typedef Casework__Report__V1__GetCaseVolumeResponse volume_response;

enum {
    WIDTH = 960,
    WIDTH_MIN = 200,
    HEIGHT = 480,
    HEIGHT_MIN = 100,
    SIZE_MAX_PIXELS = 4000,
    DOCUMENT_MAX = 48 << 20,
    TEXT_SIZE = 64,
};

/* A chart on its way; in the call's arena. */
struct drawing {
    struct report_call *call;
    const calendar_zone *zone;
    struct report_chart chart;
    int64_t *bounds; /* row_count + 1 */
};

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    int64_t time_us;
    return time != NULL && wire_time_us(time, &time_us) ? time_us : 0;
}

/* --- what stands where -----------------------------------------------------------------------------------
 */

static void write_local(const struct drawing *drawing, int64_t time_us, const char *format,
                        char text[TEXT_SIZE])
{
    int64_t local = time_us + calendar_offset_us(drawing->zone, time_us);
    time_t seconds = (time_t)(local / CLOCK_SECOND - (local % CLOCK_SECOND < 0));
    struct tm parts;
    gmtime_r(&seconds, &parts);
    if (strftime(text, TEXT_SIZE, format, &parts) == 0)
        text[0] = '\0';
}

/* Rows longer than that are days: an hour is never longer, and a day never so short. */
#define HOUR_MAX (2 * CLOCK_HOUR)

static const char *row_format(const struct drawing *drawing)
{
    size_t count = drawing->chart.row_count;
    const int64_t *bounds = drawing->bounds;
    if (count == 0)
        return "%H:%M";
    if (bounds[1] - bounds[0] <= HOUR_MAX)
        return bounds[count] - bounds[0] <= 26 * CLOCK_HOUR ? "%H:%M" : "%m-%d %H:%M";
    return bounds[count] - bounds[0] <= 366 * CLOCK_DAY ? "%m-%d" : "%Y-%m-%d";
}

static bool write_rows(struct drawing *drawing)
{
    struct report_chart *chart = &drawing->chart;
    arena *memory = drawing->call->memory;
    const char **rows = arena_calloc(memory, chart->row_count + 1, sizeof *rows);
    const char **detail = arena_calloc(memory, chart->row_count + 1, sizeof *detail);
    const char *format = row_format(drawing);
    if (rows == NULL || detail == NULL)
        return report_call_out_of_memory(drawing->call);
    for (size_t i = 0; i < chart->row_count; i++) {
        char text[TEXT_SIZE];
        write_local(drawing, drawing->bounds[i], format, text);
        rows[i] = arena_strdup(memory, text);
        write_local(drawing, drawing->bounds[i],
                    drawing->bounds[i + 1] - drawing->bounds[i] <= HOUR_MAX ? "%Y-%m-%d %H:%M" : "%Y-%m-%d",
                    text);
        detail[i] = arena_strdup(memory, text);
        if (rows[i] == NULL || detail[i] == NULL)
            return report_call_out_of_memory(drawing->call);
    }
    chart->rows = rows;
    chart->detail = detail;
    return true;
}

static bool write_title(struct drawing *drawing, const char *what)
{
    size_t count = drawing->chart.row_count;
    char first[TEXT_SIZE] = "", last[TEXT_SIZE] = "";
    if (count > 0) {
        write_local(drawing, drawing->bounds[0], "%Y-%m-%d", first);
        write_local(drawing, drawing->bounds[count] - 1, "%Y-%m-%d", last);
    }
    drawing->chart.title =
        arena_printf(drawing->call->memory, "%s%s%s%s%s (%s)", what, count > 0 ? ", " : "", first,
                     strcmp(first, last) != 0 ? " to " : "", strcmp(first, last) != 0 ? last : "",
                     calendar_zone_name(drawing->zone));
    return drawing->chart.title != NULL || report_call_out_of_memory(drawing->call);
}

/* --- the reports -----------------------------------------------------------------------------------------
 */

static bool make_room(struct drawing *drawing, size_t rows, size_t series, int64_t **ret_values)
{
    drawing->chart.row_count = rows;
    drawing->chart.series_count = series;
    drawing->bounds = arena_calloc(drawing->call->memory, rows + 1, sizeof *drawing->bounds);
    *ret_values = arena_calloc(drawing->call->memory, rows * series + 1, sizeof **ret_values);
    drawing->chart.values = *ret_values;
    return (drawing->bounds != NULL && *ret_values != NULL) || report_call_out_of_memory(drawing->call);
}

static bool take_activity(struct drawing *drawing, const activity_response *answer)
{
    static const char *const names[] = {"created", "pending", "resolved", "deleted"};
    int64_t *values;
    if (!make_room(drawing, answer->n_rows, 4, &values))
        return false;
    memcpy(drawing->chart.series, names, sizeof names);
    drawing->zone = calendar_zone_get(answer->time_zone);
    for (size_t i = 0; i < answer->n_rows; i++) {
        const Casework__Report__V1__CaseActivityRow *row = answer->rows[i];
        const int64_t four[] = {row->created, row->pending, row->resolved, row->deleted};
        memcpy(values + 4 * i, four, sizeof four);
        drawing->bounds[i] = time_of(row->start_time);
        drawing->bounds[i + 1] = time_of(row->end_time);
    }
    return true;
}

static bool take_volume(struct drawing *drawing, const volume_response *answer)
{
    int64_t *values;
    if (!make_room(drawing, answer->n_rows, 1, &values))
        return false;
    drawing->chart.series[0] = "open";
    drawing->zone = calendar_zone_get(answer->time_zone);
    for (size_t i = 0; i < answer->n_rows; i++) {
        values[i] = answer->rows[i]->open_cases;
        drawing->bounds[i] = time_of(answer->rows[i]->start_time);
        drawing->bounds[i + 1] = time_of(answer->rows[i]->end_time);
    }
    return true;
}

/* --- the picture -----------------------------------------------------------------------------------------
 */

static bool draw(struct drawing *drawing, int64_t position, ProtobufCMessage **ret_response)
{
    struct report_call *call = drawing->call;
    wire_response *response = arena_alloc(call->memory, sizeof *response);
    if (response == NULL)
        return report_call_out_of_memory(call);
    casework__report__v1__render_chart_response__init(response);
    bytes svg;
    bytes_init(&svg, DOCUMENT_MAX);
    report_chart_draw(&drawing->chart, &svg);
    response->data.data = svg.failed ? NULL : arena_memdup(call->memory, svg.data, svg.length);
    response->data.len = svg.length;
    response->content_type = (char *)"image/svg+xml";
    response->position = position;
    bytes_release(&svg);
    *ret_response = &response->base;
    return response->data.data != NULL || report_call_out_of_memory(call);
}

static struct drawing begin_drawing(struct report_call *call)
{
    const wire_request *request = call->finish.argument;
    return (struct drawing){
        .call = call,
        .chart = {.unit = "cases",
                  .width = request->width != 0 ? request->width : WIDTH,
                  .height = request->height != 0 ? request->height : HEIGHT},
    };
}

static bool draw_activity(struct report_call *call, const ProtobufCMessage *message,
                          ProtobufCMessage **ret_response)
{
    const activity_response *answer = (const activity_response *)message;
    struct drawing drawing = begin_drawing(call);
    return take_activity(&drawing, answer) && write_rows(&drawing) &&
           write_title(&drawing, "Case activity") && draw(&drawing, answer->position, ret_response);
}

static bool draw_volume(struct report_call *call, const ProtobufCMessage *message,
                        ProtobufCMessage **ret_response)
{
    const volume_response *answer = (const volume_response *)message;
    struct drawing drawing = begin_drawing(call);
    return take_volume(&drawing, answer) && write_rows(&drawing) && write_title(&drawing, "Open cases") &&
           draw(&drawing, answer->position, ret_response);
}

/* --- the request -----------------------------------------------------------------------------------------
 */

static bool check_size(const char *field, int32_t size, int minimum, error *err)
{
    return size == 0 || (size >= minimum && size <= SIZE_MAX_PIXELS) ||
           error_bad_field(err, field, "must be %d to %d, or 0", minimum, SIZE_MAX_PIXELS);
}

static bool check_parent(const char *field, const char *parent, const wire_request *request, error *err)
{
    return parent[0] == '\0' || strcmp(parent, request->parent) == 0 ||
           error_bad_field(err, field, "must be empty or the chart's own");
}

static bool check(const wire_request *request, error *err)
{
    if (!check_size("width", request->width, WIDTH_MIN, err) ||
        !check_size("height", request->height, HEIGHT_MIN, err))
        return false;
    switch (request->chart_case) {
    case CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_ACTIVITY:
        return check_parent("case_activity.parent", request->case_activity->parent, request, err);
    case CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_VOLUME:
        return check_parent("case_volume.parent", request->case_volume->parent, request, err);
    default:
        return true;
    }
}

static void begin_volume(rpc_call *call, const wire_request *request, void *context)
{
    volume_request *asked = arena_memdup(rpc_call_arena(call), request->case_volume, sizeof *asked);
    if (asked == NULL) {
        rpc_call_fail_memory(call);
        return;
    }
    asked->parent = request->parent;
    report_volume_begin(call, asked, context, &(struct report_finish){draw_volume, request});
}

static void begin_activity(rpc_call *call, const wire_request *request, void *context)
{
    activity_request *asked = arena_alloc(rpc_call_arena(call), sizeof *asked);
    if (asked == NULL) {
        rpc_call_fail_memory(call);
        return;
    }
    casework__report__v1__get_case_activity_request__init(asked);
    if (request->chart_case == CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_ACTIVITY)
        *asked = *request->case_activity;
    asked->parent = request->parent;
    report_activity_begin(call, asked, context, &(struct report_finish){draw_activity, request});
}

void report_method_chart(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const wire_request *request = (const wire_request *)message;
    error err = {0};
    if (!check(request, &err))
        rpc_call_fail(call, &err);
    else if (request->chart_case == CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_VOLUME)
        begin_volume(call, request, context);
    else
        begin_activity(call, request, context);
}
