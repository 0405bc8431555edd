/* The transition table of the case service, cell by cell, and the sentences around it. */

#include "case/case_rules.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#define T0 INT64_C(1000000000000000) /* when the case came to its status */
#define NOW (T0 + 60 * INT64_C(1000000))

static arena *memory;

static void setup(void)
{
    memory = arena_new(16 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(case_rules, .init = setup, .fini = teardown);

static const struct actor anna = {ACTOR_KIND_AGENT, "anna", "", ""};
static const struct actor connector = {ACTOR_KIND_CONNECTOR, "gateway", "", ""};
static const struct actor service = {ACTOR_KIND_SERVICE, "sla", "", ""};

static struct case_context context_of(struct actor actor)
{
    return (struct case_context){.memory = memory, .now = NOW, .actor = actor};
}

/* A case in that status, with one customer message that waits. */
static struct case_record case_in(enum case_status status)
{
    struct case_record record = {
        .account = "acme",
        .id = 7,
        .status = status,
        .need_reply = true,
        .message_count = 1,
        .messages_assigned = 1,
        .first_open_message = 1,
        .create_time = T0,
        .update_time = T0,
        .status_time = T0,
        .customer_time = T0,
        .waiting_since = T0,
        .last_send_time = T0,
        .version = 5,
        .change_version = 4,
        .activity_version = 3,
        .change_time = T0,
        .activity_time = T0,
        .owner = "",
        .contact = "jo",
        .channel = "mail",
        .network = "email",
        .channel_address = "help@acme.example",
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .subject = "Printer",
        .subject_key = "printer",
    };
    if (status != CASE_STATUS_NEW)
        record.open_time = T0;
    if (status == CASE_STATUS_RESOLVED || status == CASE_STATUS_CLOSED)
        record.resolve_time = T0;
    if (status == CASE_STATUS_CLOSED)
        record.close_time = T0;
    if (status == CASE_STATUS_DELETED) {
        record.status_before_delete = CASE_STATUS_PENDING;
        record.delete_time = T0;
    }
    return record;
}

static struct case_act message_act(enum message_kind kind)
{
    return (struct case_act){
        .kind = CASE_ACT_ADD_MESSAGE,
        .add.message = {.kind = kind,
                        .author = "",
                        .third_party = "",
                        .external_id = "",
                        .delivery_failure = "",
                        .body = "text"},
    };
}

static bool apply(const struct case_record *before, struct actor actor, const struct case_act *act,
                  struct case_change *change, error *err)
{
    struct case_context context = context_of(actor);
    case_change_begin(change, before);
    return case_rules_apply(&context, act, change, err);
}

/* Applies an act that must be taken. */
static struct case_change applied(const struct case_record *before, struct actor actor,
                                  const struct case_act *act)
{
    struct case_change change;
    error err = {0};
    cr_assert(apply(before, actor, act, &change, &err), "%s: %s", err.reason, err.message);
    return change;
}

static error refused(const struct case_record *before, struct actor actor, const struct case_act *act)
{
    struct case_change change;
    error err = {0};
    cr_assert_not(apply(before, actor, act, &change, &err));
    return err;
}

/* --- the table --------------------------------------------------------------------------------------------
 */

enum { STAYS = 0, REFUSED = -1 };
#define NEW CASE_STATUS_NEW
#define OPEN CASE_STATUS_OPEN
#define PENDING CASE_STATUS_PENDING
#define RESOLVED CASE_STATUS_RESOLVED
#define CLOSED CASE_STATUS_CLOSED
#define DELETED CASE_STATUS_DELETED

struct row {
    const char *event;
    struct case_act act;
    const struct actor *actor;
    int to[7]; /* by status before */
};

static const struct row rows[] = {
    /*                                                              NEW       OPEN      PENDING   RESOLVED
       CLOSED   DELETED */
    {"an agent opens it", {.kind = CASE_ACT_OPEN}, &anna, {0, OPEN, STAYS, STAYS, STAYS, STAYS, STAYS}},
    {"an agent replies",
     {.kind = CASE_ACT_ADD_MESSAGE, .add.message.kind = MESSAGE_KIND_AGENT},
     &anna,
     {0, OPEN, STAYS, OPEN, STAYS, REFUSED, REFUSED}},
    {"the customer writes",
     {.kind = CASE_ACT_ADD_MESSAGE, .add.message.kind = MESSAGE_KIND_CUSTOMER},
     &connector,
     {0, STAYS, STAYS, OPEN, STAYS, OPEN, REFUSED}},
    {"mark pending",
     {.kind = CASE_ACT_MARK_PENDING},
     &anna,
     {0, PENDING, PENDING, STAYS, PENDING, REFUSED, REFUSED}},
    {"mark pending, by a service",
     {.kind = CASE_ACT_MARK_PENDING},
     &service,
     {0, PENDING, PENDING, STAYS, PENDING, REFUSED, REFUSED}},
    {"resolve",
     {.kind = CASE_ACT_RESOLVE},
     &anna,
     {0, RESOLVED, RESOLVED, RESOLVED, STAYS, REFUSED, REFUSED}},
    {"resolve, by a service",
     {.kind = CASE_ACT_RESOLVE},
     &service,
     {0, RESOLVED, RESOLVED, RESOLVED, STAYS, REFUSED, REFUSED}},
    {"reopen", {.kind = CASE_ACT_REOPEN}, &anna, {0, REFUSED, STAYS, OPEN, OPEN, OPEN, REFUSED}},
    {"delete", {.kind = CASE_ACT_DELETE}, &anna, {0, DELETED, DELETED, DELETED, DELETED, DELETED, STAYS}},
    {"undelete", {.kind = CASE_ACT_UNDELETE}, &anna, {0, STAYS, STAYS, STAYS, STAYS, STAYS, PENDING}},
};

static const char *const refusals[] = {
    "", "CASE_NEW", "CASE_OPEN", "CASE_PENDING", "CASE_RESOLVED", "CASE_CLOSED", "CASE_DELETED"};

static struct case_act filled(const struct case_act *act)
{
    return act->kind == CASE_ACT_ADD_MESSAGE ? message_act(act->add.message.kind) : *act;
}

static void check_cell(const struct row *row, enum case_status from)
{
    struct case_record before = case_in(from);
    struct case_act act = filled(&row->act);
    struct case_change change;
    error err = {0};
    bool taken = apply(&before, *row->actor, &act, &change, &err);
    if (row->to[from] == REFUSED) {
        cr_assert_not(taken, "%s in %s", row->event, case_status_name(from));
        cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION, "%s in %s", row->event, case_status_name(from));
        cr_assert_str_eq(err.reason, refusals[from], "%s", row->event);
        cr_assert_str_eq(err.info[0].key, "status");
        cr_assert(strstr(err.info[0].value, case_status_name(from)) != NULL);
        return;
    }
    cr_assert(taken, "%s in %s: %s", row->event, case_status_name(from), err.message);
    enum case_status to = row->to[from] == STAYS ? from : (enum case_status)row->to[from];
    cr_assert_eq(change.after.status, to, "%s in %s: %s", row->event, case_status_name(from),
                 case_status_name(change.after.status));
    if (to != from) {
        cr_assert_eq(change.after.status_time, NOW, "%s in %s", row->event, case_status_name(from));
        cr_assert_gt(change.after.change_version, before.change_version);
    }
    if (act.kind == CASE_ACT_ADD_MESSAGE)
        cr_assert_eq(change.message_count, 1, "the message is stored all the same");
}

Test(case_rules, every_cell_of_the_table)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (enum case_status from = NEW; from <= DELETED; from++)
            check_cell(&rows[i], from);
    }
}

