/* Folders, orders, pages that are walked while cases change, views, batches: the read side of the case
 * service. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)

enum { CASE_COUNT = 120 };

static struct case_server server;

static Casework__Cases__V1__Case *case_get(int number)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = arena_printf(server.memory, "accounts/acme/cases/%d", number);
    return ((Casework__Cases__V1__GetCaseResponse *)case_server_call(&server, CASES, "GetCase", &request))
        ->case_;
}

/* A hundred and twenty cases of all statuses, owners and subjects. */
static void fill(void)
{
    static const char *const subjects[] = {"Zebra", "apple", "Äpfel", "apple", "STRASSE", "straße", ""};
    Casework__Cases__V1__ImportConversationsRequest *items[CASE_COUNT];
    for (int i = 0; i < CASE_COUNT; i++) {
        char id[32];
        snprintf(id, sizeof id, "c%d", i);
        items[i] =
            case_server_conversation(&server, "acme", id, subjects[i % 7],
                                     i % 3 == 0   ? "c"
                                     : i % 3 == 1 ? "ca"
                                                  : "cac",
                                     CASE_SERVER_START_US - CLOCK_DAY - (i * 7919 % 997) * CLOCK_MINUTE);
        if (i % 3 != 0)
            items[i]->conversation->status = (Casework__Cases__V1__CaseStatus)(2 + i / 3 % 3);
    }
    Casework__Cases__V1__ImportConversationsResponse *done = case_server_import(&server, items, CASE_COUNT);
    cr_assert_eq(done->conversations_imported, CASE_COUNT);
    cr_assert_eq(done->n_refusals, 0, "%s", done->n_refusals ? done->refusals[0]->message : "");
    for (int i = 1; i <= CASE_COUNT; i += 11) {
        Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        request.name = arena_printf(server.memory, "accounts/acme/cases/%d", i);
        case_server_call(&server, CASES, "DeleteCase", &request);
    }
}

static void setup(void)
{
    case_server_start(&server);
    case_server_account(&server, "acme");
    fill();
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_read, .init = setup, .fini = teardown, .timeout = 120);

static Casework__Cases__V1__ListCasesResponse *list_page(Casework__Cases__V1__Folder folder,
                                                         const char *order, int size, const char *token)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    request.folder = folder;
    request.order_by = (char *)(uintptr_t)order;
    request.page_size = size;
    request.page_token = (char *)(uintptr_t)token;
    return case_server_call(&server, CASES, "ListCases", &request);
}

