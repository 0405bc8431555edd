/* Sessions in a replay: when they did what, and who stood in a queue before whom. */

#include "tests/support/model_replay_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool replay_is_session(const struct model_record *record)
{
    enum model_verb verb = record->command.verb;
    return verb == MODEL_OPEN_TAB || verb == MODEL_CLOSE_TAB || verb == MODEL_LOG_OUT;
}

/* --- what a session does next ------------------------------------------------------------------------------
 */

/* Nobody was told when it happened. */
static bool is_loose(const struct model_record *record)
{
    return record->command.verb != MODEL_OPEN_TAB || record->vague || record->perhaps;
}

/* No event tells of it, if it happens now. */
static bool changes_nothing(const struct replay *r, const struct model_record *record)
{
    struct account_answer answer;
    account_model_peek(r->ground->account, &record->command, &answer);
    return answer.position == r->ground->account->position;
}

/* It may have happened, or not, without a sign: what comes behind it may show first. */
static bool is_passable(const struct replay *r, const struct model_record *record)
{
    if (record->perhaps || record->command.verb == MODEL_OPEN_TAB)
        return record->perhaps;
    return changes_nothing(r, record);
}

/* The nth thing that the client's sessions can have done next. NULL: there is none. */
static struct model_record *next_of(const struct replay *r, size_t client, int nth)
{
    const struct model_log *log = &r->logs[client];
    for (size_t i = 0; i < log->count; i++) {
        struct model_record *record = &log->records[i];
        if (record->done || !replay_is_session(record))
            continue;
        if (!is_loose(record) || record->low > r->ground->account->position)
            return NULL;
        if (nth-- == 0)
            return record;
        if (!is_passable(r, record))
            return NULL;
    }
    return NULL;
}

bool replay_was_open(const struct replay *r, const struct model_record *record)
{
    const struct model_command *command = &record->command;
    return record->vague && !changes_nothing(r, record) &&
           model_list_has(&r->ground->account->sessions[command->session].tabs, (int)command->number);
}

/* By now whatever the client did perhaps, and did not, is passed over. */
static void pass_over(struct replay *r, const struct model_record *record)
{
    const struct model_log *log = &r->logs[record->client];
    for (struct model_record *former = log->records; former < record; former++)
        former->done = former->done || (replay_is_session(former) && former->perhaps);
}

const char *replay_catch_up(struct replay *r, int client, const struct model_record *before)
{
    const struct model_log *log = &r->logs[client];
    const char *difference = NULL;
    for (size_t i = 0; i < log->count && &log->records[i] != before && !difference; i++) {
        struct model_record *record = &log->records[i];
        bool placed = record->command.verb == MODEL_OPEN_TAB && !record->perhaps;
        if (record->done || !replay_is_session(record) || placed)
            continue;
        if (record->perhaps)
            record->done = true;
        else if (!changes_nothing(r, record))
            difference = replay_complain(record, "should have shown before");
        else
            difference = replay_apply(r, record);
    }
    return difference;
}

/* The feed has what it would do now, and that is something. */
static bool shows(struct replay *r, struct model_record *record)
{
    struct account_answer answer;
    for (int twice = 0; twice < 1 + record->by_anybody; twice++) {
        if (twice)
            record->command.actor.kind = ACTOR_KIND_SYSTEM;
        account_model_peek(r->ground->account, &record->command, &answer);
        if (answer.of_case.code == STATUS_OK && answer.position > r->ground->account->position &&
            replay_did(r, record, &answer))
            return true;
    }
    if (record->by_anybody)
        record->command.actor.kind = ACTOR_KIND_AGENT;
    return false;
}

const char *replay_advance(struct replay *r, bool *ret_moved)
{
    *ret_moved = false;
    for (size_t client = 0; client < r->log_count; client++) {
        struct model_record *record;
        for (int nth = 0; (record = next_of(r, client, nth)) != NULL; nth++) {
            if (!shows(r, record))
                continue;
            *ret_moved = true;
            pass_over(r, record);
            return replay_apply(r, record);
        }
    }
    return NULL;
}

/* --- queues ------------------------------------------------------------------------------------------------
 */

static struct model_case *case_of(const struct replay *r, int64_t number)
{
    return account_model_case(r->ground->account, number);
}

void replay_place(struct replay *r, const struct model_record *record, const struct account_answer *answer)
{
    const struct model_command *command = &record->command;
    int64_t now = r->ground->account->position;
    if (command->verb == MODEL_OPEN_TAB) {
        if (model_list_has(&case_of(r, command->number)->queue, command->session))
            return;
        bool moves = answer->position > now;
        int64_t behind = record->perhaps ? INT64_MAX : 2 * record->reply.position + 1;
        int64_t latest = moves && !record->rival ? 2 * answer->position : behind;
        int64_t earliest = record->rival ? 2 * record->reply.position : latest;
        if (!moves && is_loose(record))
            earliest = 2 * record->low + 1;
        r->places[command->number - 1][command->session] =
            (struct replay_place){earliest, latest, record->asked, record->answered};
    } else if (command->verb == MODEL_BREAK_LOCK && answer->position > now) {
        int former = case_of(r, command->number)->facts.lock_session;
        r->places[command->number - 1][former] = (struct replay_place){2 * now + 2, 2 * now + 2, 0, 0};
    }
}

