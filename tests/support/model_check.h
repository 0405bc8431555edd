#ifndef CASEWORK_TESTS_SUPPORT_MODEL_CHECK_H
#define CASEWORK_TESTS_SUPPORT_MODEL_CHECK_H

/*
 * A whole account of the real service against the model of it: every case and message, the feed, the folders.
 * The checks answer the first difference in words, NULL: none; static, until the next check of this thread.
 */

#include "tests/support/model_wire.h"

/* One event as the feed should have it. */
struct model_told {
    int64_t position, number; /* of the case; 0: about none */
    enum event_kind kind;
    enum case_status previous_status;
    int64_t related; /* see struct model_event */
    int message, agent, moved, lock_agent, lock_session;
    int64_t lock_token;
    struct model_actor actor;
    int64_t time;
    struct model_facts facts;
};

/* All events of an account from a position on. */
struct model_story {
    struct model_told *events;
    size_t count, size;
};

struct model_ground {
    rpc_channel *channel;
    const char *name; /* "accounts/acme" */
    arena *memory;    /* used up, not cleared */
    struct account_model *account;
    struct model_contacts *contacts;
    const char (*sessions)[MODEL_SESSION_SIZE]; /* their ids by number; NULL: they are not compared */
};

/* What a command that was carried out puts into the feed. */
void model_story_add(struct model_story *story, const struct account_model *account,
                     const struct model_command *command, const struct account_answer *answer);
void model_story_release(struct model_story *story);

/* The account's feed after `start`, as it was read: the event at a position is events[position - start]. */
struct model_feed {
    int64_t start, last;
    const Casework__Cases__V1__Event **events; /* NULL where there is none */
};

/* Up to `last`; the events are in the ground's memory. */
void model_feed_read(const struct model_ground *ground, int64_t start, int64_t last,
                     struct model_feed *ret_feed);
void model_feed_release(struct model_feed *feed);

/* Where the account's feed stands. */
int64_t model_check_position(const struct model_ground *ground);

/* What the feed has at that position, against what should be there. */
const char *model_feed_differ(const struct model_ground *ground, const struct model_feed *feed,
                              const struct model_told *told);

/* The feed of the account after `position`. */
const char *model_check_feed(const struct model_ground *ground, int64_t position,
                             const struct model_story *story);

const char *model_check_cases(const struct model_ground *ground);

/* Counts of all folders for all agents; and `walks` lists, page by page, picked by *random. */
const char *model_check_lists(const struct model_ground *ground, size_t walks, uint64_t *random);

#endif
