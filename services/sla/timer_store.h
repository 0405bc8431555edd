#ifndef CASEWORK_SLA_TIMER_STORE_H
#define CASEWORK_SLA_TIMER_STORE_H

/*
 * The schedule in Redis. One bucket a partition of the feed, all its keys under one hash tag:
 *
 *   casework:{b07}:timers          sorted set; score: deadline in microseconds, or the end of the lease while
 * claimed acme/4711/r12              account / case / rule and basis version !position -(position + 1): up to
 * where the feed's effect is complete; without it the bucket is lost !epoch/…  !policy/acme     the feed's
 * epoch (score -inf); the newest version of a policy timers were armed under !rebuild/…                 while
 * the bucket is being filled from the truth casework:{b07}:v:acme:147      hash, 32 cases in a listpack: slot
 * → "r12", or "r12@deadline" while claimed casework:{b07}:rebuild         lock of whoever rebuilds
 *
 * What marks a bucket as whole lives in the sorted set itself: it cannot outlive the timers. Position and
 * effect move in one script. The slots say which member a newer version replaces; a slot without its member
 * means nothing.
 *
 * Thread-safe. Every function may be repeated. Errors are those of redis/client.h.
 */

#include "base/error.h"
#include "redis/client.h"
#include "sla/sla_rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMER_BUCKETS = 64, TIMER_ACCOUNT_SIZE = 64, TIMER_EPOCH_SIZE = 64 };

typedef struct timer_store timer_store;

struct timer {
    char account[TIMER_ACCOUNT_SIZE];
    int64_t case_id;
    enum sla_rule rule;
    int64_t version; /* of the basis */
    int64_t due_us;
};

bool timer_store_new(const struct redis_options *options, timer_store **ret_store, error *err)
    __attribute__((warn_unused_result));
void timer_store_free(timer_store *store); /* takes NULL */

/* --- the buckets' state --------------------------------------------------------------------------- */

struct timer_bucket {
    int64_t position;             /* -1: lost, or being rebuilt */
    char epoch[TIMER_EPOCH_SIZE]; /* "" then */
};

bool timer_store_status(timer_store *store, struct timer_bucket ret_buckets[TIMER_BUCKETS], error *err)
    __attribute__((warn_unused_result));

/* Timers in all buckets; a handful of marks are counted too. */
bool timer_store_count(timer_store *store, int64_t *ret_count, error *err)
    __attribute__((warn_unused_result));

/* The first score that is there: a deadline, or the end of a lease; INT64_MAX: no timer. */
bool timer_store_first(timer_store *store, int64_t *ret_score_us, error *err)
    __attribute__((warn_unused_result));

enum timer_outcome {
    TIMER_APPLIED, /* done, now or before */
    TIMER_LOST,    /* the bucket has no position: rebuild it */
    TIMER_BEHIND,  /* the bucket's position is below the caller's: it was restored from an older state */
    TIMER_POLICY,  /* armed under an outdated policy: read it again */
    TIMER_BUSY,    /* somebody else is rebuilding the bucket */
};

/* --- arming by the feed --------------------------------------------------------------------------- */

/* What an event makes of a case's closing timer. */
struct timer_change {
    struct timer timer;     /* without `armed` only account and case_id count */
    bool armed;             /* false: no timer */
    bool forget_policy;     /* only that: the account is gone, and with it its policy's versions */
    int64_t position;       /* the event's */
    int64_t policy_version; /* under which it was worked out; -1: under any */
};

struct timer_policy_version {
    const char *account;
    int64_t version;
};

/* Changes of one bucket, in order. */
struct timer_apply {
    int bucket;
    int64_t from, to; /* where the caller believes the bucket to be, and where it is afterwards; the same:
                         more changes of one event follow */
    const struct timer_policy_version *policies; /* under which the changes were worked out */
    size_t policy_count;
    const struct timer_change *changes;
    size_t change_count;
    enum timer_outcome outcome; /* set */
};

/* Each bucket as a whole or not at all. Changes at or below the bucket's own position are passed over. */
bool timer_store_apply(timer_store *store, struct timer_apply *applies, size_t count, error *err)
    __attribute__((warn_unused_result));

/* --- firing --------------------------------------------------------------------------------------- */

struct timer_claim {
    int64_t position;     /* of the bucket; -1: lost or being rebuilt */
    int64_t now_us;       /* by which the claim was made */
    int64_t next_due_us;  /* the next deadline or end of a lease; INT64_MAX: none */
    struct timer *timers; /* owned; release with timer_claim_release */
    size_t count;
    /* Owned; of a timer of targets the newest version of the account's policy that the bucket knows, else 0
     */
    int64_t *policy_versions;
};

void timer_claim_release(struct timer_claim *claim);

/*
 * Takes up to `limit` due timers of each bucket in the set (bit b: bucket b) and holds them back from others
 * for lease_us. now_us 0: by Redis' clock. lease_us 0: nothing is held back. ret_claims has an entry for
 * every bucket; those not in the set are zero.
 */
bool timer_store_claim(timer_store *store, uint64_t buckets, int64_t now_us, int64_t lease_us, int limit,
                       struct timer_claim ret_claims[TIMER_BUCKETS], error *err)
    __attribute__((warn_unused_result));

