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

TestSuite(session_token, .init = setup, .fini = teardown, .timeout = 300);

static rpc_channel *anna_for(int64_t ttl_us)
{
    const struct rpc_token_claims claims = {
        .account = "acme", .role = RPC_ROLE_AGENT, .subject = "anna", .agent = "anna", .ttl_us = ttl_us};
    char *token = suite_token(s, &claims);
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    free(token);
    return channel;
}

/* How long a token is good that is to end while its stream runs; longer where that takes longer. */
#define BRIEF (4 * CLOCK_SECOND)
#define BRIEF_MAX CLOCK_MINUTE

/* The grant of a lock that a session with a brief token got; 0: the token was too brief. */
static int64_t get_lock(struct session_client *client, rpc_channel *brief, const char *name)
{
    error err = {0};
    if (!session_client_try(client, brief, "acme", "anna", NULL, &err))
        return 0;
    session_news *news = NULL;
    if (session_client_open(client, name))
        news = session_client_await(client, SESSION_NEWS(LOCK_GRANTED), name, SOON);
    if (news)
        return news->lock_granted->token;
    session_client_break(client);
    return 0;
}

Test(session_token, a_session_ends_with_its_token_and_is_resumed_with_another)
{
    struct session_client anna, again;
    const char *name = suite_create_case(s, "accounts/acme", "Kettle", "It leaks.", memory, NULL);
    rpc_channel *brief = anna_for(BRIEF), *lasting = anna_for(CLOCK_HOUR);
    int64_t grant;
    for (int64_t ttl_us = BRIEF; (grant = get_lock(&anna, brief, name)) == 0;) {
        cr_assert_lt(ttl_us, BRIEF_MAX, "the lock is granted");
        rpc_channel_free(brief);
        brief = anna_for(ttl_us *= 2);
    }
    cr_assert(session_client_await_end(&anna, BRIEF_MAX + SOON));
    cr_assert_eq(anna.end.code, STATUS_UNAUTHENTICATED, "%s", anna.end.message);
    cr_assert_str_eq(anna.end.reason, "TOKEN_EXPIRED");
    session_client_attach(&again, lasting, "acme", "anna", anna.token);
    cr_assert(again.resumed);
    session_news *news = session_client_await(&again, SESSION_NEWS(LOCK_GRANTED), name, SOON);
    cr_assert(news, "tab and lock are there still");
    cr_assert_eq(news->lock_granted->token, grant);
    session_client_break(&anna);
    session_client_break(&again);
    rpc_channel_free(brief);
    rpc_channel_free(lasting);
}

/* Of a watch with a brief token: how many items there were until it ended, and how that was. */
static int watch_until_end(int64_t ttl_us, error *ret_end)
{
    const struct rpc_client_options options = {.timeout_us = BRIEF_MAX + SOON};
    Casework__Cases__V1__WatchCasesRequest request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    rpc_channel *brief = anna_for(ttl_us);
    ProtobufCMessage *message;
    rpc_stream *stream;
    enum rpc_read read;
    int watched = 0;
    request.parent = (char *)"accounts/acme";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_OPEN;
    cr_assert(rpc_stream_open(brief, &casework__cases__v1__case_service__descriptor, "WatchCases", &options,
                              &stream, ret_end));
    (void)!rpc_stream_write(stream, &request.base);
    rpc_stream_close_send(stream);
    while ((read = rpc_stream_read(stream, BRIEF_MAX + SOON, memory, &message, ret_end)) == RPC_READ_MESSAGE)
        watched++;
    cr_assert_eq(read, RPC_READ_FAILED);
    rpc_stream_free(stream);
    rpc_channel_free(brief);
    return watched;
}

Test(session_token, a_watch_ends_with_its_token)
{
    error end = {0};
    for (int64_t ttl_us = BRIEF; watch_until_end(ttl_us, &end) == 0; ttl_us *= 2)
        cr_assert_lt(ttl_us, BRIEF_MAX, "%s", end.message);
    cr_assert_eq(end.code, STATUS_UNAUTHENTICATED, "%s", end.message);
    cr_assert_str_eq(end.reason, "TOKEN_EXPIRED");
}
