/* What connectors hand in: ReceiveMessage. */

#include "base/clock.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(receive, .init = setup, .fini = teardown, .timeout = 120);

static Casework__Cases__V1__ReceiveMessageRequest received(const char *channel, const char *sender,
                                                           const char *external_id)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    request.parent = arena_printf(server.memory, "accounts/acme/channels/%s", channel);
    request.sender_address = desk_text(sender);
    request.external_id = desk_text(external_id);
    request.body = desk_text("text");
    return request;
}

static Casework__Cases__V1__Contact *contact(const char *name)
{
    Casework__Cases__V1__GetContactRequest request = CASEWORK__CASES__V1__GET_CONTACT_REQUEST__INIT;
    request.name = desk_text(name);
    Casework__Cases__V1__GetContactResponse *response =
        desk_call(&server, "", &casework__cases__v1__contact_service__descriptor, "GetContact", &request);
    return response->contact;
}

Test(receive, contacts_are_found_by_their_address)
{
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest phone = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = desk_text("phone");
    channel.address = desk_text("+31 20 555");
    phone.parent = desk_text("accounts/acme");
    phone.channel_id = desk_text("phone");
    phone.channel = &channel;
    desk_call(&server, "", &casework__cases__v1__channel_service__descriptor, "CreateChannel", &phone);
    const char *mail = desk_receive(&server, "mail", "Stra\u00dfe@Example.com", "e1", "a")->case_->name;
    cr_assert_str_eq(desk_receive(&server, "mail", "STRASSE@example.COM", "e2", "b")->case_->name, mail,
                     "case folded");
    const char *call = desk_receive(&server, "phone", "+31 (0)20-1234567", "e1", "a")->case_->name;
    cr_assert_str_eq(desk_receive(&server, "phone", "310201234567", "e2", "b")->case_->name, call,
                     "by its digits");
    const Casework__Cases__V1__Contact *known = contact(desk_case(&server, call)->contact);
    cr_assert_str_eq(known->display_name, "Jo Smith");
    cr_assert_eq(known->n_phones, 1);
    cr_assert_str_eq(known->phones[0], "+31 (0)20-1234567", "as it was first given");
    cr_assert_neq(
        strcmp(desk_receive(&server, "desk", "310201234567", "e9", "c")->case_->contact, known->name), 0,
        "another network, another customer");
    Casework__Cases__V1__ReceiveMessageRequest nameless = received("mail", "x@example.com", "e5");
    Casework__Cases__V1__ReceiveMessageResponse *response =
        desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &nameless);
    cr_assert_str_eq(contact(response->case_->contact)->display_name, "x@example.com");
    static const char *const bad[] = {"", "  ", "...", "a\nb@example.com"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Casework__Cases__V1__ReceiveMessageRequest request = received("mail", bad[i], "e7");
        cr_assert_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request).code,
                     STATUS_INVALID_ARGUMENT, "%s", bad[i]);
    }
    Casework__Cases__V1__ReceiveMessageRequest digits = received("phone", "anonymous", "e7");
    cr_assert_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &digits).code,
                 STATUS_INVALID_ARGUMENT);
}

Test(receive, files_times_and_auto_responders_come_in)
{
    Casework__Cases__V1__ReceiveMessageRequest request = received("mail", "jo@example.com", "e1");
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    file.file_name = desk_text("a.txt");
    file.uri = desk_text("s3://x/a");
    request.attachments = files;
    request.n_attachments = 1;
    request.send_time = wire_timestamp(server.memory, CASE_SERVER_START_US - CLOCK_DAY);
    Casework__Cases__V1__ReceiveMessageResponse *first =
        desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request);
    cr_assert(first->case_created);
    cr_assert_str_eq(first->message->attachments[0]->uri, "s3://x/a");
    cr_assert_eq(first->message->send_time->seconds, (CASE_SERVER_START_US - CLOCK_DAY) / CLOCK_SECOND);
    cr_assert_eq(first->message->create_time->seconds, CASE_SERVER_START_US / CLOCK_SECOND);
    request.send_time = wire_timestamp(server.memory, CASE_SERVER_START_US + CLOCK_DAY);
    request.external_id = desk_text("e2");
    cr_assert_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request).code,
                 STATUS_INVALID_ARGUMENT);
    desk_add(&server, "anna", first->case_->name, CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT,
             "hello");
    desk_step(&server, "anna", "ResolveCase", first->case_->name);
    Casework__Cases__V1__ReceiveMessageRequest away = received("mail", "jo@example.com", "e3");
    away.automatic = true;
    Casework__Cases__V1__ReceiveMessageResponse *automatic =
        desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &away);
    cr_assert(automatic->message->automatic);
    cr_assert_eq((int)automatic->message->state, 0);
    cr_assert_eq((int)automatic->case_->status, 4);
    error err = desk_fail(&server, "anna", DESK_CONNECTORS, "ReceiveMessage", &away);
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED, "an agent hands in no customers' messages");
    Casework__Cases__V1__ReceiveMessageRequest nowhere = received("none", "jo@example.com", "e4");
    cr_assert_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &nowhere).code, STATUS_NOT_FOUND);
    Casework__Cases__V1__ReceiveMessageRequest nameless = received("mail", "jo@example.com", "");
    cr_assert_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &nameless).code,
                 STATUS_INVALID_ARGUMENT);
}
