#include "case/case_rules_steps.h"

#include <stdio.h>
#include <string.h>

#define STAYS CASE_STAYS
#define REFUSED CASE_REFUSED
#define BACK CASE_GOES_BACK
#define OPEN CASE_STATUS_OPEN
#define PENDING CASE_STATUS_PENDING
#define RESOLVED CASE_STATUS_RESOLVED
#define DELETED CASE_STATUS_DELETED

/* A new case that an agent acts on has been opened before its row is looked up, but for what the first column
 * refuses. */
static const signed char transitions[CASE_ROWS][CASE_STATUS_DELETED + 1] = {
    /*                               NEW       OPEN      PENDING   RESOLVED  CLOSED    DELETED */
    [CASE_ROW_OPENED] = {0, OPEN, STAYS, STAYS, STAYS, STAYS, STAYS},
    [CASE_ROW_REPLIED] = {0, OPEN, STAYS, OPEN, STAYS, REFUSED, REFUSED},
    [CASE_ROW_CUSTOMER_WROTE] = {0, STAYS, STAYS, OPEN, STAYS, OPEN, REFUSED},
    [CASE_ROW_MARKED_PENDING] = {0, PENDING, PENDING, STAYS, PENDING, REFUSED, REFUSED},
    [CASE_ROW_RESOLVED] = {0, RESOLVED, RESOLVED, RESOLVED, STAYS, REFUSED, REFUSED},
    [CASE_ROW_REOPENED] = {0, REFUSED, STAYS, OPEN, OPEN, OPEN, REFUSED},
    [CASE_ROW_DELETED] = {0, DELETED, DELETED, DELETED, DELETED, DELETED, STAYS},
    [CASE_ROW_UNDELETED] = {0, STAYS, STAYS, STAYS, STAYS, STAYS, BACK},
};

int case_transition(enum case_row row, enum case_status from)
{
    return transitions[row][from];
}

bool case_step_tell_status(const struct case_record *record, error *err)
{
    char status[48];
    snprintf(status, sizeof status, "CASE_STATUS_%s", case_status_name(record->status));
    error_add_info(err, "status", status);
    return false;
}

bool case_step_refuse(const struct case_record *record, error *err)
{
    char reason[40];
    snprintf(reason, sizeof reason, "CASE_%s", case_status_name(record->status));
    error_set(err, STATUS_FAILED_PRECONDITION, reason, "case %lld is %s", (long long)record->id,
              case_status_name(record->status));
    return case_step_tell_status(record, err);
}

bool case_step_refuse_merged(const struct case_record *record, error *err)
{
    char target[96];
    snprintf(target, sizeof target, "accounts/%s/cases/%lld", record->account,
             (long long)record->merged_into);
    error_set(err, STATUS_FAILED_PRECONDITION, "CASE_MERGED", "case %lld was merged into %lld",
              (long long)record->id, (long long)record->merged_into);
    error_add_info(err, "target", target);
    return case_step_tell_status(record, err);
}

bool case_step_out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

static bool is_status_event(enum event_kind kind)
{
    return kind == EVENT_KIND_CASE_OPENED || kind == EVENT_KIND_STATUS_CHANGED ||
           kind == EVENT_KIND_CASE_DELETED || kind == EVENT_KIND_CASE_UNDELETED;
}

/* Who holds a case is no change of what is in it: lists by the last change stay as they are. */
static bool is_lock_event(enum event_kind kind)
{
    return kind == EVENT_KIND_LOCK_GRANTED || kind == EVENT_KIND_LOCK_RELEASED ||
           kind == EVENT_KIND_LOCK_BROKEN;
}

/* What restarts the resolved rule: any message but the system's, status, owner, texts, tags, message states,
 * and messages that come or go with another case. */
static bool is_change(enum event_kind kind, const struct message_record *message)
{
    switch (kind) {
    case EVENT_KIND_CASE_CREATED:
    case EVENT_KIND_MESSAGE_STATE_CHANGED:
    case EVENT_KIND_OWNER_CHANGED:
    case EVENT_KIND_CLASSIFICATIONS_CHANGED:
    case EVENT_KIND_CASES_MERGED:
    case EVENT_KIND_CASES_UNMERGED:
    case EVENT_KIND_CASE_UPDATED:
        return true;
    case EVENT_KIND_MESSAGE_ADDED:
        return message->kind != MESSAGE_KIND_SYSTEM;
    default:
        return is_status_event(kind);
    }
}

