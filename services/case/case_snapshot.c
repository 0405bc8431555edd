/*
 * StreamSnapshot. Each partition is read in one REPEATABLE READ transaction: its head, its accounts and its
 * cases are of one moment. A thread of its own reads, since it has to wait for its client.
 */

#include "base/clock.h"
#include "base/condition.h"
#include "case/case_event.h"
#include "case/case_feed_stream.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/page.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SNAPSHOTS_MAX = 4, BATCH_ROWS = 250, BATCH_BYTES_MAX = 32 << 20 };

/* A client that takes nothing for that long keeps a transaction open for nothing. */
#define CLIENT_WAIT_US (60 * CLOCK_SECOND)

struct snapshot {
    rpc_call *call;
    case_feed *feed;
    char account[64]; /* "": all */
    bool wanted[FEED_PARTITIONS];
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    int references; /* the call's and the thread's */
    bool writable, over;
};

static _Atomic int snapshots_running;

static const struct pg_statement snapshot_isolate = {
    .name = "snapshot_isolate",
    .sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
};

static const struct pg_statement snapshot_head = {
    .name = "snapshot_head",
    .sql = "SELECT p.head, s.epoch FROM partitions p CROSS JOIN suite s WHERE p.partition = $1::int2",
};

/* $2: one account or ''; $3: the key to go on behind. */
static const struct pg_statement snapshot_accounts = {
    .name = "snapshot_accounts",
    .sql = "SELECT " ACCOUNT_COLUMNS
           " FROM accounts a WHERE a.partition = $1::int2 AND ($2::text = '' OR a.account = $2)"
           " AND a.account > $3::text ORDER BY a.account LIMIT $4::int4",
};

#define EXISTING "NOT " ACCOUNT_IS_BEING_DELETED("c")

/* $3, $4: likewise. */
static const struct pg_statement snapshot_cases = {
    .name = "snapshot_cases",
    .sql =
        "SELECT " CASE_COLUMNS
        ", h.network, h.address FROM cases c LEFT JOIN LATERAL (SELECT network, address"
        " FROM channels WHERE partition = $1::int2 AND account = c.account AND channel = c.channel LIMIT 1) h"
        " ON true WHERE c.partition = $1 AND " EXISTING
        " AND ($2::text = '' OR c.account = $2) AND (c.account, c.id) > ($3::text, $4::int8)"
        " ORDER BY c.account, c.id LIMIT $5::int4",
};

static void snapshot_unref(struct snapshot *snapshot)
{
    pthread_mutex_lock(&snapshot->lock);
    bool last = --snapshot->references == 0;
    pthread_mutex_unlock(&snapshot->lock);
    if (!last)
        return;
    pthread_cond_destroy(&snapshot->changed);
    pthread_mutex_destroy(&snapshot->lock);
    rpc_call_unref(snapshot->call);
    free(snapshot);
}

/* --- writing --- */

static bool gone(error *err)
{
    return error_set(err, STATUS_CANCELLED, "CANCELLED", "the client is gone");
}

/* Waits until there is room. False: the client is gone, or takes nothing. */
static bool wait_writable(struct snapshot *snapshot, error *err)
{
    int64_t until = clock_monotonic_us() + CLIENT_WAIT_US;
    bool in_time = true;
    pthread_mutex_lock(&snapshot->lock);
    while (!snapshot->writable && !snapshot->over && in_time)
        in_time = condition_wait_until(&snapshot->changed, &snapshot->lock, until);
    bool writable = snapshot->writable, over = snapshot->over;
    snapshot->writable = false;
    pthread_mutex_unlock(&snapshot->lock);
    if (over)
        return gone(err);
    return writable ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER", "the snapshot was not read in time");
}

static bool write_part(struct snapshot *snapshot, const Casework__Cases__V1__StreamSnapshotResponse *part,
                       error *err)
{
    for (;;) {
        switch (rpc_call_write(snapshot->call, &part->base)) {
        case RPC_WRITE_OK:
            return true;
        case RPC_WRITE_FULL:
            if (!wait_writable(snapshot, err))
                return false;
            break;
        default:
            return gone(err);
        }
    }
}

/* --- reading one partition --- */

struct reading {
    struct snapshot *snapshot;
    pg_conn *conn;
    arena *memory; /* cleared with every batch */
    int partition;
    int64_t position;
    char epoch[FEED_EPOCH_SIZE];
    char after_account[64];
    int64_t after_case;
};

