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
    REPORT_EVENT_OTHER, /* concerns no report, but is part of what the position stands for */
    REPORT_EVENT_CASE,
    REPORT_EVENT_ACCOUNT_SET, /* created, or its settings changed */
    REPORT_EVENT_ACCOUNT_DELETED,
};

/* An event of the feed as far as reports need it. Texts belong to the feed's message. */
struct report_event {
    enum report_event_kind kind;
    int64_t position;
    int64_t time;        /* when it happened: what chooses the row */
    int64_t commit_time; /* when it became known: never runs back within a partition */
    const char *account; /* its id */

    /* REPORT_EVENT_CASE */
    int64_t case_id;
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

/* A change to a report. Only ever added. */
struct report_entry {
    enum report_column column;
    int delta;                /* +1 or -1 */
    int64_t place_time;       /* chooses the row */
    int64_t resolve_duration; /* as in the place */
};

#endif
