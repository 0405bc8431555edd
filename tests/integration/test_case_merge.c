/* Merging cases on a real PostgreSQL: conversations, ways of messages, what readers and followers see. */

#include "base/clock.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

#define EVENTS (&casework__cases__v1__event_service__descriptor)

typedef Casework__Cases__V1__Case case_;
typedef Casework__Cases__V1__Message message;
typedef Casework__Cases__V1__ListMessagesResponse message_list;

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_check_involved(&server);
    case_server_stop(&server);
}

TestSuite(case_merge, .init = setup, .fini = teardown, .timeout = 120);

/* --- words for what the tests do --------------------------------------------------------------------------
 */

static const char *receive(const char *sender, const char *external_id, const char *body)
{
    return desk_receive(&server, "desk", sender, external_id, body)->case_->name;
}

static Casework__Cases__V1__MergeCasesRequest merge_request(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    return request;
}

static Casework__Cases__V1__MergeCasesResponse *merge(const char *agent, const char *source,
                                                      const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = merge_request(source, target);
    return desk_call(&server, agent, DESK_CASES, "MergeCases", &request);
}

static Casework__Cases__V1__UnmergeCasesResponse *unmerge(const char *agent, const char *source)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    request.name = desk_text(source);
    return desk_call(&server, agent, DESK_CASES, "UnmergeCases", &request);
}

static message_list *list(const char *name, int view, int page_size, const char *token)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = desk_text(name);
    request.view = (Casework__Cases__V1__MessageView)view;
    request.page_size = page_size;
    request.page_token = desk_text(token);
    return desk_call(&server, "", DESK_MESSAGES, "ListMessages", &request);
}

/* "3:b 1:a": numbers and bodies, in the order of the answer. */
static const char *told(const message_list *messages)
{
    const char *line = "";
    for (size_t i = 0; i < messages->n_messages; i++)
        line = arena_printf(server.memory, "%s%s%d:%s", line, *line ? " " : "", messages->messages[i]->number,
                            messages->messages[i]->body);
    return line;
}

static const char *conversation(const char *name)
{
    return told(list(name, 0, 1000, ""));
}

/* Two cases of two contacts, written in by turns a minute apart: "a1 b1 a2 b2", and a reply in the first. */
static void two_cases(const char **ret_first, const char **ret_second)
{
    *ret_first = receive("carl", "a1", "a1");
    case_server_advance(&server, CLOCK_MINUTE);
    *ret_second = receive("dora", "b1", "b1");
    case_server_advance(&server, CLOCK_MINUTE);
    receive("carl", "a2", "a2");
    case_server_advance(&server, CLOCK_MINUTE);
    receive("dora", "b2", "b2");
    case_server_advance(&server, CLOCK_MINUTE);
    desk_add(&server, "anna", *ret_first, 2, "reply");
    case_server_advance(&server, CLOCK_MINUTE);
}

/* --- merging ----------------------------------------------------------------------------------------------
 */

Test(case_merge, the_sources_messages_join_the_targets_conversation)
{
    const char *source, *target;
    two_cases(&source, &target);
    case_ *before = desk_case(&server, source);
    Casework__Cases__V1__MergeCasesResponse *merged = merge("bob", source, target);
    cr_assert_str_eq(merged->source->merged_into, target);
    cr_assert_str_eq(merged->case_->name, target);
    cr_assert_eq(merged->case_->message_count, 5);
    cr_assert_str_eq(conversation(target), "3:a1 1:b1 4:a2 2:b2 5:reply");
    message_list *messages = list(target, 0, 0, "");
    cr_assert_str_eq(messages->messages[0]->merged_from, source);
    cr_assert_str_eq(messages->messages[0]->external_id, "a1");
    cr_assert_str_eq(messages->messages[1]->merged_from, "");
    case_ *after = desk_case(&server, target);
    cr_assert_not(after->need_reply, "the reply is the last by time");
    cr_assert_eq(after->n_involved_agents, 1);
    cr_assert_str_eq(after->involved_agents[0], "accounts/acme/agents/anna");
    cr_assert_str_eq(after->owner, "accounts/acme/agents/bob");
    /* Links to the source and to its messages stay good. */
    cr_assert_str_eq(conversation(source), "1:a1 2:a2 3:reply");
    cr_assert_eq(desk_case(&server, source)->status, before->status);
    cr_assert_str_eq(desk_case(&server, source)->owner, before->owner);
}

