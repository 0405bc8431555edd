/* Redaction, erasure of contacts and deletion of accounts in the case service, on a real PostgreSQL. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "feed/partition.h"
#include "pg/pg.h"
#include "tests/support/case_server.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define AGENTS (&casework__cases__v1__agent_service__descriptor)
#define CASES (&casework__cases__v1__case_service__descriptor)
#define CONNECTORS (&casework__cases__v1__connector_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)

static struct case_server server;

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static bool try_as(const char *agent, const ProtobufCServiceDescriptor *service, const char *method,
                   const void *request, void *ret_response, error *err)
{
    const struct rpc_client_options options = {
        .timeout_us = 30 * CLOCK_SECOND, .agent = *agent ? agent : NULL, .no_retry = true};
    ProtobufCMessage *response = NULL;
    *err = (error){0};
    bool done =
        rpc_client_call(server.channel, service, method, request, &options, server.memory, &response, err);
    *(void **)ret_response = response;
    return done;
}

static void *call_as(const char *agent, const ProtobufCServiceDescriptor *service, const char *method,
                     const void *request)
{
    void *response = NULL;
    error err;
    cr_assert(try_as(agent, service, method, request, &response, &err), "%s: %s %s", method, err.reason,
              err.message);
    return response;
}

static error fail_as(const char *agent, const ProtobufCServiceDescriptor *service, const char *method,
                     const void *request)
{
    void *response = NULL;
    error err;
    cr_assert_not(try_as(agent, service, method, request, &response, &err), "%s", method);
    return err;
}

static void create_agent(const char *account, const char *id, bool admin)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = arena_printf(server.memory, "accounts/%s", account);
    request.agent_id = text(id);
    request.agent = &agent;
    agent.role = admin ? CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN
                       : CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    call_as("", AGENTS, "CreateAgent", &request);
}

static void setup(void)
{
    case_server_start(&server);
    case_server_account(&server, "acme");
    create_agent("acme", "anna", false);
    create_agent("acme", "boss", true);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(erase, .init = setup, .fini = teardown, .timeout = 120);

/* --- what the tests do ------------------------------------------------------------------------------------
 */

static Casework__Cases__V1__ReceiveMessageResponse *receive(const char *sender, const char *external_id)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = text("accounts/acme/channels/desk");
    request.sender_address = text(sender);
    request.external_id = text(external_id);
    request.subject = text("Printer");
    request.body = text("It does not print");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = text("photo.png");
    file.content_type = text("image/png");
    file.uri = text("s3://files/photo");
    file.size = 7;
    return call_as("", CONNECTORS, "ReceiveMessage", &request);
}

static Casework__Cases__V1__AddMessageRequest *message_request(const char *parent, int kind, const char *body)
{
    Casework__Cases__V1__AddMessageRequest *request = arena_alloc(server.memory, sizeof *request);
    Casework__Cases__V1__Message *message = arena_alloc(server.memory, sizeof *message);
    casework__cases__v1__add_message_request__init(request);
    casework__cases__v1__message__init(message);
    request->parent = text(parent);
    request->message = message;
    message->kind = (Casework__Cases__V1__MessageKind)kind;
    message->body = text(body);
    return request;
}

static Casework__Cases__V1__Case *get(const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = text(name);
    return ((Casework__Cases__V1__GetCaseResponse *)call_as("", CASES, "GetCase", &request))->case_;
}

static Casework__Cases__V1__Message *get_message(const char *case_name, int number)
{
    Casework__Cases__V1__GetMessageRequest request = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
    request.name = arena_printf(server.memory, "%s/messages/%d", case_name, number);
    return ((Casework__Cases__V1__GetMessageResponse *)call_as("", MESSAGES, "GetMessage", &request))
        ->message;
}

static Casework__Cases__V1__RedactMessageRequest *redact_request(const char *case_name, int number)
{
    Casework__Cases__V1__RedactMessageRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__redact_message_request__init(request);
    request->name = arena_printf(server.memory, "%s/messages/%d", case_name, number);
    return request;
}

