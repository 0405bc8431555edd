#include "tests/support/case_model_step.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING MODEL_MOVES_NOTHING
#define CHANGE MODEL_MOVES_CHANGE
#define ACTIVITY MODEL_MOVES_ACTIVITY

/* --- the table ---------------------------------------------------------------------------------------------
 */

enum { STAYS = 0, REFUSED = -1, BACK = -2 };

enum row { OPENS, REPLIES, CUSTOMER, PENDS, RESOLVES, REOPENS, DELETES, UNDELETES };

#define NEW CASE_STATUS_NEW
#define OPEN CASE_STATUS_OPEN
#define PENDING CASE_STATUS_PENDING
#define RESOLVED CASE_STATUS_RESOLVED
#define CLOSED CASE_STATUS_CLOSED
#define DELETED CASE_STATUS_DELETED

static const int table[][7] = {
    /*              NEW       OPEN      PENDING   RESOLVED  CLOSED   DELETED */
    [OPENS] = {0, OPEN, STAYS, STAYS, STAYS, STAYS, STAYS},
    [REPLIES] = {0, OPEN, STAYS, OPEN, STAYS, REFUSED, REFUSED},
    [CUSTOMER] = {0, STAYS, STAYS, OPEN, STAYS, OPEN, REFUSED},
    [PENDS] = {0, PENDING, PENDING, STAYS, PENDING, REFUSED, REFUSED},
    [RESOLVES] = {0, RESOLVED, RESOLVED, RESOLVED, STAYS, REFUSED, REFUSED},
    [REOPENS] = {0, REFUSED, STAYS, OPEN, OPEN, OPEN, REFUSED},
    [DELETES] = {0, DELETED, DELETED, DELETED, DELETED, DELETED, STAYS},
    [UNDELETES] = {0, STAYS, STAYS, STAYS, STAYS, STAYS, BACK},
};

static const char *const standing[] = {
    "", "CASE_NEW", "CASE_OPEN", "CASE_PENDING", "CASE_RESOLVED", "CASE_CLOSED", "CASE_DELETED"};

bool model_step_refuse(struct model_step *s, enum status_code code, const char *reason)
{
    s->answer->code = code;
    s->answer->reason = reason;
    return false;
}

bool model_step_refuse_standing(struct model_step *s)
{
    return model_step_refuse(s, STATUS_FAILED_PRECONDITION, standing[s->facts->status]);
}

/* --- what commands are made of -----------------------------------------------------------------------------
 */

bool case_model_visible(enum message_kind kind)
{
    return kind == MESSAGE_KIND_CUSTOMER || kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY;
}

bool model_step_is_customers(const struct model_message *message)
{
    return message->kind == MESSAGE_KIND_CUSTOMER && !message->automatic;
}

static void settle(struct model_case *c)
{
    c->facts.all_closed = true;
    for (int i = 0; i < c->last; i++) {
        if (model_step_is_customers(&c->messages[i]) && c->messages[i].state != MESSAGE_STATE_CLOSED)
            c->facts.all_closed = false;
    }
}

struct model_event *model_step_event(struct model_step *s, enum event_kind kind, enum case_status before,
                                     int message, int moves)
{
    struct model_facts *facts = s->facts;
    settle(s->c);
    facts->version++;
    facts->update_time = s->setting->now;
    if (moves & CHANGE) {
        facts->change_version++;
        facts->change_time = s->setting->now;
    }
    if (moves & ACTIVITY) {
        facts->activity_version++;
        facts->activity_time = s->setting->now;
    }
    if (s->answer->event_count == MODEL_EVENTS_MAX)
        abort();
    struct model_event *event = &s->answer->events[s->answer->event_count++];
    *event = (struct model_event){
        .kind = kind, .number = s->c->number, .previous_status = before, .message = message, .facts = *facts};
    return event;
}

/* Customer messages below that state come to it; whether there were any. */
static bool raise(struct model_case *c, enum message_state to)
{
    bool raised = false;
    for (int i = 0; i < c->last; i++) {
        if (model_step_is_customers(&c->messages[i]) && c->messages[i].state < to) {
            c->messages[i].state = to;
            raised = true;
        }
    }
    return raised;
}

