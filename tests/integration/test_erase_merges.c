/* Erased contacts, whose cases others were merged into, or are to be. */

#include "tests/support/erase_desk.h"
#include "tests/support/together.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 4 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(erase_merges, .init = setup, .fini = teardown, .timeout = 120);

/* --- what the tests do ------------------------------------------------------------------------------------
 */

static Casework__Cases__V1__Case *receive(const char *sender, const char *body)
{
    static int number;
    return desk_receive(&server, "desk", sender, arena_printf(server.memory, "m%d", ++number), body)->case_;
}

static Casework__Cases__V1__MergeCasesRequest *merge_request(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__merge_cases_request__init(request);
    request->source = desk_text(source);
    request->target = desk_text(target);
    return request;
}

static Casework__Cases__V1__EraseContactRequest *erase_request(const char *contact)
{
    Casework__Cases__V1__EraseContactRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__erase_contact_request__init(request);
    request->name = desk_text(contact);
    return request;
}

/* Kay's case was merged into Jo's, and nothing is erased yet. */
struct pair {
    Casework__Cases__V1__Case *jo, *kay;
};

static struct pair merged_pair(void)
{
    struct pair pair = {.jo = receive("jo", "hello"), .kay = receive("kay", "secretword")};
    desk_merge(&server, pair.kay->name, pair.jo->name);
    return pair;
}

static void expect_blank(const char *case_name, size_t count)
{
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, case_name, 1);
    size_t blank = 0;
    for (size_t i = 0; i < list->n_messages; i++) {
        const Casework__Cases__V1__Message *message = list->messages[i];
        blank += message->redacted && message->body[0] == '\0' && message->external_id[0] == '\0';
    }
    cr_expect_eq(blank, count, "%zu of %zu in %s", blank, list->n_messages, case_name);
}

/* --- customers go on writing ------------------------------------------------------------------------------
 */

/* Both while the texts go, and once they are gone. */
Test(erase_merges, who_was_merged_into_an_erased_contacts_case_writes_into_a_new_one)
{
    struct pair pair = merged_pair();
    desk_erase(&server, pair.jo->contact);
    Casework__Cases__V1__ReceiveMessageResponse *first = desk_receive(&server, "desk", "kay", "n1", "I live");
    cr_expect(first->case_created);
    cr_expect_str_eq(first->case_->contact, pair.kay->contact);
    cr_expect_str_eq(first->message->body, "I live");
    Casework__Cases__V1__Case *max = receive("max", "one");
    Casework__Cases__V1__Case *ida = receive("ida", "one");
    desk_merge(&server, max->name, ida->name);
    desk_erase(&server, ida->contact);
    desk_await_erased(&server);
    Casework__Cases__V1__ReceiveMessageResponse *later = desk_receive(&server, "desk", "max", "n2", "two");
    cr_expect(later->case_created);
    cr_expect_str_eq(later->case_->contact, max->contact);
    cr_expect_str_eq(desk_receive(&server, "desk", "kay", "n3", "more")->case_->name, first->case_->name);
    cr_expect_str_eq(desk_receive(&server, "desk", "max", "n4", "more")->case_->name, later->case_->name);
    cr_expect_str_eq(receive("jo", "again")->name, receive("jo", "and again")->name, "somebody new");
    desk_unmerge(&server, max->name);
    cr_expect_str_eq(desk_list(&server, max->name, 1)->messages[0]->body, "one");
}

Test(erase_merges, an_older_case_that_lives_takes_the_message)
{
    Casework__Cases__V1__Case *old = receive("kay", "one");
    desk_step(&server, "anna", "DeleteCase", old->name);
    struct pair pair = merged_pair();
    desk_step(&server, "anna", "UndeleteCase", old->name);
    cr_assert_str_eq(receive("kay", "two")->name, pair.jo->name);
    desk_erase(&server, pair.jo->contact);
    cr_expect_str_eq(receive("kay", "three")->name, old->name);
}

/* By way of a merge of a merge. */
Test(erase_merges, the_end_of_the_way_counts)
{
    struct pair pair = merged_pair();
    Casework__Cases__V1__Case *ida = receive("ida", "hello");
    desk_merge(&server, pair.jo->name, ida->name);
    desk_erase(&server, pair.jo->contact);
    cr_expect_str_eq(receive("kay", "two")->name, ida->name, "the case in between has no part in it");
    desk_erase(&server, ida->contact);
    cr_expect_str_neq(receive("kay", "three")->name, ida->name);
}

/* --- one batch --------------------------------------------------------------------------------------------
 */

static struct {
    int64_t erased_at, other_at;
    char routed[64], reason[64];
} landed;

static void land_erasure(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    cr_assert_not_null(response, "%s", err->message);
    landed.erased_at = ((const Casework__Cases__V1__EraseContactResponse *)(const void *)response)->position;
}

static void land_message(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    cr_assert_not_null(response, "%s %s", err->reason, err->message);
    const Casework__Cases__V1__ReceiveMessageResponse *answer = (const void *)response;
    snprintf(landed.routed, sizeof landed.routed, "%s", answer->case_->name);
    landed.other_at = answer->position;
}

static void land_merge(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    if (response == NULL)
        snprintf(landed.reason, sizeof landed.reason, "%s", err->reason);
    else
        landed.other_at = ((const Casework__Cases__V1__MergeCasesResponse *)(const void *)response)->position;
}

