/* What messages do to a case by the rules: replies, customers' messages, and the states of these. */

#include "tests/support/rules_scene.h"

#include <criterion/criterion.h>
#include <string.h>

#define NEW CASE_STATUS_NEW
#define OPEN CASE_STATUS_OPEN
#define PENDING CASE_STATUS_PENDING
#define RESOLVED CASE_STATUS_RESOLVED
#define CLOSED CASE_STATUS_CLOSED
#define DELETED CASE_STATUS_DELETED

TestSuite(case_rules_message, .init = rules_setup, .fini = rules_teardown);

/* --- replies ----------------------------------------------------------------------------------------------
 */

Test(case_rules_message, a_reply_answers_what_waits)
{
    struct case_record before = rules_case(OPEN);
    before.messages_in_progress = 2;
    struct case_act act = rules_message(MESSAGE_KIND_AGENT);
    struct case_change change = rules_done(&before, anna, &act);
    cr_assert_eq(change.after.messages_assigned + change.after.messages_in_progress, 0);
    cr_assert_eq(change.after.messages_responded, 3);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_RESPONDED);
    cr_assert_not(change.after.need_reply);
    cr_assert_eq(change.after.waiting_since, 0);
    cr_assert_eq(change.after.first_reply_time, RULES_NOW);
    cr_assert_eq(change.messages[0].number, 2);
    cr_assert_eq(change.messages[0].delivery, DELIVERY_QUEUED);
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_NONE);
}

Test(case_rules_message, who_replies_to_a_case_without_an_owner_owns_it)
{
    for (enum case_status in = OPEN; in <= RESOLVED; in++) {
        struct case_record before = rules_case(in);
        struct case_act act = rules_message(MESSAGE_KIND_AGENT);
        struct case_change change = rules_done(&before, anna, &act);
        cr_assert_str_eq(change.after.owner, "anna");
        cr_assert_eq(change.after.involved.count, 0);
    }
}

Test(case_rules_message, another_agent_who_replies_becomes_involved)
{
    struct case_record before = rules_case(OPEN);
    before.owner = "bob";
    struct case_act act = rules_message(MESSAGE_KIND_AGENT);
    struct case_change change = rules_done(&before, anna, &act);
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "anna");
    cr_assert(change.wide);
    change = rules_done(&change.after, anna, &act);
    cr_assert_eq(change.after.involved.count, 1, "once");
    change = rules_done(&change.after, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = "anna"});
    cr_assert_eq(change.after.involved.count, 0, "an owner is no helper");
}

static struct case_change assigned(const struct case_record *before, const char *owner)
{
    return rules_done(before, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = owner});
}

Test(case_rules_message, who_has_helped_stays_involved_when_the_owner_changes)
{
    const struct actor bob = {ACTOR_KIND_AGENT, "bob", "", ""};
    const struct case_act reply = rules_message(MESSAGE_KIND_AGENT);
    struct case_record before = rules_case(OPEN);
    before.owner = "anna";
    struct case_change change = assigned(&before, "bob");
    cr_assert_eq(change.after.involved.count, 0, "anna has done nothing");
    change = rules_done(&before, anna, &reply);
    change = assigned(&change.after, "bob");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "anna");
    change = assigned(&change.after, "anna");
    cr_assert_eq(change.after.involved.count, 0, "bob has done nothing");
    change = assigned(&change.after, "");
    cr_assert_eq(change.after.involved.count, 1, "anna has helped, and is not the owner");
    change = rules_done(&change.after, bob, &reply);
    cr_assert_str_eq(change.after.owner, "bob");
    change = assigned(&change.after, "");
    cr_assert_eq(change.after.involved.count, 2);
}

