#ifndef CASEWORK_TESTS_SUPPORT_SESSION_CLIENT_H
#define CASEWORK_TESTS_SUPPORT_SESSION_CLIENT_H

/*
 * An agent's client: one stream of SessionService.Attach, driven step by step by one thread. What a test
 * cannot go on without ends it with a message.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/session_service.pb-c.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

typedef Casework__Cases__V1__AttachResponse session_news;

/* What is waited for: the number of the oneof's member, SESSION_NEWS(TAB_OPENED). */
#define SESSION_NEWS(name) CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_##name

struct session_client {
    rpc_stream *stream;
    arena *memory; /* of all that was read */
    const char *agent;
    char session[64];
    char token[512]; /* to resume with */
    bool resumed;
    error end; /* how the stream ended, once it has */
};

/*
 * Attaches as `agent` of `account` and reads the welcome. `token`: of the session to resume; NULL: a new one.
 * The try fails with what the stream ended with.
 */
void session_client_attach(struct session_client *c, rpc_channel *channel, const char *account,
                           const char *agent, const char *token);
bool session_client_try(struct session_client *c, rpc_channel *channel, const char *account,
                        const char *agent, const char *token, error *ret_err)
    __attribute__((warn_unused_result));

/* The same, which is given up when no welcome has come within the time. */
bool session_client_try_for(struct session_client *c, rpc_channel *channel, const char *account,
                            const char *agent, const char *token, int64_t timeout_us, error *ret_err)
    __attribute__((warn_unused_result));

/* The connection breaks, or the test is over with it. */
void session_client_break(struct session_client *c);

/* What the client says. False: the stream has ended. */
bool session_client_open(struct session_client *c, const char *case_name);
bool session_client_close(struct session_client *c, const char *case_name);
bool session_client_activity(struct session_client *c, const char *case_name,
                             Casework__Cases__V1__ActivityKind kind);
bool session_client_log_out(struct session_client *c);

/* The next message within the time; NULL: none, or the stream has ended (then c->end.code tells, OK included,
 * and *ret_ended is set). */
session_news *session_client_next(struct session_client *c, int64_t timeout_us, bool *ret_ended);

/* Reads on until a message of that kind comes, about the case (NULL: any); others are passed over. NULL: it
 * has not come in time, or the stream has ended. */
session_news *session_client_await(struct session_client *c, int kind, const char *case_name,
                                   int64_t timeout_us);

/* The case that a message is about; "" for a welcome. */
const char *session_news_case(const session_news *news);

/* Reads on until the stream has ended; how is in c->end. */
bool session_client_await_end(struct session_client *c, int64_t timeout_us);

#endif
