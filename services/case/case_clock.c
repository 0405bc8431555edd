#include "case/case_clock.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_SERVICE (&casework__testing__v1__clock_service__descriptor)

/* For a call that sets no deadline of its own, and for one settling of one peer. */
#define CALL_WAIT_US (10 * CLOCK_MINUTE)
#define SETTLE_WAIT_US (CLOCK_MINUTE)

enum {
    PEERS_MAX = 16,
    TARGET_MAX = 256,
    MEMORY_MAX = 1 << 20,
    PAUSE_MS = 5,
    ROUNDS_MAX = 1000,
    CONNECTIONS = 8, /* one moves, others wait for it or ask for the time */
};

/* One replica of a service. */
struct peer {
    const char *name;
    rpc_channel *channel;
};

struct case_clock {
    pg_pool *pool;
    struct peer peers[PEERS_MAX];
    size_t peer_count;
};

static const struct pg_statement clock_prepare_manual = {
    .name = "clock_prepare_manual",
    .sql = "UPDATE suite SET manual_time = coalesce(manual_time, $1::timestamptz, clock_timestamp())",
};

static const struct pg_statement clock_prepare_real = {
    .name = "clock_prepare_real",
    .sql = "UPDATE suite SET manual_time = NULL WHERE manual_time IS NOT NULL",
};

/* One mover at a time, whichever replica it asks; lost with the connection. The key is "cwclock". */
static const struct pg_statement clock_lock = {
    .name = "clock_lock",
    .sql = "SELECT pg_advisory_lock(28006000712213355)",
};

static const struct pg_statement clock_unlock = {
    .name = "clock_unlock",
    .sql = "SELECT pg_advisory_unlock_all()",
};

static const struct pg_statement clock_read = {
    .name = "clock_read",
    .sql = "SELECT manual_time FROM suite",
};

static const struct pg_statement clock_set = {
    .name = "clock_set",
    .sql = "UPDATE suite SET manual_time = greatest(manual_time, $1::timestamptz)",
};

static const struct pg_statement clock_heads = {
    .name = "clock_heads",
    .sql = "SELECT partition, head FROM partitions",
};

/* One move of the clock. */
struct move {
    case_clock *clock;
    pg_conn *conn;
    arena *memory; /* cleared at every step */
    int64_t deadline_us;
    int64_t now_us;
    bool moved; /* stored a time */
    const char *traceparent;
};

/* --- the stored time --- */

static bool take_time(pg_result *result, int64_t *ret_time_us, error *err)
{
    int64_t time_us = pg_get_time(result, 0, 0);
    pg_result_free(result);
    if (time_us == 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_MANUAL_CLOCK", "the clock is not a manual one");
    *ret_time_us = time_us;
    return true;
}

static bool read_time(struct move *move, error *err)
{
    pg_result *result;
    return pg_query(move->conn, &clock_read, NULL, move->deadline_us, &result, err) &&
           take_time(result, &move->now_us, err);
}

static bool store_time(struct move *move, int64_t time_us, error *err)
{
    pg_params params;
    pg_params_init(&params, move->memory);
    pg_add_time(&params, time_us);
    move->moved = true; /* perhaps even when the answer is lost */
    if (!pg_query(move->conn, &clock_set, &params, move->deadline_us, NULL, err))
        return false;
    move->now_us = time_us;
    return true;
}

bool case_clock_prepare(const struct pg_options *connection, bool manual, int64_t start_us, error *err)
{
    pg_conn *conn;
    if (!pg_conn_open(connection, &conn, err))
        return false;
    arena *memory = arena_new(MEMORY_MAX);
    bool done = false;
    if (!memory) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the clock");
    } else {
        pg_params params;
        pg_params_init(&params, memory);
        if (manual)
            pg_add_time(&params, start_us);
        done = pg_query(conn, manual ? &clock_prepare_manual : &clock_prepare_real, &params, 0, NULL, err);
    }
    arena_free(memory);
    pg_conn_close(conn);
    return done;
}

