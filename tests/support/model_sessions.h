#ifndef CASEWORK_TESTS_SUPPORT_MODEL_SESSIONS_H
#define CASEWORK_TESTS_SUPPORT_MODEL_SESSIONS_H

/*
 * The model's commands that are about sessions, as streams of the real case service: one client for each
 * session of the account, driven by one thread. What each is told of locks is kept and compared.
 */

#include "tests/support/model_wire.h"
#include "tests/support/session_client.h"

/* What a session was told last of a case that it has open: its own grant, or whose the case is. */
struct model_told_lock {
    int64_t granted; /* 0: it is not ours */
    int holder;      /* an agent; 0: nobody */
    bool giving;     /* it closes the tab: that somebody else holds the case comes without lock_lost */
};

struct model_sessions {
    struct session_client clients[MODEL_SESSIONS_MAX + 1];
    bool attached[MODEL_SESSIONS_MAX + 1];
    struct model_told_lock told[MODEL_SESSIONS_MAX + 1][ACCOUNT_CASES_MAX];
    char complaint[256];
};

/* Whether the command is for model_sessions_run. */
bool model_sessions_is_about(enum model_verb verb);

/* Its id; NULL for 0. */
const char *model_sessions_id(const struct model_sessions *sessions, int session);

/* Carries the command out, which the account has done. The first difference in words; NULL: none. */
const char *model_sessions_run(struct model_sessions *sessions, rpc_channel *channel, const char *name,
                               const struct account_model *account, const struct model_command *command);

/* Reads what there is; streams are not to fill up. */
const char *model_sessions_listen(struct model_sessions *sessions);

/* All that live have been told who holds the cases in their tabs. */
const char *model_sessions_check(struct model_sessions *sessions, const struct account_model *account);

/* Ends what is still attached; ready for the next account. */
void model_sessions_release(struct model_sessions *sessions);

#endif
