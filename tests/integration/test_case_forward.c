/* Forwarding messages and cases to agents and third parties, and what the customer sees of it: nothing. */

#include "base/clock.h"
#include "rpc/wire.h"
#include "tests/support/together.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_CUSTOMER = 1, KIND_AGENT, KIND_NOTE, KIND_TO, KIND_FROM, KIND_SYSTEM, KIND_SURVEY };
enum { STATUS_OF_NEW = 1, STATUS_OF_OPEN = 2, QUEUED = 1, BODY_MAX = 1024 * 1024 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_forward, .init = setup, .fini = teardown, .timeout = 120);

static const char *message_name(const char *case_name, int number)
{
    return arena_printf(server.memory, "%s/messages/%d", case_name, number);
}

static Casework__Cases__V1__ForwardMessageResponse *forward_message(const char *by, const char *case_name,
                                                                    int number, const char *agent,
                                                                    const char *third_party, const char *note)
{
    return desk_call(
        &server, by, DESK_MESSAGES, "ForwardMessage",
        desk_forward_message(&server, message_name(case_name, number), agent, third_party, note));
}

static Casework__Cases__V1__ForwardCaseResponse *forward_case(const char *by, const char *case_name,
                                                              const char *agent, const char *third_party,
                                                              const char *note)
{
    return desk_call(&server, by, DESK_CASES, "ForwardCase",
                     desk_forward_case(&server, case_name, agent, third_party, note));
}

#define ANNA "accounts/acme/agents/anna"
#define BOB "accounts/acme/agents/bob"

Test(case_forward, a_message_to_an_agent_involves_and_tells_that_agent)
{
    const char *name =
        desk_receive(&server, "mail", "jo@example.com", "e1", "It does not print")->case_->name;
    Casework__Cases__V1__ForwardMessageResponse *done = forward_message("anna", name, 1, BOB, NULL, "Yours?");
    cr_assert_str_eq(done->case_->owner, ANNA, "her change opened the new case");
    cr_assert_eq((int)done->case_->status, STATUS_OF_OPEN);
    cr_assert_eq(done->case_->n_involved_agents, 1);
    cr_assert_str_eq(done->case_->involved_agents[0], BOB);
    cr_assert_eq((int)done->message->kind, KIND_NOTE);
    cr_assert_eq(done->message->number, 2);
    cr_assert_str_eq(done->message->author, ANNA);
    cr_assert_str_eq(done->message->body, "Yours?");
    cr_assert_str_eq(desk_history(&server, name), " 1 3 2 11 3 14");
    const Casework__Cases__V1__Event *told = desk_last_event(&server, name, 14);
    cr_assert_str_eq(told->resource, BOB);
    cr_assert_eq(told->message->number, 1, "the message that was forwarded");
    cr_assert_eq((int)told->message->state, 2, "in progress since it was opened");
    cr_assert_str_eq(told->case_facts->involved_agents[0], BOB);
    cr_assert_str_eq(told->actor->id, ANNA);

    Casework__Cases__V1__ForwardMessageResponse *again = forward_message("anna", name, 1, BOB, NULL, "");
    cr_assert_eq(again->message->number, 1, "without a note the message that was forwarded");
    cr_assert_eq(again->case_->n_involved_agents, 1);
    cr_assert_eq(again->case_->message_count, 2);
    cr_assert_str_eq(desk_history(&server, name), " 1 3 2 11 3 14 14", "told once more");
    forward_message("bob", name, 1, ANNA, NULL, "");
    cr_assert_eq(desk_case(&server, name)->n_involved_agents, 1, "an owner is involved already");
}

Test(case_forward, who_becomes_involved_restarts_no_timer)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "It does not print")->case_->name;
    desk_step(&server, "anna", "ResolveCase", name);
    const Casework__Cases__V1__Case *before = desk_case(&server, name);
    case_server_advance(&server, CLOCK_HOUR);
    const Casework__Cases__V1__Case *after = forward_message("anna", name, 1, BOB, NULL, "")->case_;
    cr_assert_eq(after->n_involved_agents, 1);
    cr_assert_gt(after->version, before->version);
    cr_assert_eq(after->change_version, before->change_version);
    cr_assert_eq(after->activity_version, before->activity_version);
    after = forward_message("anna", name, 1, BOB, NULL, "Yours?")->case_;
    cr_assert_gt(after->change_version, before->change_version, "a note is a message");
}

