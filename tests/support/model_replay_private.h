#ifndef CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_PRIVATE_H
#define CASEWORK_TESTS_SUPPORT_MODEL_REPLAY_PRIVATE_H

/* What the files of the replay share. */

#include "tests/support/model_replay.h"

/*
 * Where in a queue somebody can have come: between two places, and by when it was asked for and answered (0:
 * not known). The place of what came at position p is 2p, of what came behind all that happened there 2p + 1.
 */
struct replay_place {
    int64_t earliest, latest, asked, answered;
};

struct replay {
    const struct model_ground *ground;
    struct model_log *logs;
    size_t log_count;
    const struct model_roster *roster;
    struct replay_place (*places)[MODEL_SESSIONS_MAX + 1]; /* of each case */
    struct model_record **by_position;                     /* what was carried out */
    size_t count;
    struct model_record **floating; /* what has yet to find its moment */
    size_t floating_count;
    struct model_feed feed;
    struct model_story *story;
    struct model_story trial;    /* of what a command would do */
    struct account_model *spare; /* the account as a command would leave it */
    struct model_replay_counts counts;
};

const char *replay_complain(const struct model_record *record, const char *what);

/* Carries it out in the model, now. */
const char *replay_apply(struct replay *r, struct model_record *record);

/* Whether the feed has what the answer would put there. */
bool replay_did(struct replay *r, const struct model_record *record, const struct account_answer *answer);

/* Where the replay stands, and all that befell the case of the feed's next event and that case (0: none). */
void replay_print(const struct replay *r, int64_t number);

/* --- sessions --- */

bool replay_is_session(const struct model_record *record);

/* 0: nobody's. */
int replay_session_of(const struct replay *r, const char *id);

/* Where the command that is about to be carried out will put whom in a queue. */
void replay_place(struct replay *r, const struct model_record *record, const struct account_answer *answer);

/* The queues are put into such an order that the grants of the next command can follow, if they can; none
 * ends beyond that position. */
const char *replay_prefer(struct replay *r, int64_t limit);

/* Carries out what some session did at this place by the feed; *ret_moved: there was something. */
const char *replay_advance(struct replay *r, bool *ret_moved);

/* What sessions may do next, and the queues that they stand in. */
void replay_print_sessions(const struct replay *r);

/* The tab was open already, and was opened again before there was what it would see now. */
bool replay_was_open(const struct replay *r, const struct model_record *record);

/* What the client's sessions did before the record (NULL: at all) has happened by now. */
const char *replay_catch_up(struct replay *r, int client, const struct model_record *before);

/* All that were told of a grant are those who got it. */
const char *replay_check_grants(const struct replay *r);

/* What the client was told with its tab. */
const char *replay_check_tab(const struct replay *r, const struct model_record *record);

#endif
