#ifndef CASEWORK_CASE_OVERLAY_SESSION_H
#define CASEWORK_CASE_OVERLAY_SESSION_H

/* Sessions and tabs in the overlay. */

#include "case/case_overlay.h"
#include "case/case_rules_lock.h"

struct session_entry {
    struct entry entry; /* key: account, a = session */
    const char *agent;
    const char *host; /* "": it has no stream */
    int64_t stream;
    bool gone;             /* its time is over, but nobody has ended it yet */
    size_t tab_count;      /* open tabs */
    bool removed;          /* by this batch, and was stored before */
    bool seen;             /* its host has just spoken for it: that renews the host's lease */
    const char *lost_host; /* who served it before somebody else took it; NULL: nobody lost it */
    int64_t grace_us;      /* of its account */
};

/* The cases that a session has open. Key: account, a = session. */
struct session_tabs_entry {
    struct entry entry;
    int64_t *case_ids;
    size_t count, size;
};

/* The sessions of an agent. Key: account, a = agent. */
struct agent_sessions_entry {
    struct entry entry;
    const char **sessions;
    size_t count, size;
    bool follow; /* they are to be ended: all of their tabs have to be known */
};

/* Who has a case open. Key: account, n = case. */
struct case_tabs_entry {
    struct entry entry;
    struct case_tabs tabs;
};

struct session_entry *overlay_session(struct overlay *overlay, const char *account, const char *session);
struct session_tabs_entry *overlay_session_tabs(struct overlay *overlay, const char *account,
                                                const char *session);
struct agent_sessions_entry *overlay_agent_sessions(struct overlay *overlay, const char *account,
                                                    const char *agent);
struct case_tabs_entry *overlay_case_tabs(struct overlay *overlay, const char *account, int64_t case_id);

/* The same if somebody has asked for it, else NULL. */
struct session_tabs_entry *overlay_find_session_tabs(const struct overlay *overlay, const char *account,
                                                     const char *session);
struct case_tabs_entry *overlay_find_case_tabs(const struct overlay *overlay, const char *account,
                                               int64_t case_id);

/* False: the arena is full. */
bool session_tabs_add(struct overlay *overlay, struct session_tabs_entry *entry, int64_t case_id);
bool agent_sessions_add(struct overlay *overlay, struct agent_sessions_entry *entry, const char *session);

/* What the sessions, tabs and agents asked for lead to is asked for too. */
void overlay_follow_sessions(struct overlay *overlay);

#endif
