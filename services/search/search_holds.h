#ifndef CASEWORK_SEARCH_HOLDS_H
#define CASEWORK_SEARCH_HOLDS_H

/* Accounts that are complete only up to before some event, however far the feed has been read. Thread-safe.
 */

#include "feed/partition.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { SEARCH_HOLDS_MAX = 1024 };

struct search_hold {
    char account[64];
    int partition;
    int64_t position; /* of the event */
};

struct search_holds {
    pthread_mutex_t lock;
    struct search_hold holds[SEARCH_HOLDS_MAX];
    size_t count;
};

void search_holds_init(struct search_holds *holds);
void search_holds_release(struct search_holds *holds);

/* INT64_MAX: the account is not held. False when there is no room for another account. */
bool search_holds_set(struct search_holds *holds, const char *account, int64_t position);

/* Of an account, or the least of the partition when it is NULL; INT64_MAX: nothing is held. */
int64_t search_holds_find(struct search_holds *holds, int partition, const char *account);

/* Positions as of which everything is complete. */
void search_holds_limit(struct search_holds *holds, struct feed_positions *positions);

#endif
