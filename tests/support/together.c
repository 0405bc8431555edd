#include "tests/support/together.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct landing {
    struct together *calls;
    together_land *land;
    void *argument;
    const char *method;
};

static void land(void *context, const ProtobufCMessage *response, const error *err)
{
    struct landing *landing = context;
    struct together *calls = landing->calls;
    if (landing->land != NULL)
        landing->land(landing->argument, response, err);
    else if (response == NULL) {
        fprintf(stderr, "%s: %s %s\n", landing->method, err->reason, err->message);
        abort();
    }
    pthread_mutex_lock(&calls->lock);
    calls->under_way--;
    pthread_cond_signal(&calls->changed);
    pthread_mutex_unlock(&calls->lock);
}

void together_begin(struct together *calls, struct case_server *server, const char *ahead)
{
    static const struct pg_statement hold = {.name = "hold", .sql = "SELECT head FROM partitions FOR UPDATE"};
    const struct pg_options options = {.url = embedded_pg_url(server->pg)};
    Casework__Cases__V1__OpenCaseRequest *open = arena_alloc(server->memory, sizeof *open);
    error err = {0};
    *calls = (struct together){.server = server};
    pthread_mutex_init(&calls->lock, NULL);
    pthread_cond_init(&calls->changed, NULL);
    if (!pg_conn_open(&options, &calls->holder, &err) || !pg_begin(calls->holder, 0, &err) ||
        !pg_query(calls->holder, &hold, NULL, 0, NULL, &err)) {
        fprintf(stderr, "partitions cannot be held: %s\n", err.detail);
        abort();
    }
    casework__cases__v1__open_case_request__init(open);
    open->name = desk_text(ahead);
    together_add(calls, "anna", DESK_CASES, "OpenCase", open, NULL, NULL);
}

void together_add(struct together *calls, const char *agent, const ProtobufCServiceDescriptor *service,
                  const char *method, const void *request, together_land *own_land, void *argument)
{
    const struct timespec pause = {.tv_nsec = 30 * 1000000}; /* so that they come in this order */
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .agent = agent};
    struct landing *landing = arena_alloc(calls->server->memory, sizeof *landing);
    *landing = (struct landing){calls, own_land, argument, method};
    pthread_mutex_lock(&calls->lock);
    calls->under_way++;
    pthread_mutex_unlock(&calls->lock);
    rpc_client_call_async(calls->server->channel, service, method, request, &options, land, landing);
    nanosleep(&pause, NULL);
}

void together_run(struct together *calls)
{
    pg_rollback(calls->holder);
    pg_conn_close(calls->holder);
    pthread_mutex_lock(&calls->lock);
    while (calls->under_way > 0) /* each has its own deadline */
        pthread_cond_wait(&calls->changed, &calls->lock);
    pthread_mutex_unlock(&calls->lock);
    pthread_cond_destroy(&calls->changed);
    pthread_mutex_destroy(&calls->lock);
}
