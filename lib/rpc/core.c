#include "rpc/core.h"

#include "base/clock.h"
#include "rpc/wire.h"

#include <grpc/support/time.h>
#include <string.h>

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TAG_ACQUIRE(tag) __tsan_acquire(tag)
#define TAG_RELEASE(tag) __tsan_release(tag)
#else
#define TAG_ACQUIRE(tag) ((void)(tag))
#define TAG_RELEASE(tag) ((void)(tag))
#endif

void core_hand_over(struct tag *tag)
{
    TAG_RELEASE(tag);
}

grpc_call_error core_start(grpc_call *call, const grpc_op *ops, size_t count, struct tag *tag)
{
    core_hand_over(tag);
    return grpc_call_start_batch(call, ops, count, tag, NULL);
}

bool core_run_next(grpc_completion_queue *queue, gpr_timespec deadline)
{
    grpc_event event = grpc_completion_queue_next(queue, deadline, NULL);
    if (event.type == GRPC_OP_COMPLETE) {
        struct tag *tag = event.tag;
        TAG_ACQUIRE(tag);
        tag->run(tag, event.success != 0);
    }
    return event.type != GRPC_QUEUE_SHUTDOWN;
}

void core_poll(grpc_completion_queue *queue)
{
    while (core_run_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC)))
        ;
}

grpc_byte_buffer *core_buffer(const void *data, size_t length)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, length);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

bool core_pack(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret_buffer, error *err)
{
    if (!wire_check_text(message, err))
        return false;
    size_t length = protobuf_c_message_get_packed_size(message);
    if (length > max)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE",
                         "a message of %zu bytes is too large", length);
    /* A short slice holds its bytes inside the struct: pack before the struct is copied. */
    grpc_slice slice = grpc_slice_malloc(length);
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    *ret_buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return true;
}

bool core_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer, arena *memory,
                 ProtobufCMessage **ret_message, error *bad_text, error *err)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_MESSAGE", "not a valid %s", type->name);
    size_t length = grpc_byte_buffer_length(reader.buffer_out);
    const void *data = "";
    grpc_slice *slice;
    bool enough = true;
    if (grpc_byte_buffer_reader_peek(&reader, &slice)) {
        if (GRPC_SLICE_LENGTH(*slice) == length) {
            data = GRPC_SLICE_START_PTR(*slice);
        } else {
            unsigned char *whole = arena_alloc(memory, length);
            size_t at = 0;
            enough = whole != NULL;
            do {
                if (enough)
                    memcpy(whole + at, GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
                at += GRPC_SLICE_LENGTH(*slice);
            } while (grpc_byte_buffer_reader_peek(&reader, &slice));
            data = whole;
        }
    }
    bool done = enough ? wire_unpack_any_text(type, data, length, memory, ret_message, bad_text, err)
                       : error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                                   "the message takes too much memory");
    grpc_byte_buffer_reader_destroy(&reader);
    return done;
}

gpr_timespec core_deadline(int64_t monotonic_us)
{
    if (monotonic_us == INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return (gpr_timespec){.tv_sec = monotonic_us / CLOCK_SECOND,
                          .tv_nsec = (int32_t)(monotonic_us % CLOCK_SECOND * 1000),
                          .clock_type = GPR_CLOCK_MONOTONIC};
}

int64_t core_deadline_us(gpr_timespec deadline)
{
    /* Beyond 292,000 years of microseconds counts as none, as does the core's infinite future. */
    if (deadline.tv_sec >= INT64_MAX / CLOCK_SECOND - 1)
        return INT64_MAX;
    deadline = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC);
    return deadline.tv_sec * CLOCK_SECOND + deadline.tv_nsec / 1000;
}

bool core_metadata_find(const grpc_metadata_array *metadata, const char *key, grpc_slice *ret_value)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_metadata *entry = &metadata->metadata[i];
        if (GRPC_SLICE_LENGTH(entry->key) == length &&
            memcmp(GRPC_SLICE_START_PTR(entry->key), key, length) == 0) {
            *ret_value = entry->value;
            return true;
        }
    }
    return false;
}

const char *core_metadata_text(const grpc_metadata_array *metadata, const char *key, arena *memory)
{
    grpc_slice value;
    if (!core_metadata_find(metadata, key, &value))
        return NULL;
    return arena_strndup(memory, (const char *)GRPC_SLICE_START_PTR(value), GRPC_SLICE_LENGTH(value));
}
