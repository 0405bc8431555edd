/*
 * Where a customer's message goes when the same batch has changed that just before: what the database says
 * when the batch begins is no longer true when the message's turn comes.
 */

#include "tests/support/together.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_ways, .init = setup, .fini = teardown, .timeout = 120);

/* --- several calls that become one batch -------------------------------------------------------------------
 */

static struct {
    char routed[64]; /* the case that the message went to */
    int64_t routed_at, changed_at;
} landed;

static void land_message(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    const Casework__Cases__V1__ReceiveMessageResponse *answer = (const void *)response;
    if (answer == NULL) {
        fprintf(stderr, "%s %s\n", err->reason, err->message);
        return;
    }
    snprintf(landed.routed, sizeof landed.routed, "%s", answer->case_->name);
    landed.routed_at = answer->position;
}

static void land_change(void *method, const ProtobufCMessage *response, const error *err)
{
    if (response == NULL)
        fprintf(stderr, "%s %s\n", err->reason, err->message);
    else if (strcmp(method, "UnmergeCases") == 0)
        landed.changed_at =
            ((const Casework__Cases__V1__UnmergeCasesResponse *)(const void *)response)->position;
    else /* DeleteCase and UndeleteCase are answered alike */
        landed.changed_at =
            ((const Casework__Cases__V1__DeleteCaseResponse *)(const void *)response)->position;
}

/* The call, and right behind it the sender's message; where that went. */
static const char *route_behind(const char *method, const void *request, const char *sender,
                                const char *other)
{
    Casework__Cases__V1__ReceiveMessageRequest message = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    struct together calls;
    static int number;
    message.parent = desk_text("accounts/acme/channels/desk");
    message.sender_address = desk_text(sender);
    message.external_id = arena_printf(server.memory, "behind-%d", ++number);
    message.body = desk_text("behind");
    landed.routed[0] = '\0';
    landed.routed_at = landed.changed_at = 0;
    together_begin(&calls, &server, other);
    together_add(&calls, "anna", DESK_CASES, method, request, land_change, desk_text(method));
    together_add(&calls, NULL, DESK_CONNECTORS, "ReceiveMessage", &message, land_message, NULL);
    together_run(&calls);
    cr_assert_lt(landed.changed_at, landed.routed_at, "they came in another order");
    return landed.routed;
}

/* --- cases -------------------------------------------------------------------------------------------------
 */

static const char *receive(const char *sender)
{
    static int number;
    const char *id = arena_printf(server.memory, "m%d", ++number);
    return desk_receive(&server, "desk", sender, id, id)->case_->name;
}

/* One more case of the sender, who has others that live. */
static const char *another_case(const char *sender, const char *before)
{
    desk_step(&server, "anna", "DeleteCase", before);
    const char *name = receive(sender);
    desk_step(&server, "anna", "UndeleteCase", before);
    return name;
}

static void merge(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    desk_call(&server, "anna", DESK_CASES, "MergeCases", &request);
}

static const char *of_round(const char *who, int round)
{
    return arena_printf(server.memory, "%s-%d", who, round);
}

Test(case_ways, behind_a_deletion_the_next_newest_case_takes_the_message)
{
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round);
        const char *first = receive(carl), *second = another_case(carl, first);
        Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        delete.name = desk_text(second);
        const char *routed = route_behind("DeleteCase", &delete, carl, receive(of_round("dora", round)));
        cr_assert_str_eq(routed, first);
    }
}

Test(case_ways, behind_the_deletion_of_what_all_newer_ones_were_merged_into)
{
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *target = receive(of_round("emil", round));
        const char *first = receive(carl), *second = another_case(carl, first);
        desk_step(&server, "anna", "DeleteCase", first);
        const char *third = another_case(carl, second);
        desk_step(&server, "anna", "UndeleteCase", first);
        merge(second, target);
        merge(third, target);
        Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        delete.name = desk_text(target);
        const char *routed = route_behind("DeleteCase", &delete, carl, receive(of_round("dora", round)));
        cr_assert_str_eq(routed, first);
    }
}

Test(case_ways, behind_an_undeletion_a_merged_case_leads_to_its_target_again)
{
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *target = receive(of_round("emil", round));
        const char *first = receive(carl), *second = another_case(carl, first);
        merge(second, target);
        desk_step(&server, "anna", "DeleteCase", target);
        Casework__Cases__V1__UndeleteCaseRequest undelete = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
        undelete.name = desk_text(target);
        const char *routed = route_behind("UndeleteCase", &undelete, carl, receive(of_round("dora", round)));
        cr_assert_str_eq(routed, target);
    }
}

Test(case_ways, behind_the_undoing_of_a_merge_the_chain_ends_where_it_was_cut)
{
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *own = receive(carl);
        const char *between = receive(of_round("fred", round)), *middle = receive(of_round("gina", round)),
                   *end = receive(of_round("emil", round));
        merge(own, between);
        merge(between, middle);
        merge(middle, end);
        Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
        undo.name = desk_text(middle);
        const char *routed = route_behind("UnmergeCases", &undo, carl, receive(of_round("dora", round)));
        cr_assert_str_eq(routed, middle);
    }
}
