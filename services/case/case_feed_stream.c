/*
 * StreamEvents. A stream is a cursor of 64 positions. Whenever a head moves, a run on a worker reads what
 * lies between cursor and heads and writes it, response by response, until the cursor is at the heads or the
 * stream's queue is full. The cursor moves only with what was queued: a slow reader is held back by its own
 * cursor, and nothing is kept for it.
 *
 * Positions of a partition are dense but for the events of deleted accounts, so that it is known beforehand
 * how many events a read can find at the most; where it finds none, the next one goes on from there. Only
 * what lies at or below a head known here is read: all of that is committed and visible.
 */

#include "case/case_feed_stream.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "case/case_feed_call.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/name.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_MAX = 500,              /* of one response */
    RESPONSE_BYTES = 256 * 1024,   /* events are cut here … */
    RESPONSE_BYTES_MAX = 4 << 20,  /* … and one event is never as large as this */
    READ_MEMORY_MAX = 1024 * 1024, /* parameters and the response's small fields */
    RESPONSES_A_RUN = 32,          /* then others get the worker */
    EMPTY_READS_MAX = 100,         /* for one response */
};

#define SIGN_OF_LIFE_US (15 * CLOCK_SECOND)
#define READ_TIMEOUT_US (10 * CLOCK_SECOND)

struct feed_stream {
    struct case_feed_call base; /* first */
    unsigned generation;
    char epoch[FEED_EPOCH_SIZE];
    char account[64]; /* "": all */
    bool wanted[FEED_PARTITIONS];
    /* Of the run only. */
    int64_t at[FEED_PARTITIONS];
    int64_t last_write_us;
    int64_t full_since_us; /* the call's queue; 0: there was room */
    bool started, caught_up;
};

/* $1 to $3: partitions, where each is read from (exclusive) and to (inclusive); $4: one account or ''. */
static const struct pg_statement feed_events = {
    .name = "feed_events",
    .sql =
        "SELECT e.partition, e.position, e.data FROM unnest($1::int2[], $2::int8[], $3::int8[])"
        " AS r(partition, after, upto) CROSS JOIN LATERAL (SELECT partition, position, data FROM events"
        " WHERE events.partition = r.partition AND position > r.after AND position <= r.upto"
        " AND ($4::text = '' OR account = $4) ORDER BY position OFFSET 0) e ORDER BY e.partition, e.position",
};

/* --- one response --- */

/* What one response reads: a range in some partitions. */
struct range {
    int partitions[FEED_PARTITIONS];
    int count;
    int64_t after[FEED_PARTITIONS]; /* by partition: where it is read from; up to there nothing was found */
    int64_t upto[FEED_PARTITIONS];  /* by partition: the cursor after this response */
};

/* What to read from range->after on, so that no more than EVENTS_MAX events lie in it. True if the cursor is
 * at the heads afterwards. */
static bool plan(const struct feed_stream *stream, struct range *range)
{
    int64_t room = EVENTS_MAX;
    bool all = true;
    range->count = 0;
    memcpy(range->upto, range->after, sizeof range->upto);
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        int64_t behind =
            stream->wanted[p] ? case_feed_head(stream->base.reader.feed, p) - range->after[p] : 0;
        if (behind <= 0)
            continue;
        int64_t taken = behind < room ? behind : room;
        all = all && taken == behind;
        if (taken == 0)
            continue;
        range->partitions[range->count++] = p;
        range->upto[p] = range->after[p] + taken;
        room -= taken;
    }
    return all;
}

static bool read_range(struct feed_stream *stream, const struct range *range, arena *memory,
                       pg_result **ret_result, error *err)
{
    pg_params params;
    pg_params_init(&params, memory);
    pg_array *partitions = pg_add_array(&params, PG_INT2);
    pg_array *after = pg_add_array(&params, PG_INT8), *upto = pg_add_array(&params, PG_INT8);
    for (int i = 0; i < range->count; i++) {
        int p = range->partitions[i];
        pg_put_int(partitions, p);
        pg_put_int(after, range->after[p]);
        pg_put_int(upto, range->upto[p]);
    }
    pg_add_text(&params, stream->account);
    return pg_pool_query(case_feed_pool(stream->base.reader.feed), &feed_events, &params,
                         clock_monotonic_us() + READ_TIMEOUT_US, ret_result, err);
}

/* Field 1 of the response, length-delimited: the event's bytes go out as they are stored. */
static bool append_event(bytes *out, const void *data, size_t length)
{
    unsigned char head[11];
    size_t used = 0;
    head[used++] = 1 << 3 | 2;
    size_t rest = length;
    for (; rest >= 0x80; rest >>= 7)
        head[used++] = (unsigned char)(rest | 0x80);
    head[used++] = (unsigned char)rest;
    return bytes_append(out, head, used) && bytes_append(out, data, length);
}