/* --- settling --- */

static bool read_heads(struct move *move, struct feed_positions *ret_heads, error *err)
{
    pg_result *result;
    if (!pg_query(move->conn, &clock_heads, NULL, move->deadline_us, &result, err))
        return false;
    for (int row = 0; row < pg_rows(result); row++)
        ret_heads->at[pg_get_int(result, row, 0) & (FEED_PARTITIONS - 1)] = pg_get_int(result, row, 1);
    pg_result_free(result);
    return true;
}

static bool settle_peer(struct move *move, const struct peer *peer, const struct feed_positions *heads,
                        int64_t *next_due_us, error *err)
{
    Casework__Testing__V1__SettleRequest request = CASEWORK__TESTING__V1__SETTLE_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition members[FEED_PARTITIONS], *list[FEED_PARTITIONS];
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        list[p] = &members[p];
        casework__cases__v1__partition_position__init(list[p]);
        list[p]->partition = p;
        list[p]->position = heads->at[p];
    }
    request.heads = list;
    request.n_heads = FEED_PARTITIONS;
    request.time = wire_timestamp(move->memory, move->now_us);
    int64_t left_us = move->deadline_us - clock_monotonic_us();
    if (left_us <= 0)
        return error_set(err, STATUS_DEADLINE_EXCEEDED, "NOT_SETTLED", "%s has not caught up in time",
                         peer->name);
    const struct rpc_client_options options = {
        .timeout_us = left_us < SETTLE_WAIT_US ? left_us : SETTLE_WAIT_US, .traceparent = move->traceparent};
    ProtobufCMessage *response;
    if (!rpc_client_call(peer->channel, CLOCK_SERVICE, "Settle", &request.base, &options, move->memory,
                         &response, err)) {
        error_add_detail(err, "settling %s: %s", peer->name, err->detail);
        return false;
    }
    int64_t due_us;
    const Casework__Testing__V1__SettleResponse *answer = (const void *)response;
    if (!answer->next_due_time)
        return true;
    if (!wire_time_us(answer->next_due_time, &due_us))
        return error_set(err, STATUS_INTERNAL, "BAD_TIME", "%s tells no time", peer->name);
    if (due_us < *next_due_us)
        *next_due_us = due_us;
    return true;
}

/*
 * Until everything due now is done and everybody knows of it: what one peer does (closing cases) is news to
 * the others, so all settle again as long as the feed moves. That ends within a few rounds, unless somebody
 * goes on writing.
 */
static bool settle(struct move *move, int64_t *ret_next_due_us, error *err)
{
    struct feed_positions before, after;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    if (!read_heads(move, &after, err))
        return false;
    int64_t next_due_us;
    int rounds = 0;
    do {
        if (rounds++ == ROUNDS_MAX)
            return error_set(err, STATUS_ABORTED, "NOT_SETTLED",
                             "something is written all the time: the clock stands where it has come to");
        before = after;
        next_due_us = INT64_MAX;
        for (size_t i = 0; i < move->clock->peer_count; i++) {
            arena_clear(move->memory);
            if (!settle_peer(move, &move->clock->peers[i], &before, &next_due_us, err))
                return false;
        }
        if (!read_heads(move, &after, err))
            return false;
    } while (memcmp(before.at, after.at, sizeof before.at) != 0);
    *ret_next_due_us = next_due_us;
    return true;
}

/* A peer says that something is still due: gives it a moment. */
static bool pause_for_due(const struct move *move, error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    if (clock_monotonic_us() >= move->deadline_us)
        return error_set(err, STATUS_DEADLINE_EXCEEDED, "NOT_SETTLED",
                         "not all that is due was done in time");
    nanosleep(&pause, NULL);
    return true;
}

