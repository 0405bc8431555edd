/* ImportConversations: once and for all, line by line, and all 503 real conversations. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_server.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)

static struct case_server server;

static void setup(void)
{
    case_server_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(import, .init = setup, .fini = teardown, .timeout = 120);

static Casework__Cases__V1__GetPositionResponse *positions(void)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/-";
    return case_server_call(&server, &casework__cases__v1__event_service__descriptor, "GetPosition",
                            &request);
}

static Casework__Cases__V1__Case *case_get(const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    return ((Casework__Cases__V1__GetCaseResponse *)case_server_call(&server, CASES, "GetCase", &request))
        ->case_;
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

Test(import, keeps_the_original_times)
{
    int64_t start = CASE_SERVER_START_US - 10 * CLOCK_DAY;
    Casework__Cases__V1__ImportConversationsRequest *items[] = {
        case_server_conversation(&server, "acme", "one", "first", "ccac", start),
        case_server_conversation(&server, "acme", "two", "second", "c", start),
        case_server_conversation(&server, "acme", "three", "third", "ca", start)};
    items[2]->conversation->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED;
    items[2]->conversation->status_time = wire_timestamp(server.memory, start + CLOCK_HOUR);
    items[1]->parent = items[2]->parent = (char *)(uintptr_t) ""; /* as the item before */
    Casework__Cases__V1__ImportConversationsResponse *done = case_server_import(&server, items, 3);
    cr_assert_eq(done->conversations_imported, 3);
    cr_assert_eq(done->messages_imported, 7);
    Casework__Cases__V1__Case *first = case_get("accounts/acme/cases/1");
    cr_assert_eq(first->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN);
    cr_assert_str_eq(first->owner, "accounts/acme/agents/anna");
    cr_assert_eq(first->message_count, 4);
    cr_assert(first->need_reply);
    cr_assert_eq(time_of(first->create_time), start);
    cr_assert_eq(time_of(first->open_time), start + 2 * CLOCK_MINUTE);
    cr_assert_eq(time_of(first->first_reply_time), start + 2 * CLOCK_MINUTE);
    cr_assert_eq(case_get("accounts/acme/cases/2")->status,
                 CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
    Casework__Cases__V1__Case *third = case_get("accounts/acme/cases/3");
    cr_assert_eq(third->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED);
    cr_assert_eq(time_of(third->resolve_time), start + CLOCK_HOUR);
    cr_assert_str_eq(third->contact, first->contact, "the same name on the same network");
}

Test(import, messages_are_numbered_by_their_time)
{
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, "acme", "one", "shuffled", "cacc", CASE_SERVER_START_US - CLOCK_DAY);
    Casework__Cases__V1__ConversationMessage *last = item->conversation->messages[3];
    item->conversation->messages[3] = item->conversation->messages[0];
    item->conversation->messages[0] = last;
    cr_assert_eq(case_server_import(&server, &item, 1)->conversations_imported, 1);
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme/cases/1";
    Casework__Cases__V1__ListMessagesResponse *list = case_server_call(
        &server, &casework__cases__v1__message_service__descriptor, "ListMessages", &request);
    for (size_t i = 0; i < list->n_messages; i++) {
        char body[32];
        snprintf(body, sizeof body, "message %zu", i + 1);
        cr_assert_str_eq(list->messages[i]->body, body);
    }
}

/* Puts bytes on the wire that no client of ours would send: as a field unknown to the packing. */
static void spoil(ProtobufCMessage *message, uint32_t field, const char *bytes, size_t length)
{
    ProtobufCMessageUnknownField *raw = arena_alloc(server.memory, sizeof *raw);
    uint8_t *data = arena_alloc(server.memory, length + 1);
    data[0] = (uint8_t)length;
    memcpy(data + 1, bytes, length);
    *raw = (ProtobufCMessageUnknownField){
        .tag = field, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = length + 1, .data = data};
    message->n_unknown_fields = 1;
    message->unknown_fields = raw;
}

