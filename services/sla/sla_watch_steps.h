#ifndef CASEWORK_SLA_WATCH_STEPS_H
#define CASEWORK_SLA_WATCH_STEPS_H

/* What timers did, as watches tell it: read from the feed, kept in a ring, written to the wire. */

#include "base/arena.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_step {
    int partition;
    int64_t position;
    char account[TIMER_ACCOUNT_SIZE];
    bool account_deleted; /* the account's end; nothing below is set */
    int64_t case_id;
    Casework__Sla__V1__TimerKind kind;
    Casework__Sla__V1__TimerStep step;
    int64_t version;
    int64_t due_us;      /* of the step: a warning's own time for a warning; 0: not known */
    int64_t deadline_us; /* of a warning: the deadline; 0: not known */
    int64_t event_us;
};

/* False: the event is no step of a timer. */
bool watch_step_read(const struct sla_parts *parts, const Casework__Cases__V1__Event *event,
                     struct watch_step *ret_step);

/* Fills timer, step, times and position. False when the arena is full. */
bool watch_step_wire(arena *memory, const struct sla_parts *parts, const struct watch_step *step,
                     Casework__Sla__V1__WatchTimersResponse *response);

/* --- the ring: the last steps of all partitions, in the order in which they came ------------------ */

enum { WATCH_RING = 8192 };

struct watch_ring {
    struct watch_step *steps;     /* WATCH_RING of them; step n is at n % WATCH_RING */
    uint64_t first, next;         /* numbers of the first step that is there, and of the one to come */
    int64_t floor[TIMER_BUCKETS]; /* every step above is there */
};

/* Over what has fallen out. */
void watch_ring_add(struct watch_ring *ring, const struct watch_step *step);
const struct watch_step *watch_ring_at(const struct watch_ring *ring, uint64_t number);

#endif
