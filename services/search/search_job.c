#include "search/search_job.h"

#include "base/clock.h"
#include "base/condition.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/name.h"
#include "search/search_catalogue.h"
#include "search/search_presence.h"
#include "search/search_rights.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A client that takes nothing for that long is given up. */
#define CLIENT_WAIT (60 * CLOCK_SECOND)

/* How often whoever waits for another shard looks whether that is still wanted. */
#define SHARD_LOOK (CLOCK_SECOND / 4)

enum { LISTS_BYTES_MAX = 1 << 30 };

/* A job and what it needs to run: the call's and the worker's. The request lives as long as the call, which
 * is kept. */
struct running {
    struct search_job job;
    rpc_call *call;
    const struct search_job_kind *kind;
    const ProtobufCMessage *request;
    bool forwarded;    /* by another shard, which asks for our part only */
    arena *own_memory; /* of the list of accounts */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool writable, over;
    int references;
};

static atomic_int jobs_running;

static void unref(struct running *running)
{
    pthread_mutex_lock(&running->lock);
    bool last = --running->references == 0;
    pthread_mutex_unlock(&running->lock);
    if (!last)
        return;
    arena_free(running->own_memory);
    arena_free(running->job.memory);
    pthread_cond_destroy(&running->changed);
    pthread_mutex_destroy(&running->lock);
    rpc_call_unref(running->call);
    free(running);
    atomic_fetch_sub(&jobs_running, 1);
}

/* --- sending ------------------------------------------------------------------------------------------ */

static bool wait_writable(struct running *running)
{
    int64_t until = clock_monotonic_us() + CLIENT_WAIT;
    bool in_time = true;
    pthread_mutex_lock(&running->lock);
    while (!running->writable && !running->over && in_time)
        in_time = condition_wait_until(&running->changed, &running->lock, until);
    bool writable = running->writable && !running->over;
    running->writable = false;
    pthread_mutex_unlock(&running->lock);
    return writable;
}

bool search_job_send(struct search_job *job, const ProtobufCMessage *message, error *err)
{
    struct running *running = (struct running *)job; /* its first member */
    enum rpc_write written;
    while ((written = rpc_call_write(running->call, message)) == RPC_WRITE_FULL)
        if (!wait_writable(running))
            break;
    return written == RPC_WRITE_OK || error_set(err, STATUS_CANCELLED, "", "the client is gone");
}

bool search_job_goes_on(struct search_job *job, error *err)
{
    struct running *running = (struct running *)job;
    pthread_mutex_lock(&running->lock);
    bool over = running->over;
    pthread_mutex_unlock(&running->lock);
    return !over || error_set(err, STATUS_CANCELLED, "", "the client is gone");
}

void search_job_writable(rpc_call *call, void *context)
{
    (void)context;
    struct running *running = rpc_call_state(call);
    if (!running)
        return;
    pthread_mutex_lock(&running->lock);
    running->writable = true;
    pthread_cond_signal(&running->changed);
    pthread_mutex_unlock(&running->lock);
}

void search_job_done(rpc_call *call, void *context)
{
    (void)context;
    struct running *running = rpc_call_state(call);
    if (!running)
        return;
    pthread_mutex_lock(&running->lock);
    running->over = true;
    pthread_cond_signal(&running->changed);
    pthread_mutex_unlock(&running->lock);
    unref(running);
}

/* --- working ------------------------------------------------------------------------------------------ */

