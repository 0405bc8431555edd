/* Redaction and erasure of contacts in the case service, on a real PostgreSQL. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "tests/support/erase_desk.h"

#include <criterion/criterion.h>
#include <string.h>

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
    desk_hire_boss(&server);
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
    request.parent = desk_text("accounts/acme/channels/desk");
    request.sender_address = desk_text(sender);
    request.external_id = desk_text(external_id);
    request.subject = desk_text("Printer");
    request.body = desk_text("It does not print");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = desk_text("photo.png");
    file.content_type = desk_text("image/png");
    file.uri = desk_text("s3://files/photo");
    file.size = 7;
    return desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request);
}

static Casework__Cases__V1__Message *get_message(const char *case_name, int number)
{
    Casework__Cases__V1__GetMessageRequest request = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
    request.name = arena_printf(server.memory, "%s/messages/%d", case_name, number);
    return ((Casework__Cases__V1__GetMessageResponse *)desk_call(&server, "", DESK_MESSAGES, "GetMessage",
                                                                 &request))
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
    return desk_call(&server, "boss", DESK_MESSAGES, "RedactMessage", redact_request(case_name, number));
}

static Casework__Cases__V1__EraseContactRequest *erase_request(const char *contact)
{
    Casework__Cases__V1__EraseContactRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__erase_contact_request__init(request);
    request->name = desk_text(contact);
    return request;
}

static Casework__Cases__V1__EraseContactResponse *erase(const char *contact)
{
    return desk_call(&server, "boss", DESK_CONTACTS, "EraseContact", erase_request(contact));
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
    cr_assert_eq(desk_document(&server, name)->n_messages, 0);
    cr_assert_str_eq(desk_history(&server, name), " 1 3 5");
    cr_assert_eq(
        desk_count(&server,
                   "SELECT count(*) FROM messages WHERE body <> '' OR attachments::text LIKE '%photo%'"),
        0);
}

Test(erase, redaction_is_no_change_that_a_timer_counts)
{
    const char *name = receive("jo", "e1")->case_->name;
    desk_step(&server, "anna", "ResolveCase", name);
    const Casework__Cases__V1__Case *before = desk_case(&server, name);
    case_server_advance(&server, CLOCK_HOUR);
    redact(name, 1);
    const Casework__Cases__V1__Case *after = desk_case(&server, name);
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

Test(erase, redacting_again_leaves_what_was_forwarded_since)
{
    const char *name = receive("jo", "e1")->case_->name;
    redact(name, 1);
    Casework__Cases__V1__ForwardCaseResponse *forwarded =
        desk_call(&server, "anna", DESK_CASES, "ForwardCase",
                  desk_forward_case(&server, name, NULL, "lab", "The second page is missing."));
    redact(name, 1);
    const Casework__Cases__V1__Message *message = desk_get_message(&server, forwarded->message->name);
    cr_assert_not(message->redacted);
    cr_assert_not_null(strstr(message->body, "The second page is missing."));
}

Test(erase, deleted_and_new_cases_messages_are_redacted_too)
{
    const char *name = receive("jo", "e1")->case_->name;
    cr_assert_eq((int)redact(name, 1)->case_->status, 1, "and opens nothing");
    receive("jo", "e2");
    desk_step(&server, "anna", "DeleteCase", name);
    cr_assert(redact(name, 2)->message->redacted);
    cr_assert_eq((int)desk_case(&server, name)->status, 6);
}

Test(erase, what_was_not_sent_is_sent_no_more)
{
    const char *name = receive("jo", "e1")->case_->name;
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage",
              desk_message(&server, name, 2, "Have you tried …"));
    cr_assert_eq((int)get_message(name, 2)->delivery, 1);
    redact(name, 2);
    cr_assert_eq((int)get_message(name, 2)->delivery, 3);
    cr_assert_str_eq(get_message(name, 2)->delivery_failure, "redacted");
}

Test(erase, who_may_redact_and_erase)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name;
    error err = desk_fail(&server, "anna", DESK_MESSAGES, "RedactMessage", redact_request(name, 1));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_str_eq(err.reason, "NOT_AN_ADMIN");
    err = desk_fail(&server, "anna", DESK_CONTACTS, "EraseContact", erase_request(received->case_->contact));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_eq(desk_fail(&server, "boss", DESK_ACCOUNTS, "DeleteAccount",
                           desk_delete_request(&server, "accounts/acme", ""))
                     .code,
                 STATUS_PERMISSION_DENIED);
    cr_assert_eq(desk_fail(&server, "boss", DESK_MESSAGES, "RedactMessage", redact_request(name, 2)).code,
                 STATUS_NOT_FOUND);
    cr_assert_eq(
        desk_fail(&server, "", DESK_MESSAGES, "RedactMessage", redact_request("accounts/acme/cases/99", 1))
            .code,
        STATUS_NOT_FOUND);
    cr_assert_eq(
        desk_fail(&server, "", DESK_CONTACTS, "EraseContact", erase_request("accounts/acme/contacts/nobody"))
            .code,
        STATUS_NOT_FOUND);
    cr_assert_eq(desk_case(&server, name)->version, received->case_->version, "nothing has changed");
}

Test(erase, the_31st_message_moves_up)
{
    const char *name = receive("jo", "e1")->case_->name;
    for (int i = 2; i <= 31; i++)
        desk_call(&server, "anna", DESK_MESSAGES, "AddMessage",
                  desk_message(&server, name, 2, arena_printf(server.memory, "message %d", i)));
    cr_assert_eq(desk_document(&server, name)->messages[29]->number, 30);
    redact(name, 5);
    Casework__Cases__V1__Document *after = desk_document(&server, name);
    cr_assert_eq(after->n_messages, 30);
    cr_assert_eq(after->messages[4]->number, 6);
    cr_assert_eq(after->messages[29]->number, 31);
}

Test(erase, a_merged_message_is_redacted_wherever_it_stands)
{
    const char *first = receive("jo", "e1")->case_->name, *second = receive("di", "e2")->case_->name;
    const char *third = receive("flo", "e3")->case_->name;
    desk_merge(&server, first, second);
    desk_merge(&server, second, third);
    cr_assert_eq(desk_document(&server, third)->n_messages, 3);
    redact(third, 2);
    cr_assert_eq(desk_document(&server, third)->n_messages, 2);
    cr_assert_eq(
        desk_count(
            &server,
            "SELECT count(DISTINCT coalesce(nullif(origin_case, 0), case_id)) FROM messages WHERE redacted"),
        1);
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE redacted AND body <> ''"), 0);
    redact(first, 1);
    redact(second, 1);
    cr_assert_eq(desk_document(&server, third)->n_messages, 1, "the target's own is left");
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE NOT redacted"), 1);
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = desk_text(second);
    desk_call(&server, "", DESK_CASES, "UnmergeCases", &undo);
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body <> ''"), 1,
                 "and undoing brings nothing back");
}

Test(erase, a_contact_is_erased_where_its_messages_went)
{
    Casework__Cases__V1__ReceiveMessageResponse *gone = receive("jo", "e1");
    const char *stays = receive("di", "e2")->case_->name;
    desk_merge(&server, gone->case_->name, stays);
    cr_assert_eq(desk_document(&server, stays)->n_messages, 2);
    const int64_t version = desk_case(&server, stays)->version;
    erase(gone->case_->contact);
    cr_assert_eq(desk_document(&server, stays)->n_messages, 1, "at once");
    cr_assert_geq(desk_case(&server, stays)->version, version + 1, "its readers are told at once");
    desk_await_erased(&server);
    cr_assert_eq(desk_document(&server, stays)->n_messages, 1);
    cr_assert_eq(desk_case(&server, stays)->version, version + 2, "and when it is done");
    cr_assert_str_eq(desk_case(&server, stays)->subject, "Printer");
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body <> ''"), 1);
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE external_id = 'e1'"), 0);
    cr_assert_str_eq(receive("jo", "e1")->message->body, "");
}

/* --- erasure ----------------------------------------------------------------------------------------------
 */