Test(case_merge, pages_walk_the_merged_conversation_by_time_in_both_views)
{
    const char *source, *target;
    two_cases(&source, &target);
    desk_add(&server, "anna", source, 3, "note");
    merge("", source, target);
    for (int view = 0; view <= 2; view += 2) {
        const char *token = "", *line = "";
        do {
            message_list *page = list(target, view, 2, token);
            cr_assert_leq(page->n_messages, 2);
            line = arena_printf(server.memory, "%s %s", line, told(page));
            token = page->next_page_token;
        } while (*token);
        cr_assert_str_eq(line,
                         view == 2 ? " 3:a1 1:b1 4:a2 2:b2 5:reply" : " 3:a1 1:b1 4:a2 2:b2 5:reply 6:note");
    }
}

Test(case_merge, a_walk_that_has_begun_keeps_its_order)
{
    const char *source, *target;
    two_cases(&source, &target);
    message_list *first = list(target, 0, 1, "");
    cr_assert_str_eq(told(first), "1:b1");
    merge("", source, target);
    cr_assert_str_eq(told(list(target, 0, 1, first->next_page_token)), "2:b2");
    first = list(target, 0, 1, "");
    cr_assert_str_eq(told(first), "3:a1");
    unmerge("", source);
    cr_assert_str_eq(told(list(target, 0, 1, first->next_page_token)), "1:b1");
}

Test(case_merge, the_source_takes_nothing_more_and_says_where_it_went)
{
    const char *source, *target;
    two_cases(&source, &target);
    merge("anna", source, target);
    Casework__Cases__V1__AddMessageRequest add = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message given = CASEWORK__CASES__V1__MESSAGE__INIT;
    add.parent = desk_text(source);
    add.message = &given;
    given.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    given.body = desk_text("late");
    error err = desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", &add);
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "CASE_MERGED");
    cr_assert_str_eq(err.info[0].key, "target");
    cr_assert_str_eq(err.info[0].value, target);
    given.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    cr_assert_str_eq(desk_fail(&server, "", DESK_MESSAGES, "AddMessage", &add).reason, "CASE_MERGED");
    const char *methods[] = {"ResolveCase", "MarkCasePending", "ReopenCase", "DeleteCase", "UndeleteCase"};
    Casework__Cases__V1__ResolveCaseRequest change = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    Casework__Cases__V1__MarkCasePendingRequest pending =
        CASEWORK__CASES__V1__MARK_CASE_PENDING_REQUEST__INIT;
    Casework__Cases__V1__ReopenCaseRequest reopen = CASEWORK__CASES__V1__REOPEN_CASE_REQUEST__INIT;
    Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    Casework__Cases__V1__UndeleteCaseRequest undelete = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
    change.name = pending.name = reopen.name = delete.name = undelete.name = desk_text(source);
    const void *requests[] = {&change, &pending, &reopen, &delete, &undelete};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, methods[i], requests[i]).reason,
                         "CASE_MERGED");
    /* Merged again: into the same, nothing; into another, refused; into a merged one, too. */
    case_ *before = desk_case(&server, target);
    cr_assert_eq(merge("anna", source, target)->case_->version, before->version);
    const char *third = receive("emil", "c1", "c1");
    Casework__Cases__V1__MergeCasesRequest elsewhere = merge_request(source, third);
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &elsewhere).reason, "CASE_MERGED");
    elsewhere = merge_request(third, source);
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &elsewhere).reason, "CASE_MERGED");
    elsewhere = merge_request(target, source);
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &elsewhere).reason, "CASE_MERGED",
                     "no circles");
}

