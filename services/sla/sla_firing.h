#ifndef CASEWORK_SLA_FIRING_H
#define CASEWORK_SLA_FIRING_H

/*
 * Closes cases when their timers are due: one thread that sleeps until the next deadline, claims what is due
 * and has the case service close it, many at a time. The case service compares basis version and due time
 * with its own; what it answers decides what becomes of the timer. Whatever gets no answer comes back when
 * its lease ends.
 *
 * With a manual clock time stands still, so that no lease would ever end: claims are made without one, and
 * what failed is tried again after a moment of real time.
 */

#include "base/error.h"
#include "feed/suite_clock.h"
#include "rpc/client.h"
#include "sla/sla_policy_store.h"
#include "sla/timer_store.h"

#include <stdbool.h>
#include <stdint.h>

struct sla_firing_options {
    timer_store *store;
    rpc_channel *cases;
    sla_policies *policies;
    suite_clock *clock;
    int64_t lease_us; /* shorter than a closing takes: it is asked for twice, and done once */
    unsigned in_flight_max;
    /* A claim found a bucket without its marks, or Redis away. On the firing thread; must not block. */
    void (*lost)(void *context);
    void *context;
};

typedef struct sla_firing sla_firing;

/* What is in the options must outlive it. */
bool sla_firing_new(const struct sla_firing_options *options, sla_firing **ret_firing, error *err)
    __attribute__((warn_unused_result));

/* Starts the thread, which first looks at all buckets. */
bool sla_firing_start(sla_firing *firing, error *err) __attribute__((warn_unused_result));

/* Claims nothing more, waits for the answers under way (bounded by their deadlines), joins. Takes NULL. */
void sla_firing_stop(sla_firing *firing);
void sla_firing_free(sla_firing *firing); /* stops first; takes NULL */

/* Timers have been armed: the earliest deadline of each bucket, INT64_MAX where there is none. */
void sla_firing_wake(sla_firing *firing, const int64_t due_us[TIMER_BUCKETS]);

/* Looks at all buckets again. */
void sla_firing_look(sla_firing *firing);

/* The oldest deadline among those that are being fired; INT64_MAX: none is. */
int64_t sla_firing_oldest(sla_firing *firing);

/*
 * Fires a timer that the sweep has found due, whatever Redis says. Waits for room until the deadline
 * (monotonic); false if there was none. A timer that is already being fired is left alone: true.
 */
bool sla_firing_fire(sla_firing *firing, const struct timer *timer, int64_t deadline_us);

/* Waits until nothing is due at now_us and nothing under way. *ret_next_due_us: INT64_MAX for none. */
bool sla_firing_settle(sla_firing *firing, int64_t now_us, int64_t deadline_us, int64_t *ret_next_due_us,
                       error *err) __attribute__((warn_unused_result));

#endif
