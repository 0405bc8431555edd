#include "report/report_engagement_rules.h"

#include <string.h>

static bool is_live(enum report_status status)
{
    return status != REPORT_STATUS_CLOSED && status != REPORT_STATUS_DELETED;
}

/* --- messages --------------------------------------------------------------------------------------------
 */

static bool knows_agent(const struct report_texts *agents, const char *agent)
{
    for (size_t i = 0; i < agents->count; i++) {
        if (strcmp(agents->items[i], agent) == 0)
            return true;
    }
    return false;
}

static bool add_agent(struct report_texts *agents, const char *agent, arena *memory)
{
    if (agent[0] == '\0' || knows_agent(agents, agent))
        return true;
    const char **items = arena_calloc(memory, agents->count + 1, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < agents->count; i++)
        items[i] = agents->items[i];
    items[agents->count] = agent;
    *agents = (struct report_texts){items, agents->count + 1};
    return true;
}

/* What agents wrote before the customer's first message does not count. */
static bool add_reply(struct report_engagement *engagement, const char *agent, arena *memory)
{
    if (engagement->opened == 0)
        return true;
    engagement->resolution = engagement->sent - engagement->opened;
    if (engagement->interactions++ == 0)
        engagement->first_reply = engagement->resolution;
    engagement->last_agent = agent;
    return add_agent(&engagement->agents, agent, memory);
}

/* Time is monotonic within a case: what was sent before the message before it counts from that one's time. */
static bool add_message(struct report_engagement *engagement, const struct report_message *message,
                        arena *memory)
{
    if (message->send_time > engagement->sent)
        engagement->sent = message->send_time;
    if (message->kind == REPORT_MESSAGE_SURVEY)
        engagement->nps_sent = true;
    if (message->automatic)
        return true;
    if (message->kind == REPORT_MESSAGE_CUSTOMER && engagement->opened == 0)
        engagement->opened = engagement->sent;
    return message->kind != REPORT_MESSAGE_AGENT || add_reply(engagement, message->agent, memory);
}

static bool count_anew(struct report_engagement *engagement, const struct report_change *change,
                       arena *memory)
{
    engagement->sent = engagement->opened = 0;
    engagement->first_reply = engagement->resolution = engagement->interactions = 0;
    engagement->agents = (struct report_texts){0};
    engagement->last_agent = "";
    engagement->nps_sent = false;
    for (size_t i = 0; i < change->message_count; i++) {
        if (!add_message(engagement, &change->messages[i], memory))
            return false;
    }
    return true;
}

/* --- status ----------------------------------------------------------------------------------------------
 */

/* Begins a pause, or ends the one that there is. */
static bool turn(struct report_engagement *engagement, int64_t time, arena *memory)
{
    size_t count = engagement->pause_count;
    int64_t *pauses = arena_calloc(memory, count + 1, sizeof *pauses);
    if (pauses == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        pauses[i] = engagement->pauses[i];
    pauses[count] = count > 0 && pauses[count - 1] > time ? pauses[count - 1] : time;
    engagement->pauses = pauses;
    engagement->pause_count = count + 1;
    return true;
}

/* Deleting a closed case leaves it closed. */
static void follow_closing(struct report_engagement *engagement, const struct report_facts *facts)
{
    if (facts->status == REPORT_STATUS_CLOSED && engagement->facts.status != REPORT_STATUS_DELETED)
        engagement->closed = facts->status_time;
    else if (is_live(facts->status))
        engagement->closed = REPORT_NOT_CLOSED;
}

static bool follow_status(struct report_engagement *engagement, const struct report_facts *facts,
                          arena *memory)
{
    if (facts->status == engagement->facts.status)
        return true;
    follow_closing(engagement, facts);
    return is_live(facts->status) == is_live(engagement->facts.status) ||
           turn(engagement, facts->status_time, memory);
}

bool report_engagement_rules_apply(struct report_engagement *engagement, const struct report_change *change,
                                   arena *memory)
{
    if (!engagement->known) {
        *engagement = (struct report_engagement){
            .known = true,
            .facts = {.status = REPORT_STATUS_NEW},
            .closed = REPORT_NOT_CLOSED,
            .last_agent = "",
        };
    }
    /* A case that comes back from a merge has the messages that it had. */
    bool anew = change->anew && !engagement->facts.merged;
    if (!follow_status(engagement, &change->facts, memory))
        return false;
    engagement->facts = change->facts;
    if (anew)
        return count_anew(engagement, change, memory);
    return change->message == NULL || add_message(engagement, change->message, memory);
}

/* --- what follows ----------------------------------------------------------------------------------------
 */

bool report_engagement_is_one(const struct report_engagement *engagement)
{
    return engagement->interactions > 0 && !engagement->facts.merged;
}

bool report_engagement_counts(const struct report_engagement *engagement)
{
    return report_engagement_is_one(engagement) ||
           (engagement->known && engagement->closed != REPORT_NOT_CLOSED && !engagement->facts.merged);
}

bool report_engagement_spans(const struct report_engagement *engagement, arena *memory, int64_t **ret_spans,
                             size_t *ret_count)
{
    *ret_spans = NULL;
    *ret_count = 0;
    if (!report_engagement_is_one(engagement))
        return true;
    int64_t *spans = arena_calloc(memory, engagement->pause_count + 1, sizeof *spans);
    if (spans == NULL)
        return false;
    size_t count = 0;
    int64_t from = engagement->opened;
    for (size_t i = 0; i < engagement->pause_count; i += 2) {
        int64_t pause = engagement->pauses[i];
        bool over = i + 1 < engagement->pause_count;
        if (over && engagement->pauses[i + 1] <= engagement->opened)
            continue;
        if (pause >= from) {
            spans[count++] = from;
            spans[count++] = pause > from ? pause : from + 1;
        }
        from = over ? engagement->pauses[i + 1] : INT64_MAX;
    }
    if (from != INT64_MAX)
        spans[count++] = from;
    *ret_spans = spans;
    *ret_count = count;
    return true;
}