Test(case_rules, facts_follow_the_case)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (enum case_status from = NEW; from <= DELETED; from++) {
            struct case_record before = case_in(from);
            struct case_act act = filled(&rows[i].act);
            struct case_change change;
            error err = {0};
            if (!apply(&before, *rows[i].actor, &act, &change, &err))
                continue;
            int64_t version = before.version;
            enum case_status status = from;
            for (size_t k = 0; k < change.event_count; k++) {
                const struct case_event *event = &change.events[k];
                cr_assert_eq(event->facts->version, ++version, "each event is one change");
                cr_assert_eq(event->previous_status, status, "events follow each other");
                status = event->facts->status;
            }
            cr_assert_eq(change.after.version, version);
            cr_assert_eq(change.after.status, status);
        }
    }
}

Test(case_rules, nothing_to_do_answers_the_case_as_it_is)
{
    static const struct {
        enum case_status in;
        enum case_act_kind kind;
    } idle[] = {{OPEN, CASE_ACT_REOPEN},   {PENDING, CASE_ACT_MARK_PENDING}, {DELETED, CASE_ACT_DELETE},
                {OPEN, CASE_ACT_UNDELETE}, {CLOSED, CASE_ACT_CLOSE},         {DELETED, CASE_ACT_OPEN},
                {NEW, CASE_ACT_UNDELETE}};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        struct case_record before = case_in(idle[i].in);
        struct case_change change = applied(&before, anna, &(struct case_act){.kind = idle[i].kind});
        cr_assert_eq(change.event_count, 0, "%zu", i);
        cr_assert_eq(change.after.version, before.version);
    }
}

