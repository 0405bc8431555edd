#ifndef CASEWORK_CASE_SESSION_HUB_H
#define CASEWORK_CASE_SESSION_HUB_H

/*
 * The inside of case_sessions: sessions with a stream here, their tabs, and the cases in them. Everything is
 * under one lock, which is held for lookups and for queueing messages, never while something is waited for.
 */

#include "base/metrics.h"
#include "case/case_command.h"
#include "case/case_presence.h"
#include "case/case_resume.h"
#include "case/case_sessions.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/cases/v1/session_service.pb-c.h"
#include "feed/partition.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SESSION_ID_SIZE = RESUME_SESSION_SIZE,
    ACCOUNT_ID_SIZE = 64,
    AGENT_ID_SIZE = 64,
    NAME_SIZE = 192,    /* of a resource */
    OUTGOING_MAX = 512, /* messages that wait for a slow reader, beside those in the stream's own queue */
    OUTGOING_BYTES = 1 << 20 /* likewise */
};

typedef Casework__Cases__V1__AttachResponse attach_response;

/* A message that the stream has no room for yet. */
struct outgoing {
    struct outgoing *next;
    size_t length;
    unsigned char data[];
};

struct watched_case;

enum { ALL_CASES = -1 };

/* A case as a tab was last told of it, or as the lane has answered when that is newer. */
struct tab_view {
    char agent[AGENT_ID_SIZE], session[SESSION_ID_SIZE]; /* who holds it; "": nobody */
    int64_t token, lock_time;
    bool need_reply;
};

/* A tab of a session that has its stream here. */
struct session_tab {
    struct session *session;
    struct watched_case *of;
    struct session_tab *next_of_case, *next_of_session;
    struct tab_view view; /* at told_to */
    int64_t told_to;      /* the account's place in the feed up to which the tab has been told */
    int64_t behind_to; /* the followers of the feed passed by before the tab was there: to be read; 0: not */
    int64_t asked_to;  /* behind_to, once that is being read */
    int64_t holds;     /* the grant that its session was told of; 0: none */
    /* A change to be told at the end of a run; 0: none. */
    int64_t changed_at;
    int changed_status;
    bool changed_need_reply;
};

struct viewer {
    char session[SESSION_ID_SIZE];
    char agent[AGENT_ID_SIZE];
    int kind;  /* CASEWORK__CASES__V1__ACTIVITY_KIND__… */
    bool here; /* its stream is served here */
};

/* A case that a session here has open. */
struct watched_case {
    struct watched_case *next; /* in its slot */
    int partition;
    char account[ACCOUNT_ID_SIZE];
    int64_t id;
    struct session_tab *tabs;
    struct viewer *viewers; /* all that are known, wherever their streams are */
    size_t viewer_count, viewer_size;
};

struct session {
    struct case_sessions *hub;
    rpc_call *call; /* referenced */
    _Atomic int references;
    char account[ACCOUNT_ID_SIZE], agent[AGENT_ID_SIZE], id[SESSION_ID_SIZE];
    char subject[AGENT_ID_SIZE]; /* of the service that acts for the agent; "" */
    int partition;
    int64_t stream;
    int64_t grace_us;
    int64_t attached_us;   /* monotonic, before the command that attached it was handed in */
    int64_t registered_us; /* monotonic */
    bool registered;       /* among the hub's */
    bool counted;          /* how its stream has ended */
    bool failed;           /* this side has ended the stream; its client may never take the end */
    bool busy;             /* a command is under way */
    bool over;             /* the stream is */
    bool detach_due;       /* the command could not be handed in */
    bool released;         /* the stream has no claim to the session: ended, or somebody else's */
    int64_t begun;         /* the account's place in the feed when it was attached */
    int64_t giving_back;   /* the case whose tab the client is closing, or ALL_CASES; 0: none */
    struct session_tab *tabs, **last_tab;
    struct outgoing *outgoing, **last_outgoing;
    size_t outgoing_count, outgoing_bytes;
    struct session *next, *previous; /* of the partition */
    struct session *next_detach;
};

enum { CASE_SLOTS = 256 }; /* of each partition */

struct hub_partition {
    struct session *sessions;
    size_t session_count;
    struct watched_case *cases[CASE_SLOTS];
    size_t case_count;
    int64_t cursor;     /* the feed has been told up to here */
    int64_t reading_to; /* a run is reading up to here */
    int64_t beat_us;    /* monotonic: when the last lease that was got was asked for */
    int64_t losses;     /* as last heard */
};

struct case_sessions {
    struct case_feed_reader reader; /* first: the feed knows the hub by it */
    pg_lanes *lanes;
    case_feed *feed;
    case_presence *presence; /* NULL: there is no Redis */
    struct pg_options connection;
    char host[SESSION_ID_SIZE]; /* this replica, since its start */

    pthread_mutex_t
        run_lock;         /* one run of the news at a time, also when the last session goes and one comes */
    pthread_mutex_t lock; /* of what follows, and of all sessions */
    size_t session_count;
    struct hub_partition partitions[FEED_PARTITIONS];
    size_t behind;             /* tabs with behind_to */
    struct session *detaching; /* those with detach_due */
    bool some_failed;          /* one that is registered has */
    metrics_gauge *attached;
    int64_t patience_us; /* how long a client may take nothing while something waits for it */

