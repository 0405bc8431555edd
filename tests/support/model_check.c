#include "tests/support/model_check.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_script.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)
#define CALL_TIMEOUT_US CLOCK_MINUTE

static _Thread_local char complaint[768];

static const char *complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(complaint, sizeof complaint, format, arguments);
    va_end(arguments);
    return complaint;
}

/* For calls that must succeed. */
static void *call(const struct model_ground *ground, const ProtobufCServiceDescriptor *service,
                  const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT_US};
    ProtobufCMessage *response = NULL;
    error err = {0};
    if (!rpc_client_call(ground->channel, service, method, request, &options, ground->memory, &response,
                         &err)) {
        fprintf(stderr, "%s: %s %s\n", method, err.reason, err.message);
        abort();
    }
    return response;
}

/* --- the feed ----------------------------------------------------------------------------------------------
 */

static void tell(struct model_story *story, const struct model_told *told)
{
    if (story->count == story->size) {
        story->size = story->size ? 2 * story->size : 256;
        story->events = realloc(story->events, story->size * sizeof *story->events);
        if (!story->events)
            abort();
    }
    story->events[story->count++] = *told;
}

void model_story_add(struct model_story *story, const struct account_model *account,
                     const struct model_command *command, const struct account_answer *answer)
{
    if (answer->of_case.code != STATUS_OK || answer->repeated)
        return;
    int count = answer->new_contact + answer->settings + answer->of_case.event_count;
    struct model_told told = {
        .position = answer->position - count, .actor = command->actor, .time = account->setting.now};
    if (answer->new_contact || answer->settings) {
        told.position++;
        told.kind = answer->settings ? EVENT_KIND_ACCOUNT_UPDATED : EVENT_KIND_CONTACT_CREATED;
        tell(story, &told);
    }
    for (int i = 0; i < answer->of_case.event_count; i++) {
        const struct model_event *event = &answer->of_case.events[i];
        told.position++;
        told.number = event->number;
        told.related = event->related;
        told.agent = event->agent;
        told.moved = event->moved;
        told.kind = event->kind;
        told.previous_status = event->previous_status;
        told.message = event->message;
        told.lock_agent = event->lock_agent;
        told.lock_session = event->lock_session;
        told.lock_token = event->lock_token;
        told.facts = event->facts;
        tell(story, &told);
    }
}

void model_story_release(struct model_story *story)
{
    free(story->events);
    *story = (struct model_story){0};
}

static bool is_agent(const char *name, int agent)
{
    char ending[16];
    const char *last = strrchr(name, '/');
    snprintf(ending, sizeof ending, "/a%d", agent);
    return last && strcmp(last, ending) == 0;
}

static const char *differ_actor(const struct model_told *told, const Casework__Cases__V1__Actor *actor)
{
    if ((int)actor->kind != (int)told->actor.kind ||
        (told->actor.kind == ACTOR_KIND_AGENT && !is_agent(actor->id, told->actor.agent)))
        return complain("done by %s, not by agent %d", actor->id, told->actor.agent);
    return NULL;
}

static const char *differ_event(const struct model_ground *ground, const struct model_told *told,
                                const Casework__Cases__V1__Event *event)
{
    struct model_seen seen;
    int64_t time_us = 0;
    const char *difference = differ_actor(told, event->actor);
    if (difference)
        return difference;
    if ((int)event->kind != (int)told->kind || model_wire_number(event->case_) != told->number ||
        (int)event->previous_status != (int)told->previous_status ||
        (event->message ? event->message->number : 0) != told->message)
        return complain("kind %d case %s before %d message %d, should be %d %" PRId64 " %d %d",
                        (int)event->kind, event->case_, (int)event->previous_status,
                        event->message ? event->message->number : 0, (int)told->kind, told->number,
                        (int)told->previous_status, told->message);
    if (!wire_time_us(event->event_time, &time_us) || time_us != told->time)
        return complain("at %" PRId64 ", should be %" PRId64, time_us, told->time);
    if (told->number == 0)
        return NULL;
    if (model_wire_number(event->related_case) != told->related ||
        (int)event->n_moved_messages != told->moved)
        return complain("with case %s and %zu messages, should be %" PRId64 " and %d", event->related_case,
                        event->n_moved_messages, told->related, told->moved);
    int64_t lock_token = event->lock_facts ? event->lock_facts->token : 0;
    char agent[16] = "";
    if (lock_token != told->lock_token ||
        (lock_token && !is_agent(event->lock_facts->agent, told->lock_agent)))
        return complain("grant %" PRId64 " of %s, should be %" PRId64 " of agent %d", lock_token,
                        lock_token ? event->lock_facts->agent : "", told->lock_token, told->lock_agent);
    if (lock_token && ground->sessions &&
        strcmp(event->lock_facts->session, ground->sessions[told->lock_session]) != 0)
        return complain("grant %" PRId64 " of session %s, should be session %d", lock_token,
                        event->lock_facts->session, told->lock_session);
    if (told->agent)
        snprintf(agent, sizeof agent, "/a%d", told->agent);
    const char *got = strrchr(event->resource, '/');
    if (strcmp(got ? got : "", agent) != 0)
        return complain("forwarded to %s, should be %s", event->resource, agent);
    if (!event->case_facts)
        return complain("no facts");
    model_wire_see_facts(event->case_facts, &seen);
    return model_wire_differ_facts(&told->facts, &seen, ground->contacts, true);
}

