#include "tests/support/policy_told.h"

#include "tests/support/sla_desk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMERS_MAX = 64, NAME_SIZE = 96 };

struct known_timer {
    char name[NAME_SIZE];
    int state;
    int64_t due_us, version;
};

struct known_timers {
    struct known_timer items[TIMERS_MAX];
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct known_timer *)a)->name, ((const struct known_timer *)b)->name);
}

static void know(struct known_timers *known, const target_wire_timer *timer)
{
    struct known_timer *one = &known->items[known->count++];
    cr_assert_lt(known->count, TIMERS_MAX);
    snprintf(one->name, sizeof one->name, "%s", timer->name);
    one->state = (int)timer->state;
    one->due_us = target_us(timer->due_time);
    one->version = timer->version;
}

static void forget(struct known_timers *known, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->items[i].name, name) != 0)
            known->items[count++] = known->items[i];
    cr_assert_eq(count + 1, known->count, "%s is there before", name);
    known->count = count;
}

static void forget_case(struct known_timers *known, const char *case_name)
{
    size_t count = 0;
    size_t length = strlen(case_name);
    for (size_t i = 0; i < known->count; i++)
        if (strncmp(known->items[i].name, case_name, length) != 0 || known->items[i].name[length] != '/')
            known->items[count++] = known->items[i];
    known->count = count;
}

static void warn(struct known_timers *known, const char *name)
{
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->items[i].name, name) == 0 && known->items[i].state == (int)STATE(ARMED))
            known->items[i].state = (int)STATE(WARNED);
}

/* All that runs, by ListTimers. */
static void list_all(struct known_timers *known)
{
    Casework__Sla__V1__TimerState states[] = {STATE(ARMED), STATE(PAUSED), STATE(WARNED)};
    Casework__Sla__V1__ListTimersRequest request = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)scene.account;
    request.states = states;
    request.n_states = 3;
    request.page_size = 1000;
    request.min_position = suite_position(scene.suite, scene.account);
    const Casework__Sla__V1__ListTimersResponse *page =
        suite_call(scene.suite, SLA, "ListTimers", &request, scene.memory);
    cr_assert_str_eq(page->next_page_token, "");
    known->count = 0;
    for (size_t i = 0; i < page->n_timers; i++)
        know(known, page->timers[i]);
    qsort(known->items, known->count, sizeof *known->items, by_name);
}

/* What is overdue by then is warned of, and a case that closes takes all its timers along. */
static void go_on(struct known_timers *known, const Casework__Sla__V1__PreviewPolicyResponse *told,
                  int64_t now_us)
{
    for (size_t i = 0; i < told->n_changes; i++) {
        const target_wire_timer *after = told->changes[i]->after;
        if (!after || !after->due_time)
            continue;
        if (after->kind == KIND(CLOSE) && target_us(after->due_time) <= now_us)
            forget_case(known, after->case_);
        else if (after->warn_time && target_us(after->warn_time) <= now_us)
            warn(known, after->name);
    }
}

/* The list as it is, with the changes that the preview tells; nothing that would be over by then. */
static const Casework__Sla__V1__PreviewPolicyResponse *foresee(const target_request *update,
                                                               struct known_timers *known)
{
    Casework__Sla__V1__PreviewPolicyRequest request = CASEWORK__SLA__V1__PREVIEW_POLICY_REQUEST__INIT;
    request.policy = update->policy;
    request.update_mask = update->update_mask;
    request.page_size = 1000;
    const Casework__Sla__V1__PreviewPolicyResponse *told =
        suite_call(scene.suite, SLA, "PreviewPolicy", &request, scene.memory);
    int64_t now_us = suite_now_us(scene.suite);
    list_all(known);
    for (size_t i = 0; i < told->n_changes; i++) {
        const Casework__Sla__V1__TimerChange *change = told->changes[i];
        if (change->before)
            forget(known, change->before->name);
        if (change->after && (!change->after->due_time || target_us(change->after->due_time) > now_us))
            know(known, change->after);
    }
    go_on(known, told, now_us);
    qsort(known->items, known->count, sizeof *known->items, by_name);
    return told;
}

static void check_same(const struct known_timers *foreseen, const struct known_timers *actual)
{
    for (size_t i = 0; i < foreseen->count && i < actual->count; i++) {
        const struct known_timer *a = &foreseen->items[i];
        const struct known_timer *b = &actual->items[i];
        cr_assert_str_eq(a->name, b->name);
        cr_assert_eq(a->state, b->state, "%s: %d, not %d", a->name, b->state, a->state);
        cr_assert_eq(a->due_us, b->due_us, "%s: %lld us off", a->name, (long long)(b->due_us - a->due_us));
        cr_assert_eq(a->version, b->version, "%s", a->name);
    }
    cr_assert_eq(foreseen->count, actual->count);
}

void policy_check_effect(const Casework__Sla__V1__PolicyEffect *told,
                         const Casework__Sla__V1__PolicyEffect *did)
{
    cr_assert_eq(told->timers_moved, did->timers_moved);
    cr_assert_eq(told->timers_added, did->timers_added);
    cr_assert_eq(told->timers_removed, did->timers_removed);
    cr_assert_eq(told->cases_closing, did->cases_closing);
    cr_assert_eq(told->targets_breached, did->targets_breached);
}

const Casework__Sla__V1__PolicyEffect *policy_change_as_told(const target_request *update)
{
    static struct known_timers foreseen, actual;
    const Casework__Sla__V1__PreviewPolicyResponse *told = foresee(update, &foreseen);
    const Casework__Sla__V1__UpdatePolicyResponse *did = target_update(update);
    policy_check_effect(told->effect, did->effect);
    suite_advance(scene.suite, 0);
    list_all(&actual);
    check_same(&foreseen, &actual);
    sla_desk_expect_same(scene.suite, scene.account);
    return did->effect;
}
