/* Contacts who write in the case of somebody else, where a merge has led them. */

#include "base/clock.h"
#include "tests/support/erase_desk.h"

#include <criterion/criterion.h>
#include <string.h>

enum { CUSTOMER = 1, REPLY = 2, CONTACT_ERASED = 24 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_guests, .init = setup, .fini = teardown, .timeout = 120);

/* Kay's case joins Jo's, and Kay goes on writing. */
struct scene {
    Casework__Cases__V1__Case *jo, *kay;
    Casework__Cases__V1__Message *later;
};

static struct scene begin(void)
{
    struct scene scene;
    scene.jo = desk_receive(&server, "mail", "jo@example.com", "e1", "hello")->case_;
    scene.kay = desk_receive(&server, "mail", "kay@example.com", "e2", "secretword one")->case_;
    desk_merge(&server, scene.kay->name, scene.jo->name);
    Casework__Cases__V1__ReceiveMessageResponse *later =
        desk_receive(&server, "mail", "kay@example.com", "e3", "secretword two");
    cr_assert_str_eq(later->case_->name, scene.jo->name);
    scene.later = later->message;
    return scene;
}

static Casework__Cases__V1__StreamOutgoingResponse *next_outgoing(rpc_stream **stream)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    Casework__Cases__V1__StreamOutgoingRequest request = CASEWORK__CASES__V1__STREAM_OUTGOING_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    error err = {0};
    request.parent = desk_text("accounts/acme/channels/mail");
    if (*stream == NULL) {
        cr_assert(rpc_stream_open(server.channel, DESK_CONNECTORS, "StreamOutgoing", &options, stream, &err));
        cr_assert(rpc_stream_write(*stream, &request.base));
        rpc_stream_close_send(*stream);
    }
    cr_assert_eq(rpc_stream_read(*stream, 10 * CLOCK_SECOND, server.memory, &message, &err), RPC_READ_MESSAGE,
                 "%s", err.message);
    return (Casework__Cases__V1__StreamOutgoingResponse *)message;
}

Test(case_guests, who_writes_is_answered)
{
    struct scene scene = begin();
    rpc_stream *stream = NULL;
    desk_add(&server, "anna", scene.jo->name, REPLY, "an answer");
    Casework__Cases__V1__StreamOutgoingResponse *reply = next_outgoing(&stream);
    cr_expect_str_eq(reply->to_address, "jo@example.com");
    cr_assert_eq(reply->n_cc_addresses, 1);
    cr_expect_str_eq(reply->cc_addresses[0], "kay@example.com");
    desk_call(&server, "anna", DESK_CASES, "ForwardCase",
              desk_forward_case(&server, scene.jo->name, NULL, "lab@example.net", ""));
    Casework__Cases__V1__StreamOutgoingResponse *forwarded = next_outgoing(&stream);
    cr_expect_str_eq(forwarded->to_address, "lab@example.net");
    cr_expect_eq(forwarded->n_cc_addresses, 0, "third parties are nobody's business");
    const char *other = desk_receive(&server, "mail", "max@example.com", "e4", "hello")->case_->name;
    desk_add(&server, "anna", other, REPLY, "an answer");
    cr_expect_eq(next_outgoing(&stream)->n_cc_addresses, 0);
    rpc_stream_free(stream);
}

static void expect_no_secret(const char *case_name)
{
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, case_name, 1);
    for (size_t i = 0; i < list->n_messages; i++)
        cr_expect_null(strstr(list->messages[i]->body, "secretword"), "%s", list->messages[i]->name);
}

Test(case_guests, erasing_who_wrote_takes_what_was_written)
{
    struct scene scene = begin();
    cr_assert_str_eq(scene.later->author, scene.kay->contact);
    desk_erase(&server, scene.kay->contact);
    expect_no_secret(scene.jo->name);
    cr_expect_str_eq(desk_get_message(&server, scene.later->name)->body, "", "at once");
    cr_expect_not_null(desk_last_event(&server, scene.jo->name, CONTACT_ERASED), "and told at once");
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%secretword%'"), 0);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE external_id IN ('e2', 'e3')"),
                 0);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE external_id = 'e1'"), 1,
                 "Jo keeps hers");
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM case_guests"), 0);
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, scene.jo->name, 1);
    cr_assert_eq(list->n_messages, 3);
    cr_expect_str_eq(list->messages[0]->body, "hello");
    cr_expect_str_eq(desk_receive(&server, "mail", "kay@example.com", "e3", "again")->message->name,
                     scene.later->name, "an external id is for ever");
}

Test(case_guests, also_when_the_cases_went_apart_or_on)
{
    struct scene scene = begin();
    desk_unmerge(&server, scene.kay->name);
    const char *end = desk_receive(&server, "mail", "max@example.com", "e4", "hello")->case_->name;
    desk_merge(&server, scene.jo->name, end);
    desk_add(&server, "anna", end, REPLY, "an answer");
    desk_erase(&server, scene.kay->contact);
    expect_no_secret(scene.jo->name);
    expect_no_secret(end);
    cr_expect_not_null(desk_last_event(&server, end, CONTACT_ERASED));
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%secretword%'"), 0);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%an answer%'"), 1);
}

