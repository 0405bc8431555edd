/* casework-case: configuration and wiring. */

#include "base/clock.h"
#include "base/log.h"
#include "case/case_batch.h"
#include "case/case_clock.h"
#include "case/case_eraser.h"
#include "case/case_feed.h"
#include "case/case_health.h"
#include "case/case_import.h"
#include "case/case_known.h"
#include "case/case_outgoing.h"
#include "case/case_read.h"
#include "case/case_sessions.h"
#include "case/case_watch.h"
#include "case/case_write.h"
#include "rpc/host.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    const char *database_url, *redis_url, *clock, *search_target, *sla_target, *report_target;
    int64_t lanes, lane_partitions, readers, patience;
};

struct service {
    struct pg_options connection;
    pg_pool *pool;
    pg_lanes *lanes;
    case_feed *feed;
    case_watches *watches;
    case_sessions *sessions;
    case_clock *clock;
    case_health *health;
    case_gone *gone;
    case_eraser *eraser;
    struct case_reader reader;
    struct case_writer writer;
    struct case_importer importer;
    struct case_outgoing outgoing;
    struct case_batch_context batch;
};

static void moved(void *argument, unsigned partition, int64_t head)
{
    case_feed_committed(((struct service *)argument)->feed, (int)partition, head);
}

/* Before the answer goes out, so that it is true everywhere here. */
static void erased(void *argument, const char *account, bool is_gone)
{
    struct service *service = argument;
    if (account != NULL)
        case_gone_set(service->gone, account, is_gone);
    if (is_gone && service->eraser != NULL)
        case_eraser_wake(service->eraser);
}

/* "real", "manual", or "manual=TIME" with the time it starts at. */
static bool parse_clock(const char *text, bool *ret_manual, int64_t *ret_start_us, error *err)
{
    *ret_manual = strncmp(text, "manual", strlen("manual")) == 0;
    *ret_start_us = 0;
    const char *rest = text + (*ret_manual ? strlen("manual") : 0);
    if (*ret_manual ? rest[0] == '\0' || (rest[0] == '=' && clock_parse(rest + 1, ret_start_us))
                    : strcmp(text, "real") == 0)
        return true;
    return error_set(err, STATUS_INVALID_ARGUMENT, "", "CLOCK: neither real nor manual nor manual=TIME");
}

static bool open_clock(struct service *service, const struct rpc_host *host, const struct settings *settings,
                       error *err)
{
    const struct case_clock_peer peers[] = {{"search", settings->search_target},
                                            {"sla", settings->sla_target},
                                            {"report", settings->report_target}};
    return case_clock_new(&service->connection, host, peers, sizeof peers / sizeof peers[0], &service->clock,
                          err) &&
           rpc_server_add(host->server, case_clock_methods, service->clock, err);
}

static bool add_methods(struct service *service, rpc_server *server, error *err)
{
    const struct rpc_method *const reads[] = {
        case_read_resource_methods, case_read_case_methods, case_due_methods,
        case_target_methods,        case_list_methods,      case_read_message_methods,
        case_document_methods,      case_tab_methods,       case_position_methods};
    const struct rpc_method *const writes[] = {
        account_methods, agent_methods,     contact_methods,   channel_methods, case_methods,
        message_methods, forward_methods,   connector_methods, merge_methods,   many_methods,
        timer_methods,   case_lock_methods, erase_methods};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        if (!rpc_server_add(server, reads[i], &service->reader, err))
            return false;
    }
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        if (!rpc_server_add(server, writes[i], &service->writer, err))
            return false;
    }
    return rpc_server_add(server, case_feed_methods, service->feed, err) &&
           rpc_server_add(server, case_outgoing_methods, &service->outgoing, err) &&
           rpc_server_add(server, case_watch_methods, service->watches, err) &&
           rpc_server_add(server, case_session_methods, service->sessions, err) &&
           rpc_server_add(server, case_import_methods, &service->importer, err);
}

