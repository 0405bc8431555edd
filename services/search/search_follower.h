#ifndef CASEWORK_SEARCH_FOLLOWER_H
#define CASEWORK_SEARCH_FOLLOWER_H

/*
 * Keeps the index up with the feed. Events only say what changed; the cases themselves are read as they are.
 * The index keeps with each case the position as of which it was read: events up to that are in it already.
 */

#include "feed/consumer.h"
#include "search/search_index.h"

typedef struct search_follower search_follower;

/* `partitions`: those to follow, a bit each. `caught_up` runs once the index is complete. `cases` and `index`
 * must outlive it. Starts at once. */
bool search_follower_new(rpc_channel *cases, search_index *index, uint64_t partitions,
                         void (*caught_up)(void *context), void *context, search_follower **ret_follower,
                         error *err) __attribute__((warn_unused_result));

/*
 * Asks it to stop, and ends all calls to the case service, whoever makes them: a stop does not wait for one
 * that hangs. Waits for nothing; search_follower_stop follows.
 */
void search_follower_quit(search_follower *follower);

/* Stops following; whoever waits is woken. Before the server drains: nothing is handed to it afterwards. */
void search_follower_stop(search_follower *follower);
void search_follower_free(search_follower *follower); /* stops; takes NULL */

/* For waiting. The follower's. */
feed_consumer *search_follower_consumer(search_follower *follower);

/* Cases that are to be read beside the feed. */
size_t search_follower_backlog(search_follower *follower);

#endif