static bool move_to(struct move *move, int64_t target_us, error *err)
{
    for (;;) {
        int64_t next_due_us;
        if (!settle(move, &next_due_us, err))
            return false;
        bool overdue = next_due_us <= move->now_us;
        if (overdue ? !pause_for_due(move, err)
                    : move->now_us < target_us &&
                          !store_time(move, next_due_us < target_us ? next_due_us : target_us, err))
            return false;
        if (!overdue && move->now_us == target_us && next_due_us > target_us)
            return settle(move, &next_due_us, err);
    }
}

/* --- the calls --- */

/* 9999-12-31T23:59:59.999999Z: no Timestamp is later. */
#define TIME_MAX_US INT64_C(253402300799999999)

/* Where a request wants the clock to go. */
typedef bool target_of(const ProtobufCMessage *request, int64_t now_us, int64_t *ret_target_us, error *err);

static bool target_time(const ProtobufCMessage *request, int64_t now_us, int64_t *ret_target_us, error *err)
{
    const Google__Protobuf__Timestamp *time = ((const Casework__Testing__V1__SetTimeRequest *)request)->time;
    int64_t target_us;
    if (!time || !wire_time_us(time, &target_us))
        return error_bad_field(err, "time", "is required, from year 1 to 9999");
    if (target_us < now_us)
        return error_set(err, STATUS_FAILED_PRECONDITION, "TIME_GOES_BACK", "the clock never goes back");
    *ret_target_us = target_us;
    return true;
}

static bool target_duration(const ProtobufCMessage *request, int64_t now_us, int64_t *ret_target_us,
                            error *err)
{
    const Google__Protobuf__Duration *given =
        ((const Casework__Testing__V1__AdvanceTimeRequest *)request)->duration;
    int64_t duration_us;
    if (!wire_duration_us(given, &duration_us))
        return error_bad_field(err, "duration", "is out of range");
    if (duration_us < 0)
        return error_bad_field(err, "duration", "must not be negative");
    if (duration_us > TIME_MAX_US - now_us)
        return error_bad_field(err, "duration", "is too large: the clock ends with the year 9999");
    *ret_target_us = now_us + duration_us;
    return true;
}

static bool move_with(struct move *move, const ProtobufCMessage *request, target_of *target, error *err)
{
    int64_t target_us;
    bool done = pg_query(move->conn, &clock_lock, NULL, move->deadline_us, NULL, err) &&
                read_time(move, err) && target(request, move->now_us, &target_us, err) &&
                move_to(move, target_us, err);
    /* Clients ask again what was UNAVAILABLE: what has gone half of the way would go it twice. */
    if (!done && move->moved && err->code == STATUS_UNAVAILABLE) {
        err->code = STATUS_ABORTED;
        err->retry_after_us = 0;
        snprintf(err->reason, sizeof err->reason, "NOT_SETTLED");
    }
    return done;
}

/* The connection that cannot even do that is closed by the pool, and the lock is gone with it. */
static void let_go(pg_pool *pool, pg_conn *conn)
{
    error err;
    if (conn && !pg_query(conn, &clock_unlock, NULL, 0, NULL, &err))
        log_debug("the clock's lock goes with its connection", LOG_TEXT("why", err.detail));
    pg_pool_release(pool, conn);
}

static bool move_clock(rpc_call *call, case_clock *clock, const ProtobufCMessage *request, target_of *target,
                       int64_t *ret_time_us, error *err)
{
    int64_t latest_us = clock_monotonic_us() + CALL_WAIT_US, deadline_us = rpc_call_deadline_us(call);
    struct move move = {.clock = clock,
                        .memory = arena_new(MEMORY_MAX),
                        .deadline_us = deadline_us < latest_us ? deadline_us : latest_us,
                        .traceparent = rpc_call_traceparent(call)};
    bool done = false;
    if (!move.memory)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory to move the clock");
    else if (pg_pool_acquire(clock->pool, move.deadline_us, &move.conn, err))
        done = move_with(&move, request, target, err);
    let_go(clock->pool, move.conn);
    arena_free(move.memory);
    if (done)
        *ret_time_us = move.now_us;
    return done;
}

