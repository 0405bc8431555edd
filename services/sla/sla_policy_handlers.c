#include "base/clock.h"
#include "base/log.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_handlers.h"
#include "sla/sla_truth.h"

#include <openssl/sha.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CALL_WAIT_US (20 * CLOCK_SECOND)
#define ANSWER_TIME_US (500 * INT64_C(1000))

enum { REQUEST_ID_MAX = 128 };

typedef Casework__Sla__V1__SlaPolicy wire_policy;
typedef Casework__Sla__V1__UpdatePolicyRequest update_request;

static int64_t deadline_of(const rpc_call *call)
{
    int64_t most_us = clock_monotonic_us() + CALL_WAIT_US;
    int64_t deadline_us = rpc_call_deadline_us(call);
    return deadline_us < most_us ? deadline_us : most_us;
}

static bool parse_name(arena *memory, const char *name, const char *field, const char **ret_account,
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

/* NULL when the arena is full. */
static wire_policy *policy_of(arena *memory, const struct sla_policy_row *row)
{
    wire_policy *policy = arena_alloc(memory, sizeof *policy);
    if (!policy)
        return NULL;
    casework__sla__v1__sla_policy__init(policy);
    policy->name = arena_printf(memory, "accounts/%s/slaPolicy", row->account);
    policy->etag = arena_printf(memory, "%" PRId64, row->policy.version);
    policy->closing = closing_of(memory, &row->policy);
    policy->update_time = wire_timestamp(memory, row->update_time_us);
    if (!policy->name || !policy->etag || !policy->closing || (row->update_time_us && !policy->update_time))
        return NULL;
    return policy;
}

/* The policy as PostgreSQL has it; NOT_FOUND for an account that does not exist. */
static bool read_policy(const struct sla_service *service, const char *account, int64_t deadline_us,
                        struct sla_policy_row *ret_row, error *err)
{
    bool found;
    bool exists = true;
    if (!sla_policies_read(service->parts.policies, account, deadline_us, ret_row, &found, err))
        return false;
    if (!found && !sla_cases_account_exists(service->parts.cases, account, deadline_us, &exists, err))
        return false;
    return exists || error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "accounts/%s does not exist", account);
}