Test(case_forward, a_message_to_a_third_party_is_one_that_only_agents_see)
{
    const char *name =
        desk_receive(&server, "mail", "jo@example.com", "e1", "It does not print")->case_->name;
    Casework__Cases__V1__ForwardMessageResponse *done =
        forward_message("anna", name, 1, NULL, "lab@example.net", "Can you help?");
    const Casework__Cases__V1__Message *sent = done->message;
    cr_assert_eq((int)sent->kind, KIND_TO);
    cr_assert_eq((int)sent->delivery, QUEUED);
    cr_assert_str_eq(sent->third_party, "lab@example.net");
    cr_assert_str_eq(sent->author, ANNA);
    cr_assert_str_eq(sent->body, "Can you help?\n\n---------- Forwarded message ----------\nFrom: Jo Smith\n"
                                 "Date: 2026-03-02 09:00:00 UTC\n\nIt does not print\n");
    cr_assert(done->case_->need_reply, "the customer still waits");
    cr_assert_str_eq(desk_history(&server, name), " 1 3 2 3 14");
    cr_assert_str_eq(desk_last_event(&server, name, 14)->resource, "");
    cr_assert_eq(desk_list(&server, name, 1)->n_messages, 2);
    cr_assert_eq(desk_list(&server, name, 2)->n_messages, 1);
    Casework__Cases__V1__GetMessageRequest get = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
    get.name = sent->name;
    get.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    cr_assert_eq(desk_fail(&server, "", DESK_MESSAGES, "GetMessage", &get).code, STATUS_NOT_FOUND);
}

Test(case_forward, files_go_with_what_is_forwarded)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "see the picture")->case_->name;
    Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name, KIND_CUSTOMER, "here");
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    file.file_name = desk_text("printer.png");
    file.content_type = desk_text("image/png");
    file.size = 1234;
    file.uri = desk_text("https://files.example/1");
    request->message->attachments = files;
    request->message->n_attachments = 1;
    desk_call(&server, "", DESK_MESSAGES, "AddMessage", request);
    const Casework__Cases__V1__Message *one = forward_message("anna", name, 2, NULL, "lab", "")->message;
    cr_assert_eq(one->n_attachments, 1);
    cr_assert_str_eq(one->attachments[0]->uri, "https://files.example/1");
    const Casework__Cases__V1__Message *whole = forward_case("anna", name, NULL, "lab", "")->message;
    cr_assert_eq(whole->n_attachments, 1, "of messages that the customer sees");
}

Test(case_forward, a_case_to_an_agent_changes_the_owner_and_the_former_one_stays_involved)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "It does not print")->case_->name;
    Casework__Cases__V1__ForwardCaseResponse *done = forward_case("anna", name, BOB, NULL, "");
    cr_assert_null(done->message);
    cr_assert_str_eq(done->case_->owner, BOB);
    cr_assert_eq(done->case_->n_involved_agents, 1);
    cr_assert_str_eq(done->case_->involved_agents[0], ANNA, "she opened it, which made her the owner");
    cr_assert_str_eq(desk_history(&server, name), " 1 3 2 11 13");
    cr_assert_str_eq(desk_last_event(&server, name, 11)->previous_owner, ANNA);
    cr_assert_str_eq(desk_last_event(&server, name, 13)->resource, BOB);
    done = forward_case("bob", name, ANNA, NULL, "back to you");
    cr_assert_eq((int)done->message->kind, KIND_NOTE);
    cr_assert_str_eq(done->case_->owner, ANNA);
    cr_assert_eq(done->case_->n_involved_agents, 1);
    cr_assert_str_eq(done->case_->involved_agents[0], BOB, "an owner is no helper any more");
}

