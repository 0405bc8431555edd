#include "sla/sla_watch_steps.h"

#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_wire.h"

#include <inttypes.h>
#include <stdio.h>

typedef Casework__Sla__V1__Timer wire_timer;

#define KIND(name) CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_##name
#define STATE(name) CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_##name
#define STEP(name) CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_##name

/* --- from the feed -------------------------------------------------------------------------------- */

/*
 * A closing leaves the basis of both rules as it was. The account's present rule says which one it was; a
 * deadline that lies behind the closing is that of a policy which came later.
 */
static bool read_closing(const struct sla_parts *parts, const Casework__Cases__V1__Event *event,
                         struct watch_step *step)
{
    struct sla_facts facts;
    if (!event->case_facts || !sla_wire_facts(event->case_facts, &facts))
        return false;
    struct sla_policy policy = sla_policies_get(parts->policies, step->account);
    bool resolved = policy.rule == SLA_RULE_RESOLVED;
    step->kind = KIND(CLOSE);
    step->step = STEP(CLOSED);
    step->version = resolved ? facts.change_version : facts.activity_version;
    step->due_us = sla_rules_due(&policy, resolved ? facts.change_time_us : facts.activity_time_us);
    if (step->due_us > step->event_us)
        step->due_us = step->event_us;
    return true;
}

static bool read_target(const Casework__Cases__V1__Event *event, struct watch_step *step)
{
    const Casework__Cases__V1__TimerStepFacts *facts = event->timer_step_facts;
    if (!facts)
        return false;
    step->kind = facts->kind;
    step->step = facts->step;
    step->version = facts->basis_version;
    return wire_time_us(facts->due_time, &step->due_us) &&
           (!facts->target_time || wire_time_us(facts->target_time, &step->deadline_us));
}

bool watch_step_read(const struct sla_parts *parts, const Casework__Cases__V1__Event *event,
                     struct watch_step *ret_step)
{
    struct watch_step step = {.partition = event->partition, .position = event->position};
    bool is_step;
    switch (event->kind) {
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED:
        step.account_deleted = true;
        is_step = sla_cases_parse_account(event->account, step.account);
        break;
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_CLOSED:
        is_step = sla_cases_parse_name(event->case_, step.account, &step.case_id) &&
                  wire_time_us(event->event_time, &step.event_us) && read_closing(parts, event, &step);
        break;
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_TIMER_STEP:
        is_step = sla_cases_parse_name(event->case_, step.account, &step.case_id) &&
                  wire_time_us(event->event_time, &step.event_us) && read_target(event, &step);
        break;
    default:
        return false;
    }
    if (is_step)
        *ret_step = step;
    return is_step;
}

/* --- to the wire ---------------------------------------------------------------------------------- */

static Casework__Sla__V1__TimerState state_after(Casework__Sla__V1__TimerStep step)
{
    switch (step) {
    case STEP(WARNED):
        return STATE(WARNED);
    case STEP(BREACHED):
        return STATE(BREACHED);
    case STEP(MET):
        return STATE(MET);
    default:
        return STATE(ARMED);
    }
}

static const char *kind_name(Casework__Sla__V1__TimerKind kind)
{
    switch (kind) {
    case KIND(FIRST_REPLY):
        return "first_reply";
    case KIND(NEXT_REPLY):
        return "next_reply";
    case KIND(RESOLUTION):
        return "resolution";
    default:
        return "close";
    }
}

static wire_timer *timer_after(arena *memory, const struct watch_step *step)
{
    wire_timer *timer = arena_alloc(memory, sizeof *timer);
    if (!timer)
        return NULL;
    casework__sla__v1__timer__init(timer);
    timer->case_ = arena_printf(memory, "accounts/%s/cases/%" PRId64, step->account, step->case_id);
    timer->name = arena_printf(memory, "accounts/%s/cases/%" PRId64 "/timers/%s", step->account,
                               step->case_id, kind_name(step->kind));
    timer->kind = step->kind;
    timer->state = state_after(step->step);
    timer->version = step->version;
    Google__Protobuf__Timestamp *due = wire_timestamp(memory, step->due_us);
    if (step->step == STEP(WARNED)) {
        timer->warn_time = due;
        timer->due_time = wire_timestamp(memory, step->deadline_us);
    } else {
        timer->due_time = due;
    }
    return timer->case_ && timer->name && (due || step->due_us == 0) ? timer : NULL;
}

bool watch_step_wire(arena *memory, const struct sla_parts *parts, const struct watch_step *step,
                     Casework__Sla__V1__WatchTimersResponse *response)
{
    (void)parts;
    int64_t late_us = step->event_us - step->due_us;
    if (step->step == STEP(MET) || step->due_us == 0 || late_us < 0)
        late_us = 0;
    response->timer = timer_after(memory, step);
    response->step = step->step;
    response->event_time = wire_timestamp(memory, step->event_us);
    response->lateness_duration = wire_duration(memory, late_us);
    response->position = step->position;
    return response->timer && response->event_time && response->lateness_duration;
}

/* --- the ring ------------------------------------------------------------------------------------- */

const struct watch_step *watch_ring_at(const struct watch_ring *ring, uint64_t number)
{
    return &ring->steps[number % WATCH_RING];
}

void watch_ring_add(struct watch_ring *ring, const struct watch_step *step)
{
    if (ring->next - ring->first == WATCH_RING) {
        const struct watch_step *oldest = watch_ring_at(ring, ring->first++);
        ring->floor[oldest->partition] = oldest->position;
    }
    ring->steps[ring->next++ % WATCH_RING] = *step;
}
