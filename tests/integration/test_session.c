/* Sessions, tabs and locks as clients see them, over replicas of the case service. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_replicas.h"
#include "tests/support/session_client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define SESSIONS (&casework__cases__v1__session_service__descriptor)
#define SOON (30 * CLOCK_SECOND)
#define LONG CLOCK_HOUR          /* a grace time within which whoever comes back comes */
#define SHORT (2 * CLOCK_SECOND) /* one that is waited for */
#define ANNA "accounts/acme/agents/anna"
#define BERT "accounts/acme/agents/bert"

static struct case_replicas r;
static struct session_client anna, bert, cleo;

static void start(unsigned count)
{
    case_replicas_start(&r, count, true);
    case_replicas_account(&r, "acme", LONG, "anna bert cleo Boss");
}

static void teardown(void)
{
    if (anna.memory)
        session_client_break(&anna);
    if (bert.memory)
        session_client_break(&bert);
    if (cleo.memory)
        session_client_break(&cleo);
    case_replicas_stop(&r);
}

static void setup(void)
{
    start(1);
}

static void setup_two(void)
{
    start(2);
}

/* Replicas that look at the feed only when another one says that something has come. */
static void setup_hearing(void)
{
    setenv("CASEWORK_INJECT", "case_feed.poll=drop", 1);
    start(2);
    unsetenv("CASEWORK_INJECT");
}

static void setup_three(void)
{
    start(3);
}

TestSuite(session, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(session_two, .init = setup_two, .fini = teardown, .timeout = 120);
TestSuite(session_hearing, .init = setup_hearing, .fini = teardown, .timeout = 120);
TestSuite(session_three, .init = setup_three, .fini = teardown, .timeout = 120);

/* For the streams that begin, or end, from now on. */
static void set_grace(int64_t grace_us)
{
    Casework__Cases__V1__UpdateAccountRequest update = CASEWORK__CASES__V1__UPDATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    account.name = (char *)(uintptr_t) "accounts/acme";
    account.session_grace_duration = wire_duration(r.memory, grace_us);
    update.account = &account;
    case_replicas_call(&r, 0, &casework__cases__v1__account_service__descriptor, "UpdateAccount", &update,
                       NULL);
}

static void attach(struct session_client *c, unsigned replica, const char *agent)
{
    session_client_attach(c, r.channels[replica], "acme", agent, NULL);
    cr_assert_not(c->resumed);
}

static Casework__Cases__V1__AttachResponse__TabOpened *open_tab(struct session_client *c, const char *name)
{
    cr_assert(session_client_open(c, name));
    session_news *news = session_client_await(c, SESSION_NEWS(TAB_OPENED), name, SOON);
    cr_assert(news, "%s opens %s", c->agent, name);
    return news->tab_opened;
}

static int64_t await_grant(struct session_client *c, const char *name)
{
    session_news *news = session_client_await(c, SESSION_NEWS(LOCK_GRANTED), name, SOON);
    cr_assert(news, "%s is granted the lock", c->agent);
    return news->lock_granted->token;
}

static const Casework__Cases__V1__Case *get(const char *name)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    const Casework__Cases__V1__GetCaseResponse *response =
        case_replicas_call(&r, 0, CASES, "GetCase", &request, NULL);
    return response->case_;
}

static void expect_write(unsigned replica, const char *name, const char *agent, const char *session)
{
    error err = {0};
    cr_assert(case_replicas_write(&r, replica, name, agent, session, &err), "%s: %s", err.reason,
              err.message);
}

static void expect_locked(unsigned replica, const char *name, const char *agent, const char *session,
                          const char *holder)
{
    error err = {0};
    cr_assert_not(case_replicas_write(&r, replica, name, agent, session, &err), "%s writes", agent);
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "CASE_LOCKED");
    cr_assert_str_eq(err.info[0].key, "holder");
    cr_assert_str_eq(err.info[0].value, holder);
}

