/* What is passed on, and cases that become one and two again. */

#include "tests/support/case_model_step.h"

#include <string.h>

/* --- forwarding --------------------------------------------------------------------------------------------
 */

/* Whether there is anything that could be forwarded to a third party. */
static bool has_text(const struct model_step *s)
{
    bool any = s->command->note != 0 || s->command->agent != 0;
    for (int i = 0; i < s->c->last && !any; i++)
        any = case_model_visible(s->c->messages[i].kind);
    return any;
}

/* A message to an agent makes the agent a helper; a case to an agent makes the agent the owner. */
static void give_to(struct model_step *s, int agent)
{
    struct model_facts *facts = s->facts;
    int former = facts->owner;
    bool whole = s->command->verb == MODEL_FORWARD_CASE;
    if (!model_list_has(&s->c->got, agent))
        model_list_add(&s->c->got, agent);
    if (former == agent || (!whole && model_list_has(&facts->involved, agent)))
        return;
    if (whole)
        model_step_own(s, agent);
    else
        model_list_add(&facts->involved, agent);
    if (whole && former)
        model_list_add(&facts->involved, former);
    model_step_event(s, EVENT_KIND_OWNER_CHANGED, facts->status, 0,
                     whole ? MODEL_MOVES_CHANGE : MODEL_MOVES_NOTHING);
}

/* The note to the agent, or what the third party gets. */
static void write_to(struct model_step *s)
{
    enum message_kind kind = s->command->agent ? MESSAGE_KIND_NOTE : MESSAGE_KIND_TO_THIRD_PARTY;
    bool activity = kind == MESSAGE_KIND_TO_THIRD_PARTY && s->by_agent;
    model_step_store(s, kind);
    struct model_message *message = &s->c->messages[s->c->last - 1];
    message->body = s->command->agent ? s->command->note : MODEL_COMPOSED;
    message->third_party = s->command->agent ? 0 : s->command->third_party;
    model_step_event(s, EVENT_KIND_MESSAGE_ADDED, s->facts->status, s->c->last,
                     MODEL_MOVES_CHANGE | (activity ? MODEL_MOVES_ACTIVITY : MODEL_MOVES_NOTHING));
}

bool model_step_forward(struct model_step *s)
{
    const struct model_command *command = s->command;
    bool whole = command->verb == MODEL_FORWARD_CASE;
    if (s->facts->status == CASE_STATUS_DELETED)
        return model_step_refuse_standing(s);
    if (whole && !has_text(s))
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "NOTHING_TO_FORWARD");
    model_step_open_first(s);
    s->answer->message = whole ? 0 : command->message;
    if (command->agent)
        give_to(s, command->agent);
    if (!command->agent || command->note)
        write_to(s);
    struct model_event *told =
        model_step_event(s, whole ? EVENT_KIND_CASE_FORWARDED : EVENT_KIND_MESSAGE_FORWARDED,
                         s->facts->status, whole ? 0 : command->message, MODEL_MOVES_NOTHING);
    told->agent = command->agent;
    return true;
}

/* --- merging -----------------------------------------------------------------------------------------------
 */

/* The next message in the order of reading, after `*at` (NULL: the first); NULL: there is none. */
static const struct model_message *next_read(const struct model_case *c, bool by_time,
                                             const struct model_message *at)
{
    const struct model_message *next = NULL;
    for (int i = 0; i < c->last; i++) {
        const struct model_message *m = &c->messages[i];
        int64_t key = by_time ? m->send_time : 0;
        bool later =
            !at || key > (by_time ? at->send_time : 0) || (key == (by_time ? at->send_time : 0) && m > at);
        if (m->kind != MESSAGE_KIND_NONE && later && (!next || (by_time && key < next->send_time)))
            next = m;
    }
    return next;
}

static void count_one(struct model_case *c, const struct model_message *m)
{
    struct model_facts *facts = &c->facts;
    facts->message_count++;
    if (m->send_time > c->last_send_time)
        c->last_send_time = m->send_time;
    if (case_model_visible(m->kind))
        facts->need_reply = m->kind == MESSAGE_KIND_CUSTOMER;
    if (m->automatic)
        return;
    if (m->kind == MESSAGE_KIND_CUSTOMER) {
        if (facts->first_customer_time == 0)
            facts->first_customer_time = c->last_send_time;
        if (facts->waiting_since_time == 0)
            facts->waiting_since_time = c->last_send_time;
    } else if (m->kind == MESSAGE_KIND_AGENT) {
        facts->waiting_since_time = 0;
        if (facts->first_reply_time == 0)
            facts->first_reply_time = c->last_send_time;
    }
}

/* Counts and times anew, from all messages in the order of reading. */
static void recount(struct model_case *c, bool by_time)
{
    struct model_facts *facts = &c->facts;
    facts->message_count = 0;
    facts->need_reply = false;
    facts->first_customer_time = facts->waiting_since_time = facts->first_reply_time = c->last_send_time = 0;
    for (const struct model_message *m = NULL; (m = next_read(c, by_time, m)) != NULL;)
        count_one(c, m);
    while (c->last > 0 && c->messages[c->last - 1].kind == MESSAGE_KIND_NONE)
        c->last--;
}

static void tell(struct model_step *s, enum event_kind kind, int64_t related, int moved)
{
    struct model_event *event =
        model_step_event(s, kind, s->facts->status, 0, MODEL_MOVES_CHANGE | MODEL_MOVES_ACTIVITY);
    event->related = related;
    event->moved = moved;
}

