#include "pg/notify.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "pg/pg_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define RETRY_PAUSE (500 * CLOCK_SECOND / 1000)

/* Not more often than this: under load one NOTIFY stands for many commits. */
#define NOTIFY_PAUSE (5 * CLOCK_SECOND / 1000)

enum { CHANNEL_SIZE = 41 };

static const struct pg_statement notify = {
    .name = "notify",
    .sql = "SELECT pg_notify($1::text, $2::text)",
};

static bool is_channel(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz_");
    return length > 0 && length < CHANNEL_SIZE && name[length] == '\0';
}

static void *with_memory(void *memory, error *err)
{
    if (!memory)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    return memory;
}

/* --- sending --- */

struct pg_notifier {
    struct pg_options options;
    char channel[CHANNEL_SIZE];
    uint64_t id; /* random: tells its notifications from others' */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t due;
    bool pausing; /* looks at `due` by itself when the pause is over */
    bool stopping;
    pg_conn *conn; /* of the thread alone */
};

static bool send_due(pg_notifier *n, arena *memory, uint64_t due, error *err)
{
    char payload[40];
    pg_params p;
    if (!pg_conn_usable(n->conn)) {
        pg_conn_close(n->conn);
        n->conn = NULL;
        if (!pg_conn_open(&n->options, &n->conn, err))
            return false;
    }
    snprintf(payload, sizeof payload, "%016llx %016llx", (unsigned long long)due, (unsigned long long)n->id);
    arena_clear(memory);
    pg_params_init(&p, memory);
    pg_add_text(&p, n->channel);
    pg_add_text(&p, payload);
    return pg_query(n->conn, &notify, &p, 0, NULL, err);
}

static void wait_a_while(pg_notifier *n, int64_t pause_us)
{
    int64_t until = clock_monotonic_us() + pause_us;
    n->pausing = true;
    while (!n->stopping && condition_wait_until(&n->wake, &n->lock, until))
        ;
    n->pausing = false;
}

static void *run_notifier(void *argument)
{
    pg_notifier *n = argument;
    error err;
    arena *memory = arena_new(4096);
    pthread_setname_np(pthread_self(), "notifier");
    pthread_mutex_lock(&n->lock);
    while (memory && !(n->stopping && n->due == 0)) {
        uint64_t due = n->due;
        if (due == 0) {
            pthread_cond_wait(&n->wake, &n->lock);
            continue;
        }
        n->due = 0;
        pthread_mutex_unlock(&n->lock);
        bool good = send_due(n, memory, due, &err);
        if (!good)
            log_warn("no wake-up sent", LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
        pthread_mutex_lock(&n->lock);
        if (!good && n->stopping)
            break;
        n->due |= good ? 0 : due;
        wait_a_while(n, good ? NOTIFY_PAUSE : RETRY_PAUSE);
    }
    pthread_mutex_unlock(&n->lock);
    arena_free(memory);
    pg_conn_close(n->conn);
    return NULL;
}

bool pg_notifier_new(const struct pg_options *options, const char *channel, pg_notifier **ret_notifier,
                     error *err)
{
    if (!is_channel(channel))
        return error_set(err, STATUS_INVALID_ARGUMENT, "CHANNEL", "not a channel name: %s", channel);
    pg_notifier *n = with_memory(calloc(1, sizeof *n), err);
    if (!n)
        return false;
    n->options = *options;
    snprintf(n->channel, sizeof n->channel, "%s", channel);
    if (getrandom(&n->id, sizeof n->id, 0) != (ssize_t)sizeof n->id)
        n->id = (uint64_t)clock_real_us() << 16 ^ (uint64_t)getpid();
    condition_init(&n->wake);
    pthread_mutex_init(&n->lock, NULL);
    if (pthread_create(&n->thread, NULL, run_notifier, n) != 0) {
        pthread_cond_destroy(&n->wake);
        pthread_mutex_destroy(&n->lock);
        free(n);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "THREAD", "cannot start a thread");
    }
    *ret_notifier = n;
    return true;
}

void pg_notifier_free(pg_notifier *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    pthread_cond_destroy(&n->wake);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void pg_notifier_wake(pg_notifier *n, uint64_t partitions)
{
    pthread_mutex_lock(&n->lock);
    bool waits = n->due == 0 && !n->pausing;
    n->due |= partitions;
    if (waits)
        pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
}

/* --- hearing --- */

struct pg_listener {
    struct pg_options options;
    char channel[CHANNEL_SIZE];
    const pg_notifier *own;
    void (*heard)(void *context, uint64_t partitions);
    void *context;
    pthread_t thread;
    int stop; /* eventfd: readable once the thread is to end */
};

/* False when it is time to stop. */
static bool wait_for(const pg_listener *l, int fd, int64_t pause_us)
{
    struct pollfd p[2] = {{.fd = l->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int ready = poll(p, 2, pause_us < 0 ? -1 : (int)(pause_us / 1000));
    return ready <= 0 || p[0].revents == 0;
}

static void pass_on(const pg_listener *l, PGconn *pq)
{
    uint64_t partitions = 0;
    for (PGnotify *n; (n = PQnotifies(pq)); PQfreemem(n)) {
        char *sender;
        uint64_t moved = strtoull(n->extra, &sender, 16);
        if (!l->own || strtoull(sender, NULL, 16) != l->own->id)
            partitions |= moved;
    }
    if (partitions)
        l->heard(l->context, partitions);
}

static void listen_until_lost(pg_listener *l, pg_conn *conn)
{
    l->heard(l->context, UINT64_MAX);
    do {
        pass_on(l, conn->pq);
        if (!wait_for(l, PQsocket(conn->pq), -1))
            return;
    } while (PQconsumeInput(conn->pq));
}

static void *run_listener(void *argument)
{
    pg_listener *l = argument;
    char script[CHANNEL_SIZE + 16];
    snprintf(script, sizeof script, "LISTEN %s",
             l->channel); /* an identifier that was checked; no parameters here */
    pthread_setname_np(pthread_self(), "listener");
    do {
        pg_conn *conn;
        error err;
        if (!pg_conn_open(&l->options, &conn, &err)) {
            log_warn("no wake-ups heard", LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
            continue;
        }
        if (pg_run_script(conn, script, 0, &err))
            listen_until_lost(l, conn);
        pg_conn_close(conn);
    } while (wait_for(l, -1, RETRY_PAUSE));
    return NULL;
}

bool pg_listener_new(const struct pg_options *options, const char *channel, const pg_notifier *own,
                     void (*heard)(void *context, uint64_t partitions), void *context,
                     pg_listener **ret_listener, error *err)
{
    if (!is_channel(channel))
        return error_set(err, STATUS_INVALID_ARGUMENT, "CHANNEL", "not a channel name: %s", channel);
    pg_listener *l = with_memory(calloc(1, sizeof *l), err);
    if (!l)
        return false;
    l->options = *options;
    l->own = own;
    l->heard = heard;
    l->context = context;
    snprintf(l->channel, sizeof l->channel, "%s", channel);
    l->stop = eventfd(0, EFD_CLOEXEC);
    if (l->stop < 0 || pthread_create(&l->thread, NULL, run_listener, l) != 0) {
        if (l->stop >= 0)
            close(l->stop);
        free(l);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "THREAD", "cannot start a thread");
    }
    *ret_listener = l;
    return true;
}

void pg_listener_free(pg_listener *l)
{
    if (!l)
        return;
    eventfd_write(l->stop, 1);
    pthread_join(l->thread, NULL);
    close(l->stop);
    free(l);
}
