#ifndef CASEWORK_RPC_HOST_H
#define CASEWORK_RPC_HOST_H

/*
 * What every service's main does around its own parts: settings, logging, metrics, server, signals.
 *
 *     static struct rpc_host host;
 *     const struct config_option options[] = {
 *         RPC_HOST_OPTIONS(host, "127.0.0.1:7002", "127.0.0.1:9102"),
 *         {.env = "CASE_TARGET", …},
 *         {.env = NULL},
 *     };
 *     int code = rpc_host_configure(&host, "search", "finds cases by words", options, argc, argv);
 *     if (code >= 0)
 *         return code;
 *     rpc_host_open → rpc_server_add … → rpc_host_serve → (stop own parts) → rpc_host_close
 */

#include "base/config.h"
#include "base/error.h"
#include "base/metrics.h"
#include "rpc/client.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

struct rpc_host {
    /* Settings. Texts belong to the configuration; "" where there is none. */
    const char *listen_address, *metrics_address, *key_directory, *log_level;
    const char *tls_certificate_file, *tls_key_file, *tls_client_ca_file, *tls_ca_file;
    int64_t queues, threads_per_queue, workers, drain_us;
    const char *subject; /* "casework-search": who this service is to the others */
    /* What runs. */
    rpc_server *server;
    metrics_server *metrics;
};

/* The options that every service has. */
#define RPC_HOST_OPTIONS(host, listen, metrics_listen)                                                  \
    {.env = "LISTEN_ADDRESS",                                                                           \
     .help = "where to serve gRPC, host:port; port 0: any free one",                                    \
     .fallback = (listen),                                                                              \
     .value = &(host).listen_address},                                                                  \
        {.env = "METRICS_ADDRESS",                                                                      \
         .help = "where to serve /metrics, host:port; empty: nowhere",                                  \
         .fallback = (metrics_listen),                                                                  \
         .value = &(host).metrics_address},                                                             \
        {.env = "AUTH_KEY_DIRECTORY",                                                                   \
         .help = "folder with the keys of tokens; empty: no tokens, and loopback only",                 \
         .fallback = "",                                                                                \
         .value = &(host).key_directory},                                                               \
        {.env = "LOG_LEVEL",                                                                            \
         .help = "debug, info, warn, error or off",                                                     \
         .fallback = "info",                                                                            \
         .value = &(host).log_level},                                                                   \
        {.env = "TLS_CERTIFICATE_FILE",                                                                 \
         .help = "the server's certificate, PEM; empty: plain text",                                    \
         .fallback = "",                                                                                \
         .value = &(host).tls_certificate_file},                                                        \
        {.env = "TLS_KEY_FILE",                                                                         \
         .help = "its private key, PEM",                                                                \
         .fallback = "",                                                                                \
         .value = &(host).tls_key_file},                                                                \
        {.env = "TLS_CLIENT_CA_FILE",                                                                   \
         .help = "who signs the clients' certificates, PEM; empty: clients need none",                  \
         .fallback = "",                                                                                \
         .value = &(host).tls_client_ca_file},                                                          \
        {.env = "TLS_CA_FILE",                                                                          \
         .help = "who signs the other services' certificates, PEM; empty: plain text to them",          \
         .fallback = "",                                                                                \
         .value = &(host).tls_ca_file},                                                                 \
        {.env = "RPC_QUEUES",                                                                           \
         .help = "completion queues",                                                                   \
         .fallback = "1",                                                                               \
         .type = CONFIG_NUMBER,                                                                         \
         .minimum = 1,                                                                                  \
         .maximum = 64,                                                                                 \
         .value = &(host).queues},                                                                      \
        {.env = "RPC_THREADS_PER_QUEUE",                                                                \
         .help = "threads that poll each queue",                                                        \
         .fallback = "2",                                                                               \
         .type = CONFIG_NUMBER,                                                                         \
         .minimum = 1,                                                                                  \
         .maximum = 64,                                                                                 \
         .value = &(host).threads_per_queue},                                                           \
        {.env = "RPC_WORKERS",                                                                          \
         .help = "threads for handlers that may block",                                                 \
         .fallback = "8",                                                                               \
         .type = CONFIG_NUMBER,                                                                         \
         .minimum = 1,                                                                                  \
         .maximum = 1024,                                                                               \
         .value = &(host).workers},                                                                     \
    {                                                                                                   \
        .env = "DRAIN_DURATION", .help = "grace for running calls at shutdown", .fallback = "10s",      \
        .type = CONFIG_DURATION, .minimum = 0, .maximum = INT64_C(600000000), .value = &(host).drain_us \
    }

/*
 * Blocks the signals, reads the options, starts logging as `service`. -1: go on; otherwise the program's exit
 * code. Call first thing.
 */
int rpc_host_configure(struct rpc_host *host, const char *service, const char *purpose,
                       const struct config_option *options, int argc, char **argv);

/* Makes the server with the contract's descriptors (nothing is bound yet), and serves metrics. */
bool rpc_host_open(struct rpc_host *host, error *err) __attribute__((warn_unused_result));

/*
 * A channel to another service, as this one: with short-lived tokens from its own keys, and over TLS, showing
 * its own certificate, where TLS_CA_FILE says so. The caller's to free.
 */
bool rpc_host_channel(const struct rpc_host *host, const char *target, rpc_channel **ret_channel, error *err)
    __attribute__((warn_unused_result));

/* Says SERVING. Takes the host as what a caught-up callback gets. */
void rpc_host_set_serving(void *host);

/* Starts the server, logs where, and waits for SIGTERM or SIGINT. Health is the service's to set. Also fails
 * when the listener is lost (rpc_watch_core): whoever runs the service starts it again. */
bool rpc_host_serve(struct rpc_host *host, error *err) __attribute__((warn_unused_result));

/* Drains and frees what was opened, also in part. */
void rpc_host_close(struct rpc_host *host);

#endif
