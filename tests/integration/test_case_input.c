/* Input that means nothing, or that nobody may give, is refused and changes nothing. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
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

TestSuite(case_input, .init = setup, .fini = teardown, .timeout = 120);

static void expect_field(error err, const char *field)
{
    cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT, "%s: %s", field, err.message);
    cr_assert_gt(err.violation_count, 0, "%s: %s", field, err.message);
    cr_expect_str_eq(err.violations[0].key, field);
}

Test(case_input, no_basis_is_negative)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
    desk_step(&server, "anna", "ResolveCase", name);
    Casework__Cases__V1__RecordTimerStepRequest step = CASEWORK__CASES__V1__RECORD_TIMER_STEP_REQUEST__INIT;
    Casework__Cases__V1__CloseCaseRequest close = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    Google__Protobuf__Timestamp due = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    step.name = close.name = desk_text(name);
    step.kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_CLOSE;
    step.step = CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_WARNED;
    close.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    step.basis_version = close.basis_version = -1;
    step.due_time = close.due_time = &due;
    due.seconds = 1;
    expect_field(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &step), "basis_version");
    expect_field(desk_fail(&server, "", DESK_CASES, "CloseCase", &close), "basis_version");
    step.basis_version = close.basis_version = 0;
    cr_expect_str_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &step).reason, "STALE_VERSION");
    cr_expect_str_eq(desk_fail(&server, "", DESK_CASES, "CloseCase", &close).reason, "STALE_VERSION");
}

Test(case_input, what_a_case_is_made_of)
{
    Casework__Cases__V1__CreateCaseRequest create = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case wanted = CASEWORK__CASES__V1__CASE__INIT;
    create.parent = desk_text("accounts/acme");
    create.case_ = &wanted;
    wanted.channel = desk_text("accounts/acme/channels/desk");
    wanted.status = (Casework__Cases__V1__CaseStatus)99;
    expect_field(desk_fail(&server, "anna", DESK_CASES, "CreateCase", &create), "case.status");
    wanted.status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED;
    Casework__Cases__V1__CreateCaseResponse *created =
        desk_call(&server, "anna", DESK_CASES, "CreateCase", &create);
    cr_expect_eq((int)created->case_->status, 1, "the status is the service's to say");

    Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {desk_text("subject"), desk_text("*")};
    char *single[] = {desk_text("attributes.order"), desk_text("*")};
    wanted.name = created->case_->name;
    wanted.status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_UNSPECIFIED;
    wanted.subject = desk_text("Scanner");
    update.case_ = &wanted;
    update.update_mask = &mask;
    mask.paths = paths;
    mask.n_paths = 2;
    expect_field(desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &update), "update_mask");
    mask.paths = single;
    expect_field(desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &update), "update_mask");
    cr_expect_eq(desk_case(&server, wanted.name)->version, created->case_->version, "nothing has changed");
    mask.paths = paths + 1;
    mask.n_paths = 1;
    Casework__Cases__V1__UpdateCaseResponse *updated =
        desk_call(&server, "anna", DESK_CASES, "UpdateCase", &update);
    cr_expect_str_eq(updated->case_->subject, "Scanner", "* alone is everything");
}

Test(case_input, what_agents_write_has_something_in_it)
{
    const char *name = desk_receive(&server, "desk", "jo", "e1", "")->case_->name;
    for (int kind = 2; kind <= 3; kind++)
        expect_field(
            desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", desk_message(&server, name, kind, "")),
            "message.body");
    cr_expect_eq(desk_case(&server, name)->message_count, 1, "a customer may send nothing but a subject");
    Casework__Cases__V1__AddMessageRequest *file = desk_message(&server, name, 2, "");
    Casework__Cases__V1__Attachment attachment = CASEWORK__CASES__V1__ATTACHMENT__INIT,
                                    *files[] = {&attachment};
    file->message->attachments = files;
    file->message->n_attachments = 1;
    attachment.file_name = desk_text("manual.pdf");
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", file);
    cr_expect_eq(desk_case(&server, name)->message_count, 2, "a file is something");
}

/* What we have sent comes back: it is no customer's. */
Test(case_input, a_channel_is_no_customer_of_its_own)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    request.parent = desk_text("accounts/acme/channels/mail");
    request.external_id = desk_text("e1");
    request.body = desk_text("hello");
    static const char *const loops[] = {"help@acme.example", "Help@ACME.example"};
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        request.sender_address = desk_text(loops[i]);
        expect_field(desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request), "sender_address");
    }
    request.sender_address = desk_text("help@acme.example.com");
    desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request);
}

/* --- for whom a service acts ------------------------------------------------------------------------------
 */

