/*
 * Replies with an outcome, workflow states by hand, surveys, and the setting that re-opens resolved cases:
 * each in a case of every status, as the behaviour's sentences have it.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)

enum { KIND_CUSTOMER = 1, KIND_AGENT, KIND_NOTE, KIND_TO, KIND_FROM, KIND_SYSTEM, KIND_SURVEY };
enum { NEW = 1, OPEN, PENDING, RESOLVED, CLOSED, DELETED };
enum { ASSIGNED = 1, IN_PROGRESS, RESPONDED, STATE_CLOSED };
enum { THEN_NOTHING, THEN_PENDING, THEN_RESOLVE };

static const char *const standing[] = {
    "", "CASE_NEW", "CASE_OPEN", "CASE_PENDING", "CASE_RESOLVED", "CASE_CLOSED", "CASE_DELETED"};

static struct case_server server;
static int senders;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_outcomes, .init = setup, .fini = teardown, .timeout = 120);

static void close_case(const char *name)
{
    Casework__Cases__V1__CloseCaseRequest request = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    request.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    request.basis_version = desk_case(&server, name)->change_version;
    request.due_time = wire_timestamp(server.memory, CASE_SERVER_START_US);
    desk_call(&server, "", DESK_CASES, "CloseCase", &request);
}

/* A new conversation with one message of the customer's, brought to that status by Anna. */
static const char *case_in(int status)
{
    const char *sender = arena_printf(server.memory, "jo%d", ++senders);
    const char *name = desk_receive(&server, "desk", sender, sender, "Help")->case_->name;
    static const char *const ways[] = {
        [OPEN] = "OpenCase",      [PENDING] = "MarkCasePending", [RESOLVED] = "ResolveCase",
        [CLOSED] = "ResolveCase", [DELETED] = "DeleteCase",
    };
    if (status != NEW)
        desk_step(&server, "anna", ways[status], name);
    if (status == CLOSED)
        close_case(name);
    cr_assert_eq((int)desk_case(&server, name)->status, status);
    return name;
}

static const char *message_of(const char *name, int number)
{
    return arena_printf(server.memory, "%s/messages/%d", name, number);
}

static int state_of(const char *name, int number)
{
    return (int)desk_get_message(&server, message_of(name, number))->state;
}

/* --- a reply with its outcome
 * -------------------------------------------------------------------------------
 */

Test(case_outcomes, a_reply_brings_a_case_of_any_status_to_its_outcome)
{
    static const struct {
        int from, then, to, state; /* to 0: refused; state: of the customer's message */
    } rows[] = {
        {NEW, THEN_NOTHING, OPEN, RESPONDED},
        {NEW, THEN_PENDING, PENDING, RESPONDED},
        {NEW, THEN_RESOLVE, RESOLVED, STATE_CLOSED},
        {OPEN, THEN_NOTHING, OPEN, RESPONDED},
        {OPEN, THEN_PENDING, PENDING, RESPONDED},
        {OPEN, THEN_RESOLVE, RESOLVED, STATE_CLOSED},
        {PENDING, THEN_NOTHING, OPEN, RESPONDED},
        {PENDING, THEN_PENDING, PENDING, RESPONDED},
        {PENDING, THEN_RESOLVE, RESOLVED, STATE_CLOSED},
        {RESOLVED, THEN_NOTHING, RESOLVED, STATE_CLOSED},
        {RESOLVED, THEN_PENDING, PENDING, STATE_CLOSED},
        {RESOLVED, THEN_RESOLVE, RESOLVED, STATE_CLOSED},
        {CLOSED, THEN_NOTHING, 0, STATE_CLOSED},
        {CLOSED, THEN_PENDING, 0, STATE_CLOSED},
        {CLOSED, THEN_RESOLVE, 0, STATE_CLOSED},
        {DELETED, THEN_NOTHING, 0, ASSIGNED},
        {DELETED, THEN_PENDING, 0, ASSIGNED},
        {DELETED, THEN_RESOLVE, 0, ASSIGNED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = case_in(rows[i].from);
        const Casework__Cases__V1__Case *before = desk_case(&server, name);
        Casework__Cases__V1__AddMessageRequest *reply = desk_message(&server, name, KIND_AGENT, "There");
        reply->then = (Casework__Cases__V1__AfterSend)rows[i].then;
        if (rows[i].to == 0) {
            error err = desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", reply);
            cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION, "row %zu", i);
            cr_assert_str_eq(err.reason, standing[rows[i].from], "row %zu", i);
        } else {
            Casework__Cases__V1__AddMessageResponse *answer =
                desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", reply);
            cr_assert_eq((int)answer->case_->status, rows[i].to, "row %zu", i);
            cr_assert_eq(answer->message->number, 2, "row %zu", i);
        }
        const Casework__Cases__V1__Case *after = desk_case(&server, name);
        cr_assert_eq((int)after->status, rows[i].to ? rows[i].to : rows[i].from, "row %zu", i);
        cr_assert_eq(after->message_count, rows[i].to ? 2 : 1, "row %zu", i);
        cr_assert(rows[i].to ? after->change_version > before->change_version
                             : after->version == before->version,
                  "row %zu", i);
        cr_assert_eq(state_of(name, 1), rows[i].state, "row %zu", i);
    }
}

