#include "rpc/server.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "descriptor_set.h"
#include "rpc/auth.h"
#include "rpc/credentials.h"
#include "rpc/descriptors.h"
#include "rpc/server_private.h"

#include <grpc/grpc_security.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    METADATA_BYTES_MAX = 16 * 1024,
    CLIENT_PING_INTERVAL_MS = 10000, /* clients that ping more often are sent away */
};

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value ? value : fallback;
}

static void fill_options(struct rpc_server_options *o)
{
    o->queues = or_default(o->queues, 1);
    o->threads_per_queue = or_default(o->threads_per_queue, 2);
    o->workers = or_default(o->workers, 8);
    o->worker_queue = or_default(o->worker_queue, 1024);
    o->streams_max = or_default(o->streams_max, 1000);
    o->write_queue = or_default(o->write_queue, 64);
    o->requests = or_default(o->requests, 64);
    o->message_bytes_max = o->message_bytes_max ? o->message_bytes_max : (size_t)4 << 20;
    o->answer_bytes_max = o->answer_bytes_max ? o->answer_bytes_max : (size_t)64 << 20;
    o->call_bytes_max = o->call_bytes_max ? o->call_bytes_max : (size_t)64 << 20;
    o->drain_us = o->drain_us ? o->drain_us : 10 * CLOCK_SECOND;
    o->end_patience_us = o->end_patience_us ? o->end_patience_us : CLOCK_MINUTE;
    o->silence_us = o->silence_us ? o->silence_us : 10 * CLOCK_SECOND;
}

static grpc_arg number_arg(const char *key, size_t value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER,
                      .key = (char *)(uintptr_t)key,
                      .value.integer = value > INT_MAX ? INT_MAX : (int)value};
}

static grpc_server *create_core(const struct rpc_server_options *o)
{
    size_t silence_ms = (size_t)(o->silence_us / 1000);
    grpc_arg list[] = {
        number_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, o->streams_max),
        number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, o->message_bytes_max),
        number_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, o->answer_bytes_max),
        number_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES_MAX),
        number_arg(GRPC_ARG_KEEPALIVE_TIME_MS, silence_ms),
        number_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, silence_ms),
        number_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        /* However long a stream has been idle. */
        number_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        number_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, CLIENT_PING_INTERVAL_MS),
        /* Two servers on one port would be a mistake that shows up only as odd answers. */
        number_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        number_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        number_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        /* The core looks at a message's size only when it has decompressed it: 4 MB would become 4 GB. */
        number_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        number_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1U << GRPC_COMPRESS_NONE),
    };
    grpc_channel_args args = {.num_args = sizeof list / sizeof *list, .args = list};
    return grpc_server_create(&args, NULL);
}

static bool load_descriptors(rpc_server *server, error *err)
{
    const struct rpc_server_options *o = &server->options;
    server->descriptors = descriptor_set_new();
    if (!server->descriptors)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the descriptors");
    if (o->descriptor_set &&
        !descriptor_set_add(server->descriptors, o->descriptor_set, o->descriptor_set_size, err))
        return false;
    /* Health and reflection are in ours. */
    return descriptor_set_add(server->descriptors, casework_descriptor_set, casework_descriptor_set_size,
                              err);
}

static bool fill_server(rpc_server *server, error *err)
{
    const char *keys = server->options.key_directory;
    if (!load_descriptors(server, err))
        return false;
    if (keys && *keys && !auth_new(keys, &server->auth, err))
        return false;
    server->core = create_core(&server->options);
    server->queues = calloc(server->options.queues, sizeof *server->queues);
    if (!server->queues)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the server");
    for (unsigned i = 0; i < server->options.queues; i++) {
        server->queues[i].server = server;
        server->queues[i].core = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(server->core, server->queues[i].core, NULL);
    }
    server->unknown.path = "unknown";
    method_metrics_init(&server->unknown.metrics, "unknown", "unknown");
    return health_add(server, err) && reflection_add(server, err);
}

bool rpc_server_new(const struct rpc_server_options *options, rpc_server **ret_server, error *err)
{
    rpc_server *server = calloc(1, sizeof *server);
    if (!server)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the server");
    server->options = *options;
    fill_options(&server->options);
    pthread_mutex_init(&server->lock, NULL);
    condition_init(&server->changed);
    grpc_init();
    if (!fill_server(server, err)) {
        rpc_server_free(server);
        return false;
    }
    *ret_server = server;
    return true;
}

bool rpc_server_add(rpc_server *server, const struct rpc_method *methods, void *context, error *err)
{
    return methods_add(server, methods, context, false, err);
}

/* --- start --- */

