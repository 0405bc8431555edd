#ifndef CASEWORK_TESTS_SUPPORT_SUITE_H
#define CASEWORK_TESTS_SUPPORT_SUITE_H

/*
 * The whole product for a test: `casework up --ephemeral` with free ports and, unless told otherwise, a
 * manual clock. What a test cannot go on without never fails quietly: the functions here end the test with a
 * message.
 */

#include "base/arena.h"
#include "base/error.h"
#include "embedded/process.h"
#include "rpc/call.h"
#include "rpc/client.h"
#include "rpc/token.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum suite_service { SUITE_CASE, SUITE_SEARCH, SUITE_SLA, SUITE_REPORT, SUITE_SERVICES };

enum { SUITE_REPLICAS_MAX = 4 };

/* Where a manual clock starts when a test names no time: a Monday. */
#define SUITE_START "2026-03-02T09:00:00Z"

struct suite_options {
    const char *clock;           /* "real", "manual=TIME"; NULL: manual at SUITE_START */
    unsigned replicas;           /* 0: 1 */
    const char *data_directory;  /* where data is kept, and stays; NULL: nothing is kept */
    const char *redis_url;       /* of a Redis that is not the suite's own; NULL: its own */
    const char *const *settings; /* "NAME=value" for all services, ended by NULL; NULL: none */
};

typedef struct suite suite;

/* Everything is healthy when this returns. `options` may be NULL. */
suite *suite_start(const struct suite_options *options);

/* SIGTERM. Fails the test unless every process ended with status 0. */
void suite_stop(suite *s);

/* --- the processes --- */

pid_t suite_pid(suite *s, enum suite_service service, unsigned replica); /* 0: has ended */
pid_t suite_redis_pid(suite *s);
const char *suite_address(const suite *s, enum suite_service service, unsigned replica);
const char *suite_redis_url(const suite *s);
const char *suite_database(const suite *s, enum suite_service service);
const char *suite_ready_file(const suite *s);
const char *suite_directory(const suite *s); /* for a test's own files; gone with the suite */

/* SIGKILL. `casework up` starts the service again; see suite_await_restart. Answers the former process. */
pid_t suite_kill(suite *s, enum suite_service service, unsigned replica);

/* Until another process than `former` serves in its place. */
void suite_await_restart(suite *s, enum suite_service service, unsigned replica, pid_t former);

/* Runs `casework` with the arguments (ended by NULL) and the ready file. Answers its exit status and, if
 * wanted, what it wrote, to be freed. */
int suite_run(suite *s, const char *const *arguments, char **ret_output);

/* Starts it and does not wait; its output goes with the suite's log. The caller frees the process. */
process *suite_begin(suite *s, const char *const *arguments);

/* The same with its output in a file. */
process *suite_begin_into(suite *s, const char *const *arguments, const char *path);

/* The same as suite_run with --json, for commands that must succeed. The caller releases the object. */
json_t *suite_run_json(suite *s, const char *const *arguments);

/* --- calls --- */

/* With a service token for all accounts; owned by the suite. */
rpc_channel *suite_channel(suite *s, enum suite_service service, unsigned replica);

/* With this token; NULL: none. The caller frees it. */
rpc_channel *suite_channel_as(suite *s, enum suite_service service, const char *token);

/* Signed with the suite's key; the caller frees it. */
char *suite_token(suite *s, const struct rpc_token_claims *claims);

/* The service that a method belongs to, with the platform's token. False with *ret_err when it answers an
 * error. */
bool suite_try(suite *s, const ProtobufCServiceDescriptor *service, const char *method,
               const ProtobufCMessage *request, arena *memory, ProtobufCMessage **ret_response,
               error *ret_err) __attribute__((warn_unused_result));

/* The same at one replica. */
bool suite_try_at(suite *s, unsigned replica, const ProtobufCServiceDescriptor *service, const char *method,
                  const ProtobufCMessage *request, arena *memory, ProtobufCMessage **ret_response,
                  error *ret_err) __attribute__((warn_unused_result));

/* For calls that must succeed. */
void *suite_call(suite *s, const ProtobufCServiceDescriptor *service, const char *method, const void *request,
                 arena *memory);
void *suite_call_at(suite *s, unsigned replica, const ProtobufCServiceDescriptor *service, const char *method,
                    const void *request, arena *memory);

/* --- the clock --- */

void suite_advance(suite *s, int64_t duration_us); /* returns when all have caught up */
int64_t suite_now_us(suite *s);

/* --- what most tests begin with; names live in `memory` --- */

/* With a channel, accounts/ID/channels/desk. */
const char *suite_create_account(suite *s, const char *id, const char *time_zone, arena *memory);
void suite_create_agent(suite *s, const char *account, const char *id);

/* A case on that channel, with a first message of the customer. */
const char *suite_create_case(suite *s, const char *account, const char *subject, const char *body,
                              arena *memory, int64_t *ret_position);

/*
 * OpenCase, MarkCasePending, ResolveCase, ReopenCase, DeleteCase, UndeleteCase: whatever takes a case's name.
 * By the agent with this id; NULL: by the platform. Answers the position.
 */
int64_t suite_step(suite *s, const char *method, const char *case_name, const char *agent);

/* A message of MESSAGE_KIND_… by the agent; NULL: by the platform. Answers the position. */
int64_t suite_write(suite *s, const char *case_name, int kind, const char *agent, const char *body);

/* The case as it is, in `memory`. */
const struct Casework__Cases__V1__Case *suite_case(suite *s, const char *case_name, arena *memory);

/* Where the account's feed stands. */
int64_t suite_position(suite *s, const char *account);

/* The path of the 503 conversations (CASEWORK_TEST_DATA). Where they are not, the test is skipped. */
const char *suite_conversations(void);

#endif
