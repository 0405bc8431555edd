/* Completion queues, their threads, and the requests that stand ready on them for the next calls. */
#include "base/log.h"
#include "rpc/server_private.h"

#include <stdlib.h>

/*
 * How many requests stand posted is a balance. A call that finds none for its method waits on a slower path
 * until one is posted again, which happens at once. But the core, as Debian builds it with assertions, looks
 * through all tags that are out on a queue at each completion: ten thousand of them cost more than the call
 * itself.
 */
enum { SLOTS_MIN = 4, UNKNOWN_SLOTS = 4 };

static void slot_post(struct slot *slot)
{
    struct queue *queue = slot->queue;
    rpc_server *server = queue->server;
    grpc_call_error failed;
    slot->call = NULL;
    slot->payload = NULL;
    grpc_metadata_array_init(&slot->metadata);
    core_hand_over(&slot->tag);
    if (slot->method) {
        bool takes_message = !slot->method->client_streams;
        failed = grpc_server_request_registered_call(
            server->core, slot->method->registered, &slot->call, &slot->deadline, &slot->metadata,
            takes_message ? &slot->payload : NULL, queue->core, queue->core, &slot->tag);
    } else {
        grpc_call_details_init(&slot->details);
        failed = grpc_server_request_call(server->core, &slot->call, &slot->details, &slot->metadata,
                                          queue->core, queue->core, &slot->tag);
    }
    if (failed != GRPC_CALL_OK && failed != GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN)
        log_error("a request could not be posted", LOG_TEXT("error", grpc_call_error_to_string(failed)));
}

/* Without memory for it a call ends as a cancelled one. */
static void drop_call(struct slot *slot)
{
    grpc_call_cancel_with_status(slot->call, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory", NULL);
    grpc_metadata_array_destroy(&slot->metadata);
    grpc_byte_buffer_destroy(slot->payload);
    grpc_call_unref(slot->call);
}

static void slot_done(struct tag *tag, bool ok)
{
    struct slot *slot = HOLDER_OF(tag, struct slot, tag);
    rpc_server *server = slot->queue->server;
    struct method *method = slot->method ? slot->method : &server->unknown;
    if (!slot->method) {
        slot->deadline = slot->details.deadline;
        grpc_call_details_destroy(&slot->details);
    }
    if (!ok) { /* the server is shutting down */
        grpc_metadata_array_destroy(&slot->metadata);
        return;
    }
    struct rpc_call *call = call_new(server, method, slot);
    bool streams = slot->method && slot->method->row->stream;
    if (!call)
        drop_call(slot);
    /* The next one first, so that it never waits for a handler. */
    slot_post(slot);
    if (!call)
        return;
    if (!streams && method == &server->unknown)
        unary_refuse_unknown(call);
    else if (!streams)
        unary_accept(call);
    else
        stream_accept(call);
}

static void *poll_thread(void *argument)
{
    struct queue *queue = argument;
    call_thread_begin();
    core_poll(queue->core);
    call_thread_end();
    return NULL;
}

static bool post_all(rpc_server *server, struct queue *queue)
{
    /* Health and reflection are always there, so this never divides by 0. */
    size_t each = server->options.requests / server->method_count;
    each = each < SLOTS_MIN ? SLOTS_MIN : each;
    queue->slot_count = server->method_count * each + UNKNOWN_SLOTS;
    queue->slots = calloc(queue->slot_count, sizeof *queue->slots);
    if (!queue->slots)
        return false;
    for (size_t i = 0; i < queue->slot_count; i++) {
        struct slot *slot = &queue->slots[i];
        slot->tag.run = slot_done;
        slot->queue = queue;
        if (i / each < server->method_count)
            slot->method = server->methods[i / each];
        slot_post(slot);
    }
    return true;
}

bool queues_start(rpc_server *server, error *err)
{
    unsigned each = server->options.threads_per_queue;
    server->threads = calloc(server->options.queues * each, sizeof *server->threads);
    if (!server->threads)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                         "no memory for the server's threads");
    for (unsigned i = 0; i < server->options.queues; i++)
        if (!post_all(server, &server->queues[i]))
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for requests");
    for (unsigned i = 0; i < server->options.queues * each; i++) {
        if (pthread_create(&server->threads[i], NULL, poll_thread, &server->queues[i / each]) != 0)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD",
                             "a server thread could not be started");
        server->thread_count++;
    }
    return true;
}

void queues_stop(rpc_server *server)
{
    for (unsigned i = 0; i < server->options.queues; i++)
        grpc_completion_queue_shutdown(server->queues[i].core);
    for (unsigned i = 0; i < server->thread_count; i++)
        pthread_join(server->threads[i], NULL);
    server->thread_count = 0;
    for (unsigned i = 0; i < server->options.queues; i++)
        core_poll(server->queues[i].core); /* what no thread has taken, if none was started */
}
