/* casework-sla: configuration and wiring. */

#include "base/clock.h"
#include "base/log.h"
#include "feed/host.h"
#include "pg/migrate.h"
#include "sla/sla_handlers.h"
#include "sla/sla_metrics.h"
#include "sla/sla_watch.h"

#include <stdlib.h>

struct settings {
    const char *database_url, *redis_url;
    int64_t lease_us, interval_us, grace_us, in_flight_max, patience;
};

struct program {
    struct rpc_host host;
    struct feed_host feed_host;
    struct settings settings;
    struct sla_service service;
    struct sla_progress progress;
    pg_pool *pool;
};

static void lost(void *context)
{
    const struct program *program = context;
    sla_healer_kick(program->service.healer);
}

/* The feed as far as it has come, whole buckets, policies at work, and nothing due any more. */
static bool settle(void *context, int64_t now_us, const struct feed_positions *heads, int64_t deadline_us,
                   int64_t *ret_next_due_us, error *err)
{
    const struct sla_service *service = context;
    return sla_healer_run(service->healer, deadline_us, err) &&
           feed_consumer_wait(sla_feed_consumer(service->feed), heads, deadline_us, err) &&
           /* The feed may have brought an account's new zone. */
           (sla_policies_at_work(service->parts.policies) ||
            sla_healer_run(service->healer, deadline_us, err)) &&
           sla_firing_settle(service->parts.firing, now_us, deadline_us, ret_next_due_us, err);
}

static bool open_stores(struct program *program, error *err)
{
    const struct settings *settings = &program->settings;
    const struct pg_options pg = {.url = settings->database_url, .application = "casework-sla"};
    const struct redis_options redis = {.url = settings->redis_url};
    struct sla_parts *parts = &program->service.parts;
    return pg_migrate_check(&pg, "sla", SLA_SCHEMA_VERSION, err) &&
           pg_pool_new(&pg, 4, &program->pool, err) &&
           sla_policies_new(program->pool, &parts->policies, err) &&
           timer_store_new(&redis, &parts->timers, err);
}

static bool start_parts(struct program *program, error *err)
{
    struct sla_service *service = &program->service;
    struct sla_parts *parts = &service->parts;
    const struct sla_healer_options healer = {
        .interval_us = program->settings.interval_us,
        .grace_us = program->settings.grace_us,
    };
    const struct sla_firing_options firing = {
        .store = parts->timers,
        .cases = parts->cases,
        .policies = parts->policies,
        .clock = parts->clock,
        .lease_us = program->settings.lease_us,
        .in_flight_max = (unsigned)program->settings.in_flight_max,
        .lost = lost,
        .context = program,
    };
    return sla_watches_new(parts, program->settings.patience * CLOCK_SECOND, &service->watches, err) &&
           rpc_server_add(service->server, sla_watch_methods, service->watches, err) &&
           sla_firing_new(&firing, &parts->firing, err) &&
           sla_healer_new(parts, &healer, &service->healer, err) && sla_firing_start(parts->firing, err) &&
           sla_feed_new(parts, service->healer, rpc_host_set_serving, &program->host, &service->feed, err);
}

static bool run(struct program *program, error *err)
{
    struct sla_service *service = &program->service;
    service->parts.progress = &program->progress;
    service->audits.most = SLA_AUDITS_MAX;
    sla_metrics_init();
    if (!open_stores(program, err) || !feed_host_open(&program->feed_host, &program->host, err))
        return false;
    service->server = program->host.server;
    service->parts.cases = program->feed_host.cases;
    service->parts.clock = program->feed_host.clock;
    return rpc_server_add(service->server, sla_policy_methods, service, err) &&
           rpc_server_add(service->server, sla_deadline_methods, service, err) &&
           rpc_server_add(service->server, sla_timer_methods, service, err) &&
           rpc_server_add(service->server, sla_audit_methods, service, err) && start_parts(program, err) &&
           feed_host_follow_clock(&program->feed_host, &program->host, settle, service, err) &&
           rpc_host_serve(&program->host, err);
}

static void close_all(struct program *program)
{
    struct sla_service *service = &program->service;
    if (service->feed)
        sla_feed_stop(service->feed);
    rpc_host_close(&program->host);
    rpc_jobs_join(&service->audits);
    sla_watches_free(service->watches);
    sla_feed_free(service->feed);
    /* The two know of each other: one looks after the schedule for the other. */
    sla_firing_stop(service->parts.firing);
    sla_healer_free(service->healer);
    sla_firing_free(service->parts.firing);
    feed_host_close(&program->feed_host);
    timer_store_free(service->parts.timers);
    sla_policies_free(service->parts.policies);
    pg_pool_free(program->pool);
}

int main(int argc, char **argv)
{
    static struct program program;
    struct settings *settings = &program.settings;
    const struct config_option options[] = {
        RPC_HOST_OPTIONS(program.host, "127.0.0.1:7003", "127.0.0.1:9103"),
        FEED_HOST_OPTIONS(program.feed_host),
        {.env = "DATABASE_URL",
         .help = "PostgreSQL, for the policies",
         .secret = true,
         .value = &settings->database_url},
        {.env = "REDIS_URL",
         .help = "redis://[[user]:password@]host[:port][/db] or unix:///path, for the schedule",
         .fallback = "redis://127.0.0.1:6379",
         .secret = true,
         .value = &settings->redis_url},
        {.env = "SLA_LEASE_DURATION",
         .help = "how long a claimed timer is held back from other replicas",
         .fallback = "15s",
         .type = CONFIG_DURATION,
         .minimum = CLOCK_SECOND,
         .maximum = CLOCK_HOUR,
         .value = &settings->lease_us},
        {.env = "SLA_SWEEP_INTERVAL",
         .help = "how often the schedule is looked after and overdue cases are swept",
         .fallback = "10s",
         .type = CONFIG_DURATION,
         .minimum = CLOCK_SECOND,
         .maximum = CLOCK_HOUR,
         .value = &settings->interval_us},
        {.env = "SLA_SWEEP_GRACE",
         .help = "how long a timer may be overdue before the sweep fires it",
         .fallback = "5s",
         .type = CONFIG_DURATION,
         .minimum = 0,
         .maximum = CLOCK_HOUR,
         .value = &settings->grace_us},
        {.env = "SLA_CLOSINGS_MAX",
         .help = "closings under way at once",
         .fallback = "256",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 10000,
         .value = &settings->in_flight_max},
        {.env = "STREAM_PATIENCE_SECONDS",
         .help = "how long a reader of a stream may take nothing before it ends",
         .fallback = "60",
         .type = CONFIG_NUMBER,
         .minimum = 1,
         .maximum = 86400,
         .value = &settings->patience},
        {.env = NULL},
    };
    int code =
        rpc_host_configure(&program.host, "sla", "closes cases when their time is over", options, argc, argv);
    if (code >= 0)
        return code;
    error err = {0};
    bool done = run(&program, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    close_all(&program);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
