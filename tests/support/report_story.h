#ifndef CASEWORK_TESTS_SUPPORT_REPORT_STORY_H
#define CASEWORK_TESTS_SUPPORT_REPORT_STORY_H

/*
 * Generated histories of one account over the whole product, for tests of reports: messages of all kinds,
 * closings, re-openings, merges and their undoing, deletions, erased contacts, redacted messages, labels and
 * classifications, on two channels, over changes of the account's settings, beside accounts that come and go,
 * while report services are killed. And every report against a plain reading of each case. What fails fails
 * the test.
 */

#include "tests/support/engagements.h"
#include "tests/support/plain_activity.h"

struct report_story {
    struct shop shop;
    uint64_t seed;
    const char **names; /* of the cases, by number; room for REPORT_STORY_CASES_MAX */
    size_t count;
    size_t spared;                   /* the first ones, which random steps leave alone */
    struct plain_settings *settings; /* that the account has had */
    size_t settings_count;
    size_t gone;       /* accounts that came and went */
    unsigned replicas; /* of the report service; two: each event is applied twice */
    struct plain_activity activity;
    int64_t error_percent; /* that percentiles may be off by; 0: exact */
    size_t compared;       /* numbers, so far */
};

enum { REPORT_STORY_CASES_MAX = 20000 };

/* CASEWORK_REPORT_SEED, or what the clock says; printed. */
uint64_t report_story_seed(void);

/* A number from the environment. */
size_t report_story_number(const char *name, size_t fallback);

struct report_story *report_story_begin(const char *zone, const struct suite_options *options, uint64_t seed);
void report_story_end(struct report_story *s);

/* So many things that may happen, in any order; time passes among them. */
void report_story_go_on(struct report_story *s, size_t steps);

/* The same on one's own: other settings; an account of the same partition that comes and goes. */
void report_story_change_settings(struct report_story *s);
void report_story_come_and_go(struct report_story *s);

/* A case for the list, one with a message of a customer, or of a contact that can be erased. */
const char *report_story_case(struct report_story *s);
const char *report_story_case_of_contact(struct report_story *s);

/* The case's contact. */
void report_story_erase_contact(struct report_story *s, size_t number);

/* Until that time, if it is not later already. */
void report_story_go_to(struct report_story *s, int64_t time_us);

/* All reports of all cases and the tables against a rebuild; earlier answers again. */
void report_story_compare(struct report_story *s);

#endif
