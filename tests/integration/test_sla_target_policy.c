/* Policies with targets: what a change of them does, beside what its preview told; and who may. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/policy_told.h"
#include "tests/support/sla_desk.h"
#include "tests/support/target_scene.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE(state) CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_##state

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

/* --- the account's zone --------------------------------------------------------------------------- */

static void move_to(const char *zone)
{
    Casework__Cases__V1__UpdateAccountRequest request = CASEWORK__CASES__V1__UPDATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    account.name = text(scene.account);
    account.time_zone = text(zone);
    request.account = &account;
    suite_call(scene.suite, &casework__cases__v1__account_service__descriptor, "UpdateAccount", &request,
               scene.memory);
}

static void set_office_hours(const char *zone)
{
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), 8 * CLOCK_HOUR)->in_business_hours = true;
    request->policy->calendar = target_office_hours();
    request->policy->calendar->time_zone = text(zone);
    target_update(request);
}

Test(sla_target_policy, an_account_that_moves_takes_its_deadlines_along)
{
    target_begin();
    set_office_hours("");
    const char *name = target_new_case(); /* Monday, 10:00 in Berlin: 4:00 in New York */
    int64_t written = suite_now_us(scene.suite);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 24 * CLOCK_HOUR, "in Berlin");
    move_to("America/New_York");
    suite_advance(scene.suite, 0);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 13 * CLOCK_HOUR, "in New York");
    sla_desk_expect_same(scene.suite, scene.account);
    move_to("Asia/Tokyo"); /* 18:00: all of Tuesday, 9:00 to 17:00 */
    suite_advance(scene.suite, 40 * CLOCK_HOUR);
    target_check_step(name, KIND(FIRST_REPLY), STEP(BREACHED), written + 23 * CLOCK_HOUR, "in Tokyo");
    sla_desk_expect_same(scene.suite, scene.account);
    target_end();
}

Test(sla_target_policy, a_calendar_with_a_zone_of_its_own_stays_there)
{
    target_begin();
    set_office_hours("Europe/Berlin");
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    move_to("America/New_York");
    suite_advance(scene.suite, CLOCK_HOUR);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 24 * CLOCK_HOUR, "still in Berlin");
    sla_desk_expect_same(scene.suite, scene.account);
    target_end();
}

/* --- previews ------------------------------------------------------------------------------------- */

static target_request *closing_rule(int64_t after_resolved_us, int64_t after_inactivity_us)
{
    target_request *request = target_policy();
    Casework__Sla__V1__ClosingRule *closing = arena_alloc(scene.memory, sizeof *closing);
    casework__sla__v1__closing_rule__init(closing);
    if (after_resolved_us) {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
        closing->after_resolved_duration = target_duration(after_resolved_us);
    } else {
        closing->rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_INACTIVITY_DURATION;
        closing->after_inactivity_duration = target_duration(after_inactivity_us);
    }
    request->policy->closing = closing;
    return request;
}

static void set_message(const char *name, Casework__Cases__V1__MessageState state)
{
    Casework__Cases__V1__SetMessageStateRequest request =
        CASEWORK__CASES__V1__SET_MESSAGE_STATE_REQUEST__INIT;
    request.name = arena_printf(scene.memory, "%s/messages/1", name);
    request.state = state;
    suite_call(scene.suite, &casework__cases__v1__message_service__descriptor, "SetMessageState", &request,
               scene.memory);
}

