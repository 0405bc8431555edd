#include "feed/waiters.h"

#include "base/clock.h"
#include "base/condition.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A waiter is in two heaps: by position in its partition's, and by deadline. */
enum order { BY_POSITION, BY_DEADLINE, ORDERS };

/* Those whose partition has come to their position, and whose account is held back. */
enum { HELD = FEED_PARTITIONS, LINES };

struct waiter {
    int64_t keys[ORDERS];
    size_t places[ORDERS]; /* in the heaps */
    int partition, line;   /* the heap by position that it is in: its partition's, or HELD */
    const char *account;   /* NULL: the whole partition */
    bool reached;
    feed_wake *wake;
    void *argument;
    struct waiter *next; /* among those to be woken now */
};

struct heap {
    struct waiter **items;
    size_t count, size;
    enum order order;
};

struct feed_waiters {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the earliest deadline, or stopping */
    pthread_t thread;
    struct heap by_position[LINES], by_deadline;
    feed_held *held;
    void *held_context;
    int64_t reached[FEED_PARTITIONS];
    size_t limit;
    bool stopping;
};

/* --- heap --------------------------------------------------------------------------------------------- */

static void heap_set(struct heap *heap, size_t at, struct waiter *waiter)
{
    heap->items[at] = waiter;
    waiter->places[heap->order] = at;
}

static void heap_up(struct heap *heap, size_t at)
{
    struct waiter *waiter = heap->items[at];
    for (; at > 0 && heap->items[(at - 1) / 2]->keys[heap->order] > waiter->keys[heap->order];
         at = (at - 1) / 2)
        heap_set(heap, at, heap->items[(at - 1) / 2]);
    heap_set(heap, at, waiter);
}

static void heap_down(struct heap *heap, size_t at)
{
    struct waiter *waiter = heap->items[at];
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count &&
            heap->items[child + 1]->keys[heap->order] < heap->items[child]->keys[heap->order])
            child++;
        if (heap->items[child]->keys[heap->order] >= waiter->keys[heap->order])
            break;
        heap_set(heap, at, heap->items[child]);
    }
    heap_set(heap, at, waiter);
}

static bool heap_reserve(struct heap *heap, size_t count)
{
    if (count <= heap->size)
        return true;
    size_t size = heap->size ? heap->size * 2 : 8;
    struct waiter **items = reallocarray(heap->items, size, sizeof(struct waiter *));
    if (!items)
        return false;
    heap->items = items;
    heap->size = size;
    return true;
}

static void heap_add(struct heap *heap, struct waiter *waiter)
{
    heap->items[heap->count++] = waiter;
    heap_up(heap, heap->count - 1);
}

static void heap_remove(struct heap *heap, struct waiter *waiter)
{
    size_t at = waiter->places[heap->order];
    struct waiter *last = heap->items[--heap->count];
    heap->items[heap->count] = NULL;
    if (last == waiter)
        return;
    heap_set(heap, at, last);
    heap_up(heap, at);
    heap_down(heap, last->places[heap->order]);
}

/* --- waking ------------------------------------------------------------------------------------------- */

static void take_out(feed_waiters *waiters, struct waiter *waiter, bool reached, struct waiter **woken)
{
    heap_remove(&waiters->by_position[waiter->line], waiter);
    heap_remove(&waiters->by_deadline, waiter);
    waiter->reached = reached;
    waiter->next = *woken;
    *woken = waiter;
}

static bool is_held(const feed_waiters *waiters, const struct waiter *waiter)
{
    return waiters->held && waiters->held(waiters->held_context, waiter->partition, waiter->account,
                                          waiter->keys[BY_POSITION]);
}

/* Out of those who are held, whoever is so no longer. */
static void take_out_released(feed_waiters *waiters, struct waiter **woken)
{
    struct heap *heap = &waiters->by_position[HELD];
    struct waiter *released = NULL;
    for (size_t i = 0; i < heap->count; i++) {
        struct waiter *waiter = heap->items[i];
        if (waiters->reached[waiter->partition] < waiter->keys[BY_POSITION] || is_held(waiters, waiter))
            continue;
        waiter->next = released;
        released = waiter;
    }
    while (released) {
        struct waiter *waiter = released;
        released = waiter->next;
        take_out(waiters, waiter, true, woken);
    }
}

