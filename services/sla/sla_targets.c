#include "sla/sla_targets.h"

#include "sla/sla_rules.h"

#include <string.h>

/* 9999-12-31T23:59:59.999999Z, the last instant that a Timestamp can say. */
#define LAST_INSTANT INT64_C(253402300799999999)

/* --- time ----------------------------------------------------------------------------------------- */

static int64_t elapsed(const struct sla_targets *targets, const struct sla_target *target, int64_t from,
                       int64_t to)
{
    if (target->in_business_hours && targets->hours)
        return calendar_business_between(targets->hours, from, to);
    return to > from ? to - from : 0;
}

static int64_t after(const struct sla_targets *targets, const struct sla_target *target, int64_t from,
                     int64_t duration)
{
    int64_t time;
    if (target->in_business_hours && targets->hours)
        time = calendar_business_add(targets->hours, from, duration);
    else
        time = from > LAST_INSTANT - duration ? LAST_INSTANT : from + duration;
    return time > LAST_INSTANT ? LAST_INSTANT : time;
}

static int64_t warn_part(const struct sla_target *target)
{
    return target->duration_us / 100 * target->warn_percent +
           target->duration_us % 100 * target->warn_percent / 100;
}

int64_t sla_targets_due(const struct sla_targets *targets, const struct sla_target *target, int64_t from_us,
                        int64_t *ret_warn_us)
{
    *ret_warn_us = after(targets, target, from_us, warn_part(target));
    return after(targets, target, from_us, target->duration_us);
}

/* --- which target --------------------------------------------------------------------------------- */

