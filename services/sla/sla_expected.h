#ifndef CASEWORK_SLA_EXPECTED_H
#define CASEWORK_SLA_EXPECTED_H

/* The timers that a case should have: the one question that the feed, rebuilds and checks ask alike. */

#include "base/error.h"
#include "casework/cases/v1/event_service.pb-c.h"
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

/* The closing timer, by the copy of the account's policy. INTERNAL for a name or facts that cannot be read.
 */
bool sla_expected_of(const struct sla_parts *parts, const char *case_name,
                     const Casework__Cases__V1__CaseFacts *facts, struct sla_expected *ret_expected,
                     error *err) __attribute__((warn_unused_result));

/*
 * Works out anew when the cases' targets are to be looked at next, from their histories as they are now: of
 * accounts that have targets, up to 200 cases are read at a time.
 */
bool sla_expected_targets(const struct sla_parts *parts, struct sla_expected *cases, size_t count, error *err)
    __attribute__((warn_unused_result));

/* All timers of the part's cases; *ret_cases, one for each of them, is the caller's to free. */
bool sla_expected_part(const struct sla_parts *parts, const Casework__Cases__V1__StreamSnapshotResponse *part,
                       struct sla_expected **ret_cases, error *err) __attribute__((warn_unused_result));

#endif
