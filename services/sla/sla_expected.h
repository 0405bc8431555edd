#ifndef CASEWORK_SLA_EXPECTED_H
#define CASEWORK_SLA_EXPECTED_H

/* The timers that a case should have: the one question that the feed, rebuilds and checks ask alike. */

#include "base/error.h"
#include "casework/cases/v1/event.pb-c.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stddef.h>

enum { SLA_CASE_TIMERS_MAX = 4 };

struct sla_expected {
    char account[TIMER_ACCOUNT_SIZE];
    int64_t case_id;
    struct timer timers[SLA_CASE_TIMERS_MAX];
    size_t count;
    int64_t policy_version; /* under which they were worked out */
};

/* By the copy of the account's policy. INTERNAL for a name or facts that cannot be read. */
bool sla_expected_of(const struct sla_parts *parts, const char *case_name,
                     const Casework__Cases__V1__CaseFacts *facts, struct sla_expected *ret_expected,
                     error *err) __attribute__((warn_unused_result));

#endif