static long number_of(const Casework__Cases__V1__Case *c)
{
    return strtol(strrchr(c->name, '/') + 1, NULL, 10);
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

/* The folders as the behaviour words them. */
static bool is_in(const Casework__Cases__V1__Case *c, Casework__Cases__V1__Folder folder)
{
    bool open = c->status >= 1 && c->status <= 3, involved = false;
    for (size_t i = 0; i < c->n_involved_agents; i++)
        involved = involved || strcmp(c->involved_agents[i], "accounts/acme/agents/anna") == 0;
    switch ((int)folder) {
    case 1:
        return c->status != 6;
    case 8:
        return open && strcmp(c->owner, "accounts/acme/agents/anna") == 0;
    case 9:
        return open && !*c->owner;
    case 10:
        return c->status != 6 && c->open_time && time_of(c->open_time) >= CASE_SERVER_START_US - CLOCK_DAY;
    case 11:
        return c->need_reply && c->status <= 4;
    case 12:
        return involved && c->status <= 4;
    default:
        return (int)c->status == (int)folder - 1;
    }
}

static bool in_order(const Casework__Cases__V1__Case *a, const Casework__Cases__V1__Case *b,
                     const char *order)
{
    bool descending = strstr(order, "desc") != NULL;
    if (descending) {
        const Casework__Cases__V1__Case *t = a;
        a = b;
        b = t;
    }
    int64_t left = 0, right = 0;
    if (strncmp(order, "update_time", 11) == 0) {
        left = time_of(a->update_time);
        right = time_of(b->update_time);
    } else if (strncmp(order, "status", 6) == 0) {
        left = a->status;
        right = b->status;
    } else {
        /* As they sort folded, by code point: "", A + umlaut decomposed, apple, strasse twice, zebra. */
        static const char *const ranks[] = {"", "apple", "STRASSE", "Zebra"};
        for (int i = 0; i < 4; i++) {
            left = strcmp(a->subject, ranks[i]) == 0 ? 2 * i : left;
            right = strcmp(b->subject, ranks[i]) == 0 ? 2 * i : right;
        }
        left = strcmp(a->subject, "straße") == 0 ? 4 : strcmp(a->subject, "Äpfel") == 0 ? 3 : left;
        right = strcmp(b->subject, "straße") == 0 ? 4 : strcmp(b->subject, "Äpfel") == 0 ? 3 : right;
    }
    return left < right || (left == right && number_of(a) < number_of(b));
}

Test(case_read, every_folder_in_every_order_page_by_page)
{
    static const char *const orders[] = {"update_time",  "update_time desc", "subject",
                                         "subject desc", "status",           "status desc"};
    Casework__Cases__V1__Case *all[CASE_COUNT + 1];
    for (int i = 1; i <= CASE_COUNT; i++)
        all[i] = case_get(i);
    for (int folder = 1; folder <= 12; folder++) {
        size_t expected = 0;
        for (int i = 1; i <= CASE_COUNT; i++)
            expected += is_in(all[i], (Casework__Cases__V1__Folder)folder);
        for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
            const char *token = "";
            const Casework__Cases__V1__Case *before = NULL;
            size_t seen = 0;
            do {
                Casework__Cases__V1__ListCasesResponse *page =
                    list_page((Casework__Cases__V1__Folder)folder, orders[o], 7, token);
                cr_assert(page->n_cases <= 7);
                for (size_t i = 0; i < page->n_cases; i++) {
                    const Casework__Cases__V1__Case *c = page->cases[i];
                    cr_assert(is_in(all[number_of(c)], (Casework__Cases__V1__Folder)folder),
                              "folder %d has %s", folder, c->name);
                    cr_assert(!before || in_order(before, c, orders[o]), "folder %d by %s: %s before %s",
                              folder, orders[o], before->name, c->name);
                    before = c;
                    seen++;
                }
                token = page->next_page_token;
            } while (*token);
            cr_assert_eq(seen, expected, "folder %d by %s: %zu of %zu", folder, orders[o], seen, expected);
        }
    }
}

Test(case_read, counts_are_the_lengths_of_the_lists)
{
    Casework__Cases__V1__CountCasesRequest request = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    Casework__Cases__V1__CountCasesResponse *without =
        case_server_call(&server, CASES, "CountCases", &request);
    cr_assert_eq(without->n_counts, 10, "the folders that need an agent are left out");
    request.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    Casework__Cases__V1__CountCasesResponse *counts =
        case_server_call(&server, CASES, "CountCases", &request);
    cr_assert_eq(counts->n_counts, 12);
    for (size_t i = 0; i < counts->n_counts; i++) {
        Casework__Cases__V1__ListCasesResponse *page = list_page(counts->counts[i]->folder, "", 1000, "");
        cr_assert_eq(page->n_cases, (size_t)counts->counts[i]->count, "folder %d",
                     (int)counts->counts[i]->folder);
    }
}