static Casework__Cases__V1__RedactMessageResponse *redact(const char *case_name, int number)
{
    return call_as("boss", MESSAGES, "RedactMessage", redact_request(case_name, number));
}

static Casework__Cases__V1__EraseContactRequest *erase_request(const char *contact)
{
    Casework__Cases__V1__EraseContactRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__erase_contact_request__init(request);
    request->name = text(contact);
    return request;
}

static Casework__Cases__V1__EraseContactResponse *erase(const char *contact)
{
    return call_as("boss", CONTACTS, "EraseContact", erase_request(contact));
}

static Casework__Cases__V1__DeleteAccountRequest *delete_request(const char *name, const char *request_id)
{
    Casework__Cases__V1__DeleteAccountRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__delete_account_request__init(request);
    request->name = text(name);
    request->request_id = text(request_id);
    return request;
}

/* OpenCase and its like: requests that begin with the name. */
static void step(const char *method, const char *name, const char *agent)
{
    Casework__Cases__V1__OpenCaseRequest open = CASEWORK__CASES__V1__OPEN_CASE_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    open.name = resolve.name = delete.name = text(name);
    const void *request = strcmp(method, "OpenCase") == 0      ? (void *)&open
                          : strcmp(method, "ResolveCase") == 0 ? (void *)&resolve
                                                               : (void *)&delete;
    call_as(agent, CASES, method, request);
}

/* The one number that a statement answers. */
static int64_t count(const char *sql)
{
    const struct pg_options options = {.url = embedded_pg_url(server.pg)};
    const struct pg_statement statement = {.name = "test", .sql = sql};
    pg_conn *conn = NULL;
    pg_result *result = NULL;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err) && pg_query(conn, &statement, NULL, 0, &result, &err),
              "%s: %s", err.message, err.detail);
    int64_t number = pg_get_int(result, 0, 0);
    pg_result_free(result);
    pg_conn_close(conn);
    return number;
}

static void await(const char *sql, int64_t wanted)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    while (count(sql) != wanted) {
        cr_assert_lt(clock_monotonic_us(), until, "%s", sql);
        nanosleep(&pause, NULL);
    }
}

static void await_erased(void)
{
    await("SELECT count(*) FROM erasures", 0);
}

static Casework__Cases__V1__Document *document(const char *case_name)
{
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    char *names[] = {text(case_name)};
    request.parent = text("accounts/-");
    request.names = names;
    request.n_names = 1;
    Casework__Cases__V1__BatchGetDocumentsResponse *response =
        call_as("", EVENTS, "BatchGetDocuments", &request);
    return response->documents[0];
}

/* The kinds of a case's events, as one text. */
static const char *history(const char *case_name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = text(case_name);
    Casework__Cases__V1__ListCaseEventsResponse *response = call_as("", CASES, "ListCaseEvents", &request);
    const char *kinds = "";
    for (size_t i = 0; i < response->n_events; i++)
        kinds = arena_printf(server.memory, "%s %d", kinds, (int)response->events[i]->kind);
    return kinds;
}

/* --- redaction --------------------------------------------------------------------------------------------
 */

Test(erase, a_redacted_message_keeps_its_place_and_loses_its_text)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name;
    case_server_advance(&server, CLOCK_HOUR);
    Casework__Cases__V1__RedactMessageResponse *redacted = redact(name, 1);
    cr_assert(redacted->message->redacted);
    cr_assert_gt(redacted->position, received->position);
    cr_assert_eq(redacted->case_->version, received->case_->version + 1);
    const Casework__Cases__V1__Message *message = get_message(name, 1);
    cr_assert(message->redacted);
    cr_assert_str_eq(message->body, "");
    cr_assert_eq(message->n_attachments, 1);
    cr_assert_str_eq(message->attachments[0]->file_name, "");
    cr_assert_str_eq(message->attachments[0]->uri, "");
    cr_assert_str_eq(message->attachments[0]->content_type, "image/png");
    cr_assert_eq(message->attachments[0]->size, 7);
    cr_assert_eq(message->number, 1);
    cr_assert_eq((int)message->kind, 1);
    cr_assert_eq(message->send_time->seconds, received->message->send_time->seconds);
    cr_assert_eq(message->create_time->seconds, received->message->create_time->seconds);
    cr_assert_str_eq(message->external_id, "e1", "so that it is known when it comes again");
    cr_assert_str_eq(receive("jo", "e1")->message->body, "");
    cr_assert_eq(document(name)->n_messages, 0);
    cr_assert_str_eq(history(name), " 1 3 5");
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE body <> '' OR attachments::text LIKE '%photo%'"),
                 0);
}