/* Appends the events read, up to RESPONSE_BYTES. False: cut, and the ranges now end where the events do. */
static bool append_events(const pg_result *result, struct range *range, bytes *out)
{
    for (int row = 0; row < pg_rows(result); row++) {
        size_t length;
        const void *data = pg_get_bytes(result, row, 2, &length);
        if (out->length > 0 && out->length + length > RESPONSE_BYTES) {
            int cut = (int)pg_get_int(result, row, 0);
            range->upto[cut] = pg_get_int(result, row, 1) - 1;
            for (int i = 0; i < range->count; i++) {
                if (range->partitions[i] > cut)
                    range->upto[range->partitions[i]] = range->after[range->partitions[i]];
            }
            return false;
        }
        append_event(out, data, length);
    }
    return true;
}

/* The other fields: epoch, how far the reader is now, and whether that is all. */
static bool append_rest(const struct feed_stream *stream, const struct range *range, bool all_heads,
                        bool caught_up, arena *memory, bytes *out)
{
    Casework__Cases__V1__StreamEventsResponse rest = CASEWORK__CASES__V1__STREAM_EVENTS_RESPONSE__INIT;
    Casework__Cases__V1__PartitionPosition members[FEED_PARTITIONS], *list[FEED_PARTITIONS];
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (!stream->wanted[p] || (!all_heads && range->upto[p] == stream->at[p]))
            continue;
        Casework__Cases__V1__PartitionPosition *head = list[rest.n_heads] = &members[rest.n_heads];
        rest.n_heads++;
        casework__cases__v1__partition_position__init(head);
        head->partition = p;
        head->position = range->upto[p];
    }
    rest.heads = list;
    rest.epoch = (char *)(uintptr_t)stream->epoch;
    rest.caught_up = caught_up;
    size_t length = protobuf_c_message_get_packed_size(&rest.base);
    unsigned char *packed = arena_alloc(memory, length + 1);
    return packed && protobuf_c_message_pack(&rest.base, packed) == length &&
           bytes_append(out, packed, length);
}

enum step { STEP_WRITTEN, STEP_NOTHING, STEP_HELD_BACK };

static enum step write_response(struct feed_stream *stream, struct range *range, bool caught_up,
                                bool all_heads, arena *memory, bytes *out)
{
    if (!append_rest(stream, range, all_heads, caught_up, memory, out) || out->failed)
        return STEP_HELD_BACK;
    if (rpc_call_write_packed(stream->base.call, out->data, out->length) != RPC_WRITE_OK) {
        if (stream->full_since_us == 0)
            stream->full_since_us = clock_monotonic_us();
        return STEP_HELD_BACK;
    }
    stream->full_since_us = 0;
    memcpy(stream->at, range->upto, sizeof stream->at);
    stream->last_write_us = clock_monotonic_us();
    stream->started = true;
    stream->caught_up = caught_up;
    return STEP_WRITTEN;
}

/* Reads on until there is an event, or nothing more. *ret_result NULL: nothing was there to be read. */
static bool read_next(struct feed_stream *stream, struct range *range, arena *memory, pg_result **ret_result,
                      bool *ret_caught_up, error *err)
{
    pg_result *result = NULL;
    memcpy(range->after, stream->at, sizeof range->after);
    *ret_caught_up = plan(stream, range);
    for (int reads = 0; range->count > 0; reads++) {
        if (!read_range(stream, range, memory, &result, err))
            return false;
        if (pg_rows(result) > 0 || *ret_caught_up || reads == EMPTY_READS_MAX)
            break;
        pg_result_free(result);
        result = NULL;
        memcpy(range->after, range->upto, sizeof range->after);
        *ret_caught_up = plan(stream, range);
    }
    *ret_result = result;
    return true;
}

