#include "feed/partition.h"

#include <string.h>
#include <xxhash.h>

int feed_partition(const char *account_id)
{
    return (int)(XXH64(account_id, strlen(account_id), 0) % FEED_PARTITIONS);
}
