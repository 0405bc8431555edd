#include "tests/support/model_replay_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char complaint[1024];
static _Thread_local int64_t complaint_number; /* of the case */

const char *replay_complain(const struct model_record *record, const char *what)
{
    char copy[512];
    FILE *file = fmemopen(complaint, sizeof complaint, "w");
    complaint_number = record->command.number;
    snprintf(copy, sizeof copy, "%s", what);
    if (!file)
        return "no memory";
    fprintf(file, "client %d: ", record->client);
    model_command_print(&record->command, file);
    fprintf(file, " at %" PRId64 " (%" PRId64 " to %" PRId64 "), answered %s %s: %s", record->reply.position,
            record->low, record->high, status_code_name(record->reply.code), record->reply.reason, copy);
    fclose(file);
    return complaint;
}

/* --- moments -----------------------------------------------------------------------------------------------
 */

/* Whether a case that was told of is so now; NULL: yes. */
static const char *case_differs_now(const struct replay *r, const struct model_seen *seen)
{
    struct account_model *account = r->ground->account;
    if (seen->number == 0)
        return NULL;
    if (seen->number > account->case_count)
        return "a case that is not there yet";
    return model_wire_differ(account_model_case(account, seen->number), seen, r->ground->contacts, false);
}

/* Whether what the record was told is so now; NULL: yes. */
static const char *differs_now(const struct replay *r, const struct model_record *record)
{
    const struct model_reply *reply = &record->reply;
    const char *difference = case_differs_now(r, &reply->seen);
    if (!difference)
        difference = case_differs_now(r, &reply->source);
    for (int i = 0; i < MODEL_BATCH_MAX && !difference; i++)
        difference = case_differs_now(r, &reply->results[i].seen);
    if (difference || reply->message.number == 0)
        return difference;
    const struct model_case *expected = account_model_case(r->ground->account, reply->seen.number);
    if (reply->message.number > expected->last)
        return "a message that is not there yet";
    return model_wire_differ_message(expected, reply->message.number, &reply->message, r->ground->contacts);
}

static const char *refused_otherwise(const struct replay *r, const struct model_record *record)
{
    static _Thread_local char text[256];
    struct account_answer answer;
    if (!account_model_knows(r->ground->account, &record->command))
        return "no such case yet";
    account_model_peek(r->ground->account, &record->command, &answer);
    if (answer.of_case.code == record->reply.code && strcmp(answer.of_case.reason, record->reply.reason) == 0)
        return NULL;
    snprintf(text, sizeof text, "should be %s %s", status_code_name(answer.of_case.code),
             answer.of_case.reason);
    return text;
}

static const char *fits_not(const struct replay *r, const struct model_record *record)
{
    if (record->reply.code != STATUS_OK)
        return refused_otherwise(r, record);
    if (record->repeat) {
        struct account_answer answer;
        if (!account_model_knows(r->ground->account, &record->command))
            return "no such case yet";
        account_model_peek(r->ground->account, &record->command, &answer);
        if (!answer.repeated || answer.position != record->reply.position)
            return "a repeated request is answered otherwise";
    }
    return differs_now(r, record);
}

/* The account stands still until `next`: what fits now has found its moment. */
static const char *settle(struct replay *r, int64_t next)
{
    int64_t now = r->ground->account->position;
    size_t kept = 0;
    const char *difference = NULL;
    for (size_t i = 0; i < r->floating_count; i++) {
        struct model_record *record = r->floating[i];
        const char *why = NULL;
        if (record->low >= next || (why = fits_not(r, record)) != NULL) {
            if (record->high < next && record->low < next && !difference)
                difference = replay_complain(record, why);
            r->floating[kept++] = record;
            continue;
        }
        r->counts.later += record->reply.code == STATUS_OK && !record->repeat && record->reply.position < now;
    }
    r->floating_count = kept;
    return difference;
}

/* --- what was carried out ----------------------------------------------------------------------------------
 */

/* Whether the feed has what the answer would put there. */
bool replay_did(struct replay *r, const struct model_record *record, const struct account_answer *answer)
{
    bool same = true;
    r->trial.count = 0;
    model_story_add(&r->trial, r->ground->account, &record->command, answer);
    for (size_t i = 0; i < r->trial.count && same; i++)
        same = model_feed_differ(r->ground, &r->feed, &r->trial.events[i]) == NULL;
    return same;
}

/* Could this one have brought the account to its position? */
static bool leads_there(struct replay *r, const struct model_record *record)
{
    const struct model_reply *reply = &record->reply;
    struct account_answer answer;
    if (record->done || !account_model_knows(r->ground->account, &record->command))
        return false;
    account_model_peek(r->ground->account, &record->command, &answer);
    if (answer.of_case.code != STATUS_OK || answer.repeated || answer.position != reply->position)
        return false;
    if (replay_is_session(record))
        return replay_did(r, record, &answer);
    if (answer.number != reply->seen.number || answer.source != reply->source.number ||
        model_wire_differ_results(&record->command, &answer, reply))
        return false;
    bool writes = record->command.verb == MODEL_ADD_MESSAGE || record->command.verb == MODEL_RECEIVE;
    if (writes && (answer.of_case.message != reply->message.number ||
                   reply->message.message.body != record->command.body))
        return false;
    return replay_did(r, record, &answer);
}

