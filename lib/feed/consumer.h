#ifndef CASEWORK_FEED_CONSUMER_H
#define CASEWORK_FEED_CONSUMER_H

/*
 * Consumer of the case service's event stream (EventService.StreamEvents): one thread that stays connected,
 * reconnects with backoff, and hands over events in order, partition by partition.
 *
 * Delivery is at least once; the effect is exactly once because the owner stores the positions together with
 * its effect, in one transaction or one structure, and tells them to the consumer at (re)start. The consumer
 * itself stores nothing.
 */

#include "base/error.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "feed/partition.h"
#include "feed/waiters.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

struct feed_consumer_handlers {
    /* Called before each (re)connection: where to go on. */
    bool (*load)(void *context, struct feed_positions *ret_positions, error *err);
    /*
     * Events of a response or a few, in order, each above the position of its partition that load or an
     * earlier apply gave; `heads`: the positions up to which the reader is complete after this (also where no
     * event fell). False: the connection is dropped and everything since the last stored position is read
     * again.
     */
    bool (*apply)(void *context, Casework__Cases__V1__Event *const *events, size_t count,
                  const struct feed_positions *heads, error *err);
    /*
     * For owners whose effects follow from how the cases are, not from how they came to be; NULL: the feed is
     * read from its beginning instead. Called while load names no epoch: a part of a snapshot. Once a
     * partition is complete, `reached` says up to where everything is (else it is NULL): to be stored with
     * the effects, like an apply's heads. Partitions that have not been reached when it fails are read from
     * the feed.
     */
    bool (*snapshot)(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part,
                     const struct feed_positions *reached, error *err);
    /* The database was restored: forget everything derived, go on from nothing under the new epoch. */
    bool (*reset)(void *context, const char *epoch, error *err);
    /* Once, when the first caught-up mark has come in and is applied; may be NULL. */
    void (*caught_up)(void *context);
    /* Which partitions are followed, a bit each (bit 0: partition 0); 0: all. The others stay at position 0.
     */
    uint64_t partitions;
    /* For owners who do part of their work beside the feed, see feed_held; then feed_consumer_release. NULL:
     * what is applied is complete. */
    feed_held *held;
};

typedef struct feed_consumer feed_consumer;

/* Starts the thread. `channel` and `context` must outlive the consumer. */
bool feed_consumer_new(rpc_channel *channel, const struct feed_consumer_handlers *handlers, void *context,
                       feed_consumer **ret_consumer, error *err) __attribute__((warn_unused_result));

/* Asks it to stop, and waits for nothing; feed_consumer_stop follows. For whoever then ends the call that it
 * is at: what fails for that is not worth a word. */
void feed_consumer_quit(feed_consumer *consumer);

/* Stops and joins; whoever waits is woken (reached = false), later ones are refused. Before the server
 * drains. */
void feed_consumer_stop(feed_consumer *consumer);
void feed_consumer_free(feed_consumer *consumer); /* stops first; takes NULL */

/* True once the first caught-up mark has come in since start: the service may say SERVING. */
bool feed_consumer_caught_up(const feed_consumer *consumer);

/* Up to where the effects are complete, per partition (what apply last confirmed). */
int64_t feed_consumer_position(const feed_consumer *consumer, int partition);

/*
 * Waits without holding a thread: `wake` runs once, on a thread of the consumer, when the partition's
 * position reaches `position`, or at the monotonic deadline (reached = false). At most 10,000 wait; false
 * (RESOURCE_EXHAUSTED, UNAVAILABLE once stopped) beyond: `wake` never runs then. Runs before returning when
 * the position is reached already. It must not block: hand longer work over.
 */
bool feed_consumer_await(feed_consumer *consumer, int partition, int64_t position, int64_t deadline_us,
                         feed_wake *wake, void *argument, error *err) __attribute__((warn_unused_result));

/* The same for one account, whose id must live until it wakes. */
bool feed_consumer_await_account(feed_consumer *consumer, const char *account, int64_t position,
                                 int64_t deadline_us, feed_wake *wake, void *argument, error *err)
    __attribute__((warn_unused_result));

/* What handlers.held told may be over: wakes those who waited for it. */
void feed_consumer_release(feed_consumer *consumer);

/* How many wait. */
size_t feed_consumer_waiting(feed_consumer *consumer);

/*
 * Blocks the calling thread until every partition that is followed has reached its position in `heads` (the
 * epoch does not matter). DEADLINE_EXCEEDED, or UNAVAILABLE when stopped. For those who settle the suite's
 * clock.
 */
bool feed_consumer_wait(feed_consumer *consumer, const struct feed_positions *heads, int64_t deadline_us,
                        error *err) __attribute__((warn_unused_result));

/* The same until one account, with what it is held back by, has come to the position. */
bool feed_consumer_wait_account(feed_consumer *consumer, const char *account, int64_t position,
                                int64_t deadline_us, error *err) __attribute__((warn_unused_result));

#endif
