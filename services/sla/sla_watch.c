#include "sla/sla_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "feed/consumer.h"
#include "rpc/job.h"
#include "rpc/name.h"
#include "rpc/page.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_replay.h"
#include "sla/sla_watch_steps.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Sla__V1__WatchTimersRequest watch_request;
typedef Casework__Sla__V1__WatchTimersResponse watch_response;

enum { WATCHES_MAX = 10000, RESUMES_MAX = 32, ITEM_MEMORY = 16 * 1024 };

#define SIGN_OF_LIFE_US (15 * CLOCK_SECOND)

enum watch_state { WATCH_RESUMING, WATCH_LIVE, WATCH_OVER };

struct watch {
    struct rpc_job job; /* first */
    sla_watches *watches;
    const watch_request *request; /* lives as long as the call */
    const char *account;          /* "": all */
    const char *binding;          /* of the resume token */
    uint64_t partitions;
    struct watch *next, *previous; /* the hub's list */
    /* The resuming thread's own until it is live, then under the hub's lock: */
    enum watch_state state;
    struct feed_positions cursor;   /* everything up to here has been told */
    uint64_t number;                /* the ring's next step to look at */
    int64_t written_us, blocked_us; /* monotonic; blocked 0: there was room */
};

struct sla_watches {
    const struct sla_parts *parts;
    int64_t patience_us;
    struct rpc_jobs resumes;
    pthread_mutex_t starting; /* of `consumer` */
    feed_consumer *consumer;
    pthread_mutex_t lock; /* of what follows */
    struct feed_positions at;
    struct watch_ring ring;
    struct watch *list;
    unsigned count;
};

static struct watch *watch_of(struct rpc_job *job)
{
    return (struct watch *)job;
}

/* --- items ---------------------------------------------------------------------------------------- */

struct token_payload {
    char epoch[FEED_EPOCH_SIZE];
    int64_t at[FEED_PARTITIONS]; /* one account's: only the first */
};

static size_t payload_size(const struct watch *watch)
{
    return offsetof(struct token_payload, at) + (*watch->account ? 1 : FEED_PARTITIONS) * sizeof(int64_t);
}

static char *seal(const struct watch *watch, arena *memory)
{
    struct token_payload payload = {0};
    memcpy(payload.epoch, watch->cursor.epoch, sizeof payload.epoch);
    if (*watch->account)
        payload.at[0] = watch->cursor.at[feed_partition(watch->account)];
    else
        memcpy(payload.at, watch->cursor.at, sizeof payload.at);
    return wire_token_seal(memory, &payload, payload_size(watch), watch->binding);
}

/* A step, or without one a sign of life. False: no memory. */
static bool item_fill(const struct watch *watch, const struct watch_step *step, arena *memory,
                      watch_response *item)
{
    casework__sla__v1__watch_timers_response__init(item);
    item->position = *watch->account ? watch->cursor.at[feed_partition(watch->account)] : 0;
    item->resume_token = seal(watch, memory);
    return item->resume_token && (!step || watch_step_wire(memory, watch->watches->parts, step, item));
}

static bool is_wanted(const struct watch *watch, const struct watch_step *step)
{
    bool kind = watch->request->n_kinds == 0;
    for (size_t i = 0; i < watch->request->n_kinds; i++)
        kind = kind || watch->request->kinds[i] == step->kind;
    return kind && (!*watch->account || strcmp(watch->account, step->account) == 0);
}

static bool account_gone(error *err)
{
    return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "the account was deleted");
}

/* --- live watches: under the hub's lock ----------------------------------------------------------- */

static void end_watch(struct watch *watch, const error *err)
{
    if (watch->state == WATCH_OVER)
        return;
    watch->state = WATCH_OVER;
    rpc_call_fail(watch->job.call, err);
}

/* False: there is no room. The cursor has moved to the step already, and goes back. */
static bool tell(struct watch *watch, const struct watch_step *step)
{
    arena *memory = arena_new(ITEM_MEMORY);
    watch_response item;
    enum rpc_write written = RPC_WRITE_FULL;
    if (memory && item_fill(watch, step, memory, &item))
        written = rpc_call_write(watch->job.call, &item.base);
    arena_free(memory);
    if (written != RPC_WRITE_FULL) {
        watch->written_us = clock_monotonic_us();
        watch->blocked_us = 0;
    } else if (watch->blocked_us == 0) {
        watch->blocked_us = clock_monotonic_us();
    }
    return written != RPC_WRITE_FULL;
}

