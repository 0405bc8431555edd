#include "base/log_writer.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 256 * 1024 };

#define GATHER_US (20 * CLOCK_SECOND / 1000)

/* Two buffers: one is filled while the other is written. Untouched memory costs nothing until the thread is
 * started. */
static char buffers[2][BUFFER_SIZE];

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* the writer waits for it */
    pthread_cond_t taken;  /* who found no room, or flushes, waits for it */
    char *filling;
    size_t used;
    bool urgent;
    bool writing; /* the other buffer is being written */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .taken = PTHREAD_COND_INITIALIZER, .filling = buffers[0]};

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

/* With the lock held: waits for the first line, then a little for more. */
static void gather(void)
{
    while (state.used == 0)
        pthread_cond_wait(&state.filled, &state.lock);
    int64_t until = clock_monotonic_us() + GATHER_US;
    const struct timespec limit = {.tv_sec = until / CLOCK_SECOND, .tv_nsec = until % CLOCK_SECOND * 1000};
    int waited = 0;
    while (!state.urgent && state.used < BUFFER_SIZE / 2 && waited == 0)
        waited = pthread_cond_timedwait(&state.filled, &state.lock, &limit);
}

static void *write_gathered(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&state.lock);
    for (;;) {
        gather();
        char *data = state.filling;
        size_t length = state.used;
        state.filling = data == buffers[0] ? buffers[1] : buffers[0];
        state.used = 0;
        state.urgent = false;
        state.writing = true;
        pthread_cond_broadcast(&state.taken);
        pthread_mutex_unlock(&state.lock);
        write_all(data, length);
        pthread_mutex_lock(&state.lock);
        state.writing = false;
        pthread_cond_broadcast(&state.taken);
    }
    return NULL;
}

bool log_writer_start(void)
{
    pthread_t thread;
    pthread_condattr_t attributes;
    if (atomic_load(&started))
        return true;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&state.filled, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&thread, NULL, write_gathered, NULL) != 0)
        return false;
    pthread_detach(thread); /* it ends with the program */
    atomic_store(&started, true);
    atexit(log_writer_flush);
    return true;
}

void log_writer_put(const void *line, size_t length, bool urgent)
{
    if (!atomic_load_explicit(&started, memory_order_acquire)) {
        write_all(line, length);
        return;
    }
    pthread_mutex_lock(&state.lock);
    while (BUFFER_SIZE - state.used < length)
        pthread_cond_wait(&state.taken, &state.lock);
    memcpy(state.filling + state.used, line, length);
    bool wake = state.used == 0 || (urgent && !state.urgent) ||
                (state.used < BUFFER_SIZE / 2 && state.used + length >= BUFFER_SIZE / 2);
    state.used += length;
    state.urgent = state.urgent || urgent;
    pthread_mutex_unlock(&state.lock);
    if (wake)
        pthread_cond_signal(&state.filled);
}

void log_writer_flush(void)
{
    if (!atomic_load(&started))
        return;
    pthread_mutex_lock(&state.lock);
    while (state.used > 0 || state.writing) {
        state.urgent = state.used > 0;
        pthread_cond_signal(&state.filled);
        pthread_cond_wait(&state.taken, &state.lock);
    }
    pthread_mutex_unlock(&state.lock);
}
