/* What messages do to their case: who writes decides. */

#include "case/case_erase.h"
#include "case/case_rules_steps.h"

#include <string.h>

/* What was imported has gone out long ago, by other ways. */
static enum delivery_state first_delivery(const struct case_context *context, enum message_kind kind)
{
    bool is_outgoing =
        kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY || kind == MESSAGE_KIND_TO_THIRD_PARTY;
    return is_outgoing && !context->imported ? DELIVERY_QUEUED : DELIVERY_NONE;
}

static struct message_record *next_message(arena *memory, struct case_change *change)
{
    if (change->message_count == change->message_size) {
        size_t size = change->message_size == 0 ? 1 : 2 * change->message_size;
        struct message_record *grown = arena_calloc(memory, size, sizeof *grown);
        if (grown == NULL)
            return NULL;
        if (change->message_count > 0)
            memcpy(grown, change->messages, change->message_count * sizeof *grown);
        change->messages = grown;
        change->message_size = size;
    }
    return &change->messages[change->message_count++];
}

static bool is_customers(const struct message_record *message)
{
    return message->kind == MESSAGE_KIND_CUSTOMER && !message->automatic;
}

static bool is_reply(const struct message_record *message)
{
    return message->kind == MESSAGE_KIND_AGENT && !message->automatic;
}

/* Numbers the message and brings the case's counts up to date. */
struct message_record *case_step_store_message(const struct case_context *context,
                                               const struct message_record *given, struct case_change *change,
                                               error *err)
{
    struct case_record *after = &change->after;
    if (after->erased || after->being_erased) {
        case_refuse_erased(after, err);
        return NULL;
    }
    struct message_record *message = next_message(context->memory, change);
    if (message == NULL) {
        case_step_out_of_memory(err);
        return NULL;
    }
    *message = *given;
    message->account = after->account;
    message->case_id = after->id;
    after->message_count++;
    message->number = case_last_number(after);
    message->delivery = first_delivery(context, message->kind);
    message->state = is_customers(message) ? MESSAGE_STATE_ASSIGNED : MESSAGE_STATE_NONE;
    if (message->send_time > after->last_send_time)
        after->last_send_time = message->send_time;
    if (message->state == MESSAGE_STATE_ASSIGNED) {
        after->messages_assigned++;
        if (after->first_open_message == 0)
            after->first_open_message = message->number;
        if (after->customer_time == 0) {
            after->customer_time = after->last_send_time;
            after->customer_number = message->number;
        }
        if (after->waiting_since == 0) {
            after->waiting_since = after->last_send_time;
            after->waiting_number = message->number;
        }
    }
    if (message_kind_is_visible(message->kind))
        after->need_reply = message->kind == MESSAGE_KIND_CUSTOMER;
    return message;
}

bool case_step_tell_message(const struct case_context *context, const struct message_record *message,
                            struct case_change *change, error *err)
{
    struct message_record *told = arena_memdup(context->memory, message, sizeof *told);
    if (told == NULL)
        return case_step_out_of_memory(err);
    return case_step_event(context, change, EVENT_KIND_MESSAGE_ADDED, told, err) != NULL;
}

bool case_step_involve(const struct case_context *context, const char *agent, struct case_change *change,
                       error *err)
{
    struct case_record *after = &change->after;
    if (!text_list_has(&after->helped, agent) &&
        !text_list_add(context->memory, &after->helped, agent, &after->helped))
        return case_step_out_of_memory(err);
    if (strcmp(after->owner, agent) == 0 || text_list_has(&after->involved, agent))
        return true;
    if (!text_list_add(context->memory, &after->involved, agent, &after->involved))
        return case_step_out_of_memory(err);
    change->wide = true;
    return case_step_minor_event(context, change, EVENT_KIND_OWNER_CHANGED, err) != NULL;
}

/* Who replies to a case without an owner owns it; another agent who replies becomes involved. */
static bool own_or_join(const struct case_context *context, struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    const char *agent = context->actor.id;
    if (after->owner[0] == '\0' &&
        (!case_step_own(context, agent, change, err) ||
         case_step_event(context, change, EVENT_KIND_OWNER_CHANGED, NULL, err) == NULL))
        return false;
    return case_step_involve(context, agent, change, err);
}