Test(session, the_first_to_open_holds_the_case_and_the_others_see_who)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    Casework__Cases__V1__AttachResponse__TabOpened *opened = open_tab(&anna, name);
    cr_assert_str_eq(opened->lock->agent, ANNA);
    cr_assert_eq(opened->n_viewers, 0);
    cr_assert(opened->need_reply);
    int64_t token = await_grant(&anna, name);
    const Casework__Cases__V1__Case *now = get(name);
    cr_assert_eq(now->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN);
    cr_assert_str_eq(now->owner, ANNA);
    cr_assert_str_eq(now->lock->agent, ANNA);
    cr_assert_eq(now->lock->token, token);

    opened = open_tab(&bert, name);
    cr_assert_str_eq(opened->lock->agent, ANNA);
    cr_assert_eq(opened->lock->token, token);
    cr_assert_eq(opened->n_viewers, 1);
    cr_assert_str_eq(opened->viewers[0]->agent, ANNA);
    cr_assert_str_eq(opened->viewers[0]->session, anna.session);
    session_news *seen = session_client_await(&anna, SESSION_NEWS(ACTIVITY), name, SOON);
    cr_assert_str_eq(seen->activity->agent, BERT);
    cr_assert_eq(seen->activity->kind, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_VIEWING);

    expect_locked(0, name, "bert", NULL, ANNA);
    expect_locked(0, name, "bert", bert.session, ANNA);
    expect_locked(0, name, "anna", bert.session, ANNA);
    expect_write(0, name, "anna", anna.session);
    expect_write(0, name, "anna", NULL);
    expect_write(0, name, NULL, NULL);
    session_news *changed = session_client_await(&bert, SESSION_NEWS(CASE_CHANGED), name, SOON);
    cr_assert(changed);
    cr_assert_gt(changed->case_changed->position, opened->position);

    cr_assert(session_client_close(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_CLOSED), name, SOON));
    cr_assert_gt(await_grant(&bert, name), token);
    expect_locked(0, name, "anna", NULL, BERT);
    expect_write(0, name, "bert", NULL);
}

Test(session, activity_is_told_to_the_others_and_dies_with_the_tab)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    cr_assert(
        session_client_activity(&anna, name, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_EDITING));
    cr_assert(session_client_open(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_OPENED), name, SOON));
    cr_assert_eq(open_tab(&bert, name)->viewers[0]->kind,
                 CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_EDITING);
    cr_assert(session_client_activity(&anna, name, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING));
    session_news *seen = session_client_await(&bert, SESSION_NEWS(ACTIVITY), name, SOON);
    cr_assert_str_eq(seen->activity->agent, ANNA);
    cr_assert_eq(seen->activity->kind, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING);
    cr_assert(session_client_log_out(&anna));
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_OK);
    seen = session_client_await(&bert, SESSION_NEWS(ACTIVITY), name, SOON);
    cr_assert_eq(seen->activity->kind, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_UNSPECIFIED);
}

static void expect_refused(struct session_client *c, const char *name, enum status_code code,
                           const char *reason)
{
    session_news *news = session_client_await(c, SESSION_NEWS(REFUSED), name, SOON);
    cr_assert(news, "%s is refused", name);
    cr_assert_eq(news->refused->code, (int)code, "%s: %d %s", name, news->refused->code,
                 news->refused->message);
    cr_assert_str_eq(news->refused->reason, reason);
}

Test(session, what_cannot_be_opened_is_refused_and_the_session_goes_on)
{
    const char *name = case_replicas_case(&r, "acme");
    case_replicas_account(&r, "other", LONG, "anna");
    const char *foreign = case_replicas_case(&r, "other");
    attach(&anna, 0, "anna");
    cr_assert(session_client_open(&anna, "accounts/acme/cases/999"));
    expect_refused(&anna, "accounts/acme/cases/999", STATUS_NOT_FOUND, "NOT_FOUND");
    cr_assert(session_client_open(&anna, foreign));
    expect_refused(&anna, foreign, STATUS_NOT_FOUND, "NOT_FOUND");
    cr_assert(session_client_open(&anna, "accounts/acme/cases/x"));
    expect_refused(&anna, "accounts/acme/cases/x", STATUS_INVALID_ARGUMENT, "NOT_A_NUMBER");
    cr_assert(session_client_activity(&anna, name, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING));
    expect_refused(&anna, name, STATUS_FAILED_PRECONDITION, "NO_TAB");
    cr_assert(session_client_close(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_CLOSED), name, SOON), "not open: all the same");
    open_tab(&anna, name);
    await_grant(&anna, name);
    cr_assert_str_eq(open_tab(&anna, name)->lock->agent, ANNA, "open already: as if it were new");
    await_grant(&anna, name);
}

