#include "sla/sla_metrics.h"

#include "base/metrics.h"

static metrics_counter *results[CLOSE_UNKNOWN + 1];
static metrics_counter *swept_count;
static metrics_counter *rebuilt_count;
static metrics_gauge *armed_gauge;
static metrics_histogram *lateness;

void sla_metrics_init(void)
{
    static const char name[] = "casework_sla_timers_fired_total";
    static const char help[] = "Timers fired, by what came of it: closed, stale, early, or unknown.";
    results[CLOSE_DONE] = metrics_counter_get(name, help, "result=\"closed\"");
    results[CLOSE_STALE] = metrics_counter_get(name, help, "result=\"stale\"");
    results[CLOSE_EARLY] = metrics_counter_get(name, help, "result=\"early\"");
    results[CLOSE_UNKNOWN] = metrics_counter_get(name, help, "result=\"unknown\"");
    swept_count = metrics_counter_get("casework_sla_timers_swept_total",
                                      "Timers that the sweep fired, not the schedule.", "");
    rebuilt_count = metrics_counter_get("casework_sla_buckets_rebuilt_total",
                                        "Buckets of the schedule rebuilt from the case service.", "");
    armed_gauge = metrics_gauge_get("casework_sla_timers_armed", "Timers in the schedule.", "");
    lateness = metrics_histogram_get("casework_sla_lateness_seconds",
                                     "Time from a deadline to the closing, by the suite's clock.", "");
}

void sla_metrics_result(enum close_result result, bool swept)
{
    metrics_add(results[result], 1);
    if (swept)
        metrics_add(swept_count, 1);
}

void sla_metrics_lateness(int64_t lateness_us)
{
    metrics_observe(lateness, lateness_us > 0 ? lateness_us : 0);
}

void sla_metrics_armed(int64_t timers)
{
    metrics_set(armed_gauge, timers);
}

void sla_metrics_rebuilt(int64_t buckets)
{
    metrics_add(rebuilt_count, buckets);
}
