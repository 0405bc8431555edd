#ifndef CASEWORK_FEED_PARTITION_H
#define CASEWORK_FEED_PARTITION_H

/* Where an account's events are in the feed. The number of partitions and the hash never change: stored
 * positions rely on both. */

#include <stdint.h>

enum { FEED_PARTITIONS = 64, FEED_EPOCH_SIZE = 64 };

/* Up to where something is complete, in each partition. */
struct feed_positions {
    char epoch[FEED_EPOCH_SIZE]; /* of the database the positions belong to; "" when nothing has been read yet
                                  */
    int64_t at[FEED_PARTITIONS];
};

/* The partition of an account id: XXH64 with seed 0, modulo 64. */
int feed_partition(const char *account_id);

#endif
