#ifndef CASEWORK_CLI_SESSION_H
#define CASEWORK_CLI_SESSION_H

/* Where the services are and who asks: from flags, the environment, or the ready file of `casework up`. */

#include "base/error.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

enum session_target { TARGET_CASE, TARGET_SEARCH, TARGET_SLA, TARGET_REPORT, TARGET_COUNT };

struct session {
    const char *targets[TARGET_COUNT]; /* host:port */
    const char *token;                 /* NULL: none */
    const char *agent;                 /* act for this agent (service tokens); NULL: nobody */
    const char *key_directory;         /* of the ready file, for `casework token`; NULL: none */
    int64_t timeout_us;
    bool json;
    rpc_channel *channels[TARGET_COUNT];
    arena *memory; /* of everything the session holds */
};

/* Targets from CASE_TARGET … or their defaults, the token from CASEWORK_TOKEN. */
bool session_init(struct session *session, error *err) __attribute__((warn_unused_result));
void session_release(struct session *session);

/* Takes what a ready file says: {"case":"host:port", …, "token":"…"}. */
bool session_read_ready_file(struct session *session, const char *path, error *err)
    __attribute__((warn_unused_result));

/* The channel, made at the first use. The session owns it. */
bool session_channel(struct session *session, enum session_target target, rpc_channel **ret_channel,
                     error *err) __attribute__((warn_unused_result));

struct rpc_client_options session_call_options(const struct session *session);

const char *session_target_name(enum session_target target);

#endif
