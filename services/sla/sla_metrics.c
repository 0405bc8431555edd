#include "sla/sla_metrics.h"

#include "base/metrics.h"

static metrics_counter *results[CLOSE_UNKNOWN + 1];
static metrics_counter *swept_count;
static metrics_counter *rebuilt_count;
static metrics_gauge *armed_gauge, *claimed_gauge, *overdue_gauge;
static metrics_gauge *drift[SLA_CLOCK_CASE + 1];
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
    claimed_gauge = metrics_gauge_get("casework_sla_timers_claimed", "Timers that are being fired.", "");
    overdue_gauge =
        metrics_gauge_get("casework_sla_oldest_overdue_seconds",
                          "How long ago the oldest deadline that nothing has come of passed.", "");
    static const char drift_name[] = "casework_sla_clock_drift_milliseconds";
    static const char drift_help[] = "What another clock is ahead of this process' one.";
    drift[SLA_CLOCK_REDIS] = metrics_gauge_get(drift_name, drift_help, "clock=\"redis\"");
    drift[SLA_CLOCK_CASE] = metrics_gauge_get(drift_name, drift_help, "clock=\"case\"");
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

void sla_metrics_claimed(int64_t timers)
{
    metrics_set(claimed_gauge, timers);
}

void sla_metrics_overdue(int64_t oldest_us)
{
    metrics_set(overdue_gauge, oldest_us / 1000000);
}

void sla_metrics_drift(enum sla_clock clock, int64_t ahead_us)
{
    metrics_set(drift[clock], ahead_us / 1000);
}

void sla_metrics_rebuilt(int64_t buckets)
{
    metrics_add(rebuilt_count, buckets);
}
