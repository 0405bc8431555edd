/*
 * Text that was forwarded from a case into which it had come by a merge: whatever takes the text away finds
 * it there, by whatever way it went.
 */

#include "tests/support/erase_desk.h"

#include <criterion/criterion.h>
#include <string.h>

enum { CUSTOMER = 1, CONTACT_ERASED = 24, MESSAGE_REDACTED = 5 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(erase_forwards, .init = setup, .fini = teardown, .timeout = 120);

/* --- what the tests do ------------------------------------------------------------------------------------
 */

/* Kay's only message has the word; Jo's case is where it goes. */
struct scene {
    Casework__Cases__V1__Case *kay, *jo;
    const char *word; /* Kay's first message */
};

static struct scene begin(void)
{
    struct scene scene;
    Casework__Cases__V1__ReceiveMessageResponse *kay =
        desk_receive(&server, "mail", "kay@example.com", "k1", "secretword");
    scene.kay = kay->case_;
    scene.word = kay->message->name;
    scene.jo = desk_receive(&server, "mail", "jo@example.com", "j1", "plain")->case_;
    return scene;
}

static const char *another_case(const char *sender)
{
    return desk_receive(&server, "mail", sender, sender, "plain")->case_->name;
}

/* The message that the third party gets. */
static const char *forward_case(const char *name)
{
    Casework__Cases__V1__ForwardCaseResponse *response =
        desk_call(&server, "anna", DESK_CASES, "ForwardCase",
                  desk_forward_case(&server, name, NULL, "lab@example.net", ""));
    return response->message->name;
}

static const char *forward_message(const char *message)
{
    Casework__Cases__V1__ForwardMessageResponse *response =
        desk_call(&server, "anna", DESK_MESSAGES, "ForwardMessage",
                  desk_forward_message(&server, message, NULL, "lab@example.net", ""));
    return response->message->name;
}

static const char *message_of(const char *case_name, int number)
{
    return arena_printf(server.memory, "%s/messages/%d", case_name, number);
}

/* How many messages of a case are told with the word. */
static int with_word(const char *case_name)
{
    int count = 0;
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, case_name, 1);
    for (size_t i = 0; i < list->n_messages; i++)
        count += strstr(list->messages[i]->body, "secretword") != NULL;
    return count;
}

static int64_t stored_with_word(void)
{
    return desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%secretword%'");
}

static int64_t version_of(const char *case_name)
{
    return desk_case(&server, case_name)->version;
}

/* Erases Kay, who is nobody's contact in any of the cases: at once nothing is told, and later nothing is
 * there. */
static void erase_and_look(const struct scene *scene, const char *const *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect_gt(with_word(cases[i]), 0, "%s has it", cases[i]);
    desk_erase(&server, scene->kay->contact);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(with_word(cases[i]), 0, "%s at once", cases[i]);
        cr_expect_not_null(desk_last_event(&server, cases[i], CONTACT_ERASED), "%s is told", cases[i]);
    }
    desk_await_erased(&server);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(with_word(cases[i]), 0, "%s afterwards", cases[i]);
    cr_expect_eq(stored_with_word(), 0);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM forwarded_texts f JOIN messages m"
                                     " USING (partition, account, case_id, number) WHERE m.body = ''"),
                 0, "nobody has to find those any more");
}

/* --- erasure ----------------------------------------------------------------------------------------------
 */

Test(erase_forwards, a_merged_case_that_was_forwarded)
{
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    const char *sent = forward_case(scene.jo->name);
    const char *cases[] = {scene.jo->name};
    erase_and_look(&scene, cases, 1);
    Casework__Cases__V1__Message *left = desk_get_message(&server, sent);
    cr_expect(left->redacted);
    cr_expect_str_eq(left->third_party, "");
    cr_expect_eq((int)left->delivery, 3, "and is sent no more");
    cr_expect_str_eq(desk_get_message(&server, message_of(scene.jo->name, 1))->body, "plain");
    cr_expect_str_eq(desk_case(&server, scene.jo->name)->contact, scene.jo->contact);
}

