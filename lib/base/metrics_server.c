/* /metrics over HTTP, by libmicrohttpd with a thread of its own. */
#include "base/bytes.h"
#include "base/metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 16 << 20, CONNECTIONS_MAX = 16, IDLE_SECONDS = 30 };

struct metrics_server {
    struct MHD_Daemon *daemon;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type, bytes *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->length, (void *)(uintptr_t)bytes_text(body), MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    (void)context, (void)version, (void)upload, (void)upload_size, (void)state;
    bytes body;
    bytes_init(&body, TEXT_BYTES_MAX);
    enum MHD_Result result;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
        result = answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
    } else if (strcmp(url, "/metrics") != 0) {
        result = answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", &body);
    } else {
        bool whole = metrics_write(&body);
        result = answer(connection, whole ? MHD_HTTP_OK : MHD_HTTP_INTERNAL_SERVER_ERROR,
                        "text/plain; version=0.0.4; charset=utf-8", &body);
    }
    bytes_release(&body);
    return result;
}

static bool resolve(const char *host, uint16_t port, struct addrinfo **ret_list)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    return getaddrinfo(host, service, &hints, ret_list) == 0;
}

bool metrics_server_new(const char *host, uint16_t port, metrics_server **ret_server, uint16_t *ret_port,
                        error *err)
{
    struct addrinfo *list;
    if (!resolve(host, port, &list))
        return error_set(err, STATUS_UNAVAILABLE, "BAD_ADDRESS", "the metrics address %s cannot be resolved",
                         host);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | (list->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    metrics_server *server = calloc(1, sizeof *server);
    if (server)
        server->daemon =
            MHD_start_daemon(flags, port, NULL, NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, list->ai_addr,
                             MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    freeaddrinfo(list);
    if (!server || !server->daemon) {
        free(server);
        return error_set(err, STATUS_UNAVAILABLE, "ADDRESS_IN_USE", "cannot serve metrics on %s:%u", host,
                         port);
    }
    if (ret_port)
        *ret_port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    *ret_server = server;
    return true;
}

void metrics_server_free(metrics_server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
