/* Labels put on and taken off one by one; an update of the whole list is in case_rules.c. */

#include "case/case_rules_steps.h"

static bool put_on(arena *memory, const struct text_list *more, struct text_list *labels, error *err)
{
    for (size_t i = 0; i < more->count; i++) {
        if (!text_list_has(labels, more->items[i]) && !text_list_add(memory, labels, more->items[i], labels))
            return case_step_out_of_memory(err);
    }
    return labels->count <= CASE_LABELS_MAX ||
           error_bad_field(err, "labels", "more than %d on one case", CASE_LABELS_MAX);
}

static bool take_off(arena *memory, const struct text_list *less, struct text_list *labels, error *err)
{
    for (size_t i = 0; i < less->count; i++) {
        if (!text_list_remove(memory, labels, less->items[i], labels))
            return case_step_out_of_memory(err);
    }
    return true;
}

bool case_rules_label(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    struct text_list labels = after->labels;
    if (!(act->kind == CASE_ACT_ADD_LABELS ? put_on : take_off)(context->memory, &act->labels, &labels, err))
        return false;
    if (labels.count == after->labels.count)
        return true;
    if (!case_step_open_first(context, change, err))
        return false;
    after->labels = labels;
    change->wide = true;
    struct case_event *event = case_step_event(context, change, EVENT_KIND_CASE_UPDATED, NULL, err);
    if (event == NULL)
        return false;
    event->changed_fields[event->changed_field_count++] = "labels";
    return true;
}
