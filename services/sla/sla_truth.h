#ifndef CASEWORK_SLA_TRUTH_H
#define CASEWORK_SLA_TRUTH_H

/*
 * What is derived from the case service's list of due cases rather than from the feed: the rebuild of lost
 * buckets, running timers under a changed policy, and the sweep. All of it may run at any time, in any number
 * of replicas.
 */

#include "base/error.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Rebuilds the buckets of the set that nobody else is rebuilding, soonest deadlines first. *ret_rebuilt:
 * those that are whole now. `token` names this process.
 */
bool sla_truth_rebuild(const struct sla_parts *parts, uint64_t buckets, const char *token,
                       uint64_t *ret_rebuilt, error *err) __attribute__((warn_unused_result));

/*
 * Puts the account's running timers under its policy, and notes that this has been done. Repeating it changes
 * nothing. UNAVAILABLE while the account's bucket is lost; DEADLINE_EXCEEDED when it takes longer (monotonic
 * deadline). *ret_position: of the account, up to where the timers stood.
 */
bool sla_truth_apply_policy(const struct sla_parts *parts, const struct sla_policy_row *row,
                            int64_t deadline_us, int64_t *ret_position, error *err)
    __attribute__((warn_unused_result));

/*
 * Fires what has been overdue for `grace_us` and more, whatever the schedule says, under the policies as
 * PostgreSQL has them now: closings, and what is left to be recorded of closed cases' targets. *ret_fired: so
 * many.
 */
bool sla_truth_sweep(const struct sla_parts *parts, int64_t grace_us, int64_t *ret_fired, error *err)
    __attribute__((warn_unused_result));

/* As sla_truth_sweep, for the targets of running cases: reads each of them. */
bool sla_truth_sweep_targets(const struct sla_parts *parts, int64_t grace_us, int64_t *ret_fired, error *err)
    __attribute__((warn_unused_result));

#endif