Test(erase, redaction_is_no_change_that_a_timer_counts)
{
    const char *name = receive("jo", "e1")->case_->name;
    step("ResolveCase", name, "anna");
    const Casework__Cases__V1__Case *before = get(name);
    case_server_advance(&server, CLOCK_HOUR);
    redact(name, 1);
    const Casework__Cases__V1__Case *after = get(name);
    cr_assert_eq(after->change_version, before->change_version);
    cr_assert_eq(after->activity_version, before->activity_version);
    cr_assert_eq(after->version, before->version + 1);
    cr_assert_eq((int)after->status, 4);
    cr_assert_gt(after->update_time->seconds, before->update_time->seconds);
}

Test(erase, redacting_again_changes_nothing)
{
    const char *name = receive("jo", "e1")->case_->name;
    Casework__Cases__V1__RedactMessageResponse *first = redact(name, 1), *again = redact(name, 1);
    cr_assert_eq(again->case_->version, first->case_->version);
    cr_assert_eq(again->position, first->position);
}

Test(erase, deleted_and_new_cases_messages_are_redacted_too)
{
    const char *name = receive("jo", "e1")->case_->name;
    cr_assert_eq((int)redact(name, 1)->case_->status, 1, "and opens nothing");
    receive("jo", "e2");
    step("DeleteCase", name, "anna");
    cr_assert(redact(name, 2)->message->redacted);
    cr_assert_eq((int)get(name)->status, 6);
}

Test(erase, what_was_not_sent_is_sent_no_more)
{
    const char *name = receive("jo", "e1")->case_->name;
    call_as("anna", MESSAGES, "AddMessage", message_request(name, 2, "Have you tried …"));
    cr_assert_eq((int)get_message(name, 2)->delivery, 1);
    redact(name, 2);
    cr_assert_eq((int)get_message(name, 2)->delivery, 3);
    cr_assert_str_eq(get_message(name, 2)->delivery_failure, "redacted");
}

Test(erase, who_may_redact_and_erase)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name;
    error err = fail_as("anna", MESSAGES, "RedactMessage", redact_request(name, 1));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_str_eq(err.reason, "NOT_AN_ADMIN");
    err = fail_as("anna", CONTACTS, "EraseContact", erase_request(received->case_->contact));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_eq(fail_as("boss", ACCOUNTS, "DeleteAccount", delete_request("accounts/acme", "")).code,
                 STATUS_PERMISSION_DENIED);
    cr_assert_eq(fail_as("boss", MESSAGES, "RedactMessage", redact_request(name, 2)).code, STATUS_NOT_FOUND);
    cr_assert_eq(fail_as("", MESSAGES, "RedactMessage", redact_request("accounts/acme/cases/99", 1)).code,
                 STATUS_NOT_FOUND);
    cr_assert_eq(fail_as("", CONTACTS, "EraseContact", erase_request("accounts/acme/contacts/nobody")).code,
                 STATUS_NOT_FOUND);
    cr_assert_eq(get(name)->version, received->case_->version, "nothing has changed");
}