static void stand(struct model_step *s, enum case_status to)
{
    struct model_facts *facts = s->facts;
    if (facts->status == NEW && to != DELETED)
        facts->open_time = s->setting->now;
    facts->status = to;
    facts->status_time = s->setting->now;
    if (to == RESOLVED)
        facts->resolve_time = s->setting->now;
    else if (to == CLOSED)
        facts->close_time = s->setting->now;
    else if (to != DELETED)
        facts->resolve_time = facts->close_time = 0;
}

/* A status change as an event of its own. */
static void move(struct model_step *s, enum case_status to, enum event_kind kind)
{
    enum case_status before = s->facts->status;
    bool anew = before == CLOSED && to != DELETED;
    stand(s, to);
    model_step_event(s, kind, before, 0, CHANGE | (s->by_agent || anew ? ACTIVITY : 0));
}

/* Who owns a case is not among those who help with it. */
void model_step_own(struct model_step *s, int agent)
{
    s->facts->owner = agent;
    model_list_remove(&s->facts->involved, agent);
}

/* An agent opens a new case. */
static void open_new(struct model_step *s)
{
    stand(s, OPEN);
    if (s->facts->owner == 0)
        model_step_own(s, s->command->actor.agent);
    raise(s->c, MESSAGE_STATE_IN_PROGRESS);
    model_step_event(s, EVENT_KIND_CASE_OPENED, NEW, 0, CHANGE | ACTIVITY);
}

/* Any agent's changing act on a new case counts as opening it first. */
void model_step_open_first(struct model_step *s)
{
    if (s->by_agent && s->facts->status == NEW)
        open_new(s);
}

static bool is_gone(struct model_step *s)
{
    return s->facts->status == DELETED;
}

/* --- the commands: false when refused ----------------------------------------------------------------------
 */

bool model_step_open(struct model_step *s)
{
    if (s->facts->merged_into)
        return true;
    if (s->facts->status == NEW)
        open_new(s);
    else if (!is_gone(s) && raise(s->c, MESSAGE_STATE_IN_PROGRESS))
        model_step_event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, s->facts->status, 0, CHANGE);
    return true;
}

static bool do_resolve(struct model_step *s)
{
    enum case_status before = s->facts->status;
    int to = table[RESOLVES][before];
    if (to == REFUSED)
        return model_step_refuse_standing(s);
    model_step_open_first(s);
    if (to == RESOLVED) {
        raise(s->c, MESSAGE_STATE_CLOSED);
        move(s, RESOLVED, EVENT_KIND_STATUS_CHANGED);
    } else if (raise(s->c, MESSAGE_STATE_CLOSED)) {
        model_step_event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, before, 0, CHANGE);
    }
    return true;
}

static bool do_move(struct model_step *s, enum row row, enum event_kind kind)
{
    int to = table[row][s->facts->status];
    if (to == REFUSED)
        return model_step_refuse_standing(s);
    if (to == STAYS)
        return true;
    model_step_open_first(s);
    move(s, (enum case_status)to, kind);
    return true;
}

static bool do_delete(struct model_step *s)
{
    enum case_status before = s->facts->status;
    if (table[DELETES][before] == STAYS)
        return true;
    s->facts->status_before_delete = before;
    s->facts->delete_time = s->setting->now;
    move(s, DELETED, EVENT_KIND_CASE_DELETED);
    model_step_gone(s);
    return true;
}

static bool do_undelete(struct model_step *s)
{
    struct model_facts *facts = s->facts;
    if (table[UNDELETES][facts->status] == STAYS)
        return true;
    facts->status = facts->status_before_delete;
    facts->status_before_delete = CASE_STATUS_NONE;
    facts->delete_time = 0;
    facts->status_time = s->setting->now;
    model_step_event(s, EVENT_KIND_CASE_UNDELETED, DELETED, 0, CHANGE | (s->by_agent ? ACTIVITY : 0));
    model_step_back(s);
    return true;
}

static bool do_close(struct model_step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts;
    bool resolved_rule = command->rule == DUE_RULE_RESOLVED;
    if (facts->status == CLOSED)
        return true;
    if (command->basis_version != (resolved_rule ? facts->change_version : facts->activity_version))
        return model_step_refuse(s, STATUS_ABORTED, "STALE_VERSION");
    if (facts->status == NEW || facts->status == DELETED)
        return model_step_refuse_standing(s);
    if (s->setting->now < command->due_time)
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "NOT_DUE");
    if (resolved_rule ? facts->status != RESOLVED : !facts->all_closed)
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "NOT_DUE");
    enum case_status before = facts->status;
    stand(s, CLOSED);
    model_step_event(s, EVENT_KIND_CASE_CLOSED, before, 0, NOTHING);
    return true;
}

