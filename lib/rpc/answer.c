/* The end of a call as the core wants it: status, message and details. */
#include "rpc/server_private.h"
#include "rpc/status_details.h"

void answer_status_fill(struct rpc_call *call, const error *err, struct answer_status *status, grpc_op *op)
{
    size_t count = call_metadata_fill(call->trailing, status->trailing, CALL_METADATA_MAX);
    status->message = grpc_empty_slice();
    status->details = grpc_empty_slice();
    enum status_code code = STATUS_OK;
    if (err) {
        unsigned char details[STATUS_DETAILS_SIZE];
        size_t length = status_details_encode(err, details);
        code = err->code;
        status->message = grpc_slice_from_copied_string(err->message);
        if (length > 0) {
            status->details = grpc_slice_from_copied_buffer((const char *)details, length);
            status->trailing[count++] = (grpc_metadata){
                .key = grpc_slice_from_static_string("grpc-status-details-bin"), .value = status->details};
        }
        call_log_failure(call, err);
    }
    atomic_store_explicit(&call->code, (int)code, memory_order_relaxed);
    *op = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op->data.send_status_from_server.trailing_metadata_count = count;
    op->data.send_status_from_server.trailing_metadata = status->trailing;
    op->data.send_status_from_server.status = (grpc_status_code)code;
    op->data.send_status_from_server.status_details = err ? &status->message : NULL;
}

void answer_status_release(struct answer_status *status)
{
    grpc_slice_unref(status->message);
    grpc_slice_unref(status->details);
}

void error_set_busy(error *err)
{
    error_set(err, STATUS_RESOURCE_EXHAUSTED, "SERVER_BUSY", "too many requests are waiting");
}
