/*
 * The server side of the gRPC interoperability tests (grpc/testing/test.proto) on lib/rpc. Also what the
 * benchmark of lib/rpc calls, then with tokens.
 *
 *   conformance-server [--address=127.0.0.1:0] [--keys=DIRECTORY] [--queues=N] [--threads=N]
 *                      [--requests=N] [--log=LEVEL]
 *
 * Prints the port that it serves on.
 */
#include "base/log.h"
#include "conformance_descriptor_set.h"
#include "rpc/server.h"
#include "test_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of "--name=value", or NULL when the argument is another one. */
static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static bool read_argument(const char *argument, struct rpc_server_options *options, enum log_level *level)
{
    const char *value;
    if ((value = value_of(argument, "--address")))
        options->address = value;
    else if ((value = value_of(argument, "--keys")))
        options->key_directory = value;
    else if ((value = value_of(argument, "--queues")))
        options->queues = (unsigned)strtoul(value, NULL, 10);
    else if ((value = value_of(argument, "--threads")))
        options->threads_per_queue = (unsigned)strtoul(value, NULL, 10);
    else if ((value = value_of(argument, "--requests")))
        options->requests = (unsigned)strtoul(value, NULL, 10);
    else if ((value = value_of(argument, "--log")))
        return log_level_parse(value, level);
    else
        return false;
    return true;
}

static int serve(const struct rpc_server_options *options)
{
    rpc_server *server;
    error err;
    if (!rpc_server_new(options, &server, &err)) {
        fprintf(stderr, "conformance-server: %s\n", err.message);
        return 1;
    }
    bool started = rpc_server_add(server, test_service_methods, NULL, &err) && rpc_server_start(server, &err);
    if (started) {
        rpc_server_set_serving(server, true);
        printf("%d\n", rpc_server_port(server));
        fflush(stdout);
        rpc_signals_wait();
    } else {
        fprintf(stderr, "conformance-server: %s\n", err.message);
    }
    rpc_server_free(server);
    return started ? 0 : 1;
}

int main(int argc, char **argv)
{
    enum log_level level = LOG_LEVEL_WARN;
    struct rpc_server_options options = {
        .address = "127.0.0.1:0",
        .drain_us = 2000000,
        .descriptor_set = conformance_descriptor_set,
        .descriptor_set_size = conformance_descriptor_set_size,
    };
    rpc_signals_block();
    for (int i = 1; i < argc; i++) {
        if (!read_argument(argv[i], &options, &level)) {
            fprintf(stderr, "conformance-server: what is %s?\n", argv[i]);
            return 2;
        }
    }
    log_init("conformance", level);
    (void)log_start_writer();
    return serve(&options);
}
