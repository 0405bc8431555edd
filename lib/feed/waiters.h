#ifndef CASEWORK_FEED_WAITERS_H
#define CASEWORK_FEED_WAITERS_H

/*
 * Who waits for a position of the feed, without holding a thread for it. Keeps the positions reached, so that
 * nobody who comes while one is being reached is missed. One thread of its own looks after deadlines.
 * Thread-safe.
 */

#include "base/error.h"
#include "feed/partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct feed_waiters feed_waiters;

/* Runs once, outside all locks. `reached` false: the deadline has passed, or waiting was ended. */
typedef void feed_wake(void *argument, bool reached);

/* For `limit` waiters at the most. */
bool feed_waiters_new(size_t limit, feed_waiters **ret_waiters, error *err)
    __attribute__((warn_unused_result));

/*
 * Whether an account is not complete up to `position` though its partition has come that far: part of its
 * work is done beside the feed. `account` NULL: any account of the partition. Runs under the waiters' lock.
 */
typedef bool feed_held(void *context, int partition, const char *account, int64_t position);

/* Without it nothing is ever held back. Before anybody waits. */
void feed_waiters_hold(feed_waiters *waiters, feed_held *held, void *context);

/* Wakes everybody (not reached) and refuses whoever comes later. */
void feed_waiters_stop(feed_waiters *waiters);
void feed_waiters_free(feed_waiters *waiters); /* stops first; takes NULL */

/*
 * Wakes when the partition's position reaches `position`, or at the monotonic deadline (INT64_MAX: none). At
 * once, before this returns, when it is reached already. False, never to be woken: RESOURCE_EXHAUSTED at the
 * limit, UNAVAILABLE once stopped.
 */
bool feed_waiters_add(feed_waiters *waiters, int partition, int64_t position, int64_t deadline_us,
                      feed_wake *wake, void *argument, error *err) __attribute__((warn_unused_result));

/* The same for one account, whose id must live until it wakes; others of its partition do not matter. */
bool feed_waiters_add_account(feed_waiters *waiters, const char *account, int64_t position,
                              int64_t deadline_us, feed_wake *wake, void *argument, error *err)
    __attribute__((warn_unused_result));

/* From here on these positions are reached; they may go back when everything starts anew. */
void feed_waiters_reach(feed_waiters *waiters, const int64_t positions[FEED_PARTITIONS]);

/* Something is held back no longer. */
void feed_waiters_release(feed_waiters *waiters);

int64_t feed_waiters_position(feed_waiters *waiters, int partition);
size_t feed_waiters_count(feed_waiters *waiters);

#endif
