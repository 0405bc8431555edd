#ifndef CASEWORK_TESTS_SUPPORT_REPORT_WORLD_H
#define CASEWORK_TESTS_SUPPORT_REPORT_WORLD_H

/* The whole product with a manual clock and one account, for tests of reports. What fails fails the test. */

#include "tests/support/suite.h"

struct report_world {
    suite *suite;
    arena *memory;
    const char *account; /* accounts/acme */
    int64_t position;    /* of the last change */
};

struct report_world report_world_begin(const char *zone, const struct suite_options *options);
void report_world_end(struct report_world *w);

/* On to that instant (RFC 3339). */
void report_world_go(const struct report_world *w, const char *time);

/* A case with one message of a customer; its name. */
const char *report_world_create(struct report_world *w);

/* "ResolveCase" and its like: a request with a name, an answer with a position. */
void report_world_act(struct report_world *w, const char *method, const char *name);
/* The same where the case may be in a state that does not allow it: then nothing happens. */
void report_world_try(struct report_world *w, const char *method, const char *name);

/* Has the report service died since its process was *former? Then it serves again, and *former is what does.
 */
bool report_world_died(suite *s, pid_t *former);

#endif
