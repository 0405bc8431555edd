#ifndef CASEWORK_SLA_AUDIT_H
#define CASEWORK_SLA_AUDIT_H

/*
 * The schedule beside the truth, while both go on changing. The truth is a snapshot of a partition's cases;
 * what looks different is looked at again with all that the feed has told since, until it is the same or
 * stands still as a difference.
 */

#include "base/error.h"
#include "feed/partition.h"
#include "sla/sla_healer.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stdint.h>

struct sla_audit {
    const struct sla_parts *parts;
    sla_healer *healer;
    const char *account; /* "": all */
    /* Asked often: stop, with CANCELLED. */
    bool (*is_over)(void *context);
    /* Once for each difference; NULL on the side where there is no timer. May be NULL. */
    bool (*differs)(void *context, const struct timer *expected, const struct timer *actual, error *err);
    /* From time to time while rebuilding. May be NULL. */
    bool (*progress)(void *context, const struct sla_audit *audit, error *err);
    void *context;
    /* So far: */
    int64_t cases_total; /* that are known */
    int64_t cases_done, timers, differences, written, removed;
    struct feed_positions at; /* as of which the truth was read */
};

/* Compares. UNAVAILABLE while the schedule is lost and cannot be rebuilt. */
bool sla_audit_check(struct sla_audit *audit, error *err) __attribute__((warn_unused_result));

/* Arms every timer anew, in each partition the soonest first, and takes away what nothing stands behind. */
bool sla_audit_rebuild(struct sla_audit *audit, error *err) __attribute__((warn_unused_result));

/* --- inside: one partition ------------------------------------------------------------------------ */

/* Whether nothing speaks against going on; else CANCELLED. */
bool sla_audit_goes_on(const struct sla_audit *audit, error *err) __attribute__((warn_unused_result));

/* Of the account's policy, for the schedule's scripts. */
struct timer_policy_version sla_audit_policy(const struct sla_audit *audit, const char *account);

/* sla_audit_compare.c: compares one partition; takes SURPLUS timers away if told so. */
bool sla_audit_compare(struct sla_audit *audit, int partition, bool remove, error *err)
    __attribute__((warn_unused_result));

/* sla_audit_arm.c: arms all timers of one partition. */
bool sla_audit_arm(struct sla_audit *audit, int partition, error *err) __attribute__((warn_unused_result));

#endif
