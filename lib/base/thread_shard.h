#ifndef CASEWORK_BASE_THREAD_SHARD_H
#define CASEWORK_BASE_THREAD_SHARD_H

/*
 * What all threads write (counters, log lines, remembered tokens) is kept in shards, so that threads that are
 * busy at the same time seldom meet in one. Which shard is a thread's is dealt in turn.
 */

enum { THREAD_SHARDS = 8, CACHE_LINE = 64 };

/* The calling thread's shard, below THREAD_SHARDS; always the same for a thread. */
unsigned thread_shard(void);

#endif
