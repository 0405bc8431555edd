#ifndef CASEWORK_TESTS_SUPPORT_CASE_SERVER_H
#define CASEWORK_TESTS_SUPPORT_CASE_SERVER_H

/*
 * The case service alone, as a program of its own on a private PostgreSQL, with a manual clock that nobody
 * else follows (but what CASE_SERVER_PEER in the environment names), and without keys: every caller is a
 * service for all accounts. What a test cannot go on without ends it with a message.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "embedded/embedded_pg.h"
#include "embedded/process.h"
#include "rpc/client.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CASE_SERVER_START_US INT64_C(1772442000000000) /* 2026-03-02T09:00:00Z */

struct case_server {
    embedded_pg *pg;
    process *process, *other;
    rpc_channel *channel;
    char address[32];           /* of the first replica */
    uint16_t metrics_port;      /* its metrics' */
    rpc_channel *other_channel; /* of a second replica; NULL until there is one */
    arena *memory;              /* of the answers of all calls */
};

void case_server_start(struct case_server *server);
void case_server_stop(struct case_server *server);

/* One more replica on the same database. */
void case_server_start_other(struct case_server *server);

/* The same; it looks at the feed only when somebody says that something has come. */
void case_server_start_hearing(struct case_server *server);

/* And one that belongs to the caller: to be stopped before the server, or killed. */
void case_server_start_replica(struct case_server *server, process **ret_process, rpc_channel **ret_channel);
void case_server_stop_replica(process *program, rpc_channel *channel);

/* Until the first replica has ended a stream of the method for a reader that takes nothing. */
void case_server_await_slow_reader(const struct case_server *server, const char *service, const char *method);

/* False: the answer was an error. */
bool case_server_try(struct case_server *server, const ProtobufCServiceDescriptor *service,
                     const char *method, const void *request, void *ret_response, error *ret_err)
    __attribute__((warn_unused_result));

/* For calls that must succeed. */
void *case_server_call(struct case_server *server, const ProtobufCServiceDescriptor *service,
                       const char *method, const void *request);

/* The clock moves on. */
void case_server_advance(struct case_server *server, int64_t duration_us);

/* The rows that lead from agents to the cases they are involved in tell what the cases do; how many there
 * are.
 */
int64_t case_server_check_involved(const struct case_server *server);

/* accounts/ID and, in it, channels/desk of the network "chat". */
void case_server_account(struct case_server *server, const char *id);

/* A conversation for an import, in the server's memory. Messages: 'c'ustomer, 'a'gent, 'n'ote, 't'hird party,
 * a minute apart. */
Casework__Cases__V1__ImportConversationsRequest *case_server_conversation(
    struct case_server *server, const char *account, const char *external_id, const char *subject,
    const char *messages, int64_t start_us);

/* Streams them in. */
Casework__Cases__V1__ImportConversationsResponse *case_server_import(
    struct case_server *server, Casework__Cases__V1__ImportConversationsRequest *const *items, size_t count);

/* The same for an agent. */
Casework__Cases__V1__ImportConversationsResponse *case_server_import_for(
    struct case_server *server, const char *agent,
    Casework__Cases__V1__ImportConversationsRequest *const *items, size_t count);

#endif
