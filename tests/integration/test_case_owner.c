/* Who owns a case, who helps with it, and when it was opened, as the books have it. */

#include "base/clock.h"
#include "tests/support/together.h"

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

TestSuite(case_owner, .init = setup, .fini = teardown, .timeout = 120);

static Casework__Cases__V1__Case *assign(const char *name, const char *agent)
{
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    request.owner = *agent ? arena_printf(server.memory, "accounts/acme/agents/%s", agent) : desk_text("");
    Casework__Cases__V1__AssignCaseResponse *response =
        desk_call(&server, "", DESK_CASES, "AssignCase", &request);
    return response->case_;
}

static Casework__Cases__V1__BatchUpdateCasesResponse *assign_many(char **names, size_t count,
                                                                  const char *agent)
{
    Casework__Cases__V1__BatchUpdateCasesRequest request =
        CASEWORK__CASES__V1__BATCH_UPDATE_CASES_REQUEST__INIT;
    Casework__Cases__V1__CaseChange change = CASEWORK__CASES__V1__CASE_CHANGE__INIT;
    Casework__Cases__V1__CaseChange__Assignment assignment =
        CASEWORK__CASES__V1__CASE_CHANGE__ASSIGNMENT__INIT;
    request.parent = desk_text("accounts/acme");
    request.names = names;
    request.n_names = count;
    request.change = &change;
    change.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ASSIGN;
    change.assign = &assignment;
    assignment.owner = arena_printf(server.memory, "accounts/acme/agents/%s", agent);
    return desk_call(&server, "", DESK_CASES, "BatchUpdateCases", &request);
}

/* "anna bob" */
static char *involved(const Casework__Cases__V1__Case *record)
{
    char *list = arena_strdup(server.memory, "");
    for (size_t i = 0; i < record->n_involved_agents; i++)
        list = arena_printf(server.memory, "%s%s%s", list, i > 0 ? " " : "",
                            strrchr(record->involved_agents[i], '/') + 1);
    return list;
}

static const char *new_case(const char *external_id)
{
    return desk_receive(&server, "desk", external_id, external_id, "hello")->case_->name;
}

Test(case_owner, a_former_owner_who_has_replied_stays_involved)
{
    const char *quiet = new_case("e1"), *name = new_case("e2");
    desk_step(&server, "anna", "OpenCase", quiet);
    cr_expect_str_eq(involved(assign(quiet, "bob")), "", "anna has done nothing but look");
    desk_add(&server, "anna", name, 2, "one");
    cr_expect_str_eq(involved(assign(name, "bob")), "anna");
    cr_expect_str_eq(involved(assign(name, "")), "anna", "bob has not replied");
    desk_add(&server, "bob", name, 2, "two");
    cr_expect_str_eq(involved(assign(name, "anna")), "bob");
    cr_expect_str_eq(involved(assign(name, "bob")), "anna");

    Casework__Cases__V1__ListCasesRequest list = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    list.parent = desk_text("accounts/acme");
    list.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_INVOLVED;
    list.agent = desk_text("accounts/acme/agents/anna");
    Casework__Cases__V1__ListCasesResponse *listed = desk_call(&server, "", DESK_CASES, "ListCases", &list);
    cr_assert_eq(listed->n_cases, 1);
    cr_expect_str_eq(listed->cases[0]->name, name);
}

Test(case_owner, a_former_owner_who_got_something_stays_involved)
{
    const char *name = new_case("e1"), *other = new_case("e2");
    const char *message = arena_printf(server.memory, "%s/messages/1", other);
    desk_call(&server, "anna", DESK_CASES, "ForwardCase",
              desk_forward_case(&server, name, "accounts/acme/agents/bob", NULL, ""));
    cr_expect_str_eq(involved(assign(name, "")), "anna bob");
    assign(other, "bob");
    desk_call(&server, "anna", DESK_MESSAGES, "ForwardMessage",
              desk_forward_message(&server, message, "accounts/acme/agents/bob", NULL, ""));
    cr_expect_str_eq(involved(assign(other, "anna")), "bob");
    cr_expect_str_eq(involved(assign(other, "")), "bob", "anna got nothing");
}

Test(case_owner, in_a_batch_of_changes_too)
{
    char *names[] = {desk_text(new_case("e1")), desk_text(new_case("e2"))};
    desk_add(&server, "anna", names[0], 2, "one");
    desk_step(&server, "anna", "OpenCase", names[1]);
    Casework__Cases__V1__BatchUpdateCasesResponse *done = assign_many(names, 2, "bob");
    cr_expect_str_eq(involved(done->results[0]->case_), "anna");
    cr_expect_str_eq(involved(done->results[1]->case_), "");
    cr_expect_str_eq(involved(desk_case(&server, names[0])), "anna");
}

/* What the merge brings is not stored yet when somebody else is assigned. */
Test(case_owner, in_the_batch_of_a_merge)
{
    const char *target = new_case("e1"), *source = new_case("e2"), *ahead = new_case("e3");
    desk_step(&server, "anna", "OpenCase", target);
    desk_add(&server, "bob", source, 2, "bob's answer");
    desk_add(&server, "anna", source, 2, "anna's answer, before the two became one");
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__AssignCaseRequest first = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT,
                                           second = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    merge.source = desk_text(source);
    merge.target = first.name = second.name = desk_text(target);
    first.owner = desk_text("accounts/acme/agents/bob");
    second.owner = desk_text("");
    struct together calls;
    together_begin(&calls, &server, ahead);
    together_add(&calls, NULL, DESK_CASES, "MergeCases", &merge, NULL, NULL);
    together_add(&calls, NULL, DESK_CASES, "AssignCase", &first, NULL, NULL);
    together_add(&calls, NULL, DESK_CASES, "AssignCase", &second, NULL, NULL);
    together_run(&calls);
    const Casework__Cases__V1__Case *merged = desk_case(&server, target);
    cr_expect_str_eq(merged->owner, "");
    cr_expect_str_eq(involved(merged), "anna bob", "both have answered");
    cr_expect_eq(merged->message_count, 4);
}

