#ifndef CASEWORK_SLA_PARTS_H
#define CASEWORK_SLA_PARTS_H

/* What the service is put together from; main owns it all. */

#include "feed/suite_clock.h"
#include "rpc/client.h"
#include "sla/sla_firing.h"
#include "sla/sla_policy_store.h"
#include "sla/timer_store.h"

#include <stdatomic.h>
#include <stdint.h>

/* Up to where this process has seen the feed applied to the schedule: less in Redis means that Redis has gone
 * back. */
struct sla_progress {
    _Atomic int64_t at[TIMER_BUCKETS];
};

struct sla_parts {
    rpc_channel *cases;
    timer_store *timers;
    sla_policies *policies;
    suite_clock *clock;
    sla_firing *firing;
    struct sla_progress *progress;
};

#endif
