#ifndef CASEWORK_TESTS_SUPPORT_PLAIN_ENGAGEMENTS_H
#define CASEWORK_TESTS_SUPPORT_PLAIN_ENGAGEMENTS_H

/*
 * Engagement reports by plain reading: each case's history from its beginning to its end, then each number by
 * looking at every case. Shares no code with the service.
 */

#include "base/arena.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "tests/support/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A case with what its history comes to. Times are microseconds since 1970. */
struct plain_case {
    int64_t id;
    const Casework__Cases__V1__CaseFacts *facts; /* the last ones */
    bool merged, answered, nps_sent;
    int64_t opened, first_reply, resolution; /* durations in microseconds */
    int64_t closed;                          /* -1: is not */
    int64_t interactions;
    const char *agents[64]; /* resource names */
    size_t agent_count;
    const char *last_agent;
    int64_t *times; /* when each status began */
    int *statuses;
    size_t status_count;
};

struct plain_history {
    suite *suite;
    const char *account;
    int64_t position;
    struct plain_case *cases;
    size_t count;
    int64_t error_percent; /* that a summary's percentiles may be off by; 0: exact */
};

/* Everything there is of the account, cases numbered 1 to `count`. In `memory`. */
struct plain_history plain_read(suite *s, const char *account, size_t count, arena *memory);

/* Asks the service for every report, over several ranges, orders, filters, zones and units that follow from
 * the seed, and compares each number. Fails the test at the first that differs. Answers how many were
 * compared. */
size_t plain_compare(const struct plain_history *history, uint64_t seed);

#endif