static void wake_all(struct waiter *woken)
{
    while (woken) {
        struct waiter *waiter = woken;
        woken = waiter->next;
        waiter->wake(waiter->argument, waiter->reached);
        free(waiter);
    }
}

static int64_t next_deadline(const feed_waiters *waiters)
{
    return waiters->by_deadline.count ? waiters->by_deadline.items[0]->keys[BY_DEADLINE] : INT64_MAX;
}

static void sleep_until(feed_waiters *waiters, int64_t deadline_us)
{
    if (deadline_us == INT64_MAX) {
        pthread_cond_wait(&waiters->changed, &waiters->lock);
        return;
    }
    condition_wait_until(&waiters->changed, &waiters->lock, deadline_us);
}

static void *watch_deadlines(void *argument)
{
    feed_waiters *waiters = argument;
    pthread_mutex_lock(&waiters->lock);
    while (!waiters->stopping) {
        struct waiter *woken = NULL;
        int64_t now = clock_monotonic_us();
        while (next_deadline(waiters) <= now)
            take_out(waiters, waiters->by_deadline.items[0], false, &woken);
        if (!woken) {
            sleep_until(waiters, next_deadline(waiters));
            continue;
        }
        pthread_mutex_unlock(&waiters->lock);
        wake_all(woken);
        pthread_mutex_lock(&waiters->lock);
    }
    pthread_mutex_unlock(&waiters->lock);
    return NULL;
}

/* --- the interface ------------------------------------------------------------------------------------ */

static bool fail_start(feed_waiters *waiters, error *err)
{
    free(waiters);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                     "no memory or thread for those who wait");
}

bool feed_waiters_new(size_t limit, feed_waiters **ret_waiters, error *err)
{
    feed_waiters *waiters = calloc(1, sizeof *waiters);
    if (!waiters)
        return fail_start(NULL, err);
    waiters->limit = limit;
    for (int i = 0; i < LINES; i++)
        waiters->by_position[i].order = BY_POSITION;
    waiters->by_deadline.order = BY_DEADLINE;
    condition_init(&waiters->changed);
    pthread_mutex_init(&waiters->lock, NULL);
    if (pthread_create(&waiters->thread, NULL, watch_deadlines, waiters) != 0)
        return fail_start(waiters, err);
    *ret_waiters = waiters;
    return true;
}

void feed_waiters_stop(feed_waiters *waiters)
{
    struct waiter *woken = NULL;
    pthread_mutex_lock(&waiters->lock);
    bool first = !waiters->stopping;
    waiters->stopping = true;
    while (waiters->by_deadline.count)
        take_out(waiters, waiters->by_deadline.items[0], false, &woken);
    pthread_cond_signal(&waiters->changed);
    pthread_mutex_unlock(&waiters->lock);
    wake_all(woken);
    if (first)
        pthread_join(waiters->thread, NULL);
}

void feed_waiters_free(feed_waiters *waiters)
{
    if (!waiters)
        return;
    feed_waiters_stop(waiters);
    for (int i = 0; i < LINES; i++)
        free(waiters->by_position[i].items);
    free(waiters->by_deadline.items);
    pthread_cond_destroy(&waiters->changed);
    pthread_mutex_destroy(&waiters->lock);
    free(waiters);
}

void feed_waiters_hold(feed_waiters *waiters, feed_held *held, void *context)
{
    waiters->held = held;
    waiters->held_context = context;
}