static enum step next_response(struct feed_stream *stream, arena *memory, bytes *out)
{
    struct range range;
    pg_result *result;
    bool caught_up;
    error err;
    bool silent = clock_monotonic_us() - stream->last_write_us >= SIGN_OF_LIFE_US;
    if (!read_next(stream, &range, memory, &result, &caught_up, &err)) {
        log_warn("events cannot be read", LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
        return STEP_HELD_BACK; /* the watcher comes by again */
    }
    if (result == NULL && stream->started && stream->caught_up && !silent)
        return STEP_NOTHING;
    if (result != NULL && !append_events(result, &range, out))
        caught_up = false;
    pg_result_free(result);
    return write_response(stream, &range, caught_up, !stream->started || silent, memory, out);
}

/* --- a run --- */

/* The reader makes no room, and has been given time. */
static bool is_too_slow(struct feed_stream *stream, error *err)
{
    if (stream->full_since_us == 0 ||
        clock_monotonic_us() - stream->full_since_us < case_feed_patience(stream->base.reader.feed))
        return false;
    error_set(err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
              "the reader has taken nothing for too long: go on from its positions");
    return true;
}

static void run(struct case_feed_reader *reader)
{
    struct feed_stream *stream = (struct feed_stream *)reader;
    if (case_feed_call_is_over(&stream->base))
        return;
    error err;
    if (!case_feed_check_generation(reader->feed, stream->generation, &err)) {
        case_feed_call_fail(&stream->base, &err);
        return;
    }
    arena *memory = arena_new(READ_MEMORY_MAX);
    bytes out;
    bytes_init(&out, RESPONSE_BYTES_MAX);
    int responses = 0;
    while (memory && responses < RESPONSES_A_RUN && next_response(stream, memory, &out) == STEP_WRITTEN) {
        responses++;
        arena_clear(memory);
        bytes_clear(&out);
    }
    bytes_release(&out);
    arena_free(memory);
    if (is_too_slow(stream, &err))
        case_feed_call_fail(&stream->base, &err);
    else if (responses == RESPONSES_A_RUN)
        case_feed_wake(reader);
}

/* --- the call --- */

static bool take_positions(struct feed_stream *stream,
                           const Casework__Cases__V1__StreamEventsRequest *request, error *err)
{
    bool seen[FEED_PARTITIONS] = {false};
    for (size_t i = 0; i < request->n_after; i++) {
        const Casework__Cases__V1__PartitionPosition *after = request->after[i];
        if (after->partition < 0 || after->partition >= FEED_PARTITIONS || seen[after->partition])
            return error_bad_field(err, "after.partition", "must be 0 to 63, each once at the most");
        if (after->position < 0)
            return error_bad_field(err, "after.position", "must not be negative");
        seen[after->partition] = true;
        stream->at[after->partition] = after->position;
    }
    return true;
}

bool feed_partitions_take(const int32_t *partitions, size_t count, const char *account,
                          bool wanted[FEED_PARTITIONS], error *err)
{
    bool named[FEED_PARTITIONS] = {false};
    for (size_t i = 0; i < count; i++) {
        if (partitions[i] < 0 || partitions[i] >= FEED_PARTITIONS)
            return error_bad_field(err, "partitions", "must be 0 to 63");
        named[partitions[i]] = true;
    }
    for (int p = 0; p < FEED_PARTITIONS; p++)
        wanted[p] = (count == 0 || named[p]) && (!*account || feed_partition(account) == p);
    return true;
}

bool feed_parent_take(rpc_call *call, const char *parent, const char **ret_account, error *err)
{
    const char *own = rpc_call_caller(call)->account, *account = "";
    if (*parent && !rpc_name_accounts(rpc_call_arena(call), parent, "parent", &account, err))
        return false;
    if (strcmp(own, "*") != 0 && !*account)
        account = own;
    if (strcmp(own, "*") != 0 && strcmp(own, account) != 0)
        return error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "%s does not exist", parent);
    *ret_account = account;
    return true;
}

static bool ahead(const struct feed_stream *stream, const case_feed *feed)
{
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (stream->wanted[p] && stream->at[p] > case_feed_head(feed, p))
            return true;
    }
    return false;
}

/* The consumer knows another history: another epoch, or positions that are not there (after a look at the
 * database). */
static bool check_history(struct feed_stream *stream, case_feed *feed, const char *epoch, error *err)
{
    if (ahead(stream, feed) && !case_feed_refresh(feed, clock_monotonic_us() + READ_TIMEOUT_US, err))
        return false;
    stream->generation = case_feed_generation(feed);
    case_feed_epoch(feed, stream->epoch);
    if ((*epoch && strcmp(epoch, stream->epoch) != 0) || ahead(stream, feed))
        return error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                         "the feed has begun anew: begin with a snapshot");
    return true;
}

static bool stream_fill(struct feed_stream *stream, case_feed *feed, rpc_call *call,
                        const Casework__Cases__V1__StreamEventsRequest *request, error *err)
{
    const char *account;
    if (!feed_parent_take(call, request->parent, &account, err) ||
        !feed_partitions_take(request->partitions, request->n_partitions, account, stream->wanted, err) ||
        !take_positions(stream, request, err) || !check_history(stream, feed, request->epoch, err))
        return false;
    strncpy(stream->account, account, sizeof stream->account - 1);
    return true;
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_feed *feed = context;
    struct feed_stream *stream = calloc(1, sizeof *stream);
    error err;
    if (!stream || !stream_fill(stream, feed, call, (const void *)message, &err)) {
        if (stream)
            rpc_call_fail(call, &err);
        else
            rpc_call_fail_memory(call);
        free(stream);
        return;
    }
    case_feed_call_begin(&stream->base, call, feed, run);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    struct feed_stream *stream = rpc_call_state(call);
    if (stream)
        case_feed_wake(&stream->base.reader);
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    case_feed_call_done(call);
}

const struct rpc_stream_handlers case_feed_stream_handlers = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};
