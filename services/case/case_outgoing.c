/*
 * A stream is a cursor: the position of the last message that was written to it. Whenever the head of the
 * account's partition moves, a run on a worker reads what is queued between cursor and head. Only what lies
 * at or below a head known here is read: all of that is committed, so nothing can appear behind the cursor.
 */

#include "case/case_outgoing.h"

#include "base/clock.h"
#include "base/log.h"
#include "case/case_feed_call.h"
#include "case/case_resume.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "rpc/name.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGES_MAX = 32,                 /* of one read; less where bodies are large */
    READ_MEMORY_MAX = 8 * 1024 * 1024, /* for what is made of them; texts stay in the results */
    READS_A_RUN = 32,                  /* then others get the worker */
};

#define READ_TIMEOUT_US (10 * CLOCK_SECOND)
#define LOOK_US (CLOCK_SECOND / 2)
#define ALL_CHANNELS "-"

struct outgoing_stream {
    struct case_feed_call base; /* first */
    const struct case_outgoing *outgoing;
    _Atomic bool full; /* the call's queue; on_writable takes it back */
    unsigned generation;
    char epoch[FEED_EPOCH_SIZE];
    char account[64], channel[64]; /* ids; ALL_CHANNELS */
    int64_t account_begin;         /* the position of its first event */
    /* Of the run only. */
    int64_t after; /* the cursor */
    int64_t seen;  /* nothing is queued between cursor and here */
    int64_t there; /* the account was not deleted up to here, as was found out at: */
    int64_t looked_us;
    int64_t stalled_us; /* since then the queue has been full; 0: it is not */
};

#define SHOWN "NOT " MESSAGE_IS_BEING_ERASED("x")

/* $1 partition, $2 account, $3 channel, $4 after, $5 up to, $6 how many. What is not to be sent stays out. */
#define QUEUE(channel)                                                                                   \
    " SELECT o.position, o.channel AS queue, t.* FROM outgoing o JOIN LATERAL (SELECT * FROM messages x" \
    " WHERE x.partition = $1::int2 AND x.account = o.account AND x.case_id = o.case_id"                  \
    " AND x.number = o.number AND x.delivery = 1 AND NOT x.redacted AND " SHOWN " LIMIT 1) t ON true"    \
    " WHERE o.partition = $1::int2 AND o.account = $2::text AND o.channel = " channel                    \
    " AND o.position > $4::int8 AND o.position <= $5::int8 ORDER BY o.position LIMIT $6::int4"

/* The contact's first address on the channel's network. */
#define ADDRESS(p)                                                                       \
    "CASE h.network WHEN 'email' THEN " p ".emails[1] WHEN 'phone' THEN " p ".phones[1]" \
    " ELSE (SELECT " p ".handles[i + 1] FROM generate_subscripts(" p ".handles, 1) i"    \
    " WHERE i % 2 = 1 AND " p ".handles[i] = h.network ORDER BY i LIMIT 1) END"

/* A reply goes to those, too, who have written in the case of another contact. */
#define COPIES                                                                                    \
    "ARRAY(SELECT a.address FROM case_guests g CROSS JOIN LATERAL (SELECT " ADDRESS(              \
        "t") " AS"                                                                                \
             " address FROM contacts t WHERE t.partition = g.partition AND t.account = g.account" \
             " AND t.contact = g.contact LIMIT 1) a WHERE m.kind = 2 AND g.partition = $1::int2"  \
             " AND g.account = $2::text AND g.case_id = m.case_id AND g.contact <> c.contact"     \
             " AND a.address IS NOT NULL ORDER BY g.contact LIMIT 100)"

/* The contact is that of the case in which the message was written, wherever that was merged. */
#define OUTGOING(queue)                                                                                      \
    "SELECT " MESSAGE_COLUMNS ", m.position, CASE WHEN m.kind = 4 THEN m.third_party"                        \
    " ELSE " ADDRESS(                                                                                        \
        "p") " END, " COPIES " FROM (SELECT q.*, sum(octet_length(q.body)) OVER (ORDER BY q.position) - "    \
             "octet_length(q.body)"                                                                          \
             " AS bytes_before FROM (" queue ") q) m"                                                        \
             " LEFT JOIN LATERAL (SELECT t.network FROM channels t WHERE t.partition = $1::int2"             \
             " AND t.account = $2::text AND t.channel = m.queue LIMIT 1) h ON true"                          \
             " LEFT JOIN LATERAL (SELECT t.contact FROM cases t WHERE t.partition = $1::int2 AND t.account " \
             "= "                                                                                            \
             "$2::text"                                                                                      \
             " AND t.id = CASE WHEN m.merged_from = 0 THEN m.case_id ELSE m.merged_from END LIMIT 1) c ON "  \
             "true"                                                                                          \
             " LEFT JOIN LATERAL (SELECT t.emails, t.phones, t.handles FROM contacts t"                      \
             " WHERE t.partition = $1::int2 AND t.account = $2::text AND t.contact = c.contact LIMIT 1) p "  \
             "ON true"                                                                                       \
             " WHERE m.bytes_before < 1048576 ORDER BY m.position"

