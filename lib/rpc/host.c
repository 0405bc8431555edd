#include "rpc/host.h"

#include "base/log.h"
#include "descriptor_set.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_WRONG_SETTING = 2 };

int rpc_host_configure(struct rpc_host *host, const char *service, const char *purpose,
                       const struct config_option *options, int argc, char **argv)
{
    static char program[64];
    error err = {0};
    enum log_level level = LOG_LEVEL_INFO;
    rpc_signals_block();
    snprintf(program, sizeof program, "casework-%s", service);
    host->subject = program;
    enum config_outcome outcome = config_read(program, purpose, options, argc, argv, &err);
    if (outcome == CONFIG_EXIT)
        return EXIT_SUCCESS;
    if (outcome == CONFIG_RUN && !log_level_parse(host->log_level, &level)) {
        outcome = CONFIG_WRONG;
        error_set(&err, STATUS_INVALID_ARGUMENT, "", "LOG_LEVEL: not a level: %s", host->log_level);
    }
    if (outcome == CONFIG_WRONG) {
        fprintf(stderr, "%s: %s\n", program, err.message);
        return EXIT_WRONG_SETTING;
    }
    log_init(service, level);
    if (!log_start_writer())
        log_warn("log lines are written one by one", LOG_TEXT("error", "the log's thread cannot be started"));
    return -1;
}

/* "host:port" or "[host]:port". */
static bool split_address(const char *address, char *host, size_t size, uint16_t *ret_port, error *err)
{
    const char *colon = strrchr(address, ':');
    size_t length = colon ? (size_t)(colon - address) : 0;
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || !colon[1] || *end || port > UINT16_MAX || length >= size)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "METRICS_ADDRESS: not host:port: %s", address);
    bool bracketed = length >= 2 && address[0] == '[' && address[length - 1] == ']';
    memcpy(host, address + bracketed, length - 2 * bracketed);
    host[length - 2 * bracketed] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

static bool serve_metrics(struct rpc_host *host, error *err)
{
    char name[256];
    uint16_t port;
    if (!*host->metrics_address)
        return true;
    if (!split_address(host->metrics_address, name, sizeof name, &port, err) ||
        !metrics_server_new(name, port, &host->metrics, &port, err))
        return false;
    log_info("metrics", LOG_TEXT("server.address", name), LOG_NUMBER("server.port", port));
    return true;
}

bool rpc_host_open(struct rpc_host *host, error *err)
{
    const struct rpc_server_options options = {
        .address = host->listen_address,
        .key_directory = host->key_directory,
        .tls_certificate_file = host->tls_certificate_file,
        .tls_key_file = host->tls_key_file,
        .tls_client_ca_file = host->tls_client_ca_file,
        .queues = (unsigned)host->queues,
        .threads_per_queue = (unsigned)host->threads_per_queue,
        .workers = (unsigned)host->workers,
        .drain_us = host->drain_us,
        .descriptor_set = casework_descriptor_set,
        .descriptor_set_size = casework_descriptor_set_size,
    };
    return serve_metrics(host, err) && rpc_server_new(&options, &host->server, err);
}

bool rpc_host_channel(const struct rpc_host *host, const char *target, rpc_channel **ret_channel, error *err)
{
    const struct rpc_channel_options options = {
        .target = target,
        .key_directory = *host->key_directory ? host->key_directory : NULL,
        .subject = host->subject,
        .tls_ca_file = host->tls_ca_file,
        .tls_certificate_file = host->tls_certificate_file,
        .tls_key_file = host->tls_key_file,
    };
    return rpc_channel_new(&options, ret_channel, err);
}

void rpc_host_set_serving(void *host)
{
    rpc_server_set_serving(((const struct rpc_host *)host)->server, true);
}

/* Who cannot take connections any more must make room for a fresh start: it ends as if it had been told to.
 */
static atomic_bool listener_lost;

static void stop_without_listener(void)
{
    atomic_store(&listener_lost, true);
    kill(getpid(), SIGTERM);
}

bool rpc_host_serve(struct rpc_host *host, error *err)
{
    rpc_watch_core(stop_without_listener);
    if (!rpc_server_start(host->server, err))
        return false;
    log_info("listening", LOG_TEXT("server.address", host->listen_address),
             LOG_NUMBER("server.port", rpc_server_port(host->server)));
    int number = rpc_signals_wait();
    log_info("stopping", LOG_NUMBER("signal", number));
    rpc_server_set_serving(host->server, false);
    if (atomic_load(&listener_lost))
        return error_set(err, STATUS_UNAVAILABLE, "LISTENER_LOST",
                         "connections cannot be taken any more: there were no file descriptors left");
    return true;
}

void rpc_host_close(struct rpc_host *host)
{
    rpc_server_free(host->server);
    metrics_server_free(host->metrics);
    host->server = NULL;
    host->metrics = NULL;
}