static void expect_no_session(const char *account, const char *agent, const char *token,
                              enum status_code code, const char *reason)
{
    struct session_client c;
    error err = {0};
    cr_assert_not(session_client_try(&c, r.channels[0], account, agent, token, &err));
    cr_assert_eq(err.code, code, "%s: %s", agent, err.message);
    cr_assert_str_eq(err.reason, reason);
}

Test(session, who_may_attach)
{
    expect_no_session("acme", "nobody", NULL, STATUS_PERMISSION_DENIED, "AGENT_UNKNOWN");
    expect_no_session("nowhere", "anna", NULL, STATUS_NOT_FOUND, "NOT_FOUND");
    attach(&anna, 0, "anna");
    for (char *c = anna.token; *c; c++) {
        char former = *c;
        *c = former == 'A' ? 'B' : 'A';
        expect_no_session("acme", "anna", anna.token, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
        *c = former;
    }
    expect_no_session("acme", "bert", anna.token, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
    struct session_client second;
    session_client_attach(&second, r.channels[0], "acme", "anna", anna.token);
    cr_assert(second.resumed);
    cr_assert_str_eq(second.session, anna.session);
    session_client_break(&second);
}

Test(session, a_hello_must_come_first_and_once)
{
    const struct rpc_client_options options = {.timeout_us = SOON, .agent = "anna"};
    Casework__Cases__V1__AttachRequest__LogOut log_out = CASEWORK__CASES__V1__ATTACH_REQUEST__LOG_OUT__INIT;
    Casework__Cases__V1__AttachRequest request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err;
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_LOG_OUT;
    request.log_out = &log_out;
    cr_assert(rpc_stream_open(r.channels[0], SESSIONS, "Attach", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    cr_assert_eq(rpc_stream_read(stream, SOON, r.memory, &message, &err), RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    rpc_stream_free(stream);
    Casework__Cases__V1__AttachRequest__Hello hello = CASEWORK__CASES__V1__ATTACH_REQUEST__HELLO__INIT;
    hello.agent = (char *)(uintptr_t)ANNA;
    attach(&anna, 0, "anna");
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_HELLO;
    request.hello = &hello;
    cr_assert(rpc_stream_write(anna.stream, &request.base));
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_INVALID_ARGUMENT);
}

static bool break_lock(const char *name, int64_t token, const char *agent, error *ret_err)
{
    Casework__Cases__V1__BreakCaseLockRequest request = CASEWORK__CASES__V1__BREAK_CASE_LOCK_REQUEST__INIT;
    void *response;
    request.name = (char *)(uintptr_t)name;
    request.token = token;
    return case_replicas_try(&r, 0, CASES, "BreakCaseLock", &request, agent, NULL, &response, ret_err);
}

Test(session, an_admin_breaks_a_lock_and_the_former_holder_waits_last)
{
    const char *name = case_replicas_case(&r, "acme");
    error err = {0};
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    cr_assert_not(break_lock(name, 0, "bert", &err));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_not(break_lock(name, token + 1, "boss", &err));
    cr_assert_str_eq(err.reason, "LOCK_CHANGED");
    cr_assert(break_lock(name, token, "boss", &err), "%s", err.message);
    session_news *lost = session_client_await(&anna, SESSION_NEWS(LOCK_LOST), name, SOON);
    cr_assert_eq(lost->lock_lost->reason, CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_BROKEN);
    cr_assert_null(get(name)->lock, "nobody else waits");
    expect_write(0, name, "boss", NULL);
    open_tab(&bert, name);
    cr_assert_eq(await_grant(&bert, name), token + 1);
    session_news *held = session_client_await(&anna, SESSION_NEWS(LOCK_HELD), name, SOON);
    cr_assert_str_eq(held->lock_held->agent, BERT);
    cr_assert(break_lock(name, 0, "boss", &err));
    cr_assert_eq(await_grant(&anna, name), token + 2);
    cr_assert(session_client_await(&bert, SESSION_NEWS(LOCK_LOST), name, SOON));
}

static void step(const char *method, const char *name, const ProtobufCMessageDescriptor *type,
                 const char *agent)
{
    ProtobufCMessage *request = arena_calloc(r.memory, 1, type->sizeof_message);
    protobuf_c_message_init(type, request);
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(type, "name");
    memcpy((char *)request + field->offset, &name, sizeof name);
    case_replicas_call(&r, 0, CASES, method, request, agent);
}

Test(session, a_deleted_case_has_no_lock_until_it_comes_back)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    await_grant(&anna, name);
    step("DeleteCase", name, &casework__cases__v1__delete_case_request__descriptor, "anna");
    session_news *lost = session_client_await(&anna, SESSION_NEWS(LOCK_LOST), name, SOON);
    cr_assert_eq(lost->lock_lost->reason, CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_CASE_GONE);
    cr_assert_null(open_tab(&bert, name)->lock, "readable only");
    step("UndeleteCase", name, &casework__cases__v1__undelete_case_request__descriptor, "bert");
    cr_assert_gt(await_grant(&anna, name), 1);
    session_news *held = session_client_await(&bert, SESSION_NEWS(LOCK_HELD), name, SOON);
    cr_assert_str_eq(held->lock_held->agent, ANNA);
}

static Casework__Cases__V1__ListTabsResponse *list_tabs(unsigned replica, int32_t size, char *token)
{
    Casework__Cases__V1__ListTabsRequest request = CASEWORK__CASES__V1__LIST_TABS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)ANNA;
    request.page_size = size;
    request.page_token = token;
    return case_replicas_call(&r, replica, SESSIONS, "ListTabs", &request, "anna");
}

Test(session, tabs_are_listed_in_the_order_of_their_opening)
{
    const char *names[5];
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    for (int i = 0; i < 5; i++)
        names[i] = case_replicas_case(&r, "acme");
    open_tab(&bert, names[3]);
    for (int i = 4; i >= 0; i--)
        open_tab(&anna, names[i]);
    Casework__Cases__V1__ListTabsResponse *page = list_tabs(0, 3, (char *)(uintptr_t) "");
    cr_assert_eq(page->n_tabs, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_str_eq(page->tabs[i]->case_, names[4 - i]);
        cr_assert_eq(page->tabs[i]->holds_lock, 4 - i != 3);
        cr_assert(page->tabs[i]->need_reply);
        cr_assert_str_eq(page->tabs[i]->session, anna.session);
    }
    page = list_tabs(0, 3, page->next_page_token);
    cr_assert_eq(page->n_tabs, 2);
    cr_assert_str_eq(page->next_page_token, "");
    Casework__Cases__V1__ListTabsRequest request = CASEWORK__CASES__V1__LIST_TABS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)ANNA;
    void *response;
    error err;
    cr_assert_not(case_replicas_try(&r, 0, SESSIONS, "ListTabs", &request, "bert", NULL, &response, &err));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
}

Test(session, an_agent_who_is_disabled_loses_sessions_and_locks)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    await_grant(&anna, name);
    open_tab(&bert, name);
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    Casework__Cases__V1__UpdateAgentRequest update = CASEWORK__CASES__V1__UPDATE_AGENT_REQUEST__INIT;
    agent.name = (char *)(uintptr_t)ANNA;
    agent.disabled = true;
    update.agent = &agent;
    case_replicas_call(&r, 0, &casework__cases__v1__agent_service__descriptor, "UpdateAgent", &update, NULL);
    await_grant(&bert, name);
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_ABORTED);
    cr_assert_str_eq(anna.end.reason, "SESSION_OVER");
    expect_no_session("acme", "anna", NULL, STATUS_PERMISSION_DENIED, "AGENT_DISABLED");
    expect_no_session("acme", "anna", anna.token, STATUS_PERMISSION_DENIED, "AGENT_DISABLED");
}

