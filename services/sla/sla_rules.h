#ifndef CASEWORK_SLA_RULES_H
#define CASEWORK_SLA_RULES_H

/*
 * When does a case close by itself? Pure: a policy and the case's facts give the one timer that the case
 * should have, or none. Times and durations are microseconds.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What a timer of the schedule is there for; the first two are the wire's DueRule. */
enum sla_rule {
    SLA_RULE_RESOLVED = 1, /* so long after the last change of a resolved case */
    SLA_RULE_INACTIVE = 2, /* so long after the last activity, once all customer messages are closed */
    SLA_RULE_TARGETS = 3,  /* the next step of the case's targets; its version is the case's */
};

/* The wire's CaseStatus. */
enum sla_status {
    SLA_STATUS_NEW = 1,
    SLA_STATUS_OPEN = 2,
    SLA_STATUS_PENDING = 3,
    SLA_STATUS_RESOLVED = 4,
    SLA_STATUS_CLOSED = 5,
    SLA_STATUS_DELETED = 6,
};

#define SLA_SECOND INT64_C(1000000)
#define SLA_RESOLVED_DURATION (72 * 3600 * SLA_SECOND)
#define SLA_INACTIVE_DURATION (24 * 3600 * SLA_SECOND) /* what is customary; an account names its own */
#define SLA_DURATION_LEAST SLA_SECOND
#define SLA_DURATION_MOST (3650 * 24 * 3600 * SLA_SECOND)

struct sla_policy {
    enum sla_rule rule;
    int64_t duration_us;
    int64_t version; /* grows with every change; 0: the account has never changed it */
    bool has_targets;
};

/* A case's state as the feed tells it. */
struct sla_facts {
    enum sla_status status;
    int64_t change_version, change_time_us;
    int64_t activity_version, activity_time_us;
    bool all_customer_messages_closed;
    bool merged; /* into another case: takes no part any more */
};

/* The deadline that a case should have. */
struct sla_deadline {
    enum sla_rule rule;
    int64_t version; /* of the rule's basis */
    int64_t due_us;
};

/* The policy of an account that has not changed it. */
struct sla_policy sla_rules_default(void);

/* False: the case has no closing timer. */
bool sla_rules_deadline(const struct sla_policy *policy, const struct sla_facts *facts,
                        struct sla_deadline *ret_deadline);

/*
 * The first instant from then on that the schedule can hold, whose scores are doubles: up to the year 2255
 * that very one, later ones to 32 microseconds. From 1970 to the end of the year 9999.
 */
int64_t sla_rules_instant(int64_t time_us);

/* The deadline of a rule's basis under a policy of that rule, as sla_rules_instant has it. */
int64_t sla_rules_due(const struct sla_policy *policy, int64_t basis_time_us);

/* INVALID_ARGUMENT for a duration that no policy can have; `field` names it. */
bool sla_rules_check_duration(int64_t duration_us, const char *field, error *err)
    __attribute__((warn_unused_result));

#endif
