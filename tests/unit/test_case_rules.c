/* The transition table of the case service, cell by cell, and the sentences around it. */

#include "tests/support/rules_scene.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(case_rules, .init = rules_setup, .fini = rules_teardown);

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
    return act->kind == CASE_ACT_ADD_MESSAGE ? rules_message(act->add.message.kind) : *act;
}

static void check_cell(const struct row *row, enum case_status from)
{
    struct case_record before = rules_case(from);
    struct case_act act = filled(&row->act);
    struct case_change change;
    error err = {0};
    bool taken = rules_try(&before, *row->actor, &act, &change, &err);
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
        cr_assert_eq(change.after.status_time, RULES_NOW, "%s in %s", row->event, case_status_name(from));
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
            struct case_record before = rules_case(from);
            struct case_act act = filled(&rows[i].act);
            struct case_change change;
            error err = {0};
            if (!rules_try(&before, *rows[i].actor, &act, &change, &err))
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
        struct case_record before = rules_case(idle[i].in);
        struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = idle[i].kind});
        cr_assert_eq(change.event_count, 0, "%zu", i);
        cr_assert_eq(change.after.version, before.version);
    }
}

/* --- opening ----------------------------------------------------------------------------------------------
 */

Test(case_rules, the_first_to_open_a_case_owns_it)
{
    struct case_record before = rules_case(NEW);
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.after.open_time, RULES_NOW);
    cr_assert_eq(change.event_count, 1);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_OPENED);
    cr_assert_eq(change.events[0].previous_status, NEW);
}

Test(case_rules, an_owner_stays_when_another_opens)
{
    struct case_record before = rules_case(NEW);
    before.owner = "bob";
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.after.status, OPEN);
}

Test(case_rules, opening_moves_assigned_messages_to_in_progress)
{
    struct case_record before = rules_case(OPEN);
    before.messages_responded = 2;
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
    cr_assert_eq(change.after.messages_assigned, 0);
    cr_assert_eq(change.after.messages_in_progress, 1);
    cr_assert_eq(change.after.messages_responded, 2);
    cr_assert_eq(change.raise_to, MESSAGE_STATE_IN_PROGRESS);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_MESSAGE_STATE_CHANGED);
    struct case_change again = rules_done(&change.after, anna, &(struct case_act){.kind = CASE_ACT_OPEN});
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
        rules_message(MESSAGE_KIND_NOTE),
        rules_message(MESSAGE_KIND_SURVEY),
        rules_message(MESSAGE_KIND_AGENT),
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct case_record before = rules_case(NEW);
        struct case_change change = rules_done(&before, anna, &acts[i]);
        cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_OPENED, "%zu", i);
        cr_assert_str_eq(change.after.owner, "anna", "%zu", i);
        cr_assert_eq(change.after.open_time, RULES_NOW);
        cr_assert_neq(change.after.status, NEW);
    }
}

Test(case_rules, assigning_a_new_case_opens_it_and_ends_with_the_new_owner)
{
    struct case_record before = rules_case(NEW);
    struct case_change change =
        rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_ASSIGN, .owner = "bob"});
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.event_count, 2);
    cr_assert_str_eq(change.events[1].previous_owner, "anna");
}

Test(case_rules, deleting_or_what_changes_nothing_does_not_open)
{
    struct case_record before = rules_case(NEW);
    struct case_change change = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_DELETE});
    cr_assert_str_eq(change.after.owner, "");
    cr_assert_eq(change.after.open_time, 0);
    change =
        rules_done(&before, anna,
                   &(struct case_act){.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY}});
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.event_count, 0);
}

Test(case_rules, a_service_does_not_open)
{
    struct case_record before = rules_case(NEW);
    struct case_change change = rules_done(&before, service, &(struct case_act){.kind = CASE_ACT_RESOLVE});
    cr_assert_eq(change.after.status, RESOLVED);
    cr_assert_eq(change.event_count, 1);
    cr_assert_eq(change.after.open_time, RULES_NOW, "but it is new no more");
    cr_assert_str_eq(change.after.owner, "");
    change = rules_done(&before, service, &(struct case_act){.kind = CASE_ACT_DELETE});
    cr_assert_eq(change.after.open_time, 0);
}

/* --- what takes no change, and coming back ---------------------------------------------------------------
 */

Test(case_rules, deleted_and_merged_cases_take_no_change)
{
    const char *const pair[] = {"topic", "billing"};
    const struct case_act acts[] = {
        {.kind = CASE_ACT_ASSIGN, .owner = "bob"},
        {.kind = CASE_ACT_UPDATE, .update = {.fields = CASE_FIELD_PRIORITY, .priority = 3}},
        {.kind = CASE_ACT_CLASSIFY, .classifications = {(const char **)(uintptr_t)pair, 2}},
        {.kind = CASE_ACT_SET_MESSAGE_STATE,
         .set_state = {1, MESSAGE_KIND_CUSTOMER, MESSAGE_STATE_ASSIGNED, MESSAGE_STATE_CLOSED}},
        rules_message(MESSAGE_KIND_NOTE),
        rules_message(MESSAGE_KIND_FROM_THIRD_PARTY),
        {.kind = CASE_ACT_FORWARD, .forward = {.agent = ""}},
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct case_record deleted = rules_case(DELETED);
        cr_assert_str_eq(rules_refusal(&deleted, anna, &acts[i]).reason, "CASE_DELETED", "%zu", i);
        struct case_record merged = rules_case(OPEN);
        merged.merged_into = 3;
        cr_assert_str_eq(rules_refusal(&merged, anna, &acts[i]).reason, "CASE_MERGED", "%zu", i);
    }
}

