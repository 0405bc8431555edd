/* Unary calls: one request in, one batch with the whole answer out. */
#include "base/log.h"
#include "rpc/server_private.h"

static void answer_done(struct tag *tag, bool ok)
{
    struct rpc_call *call = HOLDER_OF(tag, struct rpc_call, answer_tag);
    if (!ok || call->cancelled_by_core)
        atomic_store(&call->cancelled, true);
    call_count_end(call);
    call_unref(call);
}

void unary_answer(struct rpc_call *call, grpc_byte_buffer *message, const error *err)
{
    if (!call_take_ended(call)) {
        log_error("a handler ended its call twice", LOG_TEXT("rpc.method", call->method->path));
        grpc_byte_buffer_destroy(message);
        return;
    }
    grpc_metadata initial[CALL_METADATA_MAX];
    struct answer_status status;
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    size_t count = 1;
    ops[0].data.send_initial_metadata.count = call_metadata_fill(call->initial, initial, CALL_METADATA_MAX);
    ops[0].data.send_initial_metadata.metadata = initial;
    if (message) {
        ops[count] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
        ops[count++].data.send_message.send_message = message;
    }
    answer_status_fill(call, err, &status, &ops[count++]);
    if (!atomic_exchange(&call->close_started, true)) {
        ops[count] = (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
        ops[count++].data.recv_close_on_server.cancelled = &call->cancelled_by_core;
    }
    call->answer_tag.run = answer_done;
    grpc_call_error failed = core_start(call->core, ops, count, &call->answer_tag);
    answer_status_release(&status);
    grpc_byte_buffer_destroy(message); /* the core has taken its slices */
    if (failed != GRPC_CALL_OK) {
        log_error("an answer was refused by the core", LOG_TEXT("rpc.method", call->method->path),
                  LOG_TEXT("error", grpc_call_error_to_string(failed)));
        grpc_call_cancel(call->core, NULL);
        answer_done(&call->answer_tag, false);
    }
}

/* Too late to be worth doing. */
static void fail_cancelled(struct rpc_call *call)
{
    error err;
    if (atomic_load(&call->cancelled))
        error_set(&err, STATUS_CANCELLED, "", "the client cancelled the call");
    else
        error_set(&err, STATUS_DEADLINE_EXCEEDED, "", "the deadline passed before the call was looked at");
    rpc_call_fail(call, &err);
}

static void handle(struct rpc_call *call)
{
    error err;
    ProtobufCMessage *request;
    if (rpc_call_is_cancelled(call)) {
        fail_cancelled(call);
        return;
    }
    if (!call_unpack(call, call->payload, call->memory, &request, &err) ||
        !intercept_message(call, request, true, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    grpc_byte_buffer_destroy(call->payload);
    call->payload = NULL;
    call->method->row->unary(call, request, call->method->context);
}

static void work(struct worker_task *task)
{
    struct rpc_call *call = HOLDER_OF(task, struct rpc_call, task);
    handle(call);
    call_unref(call);
}

void unary_accept(struct rpc_call *call)
{
    error err;
    if (!intercept_open(call, &err)) {
        rpc_call_fail(call, &err);
    } else if (call->method->row->run == RPC_RUN_WORKER) {
        call_start_close(call);
        call->task.run = work;
        if (worker_pool_submit(call->server->workers, &call->task))
            return; /* the task has the dispatcher's reference now */
        error_set_busy(&err);
        rpc_call_fail(call, &err);
    } else {
        handle(call);
        /* If the handler goes on elsewhere it may want to know of a cancellation; otherwise the answer asked
         * already. */
        if (!call->method->row->brief)
            call_start_close(call);
    }
    call_unref(call);
}

void unary_refuse_unknown(struct rpc_call *call)
{
    error err;
    error_set(&err, STATUS_UNIMPLEMENTED, "UNKNOWN_METHOD", "there is no such method");
    unary_answer(call, NULL, &err);
    call_unref(call);
}
