#ifndef CASEWORK_SLA_TERMS_H
#define CASEWORK_SLA_TERMS_H

/*
 * The terms of a policy beside the closing rule: targets and calendar. On the wire and in PostgreSQL they are
 * fields of SlaPolicy; made ready for sla_targets.h they are shared and never change.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/sla/v1/policy.pb-c.h"
#include "sla/sla_targets.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct sla_terms sla_terms;

enum { SLA_TERMS_TARGETS_MAX = 100 };

/*
 * INVALID_ARGUMENT with the path of what is wrong. `account`: whose channels targets may name. `prefix` comes
 * before the paths: "policy."
 */
bool sla_terms_check(const Casework__Sla__V1__SlaPolicy *policy, const char *account, const char *prefix,
                     error *err) __attribute__((warn_unused_result));

/*
 * From what was checked: targets and calendar of `policy`, which is copied. `time_zone`: the account's, for a
 * calendar that names none. since_us: of each target. *ret_terms NULL: there are no targets.
 */
bool sla_terms_new(const Casework__Sla__V1__SlaPolicy *policy, const char *time_zone, const int64_t *since_us,
                   sla_terms **ret_terms, error *err) __attribute__((warn_unused_result));

/* Shared by counting; both take NULL. */
sla_terms *sla_terms_hold(sla_terms *terms);
void sla_terms_release(sla_terms *terms);

const struct sla_targets *sla_terms_targets(const sla_terms *terms);

/*
 * Since when there have been targets for the cases of each target of `policy`: as one of `before` holds for
 * all of them, as long as that; else from `now_us` on. `before` may be NULL.
 */
void sla_terms_since(const Casework__Sla__V1__SlaPolicy *policy, const struct sla_targets *before,
                     int64_t now_us, int64_t *ret_since_us);

#endif
