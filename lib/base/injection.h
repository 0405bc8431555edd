#ifndef CASEWORK_BASE_INJECTION_H
#define CASEWORK_BASE_INJECTION_H

/*
 * Named points in the code at which tests make things go wrong (after PostgreSQL's injection_point.h).
 * Compiled out of releases; with CASEWORK_INJECTION they obey the environment variable
 *
 *     CASEWORK_INJECT="pg_lane.before_commit=kill|case.answer=sleep:200|pg_lane.after_commit=drop@3"
 *
 * kill: the process dies by SIGKILL. sleep:N: waits N milliseconds. drop: the point's own fault (a connection
 * closed, an answer lost), which the caller carries out when true comes back. @K: only the K-th time the
 * point is reached; %K: every K-th time; else every time.
 *
 * With CASEWORK_INJECT_ONCE=DIRECTORY each point acts once in all processes that are told the same, and
 * leaves a file of its name there: a service that died at a point lives when it is started again, and a test
 * sees that the fault happened.
 */

#include <stdbool.h>

#ifdef CASEWORK_INJECTION
/* True if the caller is to carry out its own fault. */
bool injection_point(const char *name);

/* Replaces what the environment said; "" for nothing. For tests within one process; counts start anew. */
void injection_set(const char *points);

/* How often an action was carried out at the point since the last set: a test must know that its fault
 * happened. */
int injection_fired(const char *name);
#else
static inline bool injection_point(const char *name)
{
    (void)name;
    return false;
}
#endif

#endif