static bool can_precede(const struct replay_place *one, const struct replay_place *other)
{
    bool answered_first = other->answered && one->asked && other->answered < one->asked;
    return other->latest >= one->earliest && !answered_first;
}

/* Can the session have left the case by now, without a sign? Then it has. */
static bool leaves(struct replay *r, int64_t number, int session, const char **difference)
{
    for (size_t client = 0; client < r->log_count; client++) {
        struct model_record *record;
        struct account_answer answer;
        for (int nth = 0; (record = next_of(r, client, nth)) != NULL; nth++) {
            const struct model_command *command = &record->command;
            bool about = command->verb == MODEL_LOG_OUT ||
                         (command->verb == MODEL_CLOSE_TAB && command->number == number);
            if (command->session != session || !about)
                continue;
            account_model_peek(r->ground->account, command, &answer);
            if (answer.position > r->ground->account->position)
                continue;
            pass_over(r, record);
            *difference = replay_apply(r, record);
            return true;
        }
    }
    return false;
}

/* What it may have joined with already, without a sign; NULL: nothing. */
static struct model_record *can_join(struct replay *r, int64_t number, int session)
{
    for (size_t client = 0; client < r->log_count; client++) {
        struct model_record *record;
        for (int nth = 0; (record = next_of(r, client, nth)) != NULL; nth++) {
            const struct model_command *command = &record->command;
            if (command->verb == MODEL_OPEN_TAB && command->number == number && command->session == session &&
                changes_nothing(r, record))
                return record;
        }
    }
    return NULL;
}

/* The session gets the case's lock next: it stands before all others who wait, if it can. */
static const char *put_first(struct replay *r, int64_t number, int session)
{
    struct model_case *c = case_of(r, number);
    struct model_list *queue = &c->queue;
    const struct replay_place *places = r->places[number - 1];
    const char *difference = NULL;
    if (!model_list_has(queue, session)) {
        struct model_record *joins = can_join(r, number, session);
        if (!joins)
            return NULL;
        pass_over(r, joins);
        difference = replay_apply(r, joins);
    }
    for (int i = 0; i < queue->count && queue->items[i] != session && !difference;) {
        int other = queue->items[i];
        bool may = other == c->facts.lock_session || can_precede(&places[session], &places[other]);
        if (may)
            i++;
        else if (!leaves(r, number, other, &difference))
            return difference;
    }
    struct model_list others = *queue;
    *queue = (struct model_list){0};
    if (c->facts.lock_session && c->facts.lock_session != session)
        model_list_add(queue, c->facts.lock_session);
    model_list_add(queue, session);
    for (int i = 0; i < others.count; i++)
        model_list_add(queue, others.items[i]);
    return difference;
}

int replay_session_of(const struct replay *r, const char *id)
{
    for (int i = 1; i <= r->roster->count; i++) {
        if (strcmp(r->roster->ids[i], id) == 0)
            return i;
    }
    return 0;
}

/* Nobody gets the case's lock next: all have left who waited for it, if they can. */
static const char *put_nobody(struct replay *r, int64_t number)
{
    const struct model_case *c = case_of(r, number);
    const struct model_list queue = c->queue;
    const char *difference = NULL;
    for (int i = 0; i < queue.count && !difference; i++) {
        if (queue.items[i] != c->facts.lock_session && !leaves(r, number, queue.items[i], &difference))
            break;
    }
    return difference;
}

static const Casework__Cases__V1__Event *event_at(const struct replay *r, int64_t position)
{
    return position <= r->feed.last ? r->feed.events[position - r->feed.start] : NULL;
}

static bool is_grant(const Casework__Cases__V1__Event *event, int64_t number)
{
    return event && (int)event->kind == EVENT_KIND_LOCK_GRANTED && model_wire_number(event->case_) == number;
}

/* Something after which the longest waiting gets the lock. */
static bool frees(const struct model_facts *facts, const Casework__Cases__V1__Event *event)
{
    bool gone = event->case_facts &&
                ((int)event->case_facts->status == CASE_STATUS_DELETED || *event->case_facts->merged_into);
    switch ((int)event->kind) {
    case EVENT_KIND_LOCK_RELEASED:
    case EVENT_KIND_LOCK_BROKEN:
        return !gone;
    case EVENT_KIND_CASE_UNDELETED:
        return !gone && facts->status == CASE_STATUS_DELETED;
    case EVENT_KIND_CASES_UNMERGED:
        return !gone && facts->merged_into != 0;
    default:
        return false;
    }
}

