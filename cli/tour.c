#include "cli/tour.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "cli/command.h"
#include "cli/place.h"
#include "cli/session.h"
#include "embedded/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNT "bramblefield" /* of the sample */
#define A_CASE "bramblefield/5"
#define ANOTHER_CASE "bramblefield/3"
#define A_FILE "samples/policy.json" /* stands for where it is */
#define AN_AGENT "AGENT"             /* stands for the id of an agent of the account */
#define STEP_TIMEOUT CLOCK_MINUTE

enum { WORDS_MAX = 12 };

struct step {
    const char *why;
    const char *words[WORDS_MAX]; /* of the command, without "casework" */
    bool once;                    /* changes something: only right after the sample was loaded */
};

static const struct step steps[] = {
    {"Who is waiting for an answer?", {"case", "list", ACCOUNT, "--folder", "need-reply"}, false},
    {"A word finds its cases, wherever it stands: in a subject, a label, a message.",
     {"search", ACCOUNT, "contract"},
     false},
    {"An agent answers, and the case is resolved.",
     {"message", "add", A_CASE, "The contract is on its way to you.", "--kind", "agent", "--then", "resolve",
      "--as-agent", AN_AGENT},
     true},
    {"Customers are to be answered within so many office hours: a policy, in a file.",
     {"sla", "set", ACCOUNT, "--policy", A_FILE},
     true},
    {"One of them writes again.",
     {"message", "add", ANOTHER_CASE, "It has come, thank you. May I have it in French as well?", "--kind",
      "customer"},
     true},
    {"That is to be answered in time. And if nobody writes in the other case for 72 hours, the system closes "
     "it.",
     {"sla", "timers", ACCOUNT},
     false},
    {"Those resolved in March it has closed already.",
     {"case", "list", ACCOUNT, "--folder", "closed"},
     false},
    {"And every one of them is counted, on the day it happened.",
     {"report", "activity", ACCOUNT, "--from", "2026-03-02", "--to", "2026-03-07"},
     false},
};

enum { STEP_COUNT = sizeof steps / sizeof *steps };

static void show_command(const char *const *words)
{
    printf("$ casework");
    for (; *words; words++)
        printf(strpbrk(*words, " *") ? " \"%s\"" : " %s", *words);
    printf("\n");
    fflush(stdout);
}

/* As if it had been typed. */
static bool run_command(const char *why, const char *const *words, error *err)
{
    char programs[PLACE_SIZE], program[PLACE_SIZE + 16];
    const char *argv[WORDS_MAX + 2] = {program};
    if (!place_programs(programs))
        return error_set(err, STATUS_INTERNAL, "", "cannot find the program's own directory");
    snprintf(program, sizeof program, "%s/casework", programs);
    for (size_t i = 0; words[i]; i++)
        argv[i + 1] = words[i];
    printf("%s\n\n", why);
    show_command(words);
    bool good = process_run(&(struct process_options){.argv = argv}, STEP_TIMEOUT, err);
    printf("\n");
    fflush(stdout);
    return good;
}

static bool call(struct session *session, enum session_target target,
                 const ProtobufCServiceDescriptor *service, const char *method, const void *request,
                 void *ret_response, error *err)
{
    const struct rpc_client_options options = session_call_options(session);
    rpc_channel *channel;
    return session_channel(session, target, &channel, err) &&
           rpc_client_call(channel, service, method, request, &options, session->memory, ret_response, err);
}

static bool list_accounts(struct session *session, const Casework__Cases__V1__ListAccountsResponse **ret,
                          error *err)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    request.page_size = 1000;
    return call(session, TARGET_CASE, &casework__cases__v1__account_service__descriptor, "ListAccounts",
                &request, ret, err);
}

static bool has_account(const Casework__Cases__V1__ListAccountsResponse *accounts, const char *name)
{
    for (size_t i = 0; i < accounts->n_accounts; i++)
        if (strcmp(accounts->accounts[i]->name, name) == 0)
            return true;
    return false;
}

