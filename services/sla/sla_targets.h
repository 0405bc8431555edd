#ifndef CASEWORK_SLA_TARGETS_H
#define CASEWORK_SLA_TARGETS_H

/*
 * What is to be reached in time: first reply, next reply, resolution. Pure: an account's targets and what
 * happened in a case give the case's timers, and the next step that one of them has to take. Nothing else is
 * kept anywhere: whatever is lost is worked out again.
 *
 * A first reply counts from the customer's first message to the next reply of an agent; a next reply from the
 * oldest message that waits after that, to the next reply; a resolution from the customer's first message
 * until the case is first resolved, or closed. Time in which the case is resolved, closed or deleted never
 * counts, pending time does not where the target says so. Times and durations are microseconds.
 */

#include "calendar/business.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The wire's TimerKind, TimerState and TimerStep. */
enum sla_kind {
    SLA_KIND_CLOSE = 1,
    SLA_KIND_FIRST_REPLY = 2,
    SLA_KIND_NEXT_REPLY = 3,
    SLA_KIND_RESOLUTION = 4,
};
enum { SLA_KINDS = 5, SLA_TARGET_KINDS = 3 };

enum sla_state {
    SLA_STATE_ARMED = 1,
    SLA_STATE_PAUSED = 2,
    SLA_STATE_WARNED = 3,
    SLA_STATE_MET = 4,
    SLA_STATE_BREACHED = 5,
};

enum sla_step {
    SLA_STEP_WARNED = 1,
    SLA_STEP_BREACHED = 2,
    SLA_STEP_MET = 3,
};

enum { SLA_WARN_PERCENT = 80 };

struct sla_target {
    enum sla_kind kind;
    int64_t duration_us;
    bool in_business_hours, pause_while_pending;
    int warn_percent;
    /* Filters; empty ones hold for every case. */
    const char *const *labels;
    size_t label_count;
    const char *const *channels; /* names, accounts/…/channels/… */
    size_t channel_count;
    const int32_t *priorities;
    size_t priority_count;
    /* Since when there has been a target for all the cases that this one is for. What ended before was none
     * of its. */
    int64_t since_us;
};

struct sla_targets {
    const struct sla_target *items; /* of several of one kind the first that applies counts */
    size_t count;
    const calendar_hours *hours; /* NULL: around the clock */
};

/* --- a case --------------------------------------------------------------------------------------- */

/* What a case was after one of its changes (TargetMoment on the wire). */
struct sla_moment {
    int64_t time_us;
    int status; /* enum sla_status */
    int64_t status_time_us;
    int64_t waiting_number, waiting_since_us; /* 0: no message waited for a reply */
    bool replied;                             /* the change was an agent's reply */
    enum sla_step step;                       /* the change was this step; 0: none */
    enum sla_kind step_kind;
    int64_t step_basis, step_due_us;
};

struct sla_history {
    const char *const *labels;
    size_t label_count;
    const char *channel;
    int32_t priority;
    bool gone;                                 /* deleted, or merged into another case */
    int64_t customer_number, customer_time_us; /* the customer's first message; 0: none */
    const struct sla_moment *moments;          /* oldest first */
    size_t count;
};

/* --- its timers ----------------------------------------------------------------------------------- */

struct sla_timer {
    enum sla_kind kind;
    enum sla_state state;
    int64_t basis; /* the number of the message that it counts from */
    int64_t basis_time_us;
    int64_t due_us, warn_us; /* 0 while they stand still */
    int64_t left_us;         /* of the target's time, while paused */
};

/* A step that is still to be recorded. */
struct sla_due_step {
    int64_t time_us; /* INT64_MAX: there is none */
    enum sla_kind kind;
    enum sla_step step;
    int64_t basis;
    int64_t due_us;      /* what RecordTimerStep compares: the deadline, or of a warning its time */
    int64_t deadline_us; /* of a warning, if its target does not stand still before that; else 0 */
};

struct sla_case_timers {
    struct sla_timer timers[SLA_TARGET_KINDS]; /* by kind */
    size_t count;
    struct sla_due_step next; /* the earliest */
};

/*
 * A warning whose deadline has passed too is not given any more: hence now_us. What was recorded stays,
 * whatever the targets say by now.
 */
void sla_targets_derive(const struct sla_targets *targets, const struct sla_history *history, int64_t now_us,
                        struct sla_case_timers *ret_timers);

/* The first target of the kind that applies to a case; NULL: none. */
const struct sla_target *sla_targets_find(const struct sla_targets *targets, enum sla_kind kind,
                                          const struct sla_history *history);

/* Deadline of a target that nothing stops, and the warning's time; never beyond what a time can hold. */
int64_t sla_targets_due(const struct sla_targets *targets, const struct sla_target *target, int64_t from_us,
                        int64_t *ret_warn_us);

#endif
