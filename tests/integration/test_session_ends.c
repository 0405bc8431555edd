/* How sessions end, what they are not told then, and how many there may be. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "tests/support/case_replicas.h"
#include "tests/support/session_client.h"

#include <criterion/criterion.h>
#include <string.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define SOON (20 * CLOCK_SECOND)

enum { SESSIONS_MAX = 50, TABS_MAX = 200 };

static struct case_replicas r;
static struct session_client anna, bert;

static void setup(void)
{
    case_replicas_start(&r, 2, false);
    case_replicas_account(&r, "acme", CLOCK_MINUTE, "anna bert");
}

static void teardown(void)
{
    if (anna.memory)
        session_client_break(&anna);
    if (bert.memory)
        session_client_break(&bert);
    case_replicas_stop(&r);
}

TestSuite(session_ends, .init = setup, .fini = teardown, .timeout = 120);

static void attach(struct session_client *c, unsigned replica, const char *agent)
{
    session_client_attach(c, r.channels[replica], "acme", agent, NULL);
}

static void open_tab(struct session_client *c, const char *name)
{
    cr_assert(session_client_open(c, name));
    cr_assert(session_client_await(c, SESSION_NEWS(TAB_OPENED), name, SOON), "%s opens %s", c->agent, name);
}

static void open_alone(struct session_client *c, const char *name)
{
    open_tab(c, name);
    cr_assert(session_client_await(c, SESSION_NEWS(LOCK_GRANTED), name, SOON));
}

/* --- what a client gives back itself --- */

/* Reads until a message of that kind comes (0: until the stream ends), and no lock may be told lost before.
 */
static void expect_no_loss_until(struct session_client *c, int kind)
{
    int64_t until = clock_monotonic_us() + SOON;
    bool ended = false;
    while (!ended && clock_monotonic_us() < until) {
        const session_news *news = session_client_next(c, SOON, &ended);
        if (!news)
            continue;
        cr_assert_neq((int)news->response_case, SESSION_NEWS(LOCK_LOST), "reason %d",
                      (int)news->lock_lost->reason);
        if ((int)news->response_case == kind)
            return;
    }
    cr_assert(ended && kind == 0);
}

Test(session_ends, who_closes_a_tab_has_not_lost_its_lock)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    for (int i = 0; i < 50; i++) {
        open_alone(&anna, name);
        cr_assert(session_client_close(&anna, name));
        expect_no_loss_until(&anna, SESSION_NEWS(TAB_CLOSED));
    }
}

Test(session_ends, who_logs_out_has_not_lost_a_lock)
{
    const char *name = case_replicas_case(&r, "acme");
    for (int i = 0; i < 20; i++) {
        attach(&anna, 0, "anna");
        open_alone(&anna, name);
        cr_assert(session_client_log_out(&anna));
        expect_no_loss_until(&anna, 0);
        cr_assert_eq(anna.end.code, STATUS_OK, "%s", anna.end.message);
        session_client_break(&anna);
    }
}

/* --- with the account --- */

static void delete_account(void)
{
    Casework__Cases__V1__DeleteAccountRequest request = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    request.name = (char *)(uintptr_t) "accounts/acme";
    case_replicas_call(&r, 0, ACCOUNTS, "DeleteAccount", &request, NULL);
}

static void expect_not_found(struct session_client *c)
{
    cr_assert(session_client_await_end(c, SOON));
    cr_assert_eq(c->end.code, STATUS_NOT_FOUND, "%s: %s %s", c->agent, c->end.reason, c->end.message);
    session_client_break(c);
}

Test(session_ends, with_the_account_and_nothing_of_the_next_is_told)
{
    const char *name = case_replicas_case(&r, "acme");
    attach(&anna, 0, "anna");
    attach(&bert, 1, "bert"); /* elsewhere, and without a tab */
    open_alone(&anna, name);
    char token[sizeof anna.token];
    memcpy(token, anna.token, sizeof token);
    delete_account();
    case_replicas_account(&r, "acme", CLOCK_MINUTE, "anna bert"); /* as soon as that is possible */
    name = case_replicas_case(&r, "acme");
    expect_not_found(&anna);
    expect_not_found(&bert);
    session_client_attach(&anna, r.channels[0], "acme", "anna", token);
    cr_assert_not(anna.resumed);
    open_alone(&anna, name);
    bool ended;
    cr_assert_null(session_client_next(&anna, CLOCK_SECOND, &ended));
    cr_assert_not(ended, "it goes on: %s", anna.end.message);
}

/* --- too many --- */

Test(session_ends, an_agent_has_so_many_sessions_at_the_most)
{
    static struct session_client clients[SESSIONS_MAX];
    error err = {0};
    for (int i = 0; i < SESSIONS_MAX; i++)
        attach(&clients[i], (unsigned)i % 2, "anna");
    cr_assert_not(session_client_try(&anna, r.channels[0], "acme", "anna", NULL, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(err.reason, "TOO_MANY_SESSIONS");
    attach(&bert, 0, "bert");
    cr_assert(session_client_log_out(&clients[0]));
    cr_assert(session_client_await_end(&clients[0], SOON));
    attach(&anna, 1, "anna");
    for (int i = 0; i < SESSIONS_MAX; i++)
        session_client_break(&clients[i]);
}

Test(session_ends, a_session_has_so_many_tabs_at_the_most)
{
    const char *names[TABS_MAX + 1];
    attach(&anna, 0, "anna");
    for (int i = 0; i <= TABS_MAX; i++) {
        names[i] = case_replicas_case(&r, "acme");
        if (i < TABS_MAX)
            open_tab(&anna, names[i]);
    }
    cr_assert(session_client_open(&anna, names[TABS_MAX]));
    const session_news *news = session_client_await(&anna, SESSION_NEWS(REFUSED), names[TABS_MAX], SOON);
    cr_assert(news);
    cr_assert_eq(news->refused->code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(news->refused->reason, "TOO_MANY_TABS");
    open_tab(&anna, names[0]); /* it is open already */
    cr_assert(session_client_close(&anna, names[1]));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_CLOSED), names[1], SOON));
    open_tab(&anna, names[TABS_MAX]);
}