Test(case_merge, bad_requests_change_nothing)
{
    const char *source, *target;
    two_cases(&source, &target);
    Casework__Cases__V1__MergeCasesRequest request = merge_request(source, source);
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).code,
                 STATUS_INVALID_ARGUMENT);
    request = merge_request(source, "accounts/acme/cases/999");
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).code, STATUS_NOT_FOUND);
    request = merge_request(source, "accounts/other/cases/1");
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).code, STATUS_NOT_FOUND);
    request = merge_request(source, "accounts/acme/cases/x");
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).reason, "NOT_A_NUMBER");
    request = merge_request(source, target);
    request.target_etag = desk_text("1");
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).reason, "ETAG_MISMATCH");
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = desk_text(source);
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "UnmergeCases", &undo).reason, "NOT_MERGED");
    cr_assert_str_eq(desk_case(&server, source)->merged_into, "");
    cr_assert_str_eq(conversation(target), "1:b1 2:b2");
}

Test(case_merge, a_merged_case_is_in_no_folder)
{
    const char *source, *target;
    two_cases(&source, &target);
    merge("anna", source, target);
    for (int folder = 1; folder <= 12; folder++) {
        Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
        request.parent = desk_text("accounts/acme");
        request.folder = (Casework__Cases__V1__Folder)folder;
        Casework__Cases__V1__ListCasesResponse *found =
            desk_call(&server, "anna", DESK_CASES, "ListCases", &request);
        for (size_t i = 0; i < found->n_cases; i++)
            cr_assert_str_eq(found->cases[i]->name, target, "folder %d", folder);
    }
    Casework__Cases__V1__CountCasesRequest count = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    count.parent = desk_text("accounts/acme");
    Casework__Cases__V1__CountCasesResponse *counts =
        desk_call(&server, "anna", DESK_CASES, "CountCases", &count);
    for (size_t i = 0; i < counts->n_counts; i++)
        cr_assert_leq(counts->counts[i]->count, 1, "folder %d", (int)counts->counts[i]->folder);
    unmerge("anna", source);
    counts = desk_call(&server, "anna", DESK_CASES, "CountCases", &count);
    cr_assert_eq(counts->counts[0]->count, 2);
}

/* --- the way of the customer's messages -------------------------------------------------------------------
 */

Test(case_merge, what_the_customer_writes_then_goes_to_the_target)
{
    const char *first, *second, *third = receive("emil", "c1", "c1");
    two_cases(&first, &second);
    merge("anna", first, second);
    /* Whoever it goes to, it is by who has sent it. */
    const Casework__Cases__V1__ReceiveMessageResponse *known =
        desk_receive(&server, "desk", "carl", "a1", "a1");
    const Casework__Cases__V1__ReceiveMessageResponse *routed =
        desk_receive(&server, "desk", "carl", "a3", "a3");
    cr_assert_str_eq(routed->case_->name, second);
    cr_assert_str_eq(routed->message->author, known->message->author);
    cr_assert_str_neq(routed->message->author, routed->case_->contact);
    merge("anna", second, third);
    cr_assert_str_eq(receive("carl", "a4", "a4"), third, "along the chain");
    cr_assert_str_eq(receive("dora", "b3", "b3"), third);
    cr_assert_str_eq(receive("carl", "a1", "a1"), first,
                     "an external id is answered with its message, for ever");
    /* A deleted conversation is none: the next message begins a new case. */
    Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    delete.name = desk_text(third);
    desk_call(&server, "anna", DESK_CASES, "DeleteCase", &delete);
    const char *fourth = receive("carl", "a5", "a5");
    cr_assert_str_neq(fourth, third);
    cr_assert_str_eq(receive("carl", "a6", "a6"), fourth);
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = desk_text(second);
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "UnmergeCases", &undo).reason, "CASE_DELETED");
}