Test(case_outcomes, only_an_agents_own_reply_has_one)
{
    const char *name = case_in(OPEN);
    static const struct {
        const char *agent;
        int kind;
        bool automatic;
    } others[] = {{"anna", KIND_NOTE, false}, {"anna", KIND_SURVEY, false}, {"", KIND_CUSTOMER, false},
                  {"", KIND_FROM, false},     {"", KIND_SURVEY, false},     {"anna", KIND_AGENT, true},
                  {"", KIND_AGENT, true}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        for (int then = THEN_PENDING; then <= THEN_RESOLVE; then++) {
            Casework__Cases__V1__AddMessageRequest *request =
                desk_message(&server, name, others[i].kind, "There");
            request->message->automatic = others[i].automatic;
            if (others[i].kind == KIND_FROM)
                request->message->author = desk_text("lab@example.org");
            request->then = (Casework__Cases__V1__AfterSend)then;
            error err = desk_fail(&server, others[i].agent, DESK_MESSAGES, "AddMessage", request);
            cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "row %zu: %s", i, err.message);
        }
    }
    cr_assert_eq(desk_case(&server, name)->message_count, 1, "nothing was stored");
}

/* --- workflow states
 * ----------------------------------------------------------------------------------------
 */

static Casework__Cases__V1__SetMessageStateRequest *state_request(const char *message, int state)
{
    Casework__Cases__V1__SetMessageStateRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__set_message_state_request__init(request);
    request->name = desk_text(message);
    request->state = (Casework__Cases__V1__MessageState)state;
    return request;
}

Test(case_outcomes, an_agent_sets_any_state_from_any)
{
    const char *name = case_in(OPEN), *message = message_of(name, 1);
    for (int from = ASSIGNED; from <= STATE_CLOSED; from++) {
        for (int to = ASSIGNED; to <= STATE_CLOSED; to++) {
            desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", state_request(message, from));
            const Casework__Cases__V1__Case *before = desk_case(&server, name);
            Casework__Cases__V1__SetMessageStateResponse *answer =
                desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", state_request(message, to));
            const Casework__Cases__V1__Case *after = desk_case(&server, name);
            cr_assert_eq((int)answer->message->state, to);
            cr_assert_eq(state_of(name, 1), to);
            cr_assert_eq((int)after->status, OPEN, "the case stays where it is");
            cr_assert_eq(after->change_version - before->change_version, from != to, "%d to %d", from, to);
            cr_assert_eq(after->activity_version, before->activity_version, "%d to %d", from, to);
        }
    }
}

Test(case_outcomes, a_state_can_be_set_in_a_case_of_any_status_but_a_deleted_one)
{
    for (int status = NEW; status <= DELETED; status++) {
        const char *name = case_in(status);
        const void *request = state_request(message_of(name, 1), RESPONDED);
        if (status == DELETED) {
            error err = desk_fail(&server, "anna", DESK_MESSAGES, "SetMessageState", request);
            cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
            cr_assert_str_eq(err.reason, "CASE_DELETED");
            cr_assert_eq(state_of(name, 1), ASSIGNED);
            continue;
        }
        desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", request);
        const Casework__Cases__V1__Case *after = desk_case(&server, name);
        cr_assert_eq(state_of(name, 1), RESPONDED, "in status %d", status);
        cr_assert_eq((int)after->status, status == NEW ? OPEN : status, "an agent opens a new case first");
        cr_assert_str_eq(after->owner, "accounts/acme/agents/anna");
    }
}

Test(case_outcomes, what_state_cannot_be_set_is_refused_and_nothing_changes)
{
    const char *name = case_in(OPEN), *third_party;
    Casework__Cases__V1__AddMessageRequest *from = desk_message(&server, name, KIND_FROM, "The lab says");
    from->message->author = desk_text("lab@example.org");
    desk_add(&server, "anna", name, KIND_AGENT, "There"); /* 2 */
    desk_add(&server, "anna", name, KIND_NOTE, "Hm");
    desk_add(&server, "", name, KIND_SURVEY, "How was it?");
    third_party =
        ((Casework__Cases__V1__AddMessageResponse *)desk_call(&server, "", DESK_MESSAGES, "AddMessage", from))
            ->message->name;
    const int64_t version = desk_case(&server, name)->version;
    const char *const others[] = {message_of(name, 2), message_of(name, 3), message_of(name, 4), third_party};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        error err =
            desk_fail(&server, "anna", DESK_MESSAGES, "SetMessageState", state_request(others[i], RESPONDED));
        cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION, "%zu", i);
        cr_assert_str_eq(err.reason, "NOT_A_CUSTOMER_MESSAGE", "%zu", i);
    }
    const int states[] = {0, -1, 5, 1000};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        error err = desk_fail(&server, "anna", DESK_MESSAGES, "SetMessageState",
                              state_request(message_of(name, 1), states[i]));
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "state %d", states[i]);
    }
    const char *const nowhere[] = {message_of(name, 99), "accounts/acme/cases/999999/messages/1",
                                   "accounts/other/cases/1/messages/1"};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        error err = desk_fail(&server, "anna", DESK_MESSAGES, "SetMessageState",
                              state_request(nowhere[i], RESPONDED));
        cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s: %s", nowhere[i], err.message);
    }
    cr_assert_eq(desk_case(&server, name)->version, version);
    cr_assert_eq(state_of(name, 1), RESPONDED, "as the reply left it");
}