Test(session, a_broken_stream_keeps_the_lock_for_the_grace_time_and_no_longer)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    open_tab(&bert, name);
    char resume[sizeof anna.token];
    memcpy(resume, anna.token, sizeof resume);
    session_client_break(&anna);
    expect_locked(0, name, "bert", NULL, ANNA);
    session_client_attach(&anna, r.channels[0], "acme", "anna", resume);
    cr_assert(anna.resumed);
    session_news *opened = session_client_await(&anna, SESSION_NEWS(TAB_OPENED), name, SOON);
    cr_assert_str_eq(opened->tab_opened->lock->agent, ANNA);
    cr_assert_eq(opened->tab_opened->n_viewers, 1);
    cr_assert_eq(await_grant(&anna, name), token, "the same grant");
    set_grace(SHORT);
    session_client_break(&anna);
    cr_assert_gt(await_grant(&bert, name), token);
    session_client_attach(&anna, r.channels[0], "acme", "anna", resume);
    cr_assert_not(anna.resumed, "its time was over: a new session");
}

/* --- replicas ---------------------------------------------------------------------------------------------
 */

Test(session_hearing, agents_on_different_replicas_see_each_other)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 1, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    cr_assert(session_client_activity(&anna, name, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING));
    cr_assert(session_client_open(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_OPENED), name, SOON));
    Casework__Cases__V1__AttachResponse__TabOpened *opened = open_tab(&bert, name);
    cr_assert_str_eq(opened->lock->agent, ANNA);
    cr_assert_eq(opened->n_viewers, 1);
    session_news *seen = session_client_await(&bert, SESSION_NEWS(ACTIVITY), name, SOON);
    cr_assert(seen, "what she is doing is asked for");
    cr_assert_eq(seen->activity->kind, CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING);
    seen = session_client_await(&anna, SESSION_NEWS(ACTIVITY), name, SOON);
    cr_assert_str_eq(seen->activity->agent, BERT);
    expect_locked(1, name, "bert", NULL, ANNA);
    expect_write(1, name, "anna", anna.session);
    cr_assert(session_client_await(&bert, SESSION_NEWS(CASE_CHANGED), name, SOON));
    cr_assert(session_client_log_out(&anna));
    bool granted = false, left = false, ended = false; /* they come by different ways */
    for (int64_t until = clock_monotonic_us() + SOON; clock_monotonic_us() < until && !(granted && left);) {
        const session_news *news = session_client_next(&bert, CLOCK_SECOND, &ended);
        cr_assert_not(ended);
        granted = granted || (news && news->response_case == SESSION_NEWS(LOCK_GRANTED) &&
                              news->lock_granted->token == token + 1);
        left =
            left || (news && news->response_case == SESSION_NEWS(ACTIVITY) &&
                     news->activity->kind == CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_UNSPECIFIED);
    }
    cr_assert(granted && left);
}