/* A claimed timer is done with (retry_us 0), or to be claimed again from retry_us on. */
struct timer_settlement {
    struct timer timer;
    int64_t retry_us;
};

bool timer_store_settle(timer_store *store, const struct timer_settlement *settlements, size_t count,
                        error *err) __attribute__((warn_unused_result));

/* --- a changed policy ----------------------------------------------------------------------------- */

/* From now on nothing is armed under an older version of the account's policy. */
bool timer_store_fence(timer_store *store, const struct timer_policy_version *policy,
                       enum timer_outcome *ret_outcome, error *err) __attribute__((warn_unused_result));

/* Sets each version: the newest one of the account's policy that its bucket knows; 0: none. */
bool timer_store_fences(timer_store *store, struct timer_policy_version *policies, size_t count, error *err)
    __attribute__((warn_unused_result));

/* What became of timers handed to timer_store_rearm. */
struct timer_rearmed {
    enum timer_outcome outcome;
    size_t moved;   /* had another deadline, or another timer stood in their place */
    size_t added;   /* there was none */
    size_t refused; /* not known, and not taken because the bucket has moved since they were read: read them
                       again */
};

/* New deadlines for timers of one account, which are known to be so up to `position`. */
bool timer_store_rearm(timer_store *store, const struct timer_policy_version *policy, int64_t position,
                       const struct timer *timers, size_t count, struct timer_rearmed *ret_rearmed,
                       error *err) __attribute__((warn_unused_result));

/* Takes away these very timers of one account, whatever stands in their slots else. */
bool timer_store_drop(timer_store *store, const struct timer_policy_version *policy,
                      const struct timer *timers, size_t count, enum timer_outcome *ret_outcome, error *err)
    __attribute__((warn_unused_result));

/* Takes away the account's timers of every other closing rule, and, unless they are kept, of targets. */
bool timer_store_drop_other_rules(timer_store *store, const struct timer_policy_version *policy,
                                  enum sla_rule keep, bool keep_targets, enum timer_outcome *ret_outcome,
                                  error *err) __attribute__((warn_unused_result));

/* Called with a part of an account's timers; a timer may come more than once. */
typedef bool timer_scan_step(void *context, const struct timer *timers, size_t count, error *err);

/* All timers of an account, in no order; due_us is not told. */
bool timer_store_scan(timer_store *store, const char *account, timer_scan_step *step, void *context,
                      error *err) __attribute__((warn_unused_result));

/* --- rebuilding ----------------------------------------------------------------------------------- */

/* Empties the buckets of the set that nobody else is rebuilding; *ret_begun: those. The token names the
 * rebuilder. */
bool timer_store_rebuild_begin(timer_store *store, uint64_t buckets, const char *token, uint64_t *ret_begun,
                               error *err) __attribute__((warn_unused_result));

/*
 * Timers of the set of buckets begun, and a sign of life in each of these: without one for ten seconds
 * somebody else may begin. LOST: somebody has, or Redis was emptied again.
 */
bool timer_store_rebuild_insert(timer_store *store, uint64_t buckets, const char *token,
                                const struct timer *timers, size_t count, enum timer_outcome *ret_outcome,
                                error *err) __attribute__((warn_unused_result));

/* The bucket is whole up to `position`. `policies`: those of the bucket's accounts. */
bool timer_store_rebuild_finish(timer_store *store, int bucket, const char *token, const char *epoch,
                                int64_t position, const struct timer_policy_version *policies,
                                size_t policy_count, enum timer_outcome *ret_outcome, error *err)
    __attribute__((warn_unused_result));

/* --- looking -------------------------------------------------------------------------------------- */

/* The closing timer of a case; *ret_found false: none. */
bool timer_store_get(timer_store *store, const char *account, int64_t case_id, struct timer *ret_timer,
                     bool *ret_found, error *err) __attribute__((warn_unused_result));

/* How a timer stands in the schedule. */
struct timer_place {
    bool is_there;   /* this very one: its member */
    bool is_current; /* and its slot names it */
    int64_t due_us;  /* its deadline, if it is there */
    bool has_other;  /* its slot names another one, which is there */
    struct timer other;
};

bool timer_store_look(timer_store *store, const struct timer *timers, size_t count,
                      struct timer_place *ret_places, error *err) __attribute__((warn_unused_result));

/* A place in a bucket's order by deadline; all zero: before the first. */
struct timer_cursor {
    int64_t score_us;
    char member[TIMER_ACCOUNT_SIZE + 48]; /* the last one read at that score */
};

/*
 * The next timers of a bucket after the cursor with scores up to until_us, at most `limit`. Moves the cursor.
 * A claimed timer stands at the end of its lease (ret_scores) but has its own deadline. With `account` only
 * those of that account. *ret_end: nothing comes after them.
 */
bool timer_store_page(timer_store *store, int bucket, const char *account, int64_t until_us,
                      struct timer_cursor *cursor, struct timer *ret_timers, int64_t *ret_scores,
                      size_t limit, size_t *ret_count, bool *ret_end, error *err)
    __attribute__((warn_unused_result));

#endif