/* --- opening ----------------------------------------------------------------------------------------------
 */

Test(case_rules, the_first_to_open_a_case_owns_it)
{
    struct case_record before = case_in(NEW);
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.after.open_time, NOW);
    cr_assert_eq(change.event_count, 1);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_OPENED);
    cr_assert_eq(change.events[0].previous_status, NEW);
}

Test(case_rules, an_owner_stays_when_another_opens)
{
    struct case_record before = case_in(NEW);
    before.owner = "bob";
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.after.status, OPEN);
}

Test(case_rules, opening_moves_assigned_messages_to_in_progress)
{
    struct case_record before = case_in(OPEN);
    before.messages_responded = 2;
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_eq(change.after.messages_assigned, 0);
    cr_assert_eq(change.after.messages_in_progress, 1);
    cr_assert_eq(change.after.messages_responded, 2);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_IN_PROGRESS);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_MESSAGE_STATE_CHANGED);
    struct case_change again = applied(&change.after, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_eq(again.event_count, 0);
}

Test(case_rules, any_agents_change_of_a_new_case_opens_it_first)
{
    const char *const pair[] = {"topic", "billing"};
    const struct case_act acts[] = {
        {.kind = CASE_ACT_MARK_PENDING},
        {.kind = CASE_ACT_RESOLVE},
        {.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY, .priority = 3}},
        {.kind = CASE_ACT_CLASSIFY, .classifications = {(const char **)(uintptr_t)pair, 2}},
        {.kind = CASE_ACT_SET_MESSAGE_STATE,
         .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED}},
        message_act(MESSAGE_KIND_NOTE),
        message_act(MESSAGE_KIND_SURVEY),
        message_act(MESSAGE_KIND_AGENT),
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct case_record before = case_in(NEW);
        struct case_change change = applied(&before, anna, &acts[i]);
        cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_OPENED, "%zu", i);
        cr_assert_str_eq(change.after.owner, "anna", "%zu", i);
        cr_assert_eq(change.after.open_time, NOW);
        cr_assert_neq(change.after.status, NEW);
    }
}

Test(case_rules, assigning_a_new_case_opens_it_and_ends_with_the_new_owner)
{
    struct case_record before = case_in(NEW);
    struct case_change change =
        applied(&before, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = "bob"});
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.event_count, 2);
    cr_assert_str_eq(change.events[1].previous_owner, "anna");
}

Test(case_rules, deleting_or_what_changes_nothing_does_not_open)
{
    struct case_record before = case_in(NEW);
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_DELETE});
    cr_assert_str_eq(change.after.owner, "");
    cr_assert_eq(change.after.open_time, 0);
    change = applied(&before, anna,
                     &(struct case_act){.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY}});
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.event_count, 0);
}

Test(case_rules, a_service_does_not_open)
{
    struct case_record before = case_in(NEW);
    struct case_change change = applied(&before, service, &(struct case_act){.kind = CASE_ACT_RESOLVE});
    cr_assert_eq(change.after.status, RESOLVED);
    cr_assert_eq(change.event_count, 1);
    cr_assert_eq(change.after.open_time, NOW, "but it is new no more");
    cr_assert_str_eq(change.after.owner, "");
    change = applied(&before, service, &(struct case_act){.kind = CASE_ACT_DELETE});
    cr_assert_eq(change.after.open_time, 0);
}

/* --- replies ----------------------------------------------------------------------------------------------
 */

Test(case_rules, a_reply_answers_what_waits)
{
    struct case_record before = case_in(OPEN);
    before.messages_in_progress = 2;
    struct case_act act = message_act(MESSAGE_KIND_AGENT);
    struct case_change change = applied(&before, anna, &act);
    cr_assert_eq(change.after.messages_assigned + change.after.messages_in_progress, 0);
    cr_assert_eq(change.after.messages_responded, 3);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_RESPONDED);
    cr_assert_not(change.after.need_reply);
    cr_assert_eq(change.after.waiting_since, 0);
    cr_assert_eq(change.after.first_reply_time, NOW);
    cr_assert_eq(change.messages[0].number, 2);
    cr_assert_eq(change.messages[0].delivery, DELIVERY_QUEUED);
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_NONE);
}

