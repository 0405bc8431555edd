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

void sla_metrics_armed(int64_t timers);    /* in the schedule now */
void sla_metrics_rebuilt(int64_t buckets); /* more of them rebuilt */

#endif