/* Whichever comes first. */
Test(erase_merges, a_message_beside_the_erasure_in_one_batch)
{
    for (int round = 0; round < ROUNDS; round++) {
        Casework__Cases__V1__ReceiveMessageRequest message =
            CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
        struct pair pair = merged_pair();
        struct together calls;
        memset(&landed, 0, sizeof landed);
        message.parent = desk_text("accounts/acme/channels/desk");
        message.sender_address = desk_text("kay");
        message.external_id = arena_printf(server.memory, "behind-%d", round);
        message.body = desk_text("behind");
        together_begin(&calls, &server, receive("dora", "hello")->name);
        bool erase_first = round % 2 == 0;
        if (erase_first)
            together_add(&calls, NULL, DESK_CONTACTS, "EraseContact", erase_request(pair.jo->contact),
                         land_erasure, NULL);
        together_add(&calls, NULL, DESK_CONNECTORS, "ReceiveMessage", &message, land_message, NULL);
        if (!erase_first)
            together_add(&calls, NULL, DESK_CONTACTS, "EraseContact", erase_request(pair.jo->contact),
                         land_erasure, NULL);
        together_run(&calls);
        bool is_behind = landed.erased_at < landed.other_at;
        cr_expect_eq(strcmp(landed.routed, pair.jo->name) != 0, is_behind, "%s", landed.routed);
        desk_await_erased(&server);
        desk_erase(&server, pair.kay->contact);
    }
}

/* In whatever order the two are done, no text stays in the erased contact's case. */
Test(erase_merges, a_merge_beside_the_erasure_in_one_batch)
{
    for (int round = 0; round < ROUNDS; round++) {
        Casework__Cases__V1__Case *jo = receive("jo", "hello"), *kay = receive("kay", "secretword");
        struct together calls;
        bool erase_first = round % 2 == 0;
        memset(&landed, 0, sizeof landed);
        together_begin(&calls, &server, receive("dora", "hello")->name);
        if (erase_first)
            together_add(&calls, NULL, DESK_CONTACTS, "EraseContact", erase_request(jo->contact),
                         land_erasure, NULL);
        together_add(&calls, "anna", DESK_CASES, "MergeCases", merge_request(kay->name, jo->name), land_merge,
                     NULL);
        if (!erase_first)
            together_add(&calls, NULL, DESK_CONTACTS, "EraseContact", erase_request(jo->contact),
                         land_erasure, NULL);
        together_run(&calls);
        if (landed.other_at == 0)
            cr_expect_str_eq(landed.reason, "CONTACT_ERASED");
        else
            cr_expect_lt(landed.other_at, landed.erased_at);
        expect_blank(jo->name, desk_list(&server, jo->name, 1)->n_messages);
        desk_await_erased(&server);
        expect_blank(jo->name, landed.other_at == 0 ? 1 : 2);
        cr_expect_str_eq(desk_list(&server, kay->name, 1)->messages[0]->body, "secretword");
        desk_erase(&server, kay->contact);
    }
}

/* --- merging ----------------------------------------------------------------------------------------------
 */

Test(erase_merges, nothing_is_merged_into_an_erased_contacts_case)
{
    Casework__Cases__V1__Case *jo = receive("jo", "hello"), *kay = receive("kay", "secretword");
    desk_erase(&server, jo->contact);
    error err = desk_fail(&server, "anna", DESK_CASES, "MergeCases", merge_request(kay->name, jo->name));
    cr_expect_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(err.reason, "CONTACT_ERASED");
    desk_await_erased(&server);
    err = desk_fail(&server, "anna", DESK_CASES, "MergeCases", merge_request(kay->name, jo->name));
    cr_expect_str_eq(err.reason, "CONTACT_ERASED");
    cr_expect_str_eq(desk_case(&server, kay->name)->merged_into, "");
    cr_expect_eq(desk_case(&server, jo->name)->message_count, 1);
    cr_expect_str_eq(receive("kay", "two")->name, kay->name);
}

Test(erase_merges, a_merge_from_before_is_undone)
{
    struct pair pair = merged_pair();
    desk_erase(&server, pair.jo->contact);
    desk_call(&server, "", DESK_CASES, "MergeCases", merge_request(pair.kay->name, pair.jo->name));
    desk_await_erased(&server);
    desk_unmerge(&server, pair.kay->name);
    cr_expect_str_eq(desk_list(&server, pair.kay->name, 1)->messages[0]->body, "secretword");
    cr_expect_eq(desk_case(&server, pair.jo->name)->message_count, 1);
    cr_expect_str_eq(receive("kay", "two")->name, pair.kay->name);
}

/* What was blank stays blank, at once and afterwards, however far it goes; what has others' texts keeps them.
 */
static void merge_on(bool afterwards)
{
    struct pair pair = merged_pair();
    Casework__Cases__V1__Case *ida = receive("ida", "ida's"), *max = receive("max", "max's");
    desk_erase(&server, pair.jo->contact);
    if (afterwards)
        desk_await_erased(&server);
    desk_merge(&server, pair.jo->name, ida->name);
    expect_blank(ida->name, 2);
    desk_await_erased(&server);
    expect_blank(ida->name, 2);
    cr_expect_str_eq(desk_list(&server, ida->name, 1)->messages[0]->body, "ida's");
    desk_merge(&server, ida->name, max->name);
    expect_blank(max->name, 2);
    cr_expect_eq(desk_case(&server, max->name)->message_count, 4);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM messages WHERE body = 'secretword'"), 1,
                 "Kay's own");
    desk_unmerge(&server, ida->name);
    desk_unmerge(&server, pair.jo->name);
    desk_unmerge(&server, pair.kay->name);
    cr_expect_str_eq(desk_list(&server, pair.kay->name, 1)->messages[0]->body, "secretword");
    desk_merge(&server, pair.kay->name, ida->name);
    expect_blank(ida->name, 0);
}

Test(erase_merges, an_erased_contacts_case_is_merged_on_while_its_texts_go)
{
    merge_on(false);
}

Test(erase_merges, an_erased_contacts_case_is_merged_on_afterwards)
{
    merge_on(true);
}