static void part_init(const struct reading *reading, Casework__Cases__V1__StreamSnapshotResponse *part)
{
    casework__cases__v1__stream_snapshot_response__init(part);
    part->partition = reading->partition;
    part->position = reading->position;
    part->epoch = (char *)(uintptr_t)reading->epoch;
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the snapshot");
}

static bool read_head(struct reading *reading, error *err)
{
    pg_params params;
    pg_params_init(&params, reading->memory);
    pg_add_int2(&params, reading->partition);
    pg_result *result;
    if (!pg_query(reading->conn, &snapshot_head, &params, 0, &result, err))
        return false;
    reading->position = pg_get_int(result, 0, 0);
    snprintf(reading->epoch, sizeof reading->epoch, "%s", pg_get_text(result, 0, 1));
    pg_result_free(result);
    return true;
}

static Casework__Cases__V1__SnapshotAccount *account_of(arena *memory, const pg_result *result, int row)
{
    struct account_record record;
    account_row_read(result, row, &record);
    Casework__Cases__V1__SnapshotAccount *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__snapshot_account__init(out);
    out->name = arena_printf(memory, "accounts/%s", record.id);
    out->facts = case_event_account_facts(memory, &record);
    return out->name && out->facts ? out : NULL;
}

static Casework__Cases__V1__SnapshotCase *case_of(arena *memory, const pg_result *result, int row,
                                                  struct case_record *record)
{
    error err;
    Casework__Cases__V1__SnapshotCase *out = arena_alloc(memory, sizeof *out);
    if (!out || !case_row_read(result, row, memory, record, &err))
        return NULL;
    record->network = pg_get_text(result, row, CASE_COLUMN_COUNT);
    record->channel_address = pg_get_text(result, row, CASE_COLUMN_COUNT + 1);
    casework__cases__v1__snapshot_case__init(out);
    out->name = case_wire_case_name(memory, record->account, record->id);
    out->facts = case_event_facts(memory, record);
    return out->name && out->facts ? out : NULL;
}

/* An account is small: all of a batch fit. */
static bool write_accounts(struct reading *reading, const pg_result *result, bool *ret_more, error *err)
{
    Casework__Cases__V1__StreamSnapshotResponse part;
    part_init(reading, &part);
    size_t count = (size_t)pg_rows(result);
    part.accounts = arena_calloc(reading->memory, count + 1, sizeof(void *));
    if (!part.accounts)
        return no_memory(err);
    for (; part.n_accounts < count; part.n_accounts++) {
        part.accounts[part.n_accounts] = account_of(reading->memory, result, (int)part.n_accounts);
        if (!part.accounts[part.n_accounts])
            return no_memory(err);
    }
    if (count > 0)
        snprintf(reading->after_account, sizeof reading->after_account, "%s",
                 pg_get_text(result, (int)count - 1, 1));
    *ret_more = count == BATCH_ROWS;
    return count == 0 || write_part(reading->snapshot, &part, err);
}

/* As many as there is room for: the rest is read again, for the next part. */
static bool write_cases(struct reading *reading, const pg_result *result, bool *ret_more, error *err)
{
    Casework__Cases__V1__StreamSnapshotResponse part;
    struct rpc_room room = {0};
    part_init(reading, &part);
    size_t count = (size_t)pg_rows(result);
    part.cases = arena_calloc(reading->memory, count + 1, sizeof(void *));
    if (!part.cases)
        return no_memory(err);
    for (size_t row = 0; row < count; row++) {
        struct case_record record;
        Casework__Cases__V1__SnapshotCase *next = case_of(reading->memory, result, (int)row, &record);
        if (!next)
            return no_memory(err);
        if (!rpc_room_take(&room, &next->base))
            break;
        part.cases[part.n_cases++] = next;
        snprintf(reading->after_account, sizeof reading->after_account, "%s", record.account);
        reading->after_case = record.id;
    }
    part.done = part.n_cases == count && count < BATCH_ROWS;
    *ret_more = !part.done;
    return write_part(reading->snapshot, &part, err);
}

/* Moves the key on behind what it has written; *ret_more: there may be more behind it. */
typedef bool write_batch(struct reading *reading, const pg_result *result, bool *ret_more, error *err);

/* Batch after batch of one table, by key. */
static bool read_table(struct reading *reading, const struct pg_statement *statement, bool by_case,
                       write_batch *write, error *err)
{
    *reading->after_account = '\0';
    reading->after_case = 0;
    for (;;) {
        arena_clear(reading->memory);
        pg_params params;
        pg_params_init(&params, reading->memory);
        pg_add_int2(&params, reading->partition);
        pg_add_text(&params, reading->snapshot->account);
        pg_add_text(&params, reading->after_account);
        if (by_case)
            pg_add_int8(&params, reading->after_case);
        pg_add_int4(&params, BATCH_ROWS);
        pg_result *result;
        if (!pg_query(reading->conn, statement, &params, 0, &result, err))
            return false;
        bool more = false;
        bool written = write(reading, result, &more, err);
        pg_result_free(result);
        if (!written || !more)
            return written;
    }
}

