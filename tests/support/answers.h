#ifndef CASEWORK_TESTS_SUPPORT_ANSWERS_H
#define CASEWORK_TESTS_SUPPORT_ANSWERS_H

/*
 * What search, SLA and report answer about some accounts, as bytes: to compare before and after, here and
 * there. Each answer is complete up to where the account's feed stands.
 */

#include "tests/support/suite.h"

#include <stddef.h>

struct answers {
    arena *memory;
    const char *const *accounts; /* resource names; must outlive the answers */
    size_t account_count;
    struct answer *list;
    size_t count;
};

/* Asks this replica of each service, for all of the words. */
void answers_collect(suite *s, unsigned replica, const char *const *accounts, size_t account_count,
                     const char *const *words, size_t word_count, struct answers *ret_answers);
void answers_release(struct answers *answers);

/* How many answers differ; says which. */
size_t answers_compare(const struct answers *one, const struct answers *two);

/* Over all searches and accounts: results, timers, resolved cases. So that nobody compares nothing with
 * nothing. */
void answers_weigh(const struct answers *answers, size_t *ret_found, size_t *ret_timers,
                   size_t *ret_resolved);

#endif
