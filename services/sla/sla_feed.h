#ifndef CASEWORK_SLA_FEED_H
#define CASEWORK_SLA_FEED_H

/*
 * Arms and takes away timers as the feed tells of changes. The position is stored in each bucket by the
 * script that changes its timers, so that any number of replicas may apply the same events: the first one
 * counts.
 */

#include "base/error.h"
#include "feed/consumer.h"
#include "sla/sla_healer.h"
#include "sla/sla_parts.h"

#include <stdbool.h>

typedef struct sla_feed sla_feed;

/* Starts consuming; `caught_up` runs once, when the schedule is complete. What it is given must outlive it.
 */
bool sla_feed_new(const struct sla_parts *parts, sla_healer *healer, void (*caught_up)(void *context),
                  void *context, sla_feed **ret_feed, error *err) __attribute__((warn_unused_result));
void sla_feed_stop(sla_feed *feed); /* wakes whoever waits; before the server drains */
void sla_feed_free(sla_feed *feed); /* stops; takes NULL */

/* For waiting on positions. */
feed_consumer *sla_feed_consumer(sla_feed *feed);

#endif
