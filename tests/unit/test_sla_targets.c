/* Targets worked out from a history, against a model that goes through every minute and counts. */

#include "base/clock.h"
#include "sla/sla_rules.h"
#include "sla/sla_targets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MINUTES = 400, MOMENTS_MAX = 2000, RUNS = 300 };

/* One timer as the model runs it; `basis` 0: it does not run. */
struct counter {
    int64_t basis, elapsed;
    bool warned, breached;
};

struct world {
    unsigned seed;
    struct sla_target items[SLA_TARGET_KINDS];
    struct sla_targets targets;
    struct sla_moment moments[MOMENTS_MAX];
    struct sla_history history;
    struct counter counters[SLA_KINDS];
    int64_t now, messages;
    struct sla_moment state; /* the case as it is */
    bool resolved_once;
    size_t steps;
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

/* What the code under test would have recorded by now; in the order of time. */
static void record_due(struct world *w, enum sla_kind kind, enum sla_step step, int64_t basis,
                       const char *when)
{
    struct sla_case_timers timers;
    sla_targets_derive(&w->targets, &w->history, w->now, &timers);
    const struct sla_due_step *next = &timers.next;
    cr_assert_eq(next->time_us, w->now, "%s at minute %lld, seed %u: %lld minutes off", when,
                 (long long)(w->now / CLOCK_MINUTE), w->seed,
                 (long long)((next->time_us - w->now) / CLOCK_MINUTE));
    cr_assert_eq(next->kind, kind, "%s", when);
    cr_assert_eq(next->step, step, "%s", when);
    cr_assert_eq(next->basis, basis, "%s", when);
    struct sla_moment moment = w->state;
    moment.time_us = w->now;
    moment.replied = false;
    moment.step = step;
    moment.step_kind = kind;
    moment.step_basis = basis;
    moment.step_due_us = next->due_us;
    w->moments[w->history.count++] = moment;
    w->steps++;
}

static bool runs(const struct world *w, const struct sla_target *target)
{
    return w->state.status == SLA_STATUS_OPEN ||
           (w->state.status == SLA_STATUS_PENDING && !target->pause_while_pending);
}

static void tick(struct world *w)
{
    for (int i = 0; i < SLA_TARGET_KINDS; i++) {
        const struct sla_target *target = &w->items[i];
        struct counter *counter = &w->counters[target->kind];
        if (counter->basis == 0 || counter->breached || !runs(w, target))
            continue;
        counter->elapsed += CLOCK_MINUTE;
    }
    w->now += CLOCK_MINUTE;
    for (int i = 0; i < SLA_TARGET_KINDS; i++) {
        const struct sla_target *target = &w->items[i];
        struct counter *counter = &w->counters[target->kind];
        bool stopped = w->state.status == SLA_STATUS_RESOLVED;
        if (counter->basis == 0 || counter->breached || stopped)
            continue;
        if (counter->elapsed >= target->duration_us) {
            record_due(w, target->kind, SLA_STEP_BREACHED, counter->basis, "breach");
            counter->breached = true;
        } else if (!counter->warned && counter->elapsed * 100 >= target->duration_us * target->warn_percent) {
            record_due(w, target->kind, SLA_STEP_WARNED, counter->basis, "warning");
            counter->warned = true;
        }
    }
}

static void finish(struct world *w, enum sla_kind kind)
{
    struct counter *counter = &w->counters[kind];
    if (counter->basis != 0 && !counter->breached)
        record_due(w, kind, SLA_STEP_MET, counter->basis, "met");
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

static void happen(struct world *w)
{
    switch (pick(w, 60)) {
    case 0:
        customer_writes(w);
        break;
    case 1:
        agent_replies(w);
        break;
    case 2:
        set_status(w, SLA_STATUS_PENDING);
        remember(w, false);
        break;
    case 3:
        set_status(w, SLA_STATUS_OPEN);
        remember(w, false);
        break;
    case 4:
        if (pick(w, 3) == 0)
            resolve(w);
        break;
    default:
        break;
    }
}

/* Nothing is due that the model does not know of, and what is shown is what it counts. */
static void check_shown(const struct world *w)
{
    struct sla_case_timers timers;
    sla_targets_derive(&w->targets, &w->history, w->now, &timers);
    cr_assert_gt(timers.next.time_us, w->now, "an unknown step at minute %lld",
                 (long long)(w->now / CLOCK_MINUTE));
    for (size_t i = 0; i < timers.count; i++) {
        const struct sla_timer *timer = &timers.timers[i];
        const struct counter *counter = &w->counters[timer->kind];
        cr_assert(i == 0 || timers.timers[i - 1].kind < timer->kind);
        if (timer->state == SLA_STATE_MET || timer->state == SLA_STATE_BREACHED)
            continue;
        int64_t left = w->items[timer->kind - SLA_KIND_FIRST_REPLY].duration_us - counter->elapsed;
        cr_assert_eq(timer->basis, counter->basis);
        if (timer->state == SLA_STATE_PAUSED)
            cr_assert_eq(timer->left_us, left);
        else
            cr_assert_eq(timer->due_us, w->now + left);
    }
}

Test(sla_targets_model, agrees_with_a_count_of_minutes)
{
    static struct world w;
    const char *given = getenv("CASEWORK_SEED");
    unsigned first = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    size_t steps = 0;
    for (unsigned run = 0; run < RUNS; run++) {
        memset(&w, 0, sizeof w);
        w.seed = first + run;
        for (int i = 0; i < SLA_TARGET_KINDS; i++)
            w.items[i] = (struct sla_target){.kind = (enum sla_kind)(SLA_KIND_FIRST_REPLY + i),
                                             .duration_us = 5 * (1 + pick(&w, 20)) * CLOCK_MINUTE,
                                             .pause_while_pending = pick(&w, 2) == 0,
                                             .warn_percent = SLA_WARN_PERCENT};
        w.targets = (struct sla_targets){.items = w.items, .count = SLA_TARGET_KINDS};
        w.now = 1000 * CLOCK_DAY;
        w.state = (struct sla_moment){.status = SLA_STATUS_OPEN, .status_time_us = w.now};
        w.history.moments = w.moments;
        w.history.channel = "";
        remember(&w, false);
        while (w.now < 1000 * CLOCK_DAY + MINUTES * CLOCK_MINUTE) {
            tick(&w);
            happen(&w);
            check_shown(&w);
        }
        steps += w.steps;
    }
    cr_assert_gt(steps, RUNS);
    fprintf(stderr, "%zu steps, seed %u\n", steps, first);
}