/* The other three follow the case service with a little delay; the tour shows what has been done just now. */
static bool await_others(struct session *session, error *err)
{
    Casework__Cases__V1__GetPositionRequest where = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    Casework__Search__V1__SearchCasesRequest search = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Sla__V1__ListTimersRequest timers = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    Casework__Report__V1__GetCaseActivityRequest activity =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Cases__V1__GetPositionResponse *position;
    void *ignored;
    where.parent = search.parent = timers.parent = activity.parent = "accounts/" ACCOUNT;
    search.query = "casework";
    if (!call(session, TARGET_CASE, &casework__cases__v1__event_service__descriptor, "GetPosition", &where,
              &position, err))
        return false;
    search.min_position = timers.min_position = activity.min_position = position->position;
    return call(session, TARGET_SEARCH, &casework__search__v1__search_service__descriptor, "SearchCases",
                &search, &ignored, err) &&
           call(session, TARGET_SLA, &casework__sla__v1__sla_service__descriptor, "ListTimers", &timers,
                &ignored, err) &&
           call(session, TARGET_REPORT, &casework__report__v1__report_service__descriptor, "GetCaseActivity",
                &activity, &ignored, err);
}

static bool find_agent(struct session *session, const char **ret_id, error *err)
{
    Casework__Cases__V1__ListAgentsRequest request = CASEWORK__CASES__V1__LIST_AGENTS_REQUEST__INIT;
    Casework__Cases__V1__ListAgentsResponse *response;
    request.parent = "accounts/" ACCOUNT;
    if (!call(session, TARGET_CASE, &casework__cases__v1__agent_service__descriptor, "ListAgents", &request,
              &response, err))
        return false;
    if (response->n_agents == 0)
        return error_set(err, STATUS_NOT_FOUND, "", "the sample's account has no agents");
    *ret_id = strrchr(response->agents[0]->name, '/') + 1;
    return true;
}

static bool find_file(struct session *session, const char *name, const char **ret_path, error *err)
{
    char path[PLACE_SIZE];
    if (!place_find(name, path))
        return error_set(err, STATUS_NOT_FOUND, "", "the sample is not where the program is");
    *ret_path = arena_strdup(session->memory, path);
    return *ret_path || error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
}

/* The steps' words, with an agent's id and a file's path where they want one. */
static bool complete_words(struct session *session, const struct step *step, const char *ret_words[WORDS_MAX],
                           error *err)
{
    bool ok = true;
    for (int i = 0; ok && i < WORDS_MAX; i++) {
        ret_words[i] = step->words[i];
        if (step->words[i] && strcmp(step->words[i], AN_AGENT) == 0)
            ok = find_agent(session, &ret_words[i], err);
        else if (step->words[i] && strcmp(step->words[i], A_FILE) == 0)
            ok = find_file(session, step->words[i], &ret_words[i], err);
    }
    return ok;
}

static bool take_step(struct session *session, const struct step *step, error *err)
{
    const char *words[WORDS_MAX];
    return await_others(session, err) && complete_words(session, step, words, err) &&
           run_command(step->why, words, err);
}

static bool load_sample(error *err)
{
    char sample[PLACE_SIZE];
    if (!place_find("samples/conversations.jsonl", sample))
        return error_set(err, STATUS_NOT_FOUND, "", "the sample is not where the program is");
    const char *const words[] = {"import", sample, NULL};
    return run_command("There is nothing yet. Here is a sample: support conversations of three companies.",
                       words, err);
}

static bool walk(struct session *session, error *err)
{
    const Casework__Cases__V1__ListAccountsResponse *accounts;
    if (!list_accounts(session, &accounts, err))
        return false;
    bool loaded = accounts->n_accounts == 0;
    if (loaded && (!load_sample(err) || !list_accounts(session, &accounts, err)))
        return false;
    static const char *const all_accounts[] = {"account", "list", NULL};
    if (!run_command("These companies are here.", all_accounts, err))
        return false;
    for (int i = 0; i < STEP_COUNT && has_account(accounts, "accounts/" ACCOUNT); i++)
        if ((loaded || !steps[i].once) && !take_step(session, &steps[i], err))
            return false;
    return true;
}

int tour_main(int argc, char **argv)
{
    if (argc > 2) {
        fprintf(stderr, "usage: casework tour [READY-FILE]\n");
        return 2;
    }
    if (argc == 2)
        setenv("CASEWORK_READY_FILE", argv[1], 1); /* for the commands as well */
    struct session session;
    error err;
    bool good = session_init(&session, &err) && walk(&session, &err);
    session_release(&session);
    if (!good)
        return command_fail(&err);
    printf("`casework --help` lists all commands. `casework import FILE` loads conversations of your own.\n"
           "Ctrl-C where `casework up` runs stops everything.\n");
    return 0;
}
