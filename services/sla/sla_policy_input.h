#ifndef CASEWORK_SLA_POLICY_INPUT_H
#define CASEWORK_SLA_POLICY_INPUT_H

/* Policies from and to the wire. */

#include "base/arena.h"
#include "base/error.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "sla/sla_parts.h"

#include <stdbool.h>

/* "accounts/acme/slaPolicy" → acme; else INVALID_ARGUMENT naming the field. */
bool sla_policy_input_name(arena *memory, const char *name, const char *field, const char **ret_account,
                           error *err) __attribute__((warn_unused_result));

/*
 * The fields that a mask names (none: those that are set), checked; account, closing rule, etag. The rest of
 * the update is the caller's.
 */
bool sla_policy_input_read(arena *memory, const Casework__Sla__V1__SlaPolicy *policy,
                           const Google__Protobuf__FieldMask *mask, struct sla_policy_update *update,
                           error *err) __attribute__((warn_unused_result));

/* A policy's closing rule, checked; the default for none. */
bool sla_policy_input_closing(const Casework__Sla__V1__ClosingRule *closing, struct sla_policy_update *update,
                              error *err) __attribute__((warn_unused_result));

/* The policy with closing rule `row` and these targets and calendar, which are not copied. NULL: the arena is
 * full. */
Casework__Sla__V1__SlaPolicy *sla_policy_output(arena *memory, const struct sla_policy_row *row,
                                                const Casework__Sla__V1__SlaPolicy *terms);

#endif
