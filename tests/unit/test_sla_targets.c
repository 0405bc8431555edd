/* Targets worked out from a history, against a model that goes through every minute and counts. */

#include "base/clock.h"
#include "sla/sla_rules.h"
#include "sla/sla_targets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MINUTES = 400, MOMENTS_MAX = 2000, RUNS = 300, ITEMS = 2 * SLA_TARGET_KINDS };

#define START (1000 * CLOCK_DAY) /* a midnight */

static const char *const urgent[] = {"urgent"};

/* One timer as the model runs it; `basis` 0: it does not run. */
struct counter {
    int64_t basis;
    int64_t elapsed[2][2]; /* around the clock and in business hours; without and with pauses */
    bool warned, breached;
    bool moved; /* labels or policy have changed since it began: what is overdue then comes late */
};

struct world {
    unsigned began; /* the seed of this run */
    unsigned seed;
    struct sla_target items[ITEMS]; /* of each kind one for urgent cases, and one for all others */
    struct sla_targets targets;
    struct sla_moment moments[MOMENTS_MAX];
    struct sla_history history;
    struct counter counters[SLA_KINDS];
    int64_t now, messages;
    struct sla_moment state; /* the case as it is */
    bool resolved_once;
    size_t steps, late;
};

static int pick(struct world *w, int count)
{
    return rand_r(&w->seed) % count;
}

static void remember(struct world *w, bool replied)
{
    cr_assert_lt(w->history.count, MOMENTS_MAX);
    w->state.time_us = w->now;
    w->state.replied = replied;
    w->moments[w->history.count++] = w->state;
}

/* --- what the model counts ------------------------------------------------------------------------ */

/* As the calendar below says it. */
static bool is_business(int64_t time)
{
    int64_t minute = (time - START) / CLOCK_MINUTE;
    return (minute >= 30 && minute < 120) || (minute >= 160 && minute < 250) || minute >= 300;
}

static calendar_hours *make_hours(void)
{
    struct calendar_period periods[21];
    for (int day = 0; day < 7; day++) {
        periods[3 * day] = (struct calendar_period){day + 1, 30, 120};
        periods[3 * day + 1] = (struct calendar_period){day + 1, 160, 250};
        periods[3 * day + 2] = (struct calendar_period){day + 1, 300, CALENDAR_DAY_MINUTES};
    }
    return calendar_hours_new(calendar_zone_get("UTC"), periods, 21, NULL, 0);
}

static const struct sla_target *target_of(const struct world *w, enum sla_kind kind)
{
    return &w->items[2 * (kind - SLA_KIND_FIRST_REPLY) + (w->history.label_count == 0)];
}

static int64_t elapsed(const struct world *w, enum sla_kind kind)
{
    const struct sla_target *target = target_of(w, kind);
    return w->counters[kind].elapsed[target->in_business_hours][target->pause_while_pending];
}

static void count_minute(struct world *w, struct counter *counter)
{
    for (int business = 0; business < 2; business++)
        for (int pauses = 0; pauses < 2; pauses++)
            if ((w->state.status == SLA_STATUS_OPEN || (w->state.status == SLA_STATUS_PENDING && !pauses)) &&
                (!business || is_business(w->now)))
                counter->elapsed[business][pauses] += CLOCK_MINUTE;
}

/* The step that the kind's timer has to take now; 0: none. */
static enum sla_step step_of(const struct world *w, enum sla_kind kind)
{
    const struct counter *counter = &w->counters[kind];
    const struct sla_target *target = target_of(w, kind);
    if (counter->basis == 0 || counter->breached || w->state.status == SLA_STATUS_RESOLVED)
        return (enum sla_step)0;
    if (elapsed(w, kind) >= target->duration_us)
        return SLA_STEP_BREACHED;
    bool warns = !counter->warned && elapsed(w, kind) * 100 >= target->duration_us * target->warn_percent;
    return warns ? SLA_STEP_WARNED : (enum sla_step)0;
}

/* --- beside the code under test ------------------------------------------------------------------- */