Test(case_forward, a_case_to_a_third_party_is_one_message_of_all_the_customer_may_see)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "It does not print")->case_->name;
    desk_add(&server, "anna", name, KIND_NOTE, "secret note");
    desk_add(&server, "anna", name, KIND_AGENT, "Is it plugged in?");
    Casework__Cases__V1__AddMessageRequest *third = desk_message(&server, name, KIND_FROM, "secret answer");
    third->message->author = desk_text("lab");
    desk_call(&server, "", DESK_MESSAGES, "AddMessage", third);
    desk_add(&server, "", name, KIND_SYSTEM, "secret notice");
    desk_add(&server, "bob", name, KIND_SURVEY, "How did we do?");
    case_server_advance(&server, CLOCK_MINUTE);
    desk_receive(&server, "desk", "jo", "e2", "Yes");
    Casework__Cases__V1__ForwardCaseResponse *done =
        forward_case("anna", name, NULL, "vendor", "Please read");
    cr_assert_eq((int)done->message->kind, KIND_TO);
    cr_assert_str_eq(done->message->body,
                     "Please read\n\n---------- Forwarded conversation ----------\nSubject: Printer\n\n"
                     "From: Jo Smith\nDate: 2026-03-02 09:00:00 UTC\n\nIt does not print\n\n"
                     "From: Anna Ames\nDate: 2026-03-02 09:00:00 UTC\n\nIs it plugged in?\n\n"
                     "From: bob\nDate: 2026-03-02 09:00:00 UTC\n\nHow did we do?\n\n"
                     "From: Jo Smith\nDate: 2026-03-02 09:01:00 UTC\n\nYes\n");
    cr_assert_str_eq(done->case_->owner, ANNA, "nobody else owns it now");
    cr_assert_eq(desk_list(&server, name, 2)->n_messages, 4);
}

Test(case_forward, the_customer_sees_neither_notes_nor_third_parties_nor_the_system)
{
    Casework__Cases__V1__ImportConversationsRequest *items[] = {
        case_server_conversation(&server, "acme", "old", "Old", "cntat", CASE_SERVER_START_US - CLOCK_DAY)};
    case_server_import(&server, items, 1);
    const char *name = "accounts/acme/cases/1";
    desk_add(&server, "", name, KIND_SYSTEM, "notice");
    forward_case("anna", name, NULL, "vendor", "");
    forward_message("anna", name, 1, NULL, "vendor", "");
    forward_message("anna", name, 3, BOB, NULL, "a note");
    Casework__Cases__V1__AddMessageRequest *automatic =
        desk_message(&server, name, KIND_CUSTOMER, "I am away");
    automatic->message->automatic = true;
    desk_call(&server, "", DESK_MESSAGES, "AddMessage", automatic);
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, name, 2);
    cr_assert_eq(list->n_messages, 3);
    cr_assert_eq((int)list->messages[0]->kind, KIND_CUSTOMER);
    cr_assert_eq((int)list->messages[1]->kind, KIND_AGENT);
    cr_assert_eq((int)list->messages[2]->kind, KIND_CUSTOMER);
    cr_assert_eq(desk_list(&server, name, 0)->n_messages, 10, "unspecified is an agent");
    Casework__Cases__V1__ListMessagesRequest page = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    page.parent = desk_text(name);
    page.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    page.page_size = 1;
    Casework__Cases__V1__ListMessagesResponse *first =
        desk_call(&server, "", DESK_MESSAGES, "ListMessages", &page);
    page.page_token = first->next_page_token;
    page.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_AGENT;
    cr_assert_str_eq(desk_fail(&server, "", DESK_MESSAGES, "ListMessages", &page).reason,
                     "INVALID_PAGE_TOKEN", "a page of one view leads into no other");
}

static char *long_text(char letter, size_t length)
{
    char *body = arena_alloc(server.memory, length + 1);
    memset(body, letter, length);
    body[length] = '\0';
    return body;
}

