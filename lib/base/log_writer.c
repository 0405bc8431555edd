#include "base/log_writer.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/thread_shard.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_SIZE = 128 * 1024 };

#define GATHER_US (20 * CLOCK_SECOND / 1000)

/* Where some of the threads put their lines. Two buffers: one is filled while the other is written. Untouched
 * memory costs nothing until lines come. */
struct shard {
    alignas(CACHE_LINE) pthread_mutex_t lock;
    pthread_cond_t taken; /* who found no room waits for it */
    size_t used;
    unsigned filling; /* which buffer */
    char buffers[2][BUFFER_SIZE];
};

#define EMPTY                                                                \
    {                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER, .taken = PTHREAD_COND_INITIALIZER \
    }
static struct shard shards[THREAD_SHARDS] = {EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY};

static struct {
    pthread_mutex_t lock;  /* never taken before a shard's */
    pthread_cond_t filled; /* the writer waits for it */
    pthread_cond_t done;   /* who flushes waits for it */
    bool lines;            /* there are lines in a shard that no round has begun to look for */
    bool urgent;           /* no time to gather more */
    uint64_t begun, ended; /* rounds of the writer through all shards */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static atomic_bool started;

static void write_all(const char *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nowhere to report it */
        data += written;
        length -= (size_t)written;
    }
}

/* --- the writer --- */

/* With the lock held: waits for the first line, then a little for more. */
static void gather(void)
{
    while (!state.lines)
        pthread_cond_wait(&state.filled, &state.lock);
    int64_t until = clock_monotonic_us() + GATHER_US;
    bool in_time = true;
    while (!state.urgent && in_time)
        in_time = condition_wait_until(&state.filled, &state.lock, until);
}

static void write_shard(struct shard *shard)
{
    pthread_mutex_lock(&shard->lock);
    const char *data = shard->buffers[shard->filling];
    size_t length = shard->used;
    if (length > 0) {
        shard->filling = !shard->filling;
        shard->used = 0;
        pthread_cond_broadcast(&shard->taken);
    }
    pthread_mutex_unlock(&shard->lock);
    write_all(data, length);
}

static void *write_gathered(void *argument)
{
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&state.lock);
        gather();
        state.lines = state.urgent = false;
        uint64_t round = ++state.begun;
        pthread_mutex_unlock(&state.lock);
        for (unsigned i = 0; i < THREAD_SHARDS; i++)
            write_shard(&shards[i]);
        pthread_mutex_lock(&state.lock);
        state.ended = round;
        pthread_cond_broadcast(&state.done);
        pthread_mutex_unlock(&state.lock);
    }
    return NULL;
}

bool log_writer_start(void)
{
    pthread_t thread;
    if (atomic_load(&started))
        return true;
    condition_init(&state.filled);
    if (pthread_create(&thread, NULL, write_gathered, NULL) != 0)
        return false;
    pthread_detach(thread); /* it ends with the program */
    atomic_store(&started, true);
    atexit(log_writer_flush);
    return true;
}

/* --- who has a line --- */

/* With the lock held. */
static void wake_writer(bool urgent)
{
    bool news = !state.lines || (urgent && !state.urgent);
    state.lines = true;
    state.urgent = state.urgent || urgent;
    if (news)
        pthread_cond_signal(&state.filled);
}

static void tell_writer(bool urgent)
{
    pthread_mutex_lock(&state.lock);
    wake_writer(urgent);
    pthread_mutex_unlock(&state.lock);
}

void log_writer_put(const void *line, size_t length, bool urgent)
{
    if (!atomic_load_explicit(&started, memory_order_acquire)) {
        write_all(line, length);
        return;
    }
    struct shard *shard = &shards[thread_shard()];
    pthread_mutex_lock(&shard->lock);
    while (BUFFER_SIZE - shard->used < length) /* the writer was told when half of it was full */
        pthread_cond_wait(&shard->taken, &shard->lock);
    size_t before = shard->used;
    memcpy(shard->buffers[shard->filling] + before, line, length);
    shard->used += length;
    pthread_mutex_unlock(&shard->lock);
    /* The first line of a shard in a round, or one that cannot wait. */
    bool half_full = before < BUFFER_SIZE / 2 && before + length >= BUFFER_SIZE / 2;
    if (before == 0 || urgent || half_full)
        tell_writer(urgent || half_full);
}

void log_writer_flush(void)
{
    if (!atomic_load(&started))
        return;
    pthread_mutex_lock(&state.lock);
    uint64_t wanted = state.begun + 1; /* a round that begins after this */
    wake_writer(true);
    while (state.ended < wanted)
        pthread_cond_wait(&state.done, &state.lock);
    pthread_mutex_unlock(&state.lock);
}