/* What one step of the ring means to the watch. False: no room, it is to be told again. */
static bool pass_step(struct watch *watch, const struct watch_step *step)
{
    int64_t *at = &watch->cursor.at[step->partition];
    int64_t before = *at;
    if (!(watch->partitions >> step->partition & 1) || step->position <= before)
        return true;
    *at = step->position;
    if (step->account_deleted) {
        error err;
        if (*watch->account && strcmp(watch->account, step->account) == 0) {
            account_gone(&err);
            end_watch(watch, &err);
        }
        return true;
    }
    if (!is_wanted(watch, step) || tell(watch, step))
        return true;
    *at = before;
    return false;
}

/* Tells what the ring holds for it, as far as there is room. */
static void drain(struct watch *watch)
{
    sla_watches *watches = watch->watches;
    error err;
    if (watch->number < watches->ring.first) {
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
                  "the reader has fallen too far behind: go on from the resume token");
        end_watch(watch, &err);
        return;
    }
    for (; watch->state == WATCH_LIVE && watch->number < watches->ring.next; watch->number++)
        if (!pass_step(watch, watch_ring_at(&watches->ring, watch->number)))
            return;
    for (int p = 0; p < FEED_PARTITIONS; p++)
        if (watch->partitions >> p & 1 && watch->cursor.at[p] < watches->at.at[p])
            watch->cursor.at[p] = watches->at.at[p];
}

/* After something has come: who takes nothing for too long is ended, who heard nothing for long is told. */
static void attend(struct watch *watch)
{
    int64_t now_us = clock_monotonic_us();
    error err;
    if (watch->state != WATCH_LIVE)
        return;
    drain(watch);
    if (watch->blocked_us != 0 && now_us - watch->blocked_us >= watch->watches->patience_us) {
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
                  "the reader has taken nothing for too long: go on from the resume token");
        end_watch(watch, &err);
    } else if (watch->blocked_us == 0 && now_us - watch->written_us >= SIGN_OF_LIFE_US) {
        (void)tell(watch, NULL);
    }
}

/* --- following the feed --------------------------------------------------------------------------- */

static bool load(void *context, struct feed_positions *ret_positions, error *err)
{
    sla_watches *watches = context;
    struct feed_positions heads;
    pthread_mutex_lock(&watches->lock);
    *ret_positions = watches->at;
    pthread_mutex_unlock(&watches->lock);
    if (*ret_positions->epoch)
        return true;
    if (!sla_cases_positions(watches->parts->cases, &heads, err))
        return false;
    pthread_mutex_lock(&watches->lock);
    watches->at = heads;
    memcpy(watches->ring.floor, heads.at, sizeof watches->ring.floor);
    watches->ring.first = watches->ring.next;
    pthread_mutex_unlock(&watches->lock);
    *ret_positions = heads;
    return true;
}

static bool apply(void *context, Casework__Cases__V1__Event *const *events, size_t count,
                  const struct feed_positions *heads, error *err)
{
    sla_watches *watches = context;
    (void)err;
    pthread_mutex_lock(&watches->lock);
    for (size_t i = 0; i < count; i++) {
        struct watch_step step;
        if (watch_step_read(watches->parts, events[i], &step))
            watch_ring_add(&watches->ring, &step);
    }
    watches->at = *heads;
    for (struct watch *watch = watches->list; watch; watch = watch->next)
        attend(watch);
    pthread_mutex_unlock(&watches->lock);
    return true;
}

static bool begun_anew(error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                     "the account's history has begun anew: watch from now on");
}

/* Another history: no token leads on from the old one. */
static bool reset(void *context, const char *epoch, error *err)
{
    sla_watches *watches = context;
    error why;
    (void)epoch;
    (void)err;
    begun_anew(&why);
    pthread_mutex_lock(&watches->lock);
    watches->at = (struct feed_positions){0};
    for (struct watch *watch = watches->list; watch; watch = watch->next)
        end_watch(watch, &why);
    pthread_mutex_unlock(&watches->lock);
    return true;
}

/* With the first watch. */
static bool follow(sla_watches *watches, error *err)
{
    static const struct feed_consumer_handlers handlers = {.load = load, .apply = apply, .reset = reset};
    struct feed_positions ignored;
    pthread_mutex_lock(&watches->starting);
    bool ok = watches->consumer ||
              (load(watches, &ignored, err) &&
               feed_consumer_new(watches->parts->cases, &handlers, watches, &watches->consumer, err));
    pthread_mutex_unlock(&watches->starting);
    return ok;
}

