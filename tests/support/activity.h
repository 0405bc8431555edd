#ifndef CASEWORK_TESTS_SUPPORT_ACTIVITY_H
#define CASEWORK_TESTS_SUPPORT_ACTIVITY_H

/* Reading activity reports in tests. What does not hold fails the test. */

#include "casework/report/v1/report_service.pb-c.h"

#include <stdint.h>

typedef Casework__Report__V1__GetCaseActivityRequest activity_request;
typedef Casework__Report__V1__GetCaseActivityResponse activity_report;
typedef Casework__Report__V1__CaseActivityRow activity_row;

/* RFC 3339. */
int64_t activity_instant(const char *text);
int64_t activity_time(const Google__Protobuf__Timestamp *time);

/* -1: absent. */
int64_t activity_average(const activity_row *row);

/* Whatever was asked: rows follow each other and sum up to the total. */
void activity_check_sums(const activity_report *response);

/* The row that starts then. */
const activity_row *activity_row_at(const activity_report *response, const char *start);

void activity_expect_row(const activity_row *row, int64_t created, int64_t pending, int64_t resolved,
                         int64_t deleted);

#endif