static const struct pg_statement outgoing_of_channel = {
    .name = "outgoing_of_channel",
    .sql = OUTGOING(QUEUE("$3::text")),
};

static const struct pg_statement outgoing_of_account = {
    .name = "outgoing_of_account",
    .sql = OUTGOING(" SELECT n.* FROM channels ch CROSS JOIN LATERAL (" QUEUE(
        "ch.channel") ") n WHERE ch.partition = $1::int2 AND ch.account = $2::text AND $3::text <> ''"
                      " ORDER BY n.position LIMIT $6::int4"),
};

static const struct pg_statement outgoing_cases = {
    .name = "outgoing_cases",
    .sql = "SELECT " CASE_COLUMNS " FROM unnest($3::int8[]) AS k(id), LATERAL (SELECT * FROM cases t"
           " WHERE t.partition = $1::int2 AND t.account = $2::text AND t.id = k.id LIMIT 1) c",
};

/* Where the account begins, and the head of the partition, in one statement and so of one moment. */
static const struct pg_statement outgoing_parent = {
    .name = "outgoing_parent",
    .sql =
        "SELECT (SELECT head FROM partitions p WHERE p.partition = $1::int2), " ACCOUNT_BEGIN
        " FROM accounts a WHERE "
        "a.partition = $1::int2 AND a.account = $2::text"
        " AND ($3::text = '" ALL_CHANNELS "' OR EXISTS (SELECT FROM channels h WHERE h.partition = $1::int2"
        " AND h.account = $2::text AND h.channel = $3::text))",
};

/* $3, $4: after, up to. What is left of an account is the event of its deletion. */
static const struct pg_statement outgoing_deletion = {
    .name = "outgoing_deletion",
    .sql =
        "SELECT 1 FROM events WHERE partition = $1::int2 AND account = $2::text AND case_id = 0 AND kind = 19"
        " AND position > $3::int8 AND position <= $4::int8 LIMIT 1",
};

/* --- tokens: the history that the position is of, then the position --- */

static bool bad_token(error *err)
{
    error_bad_field(err, "resume_token", "no resume token of this service for this parent");
    return error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN",
                     "no resume token of this service for this parent");
}

static char *token_binding(const struct outgoing_stream *stream, arena *memory)
{
    return arena_printf(memory, "StreamOutgoing %s %s", stream->account, stream->channel);
}

static char *seal_token(const struct outgoing_stream *stream, int64_t position, arena *memory)
{
    const char *binding = token_binding(stream, memory);
    struct outgoing_token token = {.after = position, .account_begin = stream->account_begin};
    memcpy(token.epoch, stream->epoch, sizeof token.epoch);
    return binding ? resume_outgoing_seal(memory, &token, binding) : NULL;
}

static bool epoch_changed(error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                     "the account's history has begun anew: start without a token");
}

static bool open_token(struct outgoing_stream *stream, arena *memory, const char *token, error *err)
{
    struct outgoing_token found;
    const char *binding = token_binding(stream, memory);
    if (!binding || !resume_outgoing_open(memory, token, binding, &found))
        return bad_token(err);
    stream->after = found.after;
    /* The account's name may have been another one's before. */
    bool same = strcmp(found.epoch, stream->epoch) == 0 && found.account_begin == stream->account_begin;
    return same || epoch_changed(err);
}

/* --- reading --- */

struct outgoing_read {
    arena *memory;
    pg_result *messages, *cases;
    int64_t deadline_us;
};

static void add_account(const struct outgoing_stream *stream, pg_params *params, arena *memory)
{
    pg_params_init(params, memory);
    pg_add_int2(params, feed_partition(stream->account));
    pg_add_text(params, stream->account);
}

static bool read_queue(const struct outgoing_stream *stream, int64_t upto, struct outgoing_read *read,
                       error *err)
{
    pg_pool *pool = case_feed_pool(stream->outgoing->feed);
    pg_params params;
    add_account(stream, &params, read->memory);
    pg_add_text(&params, stream->channel);
    pg_add_int8(&params, stream->after);
    pg_add_int8(&params, upto);
    pg_add_int4(&params, MESSAGES_MAX);
    bool all = strcmp(stream->channel, ALL_CHANNELS) == 0;
    if (!pg_pool_query(pool, all ? &outgoing_of_account : &outgoing_of_channel, &params, read->deadline_us,
                       &read->messages, err))
        return false;
    if (pg_rows(read->messages) == 0)
        return true;
    add_account(stream, &params, read->memory);
    pg_array *ids = pg_add_array(&params, PG_INT8);
    for (int row = 0; row < pg_rows(read->messages); row++)
        pg_put_int(ids, pg_get_int(read->messages, row, 1));
    return pg_pool_query(pool, &outgoing_cases, &params, read->deadline_us, &read->cases, err);
}