Test(session_two, a_session_goes_on_at_another_replica_and_the_older_stream_ends)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    open_tab(&bert, name);
    session_client_attach(&cleo, r.channels[1], "acme", "anna", anna.token);
    cr_assert(cleo.resumed);
    cr_assert_str_eq(cleo.session, anna.session);
    cr_assert_eq(await_grant(&cleo, name), token);
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_ABORTED);
    cr_assert_str_eq(anna.end.reason, "SESSION_RESUMED");
    session_client_break(&anna);
    expect_locked(0, name, "bert", NULL, ANNA);
    cr_assert(session_client_close(&cleo, name));
    cr_assert_eq(await_grant(&bert, name), token + 1);
}

Test(session_two, a_replica_that_stops_well_sends_its_sessions_elsewhere)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 1, "anna");
    attach(&bert, 0, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    open_tab(&bert, name);
    case_replicas_signal(&r, 1, SIGTERM);
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_UNAVAILABLE);
    session_client_attach(&cleo, r.channels[0], "acme", "anna", anna.token);
    cr_assert(cleo.resumed);
    cr_assert_eq(await_grant(&cleo, name), token);
    expect_locked(0, name, "bert", NULL, ANNA);
}

/*
 * Of two sessions that a replica takes with it, one has the time to come back, the other has not: its stream
 * began with a shorter grace time. For the first one its replica would answer that long, could it go on.
 */
