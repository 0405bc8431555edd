#ifndef CASEWORK_TESTS_SUPPORT_CASE_REPLICAS_H
#define CASEWORK_TESTS_SUPPORT_CASE_REPLICAS_H

/*
 * Several replicas of the case service, as programs of their own on one private PostgreSQL and Redis, without
 * keys: every caller is a service for all accounts, and an agent where a call says so. What a test cannot go
 * on without ends it with a message.
 */

#include "base/arena.h"
#include "base/error.h"
#include "embedded/embedded_pg.h"
#include "embedded/embedded_redis.h"
#include "embedded/process.h"
#include "rpc/client.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

enum { CASE_REPLICAS_MAX = 4 };

struct case_replicas {
    embedded_pg *pg;
    embedded_redis *redis; /* NULL: without */
    unsigned count;
    process *processes[CASE_REPLICAS_MAX];
    rpc_channel *channels[CASE_REPLICAS_MAX];
    char addresses[CASE_REPLICAS_MAX][32];
    uint16_t metrics_ports[CASE_REPLICAS_MAX]; /* metrics_page.h */
    arena *memory;                             /* of the answers of all calls */
};

void case_replicas_start(struct case_replicas *r, unsigned count, bool with_redis);

/* Those that still run must end well. */
void case_replicas_stop(struct case_replicas *r);

/* SIGKILL (and it is gone), SIGSTOP, SIGCONT, SIGTERM. */
void case_replicas_signal(struct case_replicas *r, unsigned replica, int signal_number);

/* One that was killed serves again, under the same address, when this returns. */
void case_replicas_restart(struct case_replicas *r, unsigned replica);

/* A call at one replica by an agent (NULL: by a service), who may name a session (NULL: none). False:
 * refused. */
bool case_replicas_try(struct case_replicas *r, unsigned replica, const ProtobufCServiceDescriptor *service,
                       const char *method, const void *request, const char *agent, const char *session,
                       void *ret_response, error *ret_err) __attribute__((warn_unused_result));

/* For calls that must succeed. */
void *case_replicas_call(struct case_replicas *r, unsigned replica, const ProtobufCServiceDescriptor *service,
                         const char *method, const void *request, const char *agent);

/* accounts/ID with that grace time, a channel and the agents given, "anna bert"; capital letters make admins:
 * "Boss" is agents/boss. */
void case_replicas_account(struct case_replicas *r, const char *id, int64_t grace_us, const char *agents);

/* A new case in it, with a customer's message; its name. */
const char *case_replicas_case(struct case_replicas *r, const char *account);

/* A note of an agent in the case, or a customer's message from a service (agent NULL): true when it was
 * written, else *ret_err says why not. */
bool case_replicas_write(struct case_replicas *r, unsigned replica, const char *case_name, const char *agent,
                         const char *session, error *ret_err);

#endif
