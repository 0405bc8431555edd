/* grpc.health.v1.Health: of the whole server (""), and of each service in its tables, which are as healthy as
 * the server. */
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/server_private.h"

#include <stdlib.h>
#include <string.h>

typedef Grpc__Health__V1__HealthCheckRequest health_request;
typedef Grpc__Health__V1__HealthCheckResponse health_response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus health_status;

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct watcher {
    struct health *health;
    rpc_call *call;
    bool known;         /* the service it asks for */
    health_status last; /* what it was told */
    struct watcher *previous, *next;
};

struct health {
    rpc_server *server;
    pthread_mutex_t lock; /* guards what follows */
    bool serving;
    struct watcher *watchers;
};

static bool is_known(const rpc_server *server, const char *service)
{
    if (!*service)
        return true;
    for (size_t i = 0; i < server->method_count; i++)
        if (strcmp(server->methods[i]->row->service->name, service) == 0)
            return true;
    return false;
}

/* With the lock held. */
static health_status status_of(const struct health *health, bool known)
{
    if (!known)
        return STATUS(SERVICE_UNKNOWN);
    return health->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

static void check(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    struct health *health = context;
    const char *service = ((const health_request *)(const void *)request)->service;
    if (!is_known(health->server, service)) {
        error err;
        error_set(&err, STATUS_NOT_FOUND, "UNKNOWN_SERVICE", "unknown service");
        rpc_call_fail(call, &err);
        return;
    }
    pthread_mutex_lock(&health->lock);
    health_status status = status_of(health, true);
    pthread_mutex_unlock(&health->lock);
    /* HealthCheckResponse{status}: field 1, a varint below 128. */
    const unsigned char packed[] = {0x08, (unsigned char)status};
    rpc_call_reply_packed(call, packed, sizeof packed);
}

/* With the lock held. A full queue is tried again when there is room. */
static void tell(struct watcher *w)
{
    health_status status = status_of(w->health, w->known);
    if (status == w->last)
        return;
    health_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status;
    if (rpc_call_write(w->call, &response.base) == RPC_WRITE_OK)
        w->last = status;
}

static void watch_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct health *health = context;
    struct watcher *w = calloc(1, sizeof *w);
    if (!w) {
        rpc_call_fail_memory(call);
        return;
    }
    w->health = health;
    w->call = call;
    w->known = is_known(health->server, ((const health_request *)(const void *)message)->service);
    rpc_call_set_state(call, w);
    pthread_mutex_lock(&health->lock);
    w->next = health->watchers;
    if (w->next)
        w->next->previous = w;
    health->watchers = w;
    tell(w);
    pthread_mutex_unlock(&health->lock);
}

static void watch_writable(rpc_call *call, void *context)
{
    struct health *health = context;
    struct watcher *w = rpc_call_state(call);
    pthread_mutex_lock(&health->lock);
    tell(w);
    pthread_mutex_unlock(&health->lock);
}

static void watch_done(rpc_call *call, void *context)
{
    struct health *health = context;
    struct watcher *w = rpc_call_state(call);
    if (!w)
        return;
    pthread_mutex_lock(&health->lock);
    if (w->previous)
        w->previous->next = w->next;
    else
        health->watchers = w->next;
    if (w->next)
        w->next->previous = w->previous;
    pthread_mutex_unlock(&health->lock);
    free(w);
}

static const struct rpc_stream_handlers watch = {
    .on_message = watch_message,
    .on_writable = watch_writable,
    .on_done = watch_done,
};

static const struct rpc_method rows[] = {
    {.service = &grpc__health__v1__health__descriptor,
     .name = "Check",
     .run = RPC_RUN_INLINE,
     .unary = check},
    {.service = &grpc__health__v1__health__descriptor,
     .name = "Watch",
     .run = RPC_RUN_INLINE,
     .endless = true,
     .stream = &watch},
    {.service = NULL},
};

bool health_add(rpc_server *server, error *err)
{
    server->health = calloc(1, sizeof *server->health);
    if (!server->health)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for health");
    server->health->server = server;
    pthread_mutex_init(&server->health->lock, NULL);
    return methods_add(server, rows, server->health, true, err);
}

void health_set(rpc_server *server, bool serving)
{
    struct health *health = server->health;
    if (!health)
        return;
    pthread_mutex_lock(&health->lock);
    health->serving = serving;
    for (struct watcher *w = health->watchers; w; w = w->next)
        tell(w);
    pthread_mutex_unlock(&health->lock);
}

void health_free(struct health *health)
{
    if (!health)
        return;
    pthread_mutex_destroy(&health->lock);
    free(health);
}
