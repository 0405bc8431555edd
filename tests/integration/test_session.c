/* Sessions, tabs and locks as clients see them, over replicas of the case service. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "tests/support/case_replicas.h"
#include "tests/support/session_client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define SESSIONS (&casework__cases__v1__session_service__descriptor)
#define SOON (10 * CLOCK_SECOND)
#define GRACE CLOCK_SECOND
#define ANNA "accounts/acme/agents/anna"
#define BERT "accounts/acme/agents/bert"

static struct case_replicas r;
static struct session_client anna, bert, cleo;

static void start(unsigned count)
{
    case_replicas_start(&r, count, true);
    case_replicas_account(&r, "acme", GRACE, "anna bert cleo Boss");
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

static void setup_three(void)
{
    start(3);
}

TestSuite(session, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(session_two, .init = setup_two, .fini = teardown, .timeout = 60);
TestSuite(session_three, .init = setup_three, .fini = teardown, .timeout = 60);

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