static bool run(struct rpc_host *host, const struct settings *settings, struct service *service, error *err)
{
    bool manual;
    int64_t start_us, patience_us = settings->patience * CLOCK_SECOND;
    service->connection = (struct pg_options){.url = settings->database_url, .application = "casework-case"};
    if (!parse_clock(settings->clock, &manual, &start_us, err) ||
        !case_health_check_schema(&service->connection, err) ||
        !case_clock_prepare(&service->connection, manual, start_us, err) ||
        !case_gone_new(&service->gone, err) ||
        !pg_pool_new(&service->connection, (unsigned)settings->readers, &service->pool, err) ||
        !rpc_host_open(host, err))
        return false;
    rpc_server_hide_accounts(host->server, case_gone_has, service->gone);
    const struct case_feed_options feed = {service->connection, service->pool, host->server, patience_us};
    const struct pg_lane_options lanes = {.connection = service->connection,
                                          .lanes = (unsigned)settings->lanes,
                                          .spread_max = (unsigned)settings->lane_partitions};
    service->batch = (struct case_batch_context){
        .known = case_known_new(), .moved = moved, .erased = erased, .argument = service};
    if (service->batch.known == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    if (!case_feed_new(&feed, &service->feed, err) ||
        !pg_lanes_new(&lanes, manual ? &case_batch_ops_manual : &case_batch_ops_real, &service->batch,
                      &service->lanes, err))
        return false;
    const struct case_eraser_options eraser = {&service->connection, service->pool, service->lanes,
                                               service->gone};
    if (!case_eraser_new(&eraser, &service->eraser, err))
        return false;
    const struct case_sessions_options sessions = {service->connection, service->lanes, service->feed,
                                                   settings->redis_url, patience_us};
    if (!case_sessions_new(&sessions, &service->sessions, err))
        return false;
    if (!pg_reader_new(&service->connection, (unsigned)settings->readers, &service->reader.reader, err))
        return false;
    service->reader.pool = service->pool;
    service->outgoing = (struct case_outgoing){service->feed, patience_us};
    if (!case_watches_new(service->feed, &service->reader, patience_us, &service->watches, err))
        return false;
    service->writer.lanes = service->importer.lanes = service->lanes;
    return add_methods(service, host->server, err) && (!manual || open_clock(service, host, settings, err)) &&
           case_health_new(service->pool, host->server, &service->health, err) && rpc_host_serve(host, err);
}

/* Calls end first, then what answers them. */
static void stop(struct rpc_host *host, struct service *service)
{
    case_health_free(service->health);
    if (host->server != NULL)
        rpc_server_drain(host->server);
    case_eraser_stop(service->eraser);
    case_sessions_stop(service->sessions);
    pg_lanes_free(service->lanes);
    case_watches_free(service->watches);
    case_sessions_free(service->sessions);
    case_eraser_free(service->eraser);
    case_feed_free(service->feed);
    rpc_host_close(host);
    case_clock_free(service->clock);
    case_gone_free(service->gone);
    pg_reader_free(service->reader.reader);
    case_known_free(service->batch.known);
    pg_pool_free(service->pool);
}

int main(int argc, char **argv)
{
    static struct rpc_host host;
    static struct settings settings;
    static struct service service;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(host, "127.0.0.1:7001", "127.0.0.1:9101"),
        {.env = "DATABASE_URL",
         .help = "PostgreSQL, a libpq URL; several hosts are tried in turn",
         .fallback = "postgresql:///casework",
         .secret = true,
         .value = &settings.database_url},
        {.env = "REDIS_URL",
         .help = "Redis, over which replicas tell each other what agents are doing; empty: each for itself",
         .fallback = "",
         .secret = true,
         .value = &settings.redis_url},
        {.env = "CLOCK", .help = "real, manual or manual=TIME", .fallback = "real", .value = &settings.clock},
        {.env = "SEARCH_TARGET",
         .help = "the search service, which follows the manual clock; empty: none",
         .fallback = "127.0.0.1:7002",
         .value = &settings.search_target},
        {.env = "SLA_TARGET",
         .help = "the SLA service, likewise",
         .fallback = "127.0.0.1:7003",
         .value = &settings.sla_target},
        {.env = "REPORT_TARGET",
         .help = "the report service, likewise",
         .fallback = "127.0.0.1:7004",
         .value = &settings.report_target},
        {.env = "LANES",
         .help = "connections that write",
         .fallback = "2",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 64,
         .value = &settings.lanes},
        {.env = "LANE_PARTITIONS",
         .help = "partitions one transaction may write in; 1 where the database is distributed by partition",
         .fallback = "64",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 64,
         .value = &settings.lane_partitions},
        {.env = "READERS",
         .help = "connections that read",
         .fallback = "8",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 1024,
         .value = &settings.readers},
        {.env = "STREAM_PATIENCE_SECONDS",
         .help = "how long a reader of a stream may take nothing before it ends",
         .fallback = "60",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 86400,
         .value = &settings.patience},
        {.env = NULL},
    };
    int code = rpc_host_configure(&host, "case", "keeps accounts, cases and messages", options, argc, argv);
    if (code >= 0)
        return code;
    error err = {0};
    bool done = run(&host, &settings, &service, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    stop(&host, &service);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