static void handle_get(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request;
    case_clock *clock = context;
    Casework__Testing__V1__GetTimeResponse response = CASEWORK__TESTING__V1__GET_TIME_RESPONSE__INIT;
    pg_result *result;
    int64_t time_us = 0;
    error err;
    if (!pg_pool_query(clock->pool, &clock_read, NULL, 0, &result, &err) ||
        !take_time(result, &time_us, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.time = wire_timestamp(rpc_call_arena(call), time_us);
    rpc_call_reply(call, &response.base);
}

static void handle_set(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    Casework__Testing__V1__SetTimeResponse response = CASEWORK__TESTING__V1__SET_TIME_RESPONSE__INIT;
    int64_t time_us;
    error err;
    if (!move_clock(call, context, request, target_time, &time_us, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.time = wire_timestamp(rpc_call_arena(call), time_us);
    rpc_call_reply(call, &response.base);
}

static void handle_advance(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    Casework__Testing__V1__AdvanceTimeResponse response = CASEWORK__TESTING__V1__ADVANCE_TIME_RESPONSE__INIT;
    int64_t time_us;
    error err;
    if (!move_clock(call, context, request, target_duration, &time_us, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    response.time = wire_timestamp(rpc_call_arena(call), time_us);
    rpc_call_reply(call, &response.base);
}

static bool add_peer(case_clock *clock, const struct rpc_host *host, const char *name, const char *target,
                     error *err)
{
    if (clock->peer_count == PEERS_MAX)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_PEERS", "more than %d replicas",
                         PEERS_MAX);
    struct peer *peer = &clock->peers[clock->peer_count];
    if (!rpc_host_channel(host, target, &peer->channel, err))
        return false;
    peer->name = name;
    clock->peer_count++;
    return true;
}

/* A channel for each replica: a call that is balanced over them would reach only one. */
static bool add_replicas(case_clock *clock, const struct rpc_host *host, const struct case_clock_peer *peer,
                         error *err)
{
    static const char list[] = "ipv4:";
    if (strncmp(peer->target, list, sizeof list - 1) != 0)
        return !*peer->target || add_peer(clock, host, peer->name, peer->target, err);
    const char *address = peer->target + sizeof list - 1;
    while (*address) {
        char target[TARGET_MAX];
        size_t length = strcspn(address, ",");
        snprintf(target, sizeof target, "%s%.*s", list, (int)length, address);
        if (!add_peer(clock, host, peer->name, target, err))
            return false;
        address += length + (address[length] == ',');
    }
    return true;
}

bool case_clock_new(const struct pg_options *connection, const struct rpc_host *host,
                    const struct case_clock_peer *peers, size_t count, case_clock **ret_clock, error *err)
{
    case_clock *clock = calloc(1, sizeof *clock);
    if (!clock)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the clock");
    bool good = pg_pool_new(connection, CONNECTIONS, &clock->pool, err);
    for (size_t i = 0; i < count && good; i++)
        good = add_replicas(clock, host, &peers[i], err);
    if (!good) {
        case_clock_free(clock);
        return false;
    }
    *ret_clock = clock;
    return true;
}

void case_clock_free(case_clock *clock)
{
    if (!clock)
        return;
    for (size_t i = 0; i < clock->peer_count; i++)
        rpc_channel_free(clock->peers[i].channel);
    pg_pool_free(clock->pool);
    free(clock);
}

/* The time is no account's: without a resource only callers with rights to all accounts get in. */
const struct rpc_method case_clock_methods[] = {
    {.service = CLOCK_SERVICE,
     .name = "GetTime",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_SERVICE,
     .unary = handle_get},
    {.service = CLOCK_SERVICE,
     .name = "SetTime",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_SERVICE,
     .unary = handle_set},
    {.service = CLOCK_SERVICE,
     .name = "AdvanceTime",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_SERVICE,
     .unary = handle_advance},
    {0},
};
