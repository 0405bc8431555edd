#include "case/case_event.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/*
 * Packing works on structs in one place on the stack and texts in the scratch arena: events are made
 * thousands a second.
 */
enum { TIMES_MAX = 24 };

struct packer {
    arena *scratch;
    const char *account;
    Google__Protobuf__Timestamp times[TIMES_MAX];
    size_t time_count;
    bool failed;
};

static char *checked(struct packer *p, char *text)
{
    p->failed = p->failed || text == NULL;
    return text == NULL ? (char *)protobuf_c_empty_string : text;
}

/* "accounts/acme/agents/anna"; "" for the id "". */
static char *name(struct packer *p, const char *collection, const char *id)
{
    if (id[0] == '\0')
        return (char *)protobuf_c_empty_string;
    return checked(p, arena_printf(p->scratch, "accounts/%s/%s/%s", p->account, collection, id));
}

static char *case_name(struct packer *p, int64_t id)
{
    if (id == 0)
        return (char *)protobuf_c_empty_string;
    return checked(p, arena_printf(p->scratch, "accounts/%s/cases/%lld", p->account, (long long)id));
}

static Google__Protobuf__Timestamp *timestamp(struct packer *p, int64_t time_us)
{
    if (time_us == 0)
        return NULL;
    if (p->time_count == TIMES_MAX) {
        p->failed = true;
        return NULL;
    }
    Google__Protobuf__Timestamp *time = &p->times[p->time_count++];
    google__protobuf__timestamp__init(time);
    int64_t rest = time_us % CLOCK_SECOND;
    time->seconds = time_us / CLOCK_SECOND - (rest < 0);
    time->nanos = (int32_t)((rest < 0 ? rest + CLOCK_SECOND : rest) * 1000);
    return time;
}

static void pack_actor(struct packer *p, const struct actor *actor, Casework__Cases__V1__Actor *out)
{
    casework__cases__v1__actor__init(out);
    out->kind = (Casework__Cases__V1__ActorKind)actor->kind;
    out->id = actor->kind == ACTOR_KIND_AGENT ? name(p, "agents", actor->id) : (char *)actor->id;
    out->via = (char *)actor->via;
}

/* The author where it is an agent: what reports count by. */
static char *author_agent(struct packer *p, const char *author)
{
    char prefix[96];
    int length = snprintf(prefix, sizeof prefix, "accounts/%s/agents/", p->account);
    bool is_agent =
        length > 0 && (size_t)length < sizeof prefix && strncmp(author, prefix, (size_t)length) == 0;
    return is_agent ? (char *)author : (char *)protobuf_c_empty_string;
}

static void pack_message(struct packer *p, const struct message_record *message,
                         Casework__Cases__V1__MessageFacts *out)
{
    casework__cases__v1__message_facts__init(out);
    out->number = message->number;
    out->kind = (Casework__Cases__V1__MessageKind)message->kind;
    out->automatic = message->automatic;
    out->author_agent = author_agent(p, message->author);
    out->send_time = timestamp(p, message->send_time);
    out->create_time = timestamp(p, message->create_time);
    out->state = (Casework__Cases__V1__MessageState)message->state;
    out->delivery = (Casework__Cases__V1__Delivery)message->delivery;
    out->redacted = message->redacted;
}

/* What joined or left by merging: as many as the case had, so each with its own times. */
static void pack_moved(struct packer *p, const struct case_event *event, Casework__Cases__V1__Event *out)
{
    size_t count = event->moved_count;
    if (count == 0)
        return;
    Casework__Cases__V1__MessageFacts *items = arena_calloc(p->scratch, count, sizeof *items);
    Casework__Cases__V1__MessageFacts **list = arena_calloc(p->scratch, count, sizeof(void *));
    struct packer *one = arena_calloc(p->scratch, count, sizeof *one);
    if (items == NULL || list == NULL || one == NULL) {
        p->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        one[i].scratch = p->scratch;
        one[i].account = p->account;
        pack_message(&one[i], &event->moved[i], &items[i]);
        list[i] = &items[i];
    }
    out->moved_messages = list;
    out->n_moved_messages = count;
}

static void pack_agents(struct packer *p, const struct text_list *agents, Casework__Cases__V1__CaseFacts *out)
{
    char **names = agents->count == 0 ? NULL : arena_calloc(p->scratch, agents->count, sizeof *names);
    if (names == NULL) {
        p->failed = p->failed || agents->count > 0;
        return;
    }
    for (size_t i = 0; i < agents->count; i++)
        names[i] = name(p, "agents", agents->items[i]);
    out->involved_agents = names;
    out->n_involved_agents = agents->count;
}

