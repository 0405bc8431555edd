/* base/queue.h */

#include "base/clock.h"
#include "base/queue.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

static int items[8];

Test(queue, first_in_first_out_and_full)
{
    queue *q = queue_new(3);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++)
            cr_assert_eq(queue_push(q, &items[i]), QUEUE_PUSHED);
        cr_assert_eq(queue_push(q, &items[3]), QUEUE_FULL);
        cr_assert_eq(queue_length(q), 3);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(queue_pop(q, 0), &items[i]);
        cr_assert_null(queue_pop(q, 0));
    }
    queue_free(q);
    cr_assert_null(queue_new(0));
    queue_free(NULL);
}

Test(queue, waiting_ends_at_the_deadline)
{
    queue *q = queue_new(1);
    int64_t start = clock_monotonic_us();
    cr_assert_null(queue_pop(q, start + 50000));
    cr_assert_geq(clock_monotonic_us() - start, 50000);
    queue_free(q);
}

Test(queue, what_is_left_comes_out_after_closing)
{
    queue *q = queue_new(4);
    cr_assert_eq(queue_push(q, &items[0]), QUEUE_PUSHED);
    queue_close(q);
    queue_close(q);
    cr_assert_eq(queue_push(q, &items[1]), QUEUE_CLOSED);
    cr_assert_eq(queue_pop(q, -1), &items[0]);
    cr_assert_null(queue_pop(q, -1));
    queue_free(q);
}

enum { THREADS = 3, EACH = 2000 };

static queue *shared;
static atomic_int popped;

static void *pop_all(void *argument)
{
    (void)argument;
    while (queue_pop(shared, -1))
        popped++;
    return NULL;
}

static void *push_all(void *argument)
{
    for (int i = 0; i < EACH;)
        if (queue_push(shared, &items[0]) == QUEUE_PUSHED)
            i++;
    return argument;
}

Test(queue, many_threads_lose_nothing, .timeout = 60)
{
    pthread_t push[THREADS], pop[THREADS];
    shared = queue_new(16);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&pop[i], NULL, pop_all, NULL);
        pthread_create(&push[i], NULL, push_all, NULL);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(push[i], NULL);
    queue_close(shared);
    for (int i = 0; i < THREADS; i++)
        pthread_join(pop[i], NULL);
    cr_assert_eq(popped, THREADS * EACH);
    queue_free(shared);
}
