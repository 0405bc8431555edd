/* GetCaseActivity. */

#include "report/report_handlers.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

/* How long a call without a deadline waits for a position. */
#define WAIT_MAX (60 * CLOCK_SECOND)

/* For questions to the case service. */
#define CASES_TIMEOUT (5 * CLOCK_SECOND)

typedef Casework__Report__V1__GetCaseActivityRequest wire_request;
typedef Casework__Report__V1__GetCaseActivityResponse wire_response;
typedef Casework__Report__V1__CaseActivityRow wire_row;

/* A report on its way; in the call's arena. */
struct activity {
    rpc_call *call;
    arena *memory;
    const struct report_service *service;
    const wire_request *request;
    const char *account;
    struct report_period period;
    const calendar_zone *zone; /* NULL until known */
    bool as_of_time;
    int64_t time;     /* as_of_time */
    int64_t position; /* as of it; INT64_MAX: as it is */
    int64_t wanted;   /* the answer must be complete up to it */
    error err;
};

static bool out_of_memory(struct activity *activity)
{
    return error_set(&activity->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the report does not fit");
}

/* --- the request -----------------------------------------------------------------------------------------
 */

static bool read_period(struct activity *activity)
{
    const wire_request *request = activity->request;
    struct report_period *period = &activity->period;
    switch (request->period_case) {
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_DATE:
        return report_period_date(request->date, period, &activity->err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_MONTH:
        return report_period_month(request->month, period, &activity->err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_RANGE:
        return report_period_range(request->range->start_date, request->range->end_date, period,
                                   &activity->err);
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_PRESET:
        return report_period_preset((enum report_preset)request->preset, period, &activity->err);
    default:
        return report_period_preset(REPORT_PRESET_NONE, period, &activity->err);
    }
}

static bool read_as_of(struct activity *activity)
{
    const wire_request *request = activity->request;
    activity->position = INT64_MAX;
    switch (request->as_of_case) {
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_TIME:
        activity->as_of_time = true;
        if (!wire_time_us(request->as_of_time, &activity->time))
            return error_bad_field(&activity->err, "as_of_time", "not a time");
        /* what it will be like then is not known yet, and an answer about an instant never changes */
        return activity->time <= suite_clock_now_us(activity->service->clock) ||
               error_bad_field(&activity->err, "as_of_time", "must not be in the future");
    case CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_POSITION:
        if (request->as_of_position < 0)
            return error_bad_field(&activity->err, "as_of_position", "must not be negative");
        activity->position = request->as_of_position;
        return true;
    default:
        return true;
    }
}

static bool read_zone(struct activity *activity)
{
    if (activity->request->time_zone[0] == '\0')
        return true;
    activity->zone = calendar_zone_get(activity->request->time_zone);
    return activity->zone != NULL || error_bad_field(&activity->err, "time_zone", "not an IANA time zone");
}

static bool read_request(struct activity *activity)
{
    const wire_request *request = activity->request;
    if (request->min_position < 0)
        return error_bad_field(&activity->err, "min_position", "must not be negative");
    if (!rpc_name_account(activity->memory, request->parent, "parent", &activity->account, &activity->err) ||
        !read_period(activity) || !read_as_of(activity) || !read_zone(activity))
        return false;
    activity->wanted = request->min_position;
    if (activity->position != INT64_MAX && activity->position > activity->wanted)
        activity->wanted = activity->position;
    return true;
}

/* Monotonic; 0: none. */
static int64_t deadline_of(const struct activity *activity)
{
    int64_t deadline = rpc_call_deadline_us(activity->call);
    return deadline == INT64_MAX ? 0 : deadline;
}

/* --- what the case service knows -------------------------------------------------------------------------
 */

static bool ask_cases(struct activity *activity, const ProtobufCServiceDescriptor *service,
                      const char *method, const ProtobufCMessage *request, ProtobufCMessage **ret_response)
{
    int64_t deadline = rpc_call_deadline_us(activity->call), timeout = CASES_TIMEOUT;
    if (deadline != INT64_MAX && deadline - clock_monotonic_us() < timeout)
        timeout = deadline - clock_monotonic_us();
    const struct rpc_client_options options = {.timeout_us = timeout > 1 ? timeout : 1,
                                               .traceparent = rpc_call_traceparent(activity->call)};
    return rpc_client_call(activity->service->cases, service, method, request, &options, activity->memory,
                           ret_response, &activity->err);
}

static char *account_name(struct activity *activity)
{
    char *name = arena_printf(activity->memory, "accounts/%s", activity->account);
    if (name == NULL)
        out_of_memory(activity);
    return name;
}

/* An account of which the feed has not told yet, or none at all. */
static bool ask_time_zone(struct activity *activity, const char **ret_time_zone)
{
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    request.name = account_name(activity);
    ProtobufCMessage *response;
    if (request.name == NULL || !ask_cases(activity, &casework__cases__v1__account_service__descriptor,
                                           "GetAccount", &request.base, &response))
        return false;
    const Casework__Cases__V1__Account *account =
        ((const Casework__Cases__V1__GetAccountResponse *)response)->account;
    *ret_time_zone = account != NULL ? account->time_zone : "UTC";
    return true;
}

/*
 * As of an instant, complete means: up to the position that the feed has come to when the instant is over.
 * Where nothing later is known here, the case service says what that is.
 */
static bool want_all_of_instant(struct activity *activity)
{
    bool over;
    int64_t position;
    if (!report_store_position_at(activity->service->store, activity->account, activity->time,
                                  deadline_of(activity), &position, &over, &activity->err))
        return false;
    if (over)
        return true;
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = account_name(activity);
    ProtobufCMessage *response;
    if (request.parent == NULL || !ask_cases(activity, &casework__cases__v1__event_service__descriptor,
                                             "GetPosition", &request.base, &response))
        return false;
    int64_t head = ((const Casework__Cases__V1__GetPositionResponse *)response)->position;
    activity->wanted = head > activity->wanted ? head : activity->wanted;
    return true;
}

/* --- the answer ------------------------------------------------------------------------------------------
 */

/* A row of the answer with what it points to. */
struct filled_row {
    wire_row row;
    Google__Protobuf__Timestamp start, end;
    Google__Protobuf__Duration average;
};

static void set_time(Google__Protobuf__Timestamp *to, int64_t time_us)
{
    google__protobuf__timestamp__init(to);
    to->seconds = time_us / CLOCK_SECOND - (time_us % CLOCK_SECOND < 0);
    to->nanos = (int32_t)(time_us - to->seconds * CLOCK_SECOND) * 1000;
}

/* To the nanosecond, rounded half up. */
static void set_average(Google__Protobuf__Duration *to, int64_t sum_us, int64_t count)
{
    __int128 nanos = ((__int128)sum_us * 2000 + count) / (2 * (__int128)count);
    google__protobuf__duration__init(to);
    to->seconds = (int64_t)(nanos / 1000000000);
    to->nanos = (int32_t)(nanos % 1000000000);
}

static void fill_row(struct filled_row *filled, int64_t start, int64_t end,
                     const struct report_counts *counts)
{
    wire_row *row = &filled->row;
    casework__report__v1__case_activity_row__init(row);
    set_time(&filled->start, start);
    set_time(&filled->end, end);
    row->start_time = &filled->start;
    row->end_time = &filled->end;
    row->created = counts->created;
    row->pending = counts->pending;
    row->resolved = counts->resolved;
    row->deleted = counts->deleted;
    if (counts->resolved > 0) {
        set_average(&filled->average, counts->resolve_duration, counts->resolved);
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
    struct filled_row *filled = arena_calloc(activity->memory, rows->count + 1, sizeof *filled);
    response->rows = arena_calloc(activity->memory, rows->count + 1, sizeof(wire_row *));
    if (filled == NULL || response->rows == NULL)
        return out_of_memory(activity);
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
    const char *time_zone;
    if (!report_store_time_zone(activity->service->store, activity->account, activity->position,
                                deadline_of(activity), activity->memory, &time_zone, &activity->err))
        return false;
    if (time_zone == NULL && !ask_time_zone(activity, &time_zone))
        return false;
    if (activity->zone != NULL)
        return true;
    activity->zone = calendar_zone_get(time_zone);
    if (activity->zone == NULL)
        activity->zone = calendar_zone_get("UTC");
    return activity->zone != NULL || out_of_memory(activity);
}

/* The instant that relative periods count from: as of a past one they are what they were then. */
static bool find_now(struct activity *activity, int64_t *ret_now)
{
    int64_t now = suite_clock_now_us(activity->service->clock), then = now;
    if (activity->as_of_time)
        then = activity->time;
    else if (activity->position != INT64_MAX &&
             !report_store_commit_time(activity->service->store, activity->account, activity->position,
                                       deadline_of(activity), &then, &activity->err))
        return false;
    *ret_now = then != 0 && then < now ? then : now;
    return true;
}

static bool find_position(struct activity *activity)
{
    bool over;
    return !activity->as_of_time ||
           report_store_position_at(activity->service->store, activity->account, activity->time,
                                    deadline_of(activity), &activity->position, &over, &activity->err);
}

static bool make_report(struct activity *activity, wire_response *response)
{
    int64_t now, position;
    struct report_rows rows;
    if (!find_position(activity) || !find_zone(activity) || !find_now(activity, &now) ||
        !report_period_rows(&activity->period, activity->zone, now, activity->memory, &rows, &activity->err))
        return false;
    struct report_counts *counts = arena_calloc(activity->memory, rows.count + 1, sizeof *counts);
    if (counts == NULL)
        return out_of_memory(activity);
    if (!report_store_activity(activity->service->store, activity->account, &rows, activity->position,
                               deadline_of(activity), counts, &position, &activity->err))
        return false;
    if (position < activity->wanted) /* the database came back with less than it had */
        return error_set(&activity->err, STATUS_UNAVAILABLE, "REPORT_BEHIND",
                         "the report has not come to the position");
    response->position = activity->position != INT64_MAX ? activity->position : position;
    return fill_response(activity, &rows, counts, response);
}

static void run(struct activity *activity)
{
    wire_response response = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_RESPONSE__INIT;
    if (make_report(activity, &response))
        rpc_call_reply(activity->call, &response.base);
    else
        rpc_call_fail(activity->call, &activity->err);
}

/* --- waiting ---------------------------------------------------------------------------------------------
 */

static void run_task(void *argument)
{
    run(argument);
}

static void wake(void *argument, bool reached)
{
    struct activity *activity = argument;
    if (reached && rpc_server_run(activity->service->server, run_task, activity))
        return;
    if (reached)
        error_set(&activity->err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too many reports at once");
    else if (rpc_call_is_cancelled(activity->call) ||
             clock_monotonic_us() >= rpc_call_deadline_us(activity->call))
        error_set(&activity->err, STATUS_DEADLINE_EXCEEDED, "",
                  "the report has not come to the position in time");
    else
        error_set(&activity->err, STATUS_UNAVAILABLE, "REPORT_BEHIND",
                  "the report has not come to the position");
    rpc_call_fail(activity->call, &activity->err);
}

static void get_case_activity(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct activity *activity = arena_calloc(rpc_call_arena(call), 1, sizeof *activity);
    if (activity == NULL) {
        rpc_call_fail_memory(call);
        return;
    }
    activity->call = call;
    activity->memory = rpc_call_arena(call);
    activity->service = context;
    activity->request = (const wire_request *)message;
    if (!read_request(activity) || (activity->as_of_time && !want_all_of_instant(activity))) {
        rpc_call_fail(call, &activity->err);
        return;
    }
    feed_consumer *consumer = activity->service->consumer;
    int partition = feed_partition(activity->account);
    if (activity->wanted <= feed_consumer_position(consumer, partition)) {
        run(activity);
        return;
    }
    int64_t deadline = rpc_call_deadline_us(call), longest = clock_monotonic_us() + WAIT_MAX;
    if (!feed_consumer_await(consumer, partition, activity->wanted,
                             deadline == INT64_MAX ? longest : deadline, wake, activity, &activity->err))
        rpc_call_fail(call, &activity->err);
}

const struct rpc_method report_methods[] = {
    {.service = &casework__report__v1__report_service__descriptor,
     .name = "GetCaseActivity",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = get_case_activity},
    {.service = NULL},
};
