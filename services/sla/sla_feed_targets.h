#ifndef CASEWORK_SLA_FEED_TARGETS_H
#define CASEWORK_SLA_FEED_TARGETS_H

/*
 * Events say that something happened in a case; what that means for its targets follows from all that
 * happened there. So the changes of targets are first marked, then worked out together, cases read many at a
 * time. What is read may be newer than the event: then the newer event leads to the same again.
 */

#include "base/error.h"
#include "sla/sla_parts.h"
#include "sla/timer_store.h"

#include <stdbool.h>
#include <stddef.h>

/* Makes the change one of the case's targets, to be worked out. Account, case and position are set. */
void sla_feed_mark_targets(struct timer_change *change, int64_t policy_version);

/* Works out those that are marked. */
bool sla_feed_derive_targets(const struct sla_parts *parts, struct timer_change *changes, size_t count,
                             error *err) __attribute__((warn_unused_result));

#endif