/* --- surveys
 * ------------------------------------------------------------------------------------------------
 */

static bool customer_sees(const char *name, int number)
{
    Casework__Cases__V1__ListMessagesResponse *seen = desk_list(&server, name, 2);
    bool sees = false;
    for (size_t i = 0; i < seen->n_messages; i++)
        sees = sees || seen->messages[i]->number == number;
    return sees;
}

Test(case_outcomes, a_survey_goes_to_the_customer_of_a_case_of_any_status_but_a_deleted_one)
{
    static const char *const by[] = {"", "anna"};
    for (int status = NEW; status <= DELETED; status++) {
        for (int agent = 0; agent < 2; agent++) {
            const char *name = case_in(status);
            const Casework__Cases__V1__Case *before = desk_case(&server, name);
            if (status == DELETED) {
                error err = desk_fail(&server, by[agent], DESK_MESSAGES, "AddMessage",
                                      desk_message(&server, name, KIND_SURVEY, "How was it?"));
                cr_assert_str_eq(err.reason, "CASE_DELETED");
                continue;
            }
            const Casework__Cases__V1__Message *survey =
                desk_add(&server, by[agent], name, KIND_SURVEY, agent ? "How was it?" : "");
            const Casework__Cases__V1__Case *after = desk_case(&server, name);
            cr_assert_eq((int)survey->delivery, CASEWORK__CASES__V1__DELIVERY__DELIVERY_QUEUED);
            cr_assert_eq((int)survey->state, 0, "only customers' messages have one");
            cr_assert(customer_sees(name, survey->number));
            cr_assert_not(after->need_reply, "the last visible message is not the customer's");
            cr_assert_eq((int)after->status, status == NEW && agent ? OPEN : status);
            cr_assert_gt(after->change_version, before->change_version, "the close timer restarts");
            cr_assert_eq(after->first_reply_time != NULL, false, "it is no reply");
            cr_assert_neq(state_of(name, 1), RESPONDED, "it answers nothing");
            desk_receive(&server, "desk", arena_printf(server.memory, "jo%d", senders),
                         arena_printf(server.memory, "again%d", senders), "Fine");
            cr_assert(desk_case(&server, name)->need_reply, "and now it is");
        }
    }
}

/* --- the setting
 * ---------------------------------------------------------------------------------------------
 */

static void reopen_resolved(bool on)
{
    Casework__Cases__V1__UpdateAccountRequest request = CASEWORK__CASES__V1__UPDATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = desk_text("reopen_resolved_on_customer_message");
    account.name = desk_text("accounts/acme");
    account.reopen_resolved_on_customer_message = on;
    mask.n_paths = 1;
    mask.paths = &path;
    request.account = &account;
    request.update_mask = &mask;
    desk_call(&server, "", ACCOUNTS, "UpdateAccount", &request);
}

Test(case_outcomes, a_customers_message_reopens_what_the_table_says_and_resolved_cases_as_the_account_says)
{
    static const int to[2][DELETED + 1] = {{0, NEW, OPEN, OPEN, RESOLVED, OPEN, 0},
                                           {0, NEW, OPEN, OPEN, OPEN, OPEN, 0}};
    for (int on = 0; on < 2; on++) {
        reopen_resolved(on);
        for (int status = NEW; status <= DELETED; status++) {
            const char *name = case_in(status), *automatic = case_in(status);
            Casework__Cases__V1__AddMessageRequest *machine =
                desk_message(&server, automatic, KIND_CUSTOMER, "I am away");
            machine->message->automatic = true;
            const void *written = desk_message(&server, name, KIND_CUSTOMER, "Still there");
            if (status == DELETED) {
                error err = desk_fail(&server, "", DESK_MESSAGES, "AddMessage", written);
                cr_assert_str_eq(err.reason, "CASE_DELETED");
                continue;
            }
            int64_t version = desk_case(&server, name)->change_version;
            desk_call(&server, "", DESK_MESSAGES, "AddMessage", written);
            desk_call(&server, "", DESK_MESSAGES, "AddMessage", machine);
            const Casework__Cases__V1__Case *after = desk_case(&server, name);
            cr_assert_eq((int)after->status, to[on][status], "status %d, setting %d", status, on);
            cr_assert_gt(after->change_version, version, "the close timer restarts");
            cr_assert_eq(state_of(name, 2), ASSIGNED);
            cr_assert_eq((int)desk_case(&server, automatic)->status, status, "automata re-open nothing");
        }
    }
}
