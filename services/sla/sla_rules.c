#include "sla/sla_rules.h"

#include <float.h>

/* The last one of year 9999, where Timestamps end, that a double holds. */
#define LAST_INSTANT INT64_C(253402300799999968)

struct sla_policy sla_rules_default(void)
{
    return (struct sla_policy){.rule = SLA_RULE_RESOLVED, .duration_us = SLA_RESOLVED_DURATION};
}

int64_t sla_rules_instant(int64_t time_us)
{
    if (time_us <= 0)
        return 0;
    if (time_us >= LAST_INSTANT)
        return LAST_INSTANT;
    int64_t step = 1;
    while (time_us / step >= INT64_C(1) << DBL_MANT_DIG)
        step *= 2;
    return (time_us + step - 1) / step * step;
}

int64_t sla_rules_due(const struct sla_policy *policy, int64_t basis_time_us)
{
    if (basis_time_us > LAST_INSTANT - policy->duration_us)
        return LAST_INSTANT;
    return sla_rules_instant(basis_time_us + policy->duration_us);
}

static bool has_timer(enum sla_rule rule, const struct sla_facts *facts)
{
    if (rule == SLA_RULE_RESOLVED)
        return facts->status == SLA_STATUS_RESOLVED;
    bool alive = facts->status == SLA_STATUS_OPEN || facts->status == SLA_STATUS_PENDING ||
                 facts->status == SLA_STATUS_RESOLVED;
    return alive && facts->all_customer_messages_closed;
}

bool sla_rules_deadline(const struct sla_policy *policy, const struct sla_facts *facts,
                        struct sla_deadline *ret_deadline)
{
    if (facts->merged || !has_timer(policy->rule, facts))
        return false;
    bool resolved = policy->rule == SLA_RULE_RESOLVED;
    *ret_deadline = (struct sla_deadline){
        .rule = policy->rule,
        .version = resolved ? facts->change_version : facts->activity_version,
        .due_us = sla_rules_due(policy, resolved ? facts->change_time_us : facts->activity_time_us),
    };
    return true;
}

bool sla_rules_check_duration(int64_t duration_us, const char *field, error *err)
{
    if (duration_us < SLA_DURATION_LEAST)
        return error_bad_field(err, field, "must be one second at the least");
    if (duration_us > SLA_DURATION_MOST)
        return error_bad_field(err, field, "must be ten years at the most");
    return true;
}
