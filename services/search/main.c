/* casework-search: configuration and wiring. */

#include "base/clock.h"
#include "base/log.h"
#include "feed/host.h"
#include "search/search_handlers.h"
#include "search/search_metrics.h"
#include "search/search_store.h"

#include <stdlib.h>

struct settings {
    const char *directory, *shard, *shard_targets;
    int64_t checkpoint_us, checkpoint_megabytes, erasure_us;
};

static bool open_store(const struct settings *setting, const struct search_shards *shards,
                       search_index *index, search_store **ret_store, error *err)
{
    const struct search_store_options options = {.directory = setting->directory,
                                                 .shard = (uint32_t)shards->index,
                                                 .shards = (uint32_t)shards->count,
                                                 .interval_us = setting->checkpoint_us,
                                                 .bytes = setting->checkpoint_megabytes << 20,
                                                 .erasure_us = setting->erasure_us};
    return !*setting->directory || search_store_open(&options, index, ret_store, err);
}

/* What runs beside the service. */
struct companions {
    search_store *store;
    search_metrics *metrics;
};

static bool run(struct rpc_host *host, struct feed_host *feed, const struct settings *setting,
                struct search_service *service, struct companions *companions, error *err)
{
    if (!feed_host_open(feed, host, err) ||
        !search_shards_open(&service->shards, host, setting->shard, setting->shard_targets, err) ||
        !search_index_new(&service->index, err) ||
        !open_store(setting, &service->shards, service->index, &companions->store, err))
        return false;
    service->server = host->server;
    service->cases = feed->cases;
    service->clock = feed->clock;
    return search_handlers_add(service, err) &&
           search_follower_new(service->cases, service->index, service->shards.partitions,
                               rpc_host_set_serving, host, &service->follower, err) &&
           search_metrics_start(service, &companions->metrics, err) &&
           feed_host_follow_clock(feed, host, feed_host_settle, search_follower_consumer(service->follower),
                                  err) &&
           rpc_host_serve(host, err);
}

int main(int argc, char **argv)
{
    static struct rpc_host host;
    static struct feed_host feed;
    static struct settings settings;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(host, "127.0.0.1:7002", "127.0.0.1:9102"),
        FEED_HOST_OPTIONS(feed),
        {.env = "SEARCH_SHARD",
         .help = "the part of the accounts that is held here, i/n with i from 0",
         .fallback = "0/1",
         .value = &settings.shard},
        {.env = "SEARCH_SHARD_TARGETS",
         .help = "the shards 0 to n - 1, with spaces between; may be empty when there is one",
         .fallback = "",
         .value = &settings.shard_targets},
        {.env = "SEARCH_DATA_DIRECTORY",
         .help = "where the index is kept, of this replica alone; empty: in memory only",
         .fallback = "",
         .value = &settings.directory},
        {.env = "SEARCH_CHECKPOINT_INTERVAL",
         .help = "the longest time until a change of the index is in its files",
         .fallback = "60s",
         .type = CONFIG_DURATION,
         .minimum = 10 * CLOCK_SECOND / 1000,
         .maximum = CLOCK_DAY,
         .value = &settings.checkpoint_us},
        {.env = "SEARCH_CHECKPOINT_MEGABYTES",
         .help = "changes after which they are written earlier",
         .fallback = "64",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 65536,
         .value = &settings.checkpoint_megabytes},
        {.env = "SEARCH_ERASURE_INTERVAL",
         .help = "after which erased words are rewritten away from the files",
         .fallback = "10m",
         .type = CONFIG_DURATION,
         .minimum = 0,
         .maximum = CLOCK_DAY,
         .value = &settings.erasure_us},
        {.env = NULL},
    };
    int code = rpc_host_configure(&host, "search", "finds cases by exact words", options, argc, argv);
    if (code >= 0)
        return code;

    struct search_service service = {0};
    error err = {0};
    struct companions companions = {0};
    bool done = run(&host, &feed, &settings, &service, &companions, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    if (service.follower)
        search_follower_quit(service.follower);
    search_metrics_stop(companions.metrics);
    if (service.follower)
        search_follower_stop(service.follower);
    rpc_host_close(&host);
    search_store_stop(companions.store);
    search_follower_free(service.follower);
    search_index_free(service.index);
    search_store_free(companions.store);
    search_shards_close(&service.shards);
    feed_host_close(&feed);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
