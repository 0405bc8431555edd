/* Tabs of a case, and who holds it. */

#include "tests/support/case_model_step.h"

/* Moves the version, and nothing that a list or a timer goes by. */
static void tell(struct model_step *s, enum event_kind kind, int session)
{
    int64_t update_time = s->facts->update_time;
    struct model_event *event = model_step_event(s, kind, s->facts->status, 0, MODEL_MOVES_NOTHING);
    event->facts.update_time = s->facts->update_time = update_time;
    event->lock_session = session;
    event->lock_agent = s->setting->session_agents[session];
    event->lock_token = s->facts->lock_token;
}

static bool is_gone(const struct model_step *s)
{
    return s->facts->status == CASE_STATUS_DELETED || s->facts->merged_into;
}

/* Whoever holds the case stands before all who wait. */
static void grant(struct model_step *s, int session)
{
    struct model_list *queue = &s->c->queue, others = *queue;
    model_list_remove(&others, session);
    *queue = (struct model_list){0};
    model_list_add(queue, session);
    for (int i = 0; i < others.count; i++)
        model_list_add(queue, others.items[i]);
    s->facts->lock_session = session;
    s->facts->lock_agent = s->setting->session_agents[session];
    s->facts->lock_token++;
    s->facts->lock_time = s->setting->now;
    tell(s, EVENT_KIND_LOCK_GRANTED, session);
}

static void take_away(struct model_step *s, enum event_kind kind)
{
    int session = s->facts->lock_session;
    s->facts->lock_session = s->facts->lock_agent = 0;
    s->facts->lock_time = 0;
    tell(s, kind, session);
}

bool model_step_may_write(struct model_step *s)
{
    const struct model_facts *facts = s->facts;
    const struct model_command *command = s->command;
    bool holds = command->actor.agent == facts->lock_agent &&
                 (command->session == 0 || command->session == facts->lock_session);
    return !s->by_agent || facts->lock_session == 0 || holds ||
           model_step_refuse(s, STATUS_FAILED_PRECONDITION, "CASE_LOCKED");
}

void model_step_gone(struct model_step *s)
{
    if (s->facts->lock_session)
        take_away(s, EVENT_KIND_LOCK_RELEASED);
}

void model_step_back(struct model_step *s)
{
    if (!is_gone(s) && s->facts->lock_session == 0 && s->c->queue.count > 0)
        grant(s, s->c->queue.items[0]);
}

bool model_step_open_tab(struct model_step *s)
{
    int session = s->command->session;
    model_step_open(s);
    model_list_add(&s->c->queue, session);
    if (!is_gone(s) && s->facts->lock_session == 0)
        grant(s, session);
    return true;
}

bool model_step_close_tab(struct model_step *s)
{
    int session = s->command->session;
    model_list_remove(&s->c->queue, session);
    if (s->facts->lock_session == session) {
        take_away(s, EVENT_KIND_LOCK_RELEASED);
        model_step_back(s);
    }
    return true;
}

/* It goes to the longest waiting other session, and the former holder waits last. */
bool model_step_break_lock(struct model_step *s)
{
    struct model_list *queue = &s->c->queue;
    int former = s->facts->lock_session;
    if (s->command->token && (!former || s->command->token != s->facts->lock_token))
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "LOCK_CHANGED");
    if (!former)
        return true;
    model_list_remove(queue, former);
    model_list_add(queue, former);
    take_away(s, EVENT_KIND_LOCK_BROKEN);
    if (queue->items[0] != former)
        grant(s, queue->items[0]);
    return true;
}

void case_model_leave(const struct model_setting *setting, struct model_case *c,
                      const struct model_command *command, struct model_answer *answer)
{
    struct model_step s = {setting, command, c, &c->facts, answer, true};
    model_step_close_tab(&s);
}