static void get_policy(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Sla__V1__GetPolicyRequest *request = (const void *)message;
    Casework__Sla__V1__GetPolicyResponse response = CASEWORK__SLA__V1__GET_POLICY_RESPONSE__INIT;
    arena *memory = rpc_call_arena(call);
    struct sla_policy_row row;
    const char *account;
    error err;
    if (!parse_name(memory, request->name, "name", &account, &err) ||
        !read_policy(context, account, deadline_of(call), &row, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.policy = policy_of(memory, &row);
    if (response.policy)
        rpc_call_reply(call, &response.base);
    else
        rpc_call_fail_memory(call);
}

/* --- changing ------------------------------------------------------------------------------------- */

static bool not_served(const char *what, error *err)
{
    return error_set(err, STATUS_UNIMPLEMENTED, "NOT_SERVED", "%s cannot be set yet", what);
}

/* Which fields change: those of the mask, without one those that are set. */
static bool read_mask(const update_request *request, bool *ret_closing, error *err)
{
    const wire_policy *policy = request->policy;
    bool closing = policy->closing != NULL;
    bool targets = policy->n_targets > 0;
    bool calendar = policy->calendar != NULL;
    if (request->update_mask && request->update_mask->n_paths > 0) {
        bool set_targets = targets;
        bool set_calendar = calendar;
        closing = targets = calendar = false;
        for (size_t i = 0; i < request->update_mask->n_paths; i++) {
            const char *path = request->update_mask->paths[i];
            bool all = strcmp(path, "*") == 0;
            if (all && request->update_mask->n_paths > 1)
                return error_bad_field(err, "update_mask", "* stands for everything and must be alone");
            if (all || strcmp(path, "closing") == 0)
                closing = true;
            if (all || strcmp(path, "targets") == 0)
                targets = set_targets;
            if (all || strcmp(path, "calendar") == 0)
                calendar = set_calendar;
            if (!all && strcmp(path, "closing") != 0 && strcmp(path, "targets") != 0 &&
                strcmp(path, "calendar") != 0)
                return error_bad_field(err, "update_mask", "has a path that cannot be changed");
        }
    }
    if (targets)
        return not_served("targets", err);
    if (calendar)
        return not_served("a calendar", err);
    *ret_closing = closing;
    return true;
}

static bool read_closing(const Casework__Sla__V1__ClosingRule *closing, struct sla_policy_update *update,
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

/* What tells a repeated request from another one of the same id. */
static bool take_fingerprint(arena *memory, const update_request *request, struct sla_policy_update *update)
{
    size_t length = protobuf_c_message_get_packed_size(&request->base);
    unsigned char *packed = arena_alloc(memory, length + 1);
    unsigned char *digest = arena_alloc(memory, SHA256_DIGEST_LENGTH);
    if (!packed || !digest)
        return false;
    protobuf_c_message_pack(&request->base, packed);
    SHA256(packed, length, digest);
    update->fingerprint = digest;
    update->fingerprint_length = SHA256_DIGEST_LENGTH;
    return true;
}

static bool read_update(arena *memory, const update_request *request, struct sla_policy_update *update,
                        bool *ret_change, error *err)
{
    if (!request->policy)
        return error_bad_field(err, "policy", "is required");
    if (strlen(request->request_id) > REQUEST_ID_MAX)
        return error_bad_field(err, "request_id", "is longer than 128 bytes");
    update->request_id = request->request_id;
    if (!parse_name(memory, request->policy->name, "policy.name", &update->account, err) ||
        !read_mask(request, ret_change, err) || !read_closing(request->policy->closing, update, err))
        return false;
    if (!read_etag(request->policy->etag, &update->expected_version))
        return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "the policy has been changed meanwhile");
    if (!take_fingerprint(memory, request, update))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
    return true;
}

/*
 * Puts the stored policy to work. It is stored, so whatever fails here is made up for by the healer. With a
 * manual clock what is overdue now is closed before the answer: the clock's next move must not find it open.
 */
static struct sla_effect put_to_work(const struct sla_service *service, const struct sla_policy_row *row,
                                     int64_t deadline_us)
{
    struct sla_effect effect = {0};
    int64_t next_due_us;
    error err;
    if (!sla_truth_apply_policy(&service->parts, row, deadline_us, &effect, &err)) {
        log_warn("policy not applied yet", LOG_TEXT("casework.account", row->account),
                 LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
        sla_healer_kick(service->healer);
        return (struct sla_effect){0};
    }
    if (suite_clock_is_manual(service->parts.clock) &&
        !sla_firing_settle(service->parts.firing, suite_clock_now_us(service->parts.clock), deadline_us,
                           &next_due_us, &err))
        log_warn("overdue timers are still being fired", LOG_TEXT("casework.account", row->account));
    return effect;
}

static void answer_update(rpc_call *call, const struct sla_policy_row *row, const struct sla_effect *effect)
{
    Casework__Sla__V1__UpdatePolicyResponse response = CASEWORK__SLA__V1__UPDATE_POLICY_RESPONSE__INIT;
    Casework__Sla__V1__PolicyEffect wire_effect = CASEWORK__SLA__V1__POLICY_EFFECT__INIT;
    wire_effect.timers_moved = effect->moved;
    wire_effect.timers_added = effect->added;
    wire_effect.timers_removed = effect->removed;
    wire_effect.cases_closing = effect->closing;
    response.policy = policy_of(rpc_call_arena(call), row);
    response.position = effect->position;
    response.effect = &wire_effect;
    if (response.policy)
        rpc_call_reply(call, &response.base);
    else
        rpc_call_fail_memory(call);
}

bool sla_check_acting_agent(const struct sla_service *service, const rpc_call *call, const char *account,
                            int64_t deadline_us, error *err)
{
    const struct rpc_caller *caller = rpc_call_caller(call);
    bool acting = caller->role == RPC_ROLE_SERVICE && caller->agent[0];
    bool admin = !acting;
    if (acting && *account &&
        !sla_cases_agent_is_admin(service->parts.cases, account, caller->agent, deadline_us, &admin, err))
        return false;
    return admin ||
           error_set(err, STATUS_PERMISSION_DENIED, "NOT_AN_ADMIN", "agent %s is no admin", caller->agent);
}

static void update_policy(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const struct sla_service *service = context;
    struct sla_policy_update update = {.now_us = suite_clock_now_us(service->parts.clock)};
    struct sla_policy_row row;
    struct sla_effect effect = {0};
    int64_t deadline_us = deadline_of(call);
    bool change = false;
    error err;
    if (!read_update(rpc_call_arena(call), (const update_request *)message, &update, &change, &err) ||
        !sla_check_acting_agent(service, call, update.account, deadline_us, &err) ||
        !read_policy(service, update.account, deadline_us, &row, &err) ||
        (change && !sla_policies_update(service->parts.policies, &update, deadline_us, &row, &err))) {
        rpc_call_fail(call, &err);
        return;
    }
    if (change)
        effect = put_to_work(service, &row, deadline_us - ANSWER_TIME_US);
    answer_update(call, &row, &effect);
}

const struct rpc_method sla_policy_methods[] = {
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "GetPolicy",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "name",
     .unary = get_policy},
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "UpdatePolicy",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "policy.name",
     .unary = update_policy},
    {.service = NULL},
};