static bool do_assign(struct model_step *s)
{
    if (is_gone(s))
        return model_step_refuse_standing(s);
    if (s->command->owner == s->facts->owner)
        return true;
    model_step_open_first(s);
    int former = s->facts->owner;
    if (s->command->owner != former) {
        model_step_own(s, s->command->owner);
        if (former != 0 && (model_list_has(&s->c->got, former) || model_step_has_replied(s->c, former)))
            model_list_add(&s->facts->involved, former);
        model_step_event(s, EVENT_KIND_OWNER_CHANGED, s->facts->status, 0, CHANGE);
    }
    return true;
}

static bool do_update(struct model_step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts, after = *facts;
    int moves = NOTHING;
    if (is_gone(s))
        return model_step_refuse_standing(s);
    if (command->fields & MODEL_FIELD_SUBJECT)
        after.subject = command->subject;
    if (command->fields & MODEL_FIELD_LABELS)
        after.labels = command->labels;
    if (command->fields & MODEL_FIELD_PRIORITY)
        after.priority = command->priority;
    if (command->fields & MODEL_FIELD_ATTRIBUTES)
        memcpy(after.attributes, command->attributes, sizeof after.attributes);
    if (after.subject != facts->subject || !model_list_equal(&after.labels, &facts->labels) ||
        memcmp(after.attributes, facts->attributes, sizeof after.attributes) != 0)
        moves = CHANGE;
    else if (after.priority == facts->priority)
        return true;
    model_step_open_first(s);
    facts->subject = after.subject;
    facts->labels = after.labels;
    facts->priority = after.priority;
    memcpy(facts->attributes, after.attributes, sizeof after.attributes);
    model_step_event(s, EVENT_KIND_CASE_UPDATED, facts->status, 0, moves);
    return true;
}

static bool do_classify(struct model_step *s, bool on)
{
    struct model_list after = s->facts->classes;
    if (is_gone(s))
        return model_step_refuse_standing(s);
    for (int i = 0; i < s->command->classes.count; i++)
        (on ? model_list_add : model_list_remove)(&after, s->command->classes.items[i]);
    if (model_list_equal(&after, &s->facts->classes))
        return true;
    model_step_open_first(s);
    s->facts->classes = after;
    model_step_event(s, EVENT_KIND_CLASSIFICATIONS_CHANGED, s->facts->status, 0, CHANGE);
    return true;
}

static bool do_set_state(struct model_step *s)
{
    struct model_message *message = &s->c->messages[s->command->message - 1];
    if (is_gone(s))
        return model_step_refuse_standing(s);
    if (!model_step_is_customers(message))
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "NOT_A_CUSTOMER_MESSAGE");
    s->answer->message = s->command->message;
    if (message->state == s->command->state)
        return true;
    model_step_open_first(s);
    if (message->state != s->command->state) {
        message->state = s->command->state;
        model_step_event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, s->facts->status, s->command->message, CHANGE);
    }
    return true;
}

/* --- messages ----------------------------------------------------------------------------------------------
 */

static bool is_outgoing(enum message_kind kind)
{
    return kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY || kind == MESSAGE_KIND_TO_THIRD_PARTY;
}

int64_t model_step_store(struct model_step *s, enum message_kind kind)
{
    const struct model_command *command = s->command;
    struct model_case *c = s->c;
    if (c->last == MODEL_MESSAGES_MAX)
        abort();
    struct model_message *message = &c->messages[c->last++];
    *message = (struct model_message){
        .kind = kind,
        .automatic = command->automatic,
        .author = command->actor,
        .body = command->body,
        .external_id = command->external_id,
        .send_time = command->sent ? command->sent : s->setting->now,
        .create_time = s->setting->now,
        .delivery = is_outgoing(kind) ? DELIVERY_QUEUED : DELIVERY_NONE,
    };
    if (kind == MESSAGE_KIND_CUSTOMER)
        message->contact = command->contact ? command->contact : c->facts.contact;
    if (model_step_is_customers(message))
        message->state = MESSAGE_STATE_ASSIGNED;
    if (message->send_time > c->last_send_time)
        c->last_send_time = message->send_time;
    s->facts->message_count++;
    s->answer->message = c->last;
    return c->last_send_time;
}

