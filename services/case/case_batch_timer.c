/* Steps of timers, each once. */

#include "case/case_batch_run.h"

static const struct timer_step *step_of(const struct case_command *command)
{
    return &command->change.act.timer.step;
}

/* Reply targets have the number of a message as their basis. */
static struct reply_entry *reply_of(struct overlay *overlay, const struct case_command *command)
{
    const struct timer_step *step = step_of(command);
    bool is_reply = step->kind == TIMER_KIND_FIRST_REPLY || step->kind == TIMER_KIND_NEXT_REPLY;
    if (!is_reply || step->basis_version <= 0 || step->basis_version > INT32_MAX)
        return NULL;
    return overlay_reply(overlay, command->account, command->change.case_id, (int32_t)step->basis_version);
}

/* What a timer ends with: nothing comes after it. */
static const enum timer_step_kind ends[] = {TIMER_STEP_BREACHED, TIMER_STEP_MET};
enum { ENDS = sizeof ends / sizeof *ends };

static struct timer_step_entry *end_of(struct overlay *overlay, const struct case_command *command,
                                       enum timer_step_kind kind)
{
    struct timer_step end = *step_of(command);
    end.step = kind;
    return overlay_timer_step(overlay, command->account, command->change.case_id, &end);
}

static bool has_ended(struct overlay *overlay, const struct case_command *command)
{
    for (int i = 0; i < ENDS; i++) {
        const struct timer_step_entry *end = end_of(overlay, command, ends[i]);
        if (end != NULL && end->entry.exists)
            return true;
    }
    return false;
}

static void step_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_case(overlay, command->account, command->change.case_id);
    overlay_timer_step(overlay, command->account, command->change.case_id, step_of(command));
    for (int i = 0; i < ENDS; i++)
        (void)end_of(overlay, command, ends[i]);
    reply_of(overlay, command);
}

static bool step_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *entry = batch_existing_case(overlay, command, command->change.case_id, err);
    if (entry == NULL)
        return false;
    struct timer_step_entry *known =
        overlay_timer_step(overlay, command->account, entry->record.id, step_of(command));
    if (known == NULL)
        return batch_out_of_memory(err);
    if (known->entry.exists)
        return batch_answer_case(overlay, command, entry, err);
    struct case_act act = command->change.act;
    act.timer.ended = has_ended(overlay, command);
    const struct reply_entry *reply = reply_of(overlay, command);
    if (reply != NULL && reply->entry.exists) /* a reply that is not stored yet belongs to this batch */
        act.timer.reply_time = reply->time == 0 ? overlay->now : reply->time;
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!case_rules_apply(&context, &act, &change, err) || !batch_apply(overlay, entry, &change, err))
        return false;
    known->entry.exists = known->entry.inserted = true;
    command->answer.recorded = true;
    return batch_answer_case(overlay, command, entry, err);
}

const struct method_ops timer_step_ops = {step_gather, step_run};