Test(sla_target_policy, another_closing_rule_does_what_the_preview_told)
{
    target_begin();
    const char *open = target_new_case(); /* nobody works on it: closes for inactivity */
    set_message(open, MESSAGE(CLOSED));
    suite_step(scene.suite, "OpenCase", open, "anna");
    const char *resolved = target_new_case(); /* but with a message in work: closes only for being resolved */
    suite_step(scene.suite, "ResolveCase", resolved, "anna");
    set_message(resolved, MESSAGE(IN_PROGRESS));
    const char *both = target_new_case();
    suite_step(scene.suite, "ResolveCase", both, "anna");
    suite_advance(scene.suite, 2 * CLOCK_HOUR);
    const char *fresh = target_new_case();
    set_message(fresh, MESSAGE(CLOSED));
    suite_step(scene.suite, "OpenCase", fresh, "anna");

    const Casework__Sla__V1__PolicyEffect *effect = policy_change_as_told(closing_rule(0, 24 * CLOCK_HOUR));
    cr_assert_eq(effect->timers_added, 2, "open, fresh");
    cr_assert_eq(effect->timers_removed, 1, "resolved");
    cr_assert_eq(effect->timers_moved, 1, "both");
    cr_assert_eq(effect->cases_closing, 0);
    effect = policy_change_as_told(closing_rule(0, CLOCK_HOUR));
    cr_assert_eq(effect->cases_closing, 2);
    cr_assert_eq(sla_desk_closings(scene.suite, open), 1);
    cr_assert_eq(sla_desk_closings(scene.suite, both), 1);
    effect = policy_change_as_told(closing_rule(72 * CLOCK_HOUR, 0));
    cr_assert_eq(effect->timers_added, 1, "resolved");
    cr_assert_eq(effect->timers_removed, 1, "fresh");
    target_end();
}

Test(sla_target_policy, other_targets_and_hours_do_what_the_preview_told)
{
    char *urgent[] = {text("urgent")};
    target_begin();
    const char *waiting = target_new_case();
    const char *pending = target_new_case();
    suite_advance(scene.suite, 30 * CLOCK_MINUTE);
    suite_step(scene.suite, "MarkCasePending", pending, "anna");
    const char *replied = target_new_case();
    suite_advance(scene.suite, 10 * CLOCK_MINUTE);
    suite_write(scene.suite, replied, AGENT, "anna", "Here.");

    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), 2 * CLOCK_HOUR);
    target_add(request, KIND(RESOLUTION), 20 * CLOCK_HOUR)->pause_while_pending = true;
    cr_assert_eq(policy_change_as_told(request)->timers_added, 5, "three resolutions, two first replies");
    request->policy->targets[0]->in_business_hours = true;
    request->policy->targets[0]->target_duration = target_duration(10 * CLOCK_HOUR);
    request->policy->calendar = target_office_hours();
    cr_assert_eq(policy_change_as_told(request)->timers_moved, 2);
    cr_assert_eq(policy_change_as_told(closing_rule(80 * CLOCK_HOUR, 0))->timers_moved, 0,
                 "targets go on by the hours of Berlin");
    request->policy->targets[1]->labels = urgent;
    request->policy->targets[1]->n_labels = 1;
    cr_assert_eq(policy_change_as_told(request)->timers_removed, 3, "of cases without the label");
    request->policy->targets[0]->target_duration = target_duration(20 * CLOCK_MINUTE);
    cr_assert_eq(policy_change_as_told(request)->targets_breached, 2);
    int64_t ended = suite_now_us(scene.suite);
    target_check_step(waiting, KIND(FIRST_REPLY), STEP(BREACHED), ended, "at once");
    target_check_step(pending, KIND(FIRST_REPLY), STEP(BREACHED), ended, "at once");
    target_end();
}

/* --- etags, request ids --------------------------------------------------------------------------- */

static void refuse(const target_request *request, enum status_code code, const char *reason)
{
    ProtobufCMessage *response;
    error err;
    cr_assert_not(suite_try(scene.suite, SLA, "UpdatePolicy", &request->base, scene.memory, &response, &err));
    cr_assert_eq(err.code, code, "%s", err.message);
    cr_assert_str_eq(err.reason, reason);
}

