#include "case/case_rules_lock.h"

#include "case/case_rules_steps.h"

#include <string.h>

struct case_tab *case_tabs_find(const struct case_tabs *tabs, const char *session)
{
    for (size_t i = 0; i < tabs->count; i++) {
        if (tabs->items[i].state != TAB_CLOSED && strcmp(tabs->items[i].session, session) == 0)
            return &tabs->items[i];
    }
    return NULL;
}

size_t case_tabs_count(const struct case_tabs *tabs)
{
    size_t count = 0;
    for (size_t i = 0; i < tabs->count; i++)
        count += tabs->items[i].state != TAB_CLOSED;
    return count;
}

bool case_tabs_add(arena *memory, struct case_tabs *tabs, const struct case_tab *tab)
{
    if (tabs->count == tabs->size) {
        size_t size = tabs->size == 0 ? 8 : 2 * tabs->size;
        struct case_tab *items = arena_calloc(memory, size, sizeof *items);
        if (items == NULL)
            return false;
        if (tabs->count > 0)
            memcpy(items, tabs->items, tabs->count * sizeof *items);
        tabs->items = items;
        tabs->size = size;
    }
    tabs->items[tabs->count++] = *tab;
    return true;
}

/* Behind all others. */
static int64_t last_place(const struct case_tabs *tabs)
{
    int64_t last = 0;
    for (size_t i = 0; i < tabs->count; i++) {
        if (tabs->items[i].wait > last)
            last = tabs->items[i].wait;
    }
    return last + 1;
}

/* But for the session `except`; "": of all. */
static struct case_tab *longest_waiting(const struct case_tabs *tabs, const char *except)
{
    struct case_tab *first = NULL;
    for (size_t i = 0; i < tabs->count; i++) {
        struct case_tab *tab = &tabs->items[i];
        if (tab->state != TAB_CLOSED && strcmp(tab->session, except) != 0 &&
            (first == NULL || tab->wait < first->wait))
            first = tab;
    }
    return first;
}

static bool is_gone(const struct case_record *record)
{
    return record->status == CASE_STATUS_DELETED || record->merged_into != 0;
}

static bool is_held(const struct case_record *record)
{
    return record->lock_session[0] != '\0';
}

bool case_rules_check_lock(const struct case_context *context, const struct case_record *record, error *err)
{
    const struct actor *actor = &context->actor;
    if (actor->kind != ACTOR_KIND_AGENT || context->imported || !is_held(record))
        return true;
    bool same_session = actor->session[0] == '\0' || strcmp(actor->session, record->lock_session) == 0;
    if (strcmp(actor->id, record->lock_agent) == 0 && same_session)
        return true;
    error_set(err, STATUS_FAILED_PRECONDITION, "CASE_LOCKED", "case %lld is held by agent %s",
              (long long)record->id, record->lock_agent);
    char *holder =
        arena_printf(context->memory, "accounts/%s/agents/%s", record->account, record->lock_agent);
    if (holder == NULL)
        return case_step_out_of_memory(err);
    error_add_info(err, "holder", holder);
    return case_step_tell_status(record, err);
}

static bool tell(const struct case_context *context, enum event_kind kind, const char *agent,
                 const char *session, int64_t token, struct case_change *change, error *err)
{
    change->wide = true;
    struct case_event *event = case_step_event(context, change, kind, NULL, err);
    if (event == NULL)
        return false;
    event->lock_agent = agent;
    event->lock_session = session;
    event->lock_token = token;
    return true;
}

/* Nobody holds the case; the token stays, for the next grant to be higher. */
static bool take_away(const struct case_context *context, enum event_kind kind, struct case_change *change,
                      error *err)
{
    struct case_record *after = &change->after;
    const char *agent = after->lock_agent, *session = after->lock_session;
    after->lock_agent = after->lock_session = "";
    after->lock_time = 0;
    return tell(context, kind, agent, session, after->lock_token, change, err);
}

