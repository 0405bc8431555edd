/* PreviewDeadline: what would it be if … */

#include "base/clock.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_handlers.h"
#include "sla/sla_history.h"
#include "sla/sla_policy_input.h"

#include <inttypes.h>
#include <string.h>

enum { PRIORITY_MAX = 1000, LABELS_MAX = 50 };

typedef Casework__Sla__V1__PreviewDeadlineRequest preview_request;
typedef Casework__Sla__V1__PreviewDeadlineResponse preview_response;

/* Answers one call. */
struct deadline {
    const struct sla_service *service;
    arena *memory;
    const preview_request *request;
    const char *account;
    int64_t deadline_us; /* monotonic */
    int64_t start_us;
    struct sla_policy closing;
    const Casework__Sla__V1__SlaPolicy *policy; /* the targets on the wire */
    sla_terms *terms;                           /* NULL: no targets */
    struct sla_case_page page;                  /* the case, where one was named */
    struct sla_history history;                 /* what chooses the target */
};

static bool check_request(const preview_request *request, error *err)
{
    if ((int)request->kind < SLA_KIND_CLOSE || (int)request->kind > SLA_KIND_RESOLUTION)
        return error_bad_field(err, "kind", "is required");
    if (request->case_[0] && request->n_labels > 0)
        return error_bad_field(err, "labels", "come from the case");
    if (request->case_[0] && request->channel[0])
        return error_bad_field(err, "channel", "comes from the case");
    if (request->case_[0] && request->priority != 0)
        return error_bad_field(err, "priority", "comes from the case");
    if (request->n_labels > LABELS_MAX)
        return error_bad_field(err, "labels", "are more than 50");
    if (request->priority < 0 || request->priority > PRIORITY_MAX)
        return error_bad_field(err, "priority", "must be from 0 to 1,000");
    return true;
}

static bool check_channel(const struct deadline *deadline, error *err)
{
    const char *parts[2];
    const char *channel = deadline->request->channel;
    return !channel[0] ||
           (wire_name_parse(deadline->memory, "accounts/{}/channels/{}", channel, parts, 2) &&
            strcmp(parts[0], deadline->account) == 0) ||
           error_bad_field(err, "channel", "is no channel of the account");
}

/* --- the policy that holds ------------------------------------------------------------------------ */

static bool own_policy(struct deadline *deadline, error *err)
{
    struct sla_policy_row row;
    bool found;
    bool exists = true;
    sla_policies *policies = deadline->service->parts.policies;
    if (!sla_policies_read(policies, deadline->account, deadline->deadline_us, &row, &found, err) ||
        (!found && !sla_cases_account_exists(deadline->service->parts.cases, deadline->account,
                                             deadline->deadline_us, &exists, err)))
        return false;
    if (!exists)
        return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "accounts/%s does not exist", deadline->account);
    deadline->closing = row.policy;
    deadline->policy = sla_policies_wire(policies, deadline->account, deadline->memory);
    deadline->terms = sla_policies_terms(policies, deadline->account);
    return deadline->policy || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static bool given_policy(struct deadline *deadline, error *err)
{
    const int64_t since_us[SLA_TERMS_TARGETS_MAX] = {0};
    struct sla_policy_update update = {.account = deadline->account};
    const char *time_zone;
    deadline->policy = deadline->request->policy;
    if (!sla_policy_input_closing(deadline->policy->closing, &update, err) ||
        !sla_terms_check(deadline->policy, deadline->account, "policy.", err) ||
        !sla_cases_time_zone(deadline->service->parts.cases, deadline->account, deadline->deadline_us,
                             deadline->memory, &time_zone, err))
        return false;
    deadline->closing = (struct sla_policy){.rule = update.rule, .duration_us = update.duration_us};
    return sla_terms_new(deadline->policy, time_zone, since_us, &deadline->terms, err);
}

/* --- the case that chooses the target ------------------------------------------------------------- */

static bool find_case(struct deadline *deadline, error *err)
{
    const preview_request *request = deadline->request;
    const char *account;
    int64_t case_id;
    deadline->history = (struct sla_history){
        .labels = (const char *const *)request->labels,
        .label_count = request->n_labels,
        .channel = request->channel,
        .priority = request->priority,
    };
    if (!request->case_[0])
        return true;
    if (!rpc_name_case(deadline->memory, request->case_, "case", &account, &case_id, err))
        return false;
    if (strcmp(account, deadline->account) != 0)
        return error_bad_field(err, "case", "is no case of the account");
    if (!sla_history_named(deadline->service->parts.cases, account, &case_id, 1, deadline->deadline_us,
                           &deadline->page, err))
        return false;
    if (deadline->page.count == 0)
        return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "%s does not exist", request->case_);
    deadline->history = deadline->page.cases[0].history;
    return true;
}

/* --- the answer ----------------------------------------------------------------------------------- */

static bool read_start(struct deadline *deadline, error *err)
{
    if (!deadline->request->start_time)
        deadline->start_us = suite_clock_now_us(deadline->service->parts.clock);
    else if (!wire_time_us(deadline->request->start_time, &deadline->start_us))
        return error_bad_field(err, "start_time", "is no time");
    return true;
}

static void fill(const struct deadline *deadline, preview_response *response)
{
    enum sla_kind kind = (enum sla_kind)deadline->request->kind;
    if (kind == SLA_KIND_CLOSE) {
        int64_t due_us = sla_rules_due(&deadline->closing, deadline->start_us);
        response->due_time = wire_timestamp(deadline->memory, due_us);
        return;
    }
    const struct sla_targets *targets = deadline->terms ? sla_terms_targets(deadline->terms) : NULL;
    const struct sla_target *target = targets ? sla_targets_find(targets, kind, &deadline->history) : NULL;
    int64_t warn_us;
    if (!target)
        return;
    int64_t due_us = sla_targets_due(targets, target, deadline->start_us, &warn_us);
    response->due_time = wire_timestamp(deadline->memory, due_us);
    response->warn_time = wire_timestamp(deadline->memory, warn_us);
    response->target = deadline->policy->targets[target - targets->items];
}

static void preview_deadline(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    preview_response response = CASEWORK__SLA__V1__PREVIEW_DEADLINE_RESPONSE__INIT;
    struct deadline deadline = {
        .service = context,
        .memory = rpc_call_arena(call),
        .request = (const void *)message,
        .deadline_us = rpc_call_deadline_us(call),
    };
    error err;
    if (!rpc_name_account(deadline.memory, deadline.request->parent, "parent", &deadline.account, &err) ||
        !check_request(deadline.request, &err) || !check_channel(&deadline, &err) ||
        !read_start(&deadline, &err) ||
        !(deadline.request->policy ? given_policy(&deadline, &err) : own_policy(&deadline, &err)) ||
        !find_case(&deadline, &err)) {
        rpc_call_fail(call, &err);
    } else {
        fill(&deadline, &response);
        rpc_call_reply(call, &response.base);
    }
    sla_terms_release(deadline.terms);
    if (deadline.page.memory)
        sla_case_page_release(&deadline.page);
}

const struct rpc_method sla_deadline_methods[] = {
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "PreviewDeadline",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = preview_deadline},
    {.service = NULL},
};
