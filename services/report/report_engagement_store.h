#ifndef CASEWORK_REPORT_ENGAGEMENT_STORE_H
#define CASEWORK_REPORT_ENGAGEMENT_STORE_H

/*
 * Reads of the engagements: the table, and what is summed up from it. Each answer is of one moment, together
 * with the position that it is complete up to. Fails as pg/pg.h says; may be called from any thread.
 */

#include "report/report_store.h"

/* Which engagements. Times are microseconds since 1970. */
struct report_range {
    const char *account;
    bool by_opening;    /* the times are of the opening instead of the closing */
    int64_t start, end; /* exclusive; INT64_MIN, INT64_MAX: without one */
};

/* --- the table --- */

enum report_order {
    REPORT_ORDER_CLOSING,
    REPORT_ORDER_OPENING,
    REPORT_ORDER_FIRST_REPLY,
    REPORT_ORDER_RESOLUTION,
    REPORT_ORDER_INTERACTIONS,
    REPORT_ORDERS,
};

/* What must hold as well; "": anything does. */
struct report_filter {
    const char *agent; /* has replied */
    const char *channel;
    const char *label;
    const char *class_group, *class_value; /* a value only with its group */
};

struct report_table_page {
    enum report_order order;
    bool descending;
    int32_t size;
    bool after; /* go on behind these */
    int64_t after_value, after_case;
    bool count; /* all that there are, whatever the page */
};

/* A row of the table. */
struct report_table_row {
    int64_t case_id;
    int64_t value;                       /* what it is sorted by */
    struct report_engagement engagement; /* pauses are not read */
};

struct report_table {
    const struct report_table_row *rows;
    size_t count;
    int64_t total; /* where asked for; else 0 */
    int64_t position;
};

/*
 * A page of engagements. Without start and end by closing, those that are not closed are among them; they
 * come as if closed last. In `memory`.
 */
bool report_store_engagements(report_store *store, const struct report_range *range,
                              const struct report_filter *filter, const struct report_table_page *page,
                              int64_t deadline_us, arena *memory, struct report_table *ret, error *err)
    __attribute__((warn_unused_result));

/*
 * The table page by page, all of one moment: a transaction on a connection of its own that stays open until
 * the end. Of one thread at a time. UNAVAILABLE, REPORT_BEHIND: all is being built again.
 */
typedef struct report_reading report_reading;

bool report_reading_begin(report_store *store, int64_t deadline_us, report_reading **ret_reading, error *err)
    __attribute__((warn_unused_result));
bool report_reading_page(report_reading *reading, const struct report_range *range,
                         const struct report_filter *filter, const struct report_table_page *page,
                         arena *memory, struct report_table *ret, error *err)
    __attribute__((warn_unused_result));
void report_reading_end(report_reading *reading); /* takes NULL */

/* --- summaries --- */

/* Values equal the wire's. */
enum report_grouping {
    REPORT_GROUPING_NONE = 0,
    REPORT_GROUPING_AGENT = 1, /* the last one who replied */
    REPORT_GROUPING_CHANNEL = 2,
    REPORT_GROUPING_LABEL = 3,
    REPORT_GROUPING_CLASSIFICATION = 4,
    REPORT_GROUPINGS,
};

enum report_measured {
    REPORT_MEASURED_FIRST_REPLY,
    REPORT_MEASURED_RESOLUTION,
    REPORT_MEASURED_INTERACTIONS,
    REPORT_MEASURED_AGENTS,
    REPORT_MEASURED,
};

enum { REPORT_PERCENTILES = 3 }; /* the 50th, 90th, 99th, by nearest rank */

struct report_measure {
    int64_t sum;
    int64_t percentiles[REPORT_PERCENTILES];
};

struct report_group {
    const char
        *key; /* an agent's or channel's id, a label, a classification's group; "": those without one */
    const char *value; /* a classification's */
    int64_t closed;    /* cases */
    int64_t engagements;
    struct report_measure measures[REPORT_MEASURED]; /* over the engagements; 0 when there is none */
};

struct report_summary {
    struct report_group total;
    const struct report_group *groups; /* by key, then value */
    size_t count;
    int64_t position;
};

/*
 * By closing: all cases closed in the range, answered or not. By opening: all engagements opened in it. In
 * `memory`.
 */
bool report_store_summary(report_store *store, const struct report_range *range,
                          enum report_grouping grouping, int64_t deadline_us, arena *memory,
                          struct report_summary *ret, error *err) __attribute__((warn_unused_result));

/* --- classifications --- */

struct report_class {
    const char *group, *value;
    int64_t cases;
    int64_t of_group; /* cases that have any of the group */
    int64_t engagements;
    int64_t first_reply, resolution; /* sums over the engagements */
};

struct report_classes {
    const struct report_class *rows; /* by group, number of cases from the most on, value */
    size_t count;
    int64_t cases, unclassified;
    int64_t position;
};

/* Of the cases that a summary of the range is about; `group` "": all groups. In `memory`. */
bool report_store_classes(report_store *store, const struct report_range *range, const char *group,
                          int64_t deadline_us, arena *memory, struct report_classes *ret, error *err)
    __attribute__((warn_unused_result));

/* --- volume --- */

/*
 * How many engagements were open at some moment of each row, into counts[rows->count]. `range` NULL: all;
 * else those that the table of the range has, closed ones only where it is by closing.
 */
bool report_store_volume(report_store *store, const char *account, const struct report_range *range,
                         const struct report_rows *rows, int64_t deadline_us, int64_t *counts,
                         int64_t *ret_position, error *err) __attribute__((warn_unused_result));

/* The last time that lies in the range. What is not closed is in none but one without start and end. */
int64_t report_range_last(const struct report_range *range, bool with_open);

#endif