Test(erase_forwards, a_merged_message_that_was_forwarded)
{
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_message(message_of(scene.jo->name, 2));
    const char *plain = forward_message(message_of(scene.jo->name, 1));
    const char *cases[] = {scene.jo->name};
    erase_and_look(&scene, cases, 1);
    cr_expect_not_null(strstr(desk_get_message(&server, plain)->body, "plain"), "others' texts stay");
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM outgoing"), 1);
}

Test(erase_forwards, after_the_merge_was_undone)
{
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_case(scene.jo->name);
    forward_message(message_of(scene.jo->name, 2));
    desk_unmerge(&server, scene.kay->name);
    const char *cases[] = {scene.jo->name};
    const int64_t version = version_of(scene.jo->name);
    erase_and_look(&scene, cases, 1);
    cr_expect_eq(version_of(scene.jo->name), version + 2, "told at once, and once when it is done");
}

Test(erase_forwards, a_merge_of_a_merge)
{
    struct scene scene = begin();
    const char *last = another_case("max@example.com");
    desk_merge(&server, scene.kay->name, scene.jo->name);
    desk_merge(&server, scene.jo->name, last);
    forward_case(last);
    desk_unmerge(&server, scene.jo->name);
    desk_unmerge(&server, scene.kay->name);
    const char *cases[] = {last};
    erase_and_look(&scene, cases, 1);
}

Test(erase_forwards, what_was_forwarded_goes_on_by_a_merge)
{
    struct scene scene = begin();
    const char *next = another_case("max@example.com"), *last = another_case("lee@example.com");
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_case(scene.jo->name);
    desk_unmerge(&server, scene.kay->name);
    desk_merge(&server, scene.jo->name, next);
    desk_merge(&server, next, last);
    const char *cases[] = {scene.jo->name, last};
    erase_and_look(&scene, cases, 2);
}

Test(erase_forwards, a_forward_of_a_forward)
{
    struct scene scene = begin();
    const char *next = another_case("max@example.com");
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_message(forward_message(forward_case(scene.jo->name)));
    desk_unmerge(&server, scene.kay->name);
    desk_merge(&server, scene.jo->name, next);
    forward_message(message_of(next, 3)); /* a copy of what was forwarded */
    desk_unmerge(&server, scene.jo->name);
    const char *cases[] = {scene.jo->name, next};
    erase_and_look(&scene, cases, 2);
}

Test(erase_forwards, what_a_guest_has_written)
{
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    cr_assert_str_eq(desk_receive(&server, "mail", "kay@example.com", "k2", "secretword two")->case_->name,
                     scene.jo->name);
    forward_message(message_of(scene.jo->name, 3));
    desk_unmerge(&server, scene.kay->name);
    const char *next = another_case("max@example.com");
    desk_merge(&server, scene.jo->name, next);
    forward_case(next);
    desk_unmerge(&server, scene.jo->name);
    const char *cases[] = {scene.jo->name, next};
    erase_and_look(&scene, cases, 2);
}

/* What goes with Kay is not what Jo has said. */
Test(erase_forwards, others_keep_what_is_theirs)
{
    struct scene scene = begin();
    const char *own = forward_case(scene.jo->name);
    desk_merge(&server, scene.kay->name, scene.jo->name);
    const char *both = forward_case(scene.jo->name);
    desk_erase(&server, scene.jo->contact);
    desk_await_erased(&server);
    cr_expect_str_eq(desk_get_message(&server, own)->body, "");
    cr_expect_str_eq(desk_get_message(&server, both)->body, "", "it stands in Jo's case");
    cr_expect_str_eq(desk_get_message(&server, scene.word)->body, "secretword");
}

/* An erasure's work comes in steps: the number of messages does not let a forward slip through. */
Test(erase_forwards, of_a_case_that_takes_many_steps)
{
    enum { MESSAGES = 300 }; /* more than a step takes */
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_case(scene.jo->name);
    desk_unmerge(&server, scene.kay->name);
    for (int i = 0; i < MESSAGES; i++)
        desk_add(&server, "", scene.kay->name, CUSTOMER, "secretword again");
    const char *cases[] = {scene.jo->name};
    erase_and_look(&scene, cases, 1);
}

/* --- redaction --------------------------------------------------------------------------------------------
 */

