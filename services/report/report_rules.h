#ifndef CASEWORK_REPORT_RULES_H
#define CASEWORK_REPORT_RULES_H

/*
 * How a case moves through the activity report: where it stood, what happened, when → the entries that say
 * so, and where it stands then. Pure.
 */

#include "calendar/zone.h"
#include "report/report_model.h"

enum { REPORT_ENTRIES_MAX = 3, REPORT_LOCK_DAYS = 3 };

/* An account's settings when a case is created. */
struct report_settings {
    const calendar_zone *zone;
    int32_t lock_days; /* below 1: REPORT_LOCK_DAYS */
};

/* The end of the period of a case created at that time: its day and the lock_days - 1 after it. */
int64_t report_rules_period_end(const struct report_settings *settings, int64_t create_time);

/*
 * Carries out one event of a case (kind REPORT_EVENT_CASE); `settings` count when it is the case's first.
 * Writes up to REPORT_ENTRIES_MAX entries and returns how many.
 */
size_t report_rules_apply(struct report_case *state, const struct report_event *event,
                          const struct report_settings *settings,
                          struct report_entry ret_entries[REPORT_ENTRIES_MAX]);

#endif
