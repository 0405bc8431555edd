/* Completion queues, their threads, and the requests that stand ready on them for the next calls. */
#include "base/log.h"
#include "rpc/server_private.h"

#include <stdlib.h>

/*
 * How many requests stand posted is a balance. A call that finds none for its method waits on a slower path
 * until one is posted again, and then posting costs twice as much. But the core, as Debian builds it with
 * assertions, looks through all tags that are out on a queue at each completion: a few hundred of them are a
 * twentieth of all the work for a call. So each method starts with one, and the first few that are called
 * often share the spare ones.
 */
enum { SLOTS_EACH_MAX = 16, CALLS_PER_SLOT = 64 };

static void slot_post(struct slot *slot)
{
    struct supply *supply = slot->supply;
    struct queue *queue = supply->queue;
    rpc_server *server = queue->server;
    grpc_call_error failed;
    slot->call = NULL;
    slot->payload = NULL;
    grpc_metadata_array_init(&slot->metadata);
    core_hand_over(&slot->tag);
    if (supply->method) {
        bool takes_message = !supply->method->client_streams;
        failed = grpc_server_request_registered_call(
            server->core, supply->method->registered, &slot->call, &slot->deadline, &slot->metadata,
            takes_message ? &slot->payload : NULL, queue->core, queue->core, &slot->tag);
    } else {
        grpc_call_details_init(&slot->details);
        failed = grpc_server_request_call(server->core, &slot->call, &slot->details, &slot->metadata,
                                          queue->core, queue->core, &slot->tag);
    }
    if (failed != GRPC_CALL_OK && failed != GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN)
        log_error("a request could not be posted", LOG_TEXT("error", grpc_call_error_to_string(failed)));
}

static void slot_done(struct tag *tag, bool ok);

static bool supply_grow(struct supply *supply)
{
    struct slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return false;
    slot->tag.run = slot_done;
    slot->supply = supply;
    slot->next = atomic_load(&supply->queue->slots);
    while (!atomic_compare_exchange_weak(&supply->queue->slots, &slot->next, slot))
        ;
    slot_post(slot);
    return true;
}

static bool take_spare(struct queue *queue)
{
    unsigned left = atomic_load_explicit(&queue->spare_slots, memory_order_relaxed);
    while (left > 0 && !atomic_compare_exchange_weak(&queue->spare_slots, &left, left - 1))
        ;
    return left > 0;
}

/* The next request, in place of the one that a call has taken. */
static void supply_renew(struct slot *slot)
{
    struct supply *supply = slot->supply;
    slot_post(slot);
    if (atomic_fetch_add_explicit(&supply->calls, 1, memory_order_relaxed) % CALLS_PER_SLOT !=
        CALLS_PER_SLOT - 1)
        return;
    if (atomic_load_explicit(&supply->slots, memory_order_relaxed) < SLOTS_EACH_MAX &&
        take_spare(supply->queue) && supply_grow(supply))
        atomic_fetch_add_explicit(&supply->slots, 1, memory_order_relaxed);
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
    struct supply *supply = slot->supply;
    rpc_server *server = supply->queue->server;
    struct method *method = supply->method ? supply->method : &server->unknown;
    if (!supply->method) {
        slot->deadline = slot->details.deadline;
        grpc_call_details_destroy(&slot->details);
    }
    if (!ok) { /* the server is shutting down */
        grpc_metadata_array_destroy(&slot->metadata);
        return;
    }
    struct rpc_call *call = call_new(server, method, slot);
    if (!call)
        drop_call(slot);
    supply_renew(slot); /* before the call is looked at, so that the next one never waits for a handler */
    if (!call)
        return;
    if (!supply->method)
        unary_refuse_unknown(call);
    else if (method->row->stream)
        stream_accept(call);
    else
        unary_accept(call);
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
    queue->supplies = calloc(server->method_count + 1, sizeof *queue->supplies);
    if (!queue->supplies)
        return false;
    queue->spare_slots = server->options.requests;
    for (size_t i = 0; i <= server->method_count; i++) {
        struct supply *supply = &queue->supplies[i];
        supply->queue = queue;
        supply->method = i < server->method_count ? server->methods[i] : NULL;
        supply->slots = 1;
        if (!supply_grow(supply))
            return false;
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

void queue_free(struct queue *queue)
{
    grpc_completion_queue_destroy(queue->core);
    for (struct slot *slot = queue->slots, *next; slot; slot = next) {
        next = slot->next;
        free(slot);
    }
    free(queue->supplies);
}
