/*
 * Which steps of its timers a case takes into its history. What the timers are derived from may have moved on
 * while the step was on its way: a step that is no longer true is refused, one that was true before that is
 * not.
 */

#include "case/case_rules_steps.h"

static bool stale(const struct case_record *record, int64_t basis, error *err)
{
    return error_set(err, STATUS_ABORTED, "STALE_VERSION", "case %lld has moved on: not %lld any more",
                     (long long)record->id, (long long)basis);
}

static bool not_due(const struct case_record *record, const char *why, error *err)
{
    error_set(err, STATUS_FAILED_PRECONDITION, "NOT_DUE", "case %lld: %s", (long long)record->id, why);
    return case_step_tell_status(record, err);
}

/* A target that an agent's reply meets. `replied`: when; 0: not yet. */
static bool check_reply(const struct case_record *record, const struct timer_step *step, int64_t replied,
                        error *err)
{
    switch (step->step) {
    case TIMER_STEP_WARNED:
        return replied == 0 || stale(record, step->basis_version, err);
    case TIMER_STEP_BREACHED: /* also when the reply came later than that, and the step later still */
        return replied == 0 || (step->due_time != 0 && replied > step->due_time) ||
               stale(record, step->basis_version, err);
    default:
        return replied != 0 || not_due(record, "nobody has replied yet", err);
    }
}

static bool check_step(const struct case_record *record, const struct timer_step *step, int64_t reply_time,
                       error *err)
{
    int64_t basis = step->basis_version;
    switch (step->kind) {
    case TIMER_KIND_CLOSE:
        return basis == record->change_version || basis == record->activity_version ||
               stale(record, basis, err);
    case TIMER_KIND_FIRST_REPLY:
    case TIMER_KIND_NEXT_REPLY:
        if (basis == 0 || (step->kind == TIMER_KIND_FIRST_REPLY && basis != record->customer_number) ||
            (basis != record->waiting_number && reply_time == 0))
            return stale(record, basis, err);
        return check_reply(record, step, basis == record->waiting_number ? 0 : reply_time, err);
    case TIMER_KIND_RESOLUTION:
        return (basis == record->customer_number && basis != 0) || stale(record, basis, err);
    }
    return error_bad_field(err, "kind", "is required");
}

bool case_rules_timer_step(const struct case_context *context, const struct case_act *act,
                           struct case_change *change, error *err)
{
    const struct timer_step *step = &act->timer.step;
    struct case_record *after = &change->after;
    if (act->timer.ended || (act->timer.case_version != 0 && act->timer.case_version != after->version))
        return stale(after, step->basis_version, err);
    if (!check_step(after, step, act->timer.reply_time, err))
        return false;
    if (step->step != TIMER_STEP_MET && context->now < step->due_time)
        return not_due(after, "the step is not due", err);
    int64_t update_time = after->update_time;
    struct case_event *event = case_step_event(context, change, EVENT_KIND_TIMER_STEP, NULL, err);
    if (event == NULL)
        return false;
    /* Nobody has changed the case: it keeps its place in the lists. */
    struct case_record *facts = arena_memdup(context->memory, event->facts, sizeof *facts);
    event->timer_step = arena_memdup(context->memory, step, sizeof *step);
    if (facts == NULL || event->timer_step == NULL)
        return case_step_out_of_memory(err);
    facts->update_time = after->update_time = update_time;
    event->facts = facts;
    return true;
}