Test(case_rules, undeleting_goes_back_and_restarts_the_timer)
{
    for (enum case_status from = NEW; from <= CLOSED; from++) {
        struct case_record before = rules_case(from);
        struct case_change deleted = rules_done(&before, anna, &(struct case_act){.kind = CASE_ACT_DELETE});
        cr_assert_eq(deleted.after.delete_time, RULES_NOW);
        struct case_change back =
            rules_done(&deleted.after, anna, &(struct case_act){.kind = CASE_ACT_UNDELETE});
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
        struct case_record before = rules_case(from);
        struct case_act act = close_act(DUE_RULE_RESOLVED, before.change_version, RULES_NOW);
        if (from == RESOLVED || from == CLOSED) {
            struct case_change change = rules_done(&before, service, &act);
            cr_assert_eq(change.after.status, CLOSED);
            cr_assert_eq(change.event_count, from == RESOLVED);
        } else {
            error err = rules_refusal(&before, service, &act);
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
        struct case_record before = rules_case(from);
        struct case_act act = close_act(DUE_RULE_INACTIVE, before.activity_version, RULES_NOW);
        if (from != CLOSED)
            cr_assert_eq(rules_refusal(&before, service, &act).code, STATUS_FAILED_PRECONDITION,
                         "a message is not closed");
        before.messages_assigned = 0;
        if (from >= OPEN && from <= RESOLVED)
            cr_assert_eq(rules_done(&before, service, &act).after.status, CLOSED);
        else if (from != CLOSED)
            cr_assert_eq(rules_refusal(&before, service, &act).code, STATUS_FAILED_PRECONDITION);
    }
}

Test(case_rules, closing_is_never_early_and_never_stale)
{
    struct case_record before = rules_case(RESOLVED);
    struct case_act act = close_act(DUE_RULE_RESOLVED, before.change_version, RULES_NOW + 1);
    cr_assert_str_eq(rules_refusal(&before, service, &act).reason, "NOT_DUE");
    act = close_act(DUE_RULE_RESOLVED, before.change_version - 1, RULES_NOW);
    error err = rules_refusal(&before, service, &act);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    act = close_act(DUE_RULE_RESOLVED, before.change_version, RULES_NOW);
    struct case_change change = rules_done(&before, service, &act);
    cr_assert_eq(change.after.close_time, RULES_NOW);
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
        {rules_message(MESSAGE_KIND_CUSTOMER), by_connector, true, true},
        {rules_message(MESSAGE_KIND_AGENT), by_agent, true, true},
        {rules_message(MESSAGE_KIND_NOTE), by_agent, true, false},
        {rules_message(MESSAGE_KIND_FROM_THIRD_PARTY), by_connector, true, false},
        {rules_message(MESSAGE_KIND_SYSTEM), by_service, false, false},
        {rules_message(MESSAGE_KIND_SURVEY), by_service, true, false},
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
        struct case_record before = rules_case(RESOLVED);
        before.owner = "anna";
        struct case_change change = rules_done(&before, *all[i].actor, &all[i].act);
        cr_assert_gt(change.after.version, before.version, "%zu", i);
        cr_assert_eq(change.after.change_version > before.change_version, all[i].change, "change %zu", i);
        cr_assert_eq(change.after.change_time, all[i].change ? RULES_NOW : RULES_T0, "change time %zu", i);
        cr_assert_eq(change.after.activity_version > before.activity_version, all[i].activity, "activity %zu",
                     i);
        cr_assert_eq(change.events[change.event_count - 1].facts->change_version,
                     change.after.change_version);
    }
}

Test(case_rules, a_closed_case_that_comes_back_has_a_new_basis)
{
    const struct actor by[] = {anna, service};
    const struct case_act reopen = {.kind = CASE_ACT_REOPEN};
    for (size_t i = 0; i < sizeof by / sizeof by[0]; i++) {
        struct case_record before = rules_case(CLOSED);
        struct case_change change = rules_done(&before, by[i], &reopen);
        cr_assert_eq(change.after.activity_version, before.activity_version + 1, "%zu", i);
        cr_assert_eq(change.after.activity_time, RULES_NOW);
        cr_assert_eq(change.events[0].facts->activity_version, change.after.activity_version);
    }
    struct case_record pending = rules_case(PENDING);
    struct case_change change = rules_done(&pending, service, &reopen);
    cr_assert_eq(change.after.activity_version, pending.activity_version, "no activity of an agent");
}