/* Every second page something happens to a case that was seen and to one that was not. */
Test(case_read, a_walk_neither_skips_nor_repeats_what_does_not_change)
{
    static const char *const orders[] = {"update_time", "update_time desc", "subject", "status desc"};
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        int seen[CASE_COUNT + 1] = {0}, changed[CASE_COUNT + 1] = {0};
        const char *token = "";
        int step = 0;
        do {
            Casework__Cases__V1__ListCasesResponse *page = list_page(1, orders[o], 10, token);
            for (size_t i = 0; i < page->n_cases; i++)
                seen[number_of(page->cases[i])]++;
            token = page->next_page_token;
            case_server_advance(&server, CLOCK_SECOND);
            for (int i = 0; i < 2; i++) {
                int number = 2 + (step++ * 37 + (int)o) % (CASE_COUNT - 2);
                Casework__Cases__V1__Case target = CASEWORK__CASES__V1__CASE__INIT;
                Casework__Cases__V1__UpdateCaseRequest update =
                    CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
                Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
                char *path = (char *)(uintptr_t) "subject";
                mask.paths = &path;
                mask.n_paths = 1;
                target.name = arena_printf(server.memory, "accounts/acme/cases/%d", number);
                target.subject = arena_printf(server.memory, "changed %d", step);
                update.case_ = &target;
                update.update_mask = &mask;
                void *response;
                error err;
                if (case_server_try(&server, CASES, "UpdateCase", &update, &response, &err))
                    changed[number] = 1;
            }
        } while (*token);
        for (int i = 1; i <= CASE_COUNT; i++)
            cr_assert(changed[i] || seen[i] == (i % 11 != 1), "by %s: case %d seen %d times", orders[o], i,
                      seen[i]);
    }
}