/* --- becoming live -------------------------------------------------------------------------------- */

/* With the lock held: puts it among the live ones and says where it stands. */
static void go_live(struct watch *watch)
{
    sla_watches *watches = watch->watches;
    watch->state = WATCH_LIVE;
    watch->number = watches->ring.first;
    watch->next = watches->list;
    if (watches->list)
        watches->list->previous = watch;
    watches->list = watch;
    (void)tell(watch, NULL);
    attend(watch);
}

/* True: it is live now, or over. Else *ret_goal is where it has to read to by itself. */
static bool try_live(struct watch *watch, struct feed_positions *ret_goal)
{
    sla_watches *watches = watch->watches;
    const struct sla_replay wanted = {.partitions = watch->partitions};
    struct feed_positions kept = {0};
    pthread_mutex_lock(&watches->lock);
    memcpy(kept.at, watches->ring.floor, sizeof kept.at);
    bool over = watch->state == WATCH_OVER; /* the client has gone meanwhile */
    bool live = !over && *watches->at.epoch && sla_replay_reached(&wanted, &watch->cursor, &kept);
    if (live)
        go_live(watch);
    *ret_goal = watches->at;
    pthread_mutex_unlock(&watches->lock);
    return live || over;
}

static bool resume_event(void *context, const Casework__Cases__V1__Event *event, error *err)
{
    struct watch *watch = context;
    struct watch_step step;
    watch_response item;
    if (!watch_step_read(watch->watches->parts, event, &step))
        return true;
    if (step.account_deleted)
        return !*watch->account || strcmp(watch->account, step.account) != 0 || account_gone(err);
    if (!is_wanted(watch, &step))
        return true;
    arena *memory = arena_new(ITEM_MEMORY);
    bool ok = memory && item_fill(watch, &step, memory, &item)
                  ? rpc_job_write(&watch->job, &item.base, watch->watches->patience_us, err)
                  : error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    arena_free(memory);
    return ok;
}

static bool is_over(void *context)
{
    return rpc_job_is_over(context);
}

/* Reads the feed until the ring holds what comes next. */
static void resume(struct rpc_job *job)
{
    struct watch *watch = watch_of(job);
    const struct sla_replay history = {
        .cases = watch->watches->parts->cases,
        .account = watch->account,
        .partitions = watch->partitions,
        .is_over = is_over,
        .context = job,
    };
    struct feed_positions goal;
    error err = {0};
    bool ok = true;
    while (ok && !try_live(watch, &goal))
        ok = sla_replay_read(&history, &watch->cursor, &goal, resume_event, watch, &err);
    if (!ok)
        rpc_call_fail(job->call, &err);
}

/* --- the request ---------------------------------------------------------------------------------- */

static bool take_token(struct watch *watch, const struct feed_positions *heads, error *err)
{
    arena *memory = rpc_call_arena(watch->job.call);
    struct token_payload payload = {0};
    void *data;
    size_t length;
    if (!wire_token_open(memory, watch->request->resume_token, watch->binding, &data, &length) ||
        length != payload_size(watch)) {
        error_bad_field(err, "resume_token", "no resume token of this service for these arguments");
        strncpy(err->reason, "INVALID_RESUME_TOKEN", sizeof err->reason - 1);
        return false;
    }
    memcpy(&payload, data, length);
    if (*watch->account)
        watch->cursor.at[feed_partition(watch->account)] = payload.at[0];
    else
        memcpy(watch->cursor.at, payload.at, sizeof watch->cursor.at);
    const struct sla_replay wanted = {.partitions = watch->partitions};
    return (strncmp(payload.epoch, heads->epoch, sizeof payload.epoch) == 0 &&
            sla_replay_reached(&wanted, heads, &watch->cursor)) ||
           begun_anew(err);
}

static bool check_kinds(const watch_request *request, error *err)
{
    for (size_t i = 0; i < request->n_kinds; i++)
        if (request->kinds[i] < CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_CLOSE ||
            request->kinds[i] > CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_RESOLUTION)
            return error_bad_field(err, "kinds", "is no kind of timer");
    return true;
}

static bool check_account(const struct watch *watch, error *err)
{
    bool exists = true;
    if (*watch->account && !sla_cases_account_exists(watch->watches->parts->cases, watch->account,
                                                     rpc_call_deadline_us(watch->job.call), &exists, err))
        return false;
    return exists || rpc_error_not_found(err, watch->request->parent);
}