    pthread_t keeper;
    pthread_cond_t wake;
    bool keeping, stopping;
    _Atomic int expiring; /* commands under way */
};

/* --- the registry (case_sessions.c); with the lock held but for ref and unref ------------------------------
 */

void session_ref(struct session *session);
void session_unref(struct session *session);

void hub_register(struct session *session);
void hub_unregister(struct session *session); /* its tabs go too; does nothing when it is not there */
struct session *hub_find_session(struct case_sessions *hub, int partition, const char *account,
                                 const char *id);

struct watched_case *hub_find_case(struct case_sessions *hub, int partition, const char *account, int64_t id);

/* The session's tab; a new one has been told up to `position`. NULL: out of memory. */
struct session_tab *hub_open_tab(struct session *session, int64_t case_id, int64_t position);
struct session_tab *hub_find_tab(struct session *session, int64_t case_id);
void hub_close_tab(struct session_tab *tab);

/*
 * Tells the client. Waits in the session's own queue when the stream's is full; a client for whom too much
 * waits is ended with RESOURCE_EXHAUSTED and may resume.
 */
void session_tell(struct session *session, const attach_response *response);
void session_flush(struct session *session);
void session_fail(struct session *session, enum status_code code, const char *reason, const char *message);

void session_fail_slow(struct session *session); /* SLOW_READER */

/* Log and metrics: a stream that had a session has ended. Does nothing the second time. */
void session_count_end(struct session *session, const char *reason);

/*
 * Ends the stream (NULL: well). The client may never take that: so the session is let go by the keeper's next
 * round, or when the stream is over, whichever comes first. Its lists stay as they are until then.
 */
void session_end_stream(struct session *session, const error *err);

/* An account was deleted at that place in the feed: ends the sessions that were its. */
void hub_end_account(struct case_sessions *hub, int partition, const char *account, int64_t position);
void session_end_with_account(struct session *session);

/* Is the session surely this replica's still? If not it is ended, for the client to come back and hear the
 * truth. */
bool session_lease_holds(struct session *session);

char *session_case_name(const struct session *session, int64_t case_id, char name[NAME_SIZE]);
char *session_agent_name(const struct session *session, const char *agent, char name[NAME_SIZE]);

/* --- answers (case_session_tell.c); with the lock held
 * ------------------------------------------------------
 */

void session_token_binding(const struct session *session, char binding[NAME_SIZE]);
void session_tell_welcome(struct session *session, bool resumed, arena *memory);

/*
 * The tab as the lane has opened it: from its place in the feed on it is told what is new. What a tab that
 * was open already has been told meanwhile is newer than the lane's answer, and stays.
 */
void session_take_tab(struct session *session, const struct tab_answer *answer, int64_t position,
                      arena *memory);
void session_tell_closed(struct session *session, int64_t case_id);

/* `case_name` where there is no case_id. */
void session_tell_refused(struct session *session, int64_t case_id, const char *case_name, const error *err);

/* --- what is told of locks (case_session_news.c); with the lock held ---------------------------------------
 */

void session_tell_granted(struct session_tab *tab, int64_t token);
void session_tell_lost(struct session_tab *tab, Casework__Cases__V1__LockLostReason reason);

/* Something has happened in the tab's case; nothing when it was told already. Changes wait to be told as one.
 */
void session_tell_event(struct session_tab *tab, const Casework__Cases__V1__Event *event);

/* Follows the feed. */
void hub_run_news(struct case_feed_reader *reader);

/* --- commands (case_session_stream.c)
 * -----------------------------------------------------------------------
 */

/*
 * With the lock held: the stream is over, or as good as that. What it had goes back by the grace time. Does
 * nothing the second time.
 */
void session_stream_over(struct session *session);

/* With the lock held: hands in what gives the session up, or remembers to do so. */
void session_detach(struct session *session);

/* Ends a session whose time is over, wherever it was served. Without the lock. */
void hub_expire(struct case_sessions *hub, const char *account, const char *id);

/* With the lock held: a session that is this host's by the books, and that nobody knows here, is let go. */
void hub_detach_orphan(struct case_sessions *hub, const char *account, const char *id, int64_t stream);

/* --- presence (case_session_presence.c); with the lock held
 * --------------------------------------------------
 */

/* A session does something in a case, or (0) has left it: tells those who have the case open here. */
void hub_presence(struct watched_case *watched, const char *session, const char *agent, int kind, bool here);

/* The same where the case may be unknown here, and to the other replicas. */
void hub_tell_presence(struct case_sessions *hub, int partition, const char *account, int64_t case_id,
                       const char *session, const char *agent, int kind);

/* Asks the other replicas what those who have the case open there are doing. */
void hub_ask_presence(struct case_sessions *hub, const struct watched_case *watched);

/* What another replica said. */
void hub_hear_presence(void *hub, const char *text);

/* --- leases (case_session_keeper.c)
 * -------------------------------------------------------------------------
 */

bool hub_start_keeper(struct case_sessions *hub, error *err) __attribute__((warn_unused_result));
void hub_stop_keeper(struct case_sessions *hub);

#endif
