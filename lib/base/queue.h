#ifndef CASEWORK_BASE_QUEUE_H
#define CASEWORK_BASE_QUEUE_H

/*
 * A bounded queue of pointers between any number of threads. Pushing never blocks: a full queue says so at
 * once, and its user answers RESOURCE_EXHAUSTED. First in, first out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct queue queue;

/* NULL when memory is out. `capacity` of at least 1. */
queue *queue_new(size_t capacity);
void queue_free(queue *q); /* nobody may be waiting; what is queued is not looked at; takes NULL */

enum queue_push { QUEUE_PUSHED, QUEUE_FULL, QUEUE_CLOSED };

/* The queue hands the pointer on and owns nothing. */
enum queue_push queue_push(queue *q, void *item) __attribute__((warn_unused_result));

/*
 * The oldest item; waits for one until `deadline_us` of the monotonic clock (0: does not wait; negative: for
 * ever). NULL when none came in time, or when the queue is closed and empty.
 */
void *queue_pop(queue *q, int64_t deadline_us);

/* Takes no more items; those waiting in pop get what is left, then NULL. May be called more than once. */
void queue_close(queue *q);

size_t queue_length(queue *q);

#endif
