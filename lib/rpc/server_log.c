/* One line and a few counters for each call. */
#include "base/clock.h"
#include "base/log.h"
#include "rpc/server_private.h"
#include "rpc/trace.h"

#include <stdio.h>
#include <string.h>

void method_metrics_init(struct method_metrics *metrics, const char *service, const char *method)
{
    snprintf(metrics->labels, sizeof metrics->labels, "rpc_service=\"%s\",rpc_method=\"%s\"", service,
             method);
    /* Names of protobuf have nothing in them that JSON would quote. */
    snprintf(metrics->fields, sizeof metrics->fields, "\"rpc.service\":\"%s\",\"rpc.method\":\"%s\"", service,
             method);
    metrics->duration = metrics_histogram_get("rpc_server_duration_seconds",
                                              "Time from a call's arrival to its end.", metrics->labels);
    metrics->in_flight = metrics_gauge_get("rpc_server_active_calls", "Calls being served.", metrics->labels);
}

static metrics_counter *code_counter(struct method_metrics *metrics, unsigned code)
{
    metrics_counter *counter = atomic_load_explicit(&metrics->calls[code], memory_order_acquire);
    if (counter)
        return counter;
    char labels[sizeof metrics->labels + 64];
    snprintf(labels, sizeof labels, "%s,rpc_grpc_status_code=\"%s\"", metrics->labels,
             status_code_name((enum status_code)code));
    counter = metrics_counter_get("rpc_server_calls_total", "Calls that have ended.", labels);
    atomic_store_explicit(&metrics->calls[code], counter, memory_order_release);
    return counter;
}

void call_count_start(struct rpc_call *call)
{
    metrics_gauge_add(call->method->metrics.in_flight, 1);
}

void call_count_slow_reader(const struct rpc_call *call)
{
    metrics_add(metrics_counter_get("rpc_server_slow_readers_total",
                                    "Streams that were ended because their reader took nothing.",
                                    call->method->metrics.labels),
                1);
}

/* What the client saw, as far as we know. */
static enum status_code outcome(const struct rpc_call *call, int64_t now)
{
    int code = atomic_load_explicit(&call->code, memory_order_relaxed);
    if (!atomic_load(&call->cancelled) || code != STATUS_OK)
        return (enum status_code)code;
    return now >= call->deadline_us ? STATUS_DEADLINE_EXCEEDED : STATUS_CANCELLED;
}

static void log_call(const struct rpc_call *call, enum status_code code, int64_t duration_us)
{
    enum log_level level = call->method->quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
    if (!log_enabled(level))
        return;
    char trace_id[TRACE_ID_SIZE] = "";
    if (call->traceparent[0]) {
        memcpy(trace_id, call->traceparent + 3, TRACE_ID_SIZE - 1);
        trace_id[TRACE_ID_SIZE - 1] = '\0';
    }
    LOG_AT(level, "request", LOG_JSON(call->method->metrics.fields), LOG_NUMBER("rpc.grpc.status_code", code),
           LOG_NUMBER("duration_us", duration_us), LOG_TEXT("account", call->caller.account),
           LOG_TEXT("trace_id", trace_id));
}

void call_count_end(struct rpc_call *call)
{
    int64_t now = clock_monotonic_us();
    enum status_code code = outcome(call, now);
    struct method_metrics *metrics = &call->method->metrics;
    metrics_gauge_add(metrics->in_flight, -1);
    metrics_add(code_counter(metrics, (unsigned)code < STATUS_CODE_COUNT ? code : STATUS_UNKNOWN), 1);
    metrics_observe(metrics->duration, now - call->start_us);
    log_call(call, code, now - call->start_us);
}

/* The one place where the cause of a failure that is ours gets into the log. */
void call_log_failure(const struct rpc_call *call, const error *err)
{
    bool ours = err->code == STATUS_INTERNAL || err->code == STATUS_UNKNOWN || err->code == STATUS_DATA_LOSS;
    if (!ours && !err->detail[0])
        return;
    LOG_AT(ours ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "request failed",
           LOG_TEXT("rpc.method", call->method->path), LOG_TEXT("code", status_code_name(err->code)),
           LOG_TEXT("reason", err->reason), LOG_TEXT("error", err->message), LOG_TEXT("detail", err->detail),
           LOG_TEXT("account", call->caller.account), LOG_TEXT("traceparent", call->traceparent));
}