Test(case_rules, who_replies_to_a_case_without_an_owner_owns_it)
{
    for (enum case_status in = OPEN; in <= RESOLVED; in++) {
        struct case_record before = case_in(in);
        struct case_act act = message_act(MESSAGE_KIND_AGENT);
        struct case_change change = applied(&before, anna, &act);
        cr_assert_str_eq(change.after.owner, "anna");
        cr_assert_eq(change.after.involved.count, 0);
    }
}

Test(case_rules, another_agent_who_replies_becomes_involved)
{
    struct case_record before = case_in(OPEN);
    before.owner = "bob";
    struct case_act act = message_act(MESSAGE_KIND_AGENT);
    struct case_change change = applied(&before, anna, &act);
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "anna");
    cr_assert(change.wide);
    change = applied(&change.after, anna, &act);
    cr_assert_eq(change.after.involved.count, 1, "once");
    change = applied(&change.after, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = "anna"});
    cr_assert_eq(change.after.involved.count, 0, "an owner is no helper");
}

static struct case_change assigned(const struct case_record *before, const char *owner)
{
    return applied(before, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = owner});
}

Test(case_rules, who_has_helped_stays_involved_when_the_owner_changes)
{
    const struct actor bob = {ACTOR_KIND_AGENT, "bob", "", ""};
    const struct case_act reply = message_act(MESSAGE_KIND_AGENT);
    struct case_record before = case_in(OPEN);
    before.owner = "anna";
    struct case_change change = assigned(&before, "bob");
    cr_assert_eq(change.after.involved.count, 0, "anna has done nothing");
    change = applied(&before, anna, &reply);
    change = assigned(&change.after, "bob");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "anna");
    change = assigned(&change.after, "anna");
    cr_assert_eq(change.after.involved.count, 0, "bob has done nothing");
    change = assigned(&change.after, "");
    cr_assert_eq(change.after.involved.count, 1, "anna has helped, and is not the owner");
    change = applied(&change.after, bob, &reply);
    cr_assert_str_eq(change.after.owner, "bob");
    change = assigned(&change.after, "");
    cr_assert_eq(change.after.involved.count, 2);
}

Test(case_rules, who_got_something_stays_involved_when_the_owner_changes)
{
    const struct message_record message = {.kind = MESSAGE_KIND_CUSTOMER, .state = MESSAGE_STATE_ASSIGNED};
    const struct case_act case_to_bob = {.kind = CASE_ACT_FORWARD, .forward.agent = "bob"};
    const struct case_act message_to_bob = {.kind = CASE_ACT_FORWARD,
                                            .forward = {.message = &message, .agent = "bob"}};
    struct case_record before = case_in(OPEN);
    before.owner = "anna";
    struct case_change change = applied(&before, anna, &case_to_bob);
    change = assigned(&change.after, "carol");
    cr_assert_eq(change.after.involved.count, 2, "anna by the forwarding, bob because he got the case");
    change = applied(&before, anna, &message_to_bob);
    change = assigned(&change.after, "bob");
    change = assigned(&change.after, "carol");
    cr_assert_eq(change.after.involved.count, 1);
    cr_assert_str_eq(change.after.involved.items[0], "bob");
}

Test(case_rules, who_opens_a_case_as_its_owner_is_no_helper)
{
    const char *items[] = {"anna"};
    struct case_record before = case_in(NEW);
    before.involved = (struct text_list){items, 1};
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.after.involved.count, 0);
}

Test(case_rules, a_reply_can_carry_its_outcome)
{
    static const struct {
        enum after_send then;
        enum case_status to;
    } outcomes[] = {{AFTER_SEND_MARK_PENDING, PENDING}, {AFTER_SEND_RESOLVE, RESOLVED}};
    for (size_t i = 0; i < 2; i++) {
        for (enum case_status from = NEW; from <= RESOLVED; from++) {
            struct case_record before = case_in(from);
            struct case_act act = message_act(MESSAGE_KIND_AGENT);
            act.add.then = outcomes[i].then;
            struct case_change change = applied(&before, anna, &act);
            cr_assert_eq(change.after.status, outcomes[i].to);
            cr_assert_eq(change.message_count, 1);
        }
        struct case_record closed = case_in(CLOSED);
        struct case_act act = message_act(MESSAGE_KIND_AGENT);
        act.add.then = outcomes[i].then;
        cr_assert_str_eq(refused(&closed, anna, &act).reason, "CASE_CLOSED");
    }
}