Test(case_merge, what_comes_by_another_channel_than_the_targets_comes_once)
{
    const Casework__Cases__V1__ReceiveMessageResponse *mail =
        desk_receive(&server, "mail", "carl@example.net", "m1", "m1");
    const char *chat = receive("carl", "m2", "m2");
    merge("anna", mail->case_->name, chat);
    const Casework__Cases__V1__ReceiveMessageResponse *first =
        desk_receive(&server, "mail", "carl@example.net", "m3", "m3");
    cr_assert_str_eq(first->case_->name, chat);
    const Casework__Cases__V1__ReceiveMessageResponse *again =
        desk_receive(&server, "mail", "carl@example.net", "m3", "m3");
    cr_assert_str_eq(again->message->name, first->message->name);
    cr_assert_eq(again->position, first->position);
    /* The chat has external ids of its own, and so has the mail. */
    cr_assert_str_eq(receive("carl", "m3", "another"), chat);
    const Casework__Cases__V1__ReceiveMessageResponse *other =
        desk_receive(&server, "mail", "carl@example.net", "m2", "one more");
    cr_assert_str_eq(other->message->body, "one more");
    cr_assert_eq(desk_case(&server, chat)->message_count, 5);
}

/* --- undoing ----------------------------------------------------------------------------------------------
 */

Test(case_merge, undoing_restores_both_and_leaves_what_came_later)
{
    const char *source, *target;
    two_cases(&source, &target);
    case_ *source_before = desk_case(&server, source), *target_before = desk_case(&server, target);
    merge("", source, target);
    receive("carl", "a3", "a3");
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    resolve.name = desk_text(target);
    desk_call(&server, "bob", DESK_CASES, "ResolveCase", &resolve);
    Casework__Cases__V1__UnmergeCasesResponse *undone = unmerge("bob", source);
    cr_assert_str_eq(undone->source->name, source);
    cr_assert_str_eq(undone->case_->name, target);
    cr_assert_str_eq(undone->source->merged_into, "");
    cr_assert_str_eq(conversation(source), "1:a1 2:a2 3:reply");
    cr_assert_str_eq(conversation(target), "1:b1 2:b2 6:a3");
    case_ *after = desk_case(&server, target);
    cr_assert_eq(after->message_count, 3);
    cr_assert_eq(after->n_involved_agents, 0);
    cr_assert(after->need_reply);
    cr_assert_eq(after->first_reply_time, NULL);
    cr_assert_gt(after->version, target_before->version);
    after = desk_case(&server, source);
    cr_assert_eq(after->status, source_before->status);
    cr_assert_str_eq(after->owner, source_before->owner);
    cr_assert_eq(after->message_count, source_before->message_count);
    cr_assert_eq(after->need_reply, source_before->need_reply);
    cr_assert_eq(after->open_time->seconds, source_before->open_time->seconds);
    cr_assert_eq(list(source, 0, 0, "")->messages[0]->state,
                 CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_RESPONDED, "not closed with the target's");
    /* Both go on with the next number. */
    cr_assert_eq(desk_add(&server, "bob", target, 2, "x")->number, 7);
    cr_assert_eq(desk_add(&server, "anna", source, 2, "y")->number, 4);
}

Test(case_merge, merged_and_undone_again_and_again)
{
    const char *source, *target;
    two_cases(&source, &target);
    for (int i = 0; i < 3; i++) {
        merge("", source, target);
        cr_assert_str_eq(conversation(target), "3:a1 1:b1 4:a2 2:b2 5:reply");
        unmerge("", source);
        cr_assert_str_eq(conversation(target), "1:b1 2:b2");
        cr_assert_str_eq(conversation(source), "1:a1 2:a2 3:reply");
        cr_assert_eq(desk_case(&server, target)->message_count, 2);
    }
    merge("", target, source);
    cr_assert_str_eq(conversation(source), "1:a1 4:b1 2:a2 5:b2 3:reply");
}