Test(import, bad_text_refuses_its_conversation_only)
{
    enum { COUNT = 6 };
    Casework__Cases__V1__ImportConversationsRequest *items[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char id[16];
        snprintf(id, sizeof id, "text%d", i);
        items[i] =
            case_server_conversation(&server, "acme", id, "subject", "ca", CASE_SERVER_START_US - CLOCK_DAY);
    }
    const ProtobufCMessageDescriptor *conversation = &casework__cases__v1__conversation__descriptor;
    uint32_t subject = protobuf_c_message_descriptor_get_field_by_name(conversation, "subject")->id;
    uint32_t external_id = protobuf_c_message_descriptor_get_field_by_name(conversation, "external_id")->id;
    uint32_t parent =
        protobuf_c_message_descriptor_get_field_by_name(items[0]->base.descriptor, "parent")->id;
    spoil(&items[0]->conversation->base, subject, "a\0b", 3);
    items[1]->parent = (char *)(uintptr_t) ""; /* the account of the one that was refused */
    spoil(&items[2]->conversation->base, external_id, "\xff\xfe", 2);
    spoil(&items[3]->base, parent, "accounts/acme\0x", 15);
    items[4]->parent = (char *)(uintptr_t) ""; /* of nobody */
    Casework__Cases__V1__ImportConversationsResponse *done = case_server_import(&server, items, COUNT);
    cr_assert_eq(done->conversations_imported, 2);
    cr_assert_eq(done->n_refusals, 4);
    static const int refused[] = {0, 2, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(done->refusals[i]->index, refused[i]);
        cr_assert_eq(strcmp(done->refusals[i]->reason, "INVALID_TEXT") == 0, refused[i] != 4);
    }
    cr_assert_str_eq(done->refusals[0]->external_id, "text0");
    cr_assert_str_eq(done->refusals[1]->external_id, "");
}

Test(import, what_is_wrong_refuses_that_one_only)
{
    int64_t start = CASE_SERVER_START_US - CLOCK_DAY;
    enum { COUNT = 9 };
    Casework__Cases__V1__ImportConversationsRequest *items[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        snprintf(id, sizeof id, "c%d", i);
        items[i] = case_server_conversation(&server, "acme", id, "subject", "ca", start);
    }
    items[1]->conversation->external_id = (char *)(uintptr_t) "";
    items[2]->conversation->n_messages = 0;
    items[3]->conversation->messages[1]->kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_SYSTEM;
    items[4]->conversation->messages[1]->send_time =
        wire_timestamp(server.memory, CASE_SERVER_START_US + CLOCK_DAY);
    items[5]->conversation->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED;
    Google__Protobuf__Timestamp epoch = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    items[6]->conversation->messages[0]->send_time = &epoch;
    items[7]->conversation->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED;
    items[7]->conversation->status_time = &epoch;
    Casework__Cases__V1__ImportConversationsResponse *done = case_server_import(&server, items, COUNT);
    cr_assert_eq(done->conversations_imported, 2);
    cr_assert_eq(done->conversations_refused, 7);
    cr_assert_eq(done->n_refusals, 7);
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(done->refusals[i]->index, i + 1);
        cr_assert_str_eq(done->refusals[i]->external_id, items[i + 1]->conversation->external_id);
        cr_assert(*done->refusals[i]->reason && *done->refusals[i]->message);
    }
}

/* --- the real ones --- */

enum { REAL = 503 };

struct real {
    Casework__Cases__V1__ImportConversationsRequest *items[REAL];
    json_t *lines[REAL];
    size_t count, messages;
};

static const char *account_of(const json_t *line)
{
    char *id = arena_strdup(server.memory, json_string_value(json_object_get(line, "account")));
    for (char *p = id; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return id;
}

static Casework__Cases__V1__ImportConversationsRequest *item_of(const json_t *line)
{
    json_t *messages = json_object_get(line, "messages");
    char kinds[1024] = "";
    for (size_t i = 0; i < json_array_size(messages); i++)
        kinds[i] = *json_string_value(json_object_get(json_array_get(messages, i), "from"));
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, account_of(line), json_string_value(json_object_get(line, "external_id")),
        json_string_value(json_object_get(line, "subject")), kinds, 1);
    item->conversation->network = (char *)(uintptr_t)json_string_value(json_object_get(line, "channel"));
    item->conversation->contact->display_name =
        (char *)(uintptr_t)json_string_value(json_object_get(json_object_get(line, "contact"), "name"));
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        int64_t at = 0;
        cr_assert(clock_parse(json_string_value(json_object_get(message, "at")), &at));
        item->conversation->messages[i]->send_time = wire_timestamp(server.memory, at);
        item->conversation->messages[i]->body =
            (char *)(uintptr_t)json_string_value(json_object_get(message, "text"));
        item->conversation->messages[i]->author_name =
            (char *)(uintptr_t)json_string_value(json_object_get(message, "name"));
    }
    return item;
}

