#include "rpc/worker_pool.h"

#include <pthread.h>
#include <stdlib.h>

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct worker_task *head, **tail;
    unsigned waiting, limit;
    unsigned idle; /* threads that wait for a task */
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

static struct worker_task *take(struct worker_pool *pool)
{
    struct worker_task *task = pool->head;
    pool->head = task->next;
    if (!pool->head)
        pool->tail = &pool->head;
    pool->waiting--;
    return task;
}

static void *work(void *argument)
{
    struct worker_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->head && !pool->stopping) {
            pool->idle++;
            pthread_cond_wait(&pool->filled, &pool->lock);
            pool->idle--;
        }
        if (!pool->head)
            break;
        struct worker_task *task = take(pool);
        pthread_mutex_unlock(&pool->lock);
        task->run(task);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(unsigned threads, unsigned limit)
{
    struct worker_pool *pool = calloc(1, sizeof *pool + threads * sizeof *pool->threads);
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->tail = &pool->head;
    pool->limit = limit;
    for (; pool->thread_count < threads; pool->thread_count++) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, work, pool) != 0) {
            worker_pool_free(pool);
            return NULL;
        }
    }
    return pool;
}

static bool submit(struct worker_pool *pool, struct worker_task *task, unsigned limit)
{
    task->next = NULL;
    pthread_mutex_lock(&pool->lock);
    bool room = pool->waiting < limit;
    bool wake = false;
    if (room) {
        *pool->tail = task;
        pool->tail = &task->next;
        pool->waiting++;
        wake = pool->idle > 0;
    }
    pthread_mutex_unlock(&pool->lock);
    if (wake)
        pthread_cond_signal(&pool->filled);
    return room;
}

bool worker_pool_submit(struct worker_pool *pool, struct worker_task *task)
{
    return submit(pool, task, pool->limit);
}

void worker_pool_submit_always(struct worker_pool *pool, struct worker_task *task)
{
    submit(pool, task, ~0u);
}

void worker_pool_free(struct worker_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->filled);
    free(pool);
}
