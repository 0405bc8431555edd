/*
 * The streams that a server has to look after: those that have no end of their own, whose clients' tokens may
 * expire, and those that their handlers have ended. An end waits in the core until the client takes what
 * stands before it; one that takes nothing, though its connection is well, would keep the call, and what its
 * handler holds, for ever.
 *
 * The server's lock may be taken while a stream's is held, never the other way round.
 */
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "rpc/auth.h"
#include "rpc/server_private.h"

/* --- lists; with the server's lock held --- */

static void list_leave(struct rpc_call *call)
{
    if (!call->list)
        return;
    if (call->previous)
        call->previous->next = call->next;
    else
        *call->list = call->next;
    if (call->next)
        call->next->previous = call->previous;
    call->list = NULL;
}

static void list_join(struct rpc_call *call, struct rpc_call **list)
{
    list_leave(call);
    call->list = list;
    call->previous = NULL;
    call->next = *list;
    if (call->next)
        call->next->previous = call;
    *list = call;
}

void streams_leave(struct rpc_call *call)
{
    pthread_mutex_lock(&call->server->lock);
    list_leave(call);
    pthread_mutex_unlock(&call->server->lock);
}

/* The patrol has to look by then. */
static void look_by(rpc_server *server, int64_t time_us)
{
    if (time_us >= server->patrol_us)
        return;
    server->patrol_us = time_us;
    pthread_cond_broadcast(&server->changed);
}

/* --- without an end of their own --- */

/* Looks again before that, should somebody have set the clock. */
#define EXPIRY_LOOK_US (30 * CLOCK_SECOND)

static void expect_expiry(const struct rpc_call *call)
{
    int64_t left_us = call->expires_us - clock_real_us();
    if (call->method->row->outlives_token || call->expires_us == INT64_MAX)
        return;
    look_by(call->server, clock_monotonic_us() + (left_us < EXPIRY_LOOK_US ? left_us : EXPIRY_LOOK_US));
}

static void set_stopping(error *err)
{
    error_set(err, STATUS_UNAVAILABLE, "SERVER_STOPPING", "the server is stopping");
}

bool streams_join_endless(struct rpc_call *call, error *err)
{
    rpc_server *server = call->server;
    if (!call->method->row->endless)
        return true;
    pthread_mutex_lock(&server->lock);
    bool stopping = server->stopping;
    if (!stopping) {
        list_join(call, &server->endless);
        expect_expiry(call);
    }
    pthread_mutex_unlock(&server->lock);
    if (stopping)
        set_stopping(err);
    return !stopping;
}

/* Lets go of the lock meanwhile. */
static void end_all(rpc_server *server, struct rpc_call **list, const error *err)
{
    for (struct rpc_call *call; (call = *list) != NULL;) {
        list_leave(call);
        call_ref(call); /* the handler's is there still: the call leaves its list before that goes */
        pthread_mutex_unlock(&server->lock);
        stream_finish(call, NULL, err);
        call_unref(call);
        pthread_mutex_lock(&server->lock);
    }
}

void streams_stop_endless(rpc_server *server)
{
    error err;
    set_stopping(&err);
    pthread_mutex_lock(&server->lock);
    end_all(server, &server->endless, &err);
    pthread_mutex_unlock(&server->lock);
}

static void look_after_endless(rpc_server *server)
{
    error err;
    int64_t now = clock_real_us();
    for (struct rpc_call *call = server->endless, *next; call; call = next) {
        next = call->next;
        if (now >= call->expires_us && !call->method->row->outlives_token)
            list_join(call, &server->expired);
        else
            expect_expiry(call);
    }
    (void)auth_expired(&err);
    end_all(server, &server->expired, &err);
}

/* --- ended, but perhaps not taken yet --- */

void streams_join_ending(struct rpc_call *call)
{
    rpc_server *server = call->server;
    pthread_mutex_lock(&server->lock);
    call->ended_us = clock_monotonic_us();
    list_join(call, &server->ending);
    look_by(server, call->ended_us + server->options.end_patience_us / 4);
    pthread_mutex_unlock(&server->lock);
}

static void cut_off(struct rpc_call *call)
{
    if (atomic_exchange(&call->cancelled, true))
        return;
    log_info("a stream's end was not taken", LOG_TEXT("rpc.method", call->method->path),
             LOG_TEXT("account", call->caller.account));
    grpc_call_cancel(call->core, NULL);
}

/* What a stream sends goes out one write after the other: as long as they are taken it is on its way. */
static void look_after_ending(rpc_server *server)
{
    int64_t now = clock_monotonic_us(), patience = server->options.end_patience_us;
    for (struct rpc_call *call = server->ending; call; call = call->next) {
        if (now - call->ended_us >= patience && stream_waiting_us(call) >= patience)
            cut_off(call);
    }
    if (server->ending)
        look_by(server, now + patience / 4);
}

static void *patrol(void *argument)
{
    rpc_server *server = argument;
    pthread_setname_np(pthread_self(), "rpc-ends");
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        if (server->patrol_us > clock_monotonic_us()) {
            condition_wait_until(&server->changed, &server->lock, server->patrol_us);
            continue;
        }
        server->patrol_us = INT64_MAX;
        look_after_ending(server);
        look_after_endless(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

bool streams_patrol_start(rpc_server *server)
{
    server->patrolled = pthread_create(&server->patrol, NULL, patrol, server) == 0;
    return server->patrolled;
}

void streams_patrol_stop(rpc_server *server)
{
    if (server->patrolled)
        pthread_join(server->patrol, NULL);
    server->patrolled = false;
}
