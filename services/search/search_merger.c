#include "search/search_merger.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* Bytes written in a second; sections of an account from which on it is more urgent to be done. */
enum { RATE = 64 << 20, HURRY_SECTIONS = 64 };

struct search_merger {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct search_account **queue; /* with room for all accounts that were ever queued at once */
    size_t count, size;
    struct search_account *at; /* being merged */
    bool hurry, stopping;
};

static bool step(void *context, size_t written)
{
    search_merger *merger = context;
    struct search_view *view = search_account_view(merger->at);
    bool many = view->count > HURRY_SECTIONS;
    search_view_unref(view);
    int64_t until = clock_monotonic_us() + (int64_t)written * CLOCK_SECOND / RATE;
    const struct timespec time = {.tv_sec = until / CLOCK_SECOND, .tv_nsec = until % CLOCK_SECOND * 1000};
    pthread_mutex_lock(&merger->lock);
    int timed_out = 0;
    while (!merger->stopping && !merger->hurry && !many && timed_out == 0)
        timed_out = pthread_cond_timedwait(&merger->changed, &merger->lock, &time);
    bool stopping = merger->stopping;
    pthread_mutex_unlock(&merger->lock);
    return !stopping;
}

/* Everything that is due in the account at hand. */
static void merge_all(search_merger *merger)
{
    const struct search_pace pace = {step, merger};
    bool done = true;
    error err = {0};
    while (done)
        if (!search_account_merge(merger->at, &pace, &done, &err)) {
            if (err.code != STATUS_CANCELLED)
                log_error("sections are not merged", LOG_TEXT("error.message", err.message));
            return;
        }
}

static void *run(void *argument)
{
    search_merger *merger = argument;
    pthread_mutex_lock(&merger->lock);
    while (!merger->stopping) {
        if (merger->count == 0) {
            pthread_cond_wait(&merger->changed, &merger->lock);
            continue;
        }
        merger->at = merger->queue[0];
        merger->at->queued = false;
        merger->count--;
        for (size_t i = 0; i < merger->count; i++)
            merger->queue[i] = merger->queue[i + 1];
        pthread_mutex_unlock(&merger->lock);
        merge_all(merger);
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
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&merger->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&merger->lock, NULL);
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
    free(merger->queue);
    free(merger);
}

static bool reserve(search_merger *merger)
{
    if (merger->count < merger->size)
        return true;
    size_t size = merger->size ? merger->size * 2 : 16;
    struct search_account **grown = reallocarray(merger->queue, size, sizeof(struct search_account *));
    if (!grown)
        return false;
    merger->queue = grown;
    merger->size = size;
    return true;
}

/* Without memory the account comes again with its next change. */
void search_merger_add(search_merger *merger, struct search_account *account)
{
    pthread_mutex_lock(&merger->lock);
    if (!account->queued && reserve(merger)) {
        account->queued = true;
        merger->queue[merger->count++] = account;
        pthread_cond_broadcast(&merger->changed);
    }
    pthread_mutex_unlock(&merger->lock);
}

void search_merger_finish(search_merger *merger)
{
    pthread_mutex_lock(&merger->lock);
    merger->hurry = true;
    pthread_cond_broadcast(&merger->changed);
    while (merger->count > 0 || merger->at)
        pthread_cond_wait(&merger->changed, &merger->lock);
    merger->hurry = false;
    pthread_mutex_unlock(&merger->lock);
}