static void customer_wrote(struct model_step *s, int64_t sent)
{
    s->facts->need_reply = true;
    if (s->command->automatic)
        return;
    if (s->facts->first_customer_time == 0)
        s->facts->first_customer_time = sent;
    if (s->facts->waiting_since_time == 0)
        s->facts->waiting_since_time = sent;
}

static void agent_wrote(struct model_step *s, int64_t sent)
{
    s->facts->need_reply = false;
    if (s->command->automatic)
        return;
    if (s->facts->first_reply_time == 0)
        s->facts->first_reply_time = sent;
    s->facts->waiting_since_time = 0;
    raise(s->c, MESSAGE_STATE_RESPONDED);
}

/* Who replies owns the case, or becomes involved. */
static void reply_by(struct model_step *s, int agent)
{
    struct model_facts *facts = s->facts;
    int moves = facts->owner == 0 ? CHANGE : NOTHING;
    if (facts->owner == 0)
        model_step_own(s, agent);
    else if (facts->owner != agent && !model_list_has(&facts->involved, agent))
        model_list_add(&facts->involved, agent);
    else
        return;
    model_step_event(s, EVENT_KIND_OWNER_CHANGED, facts->status, 0, moves);
}

/* Where the message takes the case: a status, STAYS or REFUSED. */
static int message_leads_to(const struct model_step *s)
{
    const struct model_command *command = s->command;
    enum case_status from = s->facts->status;
    if (from == DELETED)
        return REFUSED;
    if (command->automatic)
        return STAYS;
    if (command->kind == MESSAGE_KIND_AGENT)
        return table[REPLIES][from];
    if (command->kind != MESSAGE_KIND_CUSTOMER)
        return STAYS;
    return from == RESOLVED && s->setting->reopen_resolved ? OPEN : table[CUSTOMER][from];
}

/* A message by the customer or an agent is activity; notes, and what automata write, are not. */
static int message_moves(const struct model_step *s)
{
    const struct model_command *command = s->command;
    bool activity = !command->automatic &&
                    (command->kind == MESSAGE_KIND_CUSTOMER || command->kind == MESSAGE_KIND_AGENT ||
                     (s->by_agent && command->kind != MESSAGE_KIND_NOTE));
    return (command->kind == MESSAGE_KIND_SYSTEM ? NOTHING : CHANGE) | (activity ? ACTIVITY : NOTHING);
}

static bool do_add_message(struct model_step *s)
{
    const struct model_command *command = s->command;
    int moves = message_moves(s);
    if (message_leads_to(s) == REFUSED)
        return model_step_refuse_standing(s);
    if (command->sent > s->setting->now)
        return model_step_refuse(s, STATUS_INVALID_ARGUMENT, "INVALID_FIELD");
    if (!command->automatic) /* what an auto-responder writes is no act of the agent */
        model_step_open_first(s);
    enum case_status before = s->facts->status;
    int to = message_leads_to(s);
    if (s->by_agent && command->kind == MESSAGE_KIND_AGENT && !command->automatic)
        reply_by(s, command->actor.agent);
    int64_t sent = model_step_store(s, command->kind);
    if (command->kind == MESSAGE_KIND_CUSTOMER)
        customer_wrote(s, sent);
    else if (command->kind == MESSAGE_KIND_AGENT)
        agent_wrote(s, sent);
    else if (command->kind == MESSAGE_KIND_SURVEY)
        s->facts->need_reply = false;
    model_step_event(s, EVENT_KIND_MESSAGE_ADDED, before, s->answer->message, moves);
    if (to != STAYS)
        move(s, (enum case_status)to, EVENT_KIND_STATUS_CHANGED);
    if (command->then == AFTER_SEND_MARK_PENDING)
        return do_move(s, PENDS, EVENT_KIND_STATUS_CHANGED);
    if (command->then == AFTER_SEND_RESOLVE)
        return do_resolve(s);
    return true;
}

static bool do_label(struct model_step *s, bool on)
{
    struct model_list after = s->facts->labels;
    if (is_gone(s))
        return model_step_refuse_standing(s);
    for (int i = 0; i < s->command->labels.count; i++)
        (on ? model_list_add : model_list_remove)(&after, s->command->labels.items[i]);
    if (model_list_equal(&after, &s->facts->labels))
        return true;
    model_step_open_first(s);
    s->facts->labels = after;
    model_step_event(s, EVENT_KIND_CASE_UPDATED, s->facts->status, 0, CHANGE);
    return true;
}