Test(case_input, who_acts_for_an_agent_lists_no_accounts)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    const ProtobufCServiceDescriptor *accounts = &casework__cases__v1__account_service__descriptor;
    error err = desk_fail(&server, "anna", accounts, "ListAccounts", &request);
    cr_expect_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_expect_str_eq(err.reason, "ACTING_FOR_AN_AGENT");
    Casework__Cases__V1__ListAccountsResponse *all =
        desk_call(&server, "", accounts, "ListAccounts", &request);
    cr_expect_eq(all->n_accounts, 1);
}

/* Whatever way a contact comes by an address, it is one that a connector can write to. */
Test(case_input, a_contact_has_addresses)
{
    static const char *const none[] = {"jo@c.example\nBcc: di@c.example", "\x7f", "   ", "jo\xe2\x80\xa8"};
    for (size_t i = 0; i < 2 * sizeof none / sizeof *none; i++) {
        char *address = desk_text(none[i / 2]);
        Casework__Cases__V1__ContactHandle handle = CASEWORK__CASES__V1__CONTACT_HANDLE__INIT,
                                           *handles[] = {&handle};
        Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
        Casework__Cases__V1__CreateContactRequest request = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
        handle.network = desk_text("chat");
        handle.address = address;
        contact.emails = &address;
        contact.handles = handles;
        contact.n_emails = i % 2;
        contact.n_handles = 1 - i % 2;
        request.parent = desk_text("accounts/acme");
        request.contact = &contact;
        error err = desk_fail(&server, "", &casework__cases__v1__contact_service__descriptor, "CreateContact",
                              &request);
        cr_expect_eq(err.code, STATUS_INVALID_ARGUMENT, "%s", none[i / 2]);
        cr_expect_str_eq(err.violations[0].key, i % 2 ? "contact.emails" : "contact.handles");
    }
}

/* Those of agents and channels, which are headers of mails, too. */
Test(case_input, so_have_agents_and_channels)
{
    static const char *const none[] = {"jo@c.example\r\nBcc: di@c.example", "jo\x7f", "   ",
                                       "jo\xe2\x80\xa8"};
    const ProtobufCServiceDescriptor *agents = &casework__cases__v1__agent_service__descriptor;
    const ProtobufCServiceDescriptor *channels = &casework__cases__v1__channel_service__descriptor;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    Casework__Cases__V1__CreateAgentRequest new_agent = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__UpdateAgentRequest old_agent = CASEWORK__CASES__V1__UPDATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest new_channel = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__UpdateChannelRequest old_channel = CASEWORK__CASES__V1__UPDATE_CHANNEL_REQUEST__INIT;
    new_agent.parent = new_channel.parent = desk_text("accounts/acme");
    new_agent.agent = old_agent.agent = &agent;
    new_channel.channel = old_channel.channel = &channel;
    agent.name = desk_text("accounts/acme/agents/bob");
    channel.name = desk_text("accounts/acme/channels/mail");
    channel.network = desk_text("email");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        agent.email = channel.address = desk_text(none[i]);
        expect_field(desk_fail(&server, "", agents, "CreateAgent", &new_agent), "agent.email");
        expect_field(desk_fail(&server, "", agents, "UpdateAgent", &old_agent), "agent.email");
        expect_field(desk_fail(&server, "", channels, "CreateChannel", &new_channel), "channel.address");
        expect_field(desk_fail(&server, "", channels, "UpdateChannel", &old_channel), "channel.address");
    }
    agent.email = channel.address = desk_text("");
    channel.network = desk_text("api");
    desk_call(&server, "", agents, "CreateAgent", &new_agent);
    desk_call(&server, "", channels, "CreateChannel", &new_channel);
}

Test(case_input, a_service_acts_for_an_agent_who_is_there)
{
    const ProtobufCServiceDescriptor *contacts = &casework__cases__v1__contact_service__descriptor;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__UpdateContactRequest update = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    create.parent = desk_text("accounts/acme");
    create.contact = update.contact = &contact;
    create.contact_id = desk_text("jo");
    contact.display_name = desk_text("Jo");
    desk_call(&server, "anna", contacts, "CreateContact", &create);
    contact.name = desk_text("accounts/acme/contacts/jo");
    contact.display_name = desk_text("Di");
    desk_call(&server, "anna", contacts, "UpdateContact", &update);
    create.contact_id = desk_text("di");
    error err = desk_fail(&server, "nobody", contacts, "CreateContact", &create);
    cr_expect_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_expect_str_eq(err.reason, "AGENT_UNKNOWN");
    cr_expect_str_eq(desk_fail(&server, "nobody", contacts, "UpdateContact", &update).reason,
                     "AGENT_UNKNOWN");
    cr_expect_str_eq(desk_fail(&server, "former", contacts, "UpdateContact", &update).reason,
                     "AGENT_DISABLED");
}