/* With the lock held. There is always room among the held: nobody is lost on the way there. */
static bool add_waiter(feed_waiters *waiters, struct waiter *waiter, error *err)
{
    struct heap *by_position = &waiters->by_position[waiter->line];
    size_t count = waiters->by_deadline.count + 1;
    if (waiters->stopping)
        return error_set(err, STATUS_UNAVAILABLE, "SHUTTING_DOWN", "the service is shutting down");
    if (count > waiters->limit)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WAITING",
                         "too many calls wait for a position");
    if (!heap_reserve(&waiters->by_position[HELD], count) ||
        !heap_reserve(by_position, by_position->count + 1) || !heap_reserve(&waiters->by_deadline, count))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to wait for a position");
    heap_add(by_position, waiter);
    heap_add(&waiters->by_deadline, waiter);
    if (waiters->by_deadline.items[0] == waiter)
        pthread_cond_signal(&waiters->changed);
    return true;
}

static bool add(feed_waiters *waiters, const struct waiter *wanted, error *err)
{
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to wait for a position");
    *waiter = *wanted;
    pthread_mutex_lock(&waiters->lock);
    bool arrived = waiters->reached[waiter->partition] >= waiter->keys[BY_POSITION];
    bool reached = arrived && !is_held(waiters, waiter);
    waiter->line = arrived ? HELD : waiter->partition;
    bool added = !reached && add_waiter(waiters, waiter, err);
    pthread_mutex_unlock(&waiters->lock);
    if (added)
        return true;
    free(waiter);
    if (reached)
        wanted->wake(wanted->argument, true);
    return reached;
}

bool feed_waiters_add(feed_waiters *waiters, int partition, int64_t position, int64_t deadline_us,
                      feed_wake *wake, void *argument, error *err)
{
    const struct waiter waiter = {.keys = {[BY_POSITION] = position, [BY_DEADLINE] = deadline_us},
                                  .partition = partition,
                                  .wake = wake,
                                  .argument = argument};
    return add(waiters, &waiter, err);
}

bool feed_waiters_add_account(feed_waiters *waiters, const char *account, int64_t position,
                              int64_t deadline_us, feed_wake *wake, void *argument, error *err)
{
    const struct waiter waiter = {.keys = {[BY_POSITION] = position, [BY_DEADLINE] = deadline_us},
                                  .partition = feed_partition(account),
                                  .account = account,
                                  .wake = wake,
                                  .argument = argument};
    return add(waiters, &waiter, err);
}

/* The partition's first waiter has been reached. */
static void move_on(feed_waiters *waiters, struct waiter *waiter, struct waiter **woken)
{
    if (!is_held(waiters, waiter)) {
        take_out(waiters, waiter, true, woken);
        return;
    }
    heap_remove(&waiters->by_position[waiter->line], waiter);
    waiter->line = HELD;
    heap_add(&waiters->by_position[HELD], waiter);
}

void feed_waiters_reach(feed_waiters *waiters, const int64_t positions[FEED_PARTITIONS])
{
    struct waiter *woken = NULL;
    pthread_mutex_lock(&waiters->lock);
    memcpy(waiters->reached, positions, sizeof waiters->reached);
    for (int i = 0; i < FEED_PARTITIONS; i++) {
        struct heap *heap = &waiters->by_position[i];
        while (heap->count && heap->items[0]->keys[BY_POSITION] <= positions[i])
            move_on(waiters, heap->items[0], &woken);
    }
    take_out_released(waiters, &woken);
    pthread_mutex_unlock(&waiters->lock);
    wake_all(woken);
}

void feed_waiters_release(feed_waiters *waiters)
{
    struct waiter *woken = NULL;
    pthread_mutex_lock(&waiters->lock);
    take_out_released(waiters, &woken);
    pthread_mutex_unlock(&waiters->lock);
    wake_all(woken);
}

int64_t feed_waiters_position(feed_waiters *waiters, int partition)
{
    pthread_mutex_lock(&waiters->lock);
    int64_t position = waiters->reached[partition];
    pthread_mutex_unlock(&waiters->lock);
    return position;
}

size_t feed_waiters_count(feed_waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
    size_t count = waiters->by_deadline.count;
    pthread_mutex_unlock(&waiters->lock);
    return count;
}
