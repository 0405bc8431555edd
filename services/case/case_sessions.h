#ifndef CASEWORK_CASE_SESSIONS_H
#define CASEWORK_CASE_SESSIONS_H

/*
 * Agents' sessions as this replica serves them: the streams of SessionService.Attach, what they are told, and
 * their leases. What is true of sessions, tabs and locks stands in PostgreSQL and changes through the lanes
 * only (case_batch_session.c); see docs/sessions.md.
 */

#include "base/error.h"
#include "case/case_feed.h"
#include "pg/lane.h"
#include "pg/pg.h"
#include "rpc/server.h"

#include <stdbool.h>

typedef struct case_sessions case_sessions;

struct case_sessions_options {
    struct pg_options connection; /* for leases */
    pg_lanes *lanes;
    case_feed *feed;
    const char *redis_url; /* presence between replicas; "": within this one only */
    int64_t patience_us;   /* how long a client may take nothing while something waits for it */
};

/* Starts the threads. The texts in the options, lanes and feed must outlive the sessions. */
bool case_sessions_new(const struct case_sessions_options *options, case_sessions **ret_sessions, error *err)
    __attribute__((warn_unused_result));

/* After the server has drained, before the lanes end: nothing is handed to them any more. Takes NULL. */
void case_sessions_stop(case_sessions *sessions);
void case_sessions_free(case_sessions *sessions); /* after the lanes have ended; takes NULL */

/* Attach; context: the case_sessions. */
extern const struct rpc_method case_session_methods[];

/* BreakCaseLock, with a struct case_writer as context, and ListTabs, with a struct case_reader. */
extern const struct rpc_method case_lock_methods[];
extern const struct rpc_method case_tab_methods[];

#endif
