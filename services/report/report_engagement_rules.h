#ifndef CASEWORK_REPORT_ENGAGEMENT_RULES_H
#define CASEWORK_REPORT_ENGAGEMENT_RULES_H

/* How a case becomes an engagement, and how that goes on. Pure. */

#include "base/arena.h"
#include "report/report_model.h"

/* Carries out one event. Texts of the change are kept, not copied. False: the arena is full. */
bool report_engagement_rules_apply(struct report_engagement *engagement, const struct report_change *change,
                                   arena *memory) __attribute__((warn_unused_result));

/* An agent has replied to the customer, and the conversation is this case's. */
bool report_engagement_is_one(const struct report_engagement *engagement);

/* What reports are about: an engagement, or a closed case that never became one. */
bool report_engagement_counts(const struct report_engagement *engagement);

/*
 * When it was open, from, to, from, to …; an odd count: it still is. None for what is no engagement. A
 * closing at the very instant of the opening leaves a microsecond. False: the arena is full.
 */
bool report_engagement_spans(const struct report_engagement *engagement, arena *memory, int64_t **ret_spans,
                             size_t *ret_count) __attribute__((warn_unused_result));

#endif
