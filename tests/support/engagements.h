#ifndef CASEWORK_TESTS_SUPPORT_ENGAGEMENTS_H
#define CASEWORK_TESTS_SUPPORT_ENGAGEMENTS_H

/* Driving cases and asking for engagement reports in tests. What does not hold fails the test. */

#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "tests/support/suite.h"

typedef Casework__Report__V1__Engagement engagement;
typedef Casework__Report__V1__ListEngagementsRequest table_request;
typedef Casework__Report__V1__ListEngagementsResponse table_page;

/* A suite with one account, the channel `desk` and the agents ann, bob and cid. */
struct shop {
    suite *suite;
    arena *memory;
    const char *account;
};

struct shop shop_begin(const char *zone, const struct suite_options *options);
void shop_end(struct shop *d);
void shop_go_to(const struct shop *d, const char *time);

/* A case with a first message of the customer. */
const char *shop_case(struct shop *d);

/* A case without a message. */
const char *shop_empty_case(struct shop *d);

/* "customer", "note", "survey", "third", "system" (by the platform), or an agent's id: that agent's reply. */
void shop_write(struct shop *d, const char *name, const char *who);

/* The same, sent before now (0: now) or by an auto-responder. */
void shop_write_at(struct shop *d, const char *name, const char *who, int64_t send_time, bool automatic);
void shop_merge(struct shop *d, const char *source, const char *target);
void shop_unmerge(struct shop *d, const char *source);
void shop_classify(struct shop *d, const char *name, const char *group, const char *value, bool on);
void shop_label(struct shop *d, const char *name, const char *const *labels, size_t count);

/* Everything the service has, complete up to now, in one page. */
table_request shop_ask(const struct shop *d);
const table_page *shop_table(const struct shop *d, const table_request *request);

/* The engagement of a case; NULL: it has none. */
const engagement *shop_engagement(const struct shop *d, const char *name);

/* Microseconds; -1: absent. */
int64_t shop_duration(const Google__Protobuf__Duration *duration);
int64_t shop_time(const Google__Protobuf__Timestamp *time);

#endif