/* Accounts that the case service has, and those that only the index has: nothing is to be left of them. */
static bool list_accounts(struct running *running, struct search_list *list, error *err)
{
    const struct search_service *service = running->job.service;
    struct search_account_status *accounts;
    size_t count;
    if (!search_catalogue_accounts(service->cases, list, running->own_memory, err) ||
        !search_index_status(service->index, NULL, running->own_memory, &accounts, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!search_list_add(list, accounts[i].account, 0, running->own_memory, err))
            return false;
    search_list_sort(list);
    return true;
}

/* A check has nothing to tell as long as nothing differs, however long it takes. A shard that is dead ends
 * the connection. */
static bool relay(struct running *running, rpc_stream *stream, error *err)
{
    while (search_job_goes_on(&running->job, err)) {
        ProtobufCMessage *message;
        arena_clear(running->job.memory);
        switch (rpc_stream_read(stream, SHARD_LOOK, running->job.memory, &message, err)) {
        case RPC_READ_MESSAGE:
            if (!running->kind->relay(&running->job, message, err))
                return false;
            break;
        case RPC_READ_END:
            return true;
        case RPC_READ_TIMEOUT:
            break;
        case RPC_READ_FAILED:
            return false;
        }
    }
    return false;
}

/* The same request, to another shard. */
static bool work_elsewhere(struct running *running, rpc_channel *target, error *err)
{
    const struct rpc_client_options options = search_shards_options(running->call, INT64_MAX);
    rpc_stream *stream;
    if (!rpc_stream_open(target, &casework__search__v1__search_service__descriptor, running->kind->method,
                         &options, &stream, err))
        return false;
    if (rpc_stream_write(stream, running->request))
        rpc_stream_close_send(stream);
    bool done = relay(running, stream, err);
    rpc_stream_free(stream);
    return done;
}

static bool work_here(struct running *running, const char *account, error *err)
{
    arena_clear(running->job.memory);
    return running->kind->work(&running->job, account, err);
}

static bool work_on_account(struct running *running, const char *account, error *err)
{
    const struct search_service *service = running->job.service;
    rpc_channel *target = search_shards_target(&service->shards, account);
    if (target)
        return running->forwarded ? search_shards_mismatch(account, err)
                                  : work_elsewhere(running, target, err);
    if (!search_presence_check(service, account, rpc_call_deadline_us(running->call), running->own_memory,
                               err) ||
        !work_here(running, account, err))
        return false;
    running->job.position = search_index_position(service->index, account);
    return true;
}

/* An account that goes while all are worked on is one less. */
static bool work_here_if_there(struct running *running, const char *account, error *err)
{
    error why = {0};
    if (work_here(running, account, &why) || strcmp(why.reason, "ACCOUNT_DELETED") == 0)
        return true;
    *err = why;
    return false;
}

static bool work_on_all(struct running *running, error *err)
{
    const struct search_shards *shards = &running->job.service->shards;
    struct search_list list = {0};
    bool done = list_accounts(running, &list, err);
    for (size_t i = 0; done && i < list.count; i++)
        if (!search_shards_target(shards, list.cases[i].account))
            done = work_here_if_there(running, list.cases[i].account, err);
    for (int i = 0; done && !running->forwarded && i < shards->count; i++)
        if (shards->targets[i])
            done = work_elsewhere(running, shards->targets[i], err);
    running->job.position = 0;
    return done;
}

static bool work_through(struct running *running, error *err)
{
    const char *account = running->job.account;
    return search_rights_admin(running->job.service, running->call, account, running->own_memory, err) &&
           (account ? work_on_account(running, account, err) : work_on_all(running, err)) &&
           running->kind->end(&running->job, err);
}

static void run(void *argument)
{
    struct running *running = argument;
    error err = {0};
    if (work_through(running, &err))
        rpc_call_finish(running->call);
    else
        rpc_call_fail(running->call, &err);
    unref(running);
}

bool search_job_cases(struct search_job *job, const char *account, struct search_case **ret_cases,
                      size_t *ret_count, error *err)
{
    struct search_list list = {0};
    int64_t *numbers;
    size_t count;
    if (!search_catalogue_cases(job->service->cases, account, &list, job->memory, err) ||
        !search_index_cases(job->service->index, account, job->memory, &numbers, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!search_list_add(&list, account, numbers[i], job->memory, err))
            return false;
    search_list_sort(&list);
    *ret_cases = list.cases;
    *ret_count = list.count;
    return true;
}

/* --- starting ----------------------------------------------------------------------------------------- */

static struct running *running_new(rpc_call *call, const struct search_service *service)
{
    struct running *running = calloc(1, sizeof *running);
    if (!running)
        return NULL;
    running->job = (struct search_job){.service = service, .memory = arena_new(LISTS_BYTES_MAX)};
    running->own_memory = arena_new(LISTS_BYTES_MAX);
    running->call = call;
    running->references = 1;
    condition_init(&running->changed);
    pthread_mutex_init(&running->lock, NULL);
    rpc_call_ref(call);
    rpc_call_set_state(call, running);
    return running;
}

static bool read_parent(struct running *running, const char *parent, error *err)
{
    const char *account;
    if (!running->job.memory || !running->own_memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the work");
    if (!rpc_name_accounts(running->own_memory, parent, "parent", &account, err))
        return false;
    running->job.account = *account ? account : NULL;
    return true;
}

void search_job_start(rpc_call *call, const ProtobufCMessage *request, const char *parent,
                      const struct search_service *service, const struct search_job_kind *kind)
{
    error err = {0};
    struct running *running = NULL;
    if (atomic_fetch_add(&jobs_running, 1) >= SEARCH_JOBS_MAX)
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_JOBS", "other rebuilds and checks are running");
    else if (!(running = running_new(call, service)))
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the work");
    if (!running) {
        atomic_fetch_sub(&jobs_running, 1);
        rpc_call_fail(call, &err);
        return;
    }
    running->kind = kind;
    running->request = request;
    running->forwarded = search_shards_is_forwarded(call);
    running->references++; /* the worker's */
    if (read_parent(running, parent, &err)) {
        if (rpc_server_run(service->server, run, running))
            return;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too much to do");
    }
    rpc_call_fail(call, &err);
    unref(running);
}
