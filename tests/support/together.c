#include "tests/support/together.h"

#include "base/clock.h"
#include "tests/support/metrics_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_US CLOCK_MINUTE /* with sanitizers and company */

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

/* --- in order --------------------------------------------------------------------------------------------
 */

static int under_way(struct together *calls)
{
    pthread_mutex_lock(&calls->lock);
    int count = calls->under_way;
    pthread_mutex_unlock(&calls->lock);
    return count;
}

double together_taken_in(const struct case_server *server)
{
    double count = metrics_page_value(server->metrics_port, "casework_lane_submitted_total");
    return count < 0 ? 0 : count;
}

/* `calls`, if any: or until fewer than `count` are under way. */
static void await_more(const struct case_server *server, double before, struct together *calls, int count)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (together_taken_in(server) <= before && (!calls || under_way(calls) >= count)) {
        if (clock_monotonic_us() > until) {
            fprintf(stderr, "a call does not come in\n");
            abort();
        }
        nanosleep(&pause, NULL);
    }
}

void together_await_more(const struct case_server *server, double before)
{
    await_more(server, before, NULL, 0);
}

void together_add(struct together *calls, const char *agent, const ProtobufCServiceDescriptor *service,
                  const char *method, const void *request, together_land *own_land, void *argument)
{
    const struct rpc_client_options options = {.timeout_us = PATIENCE_US, .agent = agent};
    struct landing *landing = arena_alloc(calls->server->memory, sizeof *landing);
    *landing = (struct landing){calls, own_land, argument, method};
    double before = together_taken_in(calls->server);
    pthread_mutex_lock(&calls->lock);
    int count = ++calls->under_way;
    pthread_mutex_unlock(&calls->lock);
    rpc_client_call_async(calls->server->channel, service, method, request, &options, land, landing);
    await_more(calls->server, before, calls, count);
}

/* Until a batch waits for the partitions: what comes from then on is the next one. */
static void await_waiting(struct together *calls)
{
    static const struct pg_statement waiting = {
        .name = "waiting",
        .sql = "SELECT count(*) FROM pg_locks l WHERE NOT l.granted"
               " AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))",
    };
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = clock_monotonic_us() + PATIENCE_US, count = 0;
    while (count == 0) {
        pg_result *result;
        error err = {0};
        if (clock_monotonic_us() > until || !pg_query(calls->holder, &waiting, NULL, 0, &result, &err)) {
            fprintf(stderr, "no batch waits %s\n", err.detail);
            abort();
        }
        count = pg_get_int(result, 0, 0);
        pg_result_free(result);
        nanosleep(&pause, NULL);
    }
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
    await_waiting(calls);
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
