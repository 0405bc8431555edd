#include "tests/support/model_replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct replay {
    const struct model_ground *ground;
    struct model_record **by_position; /* what was carried out */
    size_t count;
    struct model_record **floating; /* what has yet to find its moment */
    size_t floating_count;
    struct model_feed feed;
    struct model_story *story;
    struct model_story trial;    /* of what a command would do */
    struct account_model *spare; /* the account as a command would leave it */
    struct model_replay_counts counts;
};

static _Thread_local char complaint[1024];

static const char *complain(const struct model_record *record, const char *what)
{
    char copy[512];
    FILE *file = fmemopen(complaint, sizeof complaint, "w");
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
                difference = complain(record, why);
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
static bool did(struct replay *r, const struct model_record *record, const struct account_answer *answer)
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
    if (!account_model_knows(r->ground->account, &record->command))
        return false;
    account_model_peek(r->ground->account, &record->command, &answer);
    if (answer.of_case.code != STATUS_OK || answer.repeated || answer.position != reply->position ||
        answer.number != reply->seen.number || answer.source != reply->source.number ||
        model_wire_differ_results(&record->command, &answer, reply))
        return false;
    bool writes = record->command.verb == MODEL_ADD_MESSAGE || record->command.verb == MODEL_RECEIVE;
    if (writes && (answer.of_case.message != reply->message.number ||
                   reply->message.message.body != record->command.body))
        return false;
    return did(r, record, &answer);
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
    struct model_record *found = NULL;
    for (size_t i = from; i < to; i++) {
        struct model_record *record = r->by_position[i];
        if (leads_there(r, record) && (!found || !leaves_nothing(r, found, record)))
            found = record;
    }
    return found;
}

static const char *apply(struct replay *r, struct model_record *record)
{
    struct account_answer answer;
    account_model_apply(r->ground->account, &record->command, &answer);
    record->done = true;
    if (answer.of_case.code != STATUS_OK)
        return complain(record, answer.of_case.reason);
    if (answer.position != record->reply.position)
        return complain(record, "another position");
    if (answer.number != record->reply.seen.number || answer.source != record->reply.source.number)
        return complain(record, "another case");
    const char *result = model_wire_differ_results(&record->command, &answer, &record->reply);
    if (result)
        return complain(record, result);
    if (record->command.verb == MODEL_RECEIVE && answer.created != record->reply.created)
        return complain(record, answer.created ? "no case_created" : "case_created");
    /* Asked again it is answered as it is by then: a copy may have left with the merge that brought it. */
    bool left = record->reply.attempts > 1 && record->reply.message.number == 0;
    if (answer.of_case.message && answer.of_case.message != record->reply.message.number && !left)
        return complain(record, "another message");
    model_story_add(r->story, r->ground->account, &record->command, &answer);
    r->floating[r->floating_count++] = record;
    return NULL;
}

/* All that was told the same position: at most one has led there, the others changed nothing. */
static const char *apply_group(struct replay *r, size_t from, size_t to)
{
    const char *difference = NULL;
    if (r->ground->account->position != r->by_position[from]->reply.position) {
        struct model_record *first = leader(r, from, to);
        if (!first)
            return complain(r->by_position[from], "nothing leads there");
        difference = apply(r, first);
    }
    for (size_t i = from; i < to && !difference; i++) {
        if (!r->by_position[i]->done)
            difference = apply(r, r->by_position[i]);
    }
    return difference;
}

static const char *run(struct replay *r)
{
    const char *difference = settle(r, r->count ? r->by_position[0]->reply.position : INT64_MAX);
    for (size_t from = 0, to; from < r->count && !difference; from = to) {
        for (to = from + 1; to < r->count; to++) {
            if (r->by_position[to]->reply.position != r->by_position[from]->reply.position)
                break;
        }
        difference = apply_group(r, from, to);
        if (!difference)
            difference = settle(r, to < r->count ? r->by_position[to]->reply.position : INT64_MAX);
    }
    if (!difference && r->floating_count)
        difference = complain(r->floating[0], fits_not(r, r->floating[0]));
    return difference;
}

static int by_position(const void *left, const void *right)
{
    const struct model_record *a = *(struct model_record *const *)left,
                              *b = *(struct model_record *const *)right;
    return (a->reply.position > b->reply.position) - (a->reply.position < b->reply.position);
}

/* Until what position each may have happened: that of what its client was told next. */
static void set_ends(struct model_record *records, size_t count)
{
    int64_t end = INT64_MAX;
    for (size_t i = count; i-- > 0;) {
        if (i + 1 < count && records[i].client != records[i + 1].client)
            end = INT64_MAX;
        records[i].high = end;
        if (records[i].reply.code == STATUS_OK && !records[i].repeat)
            end = records[i].reply.position;
    }
}

const char *model_replay(const struct model_ground *ground, struct model_record *records, size_t count,
                         struct model_story *story, struct model_replay_counts *ret_counts)
{
    struct replay r = {.ground = ground, .story = story};
    r.by_position = calloc(count + 1, sizeof(void *));
    r.floating = calloc(count + 1, sizeof(void *));
    r.spare = malloc(sizeof *r.spare);
    if (!r.by_position || !r.floating || !r.spare)
        abort();
    set_ends(records, count);
    for (size_t i = 0; i < count; i++) {
        bool refused = records[i].reply.code != STATUS_OK;
        r.counts.refused += refused;
        r.counts.repeated += records[i].repeat;
        if (refused || records[i].repeat)
            r.floating[r.floating_count++] = &records[i];
        else
            r.by_position[r.count++] = &records[i];
    }
    qsort(r.by_position, r.count, sizeof(void *), by_position);
    int64_t start = ground->account->position;
    model_feed_read(ground, start, r.count ? r.by_position[r.count - 1]->reply.position : start, &r.feed);
    const char *difference = run(&r);
    *ret_counts = r.counts;
    free(r.by_position);
    free(r.floating);
    free(r.spare);
    model_story_release(&r.trial);
    model_feed_release(&r.feed);
    return difference;
}