Test(case_read, a_page_token_goes_with_its_arguments)
{
    Casework__Cases__V1__ListCasesResponse *page = list_page(1, "", 10, "");
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    void *response;
    error err;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    request.folder = 1;
    request.page_token = page->next_page_token;
    request.page_size = 3;
    case_server_call(&server, CASES, "ListCases", &request); /* another size is fine */
    request.order_by = (char *)(uintptr_t) "subject";
    cr_assert_not(case_server_try(&server, CASES, "ListCases", &request, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.reason, "INVALID_PAGE_TOKEN");
    request.order_by = (char *)(uintptr_t) "";
    request.page_token = arena_strdup(server.memory, page->next_page_token);
    request.page_token[3] = request.page_token[3] == 'A' ? 'B' : 'A';
    cr_assert_not(case_server_try(&server, CASES, "ListCases", &request, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    request.page_token = (char *)(uintptr_t) "";
    request.page_size = -1;
    cr_assert_not(case_server_try(&server, CASES, "ListCases", &request, &response, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    request.page_size = 0;
    request.parent = (char *)(uintptr_t) "accounts/nobody";
    request.agent = (char *)(uintptr_t) "";
    cr_assert_not(case_server_try(&server, CASES, "ListCases", &request, &response, &err));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
}

Test(case_read, the_customer_sees_no_notes_and_no_third_parties)
{
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, "acme", "views", "views", "canta", CASE_SERVER_START_US - CLOCK_HOUR);
    case_server_import(&server, &item, 1);
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = arena_printf(server.memory, "accounts/acme/cases/%d", CASE_COUNT + 1);
    Casework__Cases__V1__ListMessagesResponse *agents =
        case_server_call(&server, MESSAGES, "ListMessages", &request);
    cr_assert_eq(agents->n_messages, 5);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(agents->messages[i]->number, i + 1);
    request.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    Casework__Cases__V1__ListMessagesResponse *customers =
        case_server_call(&server, MESSAGES, "ListMessages", &request);
    cr_assert_eq(customers->n_messages, 3);
    cr_assert_eq(customers->messages[2]->number, 5);
    Casework__Cases__V1__GetMessageRequest get = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
    get.name = agents->messages[2]->name;
    get.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    void *response;
    error err;
    cr_assert_not(case_server_try(&server, MESSAGES, "GetMessage", &get, &response, &err));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
}

Test(case_read, a_view_without_messages_is_one_empty_page)
{
    Casework__Cases__V1__ImportConversationsRequest *item = case_server_conversation(
        &server, "acme", "hidden", "hidden", "tt", CASE_SERVER_START_US - CLOCK_HOUR);
    case_server_import(&server, &item, 1);
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = arena_printf(server.memory, "accounts/acme/cases/%d", CASE_COUNT + 1);
    request.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
    Casework__Cases__V1__ListMessagesResponse *page =
        case_server_call(&server, MESSAGES, "ListMessages", &request);
    cr_assert_eq(page->n_messages, 0);
    cr_assert_str_eq(page->next_page_token, "");
}

Test(case_read, a_batch_answers_every_name)
{
    char *names[] = {(char *)(uintptr_t) "accounts/acme/cases/3",
                     (char *)(uintptr_t) "accounts/acme/cases/99999",
                     (char *)(uintptr_t) "accounts/acme/cases/2"};
    Casework__Cases__V1__BatchGetCasesRequest request = CASEWORK__CASES__V1__BATCH_GET_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.names = names;
    request.n_names = 3;
    Casework__Cases__V1__BatchGetCasesResponse *answer =
        case_server_call(&server, CASES, "BatchGetCases", &request);
    cr_assert_eq(answer->n_results, 3);
    cr_assert_str_eq(answer->results[0]->case_->name, names[0]);
    cr_assert_eq(answer->results[1]->error->code, STATUS_NOT_FOUND);
    cr_assert_str_eq(answer->results[2]->case_->name, names[2]);
    static const char *const malformed[] = {"accounts/acme/cases/abc", "accounts/acme/cases/-1", "", "x"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        names[1] = (char *)(uintptr_t)malformed[i];
        answer = case_server_call(&server, CASES, "BatchGetCases", &request);
        cr_assert_eq(answer->results[1]->error->code, STATUS_INVALID_ARGUMENT);
        cr_assert_str_eq(answer->results[2]->case_->name, names[2]);
    }
}

enum { LARGE_COUNT = 40, LARGE_LABELS = 100, LARGE_ATTRIBUTES = 64, CLIENT_BYTES_MAX = 4 << 20 };

/* Cases of about 110 kB each. */
static void fill_large(void)
{
    char *labels[LARGE_LABELS];
    Casework__Cases__V1__Case__AttributesEntry entries[LARGE_ATTRIBUTES], *list[LARGE_ATTRIBUTES];
    for (int i = 0; i < LARGE_LABELS; i++)
        labels[i] = arena_printf(server.memory, "%0250d", i);
    for (int i = 0; i < LARGE_ATTRIBUTES; i++) {
        casework__cases__v1__case__attributes_entry__init(&entries[i]);
        entries[i].key = arena_printf(server.memory, "%0120d", i);
        entries[i].value = arena_printf(server.memory, "%01024d", i);
        list[i] = &entries[i];
    }
    for (int i = 1; i <= LARGE_COUNT; i++) {
        Casework__Cases__V1__Case change = CASEWORK__CASES__V1__CASE__INIT;
        Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
        Casework__Cases__V1__UndeleteCaseRequest back = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
        change.name = back.name = arena_printf(server.memory, "accounts/acme/cases/%d", i);
        change.labels = labels;
        change.n_labels = LARGE_LABELS;
        change.attributes = list;
        change.n_attributes = LARGE_ATTRIBUTES;
        update.case_ = &change;
        case_server_call(&server, CASES, "UndeleteCase", &back);
        case_server_call(&server, CASES, "UpdateCase", &update);
    }
}

Test(case_read, no_answer_is_larger_than_a_client_takes)
{
    fill_large();
    size_t seen = 0, pages = 0;
    const char *token = "";
    do {
        Casework__Cases__V1__ListCasesResponse *page = list_page(1, "", 1000, token);
        cr_assert_lt(protobuf_c_message_get_packed_size(&page->base), (size_t)CLIENT_BYTES_MAX);
        seen += page->n_cases;
        pages++;
        token = page->next_page_token;
    } while (*token);
    size_t walked = 0;
    for (token = ""; walked == 0 || *token; walked++)
        token = list_page(1, "", 1, token)->next_page_token;
    cr_assert_eq(seen, walked);
    cr_assert_gt(pages, 1);

    char *names[LARGE_COUNT + 1];
    for (int i = 0; i < LARGE_COUNT; i++)
        names[i] = arena_printf(server.memory, "accounts/acme/cases/%d", i + 1);
    names[LARGE_COUNT] = (char *)(uintptr_t) "accounts/acme/cases/99999";
    Casework__Cases__V1__BatchGetCasesRequest request = CASEWORK__CASES__V1__BATCH_GET_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.names = names;
    request.n_names = LARGE_COUNT + 1;
    Casework__Cases__V1__BatchGetCasesResponse *batch =
        case_server_call(&server, CASES, "BatchGetCases", &request);
    cr_assert_lt(protobuf_c_message_get_packed_size(&batch->base), (size_t)CLIENT_BYTES_MAX);
    cr_assert_eq(batch->n_results, LARGE_COUNT + 1);
    cr_assert_not_null(batch->results[0]->case_);
    cr_assert_eq(batch->results[LARGE_COUNT - 1]->error->code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert_eq(batch->results[LARGE_COUNT]->error->code, STATUS_NOT_FOUND);
}

/* Resolved cases, the longest unchanged first, through pages of 5, each with the basis of its timer. */
Test(case_read, due_cases_come_in_the_order_of_their_basis)
{
    Casework__Cases__V1__ListDueCasesRequest request = CASEWORK__CASES__V1__LIST_DUE_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/-";
    request.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    request.page_size = 5;
    int64_t before = INT64_MIN;
    size_t seen = 0;
    do {
        Casework__Cases__V1__ListDueCasesResponse *page =
            case_server_call(&server, CASES, "ListDueCases", &request);
        for (size_t i = 0; i < page->n_due_cases; i++, seen++) {
            const Casework__Cases__V1__DueCase *due = page->due_cases[i];
            Casework__Cases__V1__Case *c = case_get((int)strtol(strrchr(due->case_, '/') + 1, NULL, 10));
            cr_assert_eq(c->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED);
            cr_assert_eq(due->basis_version, c->change_version);
            cr_assert(time_of(due->basis_time) >= before);
            before = time_of(due->basis_time);
        }
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    cr_assert_eq(seen, list_page(5, "", 1000, "")->n_cases);
}

Test(case_read, a_contact_is_found_by_its_address)
{
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    char *email = (char *)(uintptr_t) "Erika@Example.org", *phone = (char *)(uintptr_t) "+31 (0)20-1234567";
    contact.emails = &email;
    contact.n_emails = 1;
    contact.phones = &phone;
    contact.n_phones = 1;
    create.parent = (char *)(uintptr_t) "accounts/acme";
    create.contact_id = (char *)(uintptr_t) "erika";
    create.contact = &contact;
    case_server_call(&server, &casework__cases__v1__contact_service__descriptor, "CreateContact", &create);
    static const char *const found[] = {"erika@example.ORG", "+310201234567"}, *const lost[] = {"erika",
                                                                                                "1234567"};
    for (int i = 0; i < 2; i++) {
        Casework__Cases__V1__ListContactsRequest request = CASEWORK__CASES__V1__LIST_CONTACTS_REQUEST__INIT;
        request.parent = (char *)(uintptr_t) "accounts/acme";
        request.address = (char *)(uintptr_t)found[i];
        Casework__Cases__V1__ListContactsResponse *answer = case_server_call(
            &server, &casework__cases__v1__contact_service__descriptor, "ListContacts", &request);
        cr_assert_eq(answer->n_contacts, 1, "%s", found[i]);
        cr_assert_str_eq(answer->contacts[0]->name, "accounts/acme/contacts/erika");
        request.address = (char *)(uintptr_t)lost[i];
        answer = case_server_call(&server, &casework__cases__v1__contact_service__descriptor, "ListContacts",
                                  &request);
        cr_assert_eq(answer->n_contacts, 0, "%s", lost[i]);
    }
}
