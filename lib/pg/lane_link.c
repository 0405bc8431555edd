#include "base/clock.h"
#include "base/log.h"
#include "pg/lane_internal.h"

#include <string.h>
#include <time.h>

/* How long a batch waits for a server that has just gone; later ones hear UNAVAILABLE after one try. */
#define RECONNECT_WAIT (2 * CLOCK_SECOND)
#define RETRY_FIRST (20 * CLOCK_SECOND / 1000)
#define RETRY_LAST (500 * CLOCK_SECOND / 1000)

static const struct pg_statement get_fate = {
    .name = "get_fate",
    .sql = "SELECT pg_xact_status($1::xid8)",
};

void pg_lane_link_close(struct pg_lane_link *link)
{
    pg_conn_close(link->conn);
    link->conn = NULL;
}

static bool connect_once(struct pg_lane_link *link, error *err)
{
    pg_lane_link_close(link);
    return pg_conn_open_planned(&link->options->connection, &link->conn, err);
}

static void note_down(struct pg_lane_link *link, int64_t now, const error *err)
{
    int64_t up = 0;
    if (atomic_compare_exchange_strong(link->down_since, &up, now))
        log_warn("no connection to the database", LOG_NUMBER("lane", link->lane),
                 LOG_TEXT("error", err->detail));
}

/* Tries until `until`, at least once. */
static bool connect_until(struct pg_lane_link *link, int64_t until, error *err)
{
    int64_t pause = RETRY_FIRST;
    while (!connect_once(link, err)) {
        int64_t now = clock_monotonic_us();
        note_down(link, now, err);
        if (now + pause >= until)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000}, NULL);
        pause = pause * 2 < RETRY_LAST ? pause * 2 : RETRY_LAST;
    }
    if (atomic_exchange(link->down_since, 0))
        log_info("connected to the database again", LOG_NUMBER("lane", link->lane));
    return true;
}

bool pg_lane_link_ensure(struct pg_lane_link *link, error *err)
{
    if (pg_conn_usable(link->conn))
        return true;
    int64_t since = *link->down_since;
    return connect_until(link, (since ? since : clock_monotonic_us()) + RECONNECT_WAIT, err);
}

/* --- a commit whose answer was lost --- */

enum fate { FATE_COMMITTED, FATE_ABORTED, FATE_IN_PROGRESS, FATE_UNKNOWN };

static enum fate ask_fate(struct pg_lane_link *link, const pg_batch *batch, error *err)
{
    pg_params p;
    pg_result *result;
    pg_params_init(&p, batch->memory);
    pg_add_int8(&p, batch->xid); /* xid8 travels like int8 */
    if (!pg_query(link->conn, &get_fate, &p, 0, &result, err)) {
        if (!pg_conn_usable(link->conn))
            return FATE_IN_PROGRESS;
        /* 22023: "in the future". A crash lost the id itself: nothing of it was ever durable. */
        return strstr(err->detail, "22023") ? FATE_ABORTED : FATE_UNKNOWN;
    }
    const char *status = pg_get_text(result, 0, 0);
    enum fate fate = strcmp(status, "committed") == 0     ? FATE_COMMITTED
                     : strcmp(status, "aborted") == 0     ? FATE_ABORTED
                     : strcmp(status, "in progress") == 0 ? FATE_IN_PROGRESS
                                                          : FATE_UNKNOWN;
    pg_result_free(result);
    return fate;
}

/* Whose is a committed transaction of our id after a crash? Ours for sure if a partition still carries our
 * mark. */
static enum fate check_mark(struct pg_lane_link *link, const pg_batch *batch, error *err)
{
    pg_params p;
    pg_result *result;
    const struct pg_statement *statement = link->mark;
    pg_params_init(&p, batch->memory);
    pg_batch_add_partitions(batch, &p);
    if (!statement || !pg_query(link->conn, statement, &p, 0, &result, err))
        return FATE_UNKNOWN;
    bool ours = false;
    for (int row = 0; row < pg_rows(result); row++)
        ours |= !pg_is_null(result, row, 0) && pg_get_int(result, row, 0) == batch->mark;
    pg_result_free(result);
    return ours ? FATE_COMMITTED : FATE_UNKNOWN;
}

/*
 * A transaction's id means something only in the history it was given in: not on another cluster, nor after a
 * standby was promoted. A crash takes back the ids of transactions of which nothing had reached the disk, and
 * the server gives them out again: an id that is unknown or aborted then is surely not committed, but one
 * that is committed may be another's.
 */
static enum fate find_fate(struct pg_lane_link *link, const pg_batch *batch, error *err)
{
    char origin[sizeof link->conn->origin], incarnation[sizeof link->conn->incarnation];
    int64_t until = clock_monotonic_us() + link->options->outcome_wait_us;
    memcpy(origin, link->conn->origin, sizeof origin);
    memcpy(incarnation, link->conn->incarnation, sizeof incarnation);
    for (;;) {
        if (!pg_conn_usable(link->conn) && !connect_until(link, until, err))
            return FATE_UNKNOWN;
        if (strcmp(origin, link->conn->origin) != 0)
            return FATE_UNKNOWN;
        enum fate fate = ask_fate(link, batch, err);
        if (fate == FATE_COMMITTED && strcmp(incarnation, link->conn->incarnation) != 0)
            return check_mark(link, batch, err);
        if (fate != FATE_IN_PROGRESS)
            return fate;
        if (clock_monotonic_us() >= until)
            return FATE_UNKNOWN;
        nanosleep(&(struct timespec){.tv_nsec = RETRY_FIRST * 1000}, NULL);
    }
}

enum pg_run pg_lane_link_resolve(struct pg_lane_link *link, const pg_batch *batch, error *err)
{
    enum fate fate = find_fate(link, batch, err);
    static const char *const names[] = {"committed", "aborted", "in progress", "unknown"};
    log_warn("connection lost at commit", LOG_NUMBER("lane", link->lane), LOG_NUMBER("xid", batch->xid),
             LOG_TEXT("fate", names[fate]));
    if (fate == FATE_COMMITTED)
        return PG_RUN_COMMITTED;
    if (fate == FATE_ABORTED)
        return PG_RUN_LOST;
    error_set(err, STATUS_UNKNOWN, "OUTCOME_UNKNOWN",
              "the connection was lost and the outcome cannot be found out");
    return PG_RUN_LOST_AT_COMMIT;
}
