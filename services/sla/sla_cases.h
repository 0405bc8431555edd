#ifndef CASEWORK_SLA_CASES_H
#define CASEWORK_SLA_CASES_H

/* What the SLA service asks of the case service, in its own words. */

#include "base/arena.h"
#include "base/error.h"
#include "feed/partition.h"
#include "rpc/client.h"
#include "sla/timer_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "accounts/acme/cases/4711" → account and number. False for anything else. */
bool sla_cases_parse_name(const char *name, char ret_account[TIMER_ACCOUNT_SIZE], int64_t *ret_case_id);

/* "accounts/acme" → account. */
bool sla_cases_parse_account(const char *name, char ret_account[TIMER_ACCOUNT_SIZE]);

/* Where the feed stands in all partitions, and its epoch. */
bool sla_cases_positions(rpc_channel *cases, struct feed_positions *ret_heads, error *err)
    __attribute__((warn_unused_result));

/* Is there such an account, such a case? Deadlines are on the monotonic clock. */
bool sla_cases_account_exists(rpc_channel *cases, const char *account, int64_t deadline_us, bool *ret_exists,
                              error *err) __attribute__((warn_unused_result));
/* The account's time zone, in `memory`; NOT_FOUND. */
bool sla_cases_time_zone(rpc_channel *cases, const char *account, int64_t deadline_us, arena *memory,
                         const char **ret_time_zone, error *err) __attribute__((warn_unused_result));
bool sla_cases_case_exists(rpc_channel *cases, const char *account, int64_t case_id, int64_t deadline_us,
                           bool *ret_exists, error *err) __attribute__((warn_unused_result));

/* May this agent change policies: is it there, not disabled, and an admin? */
bool sla_cases_agent_is_admin(rpc_channel *cases, const char *account, const char *agent, int64_t deadline_us,
                              bool *ret_admin, error *err) __attribute__((warn_unused_result));

/* --- the truth that timers are derived from ------------------------------------------------------- */

struct due_case {
    char account[TIMER_ACCOUNT_SIZE];
    int64_t case_id;
    int64_t version; /* of the rule's basis */
    int64_t basis_time_us;
};

/* A walk over ListDueCases, the longest unchanged first. */
struct due_walk {
    const char *account; /* NULL: all */
    enum sla_rule rule;
    int64_t unchanged_since_us; /* 0: no limit */
    int page_size;
    char *page_token; /* owned; NULL at the start */
    bool end;
};

/* The next page, in *ret_cases, which is the caller's to free. A failed call leaves the walk where it was. */
bool due_walk_next(struct due_walk *walk, rpc_channel *cases, struct due_case **ret_cases, size_t *ret_count,
                   error *err) __attribute__((warn_unused_result));
void due_walk_release(struct due_walk *walk);

/* --- closing -------------------------------------------------------------------------------------- */

enum close_result {
    CLOSE_DONE,    /* closed, now or before */
    CLOSE_STALE,   /* the basis has moved on, or the case is gone: the timer means nothing any more */
    CLOSE_EARLY,   /* not due by the suite's clock, or the rule's conditions do not hold */
    CLOSE_UNKNOWN, /* no answer: maybe closed, maybe not */
};

/* What a refusal of the case service means for the timer. */
enum close_result close_result_of(const error *err);

/* `close_time_us`: the suite's time at the closing; 0 unless CLOSE_DONE. */
typedef void close_done(void *argument, enum close_result result, int64_t close_time_us, const error *err);

/*
 * Closes a case whose timer is due. `done` runs once, on another thread. Asking again with the same timer has
 * no second effect.
 */
void sla_cases_close(rpc_channel *cases, const struct timer *timer, int64_t timeout_us, close_done *done,
                     void *argument);

#endif