Test(case_rules_message, who_got_something_stays_involved_when_the_owner_changes)
{
    const struct message_record message = {.kind = MESSAGE_KIND_CUSTOMER, .state = MESSAGE_STATE_ASSIGNED};
    const struct case_act case_to_bob = {.kind = CASE_ACT_FORWARD, .forward.agent = "bob"};
    const struct case_act message_to_bob = {.kind = CASE_ACT_FORWARD,
                                            .forward = {.message = &message, .agent = "bob"}};
    struct case_record before = rules_case(OPEN);
    before.owner = "anna";
    struct case_change change = rules_done(&before, anna, &case_to_bob);
    change = assigned(&change.after, "carol");
    cr_assert_eq(change.after.involved.count, 2, "anna by the forwarding, bob because he got the case");
    change = rules_done(&before, anna, &message_to_bob);
    change = assigned(&change.after, "bob");
    change = assigned(&change.after, "carol");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "bob");
}

Test(case_rules_message, third_parties_get_what_there_is)
{
    const struct message_record text = {.kind = MESSAGE_KIND_TO_THIRD_PARTY};
    struct case_act forward = {.kind = CASE_ACT_FORWARD, .forward = {.agent = ""}};
    struct case_record before = rules_case(OPEN);
    cr_assert_str_eq(rules_refusal(&before, anna, &forward).reason, "NOTHING_TO_FORWARD");
    forward.expected_version = before.version + 1;
    cr_assert_str_eq(rules_refusal(&before, anna, &forward).reason, "ETAG_MISMATCH");
    forward.expected_version = 0;
    forward.forward.text = &text;
    cr_assert_eq(rules_done(&before, anna, &forward).message_count, 1);
}

Test(case_rules_message, who_opens_a_case_as_its_owner_is_no_helper)
{
    const char *items[] = {"anna"};
    struct case_record before = rules_case(NEW);
    before.involved = (struct text_list){items, 1};
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.after.involved.count, 0);
}

Test(case_rules_message, a_reply_can_carry_its_outcome)
{
    static const struct {
        enum after_send then;
        enum case_status to;
    } outcomes[] = {{AFTER_SEND_MARK_PENDING, PENDING}, {AFTER_SEND_RESOLVE, RESOLVED}};
    for (size_t i = 0; i < 2; i++) {
        for (enum case_status from = NEW; from <= RESOLVED; from++) {
            struct case_record before = rules_case(from);
            struct case_act act = rules_message(MESSAGE_KIND_AGENT);
            act.add.then = outcomes[i].then;
            struct case_change change = rules_done(&before, anna, &act);
            cr_assert_eq(change.after.status, outcomes[i].to);
            cr_assert_eq(change.message_count, 1);
        }
        struct case_record closed = rules_case(CLOSED);
        struct case_act act = rules_message(MESSAGE_KIND_AGENT);
        act.add.then = outcomes[i].then;
        cr_assert_str_eq(rules_refusal(&closed, anna, &act).reason, "CASE_CLOSED");
    }
}

Test(case_rules_message, automatic_replies_are_no_replies)
{
    struct case_record before = rules_case(NEW);
    struct case_act act = rules_message(MESSAGE_KIND_AGENT);
    act.add.message.automatic = true;
    struct case_change change = rules_done(&before, service, &act);
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.after.first_reply_time, 0);
    cr_assert_eq(change.after.messages_assigned, 1);
    cr_assert_eq(change.after.waiting_since, RULES_T0);
    cr_assert_eq(change.after.activity_version, before.activity_version);
}

/* --- customers --------------------------------------------------------------------------------------------
 */

Test(case_rules_message, a_customers_message_waits_for_an_agent)
{
    struct case_record before = rules_case(OPEN);
    before.need_reply = false;
    before.messages_assigned = 0;
    before.first_open_message = 0;
    before.waiting_since = 0;
    struct case_act act = rules_message(MESSAGE_KIND_CUSTOMER);
    struct case_change change = rules_done(&before, connector, &act);
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_ASSIGNED);
    cr_assert_eq(change.after.messages_assigned, 1);
    cr_assert_eq(change.after.first_open_message, 2);
    cr_assert_eq(change.after.waiting_since, RULES_NOW);
    cr_assert(change.after.need_reply);
}

