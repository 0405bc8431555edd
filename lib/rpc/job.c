#include "rpc/job.h"

#include "base/clock.h"
#include "base/condition.h"

#include <time.h>

void rpc_job_init(struct rpc_job *job, rpc_call *call, void (*release)(struct rpc_job *job))
{
    job->call = call;
    job->release = release;
    job->references = 1;
    pthread_mutex_init(&job->lock, NULL);
    condition_init(&job->changed);
    rpc_call_ref(call);
}

void rpc_job_ref(struct rpc_job *job)
{
    pthread_mutex_lock(&job->lock);
    job->references++;
    pthread_mutex_unlock(&job->lock);
}

void rpc_job_unref(struct rpc_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool last = --job->references == 0;
    pthread_mutex_unlock(&job->lock);
    if (!last)
        return;
    pthread_cond_destroy(&job->changed);
    pthread_mutex_destroy(&job->lock);
    rpc_call_unref(job->call);
    job->release(job);
}

/* --- the thread ----------------------------------------------------------------------------------- */

static void *run(void *argument)
{
    struct rpc_job *job = argument;
    struct rpc_jobs *jobs = job->jobs;
    job->run(job);
    rpc_job_unref(job);
    atomic_fetch_sub(&jobs->running, 1);
    return NULL;
}

static bool start_detached(struct rpc_job *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, run, job) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

bool rpc_job_start(struct rpc_job *job, struct rpc_jobs *jobs, void (*run_job)(struct rpc_job *job),
                   error *err)
{
    if (atomic_fetch_add(&jobs->running, 1) >= jobs->most) {
        atomic_fetch_sub(&jobs->running, 1);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_JOBS", "at most %d of these at a time",
                         jobs->most);
    }
    job->jobs = jobs;
    job->run = run_job;
    rpc_job_ref(job);
    if (start_detached(job))
        return true;
    rpc_job_unref(job);
    atomic_fetch_sub(&jobs->running, 1);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the answer");
}

/* --- writing -------------------------------------------------------------------------------------- */

static bool gone(error *err)
{
    return error_set(err, STATUS_CANCELLED, "CANCELLED", "the client is gone");
}

static bool wait_writable(struct rpc_job *job, int64_t patience_us, error *err)
{
    int64_t until_us = clock_monotonic_us() + patience_us;
    bool in_time = true;
    pthread_mutex_lock(&job->lock);
    while (!job->writable && !job->over && in_time)
        in_time = condition_wait_until(&job->changed, &job->lock, until_us);
    bool writable = job->writable;
    bool over = job->over;
    job->writable = false;
    pthread_mutex_unlock(&job->lock);
    if (over)
        return gone(err);
    return writable || error_set(err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
                                 "the reader has taken nothing for too long");
}

bool rpc_job_write(struct rpc_job *job, const ProtobufCMessage *message, int64_t patience_us, error *err)
{
    for (;;) {
        switch (rpc_call_write(job->call, message)) {
        case RPC_WRITE_OK:
            return true;
        case RPC_WRITE_FULL:
            if (!wait_writable(job, patience_us, err))
                return false;
            break;
        default:
            return gone(err);
        }
    }
}

/* --- the call's events ---------------------------------------------------------------------------- */

static void tell(struct rpc_job *job, bool over)
{
    pthread_mutex_lock(&job->lock);
    job->writable = true;
    job->over = job->over || over;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

void rpc_job_on_writable(struct rpc_job *job)
{
    tell(job, false);
}

void rpc_job_on_done(struct rpc_job *job)
{
    tell(job, true);
    rpc_job_unref(job);
}

bool rpc_job_is_over(struct rpc_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool over = job->over;
    pthread_mutex_unlock(&job->lock);
    return over || rpc_call_is_cancelled(job->call);
}

void rpc_jobs_join(const struct rpc_jobs *jobs)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&jobs->running) > 0)
        nanosleep(&pause, NULL);
}