/* What the merge has brought is still stored when somebody else is assigned. */
Test(case_owner, in_the_batch_that_undoes_a_merge)
{
    const char *target = new_case("e1"), *source = new_case("e2"), *ahead = new_case("e3");
    desk_add(&server, "anna", source, 2, "an answer");
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    merge.source = undo.name = desk_text(source);
    merge.target = request.name = desk_text(target);
    request.owner = desk_text("accounts/acme/agents/bob");
    desk_call(&server, "", DESK_CASES, "MergeCases", &merge);
    assign(target, "anna");
    struct together calls;
    together_begin(&calls, &server, ahead);
    together_add(&calls, NULL, DESK_CASES, "UnmergeCases", &undo, NULL, NULL);
    together_add(&calls, NULL, DESK_CASES, "AssignCase", &request, NULL, NULL);
    together_run(&calls);
    const Casework__Cases__V1__Case *left = desk_case(&server, target);
    cr_expect_str_eq(left->owner, request.owner);
    cr_expect_str_eq(involved(left), "", "anna has answered in the source only");
    cr_expect_eq(left->message_count, 1);
}

/* The other way round: whom the source gets goes along into the target. */
Test(case_owner, in_the_batch_before_a_merge)
{
    const char *target = new_case("e1"), *source = new_case("e2"), *ahead = new_case("e3");
    desk_add(&server, "anna", source, 2, "an answer");
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    merge.target = desk_text(target);
    merge.source = request.name = desk_text(source);
    request.owner = desk_text("accounts/acme/agents/bob");
    struct together calls;
    together_begin(&calls, &server, ahead);
    together_add(&calls, NULL, DESK_CASES, "AssignCase", &request, NULL, NULL);
    together_add(&calls, NULL, DESK_CASES, "MergeCases", &merge, NULL, NULL);
    together_run(&calls);
    cr_expect_str_eq(involved(desk_case(&server, target)), "bob anna");
    cr_expect_str_eq(involved(desk_case(&server, source)), "anna");
    cr_expect_str_eq(desk_case(&server, source)->owner, request.owner);
}

/* What a service has moved on is no longer new, so it has been opened. */
Test(case_owner, a_case_that_is_new_no_more_is_recent)
{
    const char *name = new_case("e1"), *other = new_case("e2");
    desk_step(&server, "", "DeleteCase", other);
    Casework__Cases__V1__Case *pending = desk_step(&server, "", "MarkCasePending", name);
    cr_assert_not_null(pending->open_time);
    cr_expect_str_eq(pending->owner, "");
    Casework__Cases__V1__ListCasesRequest list = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    list.parent = desk_text("accounts/acme");
    list.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_RECENT;
    Casework__Cases__V1__ListCasesResponse *recent = desk_call(&server, "", DESK_CASES, "ListCases", &list);
    cr_assert_eq(recent->n_cases, 1);
    cr_expect_str_eq(recent->cases[0]->name, name);
    Casework__Cases__V1__CountCasesRequest count = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    count.parent = desk_text("accounts/acme");
    Casework__Cases__V1__CountCasesResponse *counts =
        desk_call(&server, "", DESK_CASES, "CountCases", &count);
    for (size_t i = 0; i < counts->n_counts; i++) {
        if (counts->counts[i]->folder == CASEWORK__CASES__V1__FOLDER__FOLDER_RECENT)
            cr_expect_eq((int)counts->counts[i]->count, 1);
    }
}

/* The owner of an imported case is the agent who replied first, not who imports. */
Test(case_owner, who_imports_takes_no_part)
{
    static const Casework__Cases__V1__CaseStatus statuses[] = {
        CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN,
        CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_PENDING,
        CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED};
    enum { COUNT = sizeof statuses / sizeof statuses[0] };
    Casework__Cases__V1__ImportConversationsRequest *items[COUNT];
    desk_hire_boss(&server);
    for (int i = 0; i < COUNT; i++) {
        items[i] = case_server_conversation(&server, "acme", arena_printf(server.memory, "own%d", i),
                                            "subject", "c", CASE_SERVER_START_US - CLOCK_DAY);
        items[i]->conversation->status = statuses[i];
    }
    Casework__Cases__V1__ImportConversationsResponse *done =
        case_server_import_for(&server, "boss", items, COUNT);
    cr_assert_eq(done->conversations_imported, COUNT, "%s",
                 done->n_refusals > 0 ? done->refusals[0]->message : "");
    for (int i = 0; i < COUNT; i++) {
        const Casework__Cases__V1__Case *imported =
            desk_case(&server, arena_printf(server.memory, "accounts/acme/cases/%d", i + 1));
        cr_assert_eq(imported->status, statuses[i]);
        cr_assert_str_empty(imported->owner);
        cr_assert_eq(imported->n_involved_agents, 0);
    }
}