static bool add_reply(const struct case_context *context, const struct message_record *given,
                      struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (case_transition(CASE_ROW_REPLIED, after->status) == CASE_REFUSED)
        return case_step_refuse(after, err);
    if (!case_step_open_first(context, change, err) || !own_or_join(context, change, err))
        return false;
    struct message_record *message = case_step_store_message(context, given, change, err);
    if (message == NULL)
        return false;
    case_step_raise(change, MESSAGE_STATE_RESPONDED);
    after->waiting_since = 0;
    after->waiting_number = 0;
    if (after->first_reply_time == 0)
        after->first_reply_time = after->last_send_time;
    if (!case_step_tell_message(context, message, change, err))
        return false;
    return case_step_status(context, change, case_transition(CASE_ROW_REPLIED, after->status),
                            EVENT_KIND_STATUS_CHANGED, err);
}

static bool add_customers(const struct case_context *context, const struct message_record *given,
                          struct case_change *change, error *err)
{
    struct message_record *message = case_step_store_message(context, given, change, err);
    if (message == NULL || !case_step_tell_message(context, message, change, err))
        return false;
    int to = case_transition(CASE_ROW_CUSTOMER_WROTE, change->after.status);
    if (change->after.status == CASE_STATUS_RESOLVED && context->reopen_resolved)
        to = CASE_STATUS_OPEN;
    return case_step_status(context, change, to, EVENT_KIND_STATUS_CHANGED, err);
}

/* Notes, surveys, third parties, the system, auto-responders: stored, and an agent's opens a new case. */
static bool add_other(const struct case_context *context, const struct message_record *given,
                      struct case_change *change, error *err)
{
    if (!given->automatic && !context->imported && !case_step_open_first(context, change, err))
        return false;
    struct message_record *message = case_step_store_message(context, given, change, err);
    return message != NULL && case_step_tell_message(context, message, change, err);
}

bool case_rules_add_message(const struct case_context *context, const struct case_act *act,
                            struct case_change *change, error *err)
{
    struct message_record given = act->add.message;
    if (given.send_time > context->now)
        return error_bad_field(err, "message.send_time", "lies in the future");
    if (given.send_time == 0)
        given.send_time = context->now;
    bool added = is_reply(&given)       ? add_reply(context, &given, change, err)
                 : is_customers(&given) ? add_customers(context, &given, change, err)
                                        : add_other(context, &given, change, err);
    if (!added || act->add.then == AFTER_SEND_NONE)
        return added;
    struct case_act outcome = {
        .kind = act->add.then == AFTER_SEND_RESOLVE ? CASE_ACT_RESOLVE : CASE_ACT_MARK_PENDING,
    };
    return case_rules_apply(context, &outcome, change, err);
}

/* Lowest number that may still be counted, after the message of that number went to `to`. */
static void move_count(struct case_record *after, int32_t number, enum message_state from,
                       enum message_state to)
{
    int32_t *source = case_step_counter(after, from), *target = case_step_counter(after, to);
    if (source != NULL)
        --*source;
    if (target != NULL) {
        ++*target;
        if (after->first_open_message == 0 || number < after->first_open_message)
            after->first_open_message = number;
    }
    if (after->messages_assigned + after->messages_in_progress + after->messages_responded == 0)
        after->first_open_message = 0;
}

bool case_rules_set_message_state(const struct case_context *context, const struct case_act *act,
                                  struct case_change *change, error *err)
{
    if (act->set_state.kind != MESSAGE_KIND_CUSTOMER || act->set_state.state == MESSAGE_STATE_NONE) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "NOT_A_CUSTOMER_MESSAGE",
                         "only customer messages have a workflow state");
    }
    if (act->set_state.state == act->set_state.to)
        return true;
    if (!case_step_open_first(context, change, err))
        return false;
    enum message_state from =
        act->set_state.state > change->raise_to ? act->set_state.state : change->raise_to;
    if (from == act->set_state.to)
        return true;
    move_count(&change->after, act->set_state.number, from, act->set_state.to);
    change->set_number = act->set_state.number;
    change->set_state = act->set_state.to;
    struct message_record *told = arena_calloc(context->memory, 1, sizeof *told);
    if (told == NULL)
        return case_step_out_of_memory(err);
    *told = (struct message_record){
        .account = change->after.account,
        .case_id = change->after.id,
        .number = act->set_state.number,
        .kind = MESSAGE_KIND_CUSTOMER,
        .state = act->set_state.to,
        .author = "",
        .third_party = "",
        .external_id = "",
        .delivery_failure = "",
        .body = "",
    };
    return case_step_event(context, change, EVENT_KIND_MESSAGE_STATE_CHANGED, told, err) != NULL;
}
