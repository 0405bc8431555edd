/*
 * Walks through all pages of a folder, in every order and direction, while a thousand changes a second go on
 * in it: a case that does not change is never skipped and never repeated, and keeps its place among the
 * others that do not.
 */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/case_server.h"
#include "tests/support/churn.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)

/* Cases 1 to QUIET stay as they are, those up to ALL change all the time, and new ones come. */
enum { QUIET = 250, ALL = 500, FOLDERS = 12, PAGE = 25, CHANGES_A_SECOND = 1000, CHANGES = 3000 };

static struct case_server server;

static void create_agent(const char *id)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent_id = (char *)(uintptr_t)id;
    request.agent = &agent;
    case_server_call(&server, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request);
}

static void import_range(int from, int to)
{
    static const char *const messages[] = {"c", "ca", "cac", "cn", "caca"};
    static const char *const subjects[] = {"Zebra", "apple", "Äpfel", "apple", "subject 500", "straße", ""};
    Casework__Cases__V1__ImportConversationsRequest *items[ALL];
    size_t count = 0;
    for (int i = from; i <= to; i++) {
        char id[32];
        snprintf(id, sizeof id, "c%d", i);
        items[count] = case_server_conversation(&server, "acme", id, subjects[i % 7], messages[i % 5],
                                                CASE_SERVER_START_US - (i * 7919 % 1997) * CLOCK_MINUTE -
                                                    4 * CLOCK_MINUTE);
        if (i % 5 == 1)
            items[count]->conversation->status = (Casework__Cases__V1__CaseStatus)(2 + i / 5 % 3);
        count++;
    }
    cr_assert_eq(case_server_import(&server, items, count)->conversations_imported, count);
}

static void step(const char *method, const void *request, const char *agent)
{
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *response;
    error err;
    bool is_message = strcmp(method, "AddMessage") == 0;
    cr_assert(rpc_client_call(server.channel,
                              is_message ? &casework__cases__v1__message_service__descriptor : CASES, method,
                              request, &options, server.memory, &response, &err),
              "%s: %s", method, err.message);
}

/* Bert's case, in which Anna writes too. */
static void involve_anna(int number)
{
    Casework__Cases__V1__AssignCaseRequest assign = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    Casework__Cases__V1__AddMessageRequest write = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    assign.name = arena_printf(server.memory, "accounts/acme/cases/%d", number);
    assign.owner = (char *)(uintptr_t) "accounts/acme/agents/bert";
    step("AssignCase", &assign, NULL);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    message.body = (char *)(uintptr_t) "I help";
    write.parent = assign.name;
    write.message = &message;
    step("AddMessage", &write, "anna");
}

static void setup(void)
{
    case_server_start(&server);
    case_server_account(&server, "acme");
    create_agent("anna");
    create_agent("bert");
    import_range(1, QUIET);
    import_range(QUIET + 1, ALL);
    for (int i = 2; i <= QUIET; i += 20)
        involve_anna(i);
    for (int i = QUIET + 2; i <= ALL; i += 10)
        involve_anna(i);
    for (int i = 1; i <= QUIET; i += 9) {
        Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        request.name = arena_printf(server.memory, "accounts/acme/cases/%d", i);
        case_server_call(&server, CASES, "DeleteCase", &request);
    }
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_walk, .init = setup, .fini = teardown, .timeout = 300);

/* The quiet cases of a walk, in the order in which they came. */
struct walk {
    long numbers[2 * QUIET];
    size_t count, pages;
};

static void walk(int folder, const char *order, struct walk *ret_walk)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    request.folder = (Casework__Cases__V1__Folder)folder;
    request.order_by = (char *)(uintptr_t)order;
    request.page_size = PAGE;
    char token[2048] = "";
    ret_walk->count = ret_walk->pages = 0;
    do {
        request.page_token = token;
        Casework__Cases__V1__ListCasesResponse *page =
            case_server_call(&server, CASES, "ListCases", &request);
        ret_walk->pages++;
        for (size_t i = 0; i < page->n_cases; i++) {
            long number = strtol(strrchr(page->cases[i]->name, '/') + 1, NULL, 10);
            if (number > QUIET)
                continue;
            cr_assert_lt(ret_walk->count, (size_t)(2 * QUIET), "folder %d by %s", folder, order);
            ret_walk->numbers[ret_walk->count++] = number;
        }
        cr_assert_lt(strlen(page->next_page_token), sizeof token);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        arena_clear(server.memory);
    } while (*token);
}

static void compare(const struct walk *still, const struct walk *moving, int folder, const char *order)
{
    for (size_t i = 0; i < still->count && i < moving->count; i++)
        cr_assert_eq(moving->numbers[i], still->numbers[i], "folder %d by %s: case %ld instead of %ld",
                     folder, order, moving->numbers[i], still->numbers[i]);
    cr_assert_eq(moving->count, still->count, "folder %d by %s: %zu of %zu", folder, order, moving->count,
                 still->count);
}

Test(case_walk, no_unchanged_case_is_skipped_or_repeated)
{
    static const char *const orders[] = {"update_time",  "update_time desc", "subject",
                                         "subject desc", "status",           "status desc"};
    enum { ORDERS = sizeof orders / sizeof orders[0] };
    static struct walk still[FOLDERS + 1][ORDERS], moving;
    size_t quiet_seen = 0;
    for (int folder = 1; folder <= FOLDERS; folder++) {
        for (int order = 0; order < ORDERS; order++) {
            walk(folder, orders[order], &still[folder][order]);
            quiet_seen += still[folder][order].count;
        }
        /* Nobody closes cases here. */
        cr_assert(still[folder][0].count > 2 || folder == CASEWORK__CASES__V1__FOLDER__FOLDER_CLOSED,
                  "folder %d: too few to tell", folder);
    }
    const struct churn_options options = {.channels = {server.channel},
                                          .account = "acme",
                                          .first_case = QUIET + 1,
                                          .last_case = ALL,
                                          .creates = true,
                                          .in_flight = 32,
                                          .a_second = CHANGES_A_SECOND,
                                          .seed = 7};
    int64_t begun = clock_monotonic_us();
    churn *changes = churn_start(&options);
    int walks = 0;
    do {
        for (int folder = 1; folder <= FOLDERS; folder++) {
            for (int order = 0; order < ORDERS; order++, walks++) {
                walk(folder, orders[order], &moving);
                compare(&still[folder][order], &moving, folder, orders[order]);
            }
        }
    } while (churn_count(changes) < CHANGES);
    int64_t took = clock_monotonic_us() - begun, done = churn_stop(changes);
    cr_assert_gt(case_server_check_involved(&server), (ALL - QUIET) / 10);
    fprintf(stderr, "%d walks beside %lld changes, %lld a second\n", walks, (long long)done,
            (long long)(done * CLOCK_SECOND / took));
    cr_assert_gt(quiet_seen, QUIET * ORDERS);
}
