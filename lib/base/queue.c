#include "base/queue.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t pushed;
    size_t capacity, first, length;
    bool closed;
    void *items[]; /* ring */
};

queue *queue_new(size_t capacity)
{
    size_t bytes;
    if (capacity == 0 || __builtin_mul_overflow(capacity, sizeof(void *), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(queue), &bytes))
        return NULL;
    queue *q = malloc(bytes);
    if (!q)
        return NULL;
    q->capacity = capacity;
    q->first = q->length = 0;
    q->closed = false;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->pushed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void queue_free(queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->pushed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

enum queue_push queue_push(queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    enum queue_push outcome = q->closed ? QUEUE_CLOSED : q->length == q->capacity ? QUEUE_FULL : QUEUE_PUSHED;
    if (outcome == QUEUE_PUSHED) {
        q->items[(q->first + q->length++) % q->capacity] = item;
        pthread_cond_signal(&q->pushed);
    }
    pthread_mutex_unlock(&q->lock);
    return outcome;
}

/* False when there is nothing to wait for any more. */
static bool wait_for_item(queue *q, int64_t deadline_us)
{
    if (q->closed || deadline_us == 0)
        return false;
    if (deadline_us < 0)
        return pthread_cond_wait(&q->pushed, &q->lock) == 0;
    struct timespec at = {.tv_sec = deadline_us / CLOCK_SECOND, .tv_nsec = deadline_us % CLOCK_SECOND * 1000};
    return pthread_cond_timedwait(&q->pushed, &q->lock, &at) == 0;
}

void *queue_pop(queue *q, int64_t deadline_us)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->length == 0 && wait_for_item(q, deadline_us))
        ;
    if (q->length) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->length--;
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->pushed);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_length(queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t length = q->length;
    pthread_mutex_unlock(&q->lock);
    return length;
}
