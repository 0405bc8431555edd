/* Clients of sessions that do not read: their streams end, and their locks go on by the grace time. */

#include "base/clock.h"
#include "rpc/wire.h"
#include "tests/support/case_replicas.h"
#include "tests/support/metrics_page.h"
#include "tests/support/raw_http2.h"
#include "tests/support/session_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SOON (20 * CLOCK_SECOND)

typedef Casework__Cases__V1__AttachRequest request_message;

static struct case_replicas r;
static struct session_client anna, bert;

static void start(int64_t grace_us)
{
    case_replicas_start(&r, 1, false);
    case_replicas_account(&r, "acme", grace_us, "anna bert");
}

static void teardown(void)
{
    if (anna.memory)
        session_client_break(&anna);
    if (bert.memory)
        session_client_break(&bert);
    case_replicas_stop(&r);
    unsetenv("STREAM_PATIENCE_SECONDS");
}

TestSuite(session_slow, .fini = teardown, .timeout = 120);

/* --- a client that takes what its window takes, and nothing more; its connection is well ------------------
 */

static void say(int fd, const request_message *request)
{
    uint8_t data[1024];
    cr_assert_leq(protobuf_c_message_get_packed_size(&request->base), sizeof data);
    cr_assert(raw_message(fd, 1, data, protobuf_c_message_pack(&request->base, data)));
}

/* Anna's, with one tab. */
static int attach_deaf(uint32_t window, const char *case_name)
{
    const char *port = strrchr(r.addresses[0], ':');
    Casework__Cases__V1__AttachRequest__Hello hello = CASEWORK__CASES__V1__ATTACH_REQUEST__HELLO__INIT;
    Casework__Cases__V1__AttachRequest__OpenTab tab = CASEWORK__CASES__V1__ATTACH_REQUEST__OPEN_TAB__INIT;
    request_message first = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT, second = first;
    int fd = raw_connect_window((int)strtol(port + 1, NULL, 10), window);
    cr_assert_geq(fd, 0);
    cr_assert(raw_call_as(fd, 1, "/casework.cases.v1.SessionService/Attach", "anna"));
    hello.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    first.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_HELLO;
    first.hello = &hello;
    tab.case_ = (char *)(uintptr_t)case_name;
    second.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_OPEN_TAB;
    second.open_tab = &tab;
    say(fd, &first);
    say(fd, &second);
    return fd;
}

/* The token that the first message brings. */
static void read_token(int fd, char token[512])
{
    uint8_t data[4096];
    ProtobufCMessage *message;
    size_t length = raw_read_data(fd, 1, data, sizeof data);
    cr_assert_gt(length, 5U);
    size_t first = (size_t)data[3] << 8 | data[4];
    cr_assert_leq(first, length - 5);
    cr_assert(wire_unpack(&casework__cases__v1__attach_response__descriptor, data + 5, first, r.memory,
                          &message, NULL));
    const session_news *news = (const session_news *)message;
    cr_assert_eq((int)news->response_case, SESSION_NEWS(WELCOME));
    snprintf(token, 512, "%s", news->welcome->resume_token);
}

/* Bert has the case open, too; Anna holds it. */
static void join(const char *name)
{
    int64_t until = clock_monotonic_us() + SOON;
    const session_news *news;
    session_client_attach(&bert, r.channels[0], "acme", "bert", NULL);
    do { /* Anna's messages are on their way */
        cr_assert(session_client_open(&bert, name));
        news = session_client_await(&bert, SESSION_NEWS(TAB_OPENED), name, SOON);
        cr_assert(news && clock_monotonic_us() < until);
        if (news->tab_opened->lock && strstr(news->tab_opened->lock->agent, "anna"))
            return;
        cr_assert(session_client_close(&bert, name));
        cr_assert(session_client_await(&bert, SESSION_NEWS(TAB_CLOSED), name, SOON));
    } while (true);
}

/* Bert does so many things of which Anna is told. */
static void fidget(const char *name, int times)
{
    for (int i = 0; i < times; i++)
        cr_assert(session_client_activity(&bert, name,
                                          i % 2 ? CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_TYPING
                                                : CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_EDITING));
}

/* --- what becomes of it -----------------------------------------------------------------------------------
 */

enum { MORE_THAN_ALL_QUEUES = 3000 };

Test(session_slow, a_full_queue_ends_the_session_and_its_lock_goes_by_the_grace_time)
{
    error err;
    start(CLOCK_SECOND);
    const char *name = case_replicas_case(&r, "acme");
    int fd = attach_deaf(65535, name);
    join(name);
    cr_assert_not(case_replicas_write(&r, 0, name, "bert", bert.session, &err));
    cr_assert_str_eq(err.reason, "CASE_LOCKED");
    fidget(name, MORE_THAN_ALL_QUEUES);
    cr_assert(session_client_await(&bert, SESSION_NEWS(LOCK_GRANTED), name, SOON));
    cr_assert(raw_swallow(fd), "its connection is still there");
    cr_assert(case_replicas_write(&r, 0, name, "bert", bert.session, &err));
    close(fd);
}