/* Would the other one have changed nothing after this one, as it was told? */
static bool leaves_nothing(const struct replay *r, const struct model_record *first,
                           const struct model_record *second)
{
    struct model_command command = first->command;
    struct account_answer answer;
    command.request_id = command.external_id = 0; /* those are kept outside of what is copied */
    *r->spare = *r->ground->account;
    account_model_apply(r->spare, &command, &answer);
    account_model_peek(r->spare, &second->command, &answer);
    return answer.of_case.code == STATUS_OK && answer.position == second->reply.position;
}

/*
 * Which of those that were told the same position led there? What the feed says of it fits one of them, or
 * more when one did all that another would have done, and a subject besides, which the feed does not tell:
 * then it is one after which the others had nothing left to do.
 */
static struct model_record *leader(struct replay *r, size_t from, size_t to)
{
    struct model_record *found = NULL, *other = NULL;
    for (size_t i = from; i < to; i++) {
        struct model_record *record = r->by_position[i];
        if (!leads_there(r, record))
            continue;
        record->rival = other != NULL;
        if (other)
            other->rival = true;
        other = record;
        if (!found || !leaves_nothing(r, found, record))
            found = record;
    }
    return found;
}

/* What it was answered, but for the cases as they are. */
static const char *answered_otherwise(const struct model_record *record, const struct account_answer *answer)
{
    if (answer->position != record->reply.position)
        return "another position";
    if (answer->number != record->reply.seen.number || answer->source != record->reply.source.number)
        return "another case";
    const char *result = model_wire_differ_results(&record->command, answer, &record->reply);
    if (result)
        return result;
    if (record->command.verb == MODEL_RECEIVE && answer->created != record->reply.created)
        return answer->created ? "no case_created" : "case_created";
    /* Asked again it is answered as it is by then: a copy may have left with the merge that brought it. */
    bool left = record->reply.attempts > 1 && record->reply.message.number == 0;
    if (answer->of_case.message && answer->of_case.message != record->reply.message.number && !left)
        return "another message";
    return NULL;
}

static void count_grants(struct replay *r, const struct model_record *record,
                         const struct account_answer *answer)
{
    for (int i = 0; i < answer->of_case.event_count; i++) {
        bool granted = answer->of_case.events[i].kind == EVENT_KIND_LOCK_GRANTED;
        r->counts.grants += granted;
        r->counts.passed_on += granted && record->command.verb != MODEL_OPEN_TAB;
    }
}

const char *replay_apply(struct replay *r, struct model_record *record)
{
    struct account_model *account = r->ground->account;
    struct account_answer answer;
    record->done = true;
    const char *difference = replay_catch_up(r, record->client, record);
    account_model_peek(account, &record->command, &answer);
    if (!difference && answer.of_case.code == STATUS_OK && answer.position > account->position)
        difference = settle(r, answer.position); /* what stood until now ends */
    if (difference)
        return difference;
    replay_place(r, record, &answer);
    account_model_apply(account, &record->command, &answer);
    record->at = account->position;
    if (answer.of_case.code != STATUS_OK)
        return replay_complain(record, answer.of_case.reason);
    count_grants(r, record, &answer);
    model_story_add(r->story, account, &record->command, &answer);
    if (replay_is_session(record))
        return NULL;
    r->floating[r->floating_count++] = record;
    difference = answered_otherwise(record, &answer);
    return difference ? replay_complain(record, difference) : NULL;
}

/* None of them was told exactly where it happened: the position may lie within what another command did. */
static bool are_vague(const struct replay *r, size_t from, size_t to)
{
    while (from < to && r->by_position[from]->vague)
        from++;
    return from == to;
}

/* What sessions did, until one of those that were told the position can have led there. */
static const char *reach(struct replay *r, size_t from, size_t to)
{
    int64_t position = r->by_position[from]->reply.position;
    const char *difference = NULL;
    bool moved = true;
    while (r->ground->account->position < position && moved && !difference) {
        difference = replay_prefer(r, position);
        struct model_record *first = difference ? NULL : leader(r, from, to);
        if (first)
            difference = replay_apply(r, first);
        else if (!difference)
            difference = replay_advance(r, &moved);
    }
    if (!difference && r->ground->account->position != position && !are_vague(r, from, to))
        return replay_complain(r->by_position[from], "nothing leads there");
    return difference;
}

/* All that was told the same position: at most one has led there, the others changed nothing. */
static const char *apply_group(struct replay *r, size_t from, size_t to)
{
    const char *difference = reach(r, from, to);
    for (size_t i = from; i < to && !difference; i++) {
        struct model_record *record = r->by_position[i];
        record->done = record->done || replay_was_open(r, record);
        if (!record->done)
            difference = replay_apply(r, record);
        if (!difference && replay_is_session(record))
            difference = replay_check_tab(r, record);
    }
    return difference;
}

