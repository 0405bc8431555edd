#ifndef CASEWORK_TESTS_SUPPORT_SLA_DESK_H
#define CASEWORK_TESTS_SUPPORT_SLA_DESK_H

/* What tests of timers do with a running suite. All of it ends the test when it fails. */

#include "casework/sla/v1/sla_service.pb-c.h"
#include "redis/client.h"
#include "tests/support/suite.h"

#include <stdbool.h>
#include <stdint.h>

/* Cases close so long after they were resolved. */
void sla_desk_policy(suite *s, const char *account, int64_t after_resolved_us);

/* First reply within an hour, resolution within ten; what is resolved closes after a minute. */
void sla_desk_targets(suite *s, const char *account);

/* A case of the account that has just been resolved; in `memory`. */
const char *sla_desk_resolved(suite *s, const char *account, arena *memory);

/* Imports so many cases of the account acme, resolved one after the other within the span. */
void sla_desk_import_resolved(suite *s, int count, int64_t first_us, int64_t span_us);

/* How often the case was closed, by its history. */
int sla_desk_closings(suite *s, const char *case_name);

/* Waits, bounded, until the case is closed; else the test fails. */
void sla_desk_await_closed(suite *s, const char *case_name, int64_t within_us);

/* CheckTimers; of its differences how many are of each kind. */
struct sla_desk_check {
    int missing, surplus, changed;
    int64_t cases, timers, differences;
};
struct sla_desk_check sla_desk_check(suite *s, const char *parent);

/* The schedule is equal to the truth. */
void sla_desk_expect_same(suite *s, const char *parent);

/* RebuildTimers; its last item lives in `memory`. */
const Casework__Sla__V1__RebuildTimersResponse *sla_desk_rebuild(suite *s, const char *parent, arena *memory);

/* The number that `casework_…{labels}` has at a replica's metrics; -1: it is not there. */
double sla_desk_metric(suite *s, unsigned replica, const char *name);

/* One Redis command; up to three arguments, the first NULL ends them. False if Redis refuses or is away. */
bool sla_desk_redis(suite *s, const char *command, const char *first, const char *second, const char *third);

/* Waits, bounded, until the condition holds; else the test fails with `what`. */
void sla_desk_await(bool (*holds)(void *context), void *context, int64_t within_us, const char *what);

#endif
