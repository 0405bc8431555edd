#ifndef CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_H
#define CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_H

/*
 * What many clients at once asked and were told, against the model: what was carried out is replayed in the
 * order of positions. Refusals and repeated requests have no place of their own there: they must fit some
 * moment between what was known when they were asked and what their client was told next.
 */

#include "tests/support/model_check.h"

struct model_record {
    struct model_command command;
    struct model_reply reply;
    int64_t low, high; /* positions: committed before it was asked; not yet passed when it was answered */
    int client;
    bool repeat; /* of a command that the client knew to be done */
    bool done;   /* by the replay */
};

/* What the replay found besides. */
struct model_replay_counts {
    size_t refused, repeated, later; /* later: the answer told of more than its own change */
};

/*
 * Records of each client in the order of asking, `high` not yet set. Fills the story. The first difference in
 * words; NULL: none.
 */
const char *model_replay(const struct model_ground *ground, struct model_record *records, size_t count,
                         struct model_story *story, struct model_replay_counts *ret_counts);

#endif
