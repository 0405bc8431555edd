#ifndef CASEWORK_CASE_RULES_LOCK_H
#define CASEWORK_CASE_RULES_LOCK_H

/*
 * Tabs and locks. A case that somebody has open in a tab is held by one session, and the others wait in the
 * order of their opening; a case that is deleted or merged away is held by nobody. Each grant has a number
 * that only grows (a fencing token: Martin Kleppmann, "How to do distributed locking", 2016).
 *
 * Pure, like case_rules.h: the tabs of a case and the case before → both after, and the events.
 */

#include "case/case_rules.h"

#include <stddef.h>

/* How a tab stands to its stored row. */
enum tab_state { TAB_STORED, TAB_NEW, TAB_CHANGED, TAB_CLOSED };

/* A session that has the case open. */
struct case_tab {
    const char *session, *agent;
    int64_t wait; /* its place in the queue: the lowest has waited longest */
    int64_t open_time;
    enum tab_state state;
};

/* All tabs of one case, in no order; those closed since they were read are among them. */
struct case_tabs {
    struct case_tab *items;
    size_t count, size;
};

enum { CASE_VIEWERS_MAX = 1000 }; /* sessions that have one case open */

/* The session's tab; NULL: it has none. */
struct case_tab *case_tabs_find(const struct case_tabs *tabs, const char *session);

/* How many are open. */
size_t case_tabs_count(const struct case_tabs *tabs);

/* Adds a row as it was read. False: the arena is full. */
bool case_tabs_add(arena *memory, struct case_tabs *tabs, const struct case_tab *tab)
    __attribute__((warn_unused_result));

/*
 * May the actor write in the case? FAILED_PRECONDITION, CASE_LOCKED with the holder in the details when
 * another session holds it. Only agents are held up; an agent who holds the case may write without naming a
 * session, but not from another one.
 */
bool case_rules_check_lock(const struct case_context *context, const struct case_record *record, error *err)
    __attribute__((warn_unused_result));

/*
 * The acting agent's session opens the case in a tab: the case is opened, and held when nobody holds it. A
 * tab that is open stays as it is. RESOURCE_EXHAUSTED: too many have it open.
 */
bool case_rules_open_tab(const struct case_context *context, struct case_tabs *tabs, const char *session,
                         struct case_change *change, error *err) __attribute__((warn_unused_result));

/* The session's tab is gone, for whatever reason: the lock it held goes to the next. */
bool case_rules_close_tab(const struct case_context *context, struct case_tabs *tabs, const char *session,
                          struct case_change *change, error *err) __attribute__((warn_unused_result));

/*
 * Takes the lock away: it goes to the longest waiting other session, and the former holder waits last. When
 * no other waits, nobody holds the case: the next session that opens it does, the former one too.
 * FAILED_PRECONDITION, LOCK_CHANGED when another grant than `token` stands (0: any).
 */
bool case_rules_break_lock(const struct case_context *context, struct case_tabs *tabs, int64_t token,
                           struct case_change *change, error *err) __attribute__((warn_unused_result));

/* After a change of the case itself: nobody holds what is gone, and what came back goes to whoever waits. */
bool case_rules_settle_lock(const struct case_context *context, const struct case_tabs *tabs,
                            struct case_change *change, error *err) __attribute__((warn_unused_result));

#endif
