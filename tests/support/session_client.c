#include "tests/support/session_client.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WELCOME_TIMEOUT_US (20 * CLOCK_SECOND)

enum { MEMORY_MAX = 64 << 20 };

typedef Casework__Cases__V1__AttachRequest request_message;

static char *writable(const char *text)
{
    return (char *)(uintptr_t)text;
}

session_news *session_client_next(struct session_client *c, int64_t timeout_us, bool *ret_ended)
{
    ProtobufCMessage *message;
    *ret_ended = false;
    switch (rpc_stream_read(c->stream, timeout_us, c->memory, &message, &c->end)) {
    case RPC_READ_MESSAGE:
        return (session_news *)message;
    case RPC_READ_END:
        c->end = (error){.code = STATUS_OK};
        *ret_ended = true;
        return NULL;
    case RPC_READ_FAILED:
        *ret_ended = true;
        return NULL;
    case RPC_READ_TIMEOUT:
        break;
    }
    return NULL;
}

bool session_client_try_for(struct session_client *c, rpc_channel *channel, const char *account,
                            const char *agent, const char *token, int64_t timeout_us, error *ret_err)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX, .agent = agent};
    Casework__Cases__V1__AttachRequest__Hello hello = CASEWORK__CASES__V1__ATTACH_REQUEST__HELLO__INIT;
    request_message request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    bool ended;
    *c = (struct session_client){.memory = arena_new(MEMORY_MAX), .agent = agent};
    hello.agent = arena_printf(c->memory, "accounts/%s/agents/%s", account, agent);
    hello.resume_token = writable(token ? token : "");
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_HELLO;
    request.hello = &hello;
    bool opened = rpc_stream_open(channel, &casework__cases__v1__session_service__descriptor, "Attach",
                                  &options, &c->stream, ret_err);
    session_news *news = NULL;
    if (opened && rpc_stream_write(c->stream, &request.base))
        news = session_client_next(c, timeout_us, &ended);
    else if (opened)
        session_client_await_end(c, timeout_us);
    if (!news || news->response_case != SESSION_NEWS(WELCOME)) {
        if (opened)
            *ret_err = c->end;
        session_client_break(c);
        return false;
    }
    snprintf(c->session, sizeof c->session, "%s", news->welcome->session);
    snprintf(c->token, sizeof c->token, "%s", news->welcome->resume_token);
    c->resumed = news->welcome->resumed;
    return true;
}

bool session_client_try(struct session_client *c, rpc_channel *channel, const char *account,
                        const char *agent, const char *token, error *ret_err)
{
    return session_client_try_for(c, channel, account, agent, token, WELCOME_TIMEOUT_US, ret_err);
}

void session_client_attach(struct session_client *c, rpc_channel *channel, const char *account,
                           const char *agent, const char *token)
{
    error err = {0};
    if (session_client_try(c, channel, account, agent, token, &err))
        return;
    fprintf(stderr, "Attach as %s: %s: %s\n", agent, status_code_name(err.code), err.message);
    abort();
}

void session_client_break(struct session_client *c)
{
    if (c->stream)
        rpc_stream_cancel(c->stream);
    rpc_stream_free(c->stream);
    c->stream = NULL;
    arena_free(c->memory);
    c->memory = NULL;
}

bool session_client_open(struct session_client *c, const char *case_name)
{
    Casework__Cases__V1__AttachRequest__OpenTab open = CASEWORK__CASES__V1__ATTACH_REQUEST__OPEN_TAB__INIT;
    request_message request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    open.case_ = writable(case_name);
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_OPEN_TAB;
    request.open_tab = &open;
    return rpc_stream_write(c->stream, &request.base);
}

bool session_client_close(struct session_client *c, const char *case_name)
{
    Casework__Cases__V1__AttachRequest__CloseTab close = CASEWORK__CASES__V1__ATTACH_REQUEST__CLOSE_TAB__INIT;
    request_message request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    close.case_ = writable(case_name);
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_CLOSE_TAB;
    request.close_tab = &close;
    return rpc_stream_write(c->stream, &request.base);
}

bool session_client_activity(struct session_client *c, const char *case_name,
                             Casework__Cases__V1__ActivityKind kind)
{
    Casework__Cases__V1__AttachRequest__Activity activity =
        CASEWORK__CASES__V1__ATTACH_REQUEST__ACTIVITY__INIT;
    request_message request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    activity.case_ = writable(case_name);
    activity.kind = kind;
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_ACTIVITY;
    request.activity = &activity;
    return rpc_stream_write(c->stream, &request.base);
}

bool session_client_log_out(struct session_client *c)
{
    Casework__Cases__V1__AttachRequest__LogOut log_out = CASEWORK__CASES__V1__ATTACH_REQUEST__LOG_OUT__INIT;
    request_message request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_LOG_OUT;
    request.log_out = &log_out;
    return rpc_stream_write(c->stream, &request.base);
}

const char *session_news_case(const session_news *news)
{
    switch (news->response_case) {
    case SESSION_NEWS(TAB_OPENED):
        return news->tab_opened->case_;
    case SESSION_NEWS(TAB_CLOSED):
        return news->tab_closed->case_;
    case SESSION_NEWS(LOCK_GRANTED):
        return news->lock_granted->case_;
    case SESSION_NEWS(LOCK_HELD):
        return news->lock_held->case_;
    case SESSION_NEWS(LOCK_LOST):
        return news->lock_lost->case_;
    case SESSION_NEWS(ACTIVITY):
        return news->activity->case_;
    case SESSION_NEWS(CASE_CHANGED):
        return news->case_changed->case_;
    case SESSION_NEWS(REFUSED):
        return news->refused->case_;
    default:
        return "";
    }
}

session_news *session_client_await(struct session_client *c, int kind, const char *case_name,
                                   int64_t timeout_us)
{
    int64_t until = clock_monotonic_us() + timeout_us;
    for (int64_t now = clock_monotonic_us(); now < until; now = clock_monotonic_us()) {
        bool ended;
        session_news *news = session_client_next(c, until - now, &ended);
        if (ended)
            return NULL;
        if (news && (int)news->response_case == kind &&
            (!case_name || strcmp(session_news_case(news), case_name) == 0))
            return news;
    }
    return NULL;
}

bool session_client_await_end(struct session_client *c, int64_t timeout_us)
{
    int64_t until = clock_monotonic_us() + timeout_us;
    bool ended = false;
    for (int64_t now = clock_monotonic_us(); !ended && now < until; now = clock_monotonic_us())
        session_client_next(c, until - now, &ended);
    return ended;
}