Test(case_rules, automatic_replies_are_no_replies)
{
    struct case_record before = case_in(NEW);
    struct case_act act = message_act(MESSAGE_KIND_AGENT);
    act.add.message.automatic = true;
    struct case_change change = applied(&before, service, &act);
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.after.first_reply_time, 0);
    cr_assert_eq(change.after.messages_assigned, 1);
    cr_assert_eq(change.after.waiting_since, T0);
    cr_assert_eq(change.after.activity_version, before.activity_version);
}

/* --- customers --------------------------------------------------------------------------------------------
 */

Test(case_rules, a_customers_message_waits_for_an_agent)
{
    struct case_record before = case_in(OPEN);
    before.need_reply = false;
    before.messages_assigned = 0;
    before.first_open_message = 0;
    before.waiting_since = 0;
    struct case_act act = message_act(MESSAGE_KIND_CUSTOMER);
    struct case_change change = applied(&before, connector, &act);
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_ASSIGNED);
    cr_assert_eq(change.after.messages_assigned, 1);
    cr_assert_eq(change.after.first_open_message, 2);
    cr_assert_eq(change.after.waiting_since, NOW);
    cr_assert(change.after.need_reply);
}

Test(case_rules, the_setting_reopens_resolved_cases)
{
    struct case_record before = case_in(RESOLVED);
    struct case_act act = message_act(MESSAGE_KIND_CUSTOMER);
    struct case_context context = context_of(connector);
    context.reopen_resolved = true;
    struct case_change change;
    error err = {0};
    case_change_begin(&change, &before);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_eq(change.after.resolve_time, 0);
}

Test(case_rules, without_it_the_close_timer_restarts)
{
    struct case_record before = case_in(RESOLVED);
    struct case_act act = message_act(MESSAGE_KIND_CUSTOMER);
    struct case_change change = applied(&before, connector, &act);
    cr_assert_eq(change.after.status, RESOLVED);
    cr_assert_eq(change.after.change_version, before.change_version + 1);
    cr_assert_eq(change.after.change_time, NOW);
    cr_assert_eq(change.after.resolve_time, before.resolve_time);
}

Test(case_rules, a_customer_reopens_a_closed_case)
{
    struct case_record before = case_in(CLOSED);
    before.first_reply_time = T0;
    struct case_act act = message_act(MESSAGE_KIND_CUSTOMER);
    struct case_change change = applied(&before, connector, &act);
    cr_assert_eq(change.after.close_time, 0);
    cr_assert_eq(change.after.resolve_time, 0);
    cr_assert_eq(change.after.customer_time, before.customer_time, "the engagement goes on");
    cr_assert_eq(change.after.first_reply_time, before.first_reply_time);
}

Test(case_rules, messages_may_be_sent_in_the_past_but_not_in_the_future)
{
    struct case_record before = case_in(OPEN);
    struct case_act act = message_act(MESSAGE_KIND_CUSTOMER);
    act.add.message.send_time = T0 - 1;
    struct case_change change = applied(&before, connector, &act);
    cr_assert_eq(change.messages[0].send_time, T0 - 1);
    cr_assert_eq(change.after.last_send_time, T0, "times never run back within a case");
    act.add.message.send_time = NOW + 1;
    cr_assert_eq(refused(&before, connector, &act).code, STATUS_INVALID_ARGUMENT);
}

/* --- resolving and message states --------------------------------------------------------------------------
 */

Test(case_rules, resolving_closes_all_messages)
{
    struct case_record before = case_in(OPEN);
    before.messages_responded = 2;
    struct case_change change = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_RESOLVE});
    cr_assert_eq(change.after.messages_assigned + change.after.messages_in_progress +
                     change.after.messages_responded,
                 0);
    cr_assert_eq(change.after.first_open_message, 0);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.after.resolve_time, NOW);
}

