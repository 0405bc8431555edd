#include "rpc/client.h"

#include "rpc/client_private.h"
#include "rpc/credentials.h"
#include "rpc/token_source.h"

#include <grpc/support/time.h>
#include <limits.h>
#include <stdlib.h>

enum {
    KEEPALIVE_MS = 30000,
    KEEPALIVE_TIMEOUT_MS = 10000,
    RECONNECT_FIRST_MS = 50,
    RECONNECT_LAST_MS = 1000,
    METADATA_BYTES_MAX = 64 * 1024,
};

static grpc_arg number_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_channel *create_core(const char *target, grpc_channel_credentials *credentials)
{
    grpc_arg list[] = {
        number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)CLIENT_MESSAGE_BYTES_MAX),
        number_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES_MAX),
        number_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        number_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        number_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_FIRST_MS),
        number_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, RECONNECT_LAST_MS),
        number_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_LAST_MS),
        /* Retrying is done here, for the calls that may be. */
        number_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        number_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        number_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        number_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        number_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        {.type = GRPC_ARG_STRING,
         .key = (char *)(uintptr_t)GRPC_ARG_LB_POLICY_NAME,
         .value.string = (char *)(uintptr_t) "round_robin"},
    };
    grpc_channel_args args = {.num_args = sizeof list / sizeof *list, .args = list};
    return grpc_channel_create(target, credentials, &args);
}

static void *channel_thread(void *argument)
{
    rpc_channel *channel = argument;
    while (core_run_next(channel->queue, unary_retry_due(channel)))
        ;
    return NULL;
}

bool rpc_channel_new(const struct rpc_channel_options *options, rpc_channel **ret_channel, error *err)
{
    grpc_channel_credentials *credentials;
    rpc_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a channel");
    pthread_mutex_init(&channel->lock, NULL);
    grpc_init();
    if (!token_source_new(options, &channel->tokens, err) ||
        !credentials_for_client(options->tls_ca_file, options->tls_certificate_file, options->tls_key_file,
                                &credentials, err)) {
        token_source_free(channel->tokens);
        pthread_mutex_destroy(&channel->lock);
        free(channel);
        grpc_shutdown_blocking();
        return false;
    }
    channel->core = create_core(options->target, credentials);
    grpc_channel_credentials_release(credentials);
    channel->queue = grpc_completion_queue_create_for_next(NULL);
    if (pthread_create(&channel->thread, NULL, channel_thread, channel) != 0) {
        channel->thread = pthread_self(); /* marks that there is none to join */
        rpc_channel_free(channel);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD",
                         "the channel's thread could not be started");
    }
    *ret_channel = channel;
    return true;
}

void rpc_channel_free(rpc_channel *channel)
{
    if (!channel)
        return;
    grpc_completion_queue_shutdown(channel->queue);
    if (pthread_equal(channel->thread, pthread_self()))
        core_poll(channel->queue);
    else
        pthread_join(channel->thread, NULL);
    grpc_completion_queue_destroy(channel->queue);
    grpc_channel_destroy(channel->core);
    token_source_free(channel->tokens);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
    grpc_shutdown_blocking();
}

/* --- stopping --- */

void channel_join(rpc_channel *channel, struct live_call *call, grpc_call *core)
{
    pthread_mutex_lock(&channel->lock);
    *call = (struct live_call){.next = channel->live, .core = core};
    if (call->next)
        call->next->previous = call;
    channel->live = call;
    if (atomic_load(&channel->stopped))
        grpc_call_cancel(core, NULL);
    pthread_mutex_unlock(&channel->lock);
}

void channel_leave(rpc_channel *channel, struct live_call *call)
{
    pthread_mutex_lock(&channel->lock);
    if (call->core) {
        if (call->previous)
            call->previous->next = call->next;
        else
            channel->live = call->next;
        if (call->next)
            call->next->previous = call->previous;
    }
    call->core = NULL;
    pthread_mutex_unlock(&channel->lock);
}

void channel_tell_stop(const rpc_channel *channel, error *err)
{
    if (err->code == STATUS_CANCELLED && atomic_load(&channel->stopped))
        error_set(err, STATUS_UNAVAILABLE, "STOPPING", "the service that has called is stopping");
}

void rpc_channel_stop(rpc_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    atomic_store(&channel->stopped, true);
    for (const struct live_call *call = channel->live; call; call = call->next)
        grpc_call_cancel(call->core, NULL);
    pthread_mutex_unlock(&channel->lock);
}