static const Casework__Cases__V1__PartitionPosition *position_of(const struct model_ground *ground)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)ground->name;
    Casework__Cases__V1__GetPositionResponse *response = call(ground, EVENTS, "GetPosition", &request);
    if (response->n_positions != 1)
        abort();
    return response->positions[0];
}

int64_t model_check_position(const struct model_ground *ground)
{
    return position_of(ground)->position;
}

static rpc_stream *open_feed(const struct model_ground *ground, int64_t position)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition after = CASEWORK__CASES__V1__PARTITION_POSITION__INIT,
                                           *afters[] = {&after};
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream = NULL;
    error err = {0};
    after.partition = position_of(ground)->partition;
    after.position = position;
    request.n_after = 1;
    request.after = afters;
    request.n_partitions = 1;
    request.partitions = &after.partition;
    if (!rpc_stream_open(ground->channel, EVENTS, "StreamEvents", &options, &stream, &err) ||
        !rpc_stream_write(stream, &request.base))
        abort();
    rpc_stream_close_send(stream);
    return stream;
}

static const char *follow(const struct model_ground *ground, rpc_stream *stream,
                          const struct model_story *story)
{
    for (size_t next = 0; next < story->count;) {
        ProtobufCMessage *message = NULL;
        error err = {0};
        if (rpc_stream_read(stream, CALL_TIMEOUT_US, ground->memory, &message, &err) != RPC_READ_MESSAGE)
            return complain("the feed ends after %zu of %zu events: %s", next, story->count, err.message);
        const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
        for (size_t i = 0; i < response->n_events; i++, next++) {
            const Casework__Cases__V1__Event *event = response->events[i];
            char first[512];
            if (next == story->count || event->position != story->events[next].position)
                return complain("the feed has an event at %" PRId64 " that should not be", event->position);
            const char *difference = differ_event(ground, &story->events[next], event);
            if (!difference)
                continue;
            snprintf(first, sizeof first, "%s", difference);
            return complain("event at %" PRId64 " of kind %d: %s", event->position, (int)event->kind, first);
        }
    }
    return NULL;
}

const char *model_check_feed(const struct model_ground *ground, int64_t position,
                             const struct model_story *story)
{
    rpc_stream *stream = open_feed(ground, position);
    const char *difference = follow(ground, stream, story);
    rpc_stream_free(stream);
    return difference;
}

void model_feed_read(const struct model_ground *ground, int64_t start, int64_t last,
                     struct model_feed *ret_feed)
{
    rpc_stream *stream = open_feed(ground, start);
    *ret_feed = (struct model_feed){.start = start, .last = last};
    ret_feed->events = calloc((size_t)(last - start) + 1, sizeof(void *));
    if (!ret_feed->events)
        abort();
    for (int64_t at = start; at < last;) {
        ProtobufCMessage *message = NULL;
        error err = {0};
        if (rpc_stream_read(stream, CALL_TIMEOUT_US, ground->memory, &message, &err) != RPC_READ_MESSAGE)
            break; /* whoever compares the feed will tell */
        const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
        for (size_t i = 0; i < response->n_events && at < last; i++) {
            at = response->events[i]->position;
            if (at > start && at <= last)
                ret_feed->events[at - start] = response->events[i];
        }
    }
    rpc_stream_free(stream);
}

void model_feed_release(struct model_feed *feed)
{
    free(feed->events);
    *feed = (struct model_feed){0};
}