Test(erase_forwards, redaction_after_the_merge_was_undone)
{
    struct scene scene = begin();
    desk_merge(&server, scene.kay->name, scene.jo->name);
    const char *whole = forward_case(scene.jo->name), *one = forward_message(message_of(scene.jo->name, 2));
    const char *on = forward_message(one);
    desk_unmerge(&server, scene.kay->name);
    cr_assert_eq(with_word(scene.jo->name), 3);
    desk_redact(&server, scene.word);
    cr_expect_eq(with_word(scene.jo->name), 0);
    cr_expect_eq(stored_with_word(), 0);
    cr_expect(desk_get_message(&server, whole)->redacted);
    cr_expect(desk_get_message(&server, one)->redacted);
    cr_expect(desk_get_message(&server, on)->redacted);
    cr_expect_not(desk_get_message(&server, message_of(scene.jo->name, 1))->redacted);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM outgoing"), 0);
    cr_expect_not_null(desk_last_event(&server, scene.jo->name, MESSAGE_REDACTED));
}

Test(erase_forwards, redaction_reaches_copies_of_what_was_forwarded)
{
    struct scene scene = begin();
    const char *last = another_case("max@example.com");
    desk_merge(&server, scene.kay->name, scene.jo->name);
    forward_case(scene.jo->name);
    desk_unmerge(&server, scene.kay->name);
    desk_merge(&server, scene.jo->name, last);
    cr_assert_eq(with_word(last), 1);
    desk_redact(&server, scene.word);
    cr_expect_eq(with_word(last), 0);
    cr_expect_eq(stored_with_word(), 0);
}

/* A text says nothing of where it comes from. */
Test(erase_forwards, the_same_words_of_somebody_else_stay)
{
    struct scene scene = begin();
    const char *again = desk_receive(&server, "mail", "kay@example.com", "k2", "secretword")->message->name;
    const char *of_first = forward_message(scene.word), *of_second = forward_message(again);
    desk_redact(&server, scene.word);
    cr_expect(desk_get_message(&server, of_first)->redacted);
    cr_expect_not(desk_get_message(&server, of_second)->redacted);
    desk_redact(&server, again);
    cr_expect(desk_get_message(&server, of_second)->redacted);
}

/* One that has nothing but a file. */
Test(erase_forwards, files_go_where_they_were_forwarded)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = desk_text("accounts/acme/channels/mail");
    request.sender_address = desk_text("kay@example.com");
    request.external_id = desk_text("k1");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = desk_text("secret.png");
    file.uri = desk_text("s3://files/secret");
    Casework__Cases__V1__ReceiveMessageResponse *kay =
        desk_call(&server, "", DESK_CONNECTORS, "ReceiveMessage", &request);
    const char *sent = forward_message(kay->message->name);
    cr_assert_eq(desk_get_message(&server, sent)->n_attachments, 1);
    desk_redact(&server, kay->message->name);
    cr_expect_str_eq(desk_get_message(&server, sent)->attachments[0]->uri, "");
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE attachments::text LIKE '%secret%'"),
                 0);
}

/* What was left out for its length is not what was sent. */
Test(erase_forwards, only_what_was_sent_counts)
{
    enum { LENGTH = 700 * 1024 };
    char *body = arena_alloc(server.memory, LENGTH + 1);
    memset(body, 'x', LENGTH);
    body[LENGTH] = '\0';
    struct scene scene = begin();
    desk_receive(&server, "mail", "kay@example.com", "k2", body);
    desk_receive(&server, "mail", "kay@example.com", "k3", body);
    const char *sent = forward_case(scene.kay->name);
    desk_redact(&server, scene.word);
    cr_expect_not(desk_get_message(&server, sent)->redacted);
    desk_redact(&server, message_of(scene.kay->name, 3));
    cr_expect(desk_get_message(&server, sent)->redacted);
}

/* --- deletion ---------------------------------------------------------------------------------------------
 */

Test(erase_forwards, an_accounts_go_with_it)
{
    struct scene scene = begin();
    forward_message(scene.word);
    cr_assert_not_null(strstr(desk_tables_with(&server, "acme"), "forwarded_texts"));
    desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    cr_expect_str_eq(desk_tables_with(&server, "acme"), "account_deletions events");
}