/* Records the step that is due by the code under test, which has to be the kind's, and this one. */
static void record_due(struct world *w, enum sla_step steps[SLA_KINDS])
{
    struct sla_case_timers timers;
    sla_targets_derive(&w->targets, &w->history, w->now, &timers);
    const struct sla_due_step *next = &timers.next;
    cr_assert_leq(next->time_us, w->now, "minute %lld, seed %u: a step is missing",
                  (long long)((w->now - START) / CLOCK_MINUTE), w->began);
    const struct counter *counter = &w->counters[next->kind];
    cr_assert_eq(next->step, steps[next->kind], "minute %lld, seed %u: step %d of kind %d, not %d",
                 (long long)((w->now - START) / CLOCK_MINUTE), w->began, (int)next->step, (int)next->kind,
                 (int)steps[next->kind]);
    cr_assert_eq(next->basis, counter->basis);
    cr_assert(next->time_us == w->now || counter->moved, "minute %lld, seed %u: %lld minutes late",
              (long long)((w->now - START) / CLOCK_MINUTE), w->began,
              (long long)((w->now - next->time_us) / CLOCK_MINUTE));
    struct sla_moment moment = w->state;
    moment.time_us = w->now;
    moment.replied = false;
    moment.step = next->step;
    moment.step_kind = next->kind;
    moment.step_basis = next->basis;
    moment.step_due_us = next->due_us;
    w->moments[w->history.count++] = moment;
    w->late += next->time_us < w->now;
    w->steps++;
    steps[next->kind] = (enum sla_step)0;
}

/* Each step that is due is recorded, whatever their order. */
static void take_steps(struct world *w)
{
    enum sla_step steps[SLA_KINDS] = {0};
    int count = 0;
    for (enum sla_kind kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++) {
        steps[kind] = step_of(w, kind);
        count += steps[kind] != 0;
        w->counters[kind].breached |= steps[kind] == SLA_STEP_BREACHED;
        w->counters[kind].warned |= steps[kind] == SLA_STEP_WARNED;
    }
    while (count-- > 0)
        record_due(w, steps);
}

static void tick(struct world *w)
{
    for (enum sla_kind kind = SLA_KIND_FIRST_REPLY; kind <= SLA_KIND_RESOLUTION; kind++)
        count_minute(w, &w->counters[kind]);
    w->now += CLOCK_MINUTE;
    take_steps(w);
}

/* Overdue by now, because the labels or the policy changed while it stood still: too late is too late. */
static void finish(struct world *w, enum sla_kind kind)
{
    struct counter *counter = &w->counters[kind];
    enum sla_step steps[SLA_KINDS] = {0};
    bool late = elapsed(w, kind) >= target_of(w, kind)->duration_us;
    steps[kind] = late ? SLA_STEP_BREACHED : SLA_STEP_MET;
    if (counter->basis != 0 && !counter->breached)
        record_due(w, steps);
    counter->basis = 0;
}

static void set_status(struct world *w, int status)
{
    if (w->state.status == status)
        return;
    w->state.status = status;
    w->state.status_time_us = w->now;
}

static void customer_writes(struct world *w)
{
    w->messages++;
    if (w->state.waiting_number == 0) {
        bool first = w->history.customer_number == 0;
        w->state.waiting_number = w->messages;
        w->state.waiting_since_us = w->now;
        struct counter fresh = {.basis = w->messages};
        w->counters[first ? SLA_KIND_FIRST_REPLY : SLA_KIND_NEXT_REPLY] = fresh;
        if (first) {
            w->history.customer_number = w->messages;
            w->history.customer_time_us = w->now;
            w->counters[SLA_KIND_RESOLUTION] = fresh;
        }
    }
    set_status(w, SLA_STATUS_OPEN);
    remember(w, false);
}

static void agent_replies(struct world *w)
{
    w->messages++;
    bool waits = w->state.waiting_number != 0;
    bool first = w->state.waiting_number == w->history.customer_number;
    w->state.waiting_number = 0;
    set_status(w, SLA_STATUS_OPEN);
    remember(w, true);
    if (waits)
        finish(w, first ? SLA_KIND_FIRST_REPLY : SLA_KIND_NEXT_REPLY);
}

static void resolve(struct world *w)
{
    set_status(w, SLA_STATUS_RESOLVED);
    remember(w, false);
    if (!w->resolved_once && w->history.customer_number != 0)
        finish(w, SLA_KIND_RESOLUTION);
    w->resolved_once = w->history.customer_number != 0;
}

/* --- what happens --------------------------------------------------------------------------------- */

static void move_all(struct world *w)
{
    for (int kind = 0; kind < SLA_KINDS; kind++)
        w->counters[kind].moved = true;
}

static void label(struct world *w)
{
    w->history.label_count = !w->history.label_count;
    remember(w, false);
    move_all(w);
}