Test(sla_target_policy, targets_have_etags_and_request_ids)
{
    target_begin();
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    request->request_id = text("t-1");
    const Casework__Sla__V1__UpdatePolicyResponse *first = target_update(request);
    cr_assert_str_eq(target_update(request)->policy->etag, first->policy->etag, "the same, once");
    request->policy->targets[0]->target_duration = target_duration(2 * CLOCK_HOUR);
    refuse(request, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED");
    request->request_id = text("t-2");
    request->policy->etag = text("0");
    refuse(request, STATUS_ABORTED, "ETAG_MISMATCH");
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR,
                       "refusals change nothing");
    request->policy->etag = first->policy->etag;
    const Casework__Sla__V1__UpdatePolicyResponse *second = target_update(request);
    cr_assert_str_neq(second->policy->etag, first->policy->etag);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 2 * CLOCK_HOUR, "moved");
    cr_assert_str_eq(target_update(request)->policy->etag, second->policy->etag,
                     "said again with the etag that has passed");
    request->request_id = text("t-1");
    request->policy->etag = text("");
    request->policy->targets[0]->target_duration = target_duration(CLOCK_HOUR);
    const Casework__Sla__V1__UpdatePolicyResponse *late = target_update(request);
    cr_assert_str_eq(late->policy->etag, second->policy->etag, "a late repetition undoes nothing");
    cr_assert_eq(late->policy->targets[0]->target_duration->seconds, 2 * 3600);
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + 2 * CLOCK_HOUR, "undone");
    target_end();
}

/* The answers to a request and to its repetition. */
static void check_same_answer(const Casework__Sla__V1__UpdatePolicyResponse *first,
                              const Casework__Sla__V1__UpdatePolicyResponse *again)
{
    policy_check_effect(first->effect, again->effect);
    cr_assert_eq(again->position, first->position);
}

Test(sla_target_policy, a_repeated_update_is_answered_as_the_first_one)
{
    target_begin();
    target_new_case();
    target_new_case();
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    request->request_id = text("t-1");
    const Casework__Sla__V1__UpdatePolicyResponse *first = target_update(request);
    cr_assert_eq(first->effect->timers_added, 2);
    cr_assert_gt(first->position, 0);
    suite_write(scene.suite, target_new_case(), AGENT, "anna", "Here."); /* the account goes on */
    check_same_answer(first, target_update(request));

    target_request *other = target_policy();
    target_add(other, KIND(RESOLUTION), CLOCK_HOUR);
    target_update(other);
    const Casework__Sla__V1__UpdatePolicyResponse *late = target_update(request);
    check_same_answer(first, late);
    cr_assert_eq(late->policy->targets[0]->kind, KIND(RESOLUTION), "the policy as it is now");
    sla_desk_expect_same(scene.suite, scene.account);
    target_end();
}

/* It is stored; the client does not hear of it, the service dies before the timers know. */
Test(sla_target_policy, an_update_whose_answer_was_lost_is_answered_when_repeated)
{
    static const char *const settings[] = {"CASEWORK_INJECT=sla.policy_stored=kill@3", NULL};
    ProtobufCMessage *response;
    error err;
    target_begin_with(settings);
    for (int i = 0; i < 2; i++)
        target_update(closing_rule(72 * CLOCK_HOUR, 0));
    const char *name = target_new_case();
    int64_t written = suite_now_us(scene.suite);
    target_request *request = target_policy();
    target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
    request->request_id = text("t-1");
    pid_t former = suite_pid(scene.suite, SUITE_SLA, 0);
    /* Calls that find nobody are tried again. */
    (void)!suite_try(scene.suite, SLA, "UpdatePolicy", &request->base, scene.memory, &response, &err);
    suite_await_restart(scene.suite, SUITE_SLA, 0, former);
    const Casework__Sla__V1__UpdatePolicyResponse *again = target_update(request);
    cr_assert_eq(again->effect->timers_added, 1, "by the first one");
    cr_assert_gt(again->position, 0);
    cr_assert_str_eq(again->policy->etag, "3", "stored once");
    target_check_timer(name, KIND(FIRST_REPLY), STATE(ARMED), written + CLOCK_HOUR, "at work");
    target_end();
}

