#ifndef CASEWORK_TESTS_SUPPORT_PLAIN_COMPARING_H
#define CASEWORK_TESTS_SUPPORT_PLAIN_COMPARING_H

/* What the comparisons of plain_engagements_compare.c and plain_engagements_sums.c share: one range, and the
 * cases in it.
 */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "tests/support/plain_engagements.h"

#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name
#define BY(name) CASEWORK__REPORT__V1__ENGAGEMENT_TIME__ENGAGEMENT_TIME_##name

/* A comparison under way. */
struct comparing {
    const struct plain_history *history;
    arena *memory;
    uint64_t seed;
    size_t compared;
    /* the range asked for; INT64_MIN, INT64_MAX: absent */
    bool by_opening;
    int64_t start, end;
    Google__Protobuf__Timestamp start_time, end_time;
};

#define FILL_RANGE(c, request)                                                    \
    do {                                                                          \
        (request).parent = (char *)(c)->history->account;                         \
        (request).min_position = (c)->history->position;                          \
        (request).start_time = (c)->start != INT64_MIN ? &(c)->start_time : NULL; \
        (request).end_time = (c)->end != INT64_MAX ? &(c)->end_time : NULL;       \
        (request).by = (c)->by_opening ? BY(OPEN) : BY(CLOSE);                    \
    } while (0)

unsigned plain_random(struct comparing *c);
bool plain_in_range(const struct comparing *c, const struct plain_case *one);
bool plain_has_text(char *const *list, size_t count, const char *text);

/* With the value, or, if that is "", with any of the group. */
bool plain_has_class(const struct plain_case *one, const Casework__Cases__V1__Classification *wanted);

/* Microseconds; -1: absent. */
int64_t plain_duration(const Google__Protobuf__Duration *duration);

/* In plain_engagements_sums.c. */
void plain_compare_summary(struct comparing *c);
void plain_compare_classes(struct comparing *c);

#endif