Test(session_three, a_killed_replica_loses_its_locks_after_the_grace_time)
{
    const char *name = case_replicas_case(&r, "acme"), *other = case_replicas_case(&r, "acme");
    struct session_client late;
    attach(&anna, 2, "anna");
    attach(&bert, 1, "bert");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    set_grace(SHORT);
    attach(&late, 2, "cleo");
    open_tab(&late, other);
    int64_t lost = await_grant(&late, other);
    open_tab(&bert, name);
    open_tab(&bert, other);
    case_replicas_signal(&r, 2, SIGKILL);
    cr_assert_eq(await_grant(&bert, other), lost + 1);
    expect_write(1, other, "bert", bert.session);
    expect_locked(0, other, "cleo", late.session, BERT);
    expect_locked(0, name, "bert", bert.session, ANNA);
    session_client_attach(&cleo, r.channels[0], "acme", "cleo", late.token);
    cr_assert_not(cleo.resumed);
    session_client_break(&cleo);
    session_client_attach(&cleo, r.channels[0], "acme", "anna", anna.token);
    cr_assert(cleo.resumed);
    cr_assert_eq(await_grant(&cleo, name), token);
    expect_write(1, name, "anna", anna.session);
    session_client_break(&late);
}

/* The holder's replica stands still, loses its lease, and goes on: it must not tell anybody that they hold
 * the case, nor let the former holder write. */
Test(session_three, a_stopped_replica_that_goes_on_has_lost_its_locks)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&bert, 1, "bert");
    set_grace(SHORT);
    attach(&anna, 2, "anna");
    open_tab(&anna, name);
    int64_t token = await_grant(&anna, name);
    open_tab(&bert, name);
    case_replicas_signal(&r, 2, SIGSTOP);
    cr_assert_eq(await_grant(&bert, name), token + 1);
    cr_assert(session_client_open(&anna, name), "asked while it stands still");
    case_replicas_signal(&r, 2, SIGCONT);
    expect_locked(2, name, "anna", anna.session, BERT);
    bool ended = false, lost = false;
    for (int64_t until = clock_monotonic_us() + SOON; !ended && clock_monotonic_us() < until;) {
        const session_news *news = session_client_next(&anna, CLOCK_SECOND, &ended);
        cr_assert(!news || news->response_case != SESSION_NEWS(LOCK_GRANTED),
                  "a former holder is told it holds");
        lost = lost || (news && news->response_case == SESSION_NEWS(LOCK_LOST));
    }
    cr_assert(ended);
    cr_assert(lost || anna.end.code == STATUS_UNAVAILABLE || anna.end.code == STATUS_ABORTED);
    expect_write(0, name, "bert", bert.session);
    cr_assert_str_eq(get(name)->lock->agent, BERT);
}

Test(session, one_session_too_many_is_refused_as_that)
{
    enum { AS_MANY = 50 };
    static struct session_client others[AS_MANY];
    error err = {0};
    for (int i = 0; i < AS_MANY; i++)
        attach(&others[i], 0, "anna");
    cr_assert_not(session_client_try(&anna, r.channels[0], "acme", "anna", NULL, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(err.reason, "TOO_MANY_SESSIONS", "%s %s", err.reason, err.message);
    attach(&bert, 0, "bert");
    for (int i = 0; i < AS_MANY; i++)
        session_client_break(&others[i]);
}
