/* Deletion of accounts in the case service, on a real PostgreSQL. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/erase_desk.h"

#include <criterion/criterion.h>
#include <string.h>

#define EVENTS (&casework__cases__v1__event_service__descriptor)

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(erase_account, .init = setup, .fini = teardown, .timeout = 120);

static error fail_get_case(const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    return desk_fail(&server, "", DESK_CASES, "GetCase", &request);
}

Test(erase_account, an_account_goes_with_everything_it_had)
{
    case_server_account(&server, "other");
    const char *name = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
    desk_add(&server, "anna", name, 2, "Have you tried …");
    desk_receive(&server, "desk", "di", "e2", "hello");
    const char *before = desk_tables_with(&server, "acme");
    cr_assert_not_null(strstr(before, "events"));
    Casework__Cases__V1__DeleteAccountResponse *deleted = desk_delete_account(&server, "accounts/acme");
    cr_assert_str_eq(deleted->name, "accounts/acme");
    cr_assert_eq(fail_get_case(name).code, STATUS_NOT_FOUND, "at once");
    Casework__Cases__V1__Document *gone = desk_document(&server, name);
    cr_assert_eq((int)gone->state, 3);
    cr_assert_str_eq(gone->subject, "");
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    request.name = desk_text("accounts/acme");
    cr_assert_eq(desk_fail(&server, "", DESK_ACCOUNTS, "GetAccount", &request).code, STATUS_NOT_FOUND);
    desk_await_erased(&server);
    cr_assert_str_eq(desk_tables_with(&server, "acme"), "account_deletions events");
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM events WHERE account = 'acme'"), 1);
    cr_assert_eq(desk_count(&server, "SELECT position FROM events WHERE account = 'acme' AND kind = 19"),
                 deleted->position);
    request.name = desk_text("accounts/other");
    desk_call(&server, "", DESK_ACCOUNTS, "GetAccount", &request);
}

/* Whoever adds a table adds it to case_eraser_work.c, and here. */
Test(erase_account, every_table_of_accounts_is_known_to_the_eraser)
{
    cr_assert_eq(
        desk_count(
            &server,
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'account'"
            " AND table_schema = 'public' AND table_name NOT IN ('accounts', 'account_deletions',"
            " 'agents', 'batch_results', 'case_counts', 'case_guests', 'case_merges', 'cases', 'channels', "
            "'contact_addresses',"
            " 'contact_cases', 'contacts', 'erasures', 'events', 'external_ids', 'forwarded_texts',"
            " 'involved_cases',"
            " 'messages', 'outgoing', 'request_ids', 'sessions', 'tabs', 'timer_steps')"),
        0, "a table whose rows outlive their account");
}