static Casework__Cases__V1__Case *case_of(const struct outgoing_read *read, int64_t id)
{
    struct case_record record;
    error err;
    for (int row = 0; row < pg_rows(read->cases); row++) {
        if (pg_get_int(read->cases, row, 2) == id)
            return case_row_read(read->cases, row, read->memory, &record, &err)
                       ? case_wire(read->memory, &record)
                       : NULL;
    }
    return NULL;
}

/* False: memory is out. */
static bool fill_response(const struct outgoing_stream *stream, const struct outgoing_read *read, int row,
                          int64_t position, Casework__Cases__V1__StreamOutgoingResponse *response)
{
    struct message_record record;
    error err;
    if (!message_row_read(read->messages, row, read->memory, &record, &err))
        return false;
    casework__cases__v1__stream_outgoing_response__init(response);
    response->message = message_wire(read->memory, &record);
    response->case_ = case_of(read, record.case_id);
    response->to_address = (char *)(uintptr_t)pg_get_text(read->messages, row, MESSAGE_COLUMN_COUNT + 1);
    const char **copies = NULL;
    if (!pg_get_text_array(read->messages, row, MESSAGE_COLUMN_COUNT + 2, read->memory, &copies,
                           &response->n_cc_addresses))
        return false;
    response->cc_addresses = (char **)(uintptr_t)copies;
    response->resume_token = seal_token(stream, position, read->memory);
    return response->message && response->case_ && response->resume_token;
}

/* --- a run --- */

enum step { STEP_ON, STEP_AT_HEAD, STEP_HELD_BACK };

/* False: the account is no longer the one that the stream was opened for, or it could not be found out. */
static bool is_still_there(struct outgoing_stream *stream, int64_t upto, arena *memory)
{
    pg_params params;
    pg_result *result;
    error err;
    add_account(stream, &params, memory);
    pg_add_int8(&params, stream->there);
    pg_add_int8(&params, upto);
    if (!pg_pool_query(case_feed_pool(stream->outgoing->feed), &outgoing_deletion, &params,
                       clock_monotonic_us() + READ_TIMEOUT_US, &result, &err))
        return false; /* the feed's watcher comes by again */
    bool deleted = pg_rows(result) > 0;
    pg_result_free(result);
    if (deleted) {
        error_set(&err, STATUS_NOT_FOUND, "NOT_FOUND", "the account was deleted");
        case_feed_call_fail(&stream->base, &err);
        return false;
    }
    stream->there = upto;
    stream->looked_us = clock_monotonic_us();
    return true;
}

/* Before anything is given, and once a second while there is nothing to give. */
static bool may_go_on(struct outgoing_stream *stream, arena *memory)
{
    int64_t head = case_feed_head(stream->base.reader.feed, feed_partition(stream->account));
    return head <= stream->there || clock_monotonic_us() < stream->looked_us + LOOK_US ||
           is_still_there(stream, head, memory);
}

static enum step write_messages(struct outgoing_stream *stream, const struct outgoing_read *read)
{
    for (int row = 0; row < pg_rows(read->messages); row++) {
        Casework__Cases__V1__StreamOutgoingResponse response;
        int64_t position = pg_get_int(read->messages, row, MESSAGE_COLUMN_COUNT);
        if (!fill_response(stream, read, row, position, &response))
            return row > 0 ? STEP_ON : STEP_HELD_BACK;
        atomic_store(&stream->full, true);
        if (rpc_call_write(stream->base.call, &response.base) != RPC_WRITE_OK) {
            if (stream->stalled_us == 0)
                stream->stalled_us = clock_monotonic_us();
            return STEP_HELD_BACK;
        }
        atomic_store(&stream->full, false);
        stream->stalled_us = 0;
        stream->after = position;
    }
    return STEP_ON;
}

static enum step next_messages(struct outgoing_stream *stream, arena *memory)
{
    int64_t head = case_feed_head(stream->base.reader.feed, feed_partition(stream->account));
    if (head <= stream->seen)
        return STEP_AT_HEAD;
    struct outgoing_read read = {.memory = memory, .deadline_us = clock_monotonic_us() + READ_TIMEOUT_US};
    error err;
    enum step step = STEP_HELD_BACK; /* the feed's watcher comes by again */
    if (!read_queue(stream, head, &read, &err)) {
        log_warn("outgoing messages cannot be read", LOG_TEXT("error", err.message),
                 LOG_TEXT("detail", err.detail));
    } else if (pg_rows(read.messages) == 0) {
        stream->seen = head;
        step = STEP_ON; /* the head may have moved meanwhile */
    } else if (head <= stream->there || is_still_there(stream, head, memory)) {
        step = write_messages(stream, &read);
    }
    pg_result_free(read.messages);
    pg_result_free(read.cases);
    return step;
}