/* What restarts the inactivity rule: what customers and agents write to each other, with a merge too, and
 * agents' changes of status. */
static bool is_activity(enum event_kind kind, const struct message_record *message, const struct actor *actor)
{
    if (kind == EVENT_KIND_CASE_CREATED || kind == EVENT_KIND_CASES_MERGED ||
        kind == EVENT_KIND_CASES_UNMERGED)
        return true;
    if (kind != EVENT_KIND_MESSAGE_ADDED)
        return is_status_event(kind) && actor->kind == ACTOR_KIND_AGENT;
    if (message->automatic)
        return false;
    if (message->kind == MESSAGE_KIND_CUSTOMER || message->kind == MESSAGE_KIND_AGENT)
        return true;
    return actor->kind == ACTOR_KIND_AGENT &&
           (message->kind == MESSAGE_KIND_SURVEY || message->kind == MESSAGE_KIND_TO_THIRD_PARTY);
}

static struct case_event *next_event(arena *memory, struct case_change *change)
{
    if (change->event_count == change->event_size) {
        size_t size = change->event_size == 0 ? 4 : 2 * change->event_size;
        struct case_event *grown = arena_calloc(memory, size, sizeof *grown);
        if (grown == NULL)
            return NULL;
        if (change->event_count > 0)
            memcpy(grown, change->events, change->event_count * sizeof *grown);
        change->events = grown;
        change->event_size = size;
    }
    return &change->events[change->event_count];
}

static struct case_event *add_event(const struct case_context *context, struct case_change *change,
                                    enum event_kind kind, const struct message_record *message, bool restarts,
                                    error *err)
{
    struct case_record *after = &change->after;
    struct case_event *event = next_event(context->memory, change);
    struct case_record *facts = arena_alloc(context->memory, sizeof *facts);
    if (event == NULL || facts == NULL) {
        case_step_out_of_memory(err);
        return NULL;
    }
    after->version++;
    int64_t time = context->now > after->update_time ? context->now : after->update_time;
    /* Original times of an imported conversation may be given out of order; a case's own times never run
     * back. */
    if (!is_lock_event(kind))
        after->update_time = time;
    if (restarts) {
        after->change_version++;
        after->change_time = after->update_time;
    }
    if (is_activity(kind, message, &context->actor)) {
        after->activity_version++;
        after->activity_time = after->update_time;
    }
    *facts = *after;
    *event = (struct case_event){
        .kind = kind,
        .account = after->account,
        .time = time,
        .actor = context->actor,
        .facts = facts,
        .message = message,
        .previous_status = kind == EVENT_KIND_CASE_CREATED ? CASE_STATUS_NONE : after->status,
        .previous_owner = "",
        .imported = context->imported,
        .resource = "",
    };
    change->event_count++;
    return event;
}

struct case_event *case_step_event(const struct case_context *context, struct case_change *change,
                                   enum event_kind kind, const struct message_record *message, error *err)
{
    return add_event(context, change, kind, message, is_change(kind, message), err);
}

struct case_event *case_step_minor_event(const struct case_context *context, struct case_change *change,
                                         enum event_kind kind, error *err)
{
    return add_event(context, change, kind, NULL, false, err);
}

/* Times that tell of a status last as long as it does; deleting keeps them for the way back. */
static void set_status_times(struct case_record *after, enum case_status from, enum case_status to,
                             int64_t now)
{
    after->status_time = now;
    /* Whoever moves it on: what is no longer new has been opened. */
    if (from == CASE_STATUS_NEW && to != CASE_STATUS_DELETED && after->open_time == 0)
        after->open_time = now;
    if (to == CASE_STATUS_DELETED) {
        after->delete_time = now;
        return;
    }
    after->delete_time = 0;
    if (from == CASE_STATUS_DELETED)
        return;
    if (to == CASE_STATUS_RESOLVED)
        after->resolve_time = now;
    else if (to == CASE_STATUS_CLOSED)
        after->close_time = now;
    if (to != CASE_STATUS_CLOSED)
        after->close_time = 0;
    if (to != CASE_STATUS_CLOSED && to != CASE_STATUS_RESOLVED)
        after->resolve_time = 0;
}

/* Each version of a basis closes a case once. So a closed one that comes back starts the inactivity rule
 * anew, whoever brings it back; by an agent it is activity as it is. */