Test(erase, the_31st_message_moves_up)
{
    const char *name = receive("jo", "e1")->case_->name;
    for (int i = 2; i <= 31; i++)
        call_as("anna", MESSAGES, "AddMessage",
                message_request(name, 2, arena_printf(server.memory, "message %d", i)));
    cr_assert_eq(document(name)->messages[29]->number, 30);
    redact(name, 5);
    Casework__Cases__V1__Document *after = document(name);
    cr_assert_eq(after->n_messages, 30);
    cr_assert_eq(after->messages[4]->number, 6);
    cr_assert_eq(after->messages[29]->number, 31);
}

static void merge(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = text(source);
    request.target = text(target);
    call_as("", CASES, "MergeCases", &request);
}

Test(erase, a_merged_message_is_redacted_wherever_it_stands)
{
    const char *first = receive("jo", "e1")->case_->name, *second = receive("di", "e2")->case_->name;
    const char *third = receive("flo", "e3")->case_->name;
    merge(first, second);
    merge(second, third);
    cr_assert_eq(document(third)->n_messages, 3);
    redact(third, 2);
    cr_assert_eq(document(third)->n_messages, 2);
    cr_assert_eq(
        count(
            "SELECT count(DISTINCT coalesce(nullif(origin_case, 0), case_id)) FROM messages WHERE redacted"),
        1);
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE redacted AND body <> ''"), 0);
    redact(first, 1);
    redact(second, 1);
    cr_assert_eq(document(third)->n_messages, 1, "the target's own is left");
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE NOT redacted"), 1);
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = text(second);
    call_as("", CASES, "UnmergeCases", &undo);
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE body <> ''"), 1,
                 "and undoing brings nothing back");
}

Test(erase, a_contact_is_erased_where_its_messages_went)
{
    Casework__Cases__V1__ReceiveMessageResponse *gone = receive("jo", "e1");
    const char *stays = receive("di", "e2")->case_->name;
    merge(gone->case_->name, stays);
    cr_assert_eq(document(stays)->n_messages, 2);
    const int64_t version = get(stays)->version;
    erase(gone->case_->contact);
    cr_assert_eq(document(stays)->n_messages, 1, "at once");
    cr_assert_geq(get(stays)->version, version + 1, "its readers are told at once");
    await_erased();
    cr_assert_eq(document(stays)->n_messages, 1);
    cr_assert_eq(get(stays)->version, version + 2, "and when it is done");
    cr_assert_str_eq(get(stays)->subject, "Printer");
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE body <> ''"), 1);
    cr_assert_eq(count("SELECT count(*) FROM external_ids WHERE external_id = 'e1'"), 0);
    cr_assert_str_eq(receive("jo", "e1")->message->body, "");
}

/* --- erasure ----------------------------------------------------------------------------------------------
 */

Test(erase, a_contact_and_its_cases_lose_their_texts)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name, *contact = received->case_->contact;
    call_as("anna", MESSAGES, "AddMessage", message_request(name, 2, "Have you tried …"));
    call_as("anna", MESSAGES, "AddMessage", message_request(name, 3, "Jo is upset"));
    const Casework__Cases__V1__Case *before = get(name);
    Casework__Cases__V1__EraseContactResponse *erased = erase(contact);
    cr_assert_str_eq(erased->contact->name, contact);
    cr_assert_not_null(erased->contact->erase_time);
    cr_assert_str_eq(erased->contact->display_name, "");
    cr_assert_eq(erased->contact->n_handles, 0);
    await_erased();
    const Casework__Cases__V1__Case *after = get(name);
    cr_assert_str_eq(after->subject, "");
    cr_assert_str_eq(after->contact, contact);
    cr_assert_eq(after->message_count, 3);
    cr_assert_eq(after->version, before->version + 1);
    cr_assert_eq(after->change_version, before->change_version);
    for (int i = 1; i <= 3; i++) {
        cr_assert_str_eq(get_message(name, i)->body, "");
        cr_assert_eq(get_message(name, i)->n_attachments, 0);
        cr_assert(get_message(name, i)->redacted);
    }
    cr_assert_str_eq(get_message(name, 2)->author, "accounts/acme/agents/anna");
    cr_assert_str_eq(get_message(name, 1)->author, contact);
    cr_assert_eq((int)get_message(name, 2)->delivery, 3);
    const char *events = history(name);
    cr_assert_str_eq(events + strlen(events) - 3, " 24");
    cr_assert_eq(count("SELECT count(*) FROM contact_addresses"), 0);
    const int64_t position = erased->position;
    cr_assert_geq(erase(contact)->position, position, "once more is fine");
    cr_assert_eq(get(name)->version, after->version);
}

