#include "rpc/client_private.h"
#include "rpc/status_details.h"

void ending_init(struct ending *ending)
{
    grpc_metadata_array_init(&ending->trailing);
    ending->code = GRPC_STATUS_UNKNOWN;
    ending->message = grpc_empty_slice();
}

void ending_release(struct ending *ending)
{
    grpc_metadata_array_destroy(&ending->trailing);
    grpc_slice_unref(ending->message);
}

void ending_error(const struct ending *ending, error *err)
{
    grpc_slice details;
    error_set(err, (enum status_code)ending->code, "", "%.*s", (int)GRPC_SLICE_LENGTH(ending->message),
              (const char *)GRPC_SLICE_START_PTR(ending->message));
    if (err && core_metadata_find(&ending->trailing, "grpc-status-details-bin", &details))
        status_details_decode(GRPC_SLICE_START_PTR(details), GRPC_SLICE_LENGTH(details), err);
}