Test(case_rules_message, the_setting_reopens_resolved_cases)
{
    struct case_record before = rules_case(RESOLVED);
    struct case_act act = rules_message(MESSAGE_KIND_CUSTOMER);
    struct case_context context = rules_context(connector);
    context.reopen_resolved = true;
    struct case_change change;
    error err = {0};
    case_change_begin(&change, &before);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_eq(change.after.resolve_time, 0);
}

Test(case_rules_message, without_it_the_close_timer_restarts)
{
    struct case_record before = rules_case(RESOLVED);
    struct case_act act = rules_message(MESSAGE_KIND_CUSTOMER);
    struct case_change change = rules_done(&before, connector, &act);
    cr_assert_eq(change.after.status, RESOLVED);
    cr_assert_eq(change.after.change_version, before.change_version + 1);
    cr_assert_eq(change.after.change_time, RULES_NOW);
    cr_assert_eq(change.after.resolve_time, before.resolve_time);
}

Test(case_rules_message, a_customer_reopens_a_closed_case)
{
    struct case_record before = rules_case(CLOSED);
    before.first_reply_time = RULES_T0;
    struct case_act act = rules_message(MESSAGE_KIND_CUSTOMER);
    struct case_change change = rules_done(&before, connector, &act);
    cr_assert_eq(change.after.close_time, 0);
    cr_assert_eq(change.after.resolve_time, 0);
    cr_assert_eq(change.after.customer_time, before.customer_time, "the engagement goes on");
    cr_assert_eq(change.after.first_reply_time, before.first_reply_time);
}

Test(case_rules_message, messages_may_be_sent_in_the_past_but_not_in_the_future)
{
    struct case_record before = rules_case(OPEN);
    struct case_act act = rules_message(MESSAGE_KIND_CUSTOMER);
    act.add.message.send_time = RULES_T0 - 1;
    struct case_change change = rules_done(&before, connector, &act);
    cr_assert_eq(change.messages[0].send_time, RULES_T0 - 1);
    cr_assert_eq(change.after.last_send_time, RULES_T0, "times never run back within a case");
    act.add.message.send_time = RULES_NOW + 1;
    cr_assert_eq(rules_refusal(&before, connector, &act).code, STATUS_INVALID_ARGUMENT);
}

/* --- resolving and message states --------------------------------------------------------------------------
 */

Test(case_rules_message, resolving_closes_all_messages)
{
    struct case_record before = rules_case(OPEN);
    before.messages_responded = 2;
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_RESOLVE});
    cr_assert_eq(change.after.messages_assigned + change.after.messages_in_progress +
                     change.after.messages_responded,
                 0);
    cr_assert_eq(change.after.first_open_message, 0);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.after.resolve_time, RULES_NOW);
}

Test(case_rules_message, an_agent_sets_a_messages_state_by_hand)
{
    struct case_record before = rules_case(OPEN);
    struct case_act act = {
        .kind = CASE_ACT_SET_MESSAGE_STATE,
        .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED},
    };
    struct case_change change = rules_done(&before, anna, &act);
    cr_assert_eq(change.after.messages_assigned, 0);
    cr_assert_eq(change.after.first_open_message, 0);
    cr_assert_eq(change.set_number, 1);
    cr_assert_eq(change.set_state, MESSAGE_STATE_CLOSED);
    act.set_state.state = MESSAGE_STATE_CLOSED;
    act.set_state.to = MESSAGE_STATE_RESPONDED;
    change = rules_done(&change.after, anna, &act);
    cr_assert_eq(change.after.messages_responded, 1);
    cr_assert_eq(change.after.first_open_message, 1);
    act.set_state.kind = MESSAGE_KIND_NOTE;
    act.set_state.state = MESSAGE_STATE_NONE;
    cr_assert_str_eq(rules_refusal(&before, anna, &act).reason, "NOT_A_CUSTOMER_MESSAGE");
}
