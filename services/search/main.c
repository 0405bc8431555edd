/* casework-search: configuration and wiring. */

#include "base/log.h"
#include "rpc/host.h"
#include "search/search_handlers.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    const char *case_target, *clock;
};

static void serve(void *context)
{
    rpc_server_set_serving(((const struct rpc_host *)context)->server, true);
}

/* Nothing is ever due here: settled is when the feed has been applied that far. */
static bool settle(void *context, int64_t now_us, const struct feed_positions *heads, int64_t deadline_us,
                   int64_t *ret_next_due_us, error *err)
{
    const struct search_service *service = context;
    (void)now_us;
    if (!feed_consumer_wait(search_follower_consumer(service->follower), heads, deadline_us, err))
        return false;
    *ret_next_due_us = INT64_MAX;
    return true;
}

static bool open_channel(const struct rpc_host *host, const struct settings *settings,
                         rpc_channel **ret_channel, error *err)
{
    const struct rpc_channel_options options = {
        .target = settings->case_target,
        .key_directory = *host->key_directory ? host->key_directory : NULL,
        .subject = "casework-search",
    };
    return rpc_channel_new(&options, ret_channel, err);
}

static bool run(struct rpc_host *host, const struct settings *settings, struct search_service *service,
                error *err)
{
    bool manual = strcmp(settings->clock, "manual") == 0;
    if (!manual && strcmp(settings->clock, "real") != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "CLOCK: neither real nor manual");
    if (!open_channel(host, settings, &service->cases, err) || !search_index_new(&service->index, err) ||
        !suite_clock_new(service->cases, manual, &service->clock, err) || !rpc_host_open(host, err))
        return false;
    service->server = host->server;
    if (!search_handlers_add(service, err) ||
        !search_follower_new(service->cases, service->index, serve, host, &service->follower, err))
        return false;
    if (manual && !suite_clock_serve(service->clock, host->server, settle, service, err))
        return false;
    return rpc_host_serve(host, err);
}

int main(int argc, char **argv)
{
    static struct rpc_host host;
    static struct settings settings;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(host, "127.0.0.1:7002", "127.0.0.1:9102"),
        {.env = "CASE_TARGET",
         .help = "the case service",
         .fallback = "127.0.0.1:7001",
         .value = &settings.case_target},
        {.env = "CLOCK", .help = "real or manual", .fallback = "real", .value = &settings.clock},
        {.env = NULL},
    };
    int code = rpc_host_configure(&host, "search", "finds cases by exact words", options, argc, argv);
    if (code >= 0)
        return code;

    struct search_service service = {0};
    error err = {0};
    bool done = run(&host, &settings, &service, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    if (service.follower)
        feed_consumer_stop(search_follower_consumer(service.follower));
    rpc_host_close(&host);
    suite_clock_free(service.clock);
    search_follower_free(service.follower);
    search_index_free(service.index);
    rpc_channel_free(service.cases);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
