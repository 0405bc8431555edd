/*
 * What a replica knows of accounts and agents without reading it again: never more than is true, whoever else
 * writes, and after an account has gone and come back.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define AGENTS (&casework__cases__v1__agent_service__descriptor)

/* Calls after which a replica assumes what it knows. */
enum { CALLS = 4, ROUNDS = 4 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
    case_server_start_other(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_known, .init = setup, .fini = teardown, .timeout = 60);

static void go_to_other(void)
{
    rpc_channel *channel = server.channel;
    server.channel = server.other_channel;
    server.other_channel = channel;
}

static Casework__Cases__V1__CreateCaseRequest *case_request(const char *account)
{
    Casework__Cases__V1__CreateCaseRequest *request = arena_alloc(server.memory, sizeof *request);
    Casework__Cases__V1__Case *record = arena_alloc(server.memory, sizeof *record);
    casework__cases__v1__create_case_request__init(request);
    casework__cases__v1__case__init(record);
    record->channel = arena_printf(server.memory, "%s/channels/desk", account);
    record->subject = desk_text("Printer");
    request->parent = desk_text(account);
    request->case_ = record;
    return request;
}

static int create_cases(const char *agent, const char *account, int count)
{
    const Casework__Cases__V1__CreateCaseResponse *response = NULL;
    for (int i = 0; i < count; i++)
        response = desk_call(&server, agent, DESK_CASES, "CreateCase", case_request(account));
    return response ? (int)strtol(strrchr(response->case_->name, '/') + 1, NULL, 10) : 0;
}

static void disable(const char *agent, bool disabled)
{
    Casework__Cases__V1__UpdateAgentRequest request = CASEWORK__CASES__V1__UPDATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent record = CASEWORK__CASES__V1__AGENT__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = desk_text("disabled");
    mask.paths = &path;
    mask.n_paths = 1;
    record.name = arena_printf(server.memory, "accounts/acme/agents/%s", agent);
    record.disabled = disabled;
    request.agent = &record;
    request.update_mask = &mask;
    desk_call(&server, "", AGENTS, "UpdateAgent", &request);
}

Test(case_known, what_another_replica_has_changed_is_seen_at_once)
{
    int created = 0;
    for (int round = 0; round < ROUNDS; round++) {
        created += CALLS;
        cr_assert_eq(create_cases("anna", "accounts/acme", CALLS), created, "numbers go on");
        go_to_other();
        created += round;
        cr_assert(round == 0 || create_cases("bob", "accounts/acme", round) == created);
        disable("anna", true);
        go_to_other();
        error err = desk_fail(&server, "anna", DESK_CASES, "CreateCase", case_request("accounts/acme"));
        cr_assert_str_eq(err.reason, "AGENT_DISABLED");
        go_to_other();
        disable("anna", false);
        go_to_other();
    }
}

Test(case_known, replicas_that_take_turns_call_by_call_agree)
{
    for (int number = 1; number <= 20; number++) {
        cr_assert_eq(create_cases("anna", "accounts/acme", 1), number);
        go_to_other();
    }
}

static void create_agent(const char *account, const char *id)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = desk_text(account);
    request.agent_id = desk_text(id);
    request.agent = &agent;
    desk_call(&server, "", AGENTS, "CreateAgent", &request);
}

/* The name is free again when what the account had is gone. */
static void create_account_again(const char *id)
{
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__CreateAccountRequest create = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    int64_t until = clock_monotonic_us() + CLOCK_MINUTE;
    void *response;
    error err;
    create.account_id = desk_text(id);
    create.account = &account;
    while (!case_server_try(&server, ACCOUNTS, "CreateAccount", &create, &response, &err)) {
        cr_assert(err.code == STATUS_UNAVAILABLE && clock_monotonic_us() < until, "%s %s", err.reason,
                  err.message);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
}

Test(case_known, of_an_account_that_was_deleted_nothing_is_known)
{
    case_server_account(&server, "brief");
    create_agent("accounts/brief", "zoe");
    create_cases("zoe", "accounts/brief", CALLS);
    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    gone.name = desk_text("accounts/brief");
    desk_call(&server, "", ACCOUNTS, "DeleteAccount", &gone);
    error err = desk_fail(&server, "zoe", DESK_CASES, "CreateCase", case_request("accounts/brief"));
    cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s", err.message);
    create_account_again("brief");
    err = desk_fail(&server, "zoe", DESK_CASES, "CreateCase", case_request("accounts/brief"));
    cr_assert_str_eq(err.reason, "AGENT_UNKNOWN");
}
