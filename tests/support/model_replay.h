#ifndef CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_H
#define CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_H

/*
 * What many clients at once asked and were told, against the model: what was carried out is replayed in the
 * order of positions. Refusals and repeated requests have no place of their own there: they must fit some
 * moment between what was known when they were asked and what their client was told next.
 *
 * So must what a session does and is not told the place of (closing a tab, ending). If it gives a lock back,
 * the feed shows where. If it does not, it only leaves a queue; who opened a tab of a case that somebody
 * holds, only joins one. Each such queue is known as far as the order of its members follows from positions
 * and from who was answered before whom was asked; whoever gets the lock by the feed must be one who can have
 * stood first.
 */

#include "tests/support/model_check.h"

/* All sessions that there were, numbered in the order of their beginning. */
struct model_roster {
    int count;
    int agents[MODEL_SESSIONS_MAX + 1];
    char ids[MODEL_SESSIONS_MAX + 1][MODEL_SESSION_SIZE];
};

struct model_record {
    struct model_command command;
    struct model_reply reply;
    int64_t low, high; /* positions: committed before it was asked; not yet passed when it was answered */
    int client;
    bool repeat; /* of a command that the client knew to be done */
    bool done;   /* by the replay, at that position */
    int64_t at;
    bool rival; /* another one may have led to its position as well */
    /* What a session did: the moments of one count; the grant that stood when its tab was opened. */
    int64_t asked, answered, lock_token;
    bool vague;   /* it happened at its position or before, which may lie within what another command did */
    bool perhaps; /* it may not have happened: the session is over */
    bool by_anybody; /* its session ended: on behalf of the agent, or of nobody */
};

/* What one client asked, in that order, and the grants that its sessions were told of. */
struct model_log {
    struct model_record *records;
    size_t count, size;
    struct model_grant {
        int64_t number, token;
        int session;
    } * grants;
    size_t grant_count, grant_size;
};

/* `size`: of records, at the most. */
void model_log_init(struct model_log *log, size_t size);
struct model_record *model_log_add(struct model_log *log); /* zeroed */
void model_log_grant(struct model_log *log, int64_t number, int64_t token, int session);
void model_log_release(struct model_log *log);

/* What the replay found besides. */
struct model_replay_counts {
    size_t refused, repeated, later;  /* later: the answer told of more than its own change */
    size_t locked, grants, passed_on; /* refused by a lock; grants, and those to one who had waited */
};

/*
 * The logs of all clients; `high` is not yet set. The account's feed stands at `last` and moves no more.
 * Fills the story. The first difference in words; NULL: none.
 */
const char *model_replay(const struct model_ground *ground, struct model_log *logs, size_t log_count,
                         const struct model_roster *roster, int64_t last, struct model_story *story,
                         struct model_replay_counts *ret_counts);

#endif
