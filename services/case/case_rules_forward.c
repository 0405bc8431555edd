/* Forwarding, and how deliveries went. */

#include "case/case_rules_steps.h"

#include <string.h>

/* The agent owns the case, and who owned it stays involved. */
static bool hand_over(const struct case_context *context, const char *agent, struct case_change *change,
                      error *err)
{
    struct case_record *after = &change->after;
    const char *previous = after->owner;
    if (strcmp(previous, agent) == 0)
        return case_step_involve(context, agent, change, err);
    if (!case_step_own(context, agent, change, err) || !case_step_involve(context, agent, change, err))
        return false;
    bool joins = previous[0] != '\0' && !text_list_has(&after->involved, previous);
    return case_step_tell_owner(context, previous, joins, change, err);
}

/* The event that tells who got what; it comes last, with the case as forwarding leaves it. */
static bool tell_forwarding(const struct case_context *context, const struct case_act *act,
                            struct case_change *change, error *err)
{
    const struct message_record *message = act->forward.message;
    if (message != NULL) {
        struct message_record *now = arena_memdup(context->memory, message, sizeof *now);
        if (now == NULL)
            return case_step_out_of_memory(err);
        if (now->state != MESSAGE_STATE_NONE && now->state < change->raise_to)
            now->state = change->raise_to;
        message = now;
    }
    const char *resource =
        act->forward.agent[0] == '\0' ? "" : arena_printf(context->memory, "agents/%s", act->forward.agent);
    struct case_event *event = case_step_event(
        context, change, message == NULL ? EVENT_KIND_CASE_FORWARDED : EVENT_KIND_MESSAGE_FORWARDED, message,
        err);
    if (event == NULL || resource == NULL)
        return case_step_out_of_memory(err);
    event->resource = resource;
    return true;
}

bool case_rules_forward(const struct case_context *context, const struct case_act *act,
                        struct case_change *change, error *err)
{
    const char *agent = act->forward.agent;
    if (agent[0] == '\0' && act->forward.text == NULL)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NOTHING_TO_FORWARD",
                         "there is no text that could be forwarded");
    if (!case_step_open_first(context, change, err))
        return false;
    if (agent[0] != '\0' && !(act->forward.message == NULL ? hand_over(context, agent, change, err)
                                                           : case_step_involve(context, agent, change, err)))
        return false;
    if (act->forward.text != NULL) {
        struct message_record given = *act->forward.text;
        if (given.send_time == 0)
            given.send_time = context->now;
        const struct message_record *message = case_step_store_message(context, &given, change, err);
        if (message == NULL || !case_step_tell_message(context, message, change, err))
            return false;
    }
    return tell_forwarding(context, act, change, err);
}

bool case_rules_report_delivery(const struct case_context *context, const struct case_act *act,
                                struct case_change *change, error *err)
{
    const struct message_record *message = act->report.message;
    if (message->delivery == DELIVERY_NONE)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NOT_OUTGOING", "message %d is not to be delivered",
                         message->number);
    if (message->delivery == act->report.to)
        return true;
    if (message->delivery == DELIVERY_SENT)
        return error_set(err, STATUS_FAILED_PRECONDITION, "ALREADY_SENT", "message %d was told sent before",
                         message->number);
    struct message_record *reported = arena_memdup(context->memory, message, sizeof *reported);
    if (reported == NULL)
        return case_step_out_of_memory(err);
    reported->delivery = act->report.to;
    reported->delivery_failure = act->report.to == DELIVERY_FAILED ? act->report.failure : "";
    if (reported->external_id[0] == '\0')
        reported->external_id = act->report.external_id;
    if (change->after.erased ||
        change->after.being_erased) /* what the connector tells may name the contact */
        reported->delivery_failure = reported->external_id = "";
    change->reported = reported;
    return case_step_event(context, change, EVENT_KIND_DELIVERY_REPORTED, reported, err) != NULL;
}