/* The service reads all policies from time to time; what is set meanwhile is not in what it has read. */
Test(sla_target_policy, an_update_while_policies_are_read_is_at_work)
{
    static const char *const settings[] = {"CASEWORK_INJECT=sla.policies_read=sleep:150",
                                           "SLA_SWEEP_INTERVAL=1s", NULL};
    target_begin_with(settings);
    for (int i = 0; i < 4; i++) {
        scene.account =
            suite_create_account(scene.suite, arena_printf(scene.memory, "shop-%d", i), "UTC", scene.memory);
        target_new_case();
        target_request *request = target_policy();
        target_add(request, KIND(FIRST_REPLY), CLOCK_HOUR);
        cr_assert_eq(target_update(request)->policy->n_targets, 1);
        sla_desk_expect_same(scene.suite, scene.account);
    }
    target_end();
}

/* --- other cases than before ---------------------------------------------------------------------- */

/* No target held for them when they were replied to, and resolved. */
Test(sla_target_policy, a_wider_target_leaves_alone_what_ended_before)
{
    char *urgent[] = {text("urgent")};
    target_begin();
    target_request *request = target_policy();
    for (int i = 0; i < 2; i++) {
        target_wire *target = target_add(request, i ? KIND(RESOLUTION) : KIND(FIRST_REPLY), CLOCK_MINUTE);
        target->labels = urgent;
        target->n_labels = 1;
    }
    target_update(request);
    const char *closed = target_new_case();
    const char *running = target_new_case();
    suite_advance(scene.suite, CLOCK_HOUR);
    suite_write(scene.suite, closed, AGENT, "anna", "Here.");
    suite_write(scene.suite, running, AGENT, "anna", "Here.");
    suite_step(scene.suite, "ResolveCase", closed, "anna");
    suite_advance(scene.suite, 80 * CLOCK_HOUR);
    cr_assert_eq(sla_desk_closings(scene.suite, closed), 1);

    int64_t widened = suite_now_us(scene.suite);
    for (size_t i = 0; i < 2; i++)
        request->policy->targets[i]->n_labels = 0;
    const Casework__Sla__V1__PolicyEffect *effect = policy_change_as_told(request);
    cr_assert_eq(effect->timers_added, 1, "the resolution of the one that runs");
    cr_assert_eq(effect->targets_breached, 1);
    suite_advance(scene.suite, CLOCK_HOUR);
    target_check_step(running, KIND(RESOLUTION), STEP(BREACHED), widened, "what is overdue");
    target_check_no_step(running, KIND(FIRST_REPLY), STEP(BREACHED));
    target_check_no_step(closed, KIND(FIRST_REPLY), STEP(BREACHED));
    target_check_no_step(closed, KIND(RESOLUTION), STEP(BREACHED));
    cr_assert(sla_desk_redis(scene.suite, "FLUSHALL", NULL, NULL, NULL));
    sla_desk_expect_same(scene.suite, scene.account);
    target_end();
}

/* --- who may -------------------------------------------------------------------------------------- */

enum { METHODS = 6 };

static const char *const methods[METHODS] = {"GetPolicy",       "UpdatePolicy",   "PreviewPolicy",
                                             "PreviewDeadline", "ListCaseTimers", "ListTimers"};

/* The method's request for an account; a case's where the method is about one. */
static const ProtobufCMessage *request_for(int method, const char *account)
{
    static Casework__Sla__V1__GetPolicyRequest get;
    static Casework__Sla__V1__PreviewPolicyRequest preview;
    static Casework__Sla__V1__PreviewDeadlineRequest deadline;
    static Casework__Sla__V1__ListCaseTimersRequest of_case;
    static Casework__Sla__V1__ListTimersRequest list;
    target_request *update = target_policy();
    target_add(update, KIND(FIRST_REPLY), CLOCK_HOUR);
    update->policy->name = arena_printf(scene.memory, "%s/slaPolicy", account);
    casework__sla__v1__get_policy_request__init(&get);
    casework__sla__v1__preview_policy_request__init(&preview);
    casework__sla__v1__preview_deadline_request__init(&deadline);
    casework__sla__v1__list_case_timers_request__init(&of_case);
    casework__sla__v1__list_timers_request__init(&list);
    get.name = update->policy->name;
    preview.policy = update->policy;
    deadline.parent = list.parent = text(account);
    deadline.kind = KIND(CLOSE);
    of_case.parent = arena_printf(scene.memory, "%s/cases/1", account);
    const ProtobufCMessage *requests[METHODS] = {&get.base,      &update->base, &preview.base,
                                                 &deadline.base, &of_case.base, &list.base};
    return requests[method];
}