Test(erase, a_contact_and_its_cases_lose_their_texts)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name, *contact = received->case_->contact;
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage",
              desk_message(&server, name, 2, "Have you tried …"));
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", desk_message(&server, name, 3, "Jo is upset"));
    const Casework__Cases__V1__Case *before = desk_case(&server, name);
    Casework__Cases__V1__EraseContactResponse *erased = erase(contact);
    cr_assert_str_eq(erased->contact->name, contact);
    cr_assert_not_null(erased->contact->erase_time);
    cr_assert_str_eq(erased->contact->display_name, "");
    cr_assert_eq(erased->contact->n_handles, 0);
    desk_await_erased(&server);
    const Casework__Cases__V1__Case *after = desk_case(&server, name);
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
    const char *events = desk_history(&server, name);
    cr_assert_str_eq(events + strlen(events) - 3, " 24");
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM contact_addresses"), 0);
    const int64_t position = erased->position;
    cr_assert_geq(erase(contact)->position, position, "once more is fine");
    cr_assert_eq(desk_case(&server, name)->version, after->version);
}

Test(erase, nothing_is_written_into_an_erased_case)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    const char *name = received->case_->name;
    erase(received->case_->contact);
    for (int round = 0; round < 2; round++) {
        error err = desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage",
                              desk_message(&server, name, 3, "Jo's number is 555"));
        cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
        cr_assert_str_eq(err.reason, "CONTACT_ERASED");
        Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
        Casework__Cases__V1__Case changed = CASEWORK__CASES__V1__CASE__INIT;
        update.case_ = &changed;
        changed.name = desk_text(name);
        changed.subject = desk_text("Jo again");
        cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &update).reason,
                         "CONTACT_ERASED");
        changed.subject = desk_text("");
        changed.priority = 7 + round;
        desk_call(&server, "anna", DESK_CASES, "UpdateCase", &update);
        desk_await_erased(&server);
    }
    desk_step(&server, "anna", "ResolveCase", name);
    cr_assert_eq((int)desk_case(&server, name)->status, 4);
}