Test(case_rules, an_agent_sets_a_messages_state_by_hand)
{
    struct case_record before = case_in(OPEN);
    struct case_act act = {
        .kind = CASE_ACT_SET_MESSAGE_STATE,
        .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED},
    };
    struct case_change change = applied(&before, anna, &act);
    cr_assert_eq(change.after.messages_assigned, 0);
    cr_assert_eq(change.after.first_open_message, 0);
    cr_assert_eq(change.set_number, 1);
    cr_assert_eq(change.set_state, MESSAGE_STATE_CLOSED);
    act.set_state.state = MESSAGE_STATE_CLOSED;
    act.set_state.to = MESSAGE_STATE_RESPONDED;
    change = applied(&change.after, anna, &act);
    cr_assert_eq(change.after.messages_responded, 1);
    cr_assert_eq(change.after.first_open_message, 1);
    act.set_state.kind = MESSAGE_KIND_NOTE;
    act.set_state.state = MESSAGE_STATE_NONE;
    cr_assert_str_eq(refused(&before, anna, &act).reason, "NOT_A_CUSTOMER_MESSAGE");
}

Test(case_rules, deleted_and_merged_cases_take_no_change)
{
    const char *const pair[] = {"topic", "billing"};
    const struct case_act acts[] = {
        {.kind = CASE_ACT_ASSIGN, .owner = "bob"},
        {.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY, .priority = 3}},
        {.kind = CASE_ACT_CLASSIFY, .classifications = {(const char **)(uintptr_t)pair, 2}},
        {.kind = CASE_ACT_SET_MESSAGE_STATE,
         .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED}},
        message_act(MESSAGE_KIND_NOTE),
        message_act(MESSAGE_KIND_FROM_THIRD_PARTY),
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct case_record deleted = case_in(DELETED);
        cr_assert_str_eq(refused(&deleted, anna, &acts[i]).reason, "CASE_DELETED", "%zu", i);
        struct case_record merged = case_in(OPEN);
        merged.merged_into = 3;
        cr_assert_str_eq(refused(&merged, anna, &acts[i]).reason, "CASE_MERGED", "%zu", i);
    }
}

Test(case_rules, undeleting_goes_back_and_restarts_the_timer)
{
    for (enum case_status from = NEW; from <= CLOSED; from++) {
        struct case_record before = case_in(from);
        struct case_change deleted = applied(&before, anna, &(struct case_act){.kind = CASE_ACT_DELETE});
        cr_assert_eq(deleted.after.delete_time, NOW);
        struct case_change back =
            applied(&deleted.after, anna, &(struct case_act){.kind = CASE_ACT_UNDELETE});
        cr_assert_eq(back.after.status, from);
        cr_assert_eq(back.after.delete_time, 0);
        cr_assert_eq(back.after.resolve_time, before.resolve_time);
        cr_assert_eq(back.after.close_time, before.close_time);
        cr_assert_gt(back.after.change_version, deleted.after.change_version);
    }
}

/* --- closing ----------------------------------------------------------------------------------------------
 */

static struct case_act close_act(enum due_rule rule, int64_t basis, int64_t due)
{
    return (struct case_act){.kind = CASE_ACT_CLOSE, .close = {rule, basis, due}};
}

Test(case_rules, closing_by_the_resolved_rule)
{
    for (enum case_status from = NEW; from <= DELETED; from++) {
        struct case_record before = case_in(from);
        struct case_act act = close_act(DUE_RULE_RESOLVED, before.change_version, NOW);
        if (from == RESOLVED || from == CLOSED) {
            struct case_change change = applied(&before, service, &act);
            cr_assert_eq(change.after.status, CLOSED);
            cr_assert_eq(change.event_count, from == RESOLVED);
        } else {
            error err = refused(&before, service, &act);
            cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
            cr_assert_str_eq(err.reason, from == NEW       ? "CASE_NEW"
                                         : from == DELETED ? "CASE_DELETED"
                                                           : "NOT_DUE");
        }
    }
}

Test(case_rules, closing_by_the_inactivity_rule)
{
    for (enum case_status from = NEW; from <= DELETED; from++) {
        struct case_record before = case_in(from);
        struct case_act act = close_act(DUE_RULE_INACTIVE, before.activity_version, NOW);
        if (from != CLOSED)
            cr_assert_eq(refused(&before, service, &act).code, STATUS_FAILED_PRECONDITION,
                         "a message is not closed");
        before.messages_assigned = 0;
        if (from >= OPEN && from <= RESOLVED)
            cr_assert_eq(applied(&before, service, &act).after.status, CLOSED);
        else if (from != CLOSED)
            cr_assert_eq(refused(&before, service, &act).code, STATUS_FAILED_PRECONDITION);
    }
}

