#ifndef CASEWORK_SLA_METRICS_H
#define CASEWORK_SLA_METRICS_H

/* What the SLA service counts. */

#include "sla/sla_cases.h"

#include <stdbool.h>
#include <stdint.h>

/* Registers everything; once, before threads start. */
void sla_metrics_init(void);

/* A timer was fired; `swept`: by the sweep, not by the schedule. */
void sla_metrics_result(enum close_result result, bool swept);

/* Closed so long after the deadline, by the suite's clock. */
void sla_metrics_lateness(int64_t lateness_us);

void sla_metrics_armed(int64_t timers);      /* in the schedule now */
void sla_metrics_claimed(int64_t timers);    /* being fired by this process now */
void sla_metrics_overdue(int64_t oldest_us); /* how long the oldest deadline has passed; 0: none has */
void sla_metrics_rebuilt(int64_t buckets);   /* more of them rebuilt */

/* Other clocks as this process sees them, against its own: what they are ahead. */
enum sla_clock { SLA_CLOCK_REDIS, SLA_CLOCK_CASE };
void sla_metrics_drift(enum sla_clock clock, int64_t ahead_us);

#endif