Test(erase, the_same_address_is_somebody_new)
{
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("jo", "e1");
    erase(first->case_->contact);
    Casework__Cases__V1__ReceiveMessageResponse *next = receive("jo", "e2");
    cr_assert(next->case_created);
    cr_assert_str_neq(next->case_->contact, first->case_->contact);
    desk_await_erased(&server);
    Casework__Cases__V1__ReceiveMessageResponse *again = receive("jo", "e1");
    cr_assert_str_eq(again->message->name, first->message->name, "what has come once is known for ever");
    cr_assert_str_eq(again->message->body, "");
    cr_assert_str_eq(again->message->external_id, "");
    cr_assert_eq(desk_case(&server, next->case_->name)->message_count, 1);
    cr_assert_str_eq(get_message(next->case_->name, 1)->body, "It does not print", "others keep theirs");
}

/* One contact on two channels, whose chat was merged into its mail: ids stay those of the channel they came
 * by. */
Test(erase, an_external_id_that_came_by_another_channel)
{
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__ContactHandle handle = CASEWORK__CASES__V1__CONTACT_HANDLE__INIT,
                                       *handles[] = {&handle};
    char *emails[] = {desk_text("kay@example.com")};
    create.parent = desk_text("accounts/acme");
    create.contact_id = desk_text("kay");
    create.contact = &contact;
    contact.emails = emails;
    contact.n_emails = 1;
    contact.handles = handles;
    contact.n_handles = 1;
    handle.network = desk_text("chat");
    handle.address = desk_text("kay");
    desk_call(&server, "", DESK_CONTACTS, "CreateContact", &create);
    Casework__Cases__V1__Case *mail = desk_receive(&server, "mail", "kay@example.com", "k1", "one")->case_;
    Casework__Cases__V1__Case *chat = desk_receive(&server, "desk", "kay", "k2", "two")->case_;
    cr_assert_str_eq(mail->contact, chat->contact);
    desk_merge(&server, chat->name, mail->name);
    const char *later = desk_receive(&server, "desk", "kay", "k3", "three")->message->name;
    cr_assert(strncmp(later, mail->name, strlen(mail->name)) == 0, "%s", later);
    const char *others = desk_receive(&server, "mail", "jo@example.com", "k3", "of the mail")->message->name;
    desk_erase(&server, mail->contact);
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE external_id ~ '^k[123]$'"), 1,
                 "only the other contact's");
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE channel = 'desk'"), 2);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE external_id ~ '^k[123]$'"), 1);
    Casework__Cases__V1__ReceiveMessageResponse *again = desk_receive(&server, "desk", "kay", "k3", "three");
    cr_expect_str_eq(again->message->name, later, "it is known all the same");
    cr_expect_str_eq(again->message->body, "");
    again = desk_receive(&server, "mail", "jo@example.com", "k3", "of the mail");
    cr_expect_str_eq(again->message->name, others);
    cr_expect_str_eq(again->message->external_id, "k3");
}

