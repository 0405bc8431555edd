#include "sla/sla_wire.h"

#include "rpc/wire.h"
#include "sla/sla_rules.h"

#include <inttypes.h>

/* Where the timer counts from, by the account's policy; 0 when that has another rule by now. */
static int64_t basis_of(const struct sla_parts *parts, const struct timer *timer)
{
    struct sla_policy policy = sla_policies_get(parts->policies, timer->account);
    return policy.rule == timer->rule ? timer->due_us - policy.duration_us : 0;
}

Casework__Sla__V1__Timer *sla_wire_timer(arena *memory, const struct sla_parts *parts,
                                         const struct timer *timer)
{
    Casework__Sla__V1__Timer *wire = arena_alloc(memory, sizeof *wire);
    int64_t basis_us = basis_of(parts, timer);
    int64_t left_us = timer->due_us - suite_clock_now_us(parts->clock);
    if (!wire)
        return NULL;
    bool close = timer->rule != SLA_RULE_TARGETS;
    casework__sla__v1__timer__init(wire);
    wire->name = arena_printf(memory, "accounts/%s/cases/%" PRId64 "/timers/%s", timer->account,
                              timer->case_id, close ? "close" : "targets");
    wire->case_ = arena_printf(memory, "accounts/%s/cases/%" PRId64, timer->account, timer->case_id);
    wire->kind = close ? CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_CLOSE
                       : CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_UNSPECIFIED;
    wire->state = CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_ARMED;
    wire->version = timer->version;
    wire->due_time = wire_timestamp(memory, timer->due_us);
    wire->basis_time = wire_timestamp(memory, basis_us > 0 ? basis_us : 0);
    wire->remaining_duration = wire_duration(memory, left_us);
    bool whole = wire->name && wire->case_ && wire->due_time && wire->remaining_duration &&
                 (basis_us <= 0 || wire->basis_time);
    return whole ? wire : NULL;
}

Casework__Sla__V1__Timer *sla_wire_case_timer(arena *memory, const char *account, int64_t case_id,
                                              const struct sla_timer *timer, int64_t now_us)
{
    static const char *const kinds[SLA_KINDS] = {"", "close", "first_reply", "next_reply", "resolution"};
    Casework__Sla__V1__Timer *wire = arena_alloc(memory, sizeof *wire);
    bool paused = timer->state == SLA_STATE_PAUSED;
    if (!wire)
        return NULL;
    casework__sla__v1__timer__init(wire);
    wire->case_ = arena_printf(memory, "accounts/%s/cases/%" PRId64, account, case_id);
    wire->name =
        arena_printf(memory, "accounts/%s/cases/%" PRId64 "/timers/%s", account, case_id, kinds[timer->kind]);
    wire->kind = (Casework__Sla__V1__TimerKind)timer->kind;
    wire->state = (Casework__Sla__V1__TimerState)timer->state;
    wire->version = timer->basis;
    wire->basis_time = wire_timestamp(memory, timer->basis_time_us);
    wire->due_time = wire_timestamp(memory, paused ? 0 : timer->due_us);
    wire->warn_time = wire_timestamp(memory, paused ? 0 : timer->warn_us);
    wire->remaining_duration = wire_duration(memory, paused ? timer->left_us : timer->due_us - now_us);
    return wire->name && wire->case_ && wire->remaining_duration ? wire : NULL;
}

bool sla_wire_facts(const Casework__Cases__V1__CaseFacts *facts, struct sla_facts *ret_facts)
{
    *ret_facts = (struct sla_facts){
        .status = (enum sla_status)facts->status,
        .change_version = facts->change_version,
        .activity_version = facts->activity_version,
        .all_customer_messages_closed = facts->all_customer_messages_closed,
        .merged = facts->merged_into && facts->merged_into[0],
    };
    return wire_time_us(facts->change_time, &ret_facts->change_time_us) &&
           wire_time_us(facts->activity_time, &ret_facts->activity_time_us);
}
