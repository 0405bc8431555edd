#ifndef CASEWORK_SLA_WIRE_H
#define CASEWORK_SLA_WIRE_H

/* Timers and cases' facts: wire ↔ domain. */

#include "base/arena.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/sla/v1/timer.pb-c.h"
#include "sla/sla_parts.h"
#include "sla/sla_targets.h"

#include <stdbool.h>

/* NULL when the arena is full. */
Casework__Sla__V1__Timer *sla_wire_timer(arena *memory, const struct sla_parts *parts,
                                         const struct timer *timer);

/* A timer of a case's targets, or of a preview. NULL when the arena is full. */
Casework__Sla__V1__Timer *sla_wire_case_timer(arena *memory, const char *account, int64_t case_id,
                                              const struct sla_timer *timer, int64_t now_us);

/* False for facts that hold no time. */
bool sla_wire_facts(const Casework__Cases__V1__CaseFacts *facts, struct sla_facts *ret_facts)
    __attribute__((warn_unused_result));

#endif