static void restart_inactivity(const struct case_context *context, struct case_record *after)
{
    if (context->actor.kind == ACTOR_KIND_AGENT)
        return;
    after->activity_version++;
    after->activity_time = after->status_time;
}

bool case_step_status(const struct case_context *context, struct case_change *change, int to,
                      enum event_kind kind, error *err)
{
    struct case_record *after = &change->after;
    if (to == CASE_STAYS)
        return true;
    enum case_status from = after->status;
    enum case_status next = to == CASE_GOES_BACK ? after->status_before_delete : (enum case_status)to;
    after->status = next;
    after->status_before_delete = next == CASE_STATUS_DELETED ? from : CASE_STATUS_NONE;
    set_status_times(after, from, next,
                     context->now > after->update_time ? context->now : after->update_time);
    if (from == CASE_STATUS_CLOSED && next != CASE_STATUS_DELETED)
        restart_inactivity(context, after);
    change->wide = change->wide || from == CASE_STATUS_DELETED || next == CASE_STATUS_DELETED;
    struct case_event *event = case_step_event(context, change, kind, NULL, err);
    if (event == NULL)
        return false;
    event->previous_status = from;
    return true;
}

bool case_step_own(const struct case_context *context, const char *agent, struct case_change *change,
                   error *err)
{
    struct case_record *after = &change->after;
    after->owner = agent;
    if (!text_list_has(&after->involved, agent))
        return true;
    change->wide = true;
    return text_list_remove(context->memory, &after->involved, agent, &after->involved) ||
           case_step_out_of_memory(err);
}

bool case_step_tell_owner(const struct case_context *context, const char *previous, bool involved,
                          struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (involved) {
        if (!text_list_add(context->memory, &after->involved, previous, &after->involved))
            return case_step_out_of_memory(err);
        change->wide = true;
    }
    struct case_event *event = case_step_event(context, change, EVENT_KIND_OWNER_CHANGED, NULL, err);
    if (event == NULL)
        return false;
    event->previous_owner = previous;
    return true;
}

bool case_step_open_first(const struct case_context *context, struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    if (context->actor.kind != ACTOR_KIND_AGENT || after->status != CASE_STATUS_NEW)
        return true;
    if (after->owner[0] == '\0' && !case_step_own(context, context->actor.id, change, err))
        return false;
    case_step_raise(change, MESSAGE_STATE_IN_PROGRESS);
    return case_step_status(context, change, case_transition(CASE_ROW_OPENED, after->status),
                            EVENT_KIND_CASE_OPENED, err);
}

int32_t *case_step_counter(struct case_record *record, enum message_state state)
{
    switch (state) {
    case MESSAGE_STATE_ASSIGNED:
        return &record->messages_assigned;
    case MESSAGE_STATE_IN_PROGRESS:
        return &record->messages_in_progress;
    case MESSAGE_STATE_RESPONDED:
        return &record->messages_responded;
    default:
        return NULL;
    }
}

bool case_step_raise(struct case_change *change, enum message_state to)
{
    struct case_record *after = &change->after;
    int32_t raised = 0;
    for (enum message_state state = MESSAGE_STATE_ASSIGNED; state < to; state++) {
        int32_t *counter = case_step_counter(after, state);
        if (counter != NULL) {
            raised += *counter;
            *counter = 0;
        }
    }
    if (raised == 0)
        return false;
    int32_t *counter = case_step_counter(after, to);
    if (counter != NULL)
        *counter += raised;
    else
        after->first_open_message = 0;
    for (size_t i = 0; i < change->message_count; i++) {
        struct message_record *message = &change->messages[i];
        if (message->state != MESSAGE_STATE_NONE && message->state < to)
            message->state = to;
    }
    if (to > change->raise_to)
        change->raise_to = to;
    return true;
}

bool text_list_has(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0)
            return true;
    }
    return false;
}

bool text_list_add(arena *memory, const struct text_list *list, const char *text, struct text_list *ret)
{
    const char **items = arena_calloc(memory, list->count + 1, sizeof *items);
    if (items == NULL)
        return false;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof *items);
    items[list->count] = text;
    *ret = (struct text_list){items, list->count + 1};
    return true;
}

bool text_list_remove(arena *memory, const struct text_list *list, const char *text, struct text_list *ret)
{
    const char **items = arena_calloc(memory, list->count + 1, sizeof *items);
    if (items == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) != 0)
            items[count++] = list->items[i];
    }
    *ret = (struct text_list){items, count};
    return true;
}