/* Nothing more goes out before the reader takes something; it may let us wait only so long. */
static bool is_held_back(struct outgoing_stream *stream)
{
    if (!atomic_load(&stream->full))
        return false;
    if (clock_monotonic_us() - stream->stalled_us < stream->outgoing->patience_us)
        return true;
    error err = {0};
    error_set(&err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
              "the reader has taken nothing for too long: resume with the last token");
    case_feed_call_fail(&stream->base, &err);
    return true;
}

static void run(struct case_feed_reader *reader)
{
    struct outgoing_stream *stream = (struct outgoing_stream *)reader;
    if (case_feed_call_is_over(&stream->base))
        return;
    if (stream->generation != case_feed_generation(reader->feed)) {
        error err = {0};
        epoch_changed(&err);
        case_feed_call_fail(&stream->base, &err);
        return;
    }
    if (is_held_back(stream))
        return;
    arena *memory = arena_new(READ_MEMORY_MAX);
    int reads = 0;
    bool goes_on = memory && may_go_on(stream, memory);
    while (goes_on && reads < READS_A_RUN && next_messages(stream, memory) == STEP_ON) {
        reads++;
        arena_clear(memory);
    }
    arena_free(memory);
    if (reads == READS_A_RUN)
        case_feed_wake(reader);
}

/* --- the call --- */

/* "accounts/acme/channels/mail", or "…/channels/-" for all of them. */
static bool parent_take(arena *memory, const char *parent, const char **ret_account, const char **ret_channel,
                        error *err)
{
    static const char wildcard[] = "/channels/" ALL_CHANNELS;
    size_t length = strlen(parent), tail = strlen(wildcard);
    if (length < tail || strcmp(parent + length - tail, wildcard) != 0)
        return rpc_name_member(memory, "channels", parent, "parent", ret_account, ret_channel, err);
    const char *account = arena_strndup(memory, parent, length - tail);
    *ret_channel = ALL_CHANNELS;
    return account && rpc_name_account(memory, account, "parent", ret_account, err);
}

static bool check_parent(struct outgoing_stream *stream, arena *memory, const char *parent, error *err)
{
    pg_params params;
    pg_result *result;
    add_account(stream, &params, memory);
    pg_add_text(&params, stream->channel);
    if (!pg_pool_query(case_feed_pool(stream->outgoing->feed), &outgoing_parent, &params,
                       clock_monotonic_us() + READ_TIMEOUT_US, &result, err))
        return false;
    bool found = pg_rows(result) > 0;
    if (found) {
        stream->there = pg_get_int(result, 0, 0);
        stream->account_begin = pg_get_int(result, 0, 1);
    }
    pg_result_free(result);
    return found || rpc_error_not_found(err, parent);
}

static bool stream_fill(struct outgoing_stream *stream, rpc_call *call,
                        const Casework__Cases__V1__StreamOutgoingRequest *request, error *err)
{
    arena *memory = rpc_call_arena(call);
    case_feed *feed = stream->outgoing->feed;
    const char *account, *channel;
    if (rpc_call_caller(call)->agent[0] != '\0')
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED", "an agent delivers no messages");
    if (!parent_take(memory, request->parent, &account, &channel, err))
        return false;
    strncpy(stream->account, account, sizeof stream->account - 1);
    strncpy(stream->channel, channel, sizeof stream->channel - 1);
    if (!check_parent(stream, memory, request->parent, err))
        return false;
    stream->generation = case_feed_generation(feed);
    case_feed_epoch(feed, stream->epoch);
    return request->resume_token[0] == '\0' || open_token(stream, memory, request->resume_token, err);
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const struct case_outgoing *outgoing = context;
    struct outgoing_stream *stream = calloc(1, sizeof *stream);
    error err = {0};
    if (!stream) {
        rpc_call_fail_memory(call);
        return;
    }
    stream->outgoing = outgoing;
    if (!stream_fill(stream, call, (const void *)message, &err)) {
        rpc_call_fail(call, &err);
        free(stream);
        return;
    }
    case_feed_call_begin(&stream->base, call, outgoing->feed, run);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    struct outgoing_stream *stream = rpc_call_state(call);
    if (!stream)
        return;
    atomic_store(&stream->full, false);
    case_feed_wake(&stream->base.reader);
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    case_feed_call_done(call);
}

static const struct rpc_stream_handlers outgoing_handlers = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};

const struct rpc_method case_outgoing_methods[] = {
    {.service = &casework__cases__v1__connector_service__descriptor,
     .name = "StreamOutgoing",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .endless = true,
     .stream = &outgoing_handlers},
    {0},
};
