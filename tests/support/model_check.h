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
    int message;
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
};

/* What a command that was carried out puts into the feed. */
void model_story_add(struct model_story *story, const struct account_model *account,
                     const struct model_command *command, const struct account_answer *answer);
void model_story_release(struct model_story *story);

/* What the feed has at one position, in short. */
struct model_deed {
    struct model_actor actor;
    enum event_kind kind;
    int64_t number; /* of the case; 0: about none */
};

/* At each position after `position`, up to `last`; to be freed. */
struct model_deed *model_feed_deeds(const struct model_ground *ground, int64_t position, int64_t last);

/* The feed of the account after `position`. */
const char *model_check_feed(const struct model_ground *ground, int64_t position,
                             const struct model_story *story);

const char *model_check_cases(const struct model_ground *ground);

/* Counts of all folders for all agents; and `walks` lists, page by page, picked by *random. */
const char *model_check_lists(const struct model_ground *ground, size_t walks, uint64_t *random);

#endif