/* A merge may lead from one channel to another: an id is known where it came in. */
static const char *fail_reply(const char *case_name, const char *failure)
{
    const char *name = desk_add(&server, "anna", case_name, REPLY, "an answer")->name;
    desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery", desk_report(&server, name, 3, failure, ""));
    return name;
}

/* An agent's reply in the case of somebody else stays, but for whom it could not be delivered to. */
Test(case_guests, erasing_who_wrote_takes_failures_that_name_the_address)
{
    struct scene scene = begin();
    const char *last = desk_receive(&server, "mail", "max@example.com", "e4", "hello")->case_->name;
    const char *names = fail_reply(scene.jo->name, "550 <Kay@Example.com> unknown");
    const char *other = fail_reply(scene.jo->name, "550 jo@example.com unknown");
    desk_merge(&server, scene.jo->name, last);
    desk_erase(&server, scene.kay->contact);
    cr_expect_str_eq(desk_get_message(&server, names)->delivery_failure, "");
    cr_expect_str_eq(desk_get_message(&server, names)->body, "an answer");
    cr_expect_eq((int)desk_get_message(&server, names)->delivery, 3, "it has failed all the same");
    cr_expect_str_eq(desk_get_message(&server, other)->delivery_failure, "550 jo@example.com unknown");
    cr_expect_eq(
        desk_count(&server, "SELECT count(*) FROM messages WHERE delivery_failure ILIKE '%kay@example%'"), 0,
        "copies lose it, too");
    desk_await_erased(&server);
    cr_expect_str_eq(desk_get_message(&server, other)->delivery_failure, "550 jo@example.com unknown");
}

Test(case_guests, an_external_id_is_of_the_channel_it_came_by)
{
    const char *mail = desk_receive(&server, "mail", "jo@example.com", "e1", "hello")->case_->name;
    Casework__Cases__V1__Case *chat = desk_receive(&server, "desk", "kay", "e1", "hello")->case_;
    desk_merge(&server, chat->name, mail);
    Casework__Cases__V1__Message *later = desk_receive(&server, "desk", "kay", "e2", "secretword")->message;
    cr_expect_str_eq(desk_receive(&server, "desk", "kay", "e2", "secretword")->message->name, later->name);
    cr_expect_str_neq(desk_receive(&server, "mail", "jo@example.com", "e2", "other")->message->name,
                      later->name, "the same id on another channel is another message");
    cr_expect_eq(desk_case(&server, mail)->message_count, 4);
    desk_erase(&server, chat->contact);
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE external_id = 'e2'"), 1,
                 "the mail's");
    cr_expect_str_eq(desk_receive(&server, "desk", "kay", "e2", "again")->message->name, later->name);
}

Test(case_guests, authors_are_contacts_that_are_there)
{
    const char *name = desk_receive(&server, "mail", "jo@example.com", "e1", "hello")->case_->name;
    Casework__Cases__V1__Case *kay = desk_receive(&server, "mail", "kay@example.com", "e2", "hello")->case_;
    Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name, CUSTOMER, "secretword");
    request->message->author = desk_text("accounts/acme/contacts/nobody");
    cr_expect_eq(desk_fail(&server, "", DESK_MESSAGES, "AddMessage", request).code, STATUS_NOT_FOUND);
    request->message->author = kay->contact;
    desk_call(&server, "", DESK_MESSAGES, "AddMessage", request);
    desk_erase(&server, kay->contact);
    cr_expect_str_eq(desk_fail(&server, "", DESK_MESSAGES, "AddMessage", request).reason, "CONTACT_ERASED");
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%secretword%'"), 0);
}

static void merge_is_refused(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    error err = desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request);
    cr_expect_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(err.reason, "CONTACT_ERASED");
}

/* Its texts would be nobody's: the contact is erased already, and the case is told of no further erasure. */
Test(case_guests, nothing_is_merged_into_a_case_of_an_erased_contact)
{
    struct scene scene = begin();
    const char *max = desk_receive(&server, "mail", "max@example.com", "e4", "hello")->case_->name;
    desk_erase(&server, scene.jo->contact);
    merge_is_refused(max, scene.jo->name);
    desk_await_erased(&server);
    merge_is_refused(max, scene.jo->name);
    desk_merge(&server, scene.jo->name, max);
    cr_expect_eq(desk_case(&server, max)->message_count, 4, "the other way round");
}

/* Whoever wrote there before begins anew: nothing that a customer writes is refused. */
Test(case_guests, who_wrote_in_the_case_of_an_erased_contact_gets_another)
{
    struct scene scene = begin();
    desk_erase(&server, scene.jo->contact);
    Casework__Cases__V1__ReceiveMessageResponse *at_once =
        desk_receive(&server, "mail", "kay@example.com", "e4", "and now?");
    cr_expect_str_neq(at_once->case_->name, scene.jo->name);
    cr_expect_str_eq(at_once->case_->contact, scene.kay->contact);
    desk_step(&server, "anna", "DeleteCase", at_once->case_->name);
    desk_await_erased(&server);
    Casework__Cases__V1__ReceiveMessageResponse *afterwards =
        desk_receive(&server, "mail", "kay@example.com", "e5", "and now?");
    cr_expect_str_neq(afterwards->case_->name, scene.jo->name);
    cr_expect_str_neq(afterwards->case_->name, at_once->case_->name);
    cr_expect_str_eq(afterwards->case_->contact, scene.kay->contact);
}
