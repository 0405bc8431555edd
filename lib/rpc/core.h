#ifndef CASEWORK_RPC_CORE_H
#define CASEWORK_RPC_CORE_H

/* What server and client share of the gRPC C core: tags, byte buffers, times, slices. Not for users of the
 * library. */

#include "base/arena.h"
#include "base/error.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a completion queue hands back: `run` is called by the polling thread. `ok` is the core's success. */
struct tag {
    void (*run)(struct tag *tag, bool ok);
};

/* The struct whose `member` is at `pointer`. */
#define HOLDER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/*
 * What one thread writes before it gives a tag to the core, another may read once the queue has handed the
 * tag back. The core sees to that, but ThreadSanitizer cannot look into it: its builds are told here. Call
 * before every operation with a tag.
 */
void core_hand_over(struct tag *tag);

/* Starts a batch with `tag` handed over. */
grpc_call_error core_start(grpc_call *call, const grpc_op *ops, size_t count, struct tag *tag);

/* Runs the next tag, if there is one before the deadline. False: the queue is shut down and drained. */
bool core_run_next(grpc_completion_queue *queue, gpr_timespec deadline);

/* Runs tags of `queue` until it is shut down and drained. */
void core_poll(grpc_completion_queue *queue);

/*
 * Packs into a new byte buffer of one slice that the caller destroys. Text is checked first.
 * RESOURCE_EXHAUSTED beyond `max` bytes.
 */
bool core_pack(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret_buffer, error *err)
    __attribute__((warn_unused_result));
grpc_byte_buffer *core_buffer(const void *data, size_t length);

/* Unpacks into `memory`; the buffer may be destroyed afterwards. `bad_text` as in wire_unpack_any_text. */
bool core_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer, arena *memory,
                 ProtobufCMessage **ret_message, error *bad_text, error *err)
    __attribute__((warn_unused_result));

/* The core's deadlines ↔ clock_monotonic_us; INT64_MAX stands for none. */
gpr_timespec core_deadline(int64_t monotonic_us);
int64_t core_deadline_us(gpr_timespec deadline);

/* First value of `key`, NUL-terminated in `memory`; NULL when absent or the arena is full. */
const char *core_metadata_text(const grpc_metadata_array *metadata, const char *key, arena *memory);
bool core_metadata_find(const grpc_metadata_array *metadata, const char *key, grpc_slice *ret_value);

#endif