static void draw_policy(struct world *w)
{
    static const int percents[] = {20, 50, SLA_WARN_PERCENT};
    for (int i = 0; i < ITEMS; i++)
        w->items[i] = (struct sla_target){.kind = (enum sla_kind)(SLA_KIND_FIRST_REPLY + i / 2),
                                          .duration_us = 10 * (1 + pick(w, 10)) * CLOCK_MINUTE,
                                          .in_business_hours = pick(w, 2) == 0,
                                          .pause_while_pending = pick(w, 2) == 0,
                                          .warn_percent = percents[pick(w, 3)],
                                          .labels = i % 2 == 0 ? urgent : NULL,
                                          .label_count = i % 2 == 0};
    move_all(w);
}

static void change_status(struct world *w, int status)
{
    set_status(w, status);
    remember(w, false);
}

static void happen(struct world *w)
{
    switch (pick(w, 80)) {
    case 0:
        customer_writes(w);
        break;
    case 1:
        agent_replies(w);
        break;
    case 2:
        change_status(w, SLA_STATUS_PENDING);
        break;
    case 3:
        change_status(w, SLA_STATUS_OPEN);
        break;
    case 4:
        if (pick(w, 3) == 0)
            resolve(w);
        break;
    case 5:
        label(w);
        break;
    case 6:
        if (pick(w, 3) == 0)
            draw_policy(w);
        break;
    default:
        break;
    }
    take_steps(w);
}

/* --- what is shown -------------------------------------------------------------------------------- */

/* So much of a target's time after now, minute by minute. */
static int64_t due_in(const struct world *w, const struct sla_target *target, int64_t left)
{
    int64_t time = w->now;
    for (; left > 0; time += CLOCK_MINUTE)
        left -= !target->in_business_hours || is_business(time) ? CLOCK_MINUTE : 0;
    return time;
}

/* Nothing is due that the model does not know of, and what is shown is what it counts. */
static void check_shown(const struct world *w)
{
    struct sla_case_timers timers;
    sla_targets_derive(&w->targets, &w->history, w->now, &timers);
    cr_assert_gt(timers.next.time_us, w->now, "an unknown step at minute %lld, seed %u",
                 (long long)((w->now - START) / CLOCK_MINUTE), w->began);
    for (size_t i = 0; i < timers.count; i++) {
        const struct sla_timer *timer = &timers.timers[i];
        const struct counter *counter = &w->counters[timer->kind];
        cr_assert(i == 0 || timers.timers[i - 1].kind < timer->kind);
        if (timer->state == SLA_STATE_MET || timer->state == SLA_STATE_BREACHED)
            continue;
        const struct sla_target *target = target_of(w, timer->kind);
        int64_t left = target->duration_us - elapsed(w, timer->kind);
        cr_assert_eq(timer->basis, counter->basis);
        if (timer->state == SLA_STATE_PAUSED)
            cr_assert_eq(timer->left_us, left);
        else
            cr_assert_eq(timer->due_us, due_in(w, target, left), "minute %lld, seed %u",
                         (long long)((w->now - START) / CLOCK_MINUTE), w->began);
    }
}

static void run(struct world *w, unsigned seed, const calendar_hours *hours)
{
    memset(w, 0, sizeof *w);
    w->began = w->seed = seed;
    draw_policy(w);
    w->targets = (struct sla_targets){.items = w->items, .count = ITEMS, .hours = hours};
    w->now = START;
    w->state = (struct sla_moment){.status = SLA_STATUS_OPEN, .status_time_us = w->now};
    w->history.moments = w->moments;
    w->history.labels = urgent;
    w->history.channel = "";
    remember(w, false);
    while (w->now < START + MINUTES * CLOCK_MINUTE) {
        tick(w);
        happen(w);
        check_shown(w);
    }
}

Test(sla_targets_model, agrees_with_a_count_of_minutes)
{
    static struct world w;
    const char *given = getenv("CASEWORK_SEED");
    unsigned first = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    calendar_hours *hours = make_hours();
    size_t steps = 0;
    size_t late = 0;
    cr_assert_not_null(hours);
    const char *many = getenv("CASEWORK_SLA_RUNS");
    unsigned runs = many ? (unsigned)strtoul(many, NULL, 10) : RUNS;
    for (unsigned i = 0; i < runs; i++) {
        run(&w, first + i, hours);
        steps += w.steps;
        late += w.late;
    }
    calendar_hours_free(hours);
    cr_assert_gt(steps, runs);
    cr_assert_gt(late, 0, "some were overdue by a changed policy or label");
    fprintf(stderr, "%zu steps, %zu of them late, seed %u\n", steps, late, first);
}
