/* casework-report: configuration and wiring. */

#include "base/log.h"
#include "feed/suite_clock.h"
#include "report/report_feed.h"
#include "report/report_handlers.h"
#include "rpc/host.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    const char *case_target, *clock, *database_url;
    int64_t readers, lanes;
};

/* Everything that runs, in the order in which it is made. */
struct parts {
    struct rpc_host *host;
    report_feed *feed;
    struct report_service service;
};

static void serve(void *context)
{
    rpc_server_set_serving(((const struct rpc_host *)context)->server, true);
}

/* Nothing is ever due here: settled is when the feed has been applied that far. */
static bool settle(void *context, int64_t now_us, const struct feed_positions *heads, int64_t deadline_us,
                   int64_t *ret_next_due_us, error *err)
{
    const struct report_service *service = context;
    (void)now_us;
    if (!feed_consumer_wait(service->consumer, heads, deadline_us, err))
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
        .subject = "casework-report",
    };
    return rpc_channel_new(&options, ret_channel, err);
}

static bool open_store(const struct settings *settings, report_store **ret_store, error *err)
{
    const struct report_store_options options = {
        .database_url = settings->database_url,
        .readers = (unsigned)settings->readers,
        .lanes = (unsigned)settings->lanes,
    };
    return report_store_new(&options, ret_store, err);
}

static bool run(struct parts *parts, const struct settings *settings, error *err)
{
    struct report_service *service = &parts->service;
    struct rpc_host *host = parts->host;
    bool manual = strcmp(settings->clock, "manual") == 0;
    if (!manual && strcmp(settings->clock, "real") != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "CLOCK: neither real nor manual");
    if (!open_store(settings, &service->store, err) || !open_channel(host, settings, &service->cases, err) ||
        !suite_clock_new(service->cases, manual, &service->clock, err) || !rpc_host_open(host, err))
        return false;
    service->server = host->server;
    if (!rpc_server_add(host->server, report_methods, service, err) ||
        (manual && !suite_clock_serve(service->clock, host->server, settle, service, err)) ||
        !report_feed_new(service->cases, service->store, serve, host, &parts->feed, err))
        return false;
    service->consumer = report_feed_consumer(parts->feed);
    return rpc_host_serve(host, err);
}

static void close_all(struct parts *parts)
{
    if (parts->feed != NULL)
        feed_consumer_stop(parts->service.consumer);
    rpc_host_close(parts->host);
    report_feed_free(parts->feed);
    suite_clock_free(parts->service.clock);
    rpc_channel_free(parts->service.cases);
    report_store_free(parts->service.store);
}

int main(int argc, char **argv)
{
    static struct rpc_host host;
    static struct settings settings;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(host, "127.0.0.1:7004", "127.0.0.1:9104"),
        {.env = "CASE_TARGET",
         .help = "the case service",
         .fallback = "127.0.0.1:7001",
         .value = &settings.case_target},
        {.env = "CLOCK", .help = "real or manual", .fallback = "real", .value = &settings.clock},
        {.env = "DATABASE_URL",
         .help = "PostgreSQL, as libpq takes it",
         .secret = true,
         .value = &settings.database_url},
        {.env = "READERS",
         .help = "connections that read, at the most",
         .fallback = "8",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 256,
         .value = &settings.readers},
        {.env = "LANES",
         .help = "connections that write",
         .fallback = "2",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 64,
         .value = &settings.lanes},
        {.env = NULL},
    };
    int code = rpc_host_configure(&host, "report", "counts what happened when", options, argc, argv);
    if (code >= 0)
        return code;

    struct parts parts = {.host = &host};
    error err = {0};
    bool done = run(&parts, &settings, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    close_all(&parts);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