Test(erase, imports_of_an_erased_conversation_bring_nothing_back)
{
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, "acme", "conv-1", "Old trouble", "ctan", CASE_SERVER_START_US - CLOCK_DAY);
    cr_assert_eq(case_server_import(&server, &item, 1)->conversations_imported, 1);
    const Casework__Cases__V1__Case *imported = desk_case(&server, "accounts/acme/cases/1");
    erase(imported->contact);
    cr_assert_str_eq(get_message(imported->name, 2)->author, "");
    desk_await_erased(&server);
    cr_assert_str_eq(get_message(imported->name, 2)->author, "");
    cr_assert_str_eq(desk_case(&server, imported->name)->external_id, "");
    Casework__Cases__V1__ImportConversationsResponse *again = case_server_import(&server, &item, 1);
    cr_assert_eq(again->conversations_imported, 0);
    cr_assert_eq(again->conversations_unchanged, 1);
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM cases"), 1);
    cr_assert_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body <> ''"), 0);
    item->conversation->external_id = desk_text("conv-2");
    cr_assert_eq(case_server_import(&server, &item, 1)->conversations_imported, 1);
    cr_assert_str_neq(desk_case(&server, "accounts/acme/cases/2")->contact, imported->contact);
}

Test(erase, a_request_id_repeats_the_answer)
{
    Casework__Cases__V1__ReceiveMessageResponse *received = receive("jo", "e1");
    Casework__Cases__V1__RedactMessageRequest *redacting = redact_request(received->case_->name, 1);
    Casework__Cases__V1__EraseContactRequest *erasing = erase_request(received->case_->contact);
    redacting->request_id = desk_text("r1");
    erasing->request_id = desk_text("r2");
    Casework__Cases__V1__RedactMessageResponse *first =
        desk_call(&server, "", DESK_MESSAGES, "RedactMessage", redacting);
    Casework__Cases__V1__RedactMessageResponse *second =
        desk_call(&server, "", DESK_MESSAGES, "RedactMessage", redacting);
    cr_assert_eq(second->position, first->position);
    cr_assert_str_eq(second->message->name, first->message->name);
    Casework__Cases__V1__EraseContactResponse *once =
        desk_call(&server, "", DESK_CONTACTS, "EraseContact", erasing);
    desk_await_erased(&server);
    Casework__Cases__V1__EraseContactResponse *twice =
        desk_call(&server, "", DESK_CONTACTS, "EraseContact", erasing);
    cr_assert_eq(twice->position, once->position);
    cr_assert_str_eq(twice->contact->name, received->case_->contact);
    erasing->request_id = desk_text("r1");
    cr_assert_str_eq(desk_fail(&server, "", DESK_CONTACTS, "EraseContact", erasing).reason,
                     "REQUEST_ID_REUSED");
    erasing->request_id = desk_text("");
    erasing->etag = desk_text("1");
    cr_assert_str_eq(desk_fail(&server, "", DESK_CONTACTS, "EraseContact", erasing).reason, "ETAG_MISMATCH");
}
