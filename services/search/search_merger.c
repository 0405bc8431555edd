#include "search/search_merger.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread_priority.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Bytes written in a second; sections of an account from which on it is more urgent to be done. */
enum { RATE = 64 << 20, HURRY_SECTIONS = 64 };

/* Without a change for that long, sections are put in order. */
#define REST (5 * CLOCK_SECOND)

/* Accounts, each once. */
struct queue {
    struct search_account **accounts;
    size_t count, size;
};

struct search_merger {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct queue due, touched;
    int64_t changed_us;        /* monotonic: when an account last changed */
    struct search_account *at; /* being merged */
    bool hurry, stopping;
    metrics_counter *merges;
};

static bool step(void *context, size_t written)
{
    search_merger *merger = context;
    struct search_view *view = search_account_view(merger->at);
    bool many = view->count > HURRY_SECTIONS;
    search_view_unref(view);
    int64_t until = clock_monotonic_us() + (int64_t)written * CLOCK_SECOND / RATE;
    pthread_mutex_lock(&merger->lock);
    bool in_time = true;
    while (!merger->stopping && !merger->hurry && !many && in_time)
        in_time = condition_wait_until(&merger->changed, &merger->lock, until);
    bool stopping = merger->stopping;
    pthread_mutex_unlock(&merger->lock);
    return !stopping;
}

/* Everything that is due in the account at hand. */
static void merge_all(search_merger *merger, bool tidy)
{
    const struct search_pace pace = {step, merger};
    bool done = true;
    error err = {0};
    while (done) {
        if (!search_account_merge(merger->at, tidy, &pace, &done, &err)) {
            if (err.code != STATUS_CANCELLED)
                log_error("sections are not merged", LOG_TEXT("error.message", err.message));
            return;
        }
        metrics_add(merger->merges, done);
    }
}

static struct search_account *take_first(struct queue *queue)
{
    struct search_account *first = queue->accounts[0];
    queue->count--;
    memmove(queue->accounts, queue->accounts + 1, queue->count * sizeof(struct search_account *));
    return first;
}

/* With the lock. False: nothing is to be done before something changes, or before *ret_until. */
static bool next(search_merger *merger, bool *ret_tidy, int64_t *ret_until)
{
    *ret_until = INT64_MAX;
    *ret_tidy = merger->due.count == 0;
    if (!*ret_tidy) {
        merger->at = take_first(&merger->due);
        merger->at->queued = false;
        return true;
    }
    if (merger->touched.count == 0)
        return false;
    *ret_until = merger->changed_us + (injection_point("search_merger.rest") ? 0 : REST);
    if (!merger->hurry && clock_monotonic_us() < *ret_until)
        return false;
    merger->at = take_first(&merger->touched);
    merger->at->touched = false;
    return true;
}

static void wait_until(search_merger *merger, int64_t until)
{
    if (until == INT64_MAX)
        pthread_cond_wait(&merger->changed, &merger->lock);
    else
        condition_wait_until(&merger->changed, &merger->lock, until);
}

static void *run(void *argument)
{
    search_merger *merger = argument;
    bool tidy;
    int64_t until;
    thread_lower_priority();
    pthread_mutex_lock(&merger->lock);
    while (!merger->stopping) {
        if (!next(merger, &tidy, &until)) {
            wait_until(merger, until);
            continue;
        }
        pthread_mutex_unlock(&merger->lock);
        merge_all(merger, tidy);
        pthread_mutex_lock(&merger->lock);
        merger->at = NULL;
        pthread_cond_broadcast(&merger->changed);
    }
    pthread_mutex_unlock(&merger->lock);
    return NULL;
}

bool search_merger_new(search_merger **ret_merger, error *err)
{
    search_merger *merger = calloc(1, sizeof *merger);
    if (!merger)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the index");
    condition_init(&merger->changed);
    pthread_mutex_init(&merger->lock, NULL);
    merger->merges =
        metrics_counter_get("casework_search_merges_total", "Merges of sections beside the changes.", "");
    if (pthread_create(&merger->thread, NULL, run, merger) != 0) {
        pthread_cond_destroy(&merger->changed);
        pthread_mutex_destroy(&merger->lock);
        free(merger);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no thread to merge sections");
    }
    *ret_merger = merger;
    return true;
}

void search_merger_free(search_merger *merger)
{
    if (!merger)
        return;
    pthread_mutex_lock(&merger->lock);
    merger->stopping = true;
    pthread_cond_broadcast(&merger->changed);
    pthread_mutex_unlock(&merger->lock);
    pthread_join(merger->thread, NULL);
    pthread_cond_destroy(&merger->changed);
    pthread_mutex_destroy(&merger->lock);
    free(merger->due.accounts);
    free(merger->touched.accounts);
    free(merger);
}

/* Without memory the account comes again with its next change. */
static void append(struct queue *queue, struct search_account *account, bool *flag)
{
    if (*flag)
        return;
    if (queue->count == queue->size) {
        size_t size = queue->size ? queue->size * 2 : 16;
        struct search_account **grown = reallocarray(queue->accounts, size, sizeof(struct search_account *));
        if (!grown)
            return;
        queue->accounts = grown;
        queue->size = size;
    }
    queue->accounts[queue->count++] = account;
    *flag = true;
}

void search_merger_add(search_merger *merger, struct search_account *account, bool due)
{
    pthread_mutex_lock(&merger->lock);
    bool wake = due || merger->touched.count == 0;
    merger->changed_us = clock_monotonic_us();
    append(&merger->touched, account, &account->touched);
    if (due)
        append(&merger->due, account, &account->queued);
    if (wake)
        pthread_cond_broadcast(&merger->changed);
    pthread_mutex_unlock(&merger->lock);
}

void search_merger_finish(search_merger *merger)
{
    pthread_mutex_lock(&merger->lock);
    merger->hurry = true;
    pthread_cond_broadcast(&merger->changed);
    while (merger->due.count > 0 || merger->touched.count > 0 || merger->at)
        pthread_cond_wait(&merger->changed, &merger->lock);
    merger->hurry = false;
    pthread_mutex_unlock(&merger->lock);
}
