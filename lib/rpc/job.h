#ifndef CASEWORK_RPC_JOB_H
#define CASEWORK_RPC_JOB_H

/*
 * A streaming answer that is worked out on a thread of its own: it may block on databases and other services,
 * and waits for its client when the call's queue is full. The job is part of the handler's state of the call,
 * which lives until both the call and the thread have given it up.
 */

#include "base/error.h"
#include "rpc/call.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Jobs that run at the same time; {.most = N} at the start. */
struct rpc_jobs {
    _Atomic int running;
    int most;
};

struct rpc_job {
    rpc_call *call;
    struct rpc_jobs *jobs;
    void (*run)(struct rpc_job *job);
    void (*release)(struct rpc_job *job); /* frees what the job is part of */
    pthread_mutex_t lock;                 /* of what follows */
    pthread_cond_t changed;
    int references;
    bool writable, over;
};

/* The job belongs to the call, until rpc_job_on_done; it stays until `release`. */
void rpc_job_init(struct rpc_job *job, rpc_call *call, void (*release)(struct rpc_job *job));

/* Starts the thread, which ends the call or hands it over. RESOURCE_EXHAUSTED when too many are running. */
bool rpc_job_start(struct rpc_job *job, struct rpc_jobs *jobs, void (*run)(struct rpc_job *job), error *err)
    __attribute__((warn_unused_result));

/*
 * Writes, waiting for room. CANCELLED: the call is over. RESOURCE_EXHAUSTED, SLOW_READER: the client has
 * taken nothing for patience_us.
 */
bool rpc_job_write(struct rpc_job *job, const ProtobufCMessage *message, int64_t patience_us, error *err)
    __attribute__((warn_unused_result));

/* The call has ended, whoever ended it: stop working. */
bool rpc_job_is_over(struct rpc_job *job);

/* A reference for whoever else holds it. */
void rpc_job_ref(struct rpc_job *job);
void rpc_job_unref(struct rpc_job *job);

/* From the call's handlers. */
void rpc_job_on_writable(struct rpc_job *job);
void rpc_job_on_done(struct rpc_job *job); /* gives the call's reference up */

/* Waits until none is running; after the server has drained they end by themselves. */
void rpc_jobs_join(const struct rpc_jobs *jobs);

#endif