/* Owner and helpers of the source help with the target. */
static void join_agents(struct model_case *source, struct model_case *target)
{
    source->gave = source->added = (struct model_list){0};
    if (source->facts.owner)
        model_list_add(&source->gave, source->facts.owner);
    for (int i = 0; i < source->facts.involved.count; i++)
        model_list_add(&source->gave, source->facts.involved.items[i]);
    for (int i = 0; i < source->gave.count; i++) {
        int agent = source->gave.items[i];
        if (agent == target->facts.owner || model_list_has(&target->facts.involved, agent))
            continue;
        model_list_add(&target->facts.involved, agent);
        model_list_add(&source->added, agent);
    }
}

static void join_messages(const struct model_case *source, struct model_case *target)
{
    for (int i = 0; i < source->last; i++) {
        if (source->messages[i].kind == MESSAGE_KIND_NONE)
            continue;
        target->messages[target->last] = source->messages[i];
        target->messages[target->last++].merged_from = source->number;
    }
}

/* Both as two steps of one command. */
static void begin(struct model_step *s, const struct model_setting *setting, struct model_case *c,
                  const struct model_command *command, struct model_answer *answer)
{
    *s = (struct model_step){setting, command, c, &c->facts, answer, command->actor.kind == ACTOR_KIND_AGENT};
}

/* A case that can take part. */
static bool is_partner(struct model_step *s)
{
    if (s->facts->merged_into)
        return model_step_refuse(s, STATUS_FAILED_PRECONDITION, "CASE_MERGED");
    return s->facts->status != CASE_STATUS_DELETED || model_step_refuse_standing(s);
}

void case_model_merge(const struct model_setting *setting, struct model_case *source,
                      struct model_case *target, const struct model_command *command,
                      struct model_answer *ret_answer)
{
    struct model_step from, into;
    *ret_answer = (struct model_answer){.reason = ""};
    begin(&from, setting, source, command, ret_answer);
    begin(&into, setting, target, command, ret_answer);
    if (!model_step_may_write(&from) || !model_step_may_write(&into))
        return;
    if (command->expected_version && command->expected_version != source->facts.version) {
        model_step_refuse(&from, STATUS_ABORTED, "ETAG_MISMATCH");
        return;
    }
    if (source->facts.merged_into == target->number || !is_partner(&from) || !is_partner(&into) ||
        (target->facts.status == CASE_STATUS_CLOSED && !model_step_refuse_standing(&into)))
        return;
    source->facts.merged_into = target->number;
    tell(&from, EVENT_KIND_CASES_MERGED, target->number, source->facts.message_count);
    model_step_gone(&from);
    model_step_open_first(&into);
    join_agents(source, target);
    join_messages(source, target);
    recount(target, true);
    tell(&into, EVENT_KIND_CASES_MERGED, source->number, source->facts.message_count);
}

bool model_step_has_replied(const struct model_case *c, int agent)
{
    for (int i = 0; i < c->last; i++) {
        const struct model_message *m = &c->messages[i];
        if (m->kind == MESSAGE_KIND_AGENT && !m->automatic && m->author.kind == ACTOR_KIND_AGENT &&
            m->author.agent == agent)
            return true;
    }
    return false;
}

/* Whom this merge alone has made helpers are so no longer. */
static void part_agents(struct model_case *source, struct model_case *target,
                        struct model_case *const *others, int other_count)
{
    for (int i = 0; i < source->added.count; i++) {
        int agent = source->added.items[i];
        struct model_case *reason = NULL;
        for (int k = 0; k < other_count && !reason; k++) {
            if (others[k] != source && model_list_has(&others[k]->gave, agent))
                reason = others[k];
        }
        if (reason)
            model_list_add(&reason->added, agent);
        else if (!model_step_has_replied(target, agent))
            model_list_remove(&target->facts.involved, agent);
    }
}

void case_model_unmerge(const struct model_setting *setting, struct model_case *source,
                        struct model_case *target, struct model_case *const *others, int other_count,
                        const struct model_command *command, struct model_answer *ret_answer)
{
    struct model_step from, into;
    int left = 0;
    *ret_answer = (struct model_answer){.reason = ""};
    begin(&from, setting, source, command, ret_answer);
    begin(&into, setting, target, command, ret_answer);
    if (!model_step_may_write(&into))
        return;
    if (command->expected_version && command->expected_version != source->facts.version) {
        model_step_refuse(&from, STATUS_ABORTED, "ETAG_MISMATCH");
        return;
    }
    if (!source->facts.merged_into) {
        model_step_refuse(&from, STATUS_FAILED_PRECONDITION, "NOT_MERGED");
        return;
    }
    if (!is_partner(&into))
        return;
    for (int i = 0; i < target->last; i++) {
        if (target->messages[i].kind != MESSAGE_KIND_NONE &&
            target->messages[i].merged_from == source->number) {
            target->messages[i].kind = MESSAGE_KIND_NONE;
            left++;
        }
    }
    part_agents(source, target, others, other_count);
    recount(target, other_count > 1);
    tell(&into, EVENT_KIND_CASES_UNMERGED, source->number, left);
    source->facts.merged_into = 0;
    tell(&from, EVENT_KIND_CASES_UNMERGED, target->number, source->facts.message_count);
    model_step_back(&from);
}