Test(erase_account, an_account_is_deleted_once)
{
    Casework__Cases__V1__DeleteAccountRequest *request = desk_delete_request(&server, "accounts/acme", "r1");
    request->etag = desk_text("999");
    cr_assert_str_eq(desk_fail(&server, "", DESK_ACCOUNTS, "DeleteAccount", request).reason, "ETAG_MISMATCH");
    request->etag = desk_text("1");
    Casework__Cases__V1__DeleteAccountResponse *first =
        desk_call(&server, "", DESK_ACCOUNTS, "DeleteAccount", request);
    Casework__Cases__V1__DeleteAccountResponse *again =
        desk_call(&server, "", DESK_ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    desk_await_erased(&server);
    again = desk_call(&server, "", DESK_ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    cr_assert_str_eq(again->name, "accounts/acme");
    request->etag = desk_text("");
    cr_assert_str_eq(desk_fail(&server, "", DESK_ACCOUNTS, "DeleteAccount", request).reason,
                     "REQUEST_ID_REUSED");
    request->request_id = desk_text("r2");
    cr_assert_eq(desk_fail(&server, "", DESK_ACCOUNTS, "DeleteAccount", request).code, STATUS_NOT_FOUND);
    request->allow_missing = true;
    desk_call(&server, "", DESK_ACCOUNTS, "DeleteAccount", request);
    /* What has that name by then is not what the first request meant. */
    case_server_account(&server, "acme");
    request = desk_delete_request(&server, "accounts/acme", "r1");
    request->etag = desk_text("1");
    again = desk_call(&server, "", DESK_ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    desk_receive(&server, "desk", "jo", "e9", "hello");
}

Test(erase_account, a_name_that_is_used_again_meets_nothing_of_the_former)
{
    Casework__Cases__V1__ReceiveMessageResponse *former = desk_receive(&server, "desk", "jo", "e1", "hello");
    Casework__Cases__V1__DeleteAccountResponse *deleted = desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    case_server_account(&server, "acme");
    Casework__Cases__V1__ReceiveMessageResponse *next = desk_receive(&server, "desk", "jo", "e1", "hello");
    cr_assert(next->case_created);
    cr_assert_str_eq(next->case_->name, former->case_->name, "numbers begin anew");
    cr_assert_str_neq(next->case_->contact, former->case_->contact);
    cr_assert_gt(next->position, deleted->position, "positions do not");
    cr_assert_eq(desk_case(&server, next->case_->name)->message_count, 1);
    cr_assert_str_eq(desk_history(&server, next->case_->name), " 1 3");
}

static rpc_stream *open_outgoing(const char *token)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    Casework__Cases__V1__StreamOutgoingRequest request = CASEWORK__CASES__V1__STREAM_OUTGOING_REQUEST__INIT;
    rpc_stream *stream;
    error err;
    request.parent = desk_text("accounts/acme/channels/desk");
    request.resume_token = desk_text(token);
    cr_assert(rpc_stream_open(server.channel, DESK_CONNECTORS, "StreamOutgoing", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    return stream;
}

static enum rpc_read next_outgoing(rpc_stream *stream,
                                   Casework__Cases__V1__StreamOutgoingResponse **ret_message, error *err)
{
    ProtobufCMessage *message = NULL;
    enum rpc_read got = rpc_stream_read(stream, 10 * CLOCK_SECOND, server.memory, &message, err);
    *ret_message = (Casework__Cases__V1__StreamOutgoingResponse *)message;
    return got;
}

/* What a connector has kept would let it pass over messages of the new account. */
Test(erase_account, a_resume_token_of_the_former_is_none_of_the_next)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
    desk_add(&server, "anna", name, 2, "an answer");
    Casework__Cases__V1__StreamOutgoingResponse *message = NULL;
    error err = {0};
    rpc_stream *stream = open_outgoing("");
    cr_assert_eq(next_outgoing(stream, &message, &err), RPC_READ_MESSAGE, "%s", err.message);
    const char *token = message->resume_token;
    rpc_stream_free(stream);
    desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    case_server_account(&server, "acme");
    const char *next = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
    desk_add(&server, "", next, 7, "another answer");
    stream = open_outgoing(token);
    cr_assert_eq(next_outgoing(stream, &message, &err), RPC_READ_FAILED);
    cr_expect_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(err.reason, "EPOCH_CHANGED");
    rpc_stream_free(stream);
    stream = open_outgoing("");
    cr_assert_eq(next_outgoing(stream, &message, &err), RPC_READ_MESSAGE, "%s", err.message);
    cr_expect_str_eq(message->message->body, "another answer");
    token = message->resume_token;
    rpc_stream_free(stream);
    desk_add(&server, "", next, 7, "and another");
    stream = open_outgoing(token);
    cr_assert_eq(next_outgoing(stream, &message, &err), RPC_READ_MESSAGE, "%s", err.message);
    cr_expect_str_eq(message->message->body, "and another");
    rpc_stream_free(stream);
}

/* --- pages --- */

enum { LISTS = 9 };
struct paged {
    const ProtobufCServiceDescriptor *service;
    const char *method;
    ProtobufCMessage *request;
};

static void *paged_field(const ProtobufCMessage *message, const char *name)
{
    return (char *)(uintptr_t)message +
           protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name)->offset;
}

static ProtobufCMessage *paged_request(const ProtobufCMessageDescriptor *type, const char *parent)
{
    ProtobufCMessage *request = arena_calloc(server.memory, 1, type->sizeof_message);
    protobuf_c_message_init(type, request);
    *(char **)paged_field(request, "parent") = desk_text(parent);
    *(int32_t *)paged_field(request, "page_size") = 1;
    return request;
}

#define PAGED(service, method, type, parent)                                                             \
    {                                                                                                    \
        (service), (method), paged_request(&casework__cases__v1__##type##_request__descriptor, (parent)) \
    }

/* Every list that is of one account, with more than one item each. */
static void fill_lists(struct paged lists[LISTS])
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
    const char *other = desk_receive(&server, "desk", "di", "e2", "hello")->case_->name;
    desk_add(&server, "anna", name, 2, "an answer");
    desk_step(&server, "anna", "ResolveCase", name);
    desk_step(&server, "anna", "ResolveCase", other);
    desk_step(&server, "anna", "OpenCase", desk_receive(&server, "desk", "bo", "e3", "hello")->case_->name);
    const struct paged all[LISTS] = {
        PAGED(DESK_CASES, "ListCases", list_cases, "accounts/acme"),
        PAGED(DESK_CASES, "ListCases", list_cases, "accounts/acme"),
        PAGED(DESK_CASES, "ListCaseEvents", list_case_events, name),
        PAGED(DESK_CASES, "ListDueCases", list_due_cases, "accounts/acme"),
        PAGED(DESK_CASES, "ListTargetFacts", list_target_facts, "accounts/acme"),
        PAGED(DESK_MESSAGES, "ListMessages", list_messages, name),
        PAGED(DESK_CONTACTS, "ListContacts", list_contacts, "accounts/acme"),
        PAGED(&casework__cases__v1__agent_service__descriptor, "ListAgents", list_agents, "accounts/acme"),
        PAGED(&casework__cases__v1__channel_service__descriptor, "ListChannels", list_channels,
              "accounts/acme"),
    };
    memcpy(lists, all, sizeof all);
    ((Casework__Cases__V1__ListCasesRequest *)lists[1].request)->order_by = desk_text("subject");
    ((Casework__Cases__V1__ListDueCasesRequest *)lists[3].request)->rule =
        CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
}

static char *next_token(const struct paged *list)
{
    const ProtobufCMessage *response = desk_call(&server, "", list->service, list->method, list->request);
    char *token = *(char **)paged_field(response, "next_page_token");
    cr_assert(*token, "%s has one page only", list->method);
    return token;
}

/* The same arguments by name, but not the same things. */
Test(erase_account, a_page_token_of_the_former_is_none_of_the_next)
{
    struct paged lists[LISTS];
    char *former[LISTS];
    fill_lists(lists);
    for (int i = 0; i < LISTS; i++) {
        former[i] = next_token(&lists[i]);
        *(char **)paged_field(lists[i].request, "page_token") = former[i];
        desk_call(&server, "", lists[i].service, lists[i].method, lists[i].request);
    }
    desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    desk_open(&server);
    fill_lists(lists);
    for (int i = 0; i < LISTS; i++) {
        *(char **)paged_field(lists[i].request, "page_token") = former[i];
        error err = desk_fail(&server, "", lists[i].service, lists[i].method, lists[i].request);
        cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT, "%s", lists[i].method);
        cr_expect_str_eq(err.reason, "INVALID_PAGE_TOKEN", "%s", lists[i].method);
        *(char **)paged_field(lists[i].request, "page_token") = desk_text("");
        *(char **)paged_field(lists[i].request, "page_token") = next_token(&lists[i]);
        desk_call(&server, "", lists[i].service, lists[i].method, lists[i].request);
    }
}

/* --- the feed --- */

/* What a reader of the whole feed gets, up to date; answers the events of the account and the last position.
 */
static size_t read_feed(const char *account, int64_t *ret_head)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    ProtobufCMessage *message;
    error err;
    size_t count_of = 0;
    int partition = feed_partition(account);
    bool over = false;
    request.parent = desk_text("accounts/-");
    cr_assert(rpc_stream_open(server.channel, EVENTS, "StreamEvents", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    *ret_head = 0;
    while (!over &&
           rpc_stream_read(stream, 30 * CLOCK_SECOND, server.memory, &message, &err) == RPC_READ_MESSAGE) {
        const Casework__Cases__V1__StreamEventsResponse *response =
            (Casework__Cases__V1__StreamEventsResponse *)message;
        for (size_t i = 0; i < response->n_events; i++)
            count_of += strcmp(response->events[i]->account + strlen("accounts/"), account) == 0;
        for (size_t i = 0; i < response->n_heads; i++) {
            if (response->heads[i]->partition == partition)
                *ret_head = response->heads[i]->position;
        }
        over = response->caught_up;
    }
    cr_assert(over, "%s", err.message);
    rpc_stream_free(stream);
    return count_of;
}

Test(erase_account, the_feed_goes_on_behind_what_is_missing)
{
    enum { CONVERSATIONS = 150 };
    Casework__Cases__V1__ImportConversationsRequest *items[CONVERSATIONS];
    int64_t head = 0;
    for (int i = 0; i < CONVERSATIONS; i++)
        items[i] = case_server_conversation(&server, "acme", arena_printf(server.memory, "conv-%d", i), "Old",
                                            "cacaca", CASE_SERVER_START_US - CLOCK_DAY);
    cr_assert_eq(case_server_import(&server, items, CONVERSATIONS)->conversations_imported, CONVERSATIONS);
    cr_assert_gt(read_feed("acme", &head), 1000, "more than two responses");
    Casework__Cases__V1__DeleteAccountResponse *deleted = desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    case_server_account(&server, "acme");
    cr_assert_eq(read_feed("acme", &head), 3, "the deletion, and what the next one has");
    cr_assert_eq(head, deleted->position + 2);
}
