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

/*
 * Every status of ours has details. One without was made up on the way: by the core, of a connection that was
 * not made or broke. Such a text names addresses, so it is for the log alone.
 */
void ending_error(const struct ending *ending, error *err)
{
    const char *text = (const char *)GRPC_SLICE_START_PTR(ending->message);
    int length = (int)GRPC_SLICE_LENGTH(ending->message);
    grpc_slice details;
    bool ours = core_metadata_find(&ending->trailing, "grpc-status-details-bin", &details);
    if (!ours && ending->code == GRPC_STATUS_UNAVAILABLE) {
        error_set(err, STATUS_UNAVAILABLE, "", "the service is not available");
        error_add_detail(err, "%.*s", length, text);
        return;
    }
    error_set(err, (enum status_code)ending->code, "", "%.*s", length, text);
    if (err && ours)
        status_details_decode(GRPC_SLICE_START_PTR(details), GRPC_SLICE_LENGTH(details), err);
}
