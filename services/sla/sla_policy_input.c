#include "sla/sla_policy_input.h"

#include "rpc/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Sla__V1__SlaPolicy wire_policy;

bool sla_policy_input_name(arena *memory, const char *name, const char *field, const char **ret_account,
                           error *err)
{
    const char *parts[1];
    if (!wire_name_parse(memory, "accounts/{}/slaPolicy", name, parts, 1) || strcmp(parts[0], "-") == 0)
        return error_bad_field(err, field, "is no accounts/{account}/slaPolicy");
    *ret_account = parts[0];
    return true;
}

/* --- answering ------------------------------------------------------------------------------------ */

static Casework__Sla__V1__ClosingRule *closing_of(arena *memory, const struct sla_policy *policy)
{
    Casework__Sla__V1__ClosingRule *closing = arena_alloc(memory, sizeof *closing);
    Google__Protobuf__Duration *duration = wire_duration(memory, policy->duration_us);
    if (!closing || !duration)
        return NULL;
    casework__sla__v1__closing_rule__init(closing);
    if (policy->rule == SLA_RULE_INACTIVE) {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_INACTIVITY_DURATION;
        closing->after_inactivity_duration = duration;
    } else {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
        closing->after_resolved_duration = duration;
    }
    return closing;
}

wire_policy *sla_policy_output(arena *memory, const struct sla_policy_row *row, const wire_policy *terms)
{
    wire_policy *policy = arena_alloc(memory, sizeof *policy);
    if (!policy)
        return NULL;
    casework__sla__v1__sla_policy__init(policy);
    policy->name = arena_printf(memory, "accounts/%s/slaPolicy", row->account);
    policy->etag = arena_printf(memory, "%" PRId64, row->policy.version);
    policy->closing = closing_of(memory, &row->policy);
    policy->update_time = wire_timestamp(memory, row->update_time_us);
    policy->targets = terms->targets;
    policy->n_targets = terms->n_targets;
    policy->calendar = terms->calendar;
    if (!policy->name || !policy->etag || !policy->closing || (row->update_time_us && !policy->update_time))
        return NULL;
    return policy;
}

/* --- reading -------------------------------------------------------------------------------------- */

static bool read_path(const char *path, struct sla_policy_update *update)
{
    bool all = strcmp(path, "*") == 0;
    bool closing = strcmp(path, "closing") == 0;
    bool targets = strcmp(path, "targets") == 0;
    bool calendar = strcmp(path, "calendar") == 0;
    update->set_closing |= all || closing;
    update->set_targets |= all || targets;
    update->set_calendar |= all || calendar;
    return all || closing || targets || calendar;
}

/* Which fields change: those of the mask, without one those that are set. */
static bool read_mask(const wire_policy *policy, const Google__Protobuf__FieldMask *mask,
                      struct sla_policy_update *update, error *err)
{
    if (!mask || mask->n_paths == 0) {
        update->set_closing = policy->closing != NULL;
        update->set_targets = policy->n_targets > 0;
        update->set_calendar = policy->calendar != NULL;
        return true;
    }
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (strcmp(mask->paths[i], "*") == 0 && mask->n_paths > 1)
            return error_bad_field(err, "update_mask", "* stands for everything and must be alone");
        if (!read_path(mask->paths[i], update))
            return error_bad_field(err, "update_mask", "has a path that cannot be changed");
    }
    return true;
}

bool sla_policy_input_closing(const Casework__Sla__V1__ClosingRule *closing, struct sla_policy_update *update,
                              error *err)
{
    struct sla_policy usual = sla_rules_default();
    const Google__Protobuf__Duration *duration;
    const char *field;
    update->rule = usual.rule;
    update->duration_us = usual.duration_us;
    if (!closing || closing->rule_case == CASEWORK__SLA__V1__CLOSING_RULE__RULE__NOT_SET)
        return true;
    if (closing->rule_case == CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_INACTIVITY_DURATION) {
        update->rule = SLA_RULE_INACTIVE;
        duration = closing->after_inactivity_duration;
        field = "policy.closing.after_inactivity_duration";
    } else {
        update->rule = SLA_RULE_RESOLVED;
        duration = closing->after_resolved_duration;
        field = "policy.closing.after_resolved_duration";
    }
    if (!wire_duration_us(duration, &update->duration_us))
        return error_bad_field(err, field, "is no duration");
    return sla_rules_check_duration(update->duration_us, field, err);
}

static bool read_etag(const char *etag, int64_t *ret_version)
{
    char *end;
    if (!*etag) {
        *ret_version = -1;
        return true;
    }
    *ret_version = strtoll(etag, &end, 10);
    return *end == '\0' && *ret_version >= 0;
}

/* What is not going to change is not looked at. */
static bool check_terms(const wire_policy *policy, const struct sla_policy_update *update, error *err)
{
    wire_policy looked_at = *policy;
    if (!update->set_targets)
        looked_at.n_targets = 0;
    if (!update->set_calendar)
        looked_at.calendar = NULL;
    return sla_terms_check(&looked_at, update->account, "policy.", err);
}

bool sla_policy_input_read(arena *memory, const wire_policy *policy, const Google__Protobuf__FieldMask *mask,
                           struct sla_policy_update *update, error *err)
{
    if (!policy)
        return error_bad_field(err, "policy", "is required");
    if (!sla_policy_input_name(memory, policy->name, "policy.name", &update->account, err) ||
        !read_mask(policy, mask, update, err) || !sla_policy_input_closing(policy->closing, update, err) ||
        !check_terms(policy, update, err))
        return false;
    update->wire = policy;
    if (!read_etag(policy->etag, &update->expected_version))
        return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "the policy has been changed meanwhile");
    return true;
}
