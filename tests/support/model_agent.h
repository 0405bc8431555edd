#ifndef CASEWORK_TESTS_SUPPORT_MODEL_AGENT_H
#define CASEWORK_TESTS_SUPPORT_MODEL_AGENT_H

/*
 * The session of one of many clients at once: the model's commands that are about sessions, as a stream that
 * is cut and resumed at one replica or another. What was asked and told is recorded for the replay.
 */

#include "tests/support/model_replay.h"
#include "tests/support/session_client.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the clients share. */
struct model_floor {
    const struct model_ways *ways;
    const char *account; /* "accounts/acme" */
    bool no_grace;       /* a session may be over whenever its stream ends; else it lives on */
    _Atomic int64_t *acknowledged;
    atomic_int_fast64_t moment; /* the order in which things were asked and answered */
    pthread_mutex_t lock;
    struct model_roster roster; /* behind the lock while clients run */
};

struct model_agent {
    struct model_floor *floor;
    struct model_log *log;
    int client;
    uint64_t random;
    int session, agent; /* 0: it has none */
    struct session_client stream;
    struct model_list tabs;
    int64_t granted[ACCOUNT_CASES_MAX]; /* the grants it was told of and has not lost; 0: none */
    int64_t lost[ACCOUNT_CASES_MAX];    /* the latest grant that it was told to have lost */
    bool closing[ACCOUNT_CASES_MAX];
    size_t cuts, ends, resumed; /* streams: cut by itself, ended altogether, gone on with */
    char complaint[256];        /* "": nothing was wrong */
};

/* Carries the command out, which may have become another one: who has no session begins one first. */
void model_agent_run(struct model_agent *agent, struct model_command *command);

/* Reads what there is, and comes back when the stream has ended. */
void model_agent_listen(struct model_agent *agent);

/* Logs out if there is a session. */
void model_agent_leave(struct model_agent *agent);

#endif