Test(erase, nothing_is_written_into_an_erased_case)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name;
    erase(received->case_->contact);
    for (int round = 0; round < 2; round++) {
        error err = fail_as("anna", MESSAGES, "AddMessage", message_request(name, 3, "Jo's number is 555"));
        cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
        cr_assert_str_eq(err.reason, "CONTACT_ERASED");
        Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
        Casework__Cases__V1__Case changed = CASEWORK__CASES__V1__CASE__INIT;
        update.case_ = &changed;
        changed.name = text(name);
        changed.subject = text("Jo again");
        cr_assert_str_eq(fail_as("anna", CASES, "UpdateCase", &update).reason, "CONTACT_ERASED");
        changed.subject = text("");
        changed.priority = 7 + round;
        call_as("anna", CASES, "UpdateCase", &update);
        await_erased();
    }
    step("ResolveCase", name, "anna");
    cr_assert_eq((int)get(name)->status, 4);
}

Test(erase, the_same_address_is_somebody_new)
{
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("jo", "e1");
    erase(first->case_->contact);
    Casework__Cases__V1__ReceiveMessageResponse *next = receive("jo", "e2");
    cr_assert(next->case_created);
    cr_assert_str_neq(next->case_->contact, first->case_->contact);
    await_erased();
    Casework__Cases__V1__ReceiveMessageResponse *again = receive("jo", "e1");
    cr_assert_str_eq(again->message->name, first->message->name, "what has come once is known for ever");
    cr_assert_str_eq(again->message->body, "");
    cr_assert_str_eq(again->message->external_id, "");
    cr_assert_eq(get(next->case_->name)->message_count, 1);
    cr_assert_str_eq(get_message(next->case_->name, 1)->body, "It does not print", "others keep theirs");
}

Test(erase, imports_of_an_erased_conversation_bring_nothing_back)
{
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, "acme", "conv-1", "Old trouble", "ctan", CASE_SERVER_START_US - CLOCK_DAY);
    cr_assert_eq(case_server_import(&server, &item, 1)->conversations_imported, 1);
    const Casework__Cases__V1__Case *imported = get("accounts/acme/cases/1");
    erase(imported->contact);
    cr_assert_str_eq(get_message(imported->name, 2)->author, "");
    await_erased();
    cr_assert_str_eq(get_message(imported->name, 2)->author, "");
    cr_assert_str_eq(get(imported->name)->external_id, "");
    Casework__Cases__V1__ImportConversationsResponse *again = case_server_import(&server, &item, 1);
    cr_assert_eq(again->conversations_imported, 0);
    cr_assert_eq(again->conversations_unchanged, 1);
    cr_assert_eq(count("SELECT count(*) FROM cases"), 1);
    cr_assert_eq(count("SELECT count(*) FROM messages WHERE body <> ''"), 0);
    item->conversation->external_id = text("conv-2");
    cr_assert_eq(case_server_import(&server, &item, 1)->conversations_imported, 1);
    cr_assert_str_neq(get("accounts/acme/cases/2")->contact, imported->contact);
}