Test(session_slow, whose_queue_was_full_may_resume_within_the_grace_time)
{
    char token[512];
    bool ended = false;
    start(CLOCK_MINUTE);
    const char *name = case_replicas_case(&r, "acme");
    int fd = attach_deaf(65535, name);
    read_token(fd, token);
    join(name);
    fidget(name, MORE_THAN_ALL_QUEUES);
    cr_assert(session_client_close(&bert, name));
    cr_assert(session_client_await(&bert, SESSION_NEWS(TAB_CLOSED), name, SOON)); /* all was heard */
    session_client_attach(&anna, r.channels[0], "acme", "anna", token);
    cr_assert(anna.resumed);
    cr_assert(session_client_await(&anna, SESSION_NEWS(LOCK_GRANTED), name, SOON), "it holds the case still");
    session_news *more = session_client_next(&anna, CLOCK_SECOND, &ended);
    cr_assert(!more && !ended);
    close(fd); /* what becomes of the old stream does nothing to the new one */
    more = session_client_next(&anna, CLOCK_SECOND, &ended);
    cr_assert(!more && !ended);
}

/* Until the metric has that value. */
static void await_metric(const char *name, double value)
{
    double found;
    cr_assert(metrics_page_await(r.metrics_ports[0], name, value, SOON, &found), "%s is %g, should be %g",
              name, found, value);
}

#define ENDED(reason) "casework_case_session_streams_ended_total{reason=\"" reason "\"}"

/* A client that reads again, before it is cut off, takes what was queued and then hears why it has ended. */
Test(session_slow, who_reads_again_is_told_why_its_stream_has_ended)
{
    start(CLOCK_SECOND);
    const char *name = case_replicas_case(&r, "acme");
    session_client_attach(&anna, r.channels[0], "acme", "anna", NULL);
    cr_assert(session_client_open(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(LOCK_GRANTED), name, SOON));
    join(name);
    await_metric("casework_case_sessions", 2);
    while (metrics_page_value(r.metrics_ports[0], ENDED("SLOW_READER")) != 1)
        fidget(name, MORE_THAN_ALL_QUEUES);
    await_metric("casework_case_sessions", 1);
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_RESOURCE_EXHAUSTED, "%s", anna.end.message);
    cr_assert_str_eq(anna.end.reason, "SLOW_READER");
    cr_assert(session_client_await(&bert, SESSION_NEWS(LOCK_GRANTED), name, SOON));
}

Test(session_slow, metrics_tell_how_many_sessions_there_are_and_why_their_streams_have_ended)
{
    start(CLOCK_MINUTE);
    char token[sizeof anna.token];
    session_client_attach(&anna, r.channels[0], "acme", "anna", NULL);
    session_client_attach(&bert, r.channels[0], "acme", "bert", NULL);
    await_metric("casework_case_sessions", 2);
    await_metric(ENDED("LOGGED_OUT"), -1);
    cr_assert(session_client_log_out(&bert));
    await_metric(ENDED("LOGGED_OUT"), 1);
    await_metric("casework_case_sessions", 1);
    memcpy(token, anna.token, sizeof token);
    session_client_break(&anna);
    await_metric(ENDED("CLIENT_LEFT"), 1);
    await_metric("casework_case_sessions", 0);
    session_client_attach(&anna, r.channels[0], "acme", "anna", token);
    cr_assert(anna.resumed);
    await_metric("casework_case_sessions", 1);
    struct session_client again;
    session_client_attach(&again, r.channels[0], "acme", "anna", token);
    await_metric(ENDED("SESSION_RESUMED"), 1);
    await_metric("casework_case_sessions", 1);
    session_client_break(&again);
    await_metric(ENDED("CLIENT_LEFT"), 2);
    await_metric(ENDED("LOGGED_OUT"), 1);
}

/* Even the welcome is too much for its window, and nothing more comes that could fill a queue. */
Test(session_slow, who_takes_nothing_for_too_long_is_ended_however_little_waits)
{
    setenv("STREAM_PATIENCE_SECONDS", "1", 1);
    start(CLOCK_SECOND);
    const char *name = case_replicas_case(&r, "acme");
    int fd = attach_deaf(16, name);
    join(name);
    cr_assert(session_client_await(&bert, SESSION_NEWS(LOCK_GRANTED), name, SOON));
    cr_assert(raw_swallow(fd), "its connection is still there");
    close(fd);
}
