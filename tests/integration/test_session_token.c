/* What an agent's token has opened ends with the token; what can be resumed is resumed with the next one. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/session_client.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SOON (20 * CLOCK_SECOND)

static suite *s;
static arena *memory;

static void setup(void)
{
    memory = arena_new(4 << 20);
    s = suite_start(NULL);
    suite_create_agent(s, suite_create_account(s, "acme", "UTC", memory), "anna");
}

static void teardown(void)
{
    suite_stop(s);
    arena_free(memory);
}

TestSuite(session_token, .init = setup, .fini = teardown, .timeout = 120);

static rpc_channel *anna_for(int64_t ttl_us)
{
    const struct rpc_token_claims claims = {
        .account = "acme", .role = RPC_ROLE_AGENT, .subject = "anna", .agent = "anna", .ttl_us = ttl_us};
    char *token = suite_token(s, &claims);
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    free(token);
    return channel;
}

Test(session_token, a_session_ends_with_its_token_and_is_resumed_with_another)
{
    struct session_client anna, again;
    const char *name = suite_create_case(s, "accounts/acme", "Kettle", "It leaks.", memory, NULL);
    rpc_channel *brief = anna_for(5 * CLOCK_SECOND), *lasting = anna_for(CLOCK_HOUR);
    session_client_attach(&anna, brief, "acme", "anna", NULL);
    cr_assert(session_client_open(&anna, name));
    session_news *news = session_client_await(&anna, SESSION_NEWS(LOCK_GRANTED), name, SOON);
    cr_assert(news, "the lock is granted");
    int64_t grant = news->lock_granted->token;
    cr_assert(session_client_await_end(&anna, SOON));
    cr_assert_eq(anna.end.code, STATUS_UNAUTHENTICATED, "%s", anna.end.message);
    cr_assert_str_eq(anna.end.reason, "TOKEN_EXPIRED");
    session_client_attach(&again, lasting, "acme", "anna", anna.token);
    cr_assert(again.resumed);
    news = session_client_await(&again, SESSION_NEWS(LOCK_GRANTED), name, SOON);
    cr_assert(news, "tab and lock are there still");
    cr_assert_eq(news->lock_granted->token, grant);
    session_client_break(&anna);
    session_client_break(&again);
    rpc_channel_free(brief);
    rpc_channel_free(lasting);
}

Test(session_token, a_watch_ends_with_its_token)
{
    const struct rpc_client_options options = {.timeout_us = SOON};
    Casework__Cases__V1__WatchCasesRequest request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    rpc_channel *brief = anna_for(4 * CLOCK_SECOND);
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err = {0};
    enum rpc_read read;
    request.parent = (char *)"accounts/acme";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_OPEN;
    cr_assert(rpc_stream_open(brief, &casework__cases__v1__case_service__descriptor, "WatchCases", &options,
                              &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    int watched = 0;
    while ((read = rpc_stream_read(stream, SOON, memory, &message, &err)) == RPC_READ_MESSAGE)
        watched++;
    cr_assert_gt(watched, 0, "%s", err.message);
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_UNAUTHENTICATED, "%s", err.message);
    cr_assert_str_eq(err.reason, "TOKEN_EXPIRED");
    rpc_stream_free(stream);
    rpc_channel_free(brief);
}
