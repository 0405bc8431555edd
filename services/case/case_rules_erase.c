/* Redaction and erasure: the one change that every case takes, and that no timer counts. */

#include "case/case_erase.h"
#include "case/case_rules_steps.h"

#include <string.h>

bool case_rules_redact_message(const struct case_context *context, const struct case_act *act,
                               struct case_change *change, error *err)
{
    return case_step_event(context, change, EVENT_KIND_MESSAGE_REDACTED, act->redacted, err) != NULL;
}

bool case_rules_erase(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (after->erased)
        return true;
    if (strcmp(after->contact, act->erased) == 0) {
        case_erase_texts(after);
        after->subject_key = "";
        after->erased = true;
    }
    struct case_event *event = case_step_event(context, change, EVENT_KIND_CONTACT_ERASED, NULL, err);
    if (event == NULL)
        return false;
    event->resource = arena_printf(context->memory, "contacts/%s", act->erased);
    return event->resource != NULL || case_step_out_of_memory(err);
}

bool case_rules_check_erased(const struct case_act *act, const struct case_record *before, error *err)
{
    if (!before->erased && !before->being_erased)
        return true;
    bool writes = act->kind == CASE_ACT_UPDATE &&
                  ((act->update.fields & (CASE_FIELD_SUBJECT | CASE_FIELD_ATTRIBUTES)) != 0 ||
                   act->update.edits.count > 0);
    return !writes || case_refuse_erased(before, err);
}