Test(case_forward, what_is_too_long_loses_its_earliest_messages)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", long_text('a', 600000))->case_->name;
    desk_receive(&server, "desk", "jo", "e2", long_text('b', 600000));
    desk_receive(&server, "desk", "jo", "e3", "the end");
    const Casework__Cases__V1__Message *sent = forward_case("anna", name, NULL, "vendor", "note")->message;
    cr_assert_lt(strlen(sent->body), BODY_MAX + 1);
    cr_assert_not_null(strstr(sent->body, "[Earlier messages were left out.]"));
    cr_assert_null(strstr(sent->body, "aaaa"));
    cr_assert_not_null(strstr(sent->body, "bbbb"));
    cr_assert_not_null(strstr(sent->body, "the end"));
    desk_receive(&server, "desk", "jo", "e4", long_text('c', BODY_MAX));
    sent = forward_message("anna", name, 5, NULL, "vendor", "note")->message;
    cr_assert(strlen(sent->body) <= BODY_MAX && strlen(sent->body) > BODY_MAX - 8);
    cr_assert_not_null(strstr(sent->body, "[The rest was cut off.]"));
}

Test(case_forward, closed_deleted_and_unknown)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "It does not print")->case_->name;
    error err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                          desk_forward_case(&server, "accounts/acme/cases/99", BOB, NULL, ""));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                    desk_forward_message(&server, message_name(name, 9), BOB, NULL, ""));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, name, "accounts/acme/agents/nobody", NULL, ""));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, name, "accounts/acme/agents/former", NULL, ""));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "AGENT_DISABLED");
    Casework__Cases__V1__ForwardCaseRequest *stale = desk_forward_case(&server, name, BOB, NULL, "");
    stale->etag = desk_text("99");
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase", stale);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    err = desk_fail(&server, "", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, name, BOB, NULL, "only agents write notes"));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_eq((int)desk_case(&server, name)->status, STATUS_OF_NEW, "nothing of this changed anything");
    cr_assert_str_eq(desk_history(&server, name), " 1 3");
    desk_step(&server, "anna", "DeleteCase", name);
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, name, BOB, NULL, ""));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "CASE_DELETED");
    err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                    desk_forward_message(&server, message_name(name, 1), NULL, "lab", ""));
    cr_assert_str_eq(err.reason, "CASE_DELETED");
    Casework__Cases__V1__RedactMessageRequest redact = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    redact.name = desk_text(message_name(name, 1));
    desk_call(&server, "", DESK_MESSAGES, "RedactMessage", &redact);
    err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                    desk_forward_message(&server, message_name(name, 1), NULL, "lab", ""));
    cr_assert_str_eq(err.reason, "CASE_DELETED", "rather than that there is nothing to forward");
}

Test(case_forward, what_third_parties_get_does_not_go_to_the_customer)
{
    const char *mail = desk_receive(&server, "mail", "jo@example.com", "e1", "text")->case_->name;
    desk_receive(&server, "mail", "kay@example.com", "e2", "text");
    desk_add(&server, "anna", mail, KIND_NOTE, "secret");
    error err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                          desk_forward_message(&server, message_name(mail, 2), NULL, "jo@example.com", ""));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, mail, NULL, "JO@Example.com", ""));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    forward_case("anna", mail, NULL, "kay@example.com", "");
}

Test(case_forward, a_third_partys_address_must_be_one)
{
    const char *mail = desk_receive(&server, "mail", "jo@example.com", "e1", "text")->case_->name;
    const char *chat = desk_receive(&server, "desk", "jo", "e1", "text")->case_->name;
    static const char *const bad[] = {"",       "lab",         "@example.net",      "lab@",
                                      " a@b.c", "a@b.c,d@e.f", "Lab <a@b.c>",       "a@b.c\r\nBcc: x@y.z",
                                      "a b@c",  "a@b@c.d",     "help@ACME.example", "\xc2\x85@b.c"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                              desk_forward_case(&server, mail, NULL, bad[i], ""));
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s", bad[i]);
    }
    error err =
        desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                  desk_forward_message(&server, message_name(chat, 1), NULL, long_text('a', 321), ""));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                    desk_forward_message(&server, message_name(chat, 1), NULL, NULL, ""));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "nobody is named");
    err =
        desk_fail(&server, "anna", DESK_CASES, "ForwardCase", desk_forward_case(&server, chat, "", NULL, ""));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    err = desk_fail(&server, "anna", DESK_CASES, "ForwardCase",
                    desk_forward_case(&server, chat, NULL, "lab", long_text('n', 64 * 1024 + 1)));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    forward_case("anna", mail, NULL, "lab@example.net", "");
    forward_case("anna", chat, NULL, "lab", "");
}

