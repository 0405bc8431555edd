/* casework-report: configuration and wiring. */

#include "base/clock.h"
#include "base/log.h"
#include "feed/host.h"
#include "report/report_feed.h"
#include "report/report_handlers.h"
#include "report/report_rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *database_url, *rebuild;
    int64_t readers, lanes, patience, exact_max;
};

/* Everything that runs, in the order in which it is made. */
struct parts {
    struct rpc_host host;
    struct feed_host feed_host;
    report_feed *feed;
    struct report_service service;
};

static bool open_store(const struct settings *settings, report_store **ret_store, error *err)
{
    const struct report_store_options options = {
        .database_url = settings->database_url,
        .readers = (unsigned)settings->readers,
        .lanes = (unsigned)settings->lanes,
        .exact_max = settings->exact_max,
    };
    return report_store_new(&options, ret_store, err);
}

static bool run(struct parts *parts, const struct settings *settings, error *err)
{
    struct report_service *service = &parts->service;
    struct rpc_host *host = &parts->host;
    if (!open_store(settings, &service->store, err) || !feed_host_open(&parts->feed_host, host, err))
        return false;
    service->exports.most = REPORT_LONG_READS;
    service->patience_us = settings->patience * CLOCK_SECOND;
    service->server = host->server;
    service->cases = parts->feed_host.cases;
    service->clock = parts->feed_host.clock;
    if (!rpc_server_add(host->server, report_methods, service, err) ||
        !report_feed_new(service->cases, service->store, rpc_host_set_serving, host, NULL, &parts->feed, err))
        return false;
    service->consumer = report_feed_consumer(parts->feed);
    return feed_host_follow_clock(&parts->feed_host, host, feed_host_settle, service->consumer, err) &&
           rpc_host_serve(host, err);
}

static void close_all(struct parts *parts)
{
    if (parts->feed != NULL)
        feed_consumer_stop(parts->service.consumer);
    rpc_host_close(&parts->host);
    rpc_jobs_join(&parts->service.exports);
    report_feed_free(parts->feed);
    feed_host_close(&parts->feed_host);
    report_store_free(parts->service.store);
}

/* Instead of serving. The exit status: 3 where the new tables and the serving ones differ. */
static int rebuild(struct parts *parts, const struct settings *settings)
{
    error err = {0};
    int64_t differences = 0;
    struct report_rebuild_options options = {.database_url = settings->database_url,
                                             .swap = strcmp(settings->rebuild, "swap") == 0};
    bool done = (options.swap || strcmp(settings->rebuild, "check") == 0 ||
                 error_set(&err, STATUS_INVALID_ARGUMENT, "", "REBUILD: neither check nor swap")) &&
                rpc_host_channel(&parts->host, parts->feed_host.case_target, &options.cases, &err) &&
                report_rebuild(&options, &differences, &err);
    rpc_channel_free(options.cases);
    if (!done) {
        log_error("cannot rebuild", LOG_TEXT("error.message", err.message),
                  LOG_TEXT("error.detail", err.detail));
        return EXIT_FAILURE;
    }
    printf("%s%s\n", differences == 0 ? "the same" : "different", options.swap ? ", exchanged" : "");
    return differences == 0 ? EXIT_SUCCESS : 3;
}

int main(int argc, char **argv)
{
    static struct parts parts;
    static struct settings settings;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(parts.host, "127.0.0.1:7004", "127.0.0.1:9104"),
        FEED_HOST_OPTIONS(parts.feed_host),
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
        {.env = "STREAM_PATIENCE_SECONDS",
         .help = "how long a reader of an export may take nothing before it ends",
         .fallback = "60",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 86400,
         .value = &settings.patience},
        {.env = "REBUILD",
         .help = "build the tables again beside the serving ones, compare, end: check or swap; empty: serve",
         .fallback = "",
         .value = &settings.rebuild},
        {.env = "REPORT_EXACT_MAX",
         .help = "engagements of a range up to which percentiles are exact; beyond, within 1%",
         .fallback = "100000",
         .type = CONFIG_NUMBER,
         .minimum = 0,
         .maximum = 10000000,
         .value = &settings.exact_max},
        {.env = NULL},
    };
    int code = rpc_host_configure(&parts.host, "report", "counts what happened when", options, argc, argv);
    if (code >= 0)
        return code;
    if (settings.rebuild[0] != '\0')
        return rebuild(&parts, &settings);

    error err = {0};
    bool done = run(&parts, &settings, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    close_all(&parts);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
