#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_STEPS_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_STEPS_H

/*
 * What may happen to cases, contacts and accounts, a step at a time, picked with rand(), through the running
 * services. What the rules refuse has not been done; what else goes wrong ends the test.
 */

#include "tests/support/suite.h"

#include <stddef.h>

enum { SEARCH_STEPS_ACCOUNTS = 3, SEARCH_STEPS_CASES_MAX = 60 };

enum search_step {
    SEARCH_STEP_ADD_CASE,
    SEARCH_STEP_ADD_MESSAGE,
    SEARCH_STEP_EDIT,
    SEARCH_STEP_RENAME,
    SEARCH_STEP_REDACT,
    SEARCH_STEP_DELETE,
    SEARCH_STEP_UNDELETE,
    SEARCH_STEP_MERGE,
    SEARCH_STEP_UNMERGE,
    SEARCH_STEP_FILL,
    SEARCH_STEP_ERASE,
    SEARCH_STEP_ASSIGN,
    SEARCH_STEP_MOVE,
    SEARCH_STEP_DELETE_ACCOUNT,
    SEARCH_STEPS
};

struct search_steps_account {
    char name[32], secret[32]; /* a word that stands in its cases only */
    int cases;                 /* that were asked for */
    char merged[64];           /* a case that went into another one; "" or gone */
    char filled[64];           /* a case with more messages than are searched; likewise */
};

struct search_steps {
    suite *suite;
    arena *memory; /* the caller's to clear */
    struct search_steps_account accounts[SEARCH_STEPS_ACCOUNTS];
    int done[SEARCH_STEPS]; /* steps that succeeded */
};

/* The accounts, each with contacts and some cases. */
void search_steps_begin(struct search_steps *steps, suite *s, arena *memory);

void search_steps_take_some(struct search_steps *steps); /* one, of any kind and account */

/* Each at least once: a history in which nothing was unmerged says nothing about that. */
void search_steps_take_all(struct search_steps *steps);

/* A case more. False: it failed, or there are enough. */
bool search_steps_add_case(struct search_steps *steps, struct search_steps_account *account);

/* One that texts are made of. */
const char *search_steps_pick_word(void);

/* How often each kind has succeeded, on standard error. */
void search_steps_tell(const struct search_steps *steps);

#endif