struct asker {
    rpc_channel *channel;
    const char *agent; /* whom a service acts for */
};

static error ask(const struct asker *asker, int method, const char *account)
{
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND, .agent = asker->agent};
    ProtobufCMessage *response;
    error err = {0};
    if (rpc_client_call(asker->channel, SLA, methods[method], request_for(method, account), &options,
                        scene.memory, &response, &err))
        err.code = STATUS_OK;
    return err;
}

static struct asker asker_as(enum rpc_role role, const char *agent)
{
    const struct rpc_token_claims claims = {
        .account = "acme", .role = role, .agent = agent, .ttl_us = CLOCK_HOUR};
    char *token = suite_token(scene.suite, &claims);
    struct asker asker = {.channel = suite_channel_as(scene.suite, SUITE_SLA, token)};
    free(token);
    return asker;
}

/* Of other accounts nobody hears whether they are there. */
static void check_asker(struct asker asker, bool may_update)
{
    for (int m = 0; m < METHODS; m++) {
        bool may = may_update || strcmp(methods[m], "UpdatePolicy") != 0;
        error own = ask(&asker, m, scene.account);
        cr_assert_eq(own.code, may ? STATUS_OK : STATUS_PERMISSION_DENIED, "%s: %s", methods[m], own.message);
        error other = ask(&asker, m, "accounts/other");
        error nobody = ask(&asker, m, "accounts/nobody");
        cr_assert_eq(other.code, may ? STATUS_NOT_FOUND : STATUS_PERMISSION_DENIED, "%s: %s", methods[m],
                     other.message);
        cr_assert_eq(nobody.code, other.code, "%s", methods[m]);
        cr_assert_str_eq(nobody.reason, other.reason, "%s", methods[m]);
    }
    cr_assert_eq(ask(&asker, METHODS - 1, "accounts/-").code, STATUS_PERMISSION_DENIED, "all accounts");
    rpc_channel_free(asker.channel);
}

static void make_admin(const char *id)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    agent.display_name = text(id);
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN;
    request.parent = text(scene.account);
    request.agent_id = text(id);
    request.agent = &agent;
    suite_call(scene.suite, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request,
               scene.memory);
}

Test(sla_target_policy, every_method_knows_who_may_and_whose_account_it_is)
{
    target_begin();
    suite_create_account(scene.suite, "other", "UTC", scene.memory);
    suite_create_case(scene.suite, "accounts/other", "Parcel", "Where?", scene.memory, NULL);
    target_new_case();
    make_admin("boss");
    check_asker(asker_as(RPC_ROLE_AGENT, "anna"), false);
    check_asker(asker_as(RPC_ROLE_CONNECTOR, NULL), false);
    check_asker(asker_as(RPC_ROLE_ADMIN, "boss"), true);
    check_asker(asker_as(RPC_ROLE_SERVICE, NULL), true);
    struct asker unknown = {.channel = suite_channel_as(scene.suite, SUITE_SLA, NULL)};
    for (int m = 0; m < METHODS; m++)
        cr_assert_eq(ask(&unknown, m, scene.account).code, STATUS_UNAUTHENTICATED, "%s", methods[m]);
    rpc_channel_free(unknown.channel);

    struct asker service = asker_as(RPC_ROLE_SERVICE, NULL);
    service.agent = "anna";
    cr_assert_eq(ask(&service, 1, scene.account).code, STATUS_PERMISSION_DENIED, "anna is no admin");
    cr_assert_eq(ask(&service, 2, scene.account).code, STATUS_OK, "but may ask");
    service.agent = "boss";
    cr_assert_eq(ask(&service, 1, scene.account).code, STATUS_OK);
    rpc_channel_free(service.channel);
    target_end();
}
