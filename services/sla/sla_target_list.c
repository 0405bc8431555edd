#include "sla/sla_target_list.h"

#include "sla/sla_history.h"

#include <stdio.h>
#include <stdlib.h>

enum { TIMERS_MAX = 4 << 20 };

bool target_list_wants(const Casework__Sla__V1__ListTimersRequest *request, enum sla_kind kind,
                       enum sla_state state)
{
    bool kinds = request->n_kinds == 0;
    bool states = request->n_states == 0 && (state == SLA_STATE_ARMED || state == SLA_STATE_WARNED);
    for (size_t i = 0; i < request->n_kinds; i++)
        kinds = kinds || (enum sla_kind)request->kinds[i] == kind;
    for (size_t i = 0; i < request->n_states; i++)
        states = states || (enum sla_state)request->states[i] == state;
    return kinds && states;
}

static bool add(struct target_list *list, const struct target_timer *timer, error *err)
{
    if (list->count == list->size) {
        size_t size = list->size ? 2 * list->size : 256;
        struct target_timer *grown = size <= TIMERS_MAX ? realloc(list->items, size * sizeof *grown) : NULL;
        if (!grown)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_TIMERS",
                             "there are too many timers to list");
        list->items = grown;
        list->size = size;
    }
    list->items[list->count++] = *timer;
    return true;
}

static bool add_case(struct target_list *list, const struct sla_case_timers *timers,
                     const struct target_timer *template, const Casework__Sla__V1__ListTimersRequest *request,
                     int64_t start_us, int64_t until_us, error *err)
{
    for (size_t i = 0; i < timers->count; i++) {
        struct target_timer one = *template;
        one.timer = timers->timers[i];
        one.score_us =
            one.timer.state == SLA_STATE_PAUSED || one.timer.due_us == 0 ? INT64_MAX : one.timer.due_us;
        bool bounded = start_us > 0 || until_us < INT64_MAX;
        bool inside =
            one.score_us == INT64_MAX ? !bounded : one.score_us >= start_us && one.score_us <= until_us;
        if (inside && target_list_wants(request, one.timer.kind, one.timer.state) && !add(list, &one, err))
            return false;
    }
    return true;
}

bool target_list_add(struct target_list *list, const struct sla_parts *parts, const char *account,
                     const Casework__Sla__V1__ListTimersRequest *request, int64_t start_us, int64_t until_us,
                     int64_t deadline_us, error *err)
{
    sla_terms *terms = sla_policies_terms(parts->policies, account);
    struct sla_case_walk walk = {.account = account, .end = terms == NULL};
    struct target_timer template = {.case_id = 0};
    int64_t now_us = suite_clock_now_us(parts->clock);
    bool ok = true;
    snprintf(template.account, sizeof template.account, "%s", account);
    while (ok && !walk.end) {
        struct sla_case_page page = {0};
        ok = sla_case_walk_next(&walk, parts->cases, deadline_us, &page, err);
        for (size_t i = 0; ok && i < page.count; i++) {
            struct sla_case_timers timers;
            sla_targets_derive(sla_terms_targets(terms), &page.cases[i].history, now_us, &timers);
            template.case_id = page.cases[i].case_id;
            ok = add_case(list, &timers, &template, request, start_us, until_us, err);
        }
        if (page.memory)
            sla_case_page_release(&page);
    }
    sla_case_walk_release(&walk);
    sla_terms_release(terms);
    return ok;
}

void target_list_release(struct target_list *list)
{
    free(list->items);
    *list = (struct target_list){0};
}
