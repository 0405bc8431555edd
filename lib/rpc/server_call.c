/*
 * The life of a served call.
 *
 * References: the handler holds one from the start until it ends the call (then the batch with the answer has
 * it until it is back), whoever dispatches the call one while it does so, the RECV_CLOSE batch one while it
 * is out, and rpc_call_ref one each. When the last is given back the core's call object goes too: by then no
 * batch can be out.
 */
#include "base/clock.h"
#include "base/log.h"
#include "rpc/server_private.h"
#include "rpc/trace.h"
#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

/*
 * Polling threads keep a few arenas of calls that have ended for the next ones: most calls need no more than
 * an arena's first block, and that block is too large for malloc's own quick lists.
 */
enum { SPARE_ARENAS = 64 };

static _Thread_local struct {
    bool polling;
    unsigned count;
    arena *arenas[SPARE_ARENAS];
} spare;

void call_thread_begin(void)
{
    spare.polling = true;
}

void call_thread_end(void)
{
    while (spare.count > 0)
        arena_free(spare.arenas[--spare.count]);
    spare.polling = false;
}

static arena *take_arena(const rpc_server *server)
{
    return spare.count > 0 ? spare.arenas[--spare.count] : arena_new(server->options.call_bytes_max);
}

static void give_arena(arena *memory)
{
    if (!spare.polling || spare.count == SPARE_ARENAS) {
        arena_free(memory);
        return;
    }
    arena_clear(memory);
    spare.arenas[spare.count++] = memory;
}

static void close_done(struct tag *tag, bool ok)
{
    (void)ok; /* this operation always succeeds */
    struct rpc_call *call = HOLDER_OF(tag, struct rpc_call, close_tag);
    if (call->cancelled_by_core)
        atomic_store(&call->cancelled, true);
    call_unref(call);
}

struct rpc_call *call_new(rpc_server *server, struct method *method, struct slot *slot)
{
    arena *memory = take_arena(server);
    struct rpc_call *call = memory ? arena_calloc(memory, 1, sizeof *call) : NULL;
    if (!call) {
        arena_free(memory);
        return NULL;
    }
    call->server = server;
    call->method = method;
    call->close_tag.run = close_done;
    if (method->row && method->row->stream && !stream_init(call)) {
        stream_free(call->stream);
        arena_free(memory);
        return NULL;
    }
    call->core = slot->call;
    call->metadata = slot->metadata;
    call->payload = slot->payload;
    call->memory = memory;
    call->refs = 2; /* the handler's and the dispatcher's */
    call->start_us = clock_monotonic_us();
    call->deadline_us = core_deadline_us(slot->deadline);
    call->caller = (struct rpc_caller){.subject = "", .account = "", .agent = "", .session = ""};
    atomic_fetch_add_explicit(&server->calls, 1, memory_order_relaxed);
    call_count_start(call);
    return call;
}

void call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void call_unref(struct rpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
        return;
    rpc_server *server = call->server;
    stream_free(call->stream);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_byte_buffer_destroy(call->payload);
    for (struct call_metadata *m = call->initial; m; m = m->next)
        grpc_slice_unref(m->value);
    for (struct call_metadata *m = call->trailing; m; m = m->next)
        grpc_slice_unref(m->value);
    grpc_call_unref(call->core);
    give_arena(call->memory); /* the call itself is in there */
    /* The last touch: whoever drains the server may free it as soon as this is 0. */
    atomic_fetch_sub_explicit(&server->calls, 1, memory_order_release);
}

void call_start_close(struct rpc_call *call)
{
    if (atomic_exchange(&call->close_started, true))
        return;
    call_ref(call);
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled_by_core;
    if (core_start(call->core, &op, 1, &call->close_tag) != GRPC_CALL_OK)
        call_unref(call);
}

bool call_unpack(struct rpc_call *call, grpc_byte_buffer *payload, arena *memory,
                 ProtobufCMessage **ret_message, error *err)
{
    const ProtobufCMessageDescriptor *type = call->method->descriptor->input;
    if (!payload)
        return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_MESSAGE", "the request has no message");
    if (!call->method->row || !call->method->row->text_checked_by_handler)
        return core_unpack(type, payload, memory, ret_message, NULL, err);
    if (!call->bad_text)
        call->bad_text = arena_alloc(call->memory, sizeof *call->bad_text);
    if (!call->bad_text)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the request takes too much memory");
    call->bad_text->code = STATUS_OK;
    return core_unpack(type, payload, memory, ret_message, call->bad_text, err);
}

bool call_take_ended(struct rpc_call *call)
{
    return !atomic_exchange(&call->ended, true);
}

size_t call_metadata_fill(const struct call_metadata *list, grpc_metadata *entries, size_t max)
{
    size_t count = 0;
    for (const struct call_metadata *m = list; m && count < max; m = m->next)
        entries[count++] = (grpc_metadata){.key = m->key, .value = m->value};
    return count;
}

/* --- what handlers see --- */

arena *rpc_call_arena(rpc_call *call)
{
    return call->memory;
}

const struct rpc_caller *rpc_call_caller(const rpc_call *call)
{
    return &call->caller;
}