Test(erase, a_request_id_repeats_the_answer)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    Casework__Cases__V1__RedactMessageRequest *redacting = redact_request(received->case_->name, 1);
    Casework__Cases__V1__EraseContactRequest *erasing = erase_request(received->case_->contact);
    redacting->request_id = text("r1");
    erasing->request_id = text("r2");
    Casework__Cases__V1__RedactMessageResponse *first = call_as("", MESSAGES, "RedactMessage", redacting);
    Casework__Cases__V1__RedactMessageResponse *second = call_as("", MESSAGES, "RedactMessage", redacting);
    cr_assert_eq(second->position, first->position);
    cr_assert_str_eq(second->message->name, first->message->name);
    Casework__Cases__V1__EraseContactResponse *once = call_as("", CONTACTS, "EraseContact", erasing);
    await_erased();
    Casework__Cases__V1__EraseContactResponse *twice = call_as("", CONTACTS, "EraseContact", erasing);
    cr_assert_eq(twice->position, once->position);
    cr_assert_str_eq(twice->contact->name, received->case_->contact);
    erasing->request_id = text("r1");
    cr_assert_str_eq(fail_as("", CONTACTS, "EraseContact", erasing).reason, "REQUEST_ID_REUSED");
    erasing->request_id = text("");
    erasing->etag = text("1");
    cr_assert_str_eq(fail_as("", CONTACTS, "EraseContact", erasing).reason, "ETAG_MISMATCH");
}

/* --- accounts ---------------------------------------------------------------------------------------------
 */

static Casework__Cases__V1__DeleteAccountResponse *delete_account(const char *name, const char *request_id)
{
    return call_as("", ACCOUNTS, "DeleteAccount", delete_request(name, request_id));
}

static error fail_get_case(const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = text(name);
    return fail_as("", CASES, "GetCase", &request);
}

/* Whatever tables there are: the names of those with rows of the account. */
static const char *tables_with(const char *account)
{
    const struct pg_options options = {.url = embedded_pg_url(server.pg)};
    static const struct pg_statement list = {
        .name = "tables",
        .sql = "SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.columns"
               " WHERE column_name = 'account' AND table_schema = 'public' AND (xpath('/row/n/text()',"
               " query_to_xml(format('SELECT count(*) AS n FROM %I WHERE account = %L', table_name,"
               " $1::text), false, true, '')))[1]::text::bigint > 0",
    };
    pg_conn *conn = NULL;
    pg_result *result = NULL;
    pg_params params;
    error err;
    pg_params_init(&params, server.memory);
    pg_add_text(&params, account);
    cr_assert(pg_conn_open(&options, &conn, &err) && pg_query(conn, &list, &params, 0, &result, &err), "%s",
              err.detail);
    const char *names = arena_strdup(server.memory, pg_get_text(result, 0, 0));
    pg_result_free(result);
    pg_conn_close(conn);
    return names;
}

Test(erase, an_account_goes_with_everything_it_had)
{
    case_server_account(&server, "other");
    const char *name = receive("jo", "e1")->case_->name;
    call_as("anna", MESSAGES, "AddMessage", message_request(name, 2, "Have you tried …"));
    receive("di", "e2");
    const char *before = tables_with("acme");
    cr_assert_not_null(strstr(before, "events"));
    Casework__Cases__V1__DeleteAccountResponse *deleted = delete_account("accounts/acme", "");
    cr_assert_str_eq(deleted->name, "accounts/acme");
    cr_assert_eq(fail_get_case(name).code, STATUS_NOT_FOUND, "at once");
    Casework__Cases__V1__Document *gone = document(name);
    cr_assert_eq((int)gone->state, 3);
    cr_assert_str_eq(gone->subject, "");
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    request.name = text("accounts/acme");
    cr_assert_eq(fail_as("", ACCOUNTS, "GetAccount", &request).code, STATUS_NOT_FOUND);
    await_erased();
    cr_assert_str_eq(tables_with("acme"), "account_deletions events");
    cr_assert_eq(count("SELECT count(*) FROM events WHERE account = 'acme'"), 1);
    cr_assert_eq(count("SELECT position FROM events WHERE account = 'acme' AND kind = 19"),
                 deleted->position);
    request.name = text("accounts/other");
    call_as("", ACCOUNTS, "GetAccount", &request);
}