const char *model_feed_differ(const struct model_ground *ground, const struct model_feed *feed,
                              const struct model_told *told)
{
    bool there = told->position > feed->start && told->position <= feed->last &&
                 feed->events[told->position - feed->start];
    return there ? differ_event(ground, told, feed->events[told->position - feed->start])
                 : complain("the feed has no event at %" PRId64, told->position);
}

/* --- cases and messages ------------------------------------------------------------------------------------
 */

/* In the order of reading, as far as they are seen. Answers how many. */
static int in_order(const struct model_ground *ground, const struct model_case *c, bool customer,
                    int numbers[MODEL_MESSAGES_MAX])
{
    bool by_time = account_model_reads_by_time(ground->account, c->number);
    int count = 0;
    for (int i = 0; i < c->last; i++) {
        const struct model_message *m = &c->messages[i];
        if (m->kind == MESSAGE_KIND_NONE || (customer && !case_model_visible(m->kind)))
            continue;
        int place = count++;
        for (; by_time && place > 0 && c->messages[numbers[place - 1] - 1].send_time > m->send_time; place--)
            numbers[place] = numbers[place - 1];
        numbers[place] = i + 1;
    }
    return count;
}

static const char *check_messages(const struct model_ground *ground, const struct model_case *expected,
                                  bool customer)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    struct model_seen_message seen;
    int numbers[MODEL_MESSAGES_MAX], count = in_order(ground, expected, customer, numbers), found = 0;
    request.parent = arena_printf(ground->memory, "%s/cases/%" PRId64, ground->name, expected->number);
    request.page_size = 7;
    if (customer)
        request.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    do {
        Casework__Cases__V1__ListMessagesResponse *page = call(ground, MESSAGES, "ListMessages", &request);
        for (size_t i = 0; i < page->n_messages; i++, found++) {
            if (found == count)
                return complain("there are more than %d messages", count);
            model_wire_see_message(page->messages[i], &seen);
            const char *difference =
                model_wire_differ_message(expected, numbers[found], &seen, ground->contacts);
            if (difference)
                return difference;
        }
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    return found == count ? NULL : complain("%d of %d messages are listed", found, count);
}

const char *model_check_cases(const struct model_ground *ground)
{
    for (int64_t number = 1; number <= ground->account->case_count; number++) {
        const struct model_case *expected = account_model_case(ground->account, number);
        Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
        struct model_seen seen;
        char first[512];
        request.name = arena_printf(ground->memory, "%s/cases/%" PRId64, ground->name, number);
        Casework__Cases__V1__GetCaseResponse *response = call(ground, CASES, "GetCase", &request);
        model_wire_see(response->case_, &seen);
        const char *difference = model_wire_differ(expected, &seen, ground->contacts, false);
        if (!difference)
            difference = check_messages(ground, expected, false);
        if (!difference)
            difference = check_messages(ground, expected, true);
        if (!difference)
            continue;
        snprintf(first, sizeof first, "%s", difference);
        return complain("case %" PRId64 " in the end: %s", number, first);
    }
    return NULL;
}

/* --- folders -----------------------------------------------------------------------------------------------
 */

static size_t list(const struct model_ground *ground, const struct model_query *query,
                   int64_t numbers[ACCOUNT_CASES_MAX])
{
    return account_model_list(ground->account, query, numbers);
}

static const char *check_counts(const struct model_ground *ground, int agent)
{
    Casework__Cases__V1__CountCasesRequest request = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    int64_t numbers[ACCOUNT_CASES_MAX];
    request.parent = (char *)(uintptr_t)ground->name;
    request.agent = arena_printf(ground->memory, "%s/agents/a%d", ground->name, agent);
    Casework__Cases__V1__CountCasesResponse *response = call(ground, CASES, "CountCases", &request);
    if (response->n_counts != MODEL_FOLDERS - 1)
        return complain("%zu folders are counted", response->n_counts);
    for (size_t i = 0; i < response->n_counts; i++) {
        const struct model_query query = {.folder = (enum model_folder)response->counts[i]->folder,
                                          .agent = agent};
        size_t expected = list(ground, &query, numbers);
        if (response->counts[i]->count != (int64_t)expected)
            return complain("folder %d of agent %d has %" PRId64 " cases, should have %zu", (int)query.folder,
                            agent, response->counts[i]->count, expected);
    }
    return NULL;
}