/* --- texts and tags ---------------------------------------------------------------------------------------
 */

Test(case_rules, single_attributes_are_set_and_taken_away)
{
    const char *const before_pairs[] = {"a", "1", "c", "3"};
    const char *const edits[] = {"b", "2", "c", NULL, "x", NULL};
    struct case_record before = rules_case(OPEN);
    before.attributes = (struct text_list){(const char **)(uintptr_t)before_pairs, 4};
    struct case_act act = {.kind = CASE_ACT_UPDATE, .update.edits = {(const char **)(uintptr_t)edits, 6}};
    struct case_change change = rules_done(&before, anna, &act);
    cr_assert_eq(change.after.attributes.count, 4);
    cr_assert_str_eq(change.after.attributes.items[2], "b");
    cr_assert_str_eq(change.after.attributes.items[3], "2");
    cr_assert_str_eq(change.events[0].changed_fields[0], "attributes");
    cr_assert_eq(change.events[0].changed_field_count, 1);
}

Test(case_rules, classifications_are_a_set)
{
    const char *const pairs[] = {"topic", "billing", "topic", "billing", "sentiment", "bad"};
    struct case_record before = rules_case(OPEN);
    struct case_act act = {.kind = CASE_ACT_CLASSIFY,
                           .classifications = {(const char **)(uintptr_t)pairs, 6}};
    struct case_change change = rules_done(&before, anna, &act);
    cr_assert_eq(change.after.classifications.count, 4);
    struct case_change again = rules_done(&change.after, anna, &act);
    cr_assert_eq(again.event_count, 0);
    act.kind = CASE_ACT_DECLASSIFY;
    act.classifications.count = 2;
    change = rules_done(&change.after, anna, &act);
    cr_assert_eq(change.after.classifications.count, 2);
    cr_assert_str_eq(change.after.classifications.items[0], "sentiment");
}

Test(case_rules, a_stale_etag_is_aborted)
{
    struct case_record before = rules_case(OPEN);
    struct case_act act = {.kind = CASE_ACT_RESOLVE, .expected_version = 4};
    error err = rules_refusal(&before, anna, &act);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    act.expected_version = 5;
    rules_done(&before, anna, &act);
}

/* --- new and imported cases --------------------------------------------------------------------------------
 */

Test(case_rules, a_new_case_is_new_until_an_agent_replies)
{
    struct case_record template = rules_case(NEW);
    template.message_count = template.messages_assigned = template.first_open_message = 0;
    template.version = template.change_version = template.activity_version = 0;
    template.customer_time = template.waiting_since = template.last_send_time = 0;
    struct case_context context = rules_context(anna);
    struct case_change change;
    error err = {0};
    cr_assert(case_rules_create(&context, &template, &change, &err));
    cr_assert_eq(change.after.status, NEW);
    cr_assert_eq(change.after.create_time, RULES_NOW);
    cr_assert_eq(change.after.version, 1);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_CASE_CREATED);
    cr_assert_eq(change.events[0].previous_status, CASE_STATUS_NONE);
    struct case_act act = rules_message(MESSAGE_KIND_AGENT);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.status, OPEN);
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.messages[0].number, 1);
}

static void import_message(struct case_context *context, struct case_change *change, enum message_kind kind,
                           struct actor actor, int64_t time)
{
    struct case_act act = rules_message(kind);
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
    struct case_context context = {
        .memory = rules_memory, .now = RULES_T0, .actor = service, .imported = true};
    struct case_change change;
    error err = {0};
    cr_assert(case_rules_create(&context, &template, &change, &err));
    import_message(&context, &change, MESSAGE_KIND_CUSTOMER, service, RULES_T0);
    import_message(&context, &change, MESSAGE_KIND_NOTE, anna, RULES_T0 + 1);
    cr_assert_eq(change.after.status, NEW, "opened by the first reply");
    import_message(&context, &change, MESSAGE_KIND_AGENT, anna, RULES_T0 + 2);
    import_message(&context, &change, MESSAGE_KIND_CUSTOMER, service, RULES_T0 + 3);
    context.actor = service;
    context.now = RULES_T0 + 4;
    cr_assert(case_rules_import_status(&context, RESOLVED, &change, &err));
    cr_assert_eq(change.after.create_time, RULES_T0);
    cr_assert_eq(change.after.open_time, RULES_T0 + 2);
    cr_assert_eq(change.after.first_reply_time, RULES_T0 + 2);
    cr_assert_eq(change.after.resolve_time, RULES_T0 + 4);
    cr_assert_eq(change.after.update_time, RULES_T0 + 4);
    cr_assert_str_eq(change.after.owner, "anna");
    cr_assert_eq(change.messages[0].state, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.messages[3].state, MESSAGE_STATE_CLOSED);
    cr_assert_eq(change.messages[2].delivery, DELIVERY_NONE, "nothing old goes out again");
    for (size_t i = 1; i < change.event_count; i++)
        cr_assert_geq(change.events[i].time, change.events[i - 1].time);
    cr_assert_not(case_rules_import_status(&context, NEW, &change, &err));
}
