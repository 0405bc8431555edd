#include "base/clock.h"
#include "base/injection.h"
#include "pg/lane_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* What every row of a lock statement begins with. */
enum { LOCK_PARTITION, LOCK_XID };

size_t pg_batch_count(const pg_batch *batch)
{
    return batch->count;
}

struct pg_command *pg_batch_command(const pg_batch *batch, size_t index)
{
    return batch->commands[index];
}

arena *pg_batch_memory(const pg_batch *batch)
{
    return batch->memory;
}

void pg_batch_set_state(pg_batch *batch, void *state)
{
    batch->state = state;
}

void *pg_batch_state(const pg_batch *batch)
{
    return batch->state;
}

int64_t pg_batch_mark(const pg_batch *batch)
{
    return batch->mark;
}

const pg_result *pg_batch_lock(const pg_batch *batch)
{
    return batch->lock;
}

const pg_result *pg_batch_result(const pg_batch *batch, size_t index)
{
    return index < batch->received ? batch->results[index] : NULL;
}

static bool misuse(error *err, const char *what)
{
    error_set(err, STATUS_INTERNAL, "BATCH", "internal error");
    error_add_detail(err, "%s", what);
    return false;
}

/* --- what the service queues --- */

bool pg_batch_read(pg_batch *batch, const struct pg_statement *statement, const pg_params *params,
                   size_t *ret_index, error *err)
{
    if (batch->phase == PG_BATCH_WRITE)
        return misuse(err, "a read after the first write");
    if (batch->reads == batch->result_size) {
        size_t size = batch->result_size ? batch->result_size * 2 : 16;
        pg_result **grown = realloc(batch->results, size * sizeof(pg_result *));
        if (!grown)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
        batch->results = grown;
        batch->result_size = size;
    }
    if (!pg_send(batch->conn, statement, params, err))
        return false;
    if (ret_index)
        *ret_index = batch->reads;
    batch->reads++;
    return true;
}

bool pg_batch_write(pg_batch *batch, const struct pg_statement *statement, const pg_params *params,
                    error *err)
{
    if (batch->phase == PG_BATCH_READ || batch->received != batch->reads)
        return misuse(err, "a write before the reads are back");
    batch->phase = PG_BATCH_WRITE;
    if (!pg_send(batch->conn, statement, params, err))
        return false;
    batch->writes++;
    return true;
}

static bool receive_reads(pg_batch *batch, error *err)
{
    while (batch->received < batch->reads) {
        PGresult *result;
        if (!pg_conn_receive(batch->conn, 0, &result, err))
            return false;
        batch->results[batch->received++] = (pg_result *)result;
    }
    return pg_conn_receive_sync(batch->conn, 0, err);
}

bool pg_batch_fetch(pg_batch *batch, error *err)
{
    if (batch->phase != PG_BATCH_DECIDE)
        return misuse(err, "a fetch outside of decide, or after a write");
    return pg_conn_queue_sync(batch->conn, err) && receive_reads(batch, err);
}

/* --- one run --- */

static void add_partition(pg_batch *batch, unsigned partition)
{
    if (batch->has[partition])
        return;
    batch->has[partition] = true;
    batch->partitions[batch->partition_count++] = partition;
}

static void clear_partitions(pg_batch *batch)
{
    for (size_t i = 0; i < batch->partition_count; i++)
        batch->has[batch->partitions[i]] = false;
    batch->partition_count = 0;
}

static void collect_partitions(pg_batch *batch)
{
    clear_partitions(batch);
    for (size_t i = 0; i < batch->count; i++)
        add_partition(batch, batch->commands[i]->partition);
}

void pg_batch_add_partitions(const pg_batch *batch, pg_params *params)
{
    pg_array *partitions = pg_add_array(params, PG_INT2);
    for (size_t i = 0; i < batch->partition_count; i++)
        pg_put_int(partitions, batch->partitions[i]);
}

static bool queue_opening(pg_batch *batch, const struct pg_lane_ops *ops, error *err)
{
    pg_params p;
    collect_partitions(batch);
    pg_params_init(&p, batch->memory);
    pg_batch_add_partitions(batch, &p);
    return pg_send(batch->conn, &pg_statement_begin, NULL, err) &&
           pg_send(batch->conn, batch->waits ? ops->lock : ops->lock_free, &p, err);
}

/* Moves the commands of partitions that were not got behind the others; both keep their order. */
static bool leave_out(pg_batch *batch, error *err)
{
    struct pg_command **others = arena_alloc(batch->memory, batch->count * sizeof(struct pg_command *));
    size_t kept = 0, left_out = 0;
    if (!others)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->has[batch->commands[i]->partition])
            batch->commands[kept++] = batch->commands[i];
        else
            others[left_out++] = batch->commands[i];
    }
    memcpy(batch->commands + kept, others, left_out * sizeof(struct pg_command *));
    batch->count = kept;
    batch->left_out = left_out;
    return true;
}

