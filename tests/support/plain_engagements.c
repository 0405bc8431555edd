#include "tests/support/plain_engagements.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/activity.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Cases__V1__Event wire_event;
typedef Casework__Cases__V1__MessageFacts wire_message;

#define KIND(name) CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_##name
#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name
#define MESSAGE(name) CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_##name

enum { MESSAGES_MAX = 20000 };

/* --- one case's history ----------------------------------------------------------------------------------
 */

struct reading {
    const wire_message *messages[MESSAGES_MAX]; /* in the order of reading */
    size_t count;
    int merges;
};

static int by_number(const void *a, const void *b)
{
    const wire_message *x = *(const wire_message *const *)a, *y = *(const wire_message *const *)b;
    return x->number - y->number;
}

static int by_time(const void *a, const void *b)
{
    const wire_message *x = *(const wire_message *const *)a, *y = *(const wire_message *const *)b;
    int64_t left = activity_time(x->send_time), right = activity_time(y->send_time);
    return left != right ? (left > right ? 1 : -1) : by_number(a, b);
}

/* What a merge's target gets or loses puts its whole conversation into the order of reading. */
static void read_move(struct reading *reading, const wire_event *event)
{
    bool joins = event->kind == KIND(CASES_MERGED);
    reading->merges += joins ? 1 : -1;
    for (size_t i = 0; i < event->n_moved_messages; i++) {
        if (joins) {
            reading->messages[reading->count++] = event->moved_messages[i];
            continue;
        }
        for (size_t j = 0; j < reading->count; j++) {
            if (reading->messages[j]->number != event->moved_messages[i]->number)
                continue;
            memmove(&reading->messages[j], &reading->messages[j + 1],
                    (reading->count - j - 1) * sizeof(void *));
            reading->count--;
            break;
        }
    }
    qsort(reading->messages, reading->count, sizeof(void *), reading->merges > 0 ? by_time : by_number);
}

static void read_event(struct reading *reading, struct plain_case *c, const wire_event *event)
{
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    bool merged = facts->merged_into[0] != '\0';
    if (event->kind == KIND(MESSAGE_ADDED))
        reading->messages[reading->count++] = event->message;
    else if ((event->kind == KIND(CASES_MERGED) || event->kind == KIND(CASES_UNMERGED)) && !merged &&
             !c->merged)
        read_move(reading, event);
    if (c->status_count == 0 || c->statuses[c->status_count - 1] != (int)facts->status) {
        c->times[c->status_count] = activity_time(facts->status_time);
        c->statuses[c->status_count++] = (int)facts->status;
    }
    c->merged = merged;
    c->facts = facts;
}

static void read_reply(struct plain_case *c, const wire_message *message, int64_t time)
{
    c->resolution = time - c->opened;
    if (!c->answered)
        c->first_reply = c->resolution;
    c->answered = true;
    c->interactions++;
    c->last_agent = message->author_agent;
    for (size_t i = 0; i < c->agent_count; i++) {
        if (strcmp(c->agents[i], message->author_agent) == 0)
            return;
    }
    cr_assert_lt(c->agent_count, sizeof c->agents / sizeof c->agents[0]);
    c->agents[c->agent_count++] = message->author_agent;
}

static void read_conversation(const struct reading *reading, struct plain_case *c)
{
    int64_t time = 0;
    bool has_come = false;
    for (size_t i = 0; i < reading->count; i++) {
        const wire_message *message = reading->messages[i];
        if (activity_time(message->send_time) > time)
            time = activity_time(message->send_time);
        c->nps_sent = c->nps_sent || message->kind == MESSAGE(SURVEY);
        if (message->automatic)
            continue;
        if (message->kind == MESSAGE(CUSTOMER) && !has_come) {
            has_come = true;
            c->opened = time;
        }
        if (message->kind == MESSAGE(AGENT) && has_come)
            read_reply(c, message, time);
    }
    int64_t told = c->facts->first_customer_message_time == NULL
                       ? 0
                       : activity_time(c->facts->first_customer_message_time);
    if (!c->merged)
        cr_assert_eq(c->opened, told, "case %lld", (long long)c->id);
}

static const Casework__Cases__V1__ListCaseEventsResponse *read_page(suite *s, const char *name,
                                                                    const char *token, arena *memory)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    request.page_token = (char *)token;
    return suite_call(s, &casework__cases__v1__case_service__descriptor, "ListCaseEvents", &request, memory);
}

static void read_case(suite *s, const char *name, struct plain_case *c, arena *memory)
{
    static struct reading reading;
    reading.count = 0;
    reading.merges = 0;
    c->last_agent = "";
    c->closed = -1;
    const char *token = "";
    size_t size = 0;
    do {
        const Casework__Cases__V1__ListCaseEventsResponse *page = read_page(s, name, token, memory);
        int64_t *times = arena_calloc(memory, size + page->n_events, sizeof *times);
        int *statuses = arena_calloc(memory, size + page->n_events, sizeof *statuses);
        if (c->status_count > 0) {
            memcpy(times, c->times, c->status_count * sizeof *times);
            memcpy(statuses, c->statuses, c->status_count * sizeof *statuses);
        }
        c->times = times;
        c->statuses = statuses;
        size += page->n_events;
        for (size_t i = 0; i < page->n_events; i++)
            read_event(&reading, c, page->events[i]);
        token = page->next_page_token;
    } while (token[0] != '\0');
    read_conversation(&reading, c);
    bool is_closed = c->facts->status == STATUS(CLOSED) || (c->facts->status == STATUS(DELETED) &&
                                                            c->facts->status_before_delete == STATUS(CLOSED));
    if (is_closed)
        c->closed = activity_time(c->facts->close_time);
}

struct plain_history plain_read(suite *s, const char *account, size_t count, arena *memory)
{
    struct plain_history history = {.suite = s,
                                    .account = account,
                                    .position = suite_position(s, account),
                                    .cases = arena_calloc(memory, count + 1, sizeof *history.cases),
                                    .count = count};
    for (size_t i = 0; i < count; i++) {
        history.cases[i].id = (int64_t)i + 1;
        read_case(s, arena_printf(memory, "%s/cases/%zu", account, i + 1), &history.cases[i], memory);
    }
    return history;
}
