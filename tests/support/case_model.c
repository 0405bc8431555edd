#include "tests/support/case_model.h"

#include <stdlib.h>
#include <string.h>

/* What an event moves besides the version. */
enum { NOTHING = 0, CHANGE = 1, ACTIVITY = 2 };

/* One command under way. */
struct step {
    const struct model_setting *setting;
    const struct model_command *command;
    struct model_case *c;
    struct model_facts *facts;
    struct model_answer *answer;
    bool by_agent;
};

/* --- lists -------------------------------------------------------------------------------------------------
 */

bool model_list_has(const struct model_list *list, int item)
{
    for (int i = 0; i < list->count; i++) {
        if (list->items[i] == item)
            return true;
    }
    return false;
}

void model_list_add(struct model_list *list, int item)
{
    if (model_list_has(list, item))
        return;
    if (list->count == MODEL_LIST_MAX)
        abort();
    list->items[list->count++] = (uint8_t)item;
}

void model_list_remove(struct model_list *list, int item)
{
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        if (list->items[i] != item)
            list->items[kept++] = list->items[i];
    }
    list->count = (uint8_t)kept;
}

bool model_list_equal(const struct model_list *one, const struct model_list *two)
{
    return one->count == two->count && memcmp(one->items, two->items, one->count) == 0;
}

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

static bool refuse(struct step *s, enum status_code code, const char *reason)
{
    s->answer->code = code;
    s->answer->reason = reason;
    return false;
}

static bool refuse_standing(struct step *s)
{
    return refuse(s, STATUS_FAILED_PRECONDITION, standing[s->facts->status]);
}

/* --- what commands are made of -----------------------------------------------------------------------------
 */

bool case_model_visible(enum message_kind kind)
{
    return kind == MESSAGE_KIND_CUSTOMER || kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY;
}

static bool is_customers(const struct model_message *message)
{
    return message->kind == MESSAGE_KIND_CUSTOMER && !message->automatic;
}

static void settle(struct model_case *c)
{
    c->facts.all_closed = true;
    for (int i = 0; i < c->facts.message_count; i++) {
        if (is_customers(&c->messages[i]) && c->messages[i].state != MESSAGE_STATE_CLOSED)
            c->facts.all_closed = false;
    }
}

static void event(struct step *s, enum event_kind kind, enum case_status before, int message, int moves)
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
    s->answer->events[s->answer->event_count++] =
        (struct model_event){.kind = kind, .previous_status = before, .message = message, .facts = *facts};
}

/* Customer messages below that state come to it; whether there were any. */
static bool raise(struct model_case *c, enum message_state to)
{
    bool raised = false;
    for (int i = 0; i < c->facts.message_count; i++) {
        if (is_customers(&c->messages[i]) && c->messages[i].state < to) {
            c->messages[i].state = to;
            raised = true;
        }
    }
    return raised;
}

static void stand(struct step *s, enum case_status to)
{
    struct model_facts *facts = s->facts;
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
static void move(struct step *s, enum case_status to, enum event_kind kind)
{
    enum case_status before = s->facts->status;
    stand(s, to);
    event(s, kind, before, 0, CHANGE | (s->by_agent ? ACTIVITY : 0));
}

/* Who owns a case is not among those who help with it. */
static void own(struct step *s, int agent)
{
    s->facts->owner = agent;
    model_list_remove(&s->facts->involved, agent);
}

/* An agent opens a new case. */
static void open_new(struct step *s)
{
    stand(s, OPEN);
    s->facts->open_time = s->setting->now;
    if (s->facts->owner == 0)
        own(s, s->command->actor.agent);
    raise(s->c, MESSAGE_STATE_IN_PROGRESS);
    event(s, EVENT_KIND_CASE_OPENED, NEW, 0, CHANGE | ACTIVITY);
}

/* Any agent's changing act on a new case counts as opening it first. */
static void open_first(struct step *s)
{
    if (s->by_agent && s->facts->status == NEW)
        open_new(s);
}

static bool is_gone(struct step *s)
{
    return s->facts->status == DELETED;
}

/* --- the commands: false when refused ----------------------------------------------------------------------
 */

static bool do_open(struct step *s)
{
    if (s->facts->status == NEW)
        open_new(s);
    else if (!is_gone(s) && raise(s->c, MESSAGE_STATE_IN_PROGRESS))
        event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, s->facts->status, 0, CHANGE);
    return true;
}

static bool do_resolve(struct step *s)
{
    enum case_status before = s->facts->status;
    int to = table[RESOLVES][before];
    if (to == REFUSED)
        return refuse_standing(s);
    open_first(s);
    if (to == RESOLVED) {
        raise(s->c, MESSAGE_STATE_CLOSED);
        move(s, RESOLVED, EVENT_KIND_STATUS_CHANGED);
    } else if (raise(s->c, MESSAGE_STATE_CLOSED)) {
        event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, before, 0, CHANGE);
    }
    return true;
}