/* Goes by the lock statement's rows from now on. */
static bool take_partitions(pg_batch *batch, error *err)
{
    size_t asked = batch->partition_count;
    clear_partitions(batch);
    for (int row = 0; row < pg_rows(batch->lock); row++) {
        int64_t partition = pg_get_int(batch->lock, row, LOCK_PARTITION);
        if (partition < 0 || partition >= batch->partition_limit)
            return misuse(err, "the lock statement gave a partition that there is not");
        add_partition(batch, (unsigned)partition);
        batch->xid = pg_get_int(batch->lock, row, LOCK_XID);
    }
    if (batch->waits && batch->partition_count != asked)
        return misuse(err, "the lock statement gave no row for the partition it waited for");
    return batch->partition_count == asked || leave_out(batch, err);
}

static bool receive_lock(pg_batch *batch, error *err)
{
    PGresult *result;
    if (!pg_conn_receive(batch->conn, 0, &result, err)) {
        if (err->code == STATUS_DEADLINE_EXCEEDED && pg_conn_usable(batch->conn))
            err->code = STATUS_UNAVAILABLE; /* another writer holds the partition: nobody's own slowness */
        return false;
    }
    batch->lock = (pg_result *)result;
    return take_partitions(batch, err);
}

static bool receive_opening(pg_batch *batch, error *err)
{
    PGresult *result;
    if (!pg_conn_receive(batch->conn, 0, &result, err))
        return false;
    PQclear(result);
    return receive_lock(batch, err) && receive_reads(batch, err);
}

/*
 * Ends with a sync, not only a flush: between commands the server counts the time of a transaction as idle,
 * and takes the partitions from a process that stands still; in the middle of a pipeline it would wait for
 * ever.
 */
static bool open_and_decide(pg_batch *batch, const struct pg_lane_ops *ops, void *context, error *err)
{
    if (!queue_opening(batch, ops, err))
        return false;
    batch->started = true;
    if (!ops->read(context, batch, err) || !pg_conn_queue_sync(batch->conn, err) ||
        !receive_opening(batch, err))
        return false;
    batch->phase = PG_BATCH_DECIDE;
    return batch->count == 0 || ops->decide(context, batch, err);
}

/* From here on nobody but the server knows whether the transaction is committed, until COMMIT has come back.
 */
static bool commit(pg_batch *batch, error *err)
{
    PGresult *result;
    if (injection_point("pg_lane.before_commit"))
        pg_conn_cut(batch->conn);
    if (!pg_send(batch->conn, &pg_statement_commit, NULL, err) || !pg_conn_queue_sync(batch->conn, err))
        return false;
    if (injection_point("pg_lane.at_commit") && PQflush(batch->conn->pq) == 0)
        pg_conn_cut(batch->conn);
    for (size_t i = 0; i < batch->writes; i++) {
        if (!pg_conn_receive(batch->conn, 0, &result, err))
            return false;
        PQclear(result);
    }
    if (!pg_conn_receive(batch->conn, 0, &result, err))
        return false;
    bool committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    if (!committed)
        return misuse(err, "the server answered COMMIT with something else");
    error ignored;
    if (!pg_conn_receive_sync(batch->conn, 0, &ignored))
        batch->conn->lost = true; /* committed all the same */
    injection_point("pg_lane.after_commit");
    return true;
}

static enum pg_run failed(pg_batch *batch, enum pg_run when_lost, error *err)
{
    if (!pg_conn_usable(batch->conn))
        return when_lost;
    return pg_conn_reset(batch->conn, err) ? PG_RUN_FAILED : PG_RUN_LOST;
}

static int64_t new_mark(void)
{
    int64_t mark = 0;
    if (getrandom(&mark, sizeof mark, 0) != (ssize_t)sizeof mark)
        mark ^= clock_real_us() << 16 ^ getpid();
    return mark;
}

enum pg_run pg_batch_run(pg_batch *batch, const struct pg_lane_ops *ops, void *context, error *err)
{
    batch->phase = PG_BATCH_READ;
    batch->reads = batch->received = batch->writes = batch->left_out = 0;
    batch->xid = 0;
    batch->mark = new_mark();
    batch->state = NULL;
    for (size_t i = 0; i < batch->count; i++)
        batch->commands[i]->outcome.code = STATUS_OK;
    if (!open_and_decide(batch, ops, context, err))
        return failed(batch, PG_RUN_LOST, err);
    if (batch->writes == 0) {
        pg_rollback(batch->conn); /* if that loses the connection nothing was to be kept anyway */
        return PG_RUN_NOTHING;
    }
    if (!commit(batch, err))
        return failed(batch, PG_RUN_LOST_AT_COMMIT, err);
    return PG_RUN_COMMITTED;
}

void pg_batch_end(pg_batch *batch, const struct pg_lane_ops *ops, void *context, bool committed)
{
    if (batch->started && ops->finish)
        ops->finish(context, batch, committed);
    batch->started = false;
    batch->state = NULL;
}

void pg_batch_clear(pg_batch *batch)
{
    pg_result_free(batch->lock);
    batch->lock = NULL;
    for (size_t i = 0; i < batch->received; i++)
        pg_result_free(batch->results[i]);
    batch->reads = batch->received = 0;
    arena_clear(batch->memory);
}