static bool do_create(struct model_step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts;
    *s->c = (struct model_case){.number = s->c->number};
    if (command->has_message && command->sent > s->setting->now)
        return model_step_refuse(s, STATUS_INVALID_ARGUMENT, "INVALID_FIELD");
    *facts = (struct model_facts){
        .status = NEW,
        .owner = command->owner,
        .contact = command->contact,
        .channel = command->channel,
        .labels = command->labels,
        .classes = command->classes,
        .priority = command->priority,
        .subject = command->subject,
        .create_time = s->setting->now,
        .status_time = s->setting->now,
    };
    memcpy(facts->attributes, command->attributes, sizeof facts->attributes);
    model_step_event(s, EVENT_KIND_CASE_CREATED, CASE_STATUS_NONE, 0, CHANGE | ACTIVITY);
    return !command->has_message || do_add_message(s);
}

static bool carry_out(struct model_step *s)
{
    switch (s->command->verb) {
    case MODEL_CREATE:
        return do_create(s);
    case MODEL_OPEN:
        return model_step_open(s);
    case MODEL_MARK_PENDING:
        return do_move(s, PENDS, EVENT_KIND_STATUS_CHANGED);
    case MODEL_RESOLVE:
        return do_resolve(s);
    case MODEL_REOPEN:
        return do_move(s, REOPENS, EVENT_KIND_STATUS_CHANGED);
    case MODEL_CLOSE:
        return do_close(s);
    case MODEL_DELETE:
        return do_delete(s);
    case MODEL_UNDELETE:
        return do_undelete(s);
    case MODEL_ASSIGN:
        return do_assign(s);
    case MODEL_UPDATE:
        return do_update(s);
    case MODEL_CLASSIFY:
    case MODEL_DECLASSIFY:
        return do_classify(s, s->command->verb == MODEL_CLASSIFY);
    case MODEL_ADD_MESSAGE:
        return do_add_message(s);
    case MODEL_SET_STATE:
        return do_set_state(s);
    case MODEL_FORWARD_CASE:
    case MODEL_FORWARD_MESSAGE:
        return model_step_forward(s);
    case MODEL_LABEL:
    case MODEL_UNLABEL:
        return do_label(s, s->command->verb == MODEL_LABEL);
    case MODEL_OPEN_TAB:
        return model_step_open_tab(s);
    case MODEL_CLOSE_TAB:
        return model_step_close_tab(s);
    case MODEL_BREAK_LOCK:
        return model_step_break_lock(s);
    default:
        abort(); /* not about one case */
    }
}

static bool is_about_lock(enum model_verb verb)
{
    return verb == MODEL_OPEN_TAB || verb == MODEL_CLOSE_TAB || verb == MODEL_BREAK_LOCK;
}

/* A case that was merged takes nothing; and what has to be there is. */
static bool may_begin(struct model_step *s)
{
    const struct model_command *command = s->command;
    if (command->verb == MODEL_CREATE || is_about_lock(command->verb))
        return true;
    bool about_message = command->verb == MODEL_SET_STATE || command->verb == MODEL_FORWARD_MESSAGE;
    if (about_message &&
        (command->message > s->c->last || s->c->messages[command->message - 1].kind == MESSAGE_KIND_NONE))
        return model_step_refuse(s, STATUS_NOT_FOUND, "NOT_FOUND");
    if (command->verb != MODEL_OPEN && !model_step_may_write(s))
        return false;
    if (command->expected_version != 0 && command->expected_version != s->facts->version)
        return model_step_refuse(s, STATUS_ABORTED, "ETAG_MISMATCH");
    if (s->facts->merged_into != 0 && command->verb != MODEL_OPEN)
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "CASE_MERGED");
    return true;
}

void case_model_apply(const struct model_setting *setting, struct model_case *c,
                      const struct model_command *command, struct model_answer *ret_answer)
{
    struct model_step s = {setting,   command,    c,
                           &c->facts, ret_answer, command->actor.kind == ACTOR_KIND_AGENT};
    ret_answer->code = STATUS_OK;
    ret_answer->reason = "";
    ret_answer->message = ret_answer->event_count = 0;
    if (!may_begin(&s) || !carry_out(&s))
        ret_answer->event_count = 0;
}

void case_model_copy(struct model_case *to, const struct model_case *from)
{
    memcpy(to, from, offsetof(struct model_case, messages) + (size_t)from->last * sizeof *from->messages);
}