int64_t rpc_call_deadline_us(const rpc_call *call)
{
    return call->deadline_us;
}

bool rpc_call_is_cancelled(const rpc_call *call)
{
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed) ||
           (call->deadline_us != INT64_MAX && clock_monotonic_us() >= call->deadline_us);
}

const error *rpc_call_bad_text(const rpc_call *call)
{
    return call->bad_text && call->bad_text->code != STATUS_OK ? call->bad_text : NULL;
}

const char *rpc_call_metadata(const rpc_call *call, const char *key)
{
    return core_metadata_text(&call->metadata, key, call->memory);
}

const char *rpc_call_traceparent(const rpc_call *call)
{
    return call->traceparent;
}

static void add_metadata(struct rpc_call *call, struct call_metadata **list, const char *key,
                         const void *value, size_t length)
{
    struct call_metadata *m = arena_alloc(call->memory, sizeof *m);
    const char *name = m ? arena_strdup(call->memory, key) : NULL;
    if (!name)
        return;
    m->key = grpc_slice_from_static_string(name);
    m->value = grpc_slice_from_copied_buffer(value, length);
    if (!grpc_header_key_is_legal(m->key) ||
        (!grpc_is_binary_header(m->key) && !grpc_header_nonbin_value_is_legal(m->value))) {
        grpc_slice_unref(m->value);
        return;
    }
    m->next = *list;
    *list = m;
}

void rpc_call_add_initial_metadata(rpc_call *call, const char *key, const void *value, size_t length)
{
    add_metadata(call, &call->initial, key, value, length);
}

void rpc_call_add_trailing_metadata(rpc_call *call, const char *key, const void *value, size_t length)
{
    add_metadata(call, &call->trailing, key, value, length);
}

const void *rpc_call_metadata_bytes(const rpc_call *call, const char *key, size_t *ret_length)
{
    grpc_slice value;
    if (!core_metadata_find(&call->metadata, key, &value))
        return NULL;
    *ret_length = GRPC_SLICE_LENGTH(value);
    return arena_memdup(call->memory, GRPC_SLICE_START_PTR(value), GRPC_SLICE_LENGTH(value));
}

static void end_call(struct rpc_call *call, grpc_byte_buffer *message, const error *err)
{
    if (call->stream)
        stream_finish(call, message, err);
    else
        unary_answer(call, message, err);
}

void rpc_call_fail(rpc_call *call, const error *err)
{
    /* A handler that gives up because of the deadline may be a little earlier than the client's own clock. */
    if (err->code == STATUS_CANCELLED && clock_monotonic_us() >= call->deadline_us) {
        error late = *err;
        late.code = STATUS_DEADLINE_EXCEEDED;
        end_call(call, NULL, &late);
        return;
    }
    end_call(call, NULL, err);
}

void rpc_call_fail_memory(rpc_call *call)
{
    error err;
    error_set(&err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request takes too much memory");
    rpc_call_fail(call, &err);
}

/* A response that cannot be sent is our fault, whatever packing calls it. */
static void fail_packing(struct rpc_call *call, const error *packing)
{
    error err = *packing;
    if (packing->code != STATUS_RESOURCE_EXHAUSTED) {
        error_set(&err, STATUS_INTERNAL, "INTERNAL", "the response could not be made");
        error_add_detail(&err, "%s", packing->message);
    }
    rpc_call_fail(call, &err);
}

void rpc_call_reply(rpc_call *call, const ProtobufCMessage *response)
{
    error err;
    grpc_byte_buffer *message;
    if (core_pack(response, call->server->options.answer_bytes_max, &message, &err))
        end_call(call, message, NULL);
    else
        fail_packing(call, &err);
}

void rpc_call_reply_packed(rpc_call *call, const void *data, size_t length)
{
    end_call(call, core_buffer(data, length), NULL);
}

enum rpc_write rpc_call_write(rpc_call *call, const ProtobufCMessage *message)
{
    error err;
    grpc_byte_buffer *packed;
    enum rpc_write room = stream_room(call);
    if (room != RPC_WRITE_OK)
        return room;
    if (core_pack(message, call->server->options.answer_bytes_max, &packed, &err))
        return stream_write(call, packed);
    fail_packing(call, &err);
    return RPC_WRITE_CLOSED;
}

enum rpc_write rpc_call_write_packed(rpc_call *call, const void *data, size_t length)
{
    enum rpc_write room = stream_room(call);
    return room == RPC_WRITE_OK ? stream_write(call, core_buffer(data, length)) : room;
}

int64_t rpc_call_write_waiting_us(const rpc_call *call)
{
    return stream_waiting_us(call);
}

void rpc_call_finish(rpc_call *call)
{
    end_call(call, NULL, NULL);
}

void rpc_call_set_state(rpc_call *call, void *state)
{
    call->state = state;
}

void *rpc_call_state(const rpc_call *call)
{
    return call->state;
}

void rpc_call_ref(rpc_call *call)
{
    call_ref(call);
}

void rpc_call_unref(rpc_call *call)
{
    call_unref(call);
}