static void pack_classifications(struct packer *p, const struct text_list *pairs,
                                 Casework__Cases__V1__CaseFacts *out)
{
    size_t count = pairs->count / 2;
    if (count == 0)
        return;
    Casework__Cases__V1__Classification *items = arena_calloc(p->scratch, count, sizeof *items);
    Casework__Cases__V1__Classification **list = arena_calloc(p->scratch, count, sizeof(void *));
    if (items == NULL || list == NULL) {
        p->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__classification__init(&items[i]);
        items[i].group = (char *)pairs->items[2 * i];
        items[i].value = (char *)pairs->items[2 * i + 1];
        list[i] = &items[i];
    }
    out->classifications = list;
    out->n_classifications = count;
}

static void pack_facts_times(struct packer *p, const struct case_record *facts,
                             Casework__Cases__V1__CaseFacts *out)
{
    out->change_time = timestamp(p, facts->change_time);
    out->activity_time = timestamp(p, facts->activity_time);
    out->create_time = timestamp(p, facts->create_time);
    out->open_time = timestamp(p, facts->open_time);
    out->first_reply_time = timestamp(p, facts->first_reply_time);
    out->resolve_time = timestamp(p, facts->resolve_time);
    out->close_time = timestamp(p, facts->close_time);
    out->delete_time = timestamp(p, facts->delete_time);
    out->update_time = timestamp(p, facts->update_time);
    out->first_customer_message_time = timestamp(p, facts->customer_time);
    out->waiting_since_time = timestamp(p, facts->waiting_since);
    out->status_time = timestamp(p, facts->status_time);
}

static void pack_facts(struct packer *p, const struct case_record *facts, Casework__Cases__V1__CaseFacts *out)
{
    casework__cases__v1__case_facts__init(out);
    out->status = (Casework__Cases__V1__CaseStatus)facts->status;
    out->status_before_delete = (Casework__Cases__V1__CaseStatus)facts->status_before_delete;
    out->owner = name(p, "agents", facts->owner);
    out->contact = name(p, "contacts", facts->contact);
    out->channel = name(p, "channels", facts->channel);
    out->network = (char *)facts->network;
    out->channel_address = (char *)facts->channel_address;
    out->labels = (char **)facts->labels.items;
    out->n_labels = facts->labels.count;
    out->priority = facts->priority;
    out->need_reply = facts->need_reply;
    out->message_count = facts->message_count;
    out->version = facts->version;
    out->change_version = facts->change_version;
    out->activity_version = facts->activity_version;
    out->all_customer_messages_closed =
        facts->messages_assigned + facts->messages_in_progress + facts->messages_responded == 0;
    out->merged_into = case_name(p, facts->merged_into);
    out->first_customer_message_number = facts->customer_number;
    out->waiting_since_number = facts->waiting_number;
    pack_agents(p, &facts->involved, out);
    pack_classifications(p, &facts->classifications, out);
    pack_facts_times(p, facts, out);
}

static void pack_account(struct packer *p, const struct account_record *account,
                         Google__Protobuf__Duration *grace, Casework__Cases__V1__AccountFacts *out)
{
    casework__cases__v1__account_facts__init(out);
    google__protobuf__duration__init(grace);
    grace->seconds = account->session_grace_us / CLOCK_SECOND;
    grace->nanos = (int32_t)(account->session_grace_us % CLOCK_SECOND * 1000);
    out->time_zone = (char *)account->time_zone;
    out->report_lock_days = account->report_lock_days;
    out->reopen_resolved_on_customer_message = account->reopen_resolved;
    out->session_grace_duration = grace;
    out->create_time = timestamp(p, account->create_time);
}

static void pack_timer_step(struct packer *p, const struct timer_step *step,
                            Casework__Cases__V1__TimerStepFacts *out)
{
    casework__cases__v1__timer_step_facts__init(out);
    out->kind = (Casework__Sla__V1__TimerKind)step->kind;
    out->step = (Casework__Sla__V1__TimerStep)step->step;
    out->basis_version = step->basis_version;
    out->due_time = timestamp(p, step->due_time);
    if (step->target_time != 0)
        out->target_time = timestamp(p, step->target_time);
}