static bool is_loopback(const char *address)
{
    static const char *const prefixes[] = {"127.", "localhost:", "[::1]:", "unix:", "unix-abstract:"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(address, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool register_methods(rpc_server *server, error *err)
{
    for (size_t i = 0; i < server->method_count; i++) {
        struct method *m = server->methods[i];
        m->registered = grpc_server_register_method(
            server->core, m->path, NULL,
            m->client_streams ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        if (!m->registered)
            return error_set(err, STATUS_INTERNAL, "BAD_METHOD_TABLE", "%s cannot be registered", m->path);
    }
    return true;
}

static bool bind_address(rpc_server *server, error *err)
{
    const struct rpc_server_options *o = &server->options;
    if (!server->auth && !is_loopback(o->address))
        return error_set(err, STATUS_FAILED_PRECONDITION, "KEYS_REQUIRED",
                         "without keys only a loopback address is served, not %s", o->address);
    grpc_server_credentials *credentials;
    if (!credentials_for_server(o->tls_certificate_file, o->tls_key_file, o->tls_client_ca_file, &credentials,
                                err))
        return false;
    server->port = grpc_server_add_http2_port(server->core, o->address, credentials);
    grpc_server_credentials_release(credentials);
    if (server->port == 0)
        return error_set(err, STATUS_UNAVAILABLE, "ADDRESS_IN_USE", "cannot listen on %s", o->address);
    return true;
}

/* A connection is a descriptor; the usual soft limit of 1024 is meant for programs that select(). */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void rpc_server_hide_accounts(rpc_server *server, rpc_account_hidden *hidden, void *context)
{
    server->hidden = hidden;
    server->hidden_context = context;
}

bool rpc_server_start(rpc_server *server, error *err)
{
    raise_descriptor_limit();
    server->workers = worker_pool_new(server->options.workers, server->options.worker_queue);
    if (!server->workers)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "the workers could not be started");
    if (!register_methods(server, err) || !bind_address(server, err))
        return false;
    grpc_server_start(server->core);
    server->started = true;
    if (!streams_patrol_start(server))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the ends of streams");
    return queues_start(server, err);
}

int rpc_server_port(const rpc_server *server)
{
    return server->port;
}

void rpc_server_set_serving(rpc_server *server, bool serving)
{
    health_set(server, serving);
}

/* --- the end --- */

static void core_is_down(struct tag *tag, bool ok)
{
    (void)ok;
    rpc_server *server = HOLDER_OF(tag, rpc_server, shutdown_tag);
    pthread_mutex_lock(&server->lock);
    server->core_down = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* False when it is still up at the time limit. */
static bool wait_for_core(rpc_server *server, int64_t grace_us)
{
    int64_t limit_us = clock_monotonic_us() + grace_us;
    pthread_mutex_lock(&server->lock);
    bool in_time = true;
    while (!server->core_down && in_time)
        in_time = condition_wait_until(&server->changed, &server->lock, limit_us);
    bool down = server->core_down;
    pthread_mutex_unlock(&server->lock);
    return down;
}

/* Handlers that keep calls end them in their own time; what they keep must not be pulled away from under
 * them. */
static void wait_for_calls(rpc_server *server)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t next_report = clock_monotonic_us() + 5 * CLOCK_SECOND;
    size_t left;
    while ((left = atomic_load_explicit(&server->calls, memory_order_acquire)) > 0) {
        if (clock_monotonic_us() >= next_report) {
            log_warn("waiting for calls to end", LOG_NUMBER("calls", (int64_t)left));
            next_report += 5 * CLOCK_SECOND;
        }
        nanosleep(&pause, NULL);
    }
}

void rpc_server_drain(rpc_server *server)
{
    if (server->drained)
        return;
    server->drained = true;
    health_set(server, false);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    server->shutdown_tag.run = core_is_down;
    core_hand_over(&server->shutdown_tag);
    grpc_server_shutdown_and_notify(server->core, server->queues[0].core, &server->shutdown_tag);
    if (server->thread_count > 0) {
        streams_stop_endless(server);
        if (!wait_for_core(server, server->options.drain_us)) {
            grpc_server_cancel_all_calls(server->core);
            (void)wait_for_core(server, 365 * CLOCK_DAY);
        }
        wait_for_calls(server);
    }
    queues_stop(server);
    streams_patrol_stop(server);
    worker_pool_free(server->workers);
    server->workers = NULL;
}

void rpc_server_free(rpc_server *server)
{
    if (!server)
        return;
    if (server->core && server->queues)
        rpc_server_drain(server);
    if (server->core)
        grpc_server_destroy(server->core);
    for (unsigned i = 0; server->queues && i < server->options.queues; i++)
        queue_free(&server->queues[i]);
    free(server->queues);
    free(server->threads);
    health_free(server->health);
    methods_free(server);
    auth_free(server->auth);
    descriptor_set_free(server->descriptors);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server);
    grpc_shutdown_blocking();
}

struct server_task {
    struct worker_task task;
    void (*run)(void *argument);
    void *argument;
};

static void run_server_task(struct worker_task *task)
{
    struct server_task *t = HOLDER_OF(task, struct server_task, task);
    void (*run)(void *) = t->run;
    void *argument = t->argument;
    free(t);
    run(argument);
}

bool rpc_server_run(rpc_server *server, void (*task)(void *argument), void *argument)
{
    struct server_task *t = malloc(sizeof *t);
    if (!t)
        return false;
    *t = (struct server_task){.task.run = run_server_task, .run = task, .argument = argument};
    if (worker_pool_submit(server->workers, &t->task))
        return true;
    free(t);
    return false;
}
