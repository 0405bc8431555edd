#ifndef CASEWORK_REPORT_WIRE_H
#define CASEWORK_REPORT_WIRE_H

/* What the reports' requests and responses have in common. All made here is in the arena; NULL: it is full.
 */

#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_engagement_store.h"

/* A row of the table. */
Casework__Report__V1__Engagement *report_wire_engagement(arena *memory, const char *account,
                                                         const struct report_table_row *row);

/* A time range; INVALID_ARGUMENT for times and a choice that are none, and an end that is not after the
 * start. */
bool report_wire_range(const char *account, const Google__Protobuf__Timestamp *start,
                       const Google__Protobuf__Timestamp *end, Casework__Report__V1__EngagementTime by,
                       struct report_range *ret_range, error *err) __attribute__((warn_unused_result));

/* A time of any instant, 1970's first one too. */
void report_wire_set_time(Google__Protobuf__Timestamp *to, int64_t time_us);

/* sum / count to the nanosecond, rounded half up; count must not be 0. */
void report_wire_set_mean(Google__Protobuf__Duration *to, int64_t sum_us, int64_t count);

#endif
