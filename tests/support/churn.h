#ifndef CASEWORK_TESTS_SUPPORT_CHURN_H
#define CASEWORK_TESTS_SUPPORT_CHURN_H

/*
 * Somebody who changes an account's cases at random: new ones, messages, statuses, owners, labels, deletions,
 * merges, as agents and as the platform, many at once. What the rules refuse is refused.
 */

#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

enum { CHURN_CHANNELS_MAX = 2 };

/* In every subject and every message. */
#define CHURN_TEXT "what nobody else may read"

struct churn_options {
    rpc_channel *channels[CHURN_CHANNELS_MAX]; /* replicas, in turn; the second may be NULL */
    const char *account;                       /* has agents anna and bert, and channels/desk */
    int64_t first_case, last_case;             /* only these are changed */
    bool creates;                              /* new cases, which are changed too */
    unsigned in_flight;                        /* calls at a time */
    unsigned a_second;                         /* calls; 0: as many as go */
    uint64_t seed;
};

typedef struct churn churn;

churn *churn_start(const struct churn_options *options);

/* Calls that were carried out so far. */
int64_t churn_count(churn *c);

/* Every call has been answered when it returns. Answers how many were carried out. */
int64_t churn_stop(churn *c);

/* A small generator of random numbers (splitmix64). */
uint64_t churn_random(uint64_t *state);

#endif