static bool read_partition(struct reading *reading, error *err)
{
    return pg_begin(reading->conn, 0, err) &&
           pg_query(reading->conn, &snapshot_isolate, NULL, 0, NULL, err) && read_head(reading, err) &&
           read_table(reading, &snapshot_accounts, false, write_accounts, err) &&
           read_table(reading, &snapshot_cases, true, write_cases, err) && pg_commit(reading->conn, 0, err);
}

static bool read_all(struct snapshot *snapshot, struct reading *reading, error *err)
{
    pg_pool *pool = case_feed_pool(snapshot->feed);
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (!snapshot->wanted[p])
            continue;
        if (!pg_pool_acquire(pool, 0, &reading->conn, err))
            return false;
        reading->partition = p;
        bool done = read_partition(reading, err);
        pg_pool_release(pool, reading->conn); /* rolls back what is open */
        if (!done)
            return false;
    }
    return true;
}

static void *read_snapshot(void *argument)
{
    struct snapshot *snapshot = argument;
    struct reading reading = {.snapshot = snapshot, .memory = arena_new(BATCH_BYTES_MAX)};
    error err;
    if (!reading.memory)
        rpc_call_fail_memory(snapshot->call);
    else if (read_all(snapshot, &reading, &err))
        rpc_call_finish(snapshot->call);
    else
        rpc_call_fail(snapshot->call, &err);
    arena_free(reading.memory);
    snapshot_unref(snapshot);
    atomic_fetch_sub(&snapshots_running, 1);
    return NULL;
}

void case_snapshots_join(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&snapshots_running) > 0)
        nanosleep(&pause, NULL);
}

/* --- the call --- */

static bool snapshot_fill(struct snapshot *snapshot,
                          const Casework__Cases__V1__StreamSnapshotRequest *request, error *err)
{
    const char *account;
    if (!feed_parent_take(snapshot->call, request->parent, &account, err) ||
        !feed_partitions_take(request->partitions, request->n_partitions, account, snapshot->wanted, err))
        return false;
    snprintf(snapshot->account, sizeof snapshot->account, "%s", account);
    return true;
}

static bool start_thread(struct snapshot *snapshot, error *err)
{
    if (atomic_fetch_add(&snapshots_running, 1) >= SNAPSHOTS_MAX) {
        atomic_fetch_sub(&snapshots_running, 1);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_SNAPSHOTS", "at most %d at a time",
                         SNAPSHOTS_MAX);
    }
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    snapshot->references++; /* nobody else knows of it yet */
    bool started = pthread_create(&thread, &attributes, read_snapshot, snapshot) == 0;
    pthread_attr_destroy(&attributes);
    if (started)
        return true;
    snapshot->references--;
    atomic_fetch_sub(&snapshots_running, 1);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the snapshot");
}

static struct snapshot *snapshot_new(rpc_call *call, case_feed *feed)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return NULL;
    snapshot->call = call;
    snapshot->feed = feed;
    snapshot->references = 1;
    pthread_mutex_init(&snapshot->lock, NULL);
    condition_init(&snapshot->changed);
    rpc_call_ref(call);
    return snapshot;
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct snapshot *snapshot = snapshot_new(call, context);
    error err;
    if (!snapshot) {
        rpc_call_fail_memory(call);
        return;
    }
    rpc_call_set_state(call, snapshot); /* on_done gives it up, whatever happens now */
    if (!snapshot_fill(snapshot, (const void *)message, &err) || !start_thread(snapshot, &err))
        rpc_call_fail(call, &err);
}

static void tell(rpc_call *call, bool over)
{
    struct snapshot *snapshot = rpc_call_state(call);
    if (!snapshot)
        return;
    pthread_mutex_lock(&snapshot->lock);
    snapshot->writable = true;
    snapshot->over = snapshot->over || over;
    pthread_cond_signal(&snapshot->changed);
    pthread_mutex_unlock(&snapshot->lock);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    tell(call, false);
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    tell(call, true);
    if (rpc_call_state(call))
        snapshot_unref(rpc_call_state(call));
}

const struct rpc_stream_handlers case_snapshot_handlers = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};