Casework__Cases__V1__CaseFacts *case_event_facts(arena *memory, const struct case_record *record)
{
    struct packer *p = arena_calloc(memory, 1, sizeof *p);
    Casework__Cases__V1__CaseFacts *facts = arena_alloc(memory, sizeof *facts);
    if (p == NULL || facts == NULL)
        return NULL;
    p->scratch = memory;
    p->account = record->account;
    pack_facts(p, record, facts);
    return p->failed ? NULL : facts;
}

Casework__Cases__V1__AccountFacts *case_event_account_facts(arena *memory,
                                                            const struct account_record *record)
{
    struct packer *p = arena_calloc(memory, 1, sizeof *p);
    Google__Protobuf__Duration *grace = arena_alloc(memory, sizeof *grace);
    Casework__Cases__V1__AccountFacts *facts = arena_alloc(memory, sizeof *facts);
    if (p == NULL || grace == NULL || facts == NULL)
        return NULL;
    p->scratch = memory;
    p->account = record->id;
    pack_account(p, record, grace, facts);
    return p->failed ? NULL : facts;
}

static bool append_packed(const Casework__Cases__V1__Event *event, bytes *out)
{
    size_t size = casework__cases__v1__event__get_packed_size(event);
    if (!bytes_reserve(out, size))
        return false;
    casework__cases__v1__event__pack(event, out->data + out->length);
    out->length += size;
    out->data[out->length] = '\0';
    return true;
}

static void pack_lock(struct packer *p, const struct case_event *event, Casework__Cases__V1__LockFacts *out)
{
    casework__cases__v1__lock_facts__init(out);
    out->agent = name(p, "agents", event->lock_agent);
    out->session = (char *)event->lock_session;
    out->token = event->lock_token;
}

bool case_event_pack(const struct case_event *event, arena *scratch, bytes *out)
{
    struct packer p = {.scratch = scratch, .account = event->account};
    Casework__Cases__V1__Event message;
    Casework__Cases__V1__Actor actor;
    Casework__Cases__V1__MessageFacts message_facts;
    Casework__Cases__V1__CaseFacts case_facts;
    Casework__Cases__V1__AccountFacts account_facts;
    Casework__Cases__V1__ChannelFacts channel_facts;
    Casework__Cases__V1__LockFacts lock_facts;
    Casework__Cases__V1__TimerStepFacts timer_step;
    Google__Protobuf__Duration grace;

    casework__cases__v1__event__init(&message);
    message.partition = event->partition;
    message.position = event->position;
    message.account = checked(&p, arena_printf(scratch, "accounts/%s", event->account));
    message.kind = (Casework__Cases__V1__EventKind)event->kind;
    message.event_time = timestamp(&p, event->time);
    message.commit_time = timestamp(&p, event->commit_time);
    pack_actor(&p, &event->actor, &actor);
    message.actor = &actor;
    message.previous_status = (Casework__Cases__V1__CaseStatus)event->previous_status;
    message.previous_owner = name(&p, "agents", event->previous_owner);
    message.imported = event->imported;
    if (event->resource[0] != '\0')
        message.resource =
            checked(&p, arena_printf(scratch, "accounts/%s/%s", event->account, event->resource));
    message.changed_fields = (char **)event->changed_fields;
    message.n_changed_fields = event->changed_field_count;
    message.related_case = case_name(&p, event->related_case);
    pack_moved(&p, event, &message);
    if (event->timer_step != NULL) {
        pack_timer_step(&p, event->timer_step, &timer_step);
        message.timer_step_facts = &timer_step;
    }
    if (event->message != NULL) {
        pack_message(&p, event->message, &message_facts);
        message.message = &message_facts;
    }
    if (event->facts != NULL) {
        pack_facts(&p, event->facts, &case_facts);
        message.case_ = case_name(&p, event->facts->id);
        message.case_facts = &case_facts;
    }
    if (event->account_facts != NULL) {
        pack_account(&p, event->account_facts, &grace, &account_facts);
        message.account_facts = &account_facts;
    }
    if (event->channel_facts != NULL) {
        casework__cases__v1__channel_facts__init(&channel_facts);
        channel_facts.network = (char *)event->channel_facts->network;
        channel_facts.address = (char *)event->channel_facts->address;
        message.channel_facts = &channel_facts;
    }
    if (event->lock_agent != NULL) {
        pack_lock(&p, event, &lock_facts);
        message.lock_facts = &lock_facts;
    }
    return !p.failed && append_packed(&message, out);
}