/* Somebody was told that a command of his ended there. */
static bool ends_at(const struct replay *r, int64_t position)
{
    for (size_t i = 0; i < r->count && r->by_position[i]->reply.position <= position; i++) {
        if (r->by_position[i]->reply.position == position && !r->by_position[i]->vague)
            return true;
    }
    return false;
}

/* The next event can be of the same command. */
static bool goes_on(const struct replay *r, int64_t at)
{
    const Casework__Cases__V1__Event *event = event_at(r, at), *next = event_at(r, at + 1);
    return event && next && event->actor->kind == next->actor->kind &&
           strcmp(event->actor->id, next->actor->id) == 0 && !ends_at(r, at);
}

/* The next event is a grant by the same command, not to somebody who opens the case just then. */
static bool passes_on(struct replay *r, int64_t at, int64_t number)
{
    const Casework__Cases__V1__Event *next = event_at(r, at + 1);
    if (!is_grant(next, number) || !goes_on(r, at))
        return false;
    int session = replay_session_of(r, next->lock_facts->session);
    return model_list_has(&case_of(r, number)->queue, session) || can_join(r, number, session);
}

const char *replay_prefer(struct replay *r, int64_t limit)
{
    bool seen[ACCOUNT_CASES_MAX] = {0};
    int64_t now = r->ground->account->position;
    const char *difference = NULL;
    for (int64_t at = now + 1; at <= limit && (at == now + 1 || goes_on(r, at - 1)) && !difference; at++) {
        const Casework__Cases__V1__Event *event = event_at(r, at), *next = event_at(r, at + 1);
        int64_t number = event ? model_wire_number(event->case_) : 0;
        if (number < 1 || number > r->ground->account->case_count || seen[number - 1])
            continue;
        bool granted = is_grant(event, number), freed = frees(&case_of(r, number)->facts, event);
        seen[number - 1] = granted || freed;
        if (granted || (freed && passes_on(r, at, number)))
            difference =
                put_first(r, number, replay_session_of(r, (granted ? event : next)->lock_facts->session));
        else if (freed)
            difference = put_nobody(r, number);
    }
    return difference;
}

void replay_print_sessions(const struct replay *r)
{
    const struct model_record *record;
    for (size_t client = 0; client < r->log_count; client++) {
        for (int nth = 0; (record = next_of(r, client, nth)) != NULL; nth++) {
            fprintf(stderr, "  client %zu may ", client);
            model_command_print(&record->command, stderr);
            fputc('\n', stderr);
        }
    }
    for (int64_t number = 1; number <= r->ground->account->case_count; number++) {
        const struct model_case *c = case_of(r, number);
        if (c->queue.count && c->facts.lock_session)
            fprintf(stderr, "  case %" PRId64 ", grant %" PRId64 " of session %d:", number,
                    c->facts.lock_token, c->facts.lock_session);
        else if (c->queue.count)
            fprintf(stderr, "  case %" PRId64 ", free:", number);
        for (int i = 0; i < c->queue.count; i++) {
            const struct replay_place *place = &r->places[number - 1][c->queue.items[i]];
            fprintf(stderr, " %d (%" PRId64 " to %" PRId64 ")%s", c->queue.items[i], place->earliest,
                    place->latest, i + 1 < c->queue.count ? "," : "\n");
        }
    }
}

/* --- what they were told -----------------------------------------------------------------------------------
 */

const char *replay_check_tab(const struct replay *r, const struct model_record *record)
{
    static _Thread_local char text[96];
    const struct model_facts *facts = &case_of(r, record->command.number)->facts;
    int64_t token = facts->lock_session ? facts->lock_token : 0;
    if (record->vague || token == record->lock_token)
        return NULL;
    snprintf(text, sizeof text, "told of grant %" PRId64 ", should be %" PRId64, record->lock_token, token);
    return replay_complain(record, text);
}

static bool was_granted(const struct replay *r, const struct model_grant *grant)
{
    for (size_t i = 0; i < r->story->count; i++) {
        const struct model_told *told = &r->story->events[i];
        if (told->kind == EVENT_KIND_LOCK_GRANTED && told->number == grant->number &&
            told->lock_token == grant->token)
            return told->lock_session == grant->session;
    }
    return false;
}

const char *replay_check_grants(const struct replay *r)
{
    static _Thread_local char text[128];
    for (size_t client = 0; client < r->log_count; client++) {
        const struct model_log *log = &r->logs[client];
        for (size_t i = 0; i < log->grant_count; i++) {
            if (was_granted(r, &log->grants[i]))
                continue;
            snprintf(text, sizeof text, "session %d was told of grant %" PRId64 " of case %" PRId64,
                     log->grants[i].session, log->grants[i].token, log->grants[i].number);
            return text;
        }
    }
    return NULL;
}
