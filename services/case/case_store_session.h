#ifndef CASEWORK_CASE_STORE_SESSION_H
#define CASEWORK_CASE_STORE_SESSION_H

/* Sessions and tabs in SQL. Private to the store. */

#include "case/case_overlay_session.h"
#include "pg/lane.h"
#include "pg/pg.h"

/*
 * A host that has not been seen for this long may be gone: from then on the grace time of its sessions runs.
 * It says that it is there every SESSION_BEAT_US while it serves any.
 */
#define SESSION_HOST_LEASE_US INT64_C(1000000)
#define SESSION_HOST_LEASE_SQL "interval '1 second'"
#define SESSION_BEAT_US INT64_C(250000)

/* Reads, as case_store_read knows them: the statement, the place of `ord` in its rows, what a row does. */
extern const struct pg_statement case_store_read_sessions, case_store_read_session_tabs,
    case_store_read_agent_sessions, case_store_read_case_tabs;

enum { SESSION_ORD = 6, SESSION_TABS_ORD = 1, AGENT_SESSIONS_ORD = 1, CASE_TABS_ORD = 4 };

bool case_store_load_session(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err);
bool case_store_load_session_tab(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                 error *err);
bool case_store_load_agent_session(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                   error *err);
bool case_store_load_case_tab(struct overlay *overlay, void *entry, const pg_result *result, int row,
                              error *err);

bool store_write_sessions(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
