#include "case/case_feed.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "case/case_feed_stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POLL_US (1 * CLOCK_SECOND)

/*
 * Under load, commits and hints come faster than it pays to run readers and to look at heads: what comes
 * within these times after the last one waits for their end.
 */
#define WAKE_PAUSE_US (5 * CLOCK_SECOND / 1000)
#define LOOK_PAUSE_US (5 * CLOCK_SECOND / 1000)
#define LOOK_TIMEOUT_US (5 * CLOCK_SECOND)

struct case_feed {
    pg_pool *pool;
    rpc_server *server;
    int64_t patience_us;
    pg_notifier *notifier;
    pg_listener *listener;
    _Atomic int64_t heads[FEED_PARTITIONS];
    _Atomic unsigned generation;
    _Atomic int64_t time_us;
    pthread_t watcher;
    bool watching;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    char epoch[FEED_EPOCH_SIZE];
    bool wake_due, look_due, stopping;
    int64_t waked_us, looked_us;
    struct case_feed_reader *readers;
};

static const struct pg_statement feed_heads = {
    .name = "feed_heads",
    .sql = "SELECT p.partition, p.head, s.epoch, coalesce(s.manual_time, clock_timestamp())"
           " FROM partitions p CROSS JOIN suite s",
};

/* --- readers --- */

enum { READER_IDLE, READER_RUNNING, READER_RUN_AGAIN };

