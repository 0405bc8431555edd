#ifndef CASEWORK_RPC_PAGE_H
#define CASEWORK_RPC_PAGE_H

/*
 * Keyset pages (AIP-158). A page token holds the sort key of the last row that was handed out, sealed with
 * all other arguments of the request: an edited token, or one used with other arguments, is INVALID_ARGUMENT.
 * Walking by key never skips or repeats a row that stays where it is, whatever happens to others.
 */

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Page sizes of a method: what 0 stands for, and the most. */
struct rpc_page_sizes {
    int32_t fallback, maximum;
};
extern const struct rpc_page_sizes rpc_page_sizes_usual; /* 50, 1,000 */

/* Where a page ended. What the members stand for is up to the list; unused ones stay 0 and "". */
struct rpc_page_key {
    int64_t first;    /* a time in microseconds or a rank */
    int64_t second;   /* the tie-breaking number */
    int64_t base;     /* a time fixed by the first page for the whole walk */
    int64_t origin;   /* what the list is of, where its name does not tell: compared by the list itself */
    const char *text; /* a name or a sort key; never NULL after rpc_page_open */
};

struct rpc_page {
    int32_t size; /* rows asked for: 1 … the maximum */
    bool after;   /* go on behind `key`; false: the first page */
    struct rpc_page_key key;
};

/*
 * Reads the fields `page_size` and `page_token` of a request (found by name in its descriptor). `extra` is
 * what the answer depends on besides the request, such as the caller's agent; NULL for nothing. The key's
 * text lives in `memory`.
 */
bool rpc_page_open(arena *memory, const ProtobufCMessage *request, const char *extra,
                   const struct rpc_page_sizes *sizes, struct rpc_page *ret_page, error *err)
    __attribute__((warn_unused_result));

/* INVALID_ARGUMENT, `INVALID_PAGE_TOKEN`: the token is of another list. */
#define rpc_page_refuse(err)   \
    __extension__({            \
        rpc_page_foreign(err); \
        false;                 \
    })
void rpc_page_foreign(error *err);

/*
 * How full a response is; {0} at the start. A client takes messages of 4 MiB unless told otherwise: a page,
 * or a part of a stream, ends where rpc_room_take says so, whatever number of rows was asked for.
 */
enum { RPC_ROOM_BYTES_MAX = 3 * 1024 * 1024 };
struct rpc_room {
    size_t used;
};

/* Counts an item in. False, and nothing counted: it does not fit any more. The first one always fits. */
bool rpc_room_take(struct rpc_room *room, const ProtobufCMessage *item) __attribute__((warn_unused_result));

/* The token of the page behind `key`, in `memory`; NULL when the arena is full. Same request and extra as at
 * the opening. */
char *rpc_page_seal(arena *memory, const ProtobufCMessage *request, const char *extra,
                    const struct rpc_page_key *key) __attribute__((warn_unused_result));

/*
 * Reads the field `order_by` (AIP-132): one of the `count` names, with "desc", "asc" or neither behind it,
 * which is ascending. Spaces before, between and behind the words mean nothing. No word at all: true, and
 * both outputs stay what they were, the list's own order. *ret_name: the index in `names`.
 */
bool rpc_page_order(const char *text, const char *const *names, int count, int *ret_name,
                    bool *ret_descending, error *err) __attribute__((warn_unused_result));

/*
 * What wire_token_seal binds a token to: the request's type and all its arguments, but for the text and int32
 * fields named in `without` (ended by NULL), and `extra`, which may be NULL. NULL: the arena is full.
 */
char *rpc_request_binding(arena *memory, const ProtobufCMessage *request, const char *const *without,
                          const char *extra) __attribute__((warn_unused_result));

#endif
