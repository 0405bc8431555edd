#include "report/report_merger.h"

#include "base/log.h"
#include "feed/partition.h"
#include "report/report_totals_store.h"

#include <pthread.h>
#include <stdlib.h>

/* A partition is due after so many events. */
enum { MERGE_EVERY = 2000 };

struct report_merger {
    const struct pg_options *options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t unmerged[FEED_PARTITIONS]; /* events */
    bool stopping;
    pthread_t thread;
};

static const struct pg_statement lock_partition = {
    .name = "report_merge_lock",
    .sql = "SELECT FROM report_partitions WHERE partition = $1::int2 FOR UPDATE",
};

/* --- merging ------------------------------------------------------------------------------------------- */

/* Some keys, in a transaction of their own. *ret_more: there may be more. */
static bool merge_some(pg_conn *conn, int partition, arena *memory, bool *ret_more, error *err)
{
    pg_params p;
    arena_clear(memory);
    pg_params_init(&p, memory);
    pg_add_int2(&p, partition);
    return pg_begin(conn, 0, err) && pg_query(conn, &lock_partition, &p, 0, NULL, err) &&
           report_totals_merge(conn, partition, memory, ret_more, err) && pg_commit(conn, 0, err);
}

static bool is_stopping(report_merger *merger)
{
    if (merger == NULL)
        return false;
    pthread_mutex_lock(&merger->lock);
    bool stopping = merger->stopping;
    pthread_mutex_unlock(&merger->lock);
    return stopping;
}

/* Until a merger that is told so ends; NULL: to the end. */
static bool merge_partitions(const struct pg_options *options, int first, int last, report_merger *merger,
                             error *err)
{
    arena *memory = arena_new(REPORT_MERGE_BYTES_MAX);
    pg_conn *conn = NULL;
    bool merged = memory != NULL ||
                  error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to merge totals");
    merged = merged && pg_conn_open(options, &conn, err);
    for (int partition = first; merged && partition <= last; partition++) {
        for (bool more = true; merged && more && !is_stopping(merger);)
            merged = merge_some(conn, partition, memory, &more, err);
    }
    pg_conn_close(conn); /* rolls back what was not committed */
    arena_free(memory);
    return merged;
}

bool report_merger_run(const struct pg_options *options, error *err)
{
    return merge_partitions(options, 0, FEED_PARTITIONS - 1, NULL, err);
}

/* --- the thread ---------------------------------------------------------------------------------------- */

/* With the lock. -1: none is due. */
static int take_due(report_merger *merger)
{
    for (int partition = 0; partition < FEED_PARTITIONS; partition++) {
        if (merger->unmerged[partition] < MERGE_EVERY)
            continue;
        merger->unmerged[partition] = 0;
        return partition;
    }
    return -1;
}

/* -1: it is to end. */
static int next(report_merger *merger)
{
    int partition = -1;
    pthread_mutex_lock(&merger->lock);
    while (!merger->stopping && (partition = take_due(merger)) < 0)
        pthread_cond_wait(&merger->changed, &merger->lock);
    if (merger->stopping)
        partition = -1;
    pthread_mutex_unlock(&merger->lock);
    return partition;
}

/* What cannot be merged now will be later: it is only slower to read. */
static void *run(void *argument)
{
    report_merger *merger = argument;
    for (int partition; (partition = next(merger)) >= 0;) {
        error err = {0};
        if (!merge_partitions(merger->options, partition, partition, merger, &err))
            log_warn("totals are merged later", LOG_TEXT("error.message", err.message),
                     LOG_TEXT("error.detail", err.detail));
    }
    return NULL;
}

/* --- the interface ------------------------------------------------------------------------------------- */

static void release(report_merger *merger)
{
    pthread_cond_destroy(&merger->changed);
    pthread_mutex_destroy(&merger->lock);
    free(merger);
}

bool report_merger_new(const struct pg_options *options, report_merger **ret_merger, error *err)
{
    report_merger *merger = calloc(1, sizeof *merger);
    if (merger == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    merger->options = options;
    pthread_mutex_init(&merger->lock, NULL);
    pthread_cond_init(&merger->changed, NULL);
    if (pthread_create(&merger->thread, NULL, run, merger) != 0) {
        release(merger);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no thread to merge totals");
    }
    *ret_merger = merger;
    return true;
}

void report_merger_free(report_merger *merger)
{
    if (merger == NULL)
        return;
    pthread_mutex_lock(&merger->lock);
    merger->stopping = true;
    pthread_cond_signal(&merger->changed);
    pthread_mutex_unlock(&merger->lock);
    pthread_join(merger->thread, NULL);
    release(merger);
}

void report_merger_note(report_merger *merger, int partition, size_t events)
{
    pthread_mutex_lock(&merger->lock);
    merger->unmerged[partition] += events;
    bool due = merger->unmerged[partition] >= MERGE_EVERY;
    pthread_mutex_unlock(&merger->lock);
    if (due)
        pthread_cond_signal(&merger->changed);
}
