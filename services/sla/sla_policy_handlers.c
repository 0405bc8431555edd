#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/page.h"
#include "sla/sla_cases.h"
#include "sla/sla_handlers.h"
#include "sla/sla_policy_input.h"
#include "sla/sla_preview.h"
#include "sla/sla_truth.h"
#include "sla/sla_wire.h"

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

/* The policy with what the copy has of it; the row has just been read into that. */
static wire_policy *policy_of(arena *memory, const struct sla_service *service,
                              const struct sla_policy_row *row)
{
    const wire_policy *terms = sla_policies_wire(service->parts.policies, row->account, memory);
    return terms ? sla_policy_output(memory, row, terms) : NULL;
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
    if (!sla_policy_input_name(memory, request->name, "name", &account, &err) ||
        !read_policy(context, account, deadline_of(call), &row, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.policy = policy_of(memory, context, &row);
    if (response.policy)
        rpc_call_reply(call, &response.base);
    else
        rpc_call_fail_memory(call);
}

/* --- changing ------------------------------------------------------------------------------------- */

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
                        error *err)
{
    if (!sla_policy_input_read(memory, request->policy, request->update_mask, update, err))
        return false;
    if (strlen(request->request_id) > REQUEST_ID_MAX)
        return error_bad_field(err, "request_id", "is longer than 128 bytes");
    update->request_id = request->request_id;
    if (!take_fingerprint(memory, request, update))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
    return true;
}

/* A calendar that names no zone lies in the account's. */
static bool read_zone(const struct sla_service *service, arena *memory, struct sla_policy_update *update,
                      int64_t deadline_us, error *err)
{
    return (!update->set_calendar && !update->set_targets) ||
           sla_cases_time_zone(service->parts.cases, update->account, deadline_us, memory, &update->time_zone,
                               err);
}

/* --- what it would do ----------------------------------------------------------------------------- */

static bool is_change(const struct sla_policy_update *update)
{
    return update->set_closing || update->set_targets || update->set_calendar;
}

/* Compares the policy `row`, as it is, with what the update would make of it. */
static bool preview(const struct sla_service *service, const struct sla_policy_update *update,
                    const struct sla_policy_row *row, arena *memory, int64_t deadline_us,
                    wire_policy **ret_wire, struct sla_policy_row *ret_row, struct sla_preview *ret_preview,
                    error *err)
{
    struct sla_preview_policy before = {
        .policy = row->policy,
        .terms = sla_policies_terms(service->parts.policies, update->account),
    };
    struct sla_preview_policy after = {.policy = row->policy};
    bool same_terms = !update->set_targets && !update->set_calendar;
    int64_t since_us[SLA_TERMS_TARGETS_MAX];
    if (same_terms)
        after.terms = sla_terms_hold(before.terms);
    if (update->set_closing) {
        after.policy.rule = update->rule;
        after.policy.duration_us = update->duration_us;
    }
    bool ok =
        sla_policies_merged(service->parts.policies, update, memory, ret_wire, since_us, err) &&
        (same_terms || sla_terms_new(*ret_wire, update->time_zone, since_us, &after.terms, err)) &&
        sla_preview_new(&service->parts, update->account, &before, &after, deadline_us, ret_preview, err);
    sla_terms_release(before.terms);
    sla_terms_release(after.terms);
    *ret_row = *row;
    ret_row->policy = after.policy;
    return ok;
}

static Casework__Sla__V1__PolicyEffect *effect_of(arena *memory, const struct sla_effect *did)
{
    Casework__Sla__V1__PolicyEffect *effect = arena_alloc(memory, sizeof *effect);
    if (!effect)
        return NULL;
    casework__sla__v1__policy_effect__init(effect);
    effect->timers_moved = did->moved;
    effect->timers_added = did->added;
    effect->timers_removed = did->removed;
    effect->cases_closing = did->closing;
    effect->targets_breached = did->breached;
    return effect;
}

/* The first change of the page. */
static size_t page_start(const struct sla_preview *preview, const struct rpc_page *page)
{
    size_t at = 0;
    while (page->after && at < preview->count) {
        const struct sla_timer_change *one = &preview->changes[at];
        int64_t due_us = sla_preview_due(one);
        int64_t place = sla_preview_place(one);
        if (due_us > page->key.first || (due_us == page->key.first && place > page->key.second))
            break;
        at++;
    }
    return at;
}

static bool add_change(arena *memory, const char *account, const struct sla_timer_change *change,
                       int64_t now_us, Casework__Sla__V1__TimerChange *wire)
{
    casework__sla__v1__timer_change__init(wire);
    if (change->has_before)
        wire->before = sla_wire_case_timer(memory, account, change->case_id, &change->before, now_us);
    if (change->has_after)
        wire->after = sla_wire_case_timer(memory, account, change->case_id, &change->after, now_us);
    return (!change->has_before || wire->before) && (!change->has_after || wire->after);
}

/* A page of the changes, into the response. */
static bool fill_page(arena *memory, const ProtobufCMessage *request, const struct sla_preview *preview,
                      const struct rpc_page *page, const char *account, int64_t now_us,
                      Casework__Sla__V1__PreviewPolicyResponse *response)
{
    size_t size = (size_t)page->size;
    Casework__Sla__V1__TimerChange *changes = arena_calloc(memory, size + 1, sizeof *changes);
    size_t at = page_start(preview, page);
    response->changes = arena_calloc(memory, size + 1, sizeof(void *));
    if (!changes || !response->changes)
        return false;
    for (; at < preview->count && response->n_changes < size; at++) {
        Casework__Sla__V1__TimerChange *wire = &changes[response->n_changes];
        if (!add_change(memory, account, &preview->changes[at], now_us, wire))
            return false;
        response->changes[response->n_changes++] = wire;
    }
    if (at == preview->count || at == 0)
        return true;
    const struct sla_timer_change *last = &preview->changes[at - 1];
    struct rpc_page_key key = {.first = sla_preview_due(last), .second = sla_preview_place(last), .text = ""};
    char *token = rpc_page_seal(memory, request, NULL, &key);
    if (token)
        response->next_page_token = token;
    return token != NULL;
}

static void preview_policy(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const struct sla_service *service = context;
    const Casework__Sla__V1__PreviewPolicyRequest *request = (const void *)message;
    Casework__Sla__V1__PreviewPolicyResponse response = CASEWORK__SLA__V1__PREVIEW_POLICY_RESPONSE__INIT;
    struct sla_policy_update update = {.now_us = suite_clock_now_us(service->parts.clock)};
    arena *memory = rpc_call_arena(call);
    int64_t deadline_us = deadline_of(call);
    struct sla_policy_row row, after;
    struct sla_preview found = {0};
    struct rpc_page page;
    wire_policy *wire;
    error err;
    if (!sla_policy_input_read(memory, request->policy, request->update_mask, &update, &err) ||
        !rpc_page_open(memory, message, NULL, &rpc_page_sizes_usual, &page, &err) ||
        !read_policy(service, update.account, deadline_us, &row, &err) ||
        !read_zone(service, memory, &update, deadline_us, &err) ||
        !preview(service, &update, &row, memory, deadline_us, &wire, &after, &found, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.position =
        feed_consumer_position(sla_feed_consumer(service->feed), feed_partition(update.account));
    response.policy = sla_policy_output(memory, &after, wire);
    response.effect = effect_of(memory, &found.effect);
    bool ok = response.policy && response.effect &&
              fill_page(memory, message, &found, &page, update.account, update.now_us, &response);
    sla_preview_release(&found);
    if (ok)
        rpc_call_reply(call, &response.base);
    else
        rpc_call_fail_memory(call);
}

/* --- doing it ------------------------------------------------------------------------------------- */

/*
 * Puts the stored policy to work. It is stored, so whatever fails here is made up for by the healer. With a
 * manual clock what is overdue now is closed before the answer: the clock's next move must not find it open.
 * Answers the account's position that the timers stood at; 0 while it is not at work.
 */
static int64_t put_to_work(const struct sla_service *service, const struct sla_policy_row *row,
                           int64_t deadline_us)
{
    int64_t position;
    int64_t next_due_us;
    error err;
    if (!sla_truth_apply_policy(&service->parts, row, deadline_us, &position, &err)) {
        log_warn("policy not applied yet", LOG_TEXT("casework.account", row->account),
                 LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
        sla_healer_kick(service->healer);
        return 0;
    }
    if (suite_clock_is_manual(service->parts.clock) &&
        !sla_firing_settle(service->parts.firing, suite_clock_now_us(service->parts.clock), deadline_us,
                           &next_due_us, &err))
        log_warn("overdue timers are still being fired", LOG_TEXT("casework.account", row->account));
    return position;
}

static void answer_update(rpc_call *call, const struct sla_service *service, const struct sla_policy_row *row,
                          const struct sla_policy_answer *answer)
{
    Casework__Sla__V1__UpdatePolicyResponse response = CASEWORK__SLA__V1__UPDATE_POLICY_RESPONSE__INIT;
    response.policy = policy_of(rpc_call_arena(call), service, row);
    response.position = answer->position;
    response.effect = effect_of(rpc_call_arena(call), &answer->effect);
    if (response.policy && response.effect)
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

static bool change_policy(const struct sla_service *service, arena *memory, struct sla_policy_update *update,
                          int64_t deadline_us, struct sla_policy_row *row,
                          struct sla_policy_answer *ret_answer, error *err)
{
    struct sla_policy_row after;
    struct sla_preview foreseen;
    wire_policy *wire;
    *ret_answer = (struct sla_policy_answer){0};
    if (!is_change(update))
        return true;
    if (!read_zone(service, memory, update, deadline_us, err) ||
        !preview(service, update, row, memory, deadline_us, &wire, &after, &foreseen, err))
        return false;
    update->effect = foreseen.effect;
    sla_preview_release(&foreseen);
    return sla_policies_update(service->parts.policies, update, deadline_us, row, ret_answer, err);
}

/* Answers with it from now on; what a killed service has not kept, the repetition does. */
static void keep_position(const struct sla_service *service, const struct sla_policy_update *update,
                          int64_t deadline_us, int64_t *position)
{
    error err;
    if (*position && update->request_id[0] &&
        !sla_policies_keep_position(service->parts.policies, update, deadline_us, position, &err))
        log_warn("answer not kept", LOG_TEXT("casework.account", update->account),
                 LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
}

static void update_policy(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const struct sla_service *service = context;
    struct sla_policy_update update = {.now_us = suite_clock_now_us(service->parts.clock)};
    struct sla_policy_row row;
    struct sla_policy_answer answer;
    int64_t deadline_us = deadline_of(call);
    arena *memory = rpc_call_arena(call);
    error err;
    if (!read_update(memory, (const update_request *)message, &update, &err) ||
        !sla_check_acting_agent(service, call, update.account, deadline_us, &err) ||
        !read_policy(service, update.account, deadline_us, &row, &err) ||
        !change_policy(service, memory, &update, deadline_us, &row, &answer, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    (void)injection_point("sla.policy_stored");
    if (is_change(&update) && answer.position == 0) {
        answer.position = put_to_work(service, &row, deadline_us - ANSWER_TIME_US);
        keep_position(service, &update, deadline_us, &answer.position);
    }
    answer_update(call, service, &row, &answer);
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
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "PreviewPolicy",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "policy.name",
     .unary = preview_policy},
    {.service = NULL},
};