static bool do_move(struct step *s, enum row row, enum event_kind kind)
{
    int to = table[row][s->facts->status];
    if (to == REFUSED)
        return refuse_standing(s);
    if (to == STAYS)
        return true;
    open_first(s);
    move(s, (enum case_status)to, kind);
    return true;
}

static bool do_delete(struct step *s)
{
    enum case_status before = s->facts->status;
    if (table[DELETES][before] == STAYS)
        return true;
    s->facts->status_before_delete = before;
    s->facts->delete_time = s->setting->now;
    move(s, DELETED, EVENT_KIND_CASE_DELETED);
    return true;
}

static bool do_undelete(struct step *s)
{
    struct model_facts *facts = s->facts;
    if (table[UNDELETES][facts->status] == STAYS)
        return true;
    facts->status = facts->status_before_delete;
    facts->status_before_delete = CASE_STATUS_NONE;
    facts->delete_time = 0;
    facts->status_time = s->setting->now;
    event(s, EVENT_KIND_CASE_UNDELETED, DELETED, 0, CHANGE | (s->by_agent ? ACTIVITY : 0));
    return true;
}

static bool do_close(struct step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts;
    bool resolved_rule = command->rule == DUE_RULE_RESOLVED;
    if (facts->status == CLOSED)
        return true;
    if (command->basis_version != (resolved_rule ? facts->change_version : facts->activity_version))
        return refuse(s, STATUS_ABORTED, "STALE_VERSION");
    if (facts->status == NEW || facts->status == DELETED)
        return refuse_standing(s);
    if (s->setting->now < command->due_time)
        return refuse(s, STATUS_FAILED_PRECONDITION, "NOT_DUE");
    if (resolved_rule ? facts->status != RESOLVED : !facts->all_closed)
        return refuse(s, STATUS_FAILED_PRECONDITION, "NOT_DUE");
    enum case_status before = facts->status;
    stand(s, CLOSED);
    event(s, EVENT_KIND_CASE_CLOSED, before, 0, NOTHING);
    return true;
}

static bool do_assign(struct step *s)
{
    if (is_gone(s))
        return refuse_standing(s);
    if (s->command->owner == s->facts->owner)
        return true;
    open_first(s);
    if (s->command->owner != s->facts->owner) {
        own(s, s->command->owner);
        event(s, EVENT_KIND_OWNER_CHANGED, s->facts->status, 0, CHANGE);
    }
    return true;
}

static bool do_update(struct step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts, after = *facts;
    int moves = NOTHING;
    if (is_gone(s))
        return refuse_standing(s);
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
    open_first(s);
    facts->subject = after.subject;
    facts->labels = after.labels;
    facts->priority = after.priority;
    memcpy(facts->attributes, after.attributes, sizeof after.attributes);
    event(s, EVENT_KIND_CASE_UPDATED, facts->status, 0, moves);
    return true;
}

static bool do_classify(struct step *s, bool on)
{
    struct model_list after = s->facts->classes;
    if (is_gone(s))
        return refuse_standing(s);
    for (int i = 0; i < s->command->classes.count; i++)
        (on ? model_list_add : model_list_remove)(&after, s->command->classes.items[i]);
    if (model_list_equal(&after, &s->facts->classes))
        return true;
    open_first(s);
    s->facts->classes = after;
    event(s, EVENT_KIND_CLASSIFICATIONS_CHANGED, s->facts->status, 0, CHANGE);
    return true;
}

static bool do_set_state(struct step *s)
{
    struct model_message *message = &s->c->messages[s->command->message - 1];
    if (is_gone(s))
        return refuse_standing(s);
    if (!is_customers(message))
        return refuse(s, STATUS_FAILED_PRECONDITION, "NOT_A_CUSTOMER_MESSAGE");
    s->answer->message = s->command->message;
    if (message->state == s->command->state)
        return true;
    open_first(s);
    if (message->state != s->command->state) {
        message->state = s->command->state;
        event(s, EVENT_KIND_MESSAGE_STATE_CHANGED, s->facts->status, s->command->message, CHANGE);
    }
    return true;
}

/* --- messages ----------------------------------------------------------------------------------------------
 */

static bool is_outgoing(enum message_kind kind)
{
    return kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY || kind == MESSAGE_KIND_TO_THIRD_PARTY;
}

