/* What a replay has come to and where it is stuck, for whoever has to find out why. */

#include "tests/support/model_replay_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NEAR = 8 };

static const Casework__Cases__V1__Event *event_at(const struct replay *r, int64_t position)
{
    bool there = position >= r->feed.start && position <= r->feed.last;
    return there ? r->feed.events[position - r->feed.start] : NULL;
}

static void print_event(const struct replay *r, const Casework__Cases__V1__Event *event, int64_t at)
{
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    fprintf(stderr, "  %" PRId64 ": kind %d of %s by %s", at, (int)event->kind, event->case_,
            event->actor->id);
    if (event->lock_facts)
        fprintf(stderr, ", grant %" PRId64 " of session %d", event->lock_facts->token,
                replay_session_of(r, event->lock_facts->session));
    if (facts) {
        fprintf(stderr, ", status %d, owner '%s', involved", (int)facts->status, facts->owner);
        for (size_t i = 0; i < facts->n_involved_agents; i++)
            fprintf(stderr, " %s", facts->involved_agents[i]);
    }
    fputc('\n', stderr);
}

static void print_record(const struct model_record *record)
{
    fprintf(stderr, "    ");
    if (record->done)
        fprintf(stderr, "done at %" PRId64 ": ", record->at);
    fprintf(stderr, "client %d: ", record->client);
    model_command_print(&record->command, stderr);
    fprintf(stderr, " told %" PRId64 " (%" PRId64 " to %" PRId64 "), grant %" PRId64 ", %s %s%s%s%s\n",
            record->reply.position, record->low, record->high, record->lock_token,
            status_code_name(record->reply.code), record->reply.reason, record->vague ? " vague" : "",
            record->perhaps ? " perhaps" : "", record->repeat ? " repeat" : "");
}

static bool is_about(const struct model_record *record, int64_t number)
{
    const struct model_command *command = &record->command;
    bool about = command->number == number || command->target == number ||
                 record->reply.seen.number == number || command->verb == MODEL_LOG_OUT;
    for (int i = 0; i < command->batch_count; i++)
        about = about || command->batch[i] == number;
    return about;
}

/* All that was asked about the case and is carried out from one position to another, or at any. */
static void print_records(const struct replay *r, int64_t number, int64_t from, int64_t to)
{
    for (size_t client = 0; client < r->log_count; client++)
        for (size_t i = 0; i < r->logs[client].count; i++) {
            const struct model_record *record = &r->logs[client].records[i];
            int64_t at = record->done ? record->at : record->reply.position;
            if (at >= from && at < to && is_about(record, number))
                print_record(record);
        }
}

static void print_case(const struct replay *r, int64_t number)
{
    int64_t from = INT64_MIN;
    fprintf(stderr, "case %" PRId64 ":\n", number);
    for (int64_t at = r->feed.start; at <= r->feed.last; at++) {
        const Casework__Cases__V1__Event *event = event_at(r, at);
        if (!event || model_wire_number(event->case_) != number)
            continue;
        print_records(r, number, from, at);
        from = at;
        print_event(r, event, at);
    }
    print_records(r, number, from, INT64_MAX);
}

void replay_print(const struct replay *r, int64_t number)
{
    int64_t now = r->ground->account->position;
    int64_t next = 0;
    fprintf(stderr, "at %" PRId64 " the feed goes on with\n", now);
    for (int64_t at = now + 1; at < now + NEAR; at++) {
        const Casework__Cases__V1__Event *event = event_at(r, at);
        if (event)
            print_event(r, event, at);
        if (event && !next)
            next = model_wire_number(event->case_);
    }
    replay_print_sessions(r);
    if (next)
        print_case(r, next);
    if (number && number != next)
        print_case(r, number);
}