static bool has_text(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

static bool applies(const struct sla_target *target, const struct sla_history *history)
{
    bool label = target->label_count == 0;
    for (size_t i = 0; !label && i < history->label_count; i++)
        label = has_text(target->labels, target->label_count, history->labels[i]);
    bool channel =
        target->channel_count == 0 || has_text(target->channels, target->channel_count, history->channel);
    bool priority = target->priority_count == 0;
    for (size_t i = 0; !priority && i < target->priority_count; i++)
        priority = target->priorities[i] == history->priority;
    return label && channel && priority;
}

/* Of those that were there at a time. */
static const struct sla_target *find_at(const struct sla_targets *targets, enum sla_kind kind,
                                        const struct sla_history *history, int64_t time_us)
{
    for (size_t i = 0; i < targets->count; i++) {
        const struct sla_target *target = &targets->items[i];
        if (target->kind == kind && target->since_us <= time_us && applies(target, history))
            return target;
    }
    return NULL;
}

const struct sla_target *sla_targets_find(const struct sla_targets *targets, enum sla_kind kind,
                                          const struct sla_history *history)
{
    return find_at(targets, kind, history, INT64_MAX);
}

/* --- one stretch from basis to end ---------------------------------------------------------------- */

struct span {
    enum sla_kind kind;
    int64_t basis, start_us;
    int64_t end_us; /* INT64_MAX: goes on */
};

/* What was recorded of a timer; due_us of its end. */
struct recorded {
    bool warned, breached, met;
    int64_t due_us;
};

static struct recorded look_up(const struct sla_history *history, const struct span *span)
{
    struct recorded recorded = {0};
    for (size_t i = 0; i < history->count; i++) {
        const struct sla_moment *moment = &history->moments[i];
        if (moment->step == 0 || moment->step_kind != span->kind || moment->step_basis != span->basis)
            continue;
        recorded.warned |= moment->step == SLA_STEP_WARNED;
        recorded.breached |= moment->step == SLA_STEP_BREACHED;
        recorded.met |= moment->step == SLA_STEP_MET;
        if (moment->step != SLA_STEP_WARNED)
            recorded.due_us = moment->step_due_us;
    }
    return recorded;
}

static bool counts(const struct sla_target *target, int status)
{
    return status == SLA_STATUS_NEW || status == SLA_STATUS_OPEN ||
           (status == SLA_STATUS_PENDING && !target->pause_while_pending);
}

/* The next moment at which the status changed, or the end. */
static size_t status_end(const struct sla_history *history, size_t at)
{
    size_t next = at + 1;
    while (next < history->count && history->moments[next].status == history->moments[at].status)
        next++;
    return next;
}

/*
 * When so much of a target's time is over, going through the stretches in which it counts; up to the span's
 * end everything is as it was, from there on it is taken to go on. False: it stands still before that, with
 * *ret_left_us to go.
 */
static bool reach(const struct sla_targets *targets, const struct sla_target *target,
                  const struct sla_history *history, const struct span *span, int64_t duration,
                  int64_t *ret_time_us, int64_t *ret_left_us)
{
    int64_t from = span->start_us;
    bool running = true; /* up to the first status that is known */
    size_t next = 0;
    while (from < span->end_us) {
        bool last = next >= history->count || history->moments[next].status_time_us >= span->end_us;
        int64_t to = last ? INT64_MAX : history->moments[next].status_time_us;
        if (running && to > from) {
            int64_t part = last ? duration : elapsed(targets, target, from, to);
            if (part >= duration) {
                *ret_time_us = after(targets, target, from, duration);
                return true;
            }
            duration -= part;
        }
        if (last)
            break;
        from = to > from ? to : from;
        running = counts(target, history->moments[next].status);
        next = status_end(history, next);
    }
    *ret_left_us = duration;
    if (span->end_us == INT64_MAX)
        return false;
    *ret_time_us = after(targets, target, span->end_us, duration);
    return true;
}

/* --- states and steps ----------------------------------------------------------------------------- */

static void propose(struct sla_case_timers *timers, const struct span *span, enum sla_step step, int64_t time,
                    int64_t due, int64_t deadline)
{
    if (time < timers->next.time_us)
        timers->next = (struct sla_due_step){
            .time_us = time,
            .kind = span->kind,
            .step = step,
            .basis = span->basis,
            .due_us = due,
            .deadline_us = deadline,
        };
}

/* A later timer of a kind takes the place of the one before. */
static void show(struct sla_case_timers *timers, const struct sla_timer *timer)
{
    size_t at = timers->count;
    while (at > 0 && timers->timers[at - 1].kind >= timer->kind)
        at--;
    if (at == timers->count || timers->timers[at].kind != timer->kind) {
        memmove(&timers->timers[at + 1], &timers->timers[at], (timers->count - at) * sizeof *timer);
        timers->count++;
    }
    timers->timers[at] = *timer;
}

/* It was replied to, or resolved: met, or breached before that. */
static void derive_ended(const struct span *span, int64_t due_us, struct sla_timer *timer,
                         struct sla_case_timers *timers)
{
    bool late = span->end_us > due_us;
    timer->state = late ? SLA_STATE_BREACHED : SLA_STATE_MET;
    timer->due_us = due_us;
    propose(timers, span, late ? SLA_STEP_BREACHED : SLA_STEP_MET, late ? due_us : span->end_us, due_us, 0);
}

static void derive_running(const struct span *span, const struct recorded *recorded, bool reached,
                           bool warn_reached, int64_t now_us, struct sla_timer *timer,
                           struct sla_case_timers *timers)
{
    bool over = reached && timer->due_us <= now_us;
    if (!reached)
        timer->due_us = 0;
    if (!warn_reached)
        timer->warn_us = 0;
    timer->state = !reached ? SLA_STATE_PAUSED : recorded->warned ? SLA_STATE_WARNED : SLA_STATE_ARMED;
    if (warn_reached && !recorded->warned && !over)
        propose(timers, span, SLA_STEP_WARNED, timer->warn_us, timer->warn_us, timer->due_us);
    else if (reached)
        propose(timers, span, SLA_STEP_BREACHED, timer->due_us, timer->due_us, 0);
}

static void derive_span(const struct sla_targets *targets, const struct sla_history *history,
                        const struct span *span, int64_t now_us, struct sla_case_timers *timers)
{
    struct recorded recorded = look_up(history, span);
    struct sla_timer timer = {.kind = span->kind, .basis = span->basis, .basis_time_us = span->start_us};
    if (recorded.breached || recorded.met) {
        timer.state = recorded.breached ? SLA_STATE_BREACHED : SLA_STATE_MET;
        timer.due_us = recorded.due_us;
        show(timers, &timer);
        return;
    }
    const struct sla_target *target = find_at(targets, span->kind, history, span->end_us);
    bool ended = span->end_us != INT64_MAX;
    int status = history->moments[history->count - 1].status;
    if (!target || (!ended && !counts(target, status) && status != SLA_STATUS_PENDING))
        return;
    int64_t ignored;
    bool reached = reach(targets, target, history, span, target->duration_us, &timer.due_us, &timer.left_us);
    bool warn_reached = reach(targets, target, history, span, warn_part(target), &timer.warn_us, &ignored);
    if (ended)
        derive_ended(span, timer.due_us, &timer, timers);
    else
        derive_running(span, &recorded, reached, warn_reached, now_us, &timer, timers);
    show(timers, &timer);
}

/* --- a case's spans ------------------------------------------------------------------------------- */

static void derive_replies(const struct sla_targets *targets, const struct sla_history *history,
                           int64_t now_us, struct sla_case_timers *timers)
{
    struct span span = {0};
    for (size_t i = 0; i <= history->count; i++) {
        const struct sla_moment *moment = i < history->count ? &history->moments[i] : NULL;
        if (moment && moment->waiting_number == span.basis)
            continue;
        span.end_us = moment ? moment->time_us : INT64_MAX;
        /* Whatever else ends the waiting (a merge) is nobody's reply. */
        if (span.basis != 0 && (!moment || moment->replied))
            derive_span(targets, history, &span, now_us, timers);
        if (!moment)
            break;
        span = (struct span){
            .kind = moment->waiting_number == history->customer_number ? SLA_KIND_FIRST_REPLY
                                                                       : SLA_KIND_NEXT_REPLY,
            .basis = moment->waiting_number,
            .start_us = moment->waiting_since_us,
        };
    }
}

static void derive_resolution(const struct sla_targets *targets, const struct sla_history *history,
                              int64_t now_us, struct sla_case_timers *timers)
{
    struct span span = {
        .kind = SLA_KIND_RESOLUTION,
        .basis = history->customer_number,
        .start_us = history->customer_time_us,
        .end_us = INT64_MAX,
    };
    for (size_t i = 0; i < history->count && span.end_us == INT64_MAX; i++) {
        const struct sla_moment *moment = &history->moments[i];
        bool done = moment->status == SLA_STATUS_RESOLVED || moment->status == SLA_STATUS_CLOSED;
        if (done && moment->status_time_us >= span.start_us)
            span.end_us = moment->status_time_us;
    }
    derive_span(targets, history, &span, now_us, timers);
}

void sla_targets_derive(const struct sla_targets *targets, const struct sla_history *history, int64_t now_us,
                        struct sla_case_timers *ret_timers)
{
    *ret_timers = (struct sla_case_timers){.next = {.time_us = INT64_MAX}};
    if (history->gone || history->customer_number == 0 || history->count == 0)
        return;
    derive_replies(targets, history, now_us, ret_timers);
    derive_resolution(targets, history, now_us, ret_timers);
}