static void read_real(struct real *real)
{
    FILE *file = fopen(suite_conversations(), "r");
    cr_assert_not_null(file);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        json_t *parsed = json_loads(line, 0, NULL);
        cr_assert_not_null(parsed);
        real->lines[real->count] = parsed;
        real->items[real->count] = item_of(parsed);
        real->messages += real->items[real->count++]->conversation->n_messages;
    }
    free(line);
    fclose(file);
}

/* Every message of the line is in the case with its external id, in the order of their times. */
static void check_case(const struct real *real, const Casework__Cases__V1__Case *found)
{
    size_t i = 0;
    while (strcmp(real->items[i]->conversation->external_id, found->external_id) != 0)
        cr_assert_lt(++i, real->count);
    const Casework__Cases__V1__Conversation *given = real->items[i]->conversation;
    cr_assert_str_eq(found->subject, given->subject);
    cr_assert_eq((size_t)found->message_count, given->n_messages);
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = found->name;
    request.page_size = 1000;
    Casework__Cases__V1__ListMessagesResponse *list = case_server_call(
        &server, &casework__cases__v1__message_service__descriptor, "ListMessages", &request);
    cr_assert_eq(list->n_messages, given->n_messages);
    int64_t before = INT64_MIN;
    for (size_t m = 0; m < list->n_messages; m++) {
        int64_t sent = time_of(list->messages[m]->send_time);
        bool there = false;
        for (size_t g = 0; g < given->n_messages && !there; g++)
            there = time_of(given->messages[g]->send_time) == sent &&
                    strcmp(given->messages[g]->body, list->messages[m]->body) == 0;
        cr_assert(there, "%s: message %zu is another one", found->name, m + 1);
        cr_assert_geq(sent, before, "%s: message %zu is out of order", found->name, m + 1);
        before = sent;
    }
}

Test(import, all_real_conversations_twice_without_a_second_effect)
{
    struct real *real = arena_calloc(server.memory, 1, sizeof *real);
    read_real(real);
    cr_assert_eq(real->count, REAL);
    Casework__Cases__V1__ImportConversationsResponse *first =
        case_server_import(&server, real->items, real->count);
    cr_assert_eq(first->conversations_imported, REAL, "%s",
                 first->n_refusals ? first->refusals[0]->message : "");
    cr_assert_eq((size_t)first->messages_imported, real->messages);
    Casework__Cases__V1__GetPositionResponse *before = positions();
    Casework__Cases__V1__ImportConversationsResponse *second =
        case_server_import(&server, real->items, real->count);
    cr_assert_eq(second->conversations_unchanged, REAL);
    cr_assert_eq(second->messages_imported, 0);
    Casework__Cases__V1__GetPositionResponse *after = positions();
    for (size_t i = 0; i < before->n_positions; i++)
        cr_assert_eq(after->positions[i]->position, before->positions[i]->position);

    Casework__Cases__V1__ListAccountsRequest accounts = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    Casework__Cases__V1__ListAccountsResponse *list = case_server_call(
        &server, &casework__cases__v1__account_service__descriptor, "ListAccounts", &accounts);
    cr_assert_eq(list->n_accounts, 24);
    size_t found = 0;
    for (size_t a = 0; a < list->n_accounts; a++) {
        Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
        request.parent = list->accounts[a]->name;
        request.page_size = 1000;
        Casework__Cases__V1__ListCasesResponse *page =
            case_server_call(&server, CASES, "ListCases", &request);
        for (size_t i = 0; i < page->n_cases; i++, found++)
            check_case(real, page->cases[i]);
    }
    cr_assert_eq(found, REAL);
    for (size_t i = 0; i < real->count; i++)
        json_decref(real->lines[i]);
}