static bool take_request(struct watch *watch, error *err)
{
    static const char *const token_field[] = {"resume_token", NULL};
    arena *memory = rpc_call_arena(watch->job.call);
    struct feed_positions heads;
    if (!rpc_name_accounts(memory, watch->request->parent, "parent", &watch->account, err) ||
        !check_kinds(watch->request, err) || !check_account(watch, err) || !follow(watch->watches, err) ||
        !sla_cases_positions(watch->watches->parts->cases, &heads, err))
        return false;
    watch->partitions = *watch->account ? UINT64_C(1) << feed_partition(watch->account) : UINT64_MAX;
    watch->binding = rpc_request_binding(memory, &watch->request->base, token_field, NULL);
    if (!watch->binding)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
    watch->cursor = heads;
    return !*watch->request->resume_token || take_token(watch, &heads, err);
}

/* Whoever resumes far behind needs a thread for a while. */
static bool start(struct watch *watch, error *err)
{
    struct feed_positions goal;
    return try_live(watch, &goal) || rpc_job_start(&watch->job, &watch->watches->resumes, resume, err);
}

static bool count_in(sla_watches *watches, error *err)
{
    pthread_mutex_lock(&watches->lock);
    bool room = watches->count < WATCHES_MAX;
    watches->count += room;
    pthread_mutex_unlock(&watches->lock);
    return room || error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES", "at most %d at a time",
                             (int)WATCHES_MAX);
}

static void release(struct rpc_job *job)
{
    free(watch_of(job));
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct watch *watch = calloc(1, sizeof *watch);
    error err;
    if (!watch || !count_in(context, &err)) {
        if (watch)
            rpc_call_fail(call, &err);
        else
            rpc_call_fail_memory(call);
        free(watch);
        return;
    }
    rpc_job_init(&watch->job, call, release);
    watch->watches = context;
    watch->request = (const watch_request *)message;
    rpc_call_set_state(call, watch); /* on_done gives it up, whatever happens now */
    if (!take_request(watch, &err) || !start(watch, &err))
        rpc_call_fail(call, &err);
}

static void on_writable(rpc_call *call, void *context)
{
    sla_watches *watches = context;
    struct watch *watch = rpc_call_state(call);
    if (!watch)
        return;
    rpc_job_on_writable(&watch->job);
    pthread_mutex_lock(&watches->lock);
    if (watch->state == WATCH_LIVE) {
        watch->blocked_us = 0;
        drain(watch);
    }
    pthread_mutex_unlock(&watches->lock);
}

static void on_done(rpc_call *call, void *context)
{
    sla_watches *watches = context;
    struct watch *watch = rpc_call_state(call);
    if (!watch)
        return;
    pthread_mutex_lock(&watches->lock);
    if (watches->list == watch)
        watches->list = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    if (watch->previous)
        watch->previous->next = watch->next;
    watch->state = WATCH_OVER;
    watches->count--;
    pthread_mutex_unlock(&watches->lock);
    rpc_job_on_done(&watch->job);
}

static const struct rpc_stream_handlers watch_handlers = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};

const struct rpc_method sla_watch_methods[] = {
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "WatchTimers",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .endless = true,
     .stream = &watch_handlers},
    {.service = NULL},
};

/* --- the hub -------------------------------------------------------------------------------------- */

bool sla_watches_new(const struct sla_parts *parts, int64_t patience_us, sla_watches **ret_watches,
                     error *err)
{
    sla_watches *watches = calloc(1, sizeof *watches);
    if (watches)
        watches->ring.steps = calloc(WATCH_RING, sizeof *watches->ring.steps);
    if (!watches || !watches->ring.steps) {
        free(watches);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    watches->parts = parts;
    watches->patience_us = patience_us;
    watches->resumes.most = RESUMES_MAX;
    pthread_mutex_init(&watches->starting, NULL);
    pthread_mutex_init(&watches->lock, NULL);
    *ret_watches = watches;
    return true;
}

void sla_watches_free(sla_watches *watches)
{
    if (!watches)
        return;
    rpc_jobs_join(&watches->resumes);
    feed_consumer_free(watches->consumer);
    pthread_mutex_destroy(&watches->starting);
    pthread_mutex_destroy(&watches->lock);
    free(watches->ring.steps);
    free(watches);
}