/* Whoever adds a table adds it to case_eraser_work.c, and here. */
Test(erase, every_table_of_accounts_is_known_to_the_eraser)
{
    cr_assert_eq(
        count("SELECT count(*) FROM information_schema.columns WHERE column_name = 'account'"
              " AND table_schema = 'public' AND table_name NOT IN ('accounts', 'account_deletions',"
              " 'agents', 'batch_results', 'case_counts', 'case_guests', 'case_merges', 'cases', 'channels', "
              "'contact_addresses',"
              " 'contact_cases', 'contacts', 'erasures', 'events', 'external_ids', 'forwarded_texts',"
              " 'involved_cases',"
              " 'messages', 'outgoing', 'request_ids', 'sessions', 'tabs', 'timer_steps')"),
        0, "a table whose rows outlive their account");
}

Test(erase, an_account_is_deleted_once)
{
    Casework__Cases__V1__DeleteAccountRequest *request = delete_request("accounts/acme", "r1");
    request->etag = text("999");
    cr_assert_str_eq(fail_as("", ACCOUNTS, "DeleteAccount", request).reason, "ETAG_MISMATCH");
    request->etag = text("1");
    Casework__Cases__V1__DeleteAccountResponse *first = call_as("", ACCOUNTS, "DeleteAccount", request);
    Casework__Cases__V1__DeleteAccountResponse *again = call_as("", ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    await_erased();
    again = call_as("", ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    cr_assert_str_eq(again->name, "accounts/acme");
    request->etag = text("");
    cr_assert_str_eq(fail_as("", ACCOUNTS, "DeleteAccount", request).reason, "REQUEST_ID_REUSED");
    request->request_id = text("r2");
    cr_assert_eq(fail_as("", ACCOUNTS, "DeleteAccount", request).code, STATUS_NOT_FOUND);
    request->allow_missing = true;
    call_as("", ACCOUNTS, "DeleteAccount", request);
    /* What has that name by then is not what the first request meant. */
    case_server_account(&server, "acme");
    request = delete_request("accounts/acme", "r1");
    request->etag = text("1");
    again = call_as("", ACCOUNTS, "DeleteAccount", request);
    cr_assert_eq(again->position, first->position);
    receive("jo", "e9");
}

Test(erase, a_name_that_is_used_again_meets_nothing_of_the_former)
{
    Casework__Cases__V1__ReceiveMessageResponse *former = receive("jo", "e1");
    Casework__Cases__V1__DeleteAccountResponse *deleted = delete_account("accounts/acme", "");
    await_erased();
    case_server_account(&server, "acme");
    Casework__Cases__V1__ReceiveMessageResponse *next = receive("jo", "e1");
    cr_assert(next->case_created);
    cr_assert_str_eq(next->case_->name, former->case_->name, "numbers begin anew");
    cr_assert_str_neq(next->case_->contact, former->case_->contact);
    cr_assert_gt(next->position, deleted->position, "positions do not");
    cr_assert_eq(get(next->case_->name)->message_count, 1);
    cr_assert_str_eq(history(next->case_->name), " 1 3");
}

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
    request.parent = text("accounts/-");
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

Test(erase, the_feed_goes_on_behind_what_is_missing)
{
    enum { CONVERSATIONS = 150 };
    Casework__Cases__V1__ImportConversationsRequest *items[CONVERSATIONS];
    int64_t head = 0;
    for (int i = 0; i < CONVERSATIONS; i++)
        items[i] = case_server_conversation(&server, "acme", arena_printf(server.memory, "conv-%d", i), "Old",
                                            "cacaca", CASE_SERVER_START_US - CLOCK_DAY);
    cr_assert_eq(case_server_import(&server, items, CONVERSATIONS)->conversations_imported, CONVERSATIONS);
    cr_assert_gt(read_feed("acme", &head), 1000, "more than two responses");
    Casework__Cases__V1__DeleteAccountResponse *deleted = delete_account("accounts/acme", "");
    await_erased();
    case_server_account(&server, "acme");
    cr_assert_eq(read_feed("acme", &head), 3, "the deletion, and what the next one has");
    cr_assert_eq(head, deleted->position + 2);
}