/* Puts it behind the others; answers the time that it counts from. */
static int64_t store(struct step *s)
{
    const struct model_command *command = s->command;
    struct model_case *c = s->c;
    if (s->facts->message_count == MODEL_MESSAGES_MAX)
        abort();
    struct model_message *message = &c->messages[s->facts->message_count++];
    *message = (struct model_message){
        .kind = command->kind,
        .automatic = command->automatic,
        .author = command->actor,
        .body = command->body,
        .external_id = command->external_id,
        .send_time = command->sent ? command->sent : s->setting->now,
        .create_time = s->setting->now,
        .delivery = is_outgoing(command->kind) ? DELIVERY_QUEUED : DELIVERY_NONE,
    };
    if (is_customers(message))
        message->state = MESSAGE_STATE_ASSIGNED;
    if (message->send_time > c->last_send_time)
        c->last_send_time = message->send_time;
    s->answer->message = s->facts->message_count;
    return c->last_send_time;
}

static void customer_wrote(struct step *s, int64_t sent)
{
    s->facts->need_reply = true;
    if (s->command->automatic)
        return;
    if (s->facts->first_customer_time == 0)
        s->facts->first_customer_time = sent;
    if (s->facts->waiting_since_time == 0)
        s->facts->waiting_since_time = sent;
}

static void agent_wrote(struct step *s, int64_t sent)
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
static void reply_by(struct step *s, int agent)
{
    struct model_facts *facts = s->facts;
    if (facts->owner == 0)
        own(s, agent);
    else if (facts->owner != agent && !model_list_has(&facts->involved, agent))
        model_list_add(&facts->involved, agent);
    else
        return;
    event(s, EVENT_KIND_OWNER_CHANGED, facts->status, 0, CHANGE);
}

/* Where the message takes the case: a status, STAYS or REFUSED. */
static int message_leads_to(const struct step *s)
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
static int message_moves(const struct step *s)
{
    const struct model_command *command = s->command;
    bool activity = !command->automatic &&
                    (command->kind == MESSAGE_KIND_CUSTOMER || command->kind == MESSAGE_KIND_AGENT ||
                     (s->by_agent && command->kind != MESSAGE_KIND_NOTE));
    return (command->kind == MESSAGE_KIND_SYSTEM ? NOTHING : CHANGE) | (activity ? ACTIVITY : NOTHING);
}

static bool do_add_message(struct step *s)
{
    const struct model_command *command = s->command;
    int moves = message_moves(s);
    if (message_leads_to(s) == REFUSED)
        return refuse_standing(s);
    if (command->sent > s->setting->now)
        return refuse(s, STATUS_INVALID_ARGUMENT, "INVALID_FIELD");
    if (!command->automatic) /* what an auto-responder writes is no act of the agent */
        open_first(s);
    enum case_status before = s->facts->status;
    int to = message_leads_to(s);
    if (s->by_agent && command->kind == MESSAGE_KIND_AGENT && !command->automatic)
        reply_by(s, command->actor.agent);
    int64_t sent = store(s);
    if (command->kind == MESSAGE_KIND_CUSTOMER)
        customer_wrote(s, sent);
    else if (command->kind == MESSAGE_KIND_AGENT)
        agent_wrote(s, sent);
    else if (command->kind == MESSAGE_KIND_SURVEY)
        s->facts->need_reply = false;
    event(s, EVENT_KIND_MESSAGE_ADDED, before, s->answer->message, moves);
    if (to != STAYS)
        move(s, (enum case_status)to, EVENT_KIND_STATUS_CHANGED);
    if (command->then == AFTER_SEND_MARK_PENDING)
        return do_move(s, PENDS, EVENT_KIND_STATUS_CHANGED);
    if (command->then == AFTER_SEND_RESOLVE)
        return do_resolve(s);
    return true;
}

static bool do_create(struct step *s)
{
    const struct model_command *command = s->command;
    struct model_facts *facts = s->facts;
    *s->c = (struct model_case){.number = s->c->number};
    if (command->has_message && command->sent > s->setting->now)
        return refuse(s, STATUS_INVALID_ARGUMENT, "INVALID_FIELD");
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
    event(s, EVENT_KIND_CASE_CREATED, CASE_STATUS_NONE, 0, CHANGE | ACTIVITY);
    return !command->has_message || do_add_message(s);
}

static bool carry_out(struct step *s)
{
    switch (s->command->verb) {
    case MODEL_CREATE:
        return do_create(s);
    case MODEL_OPEN:
        return do_open(s);
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
    default:
        abort(); /* not about one case */
    }
}

void case_model_apply(const struct model_setting *setting, struct model_case *c,
                      const struct model_command *command, struct model_answer *ret_answer)
{
    struct step s = {setting, command, c, &c->facts, ret_answer, command->actor.kind == ACTOR_KIND_AGENT};
    ret_answer->code = STATUS_OK;
    ret_answer->reason = "";
    ret_answer->message = ret_answer->event_count = 0;
    if (command->verb != MODEL_CREATE && command->expected_version != 0 &&
        command->expected_version != c->facts.version)
        refuse(&s, STATUS_ABORTED, "ETAG_MISMATCH");
    else if (!carry_out(&s))
        ret_answer->event_count = 0;
}