/* What sessions did in the end. */
static const char *finish(struct replay *r)
{
    const char *difference = NULL;
    while (r->ground->account->position < r->feed.last && !difference) {
        bool moved = true;
        difference = replay_prefer(r, r->feed.last);
        if (!difference)
            difference = replay_advance(r, &moved);
        if (!moved)
            return "the feed goes on with what nobody did";
    }
    for (size_t client = 0; client < r->log_count && !difference; client++)
        difference = replay_catch_up(r, (int)client, NULL);
    return difference ? difference : settle(r, INT64_MAX);
}

static const char *run(struct replay *r)
{
    const char *difference = NULL;
    for (size_t from = 0, to; from < r->count && !difference; from = to) {
        for (to = from + 1; to < r->count; to++) {
            if (r->by_position[to]->reply.position != r->by_position[from]->reply.position)
                break;
        }
        difference = apply_group(r, from, to);
    }
    if (!difference)
        difference = finish(r);
    if (!difference && r->floating_count)
        difference = replay_complain(r->floating[0], fits_not(r, r->floating[0]));
    return difference ? difference : replay_check_grants(r);
}

static int by_position(const void *left, const void *right)
{
    const struct model_record *a = *(struct model_record *const *)left,
                              *b = *(struct model_record *const *)right;
    return (a->reply.position > b->reply.position) - (a->reply.position < b->reply.position);
}

/* Until what position each may have happened: that of what its client was told next. */
static void set_ends(struct model_log *log)
{
    int64_t end = INT64_MAX;
    for (size_t i = log->count; i-- > 0;) {
        const struct model_reply *reply = &log->records[i].reply;
        log->records[i].high = end;
        if (reply->code == STATUS_OK && !log->records[i].repeat && reply->position)
            end = reply->position;
    }
}

static void take_log(struct replay *r, struct model_log *log)
{
    set_ends(log);
    for (size_t i = 0; i < log->count; i++) {
        struct model_record *record = &log->records[i];
        bool refused = record->reply.code != STATUS_OK;
        r->counts.refused += refused;
        r->counts.locked += strcmp(record->reply.reason, "CASE_LOCKED") == 0;
        r->counts.repeated += record->repeat;
        if (refused || record->repeat)
            r->floating[r->floating_count++] = record;
        else if (record->reply.position)
            r->by_position[r->count++] = record;
    }
}

/* All sessions, from the beginning: before they begin they do nothing. */
static void take_roster(struct account_model *account, const struct model_roster *roster)
{
    account->session_count = roster->count;
    for (int i = 1; i <= roster->count; i++) {
        account->setting.session_agents[i] = roster->agents[i];
        account->sessions[i].alive = true;
    }
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

const char *model_replay(const struct model_ground *ground, struct model_log *logs, size_t log_count,
                         const struct model_roster *roster, int64_t last, struct model_story *story,
                         struct model_replay_counts *ret_counts)
{
    struct replay r = {
        .ground = ground, .logs = logs, .log_count = log_count, .roster = roster, .story = story};
    size_t count = 1;
    for (size_t i = 0; i < log_count; i++)
        count += logs[i].count;
    r.by_position = zeroed(count, sizeof(void *));
    r.floating = zeroed(count, sizeof(void *));
    r.places = zeroed(ACCOUNT_CASES_MAX, sizeof *r.places);
    r.spare = zeroed(1, sizeof *r.spare);
    for (size_t i = 0; i < log_count; i++)
        take_log(&r, &logs[i]);
    take_roster(ground->account, roster);
    qsort(r.by_position, r.count, sizeof(void *), by_position);
    model_feed_read(ground, ground->account->position, last, &r.feed);
    complaint_number = 0;
    const char *difference = run(&r);
    if (difference)
        replay_print(&r, complaint_number);
    *ret_counts = r.counts;
    free(r.by_position);
    free(r.floating);
    free(r.places);
    free(r.spare);
    model_story_release(&r.trial);
    model_feed_release(&r.feed);
    return difference;
}

/* --- logs --------------------------------------------------------------------------------------------------
 */

void model_log_init(struct model_log *log, size_t size)
{
    *log = (struct model_log){.records = zeroed(size, sizeof *log->records), .size = size};
}

struct model_record *model_log_add(struct model_log *log)
{
    if (log->count == log->size)
        abort();
    return &log->records[log->count++];
}

void model_log_grant(struct model_log *log, int64_t number, int64_t token, int session)
{
    if (log->grant_count == log->grant_size) {
        log->grant_size = log->grant_size ? 2 * log->grant_size : 64;
        log->grants = realloc(log->grants, log->grant_size * sizeof *log->grants);
        if (!log->grants)
            abort();
    }
    log->grants[log->grant_count++] = (struct model_grant){number, token, session};
}

void model_log_release(struct model_log *log)
{
    free(log->records);
    free(log->grants);
}
