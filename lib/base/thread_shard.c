#include "base/thread_shard.h"

#include <stdatomic.h>

unsigned thread_shard(void)
{
    static atomic_uint dealt;
    static _Thread_local unsigned mine = THREAD_SHARDS;
    if (mine == THREAD_SHARDS)
        mine = atomic_fetch_add_explicit(&dealt, 1, memory_order_relaxed) % THREAD_SHARDS;
    return mine;
}