Test(case_forward, what_is_redacted_is_gone_from_what_was_forwarded)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "my number is 1234")->case_->name;
    desk_receive(&server, "desk", "jo", "e2", "number");
    const char *one = forward_message("anna", name, 1, NULL, "lab", "note")->message->name;
    const char *whole = forward_case("anna", name, NULL, "lab", "")->message->name;
    const char *other = forward_message("anna", name, 2, NULL, "lab", "")->message->name;
    Casework__Cases__V1__RedactMessageRequest redact = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    redact.name = desk_text(message_name(name, 2));
    desk_call(&server, "", DESK_MESSAGES, "RedactMessage", &redact);
    cr_assert_not(desk_get_message(&server, one)->redacted, "a word of it is not its text");
    cr_assert(desk_get_message(&server, other)->redacted);
    cr_assert(desk_get_message(&server, whole)->redacted);
    redact.name = desk_text(message_name(name, 1));
    desk_call(&server, "", DESK_MESSAGES, "RedactMessage", &redact);
    cr_assert(desk_get_message(&server, one)->redacted);
    cr_assert_str_eq(desk_get_message(&server, one)->body, "");
    const char *again = forward_case("anna", name, NULL, "lab", "still")->message->body;
    cr_assert_null(strstr(again, "1234"));
    cr_assert_not_null(strstr(again, "[The text was removed.]"));
    error err = desk_fail(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                          desk_forward_message(&server, message_name(name, 1), NULL, "lab", ""));
    cr_assert_str_eq(err.reason, "NOTHING_TO_FORWARD");
}

Test(case_forward, asked_again_it_is_answered_again)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "It does not print")->case_->name;
    Casework__Cases__V1__ForwardCaseRequest *request = desk_forward_case(&server, name, NULL, "lab", "help");
    request->request_id = desk_text("r1");
    Casework__Cases__V1__ForwardCaseResponse *first =
        desk_call(&server, "anna", DESK_CASES, "ForwardCase", request);
    Casework__Cases__V1__ForwardCaseResponse *second =
        desk_call(&server, "anna", DESK_CASES, "ForwardCase", request);
    cr_assert_str_eq(first->message->name, second->message->name);
    cr_assert_eq(first->position, second->position);
    cr_assert_eq(desk_case(&server, name)->message_count, 2);
    request->note = desk_text("other");
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "ForwardCase", request).reason,
                     "REQUEST_ID_REUSED");
    Casework__Cases__V1__ForwardMessageRequest *message =
        desk_forward_message(&server, message_name(name, 1), BOB, NULL, "");
    message->request_id = desk_text("r2");
    Casework__Cases__V1__ForwardMessageResponse *a =
        desk_call(&server, "anna", DESK_MESSAGES, "ForwardMessage", message);
    Casework__Cases__V1__ForwardMessageResponse *b =
        desk_call(&server, "anna", DESK_MESSAGES, "ForwardMessage", message);
    cr_assert_eq(a->position, b->position);
    cr_assert_str_eq(a->message->name, b->message->name);
}