Test(case_merge, the_states_of_joined_messages_follow_the_target)
{
    const char *source = receive("carl", "a1", "a1"), *target = receive("dora", "b1", "b1");
    merge("anna", source, target);
    message_list *messages = list(target, 0, 0, "");
    cr_assert_eq(messages->messages[1]->state, CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_ASSIGNED);
    desk_add(&server, "anna", target, 2, "to both");
    messages = list(target, 0, 0, "");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(messages->messages[i]->state,
                     CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_RESPONDED);
    Casework__Cases__V1__SetMessageStateRequest set = CASEWORK__CASES__V1__SET_MESSAGE_STATE_REQUEST__INIT;
    set.name = arena_printf(server.memory, "%s/messages/2", target);
    set.state = CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_CLOSED;
    Casework__Cases__V1__SetMessageStateResponse *answer =
        desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", &set);
    cr_assert_str_eq(answer->message->body, "a1");
    unmerge("anna", source);
    cr_assert_eq(list(source, 0, 0, "")->messages[0]->state,
                 CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_ASSIGNED);
    cr_assert_eq(desk_case(&server, source)->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
}

Test(case_merge, a_chain_is_undone_from_its_end)
{
    const char *first, *second, *third = receive("emil", "c1", "c1");
    two_cases(&first, &second);
    merge("", first, second);
    merge("", second, third);
    cr_assert_eq(desk_case(&server, third)->message_count, 6);
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    undo.name = desk_text(first);
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "UnmergeCases", &undo).reason, "CASE_MERGED");
    unmerge("", second);
    cr_assert_str_eq(conversation(third), "1:c1");
    cr_assert_str_eq(conversation(second), "3:a1 1:b1 4:a2 2:b2 5:reply");
    unmerge("", first);
    cr_assert_str_eq(conversation(second), "1:b1 2:b2");
    cr_assert_str_eq(conversation(first), "1:a1 2:a2 3:reply");
}

Test(case_merge, the_same_request_again_is_answered_and_does_nothing)
{
    const char *source, *target;
    two_cases(&source, &target);
    Casework__Cases__V1__MergeCasesRequest request = merge_request(source, target);
    request.request_id = desk_text("m1");
    Casework__Cases__V1__MergeCasesResponse *first =
        desk_call(&server, "anna", DESK_CASES, "MergeCases", &request);
    unmerge("anna", source);
    Casework__Cases__V1__MergeCasesResponse *again =
        desk_call(&server, "anna", DESK_CASES, "MergeCases", &request);
    cr_assert_eq(again->position, first->position);
    cr_assert_str_eq(again->case_->name, target);
    cr_assert_str_eq(again->source->name, source);
    cr_assert_str_eq(again->source->merged_into, "", "as it is now");
    request.target_etag = desk_text("77");
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &request).reason,
                     "REQUEST_ID_REUSED");
}

/* --- what followers read ----------------------------------------------------------------------------------
 */

static Casework__Cases__V1__ListCaseEventsResponse *history(const char *name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    return desk_call(&server, "", DESK_CASES, "ListCaseEvents", &request);
}

static const Casework__Cases__V1__Event *last_event(const char *name)
{
    Casework__Cases__V1__ListCaseEventsResponse *events = history(name);
    return events->events[events->n_events - 1];
}

Test(case_merge, both_histories_tell_of_the_merge)
{
    const char *source, *target;
    two_cases(&source, &target);
    merge("bob", source, target);
    const Casework__Cases__V1__Event *event = last_event(source);
    cr_assert_eq(event->kind, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASES_MERGED);
    cr_assert_str_eq(event->actor->id, "accounts/acme/agents/bob");
    cr_assert_str_eq(event->related_case, target);
    cr_assert_str_eq(event->case_facts->merged_into, target);
    cr_assert_eq(event->n_moved_messages, 3);
    cr_assert_eq(event->moved_messages[2]->number, 3);
    event = last_event(target);
    cr_assert_eq(event->kind, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASES_MERGED);
    cr_assert_str_eq(event->related_case, source);
    cr_assert_eq(event->n_moved_messages, 3);
    cr_assert_eq(event->moved_messages[2]->number, 5);
    cr_assert_str_eq(event->moved_messages[2]->author_agent, "accounts/acme/agents/anna");
    cr_assert_eq(event->case_facts->message_count, 5);
    cr_assert_eq(event->case_facts->first_customer_message_number, 3);
    unmerge("bob", source);
    event = last_event(target);
    cr_assert_eq(event->kind, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASES_UNMERGED);
    cr_assert_eq(event->n_moved_messages, 3);
    cr_assert_eq(event->moved_messages[2]->number, 5);
    event = last_event(source);
    cr_assert_str_eq(event->case_facts->merged_into, "");
    cr_assert_eq(event->moved_messages[2]->number, 3);
}

