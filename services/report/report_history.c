#include "report/report_history.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

/* Of one page. */
#define CASES_TIMEOUT (5 * CLOCK_SECOND)
enum { PAGE_BYTES_MAX = 64 << 20 };

typedef Casework__Cases__V1__Event wire_event;
typedef Casework__Cases__V1__ListCaseEventsResponse wire_page;

#define KIND(name) CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_##name

/* A conversation on its way through the history. */
struct conversation {
    arena *memory;
    struct report_message *list;
    size_t count, size;
    int merges;  /* cases that are merged into it */
    bool merged; /* it is merged into another one */
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a case's history");
}

bool report_history_message(const Casework__Cases__V1__MessageFacts *facts,
                            struct report_message *ret_message, error *err)
{
    struct report_message message = {
        .number = facts->number,
        .kind = (enum report_message_kind)facts->kind,
        .automatic = facts->automatic,
    };
    const char *slash = strrchr(facts->author_agent, '/');
    message.agent = slash != NULL ? slash + 1 : "";
    if (!wire_time_us(facts->send_time, &message.send_time))
        return error_set(err, STATUS_INTERNAL, "", "a message of the feed has a time that is none");
    *ret_message = message;
    return true;
}

static bool add(struct conversation *conversation, const Casework__Cases__V1__MessageFacts *facts, error *err)
{
    if (conversation->count == conversation->size) {
        size_t size = conversation->size == 0 ? 64 : 2 * conversation->size;
        struct report_message *grown = arena_calloc(conversation->memory, size, sizeof *grown);
        if (grown == NULL)
            return out_of_memory(err);
        if (conversation->count > 0)
            memcpy(grown, conversation->list, conversation->count * sizeof *grown);
        conversation->list = grown;
        conversation->size = size;
    }
    struct report_message *message = &conversation->list[conversation->count++];
    if (!report_history_message(facts, message, err))
        return false;
    message->agent = arena_strdup(conversation->memory, message->agent); /* the page does not last */
    return message->agent != NULL || out_of_memory(err);
}

static void take_away(struct conversation *conversation, const wire_event *event)
{
    size_t kept = 0;
    for (size_t i = 0; i < conversation->count; i++) {
        bool leaves = false;
        for (size_t j = 0; j < event->n_moved_messages && !leaves; j++)
            leaves = event->moved_messages[j]->number == conversation->list[i].number;
        if (!leaves)
            conversation->list[kept++] = conversation->list[i];
    }
    conversation->count = kept;
}

/* Of a merge's two events only the target's changes a conversation. */
static bool follow(struct conversation *conversation, const wire_event *event, error *err)
{
    bool merged = event->case_facts != NULL && event->case_facts->merged_into[0] != '\0';
    bool is_source = merged || conversation->merged;
    conversation->merged = merged;
    if (event->kind == KIND(MESSAGE_ADDED) && event->message != NULL)
        return add(conversation, event->message, err);
    if (is_source)
        return true;
    if (event->kind == KIND(CASES_UNMERGED)) {
        take_away(conversation, event);
        conversation->merges--;
    } else if (event->kind == KIND(CASES_MERGED)) {
        conversation->merges++;
        for (size_t i = 0; i < event->n_moved_messages; i++) {
            if (!add(conversation, event->moved_messages[i], err))
                return false;
        }
    }
    return true;
}

static int by_number(const void *a, const void *b)
{
    const struct report_message *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_time(const void *a, const void *b)
{
    const struct report_message *x = a, *y = b;
    int order = (x->send_time > y->send_time) - (x->send_time < y->send_time);
    return order != 0 ? order : by_number(a, b);
}

static bool read_page(rpc_channel *cases, arena *memory, const char *name, const char *token,
                      const wire_page **ret_page, error *err)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    request.page_token = (char *)token;
    const struct rpc_client_options options = {.timeout_us = CASES_TIMEOUT};
    ProtobufCMessage *response;
    if (!rpc_client_call(cases, &casework__cases__v1__case_service__descriptor, "ListCaseEvents",
                         &request.base, &options, memory, &response, err))
        return false;
    *ret_page = (const wire_page *)response;
    return true;
}

/* One page, and where the next one starts: "" when there is none, or nothing more is wanted. */
static bool follow_page(rpc_channel *cases, arena *scratch, const char *name, int64_t position,
                        struct conversation *conversation, const char **token, error *err)
{
    const wire_page *page;
    if (!read_page(cases, scratch, name, *token, &page, err))
        return false;
    *token = "";
    for (size_t i = 0; i < page->n_events; i++) {
        if (page->events[i]->position > position)
            return true;
        if (!follow(conversation, page->events[i], err))
            return false;
    }
    *token = arena_strdup(conversation->memory, page->next_page_token);
    return *token != NULL || out_of_memory(err);
}

static bool follow_all(rpc_channel *cases, const char *name, int64_t position,
                       struct conversation *conversation, error *err)
{
    arena *scratch = arena_new(PAGE_BYTES_MAX);
    if (scratch == NULL)
        return out_of_memory(err);
    const char *token = "";
    bool followed = true;
    do {
        arena_clear(scratch);
        followed = follow_page(cases, scratch, name, position, conversation, &token, err);
    } while (followed && token[0] != '\0');
    arena_free(scratch);
    return followed;
}

bool report_history_read(rpc_channel *cases, arena *memory, const char *name, int64_t position,
                         const struct report_message **ret_messages, size_t *ret_count, error *err)
{
    struct conversation conversation = {.memory = memory};
    error failure = {0};
    if (!follow_all(cases, name, position, &conversation, &failure)) {
        if (failure.code != STATUS_NOT_FOUND) {
            *err = failure;
            return false;
        }
        conversation.count = 0;
    }
    if (conversation.count > 0)
        qsort(conversation.list, conversation.count, sizeof *conversation.list,
              conversation.merges > 0 ? by_time : by_number);
    *ret_messages = conversation.list;
    *ret_count = conversation.count;
    return true;
}