Test(case_rules, closing_is_never_early_and_never_stale)
{
    struct case_record before = case_in(RESOLVED);
    struct case_act act = close_act(DUE_RULE_RESOLVED, before.change_version, NOW + 1);
    cr_assert_str_eq(refused(&before, service, &act).reason, "NOT_DUE");
    act = close_act(DUE_RULE_RESOLVED, before.change_version - 1, NOW);
    error err = refused(&before, service, &act);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    act = close_act(DUE_RULE_RESOLVED, before.change_version, NOW);
    struct case_change change = applied(&before, service, &act);
    cr_assert_eq(change.after.close_time, NOW);
    cr_assert_eq(change.after.resolve_time, before.resolve_time);
    cr_assert_eq(change.after.change_version, before.change_version, "the service's own event is no change");
    cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_CLOSED);
}

/* --- what restarts the timers ------------------------------------------------------------------------------
 */

Test(case_rules, what_is_a_change_and_what_is_activity)
{
    const char *const pair[] = {"topic", "billing"};
    const char *const label[] = {"Contract Needed"};
    static const struct actor *const by_agent = &anna, *const by_connector = &connector,
                                     *const by_service = &service;
    const struct {
        struct case_act act;
        const struct actor *actor;
        bool change, activity;
    } all[] = {
        {message_act(MESSAGE_KIND_CUSTOMER), by_connector, true, true},
        {message_act(MESSAGE_KIND_AGENT), by_agent, true, true},
        {message_act(MESSAGE_KIND_NOTE), by_agent, true, false},
        {message_act(MESSAGE_KIND_FROM_THIRD_PARTY), by_connector, true, false},
        {message_act(MESSAGE_KIND_SYSTEM), by_service, false, false},
        {message_act(MESSAGE_KIND_SURVEY), by_service, true, false},
        {{.kind = CASE_ACT_MARK_PENDING}, by_agent, true, true},
        {{.kind = CASE_ACT_MARK_PENDING}, by_service, true, false},
        {{.kind = CASE_ACT_ASSIGN, .owner = "bob"}, by_agent, true, false},
        {{.kind = CASE_ACT_UPDATE,
          .update = {.fields = CASE_FIELD_SUBJECT, .subject = "x", .subject_key = "x"}},
         by_agent,
         true,
         false},
        {{.kind = CASE_ACT_UPDATE,
          .update = {.fields = CASE_FIELD_LABELS, .labels = {(const char **)(uintptr_t)label, 1}}},
         by_agent,
         true,
         false},
        {{.kind = CASE_ACT_UPDATE,
          .update = {.fields = CASE_FIELD_ATTRIBUTES, .attributes = {(const char **)(uintptr_t)pair, 2}}},
         by_agent,
         true,
         false},
        {{.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY, .priority = 9}},
         by_agent,
         false,
         false},
        {{.kind = CASE_ACT_CLASSIFY, .classifications = {(const char **)(uintptr_t)pair, 2}},
         by_agent,
         true,
         false},
        {{.kind = CASE_ACT_SET_MESSAGE_STATE,
          .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED}},
         by_agent,
         true,
         false},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct case_record before = case_in(RESOLVED);
        before.owner = "anna";
        struct case_change change = applied(&before, *all[i].actor, &all[i].act);
        cr_assert_gt(change.after.version, before.version, "%zu", i);
        cr_assert_eq(change.after.change_version > before.change_version, all[i].change, "change %zu", i);
        cr_assert_eq(change.after.change_time, all[i].change ? NOW : T0, "change time %zu", i);
        cr_assert_eq(change.after.activity_version > before.activity_version, all[i].activity, "activity %zu",
                     i);
        cr_assert_eq(change.events[change.event_count - 1].facts->change_version,
                     change.after.change_version);
    }
}

/* --- texts and tags ---------------------------------------------------------------------------------------
 */

Test(case_rules, single_attributes_are_set_and_taken_away)
{
    const char *const before_pairs[] = {"a", "1", "c", "3"};
    const char *const edits[] = {"b", "2", "c", NULL, "x", NULL};
    struct case_record before = case_in(OPEN);
    before.attributes = (struct text_list){(const char **)(uintptr_t)before_pairs, 4};
    struct case_act act = {.kind = CASE_ACT_UPDATE, .update.edits = {(const char **)(uintptr_t)edits, 6}};
    struct case_change change = applied(&before, anna, &act);
    cr_assert_eq(change.after.attributes.count, 4);
    cr_assert_str_eq(change.after.attributes.items[2], "b");
    cr_assert_str_eq(change.after.attributes.items[3], "2");
    cr_assert_str_eq(change.events[0].changed_fields[0], "attributes");
    cr_assert_eq(change.events[0].changed_field_count, 1);
}