static void move_tab(struct case_tab *tab, int64_t wait)
{
    tab->wait = wait;
    if (tab->state == TAB_STORED)
        tab->state = TAB_CHANGED;
}

/* NULL: to nobody. Whoever holds the case stands before all who wait, however it came to hold it. */
static bool grant(const struct case_context *context, const struct case_tabs *tabs, struct case_tab *next,
                  struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (next == NULL)
        return true;
    const struct case_tab *first = longest_waiting(tabs, "");
    if (first != next)
        move_tab(next, first->wait - 1);
    after->lock_agent = next->agent;
    after->lock_session = next->session;
    after->lock_token++;
    after->lock_time = context->now;
    return tell(context, EVENT_KIND_LOCK_GRANTED, next->agent, next->session, after->lock_token, change, err);
}

bool case_rules_settle_lock(const struct case_context *context, const struct case_tabs *tabs,
                            struct case_change *change, error *err)
{
    const struct case_record *after = &change->after;
    if (is_gone(after))
        return !is_held(after) || take_away(context, EVENT_KIND_LOCK_RELEASED, change, err);
    return is_held(after) || grant(context, tabs, longest_waiting(tabs, ""), change, err);
}

/* A session that has closed the case within the same batch has a stored row still. */
static bool add_tab(const struct case_context *context, struct case_tabs *tabs, const char *session)
{
    struct case_tab tab = {.session = session,
                           .agent = context->actor.id,
                           .wait = last_place(tabs),
                           .open_time = context->now,
                           .state = TAB_NEW};
    for (size_t i = 0; i < tabs->count; i++) {
        if (strcmp(tabs->items[i].session, session) == 0) {
            tab.state = TAB_CHANGED;
            tabs->items[i] = tab;
            return true;
        }
    }
    return case_tabs_add(context->memory, tabs, &tab);
}

bool case_rules_open_tab(const struct case_context *context, struct case_tabs *tabs, const char *session,
                         struct case_change *change, error *err)
{
    const struct case_act open = {.kind = CASE_ACT_OPEN};
    bool is_open = case_tabs_find(tabs, session) != NULL;
    if (!is_open && case_tabs_count(tabs) >= CASE_VIEWERS_MAX) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_VIEWERS",
                         "%d sessions have case %lld open already", CASE_VIEWERS_MAX,
                         (long long)change->after.id);
    }
    if (!case_rules_apply(context, &open, change, err))
        return false;
    if (!is_open && !add_tab(context, tabs, session))
        return case_step_out_of_memory(err);
    if (is_gone(&change->after) || is_held(&change->after))
        return true;
    return grant(context, tabs, case_tabs_find(tabs, session), change, err);
}

bool case_rules_close_tab(const struct case_context *context, struct case_tabs *tabs, const char *session,
                          struct case_change *change, error *err)
{
    struct case_tab *tab = case_tabs_find(tabs, session);
    if (tab == NULL)
        return true;
    if (tab->state == TAB_NEW)
        *tab = tabs->items[--tabs->count];
    else
        tab->state = TAB_CLOSED;
    if (strcmp(change->after.lock_session, session) != 0)
        return true;
    return take_away(context, EVENT_KIND_LOCK_RELEASED, change, err) &&
           grant(context, tabs, longest_waiting(tabs, ""), change, err);
}

bool case_rules_break_lock(const struct case_context *context, struct case_tabs *tabs, int64_t token,
                           struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (token != 0 && (!is_held(after) || token != after->lock_token)) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "LOCK_CHANGED",
                         "case %lld is not under grant %lld any more", (long long)after->id,
                         (long long)token);
    }
    if (!is_held(after))
        return true;
    const char *session = after->lock_session;
    struct case_tab *former = case_tabs_find(tabs, session);
    if (former != NULL)
        move_tab(former, last_place(tabs));
    return take_away(context, EVENT_KIND_LOCK_BROKEN, change, err) &&
           grant(context, tabs, longest_waiting(tabs, session), change, err);
}