static struct model_query pick_query(const struct model_ground *ground, uint64_t *random)
{
    struct model_query query = {
        .folder = (enum model_folder)(1 + script_pick(random, MODEL_FOLDERS - 1)),
        .agent = 1 + (int)script_pick(random, MODEL_AGENTS),
        .order = (enum model_order)script_pick(random, MODEL_ORDERS),
        .descending = script_pick(random, 2) == 1,
    };
    const struct model_facts *some = /* so that filters let something through */
        &ground->account->cases[script_pick(random, (unsigned)ground->account->case_count)].facts;
    switch (script_pick(random, 16)) {
    case 0:
        query.owner = 1 + (int)script_pick(random, MODEL_AGENTS);
        break;
    case 1:
        query.contact = some->contact <= ACCOUNT_GIVEN_CONTACTS ? some->contact : 1;
        break;
    case 2:
        query.channel = some->channel;
        break;
    case 3:
        query.labels = some->labels;
        break;
    case 4:
        query.class_value = 1 + (int)script_pick(random, MODEL_CLASSES);
        break;
    case 5:
        query.class_group = 1 + (int)script_pick(random, MODEL_CLASSES);
        break;
    case 6:
        query.start_time = some->update_time;
        break;
    case 7:
        query.end_time = some->update_time;
        query.channel = some->channel;
        break;
    case 8:
        query.labels = some->labels;
        query.owner = some->owner;
        query.start_time = some->create_time;
        break;
    default:
        break;
    }
    return query;
}

static void fill_filters(const struct model_ground *ground, const struct model_query *query,
                         Casework__Cases__V1__ListCasesRequest *request)
{
    arena *memory = ground->memory;
    if (query->owner)
        request->owner = arena_printf(memory, "%s/agents/a%d", ground->name, query->owner);
    if (query->contact)
        request->contact = arena_printf(memory, "%s/contacts/c%d", ground->name, query->contact);
    if (query->channel)
        request->channel =
            arena_printf(memory, "%s/channels/%s", ground->name, script_channels[query->channel]);
    request->labels = arena_calloc(memory, MODEL_LIST_MAX, sizeof(char *));
    for (int i = 0; i < query->labels.count; i++)
        request->labels[request->n_labels++] = arena_strdup(memory, script_labels[query->labels.items[i]]);
    if (query->class_value || query->class_group) {
        const char *const *class =
            script_classes[query->class_value ? query->class_value : query->class_group];
        request->classification = arena_alloc(memory, sizeof *request->classification);
        casework__cases__v1__classification__init(request->classification);
        request->classification->group = arena_strdup(memory, class[0]);
        request->classification->value = arena_strdup(memory, query->class_value ? class[1] : "");
    }
    if (query->start_time)
        request->start_time = wire_timestamp(memory, query->start_time);
    if (query->end_time)
        request->end_time = wire_timestamp(memory, query->end_time);
}

/* Page by page. */
static const char *walk(const struct model_ground *ground, const struct model_query *query, int page_size)
{
    static const char *const orders[] = {"update_time", "subject", "status"};
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    int64_t numbers[ACCOUNT_CASES_MAX];
    size_t expected = list(ground, query, numbers), found = 0;
    request.parent = (char *)(uintptr_t)ground->name;
    request.folder = (Casework__Cases__V1__Folder)query->folder;
    request.agent = arena_printf(ground->memory, "%s/agents/a%d", ground->name, query->agent);
    request.order_by =
        arena_printf(ground->memory, "%s%s", orders[query->order], query->descending ? " desc" : "");
    request.page_size = page_size;
    fill_filters(ground, query, &request);
    do {
        Casework__Cases__V1__ListCasesResponse *page = call(ground, CASES, "ListCases", &request);
        for (size_t i = 0; i < page->n_cases; i++, found++) {
            int64_t number = model_wire_number(page->cases[i]->name);
            int64_t should = found < expected ? numbers[found] : 0;
            if (number != should)
                return complain("folder %d of agent %d by %s: place %zu has case %" PRId64
                                ", should have %" PRId64,
                                (int)query->folder, query->agent, request.order_by, found, number, should);
        }
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    return found == expected ? NULL
                             : complain("folder %d of agent %d by %s: %zu of %zu cases", (int)query->folder,
                                        query->agent, request.order_by, found, expected);
}

const char *model_check_lists(const struct model_ground *ground, size_t walks, uint64_t *random)
{
    const char *difference = NULL;
    if (ground->account->case_count == 0)
        return NULL;
    for (int agent = 1; agent <= MODEL_AGENTS && !difference; agent++)
        difference = check_counts(ground, agent);
    for (size_t i = 0; i < walks && !difference; i++) {
        struct model_query query = pick_query(ground, random);
        difference = walk(ground, &query, 1 + (int)script_pick(random, 9));
    }
    return difference;
}