Test(case_forward, an_answer_of_a_third_party_comes_in_by_the_connector)
{
    const char *name = desk_receive(&server, "mail", "jo@example.com", "e1", "text")->case_->name;
    forward_case("anna", name, NULL, "lab@example.net", "");
    Casework__Cases__V1__AddMessageRequest *answer =
        desk_message(&server, name, KIND_FROM, "Try turning it off");
    answer->message->author = desk_text("lab@example.net");
    answer->message->external_id = desk_text("e2");
    answer->message->send_time = wire_timestamp(server.memory, CASE_SERVER_START_US - CLOCK_HOUR);
    Casework__Cases__V1__AddMessageResponse *added =
        desk_call(&server, "", DESK_MESSAGES, "AddMessage", answer);
    cr_assert_str_eq(added->message->third_party, "lab@example.net");
    cr_assert_eq(added->message->send_time->seconds, (CASE_SERVER_START_US - CLOCK_HOUR) / CLOCK_SECOND);
    cr_assert_eq((int)added->message->delivery, 0);
    cr_assert(added->case_->need_reply, "the customer has not been answered by it");
    cr_assert_eq(desk_list(&server, name, 2)->n_messages, 1);
    Casework__Cases__V1__AddMessageResponse *again =
        desk_call(&server, "", DESK_MESSAGES, "AddMessage", answer);
    cr_assert_str_eq(again->message->name, added->message->name);
    answer->message->external_id = desk_text("e3");
    cr_assert_eq(desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", answer).code,
                 STATUS_PERMISSION_DENIED);
    answer->message->author = desk_text("lab\n@example.net");
    cr_assert_eq(desk_fail(&server, "", DESK_MESSAGES, "AddMessage", answer).code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(
        desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", desk_message(&server, name, KIND_TO, "text"))
            .code,
        STATUS_PERMISSION_DENIED, "to third parties only by forwarding");
}

/* What a forward of one batch with other calls has sent; "": it came first. */
static struct {
    char body[1024];
    int64_t forwarded_at, changed_at;
} landed;

static void land_forward(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    const Casework__Cases__V1__ForwardCaseResponse *answer = (const void *)response;
    cr_assert_not_null(answer, "%s %s", err->reason, err->message);
    snprintf(landed.body, sizeof landed.body, "%s", answer->message->body);
    landed.forwarded_at = answer->position;
}

static void land_merge(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    cr_assert_not_null(response, "%s %s", err->reason, err->message);
    landed.changed_at = ((const Casework__Cases__V1__MergeCasesResponse *)(const void *)response)->position;
}

static void land_message(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    cr_assert_not_null(response, "%s %s", err->reason, err->message);
    landed.changed_at = ((const Casework__Cases__V1__AddMessageResponse *)(const void *)response)->position;
}

static void land_unmerge(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    cr_assert_not_null(response, "%s %s", err->reason, err->message);
    landed.changed_at = ((const Casework__Cases__V1__UnmergeCasesResponse *)(const void *)response)->position;
}

static const char *forward_behind(const ProtobufCServiceDescriptor *service, const char *method,
                                  const void *request, together_land *land, const char *name)
{
    static int number;
    const char *id = arena_printf(server.memory, "ahead%d", ++number);
    const char *ahead = desk_receive(&server, "desk", id, id, "ahead")->case_->name;
    struct together calls;
    together_begin(&calls, &server, ahead);
    together_add(&calls, "anna", service, method, request, land, NULL);
    together_add(&calls, "anna", DESK_CASES, "ForwardCase",
                 desk_forward_case(&server, name, NULL, "lab@example.net", ""), land_forward, NULL);
    together_run(&calls);
    cr_assert_lt(landed.changed_at, landed.forwarded_at, "they came in another order");
    return landed.body;
}

Test(case_forward, what_the_same_batch_has_changed_is_forwarded_as_it_is_then)
{
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    const char *jo = desk_receive(&server, "mail", "jo@example.com", "e1", "one")->case_->name;
    const char *kay = desk_receive(&server, "mail", "kay@example.com", "e2", "two")->case_->name;
    merge.source = undo.name = desk_text(kay);
    merge.target = desk_text(jo);
    const char *sent = forward_behind(DESK_CASES, "MergeCases", &merge, land_merge, jo);
    cr_assert_not_null(strstr(sent, "From: Jo Smith\nDate: 2026-03-02 09:00:00 UTC\n\none\n"), "%s", sent);
    cr_assert_not_null(strstr(sent, "From: Jo Smith\nDate: 2026-03-02 09:00:00 UTC\n\ntwo\n"), "%s", sent);
    sent = forward_behind(DESK_MESSAGES, "AddMessage", desk_message(&server, jo, KIND_AGENT, "three"),
                          land_message, jo);
    cr_assert_not_null(strstr(sent, "From: Anna Ames\nDate: 2026-03-02 09:00:00 UTC\n\nthree\n"), "%s", sent);
    cr_assert_not_null(strstr(sent, "two"), "%s", sent);
    sent = forward_behind(DESK_CASES, "UnmergeCases", &undo, land_unmerge, jo);
    cr_assert_null(strstr(sent, "two"), "%s", sent);
    cr_assert_not_null(strstr(sent, "three"), "%s", sent);
}
