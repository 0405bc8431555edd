#include "sla/sla_expected.h"

#include "sla/sla_cases.h"
#include "sla/sla_wire.h"

#include <string.h>

bool sla_expected_of(const struct sla_parts *parts, const char *case_name,
                     const Casework__Cases__V1__CaseFacts *facts, struct sla_expected *ret_expected,
                     error *err)
{
    struct sla_expected expected = {0};
    struct sla_facts known;
    struct sla_deadline deadline;
    if (!sla_cases_parse_name(case_name, expected.account, &expected.case_id) ||
        !sla_wire_facts(facts, &known))
        return error_set(err, STATUS_INTERNAL, "BAD_FACTS", "a case's facts cannot be read");
    struct sla_policy policy = sla_policies_get(parts->policies, expected.account);
    expected.policy_version = policy.version;
    if (sla_rules_deadline(&policy, &known, &deadline)) {
        struct timer *timer = &expected.timers[expected.count++];
        memcpy(timer->account, expected.account, sizeof timer->account);
        timer->case_id = expected.case_id;
        timer->rule = deadline.rule;
        timer->version = deadline.version;
        timer->due_us = deadline.due_us;
    }
    *ret_expected = expected;
    return true;
}
