#ifndef CASEWORK_RPC_WORKER_POOL_H
#define CASEWORK_RPC_WORKER_POOL_H

/* A fixed number of threads and a bounded queue in front of them. */

#include <stdbool.h>

/* Lives in the object that is worked on, so that queuing allocates nothing. A task is in the queue once at a
 * time. */
struct worker_task {
    struct worker_task *next;
    void (*run)(struct worker_task *task);
};

struct worker_pool;

/* NULL when a thread cannot be started. `limit`: waiting tasks at the most. */
struct worker_pool *worker_pool_new(unsigned threads, unsigned limit);

/* False when the queue is full. */
bool worker_pool_submit(struct worker_pool *pool, struct worker_task *task)
    __attribute__((warn_unused_result));

/* Queues beyond the limit: for work that has been let in already and is bounded by what let it in. */
void worker_pool_submit_always(struct worker_pool *pool, struct worker_task *task);

/* Runs what is queued, then joins the threads. Takes NULL. */
void worker_pool_free(struct worker_pool *pool);

#endif