static void reader_task(void *argument)
{
    struct case_feed_reader *reader = argument;
    int running;
    do {
        __atomic_store_n(&reader->state, READER_RUNNING, __ATOMIC_SEQ_CST);
        reader->run(reader);
        running = READER_RUNNING;
    } while (!__atomic_compare_exchange_n(&reader->state, &running, READER_IDLE, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    reader->unref(reader);
}

void case_feed_wake(struct case_feed_reader *reader)
{
    int state = __atomic_load_n(&reader->state, __ATOMIC_SEQ_CST);
    do {
        if (state == READER_RUN_AGAIN)
            return;
    } while (!__atomic_compare_exchange_n(&reader->state, &state,
                                          state == READER_IDLE ? READER_RUNNING : READER_RUN_AGAIN, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    if (state == READER_RUNNING)
        return;
    reader->ref(reader);
    if (rpc_server_run(reader->feed->server, reader_task, reader))
        return;
    /* The workers' queue is full: the watcher comes by again within a second. */
    __atomic_store_n(&reader->state, READER_IDLE, __ATOMIC_SEQ_CST);
    reader->unref(reader);
}

/* With the lock held. */
static void wake_all(case_feed *feed)
{
    feed->wake_due = false;
    feed->waked_us = clock_monotonic_us();
    for (struct case_feed_reader *reader = feed->readers; reader; reader = reader->next) {
        if (!reader->due || reader->due(reader))
            case_feed_wake(reader);
    }
}

void case_feed_attach(case_feed *feed, struct case_feed_reader *reader)
{
    reader->feed = feed;
    reader->previous = NULL;
    pthread_mutex_lock(&feed->lock);
    reader->next = feed->readers;
    if (feed->readers)
        feed->readers->previous = reader;
    feed->readers = reader;
    pthread_mutex_unlock(&feed->lock);
    case_feed_wake(reader);
}

void case_feed_detach(struct case_feed_reader *reader)
{
    case_feed *feed = reader->feed;
    pthread_mutex_lock(&feed->lock);
    if (reader->previous)
        reader->previous->next = reader->next;
    else
        feed->readers = reader->next;
    if (reader->next)
        reader->next->previous = reader->previous;
    pthread_mutex_unlock(&feed->lock);
}

/* --- heads --- */

/* Heads only grow within an epoch: what is read late never takes back what is known. */
static void raise_head(case_feed *feed, int partition, int64_t head)
{
    int64_t known = atomic_load(&feed->heads[partition]);
    while (known < head && !atomic_compare_exchange_weak(&feed->heads[partition], &known, head)) {
    }
}

int64_t case_feed_head(const case_feed *feed, int partition)
{
    return atomic_load(&feed->heads[partition]);
}

void case_feed_committed(case_feed *feed, int partition, int64_t head)
{
    raise_head(feed, partition, head);
    pg_notifier_wake(feed->notifier, UINT64_C(1) << partition);
    pthread_mutex_lock(&feed->lock);
    if (clock_monotonic_us() - feed->waked_us >= WAKE_PAUSE_US) {
        wake_all(feed);
    } else if (!feed->wake_due && feed->readers) {
        feed->wake_due = true;
        pthread_cond_signal(&feed->changed);
    }
    pthread_mutex_unlock(&feed->lock);
}

/* Another epoch: the database was restored, and nothing known of it holds any more. */
static void take_epoch(case_feed *feed, const char *epoch)
{
    pthread_mutex_lock(&feed->lock);
    bool other = strcmp(feed->epoch, epoch) != 0;
    if (other) {
        strncpy(feed->epoch, epoch, sizeof feed->epoch - 1);
        for (int partition = 0; partition < FEED_PARTITIONS; partition++)
            atomic_store(&feed->heads[partition], 0);
        atomic_fetch_add(&feed->generation, 1);
    }
    pthread_mutex_unlock(&feed->lock);
}

bool case_feed_refresh(case_feed *feed, int64_t deadline_us, error *err)
{
    pg_result *result;
    if (!pg_pool_query(feed->pool, &feed_heads, NULL, deadline_us, &result, err))
        return false;
    if (pg_rows(result) > 0) {
        take_epoch(feed, pg_get_text(result, 0, 2));
        atomic_store(&feed->time_us, pg_get_time(result, 0, 3));
    }
    for (int row = 0; row < pg_rows(result); row++)
        raise_head(feed, (int)pg_get_int(result, row, 0), pg_get_int(result, row, 1));
    pg_result_free(result);
    return true;
}

int64_t case_feed_time(const case_feed *feed)
{
    return atomic_load(&feed->time_us);
}

bool case_feed_check_generation(const case_feed *feed, unsigned generation, error *err)
{
    return generation == case_feed_generation(feed) ||
           error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                     "the feed has begun anew: begin with a snapshot");
}

void case_feed_epoch(case_feed *feed, char ret_epoch[FEED_EPOCH_SIZE])
{
    pthread_mutex_lock(&feed->lock);
    memcpy(ret_epoch, feed->epoch, FEED_EPOCH_SIZE);
    pthread_mutex_unlock(&feed->lock);
}

unsigned case_feed_generation(const case_feed *feed)
{
    return atomic_load(&feed->generation);
}

/* --- the watcher --- */

static void heard(void *context, uint64_t partitions)
{
    (void)partitions; /* all heads are one small read */
    case_feed *feed = context;
    pthread_mutex_lock(&feed->lock);
    feed->look_due = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* With the lock held: when the heads are looked at next, whoever has said something or not. */
static int64_t next_look(const case_feed *feed)
{
    if (feed->look_due)
        return feed->looked_us + LOOK_PAUSE_US;
    return feed->looked_us + (injection_point("case_feed.poll") ? CLOCK_DAY : POLL_US);
}

/* With the lock held: when there is something to do next. */
static int64_t next_round(const case_feed *feed)
{
    int64_t look = next_look(feed);
    return feed->wake_due ? earlier(look, feed->waked_us + WAKE_PAUSE_US) : look;
}

/* With the lock held, which is given up meanwhile. */
static void look(case_feed *feed, bool *failing)
{
    error err;
    feed->look_due = false;
    pthread_mutex_unlock(&feed->lock);
    bool good = case_feed_refresh(feed, clock_monotonic_us() + LOOK_TIMEOUT_US, &err);
    if (!good && !*failing)
        log_warn("the feed's heads cannot be read", LOG_TEXT("error", err.message),
                 LOG_TEXT("detail", err.detail));
    *failing = !good;
    pthread_mutex_lock(&feed->lock);
    feed->looked_us = clock_monotonic_us();
}

static void *watch(void *argument)
{
    case_feed *feed = argument;
    bool failing = false;
    pthread_mutex_lock(&feed->lock);
    while (!feed->stopping) {
        int64_t now = clock_monotonic_us(), until = next_round(feed);
        if (now < until) {
            condition_wait_until(&feed->changed, &feed->lock, until);
            continue;
        }
        if (now >= next_look(feed))
            look(feed, &failing);
        wake_all(feed);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

static bool start(case_feed *feed, const struct case_feed_options *options, error *err)
{
    if (!case_feed_refresh(feed, clock_monotonic_us() + LOOK_TIMEOUT_US, err) ||
        !pg_notifier_new(&options->connection, "casework_feed", &feed->notifier, err) ||
        !pg_listener_new(&options->connection, "casework_feed", feed->notifier, heard, feed, &feed->listener,
                         err))
        return false;
    if (pthread_create(&feed->watcher, NULL, watch, feed) != 0)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the feed");
    feed->watching = true;
    return true;
}

bool case_feed_new(const struct case_feed_options *options, case_feed **ret_feed, error *err)
{
    case_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the feed");
    feed->pool = options->pool;
    feed->server = options->server;
    feed->patience_us = options->patience_us;
    pthread_mutex_init(&feed->lock, NULL);
    condition_init(&feed->changed);
    if (!start(feed, options, err)) {
        case_feed_free(feed);
        return false;
    }
    *ret_feed = feed;
    return true;
}

void case_feed_free(case_feed *feed)
{
    if (!feed)
        return;
    case_snapshots_join();
    pg_listener_free(feed->listener);
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    if (feed->watching)
        pthread_join(feed->watcher, NULL);
    pg_notifier_free(feed->notifier);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

pg_pool *case_feed_pool(const case_feed *feed)
{
    return feed->pool;
}

rpc_server *case_feed_server(const case_feed *feed)
{
    return feed->server;
}

int64_t case_feed_patience(const case_feed *feed)
{
    return feed->patience_us;
}
