#ifndef CASEWORK_SLA_HEALER_H
#define CASEWORK_SLA_HEALER_H

/*
 * Keeps the schedule equal to the truth: a thread that looks at the marks of all buckets, rebuilds those that
 * are lost, puts changed policies to work that nobody has put to work yet, and sweeps. It runs at every
 * interval, sooner when somebody has noticed a loss, and every second as long as something is wrong.
 *
 * The sweep holds the bound of lateness without Redis: interval, plus grace as long as Redis answers, plus
 * the closings' own time.
 */

#include "base/error.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stdint.h>

struct sla_healer_options {
    int64_t interval_us;
    int64_t grace_us; /* how long the schedule may be late before the sweep steps in */
};

typedef struct sla_healer sla_healer;

/* `parts` must outlive it. */
bool sla_healer_new(const struct sla_parts *parts, const struct sla_healer_options *options,
                    sla_healer **ret_healer, error *err) __attribute__((warn_unused_result));
void sla_healer_free(sla_healer *healer); /* stops and joins; takes NULL */

/* Look soon. Never blocks. */
void sla_healer_kick(sla_healer *healer);

/* Rebuild these buckets (bit b: bucket b), whole or not. Never blocks. */
void sla_healer_condemn(sla_healer *healer, uint64_t buckets);

/*
 * Looks now, and waits until that is done (deadline on the monotonic clock). True: every bucket is whole and
 * all policies are at work.
 */
bool sla_healer_run(sla_healer *healer, int64_t deadline_us, error *err) __attribute__((warn_unused_result));

#endif
