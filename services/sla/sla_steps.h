#ifndef CASEWORK_SLA_STEPS_H
#define CASEWORK_SLA_STEPS_H

/*
 * The steps of targets, when their time has come. What the schedule holds is only when to look: the case is
 * read again, the step that is due is worked out, and recorded if the case is still at the version that was
 * read. So a step is never recorded that a change has made untrue; the change comes with the feed and brings
 * the next time to look.
 */

#include "feed/suite_clock.h"
#include "rpc/client.h"
#include "sla/sla_cases.h"
#include "sla/sla_policy_store.h"

#include <stdint.h>

/* As sla_cases_close, for a timer of SLA_RULE_TARGETS. What is given must live until `done` has run. */
void sla_steps_fire(rpc_channel *cases, sla_policies *policies, suite_clock *clock, const struct timer *timer,
                    int64_t timeout_us, close_done *done, void *argument);

#endif
