/* Conversations to import: what is refused, what becomes of names and addresses. */

#include "case/case_import_command.h"

#include <criterion/criterion.h>
#include <string.h>

static arena *memory;
static Casework__Cases__V1__ConversationMessage message;
static Casework__Cases__V1__ConversationMessage *messages[] = {&message};
static Google__Protobuf__Timestamp sent;
static Casework__Cases__V1__Contact contact;
static Casework__Cases__V1__Conversation conversation;

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static void setup(void)
{
    memory = arena_new(1 << 20);
    casework__cases__v1__conversation_message__init(&message);
    google__protobuf__timestamp__init(&sent);
    casework__cases__v1__contact__init(&contact);
    casework__cases__v1__conversation__init(&conversation);
    sent.seconds = 1585700000;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.send_time = &sent;
    message.body = text("Hello");
    contact.display_name = text("Carl");
    conversation.external_id = text("x1");
    conversation.network = text("twitter");
    conversation.contact = &contact;
    conversation.messages = messages;
    conversation.n_messages = 1;
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(case_import, .init = setup, .fini = teardown);

static void refused(const char *field)
{
    struct import_conversation out;
    error err = {0};
    cr_assert_not(import_conversation_take(memory, &conversation, &out, &err), "%s", field);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(err.violation_count, 1);
    cr_assert_str_eq(err.violations[0].key, field);
}

Test(case_import, what_is_wrong_is_named)
{
    conversation.external_id = text("");
    refused("conversation.external_id");
    conversation.external_id = text("x1");
    conversation.network = text("Web Chat");
    refused("conversation.network");
    conversation.network = text("twitter");
    conversation.contact = NULL;
    refused("conversation.contact");
    conversation.contact = &contact;
    conversation.n_messages = 0;
    refused("conversation.messages");
    conversation.n_messages = 1;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_SURVEY;
    refused("conversation.messages.kind");
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    refused("conversation.messages.author_name");
    message.author_name = text("Anna");
    message.send_time = NULL;
    refused("conversation.messages.send_time");
    message.send_time = &sent;
    conversation.status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED;
    refused("conversation.status");
}

Test(case_import, a_contact_without_an_address_is_found_by_its_name)
{
    struct import_conversation out;
    error err;
    cr_assert(import_conversation_take(memory, &conversation, &out, &err));
    cr_assert_eq(out.addresses.count, 1);
    cr_assert_str_eq(out.addresses.items[0].network, "twitter");
    cr_assert_str_eq(out.addresses.items[0].address, "carl");
    char *email = text("Carl@Example.org");
    contact.emails = &email;
    contact.n_emails = 1;
    cr_assert(import_conversation_take(memory, &conversation, &out, &err));
    cr_assert_eq(out.addresses.count, 1);
    cr_assert_str_eq(out.addresses.items[0].network, "email");
    cr_assert_str_eq(out.addresses.items[0].address, "carl@example.org");
}

static bool is_id(const char *id)
{
    size_t length = strlen(id);
    return length > 0 && length <= IMPORT_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") == length && strspn(id, "._-") == 0;
}

Test(case_import, names_become_ids)
{
    cr_assert_str_eq(import_agent_id(memory, "AppleSupport"), "applesupport");
    cr_assert_str_eq(import_agent_id(memory, "anna.k-2"), "anna.k-2");
    static const char *const odd[] = {
        "Anna Karenina", "Anna-Karenina ",
        "Анна",          "李",
        "__x",           "Ana",
        "Aña",           "a name that is far longer than the sixty-three bytes which an id can have at most"};
    enum { ODD = sizeof odd / sizeof odd[0] };
    char *ids[ODD];
    for (size_t i = 0; i < ODD; i++) {
        ids[i] = import_agent_id(memory, odd[i]);
        cr_assert(is_id(ids[i]), "%s", ids[i]);
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(ids[i], ids[j]);
    }
}
