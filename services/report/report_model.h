#ifndef CASEWORK_REPORT_MODEL_H
#define CASEWORK_REPORT_MODEL_H

/*
 * The domain of the report service: what the feed tells it, where a case stands, and the entries of the
 * ledger. Times are microseconds since 1970 (0: not set). Enum values equal the wire's and the database's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report_status {
    REPORT_STATUS_NONE = 0,
    REPORT_STATUS_NEW = 1,
    REPORT_STATUS_OPEN = 2,
    REPORT_STATUS_PENDING = 3,
    REPORT_STATUS_RESOLVED = 4,
    REPORT_STATUS_CLOSED = 5,
    REPORT_STATUS_DELETED = 6,
};

enum report_column {
    REPORT_COLUMN_NONE = 0,
    REPORT_COLUMN_CREATED = 1,
    REPORT_COLUMN_PENDING = 2,
    REPORT_COLUMN_RESOLVED = 3,
    REPORT_COLUMN_DELETED = 4,
};

enum report_event_kind {
    REPORT_EVENT_OTHER,       /* moves no activity, but is part of what the position stands for */
    REPORT_EVENT_CASE,        /* the case's status changed */
    REPORT_EVENT_ACCOUNT_SET, /* created, or its settings changed */
    REPORT_EVENT_ACCOUNT_DELETED,
};

/* Values equal the wire's; all others move no engagement. */
enum report_message_kind {
    REPORT_MESSAGE_CUSTOMER = 1,
    REPORT_MESSAGE_AGENT = 2,
    REPORT_MESSAGE_SURVEY = 7,
};

struct report_message {
    int32_t number;
    enum report_message_kind kind;
    bool automatic;
    const char *agent; /* the id of the agent who wrote it; "" when none did */
    int64_t send_time;
};

struct report_texts {
    const char **items;
    size_t count;
};

/* A case as an event left it, as far as engagements need it. */
struct report_facts {
    enum report_status status;
    int64_t status_time;
    bool merged; /* into another case */
    const char *channel, *network, *channel_address;
    struct report_texts labels;
    struct report_texts class_groups, class_values; /* classifications: one of each */
};

/* What an event means for its case's engagement. */
struct report_change {
    struct report_facts facts;
    const struct report_message *message; /* a message that was added; NULL: none was */
    /* Messages of another case came or left: this is the whole conversation now, in the order of reading. */
    bool anew;
    const struct report_message *messages;
    size_t message_count;
};

/* An event of the feed as far as reports need it. Texts belong to the feed's message. */
struct report_event {
    enum report_event_kind kind;
    int64_t position;
    int64_t time;        /* when it happened: what chooses the row */
    int64_t commit_time; /* when it became known: never runs back within a partition */
    const char *account; /* its id */

    int64_t case_id;                    /* 0: concerns none */
    const struct report_change *change; /* of the case's engagement; NULL: none */

    /* REPORT_EVENT_CASE */
    enum report_status status; /* after the event */
    int64_t create_time;

    /* REPORT_EVENT_ACCOUNT_SET */
    const char *time_zone;
    int32_t lock_days;
};

/* A cell's member: the column, and the time whose row it is in. */
struct report_place {
    enum report_column column; /* NONE: nowhere */
    int64_t time;
    int64_t resolve_duration; /* from creation to resolution, of REPORT_COLUMN_RESOLVED; otherwise 0 */
};

/* What the service remembers of a case between two of its events. */
struct report_case {
    enum report_status status; /* NONE: nothing is known of the case yet */
    int64_t create_time;
    int64_t period_end;         /* its places are final from then on */
    struct report_place place;  /* where it stands, or stood when the period ended */
    struct report_place former; /* where it stood before it was deleted */
    bool late_resolved;         /* stands in resolved by a resolution after the period */
    bool late_deleted;          /* likewise in deleted */
};

#define REPORT_NOT_CLOSED INT64_MAX

/*
 * A case's engagement, or what may become one. It is one once an agent has replied to a message of the
 * customer, and not while the case is merged into another one.
 */
struct report_engagement {
    bool known; /* false: nothing has been told of the case yet */
    struct report_facts facts;
    int64_t sent;               /* when the latest message was sent: no later one counts from before */
    int64_t opened;             /* the customer's first message; 0: none has come */
    int64_t closed;             /* the latest closing, or REPORT_NOT_CLOSED */
    int64_t first_reply;        /* from `opened` */
    int64_t resolution;         /* from `opened` to the last reply */
    int64_t interactions;       /* replies since `opened` */
    struct report_texts agents; /* who sent them, in the order of their first one */
    const char *last_agent;     /* "": none */
    bool nps_sent;
    int64_t *pauses; /* from, to, from, to … while the case was closed or deleted; the last may have no end */
    size_t pause_count; /* of numbers */
};

/* A change to a report. Only ever added. */
struct report_entry {
    enum report_column column;
    int delta;                /* +1 or -1 */
    int64_t place_time;       /* chooses the row */
    int64_t resolve_duration; /* as in the place */
};

#endif