static Casework__Cases__V1__Document *document(const char *name)
{
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    char *names[] = {desk_text(name)};
    request.parent = desk_text("accounts/acme");
    request.names = names;
    request.n_names = 1;
    Casework__Cases__V1__BatchGetDocumentsResponse *response =
        desk_call(&server, "", EVENTS, "BatchGetDocuments", &request);
    return response->documents[0];
}

Test(case_merge, documents_have_the_first_thirty_that_count_now)
{
    const char *source = receive("carl", "a1", "a1"), *target = receive("dora", "b0", "b0");
    for (int i = 1; i < 29; i++)
        receive("dora", arena_printf(server.memory, "b%d", i), arena_printf(server.memory, "b%d", i));
    receive("carl", "a2", "a2");
    merge("", source, target);
    receive("carl", "late", "late");
    Casework__Cases__V1__Document *found = document(target);
    cr_assert_eq(found->n_messages, 30);
    cr_assert_str_eq(found->messages[29]->body, "a1");
    found = document(source);
    cr_assert_eq(found->n_messages, 0, "they are found at the target");
    cr_assert_eq(found->state, CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE);
    cr_assert_str_eq(found->subject, "Printer");
    cr_assert_eq(found->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
    unmerge("", source);
    found = document(target);
    cr_assert_eq(found->n_messages, 30);
    cr_assert_str_eq(found->messages[29]->body, "late", "the next one has moved up");
    cr_assert_eq(document(source)->n_messages, 2);
}

Test(case_merge, a_merged_case_closes_by_no_rule)
{
    const char *source, *target;
    two_cases(&source, &target);
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    resolve.name = desk_text(source);
    desk_call(&server, "anna", DESK_CASES, "ResolveCase", &resolve);
    Casework__Cases__V1__ListDueCasesRequest due = CASEWORK__CASES__V1__LIST_DUE_CASES_REQUEST__INIT;
    due.parent = desk_text("accounts/acme");
    due.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    Casework__Cases__V1__ListDueCasesResponse *cases =
        desk_call(&server, "", DESK_CASES, "ListDueCases", &due);
    cr_assert_eq(cases->n_due_cases, 1);
    Casework__Cases__V1__CloseCaseRequest close = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    close.name = desk_text(source);
    close.rule = due.rule;
    close.basis_version = cases->due_cases[0]->basis_version;
    close.due_time = cases->due_cases[0]->basis_time;
    merge("anna", source, target);
    cases = desk_call(&server, "", DESK_CASES, "ListDueCases", &due);
    cr_assert_eq(cases->n_due_cases, 0);
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "CloseCase", &close).reason, "CASE_MERGED");
    case_server_advance(&server, CLOCK_MINUTE);
    unmerge("anna", source);
    cases = desk_call(&server, "", DESK_CASES, "ListDueCases", &due);
    cr_assert_eq(cases->n_due_cases, 1);
    cr_assert_gt(cases->due_cases[0]->basis_version, close.basis_version);
    cr_assert_eq(cases->due_cases[0]->basis_time->seconds - close.due_time->seconds, 60, "anew");
}

Test(case_merge, what_was_to_be_sent_is_sent_and_told_in_both)
{
    const char *source, *target;
    two_cases(&source, &target);
    merge("anna", source, target);
    const char *name = arena_printf(server.memory, "%s/messages/3", source);
    desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery", desk_report(&server, name, 2, "", "sent-1"));
    cr_assert_eq((int)desk_get_message(&server, name)->delivery, 2);
    name = arena_printf(server.memory, "%s/messages/5", target);
    cr_assert_eq((int)desk_get_message(&server, name)->delivery, 2);
    cr_assert_str_eq(desk_get_message(&server, name)->external_id, "sent-1");
}