Test(case_rules, classifications_are_a_set)
{
    const char *const pairs[] = {"topic", "billing", "topic", "billing", "sentiment", "bad"};
    struct case_record before = case_in(OPEN);
    struct case_act act = {.kind = CASE_ACT_CLASSIFY,
                           .classifications = {(const char **)(uintptr_t)pairs, 6}};
    struct case_change change = applied(&before, anna, &act);
    cr_assert_eq(change.after.classifications.count, 4);
    struct case_change again = applied(&change.after, anna, &act);
    cr_assert_eq(again.event_count, 0);
    act.kind = CASE_ACT_DECLASSIFY;
    act.classifications.count = 2;
    change = applied(&change.after, anna, &act);
    cr_assert_eq(change.after.classifications.count, 2);
    cr_assert_str_eq(change.after.classifications.items[0], "sentiment");
}

Test(case_rules, a_stale_etag_is_aborted)
{
    struct case_record before = case_in(OPEN);
    struct case_act act = {.kind = CASE_ACT_RESOLVE, .expected_version = 4};
    error err = refused(&before, anna, &act);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    act.expected_version = 5;
    applied(&before, anna, &act);
}

/* --- new and imported cases --------------------------------------------------------------------------------
 */

Test(case_rules, a_new_case_is_new_until_an_agent_replies)
{
    struct case_record template = case_in(NEW);
    template.message_count = template.messages_assigned = template.first_open_message = 0;
    template.version = template.change_version = template.activity_version = 0;
    template.customer_time = template.waiting_since = template.last_send_time = 0;
    struct case_context context = context_of(anna);
    struct case_change change;
    error err = {0};
    cr_assert(case_rules_create(&context, &template, &change, &err));
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.after.create_time, NOW);
    cr_assert_eq(change.after.version, 1);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_CREATED);
    cr_assert_eq(change.events[0].previous_status, CASE_STATUS_NONE);
    struct case_act act = message_act(MESSAGE_KIND_AGENT);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.messages[0].number, 1);
}

static void import_message(struct case_context *context, struct case_change *change, enum message_kind kind,
                           struct actor actor, int64_t time)
{
    struct case_act act = message_act(kind);
    error err = {0};
    act.add.message.send_time = context->now = time;
    context->actor = actor;
    cr_assert(case_rules_apply(context, &act, change, &err), "%s", err.message);
}

Test(case_rules, an_imported_case_has_its_original_times)
{
    struct case_record template = {.account = "acme",
                                   .id = 1,
                                   .owner = "",
                                   .contact = "jo",
                                   .channel = "twitter",
                                   .network = "twitter",
                                   .channel_address = "",
                                   .external_id = "x",
                                   .subject = "",
                                   .subject_key = "",
                                   .lock_agent = "",
                                   .lock_session = ""};
    struct case_context context = {.memory = memory, .now = T0, .actor = service, .imported = true};
    struct case_change change;
    error err = {0};
    cr_assert(case_rules_create(&context, &template, &change, &err));
    import_message(&context, &change, MESSAGE_KIND_CUSTOMER, service, T0);
    import_message(&context, &change, MESSAGE_KIND_NOTE, anna, T0 + 1);
    cr_assert_eq(change.after.status, NEW, "opened by the first reply");
    import_message(&context, &change, MESSAGE_KIND_AGENT, anna, T0 + 2);
    import_message(&context, &change, MESSAGE_KIND_CUSTOMER, service, T0 + 3);
    context.actor = service;
    context.now = T0 + 4;
    cr_assert(case_rules_import_status(&context, RESOLVED, &change, &err));
    cr_assert_eq(change.after.create_time, T0);
    cr_assert_eq(change.after.open_time, T0 + 2);
    cr_assert_eq(change.after.first_reply_time, T0 + 2);
    cr_assert_eq(change.after.resolve_time, T0 + 4);
    cr_assert_eq(change.after.update_time, T0 + 4);
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.messages[3].state, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.messages[2].delivery, DELIVERY_NONE, "nothing old goes out again");
    for (size_t i = 1; i < change.event_count; i++)
        cr_assert_geq(change.events[i].time, change.events[i - 1].time);
    cr_assert_not(case_rules_import_status(&context, NEW, &change, &err));
}
