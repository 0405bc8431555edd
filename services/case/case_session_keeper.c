/*
 * Leases. One row a partition says that this replica is there, for all sessions it serves in it; one look
 * finds the sessions whose time is over, whoever served them. Both are one round trip every SESSION_BEAT_US.
 */

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "case/case_session_hub.h"
#include "case/case_store_session.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_US (2 * CLOCK_SECOND)
#define LOOK_AROUND_EVERY_US CLOCK_MINUTE
#define LOOK_AT_STREAMS_EVERY_US CLOCK_SECOND

/*
 * Who has just come back, or was stopped, knows nothing of others: they get this long to say that they are
 * there before their sessions are taken.
 */
#define SETTLING_US (2 * SESSION_HOST_LEASE_US)

enum { EXPIRED_MAX = 500, MEMORY_MAX = 16 << 20 };

/* Rows that a lane is writing are left for the next time: nobody waits for anybody here. */
static const struct pg_statement beat = {
    .name = "session_beat",
    .sql = "UPDATE session_hosts h SET seen_time = clock_timestamp() WHERE h.host = $2::text"
           " AND h.partition IN (SELECT t.partition FROM session_hosts t"
           " WHERE t.partition = ANY ($1::int2[]) AND t.host = $2::text FOR NO KEY UPDATE SKIP LOCKED)"
           " RETURNING h.partition, h.losses",
};

static const struct pg_statement expired_alone = {
    .name = "session_expired_alone",
    .sql = "SELECT account, session FROM sessions WHERE host = '' AND expire_time <= clock_timestamp()"
           " ORDER BY expire_time LIMIT $1::int8",
};

/* The lane looks again, behind the partition's lock. */
static const struct pg_statement expired_with_host = {
    .name = "session_expired_with_host",
    .sql = "SELECT s.account, s.session FROM session_hosts h"
           " JOIN sessions s ON s.partition = h.partition AND s.host = h.host"
           " JOIN accounts a ON a.partition = s.partition AND a.account = s.account"
           " WHERE h.seen_time < clock_timestamp() - " SESSION_HOST_LEASE_SQL " AND s.host <> ''"
           " AND h.seen_time + " SESSION_HOST_LEASE_SQL
           " + greatest(a.session_grace, s.grace) * interval '1 microsecond' <= clock_timestamp()"
           " LIMIT $1::int8",
};

/* Later than any grace time. */
static const struct pg_statement purge_hosts = {
    .name = "session_purge_hosts",
    .sql = "DELETE FROM session_hosts h WHERE h.seen_time < clock_timestamp() - interval '1 day'"
           " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.partition = h.partition AND s.host = h.host)",
};

/*
 * Sessions that are this replica's by the books, and have been for longer than any command takes: one whose
 * attaching had an unknown outcome may be among them that nobody knows here.
 */
static const struct pg_statement own_by_the_books = {
    .name = "session_own",
    .sql = "SELECT partition, account, session, stream FROM sessions WHERE partition = ANY ($1::int2[])"
           " AND host = $2::text AND expire_time < clock_timestamp() - interval '2 minutes'",
};

/* $1 to $3: sessions that this replica believes to have in one partition. Those of a deleted account are
 * over, whatever is left of them. */
static const struct pg_statement still_there = {
    .name = "session_still_there",
    .sql = "SELECT k.session, coalesce(s.host, ''), coalesce(s.stream, 0), a.account IS NOT NULL"
           " FROM unnest($2::text[], $3::text[]) AS k(account, session)"
           " LEFT JOIN LATERAL (SELECT account FROM accounts t WHERE t.partition = $1::int2"
           " AND t.account = k.account LIMIT 1) a ON true"
           " LEFT JOIN LATERAL (SELECT host, stream FROM sessions t WHERE t.partition = $1::int2"
           " AND t.account = a.account AND t.session = k.session LIMIT 1) s ON true",
};

struct keeper {
    struct case_sessions *hub;
    pg_conn *conn;
    arena *memory;
    bool failing;
    int64_t last_us, steady_since_us, looked_us, streams_us;
};

static bool connect(struct keeper *k, error *err)
{
    if (k->conn && pg_conn_usable(k->conn))
        return true;
    struct pg_options options = k->hub->connection;
    options.statement_timeout_us = options.connect_timeout_us = TIMEOUT_US;
    pg_conn_close(k->conn);
    k->conn = NULL;
    return pg_conn_open(&options, &k->conn, err);
}

/* --- what was taken away ----------------------------------------------------------------------------------
 */

static void lose(struct session *session, bool is_over)
{
    for (struct session_tab *tab = session->tabs; is_over && tab; tab = tab->next_of_session) {
        if (tab->holds)
            session_tell_lost(tab, CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_EXPIRED);
    }
    for (struct session_tab *tab = session->tabs; is_over && tab; tab = tab->next_of_session)
        hub_tell_presence(session->hub, session->partition, session->account, tab->of->id, session->id,
                          session->agent, 0);
    session->released = true;
    hub_unregister(session);
    if (is_over)
        session_fail(session, STATUS_ABORTED, "SESSION_OVER", "the session is over");
    else
        session_fail(session, STATUS_ABORTED, "SESSION_RESUMED", "the session goes on with another stream");
}

/* Sessions that came after `asked_us` are not judged by what was read then. */
static void compare(struct case_sessions *hub, int partition, const pg_result *there, int64_t asked_us)
{
    for (int row = 0; row < pg_rows(there); row++) {
        const char *id = pg_get_text(there, row, 0), *host = pg_get_text(there, row, 1);
        int64_t stream = pg_get_int(there, row, 2);
        struct session *session = hub->partitions[partition].sessions;
        while (session && strcmp(session->id, id) != 0)
            session = session->next;
        bool is_own = session && strcmp(host, hub->host) == 0 && stream == session->stream;
        if (!session || is_own || session->registered_us >= asked_us)
            continue;
        bool has_account = pg_get_bool(there, row, 3), is_over = stream == 0;
        if (has_account && is_over && session->giving_back == ALL_CASES)
            continue; /* by its own client, who is about to hear so */
        if (has_account)
            lose(session, is_over);
        else
            session_end_with_account(session);
    }
}

static bool look_for_losses(struct keeper *k, int partition, error *err)
{
    struct case_sessions *hub = k->hub;
    pg_params params;
    pg_result *there;
    int64_t asked_us = clock_monotonic_us();
    pg_params_init(&params, k->memory);
    pg_add_int2(&params, partition);
    pg_array *accounts = pg_add_array(&params, PG_TEXT), *sessions = pg_add_array(&params, PG_TEXT);
    pthread_mutex_lock(&hub->lock);
    for (const struct session *s = hub->partitions[partition].sessions; s; s = s->next) {
        pg_put_text(accounts, s->account);
        pg_put_text(sessions, s->id);
    }
    pthread_mutex_unlock(&hub->lock);
    if (!pg_query(k->conn, &still_there, &params, clock_monotonic_us() + TIMEOUT_US, &there, err))
        return false;
    pthread_mutex_lock(&hub->lock);
    compare(hub, partition, there, asked_us);
    pthread_mutex_unlock(&hub->lock);
    pg_result_free(there);
    return true;
}

/* --- one round --------------------------------------------------------------------------------------------
 */

static bool take_beats(struct keeper *k, const pg_result *beats, int64_t asked_us, error *err)
{
    struct case_sessions *hub = k->hub;
    for (int row = 0; row < pg_rows(beats); row++) {
        int p = (int)pg_get_int(beats, row, 0);
        int64_t losses = pg_get_int(beats, row, 1);
        struct hub_partition *partition = &hub->partitions[p];
        pthread_mutex_lock(&hub->lock);
        bool lost = losses != partition->losses;
        if (!lost)
            partition->beat_us = asked_us;
        pthread_mutex_unlock(&hub->lock);
        if (!lost)
            continue;
        if (!look_for_losses(k, p, err))
            return false;
        pthread_mutex_lock(&hub->lock);
        partition->losses = losses;
        partition->beat_us = asked_us;
        pthread_mutex_unlock(&hub->lock);
    }
    return true;
}

/* Partitions in which sessions are served here. */
static bool partitions_served(struct case_sessions *hub, pg_array *partitions)
{
    bool any = false;
    pthread_mutex_lock(&hub->lock);
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        if (hub->partitions[p].session_count == 0)
            continue;
        pg_put_int(partitions, p);
        any = true;
    }
    pthread_mutex_unlock(&hub->lock);
    return any;
}

static bool find_orphans(struct keeper *k, const pg_params *served, error *err)
{
    struct case_sessions *hub = k->hub;
    pg_result *books;
    if (!pg_query(k->conn, &own_by_the_books, served, clock_monotonic_us() + TIMEOUT_US, &books, err))
        return false;
    pthread_mutex_lock(&hub->lock);
    for (int row = 0; row < pg_rows(books); row++) {
        const char *account = pg_get_text(books, row, 1), *id = pg_get_text(books, row, 2);
        if (!hub_find_session(hub, (int)pg_get_int(books, row, 0), account, id))
            hub_detach_orphan(hub, account, id, pg_get_int(books, row, 3));
    }
    pthread_mutex_unlock(&hub->lock);
    pg_result_free(books);
    return true;
}

/* Now and then, what should not be needed: the books are compared with what is served here, both ways. */
static bool look_around(struct keeper *k, error *err)
{
    struct case_sessions *hub = k->hub;
    pg_params served;
    pg_params_init(&served, k->memory);
    bool any = partitions_served(hub, pg_add_array(&served, PG_INT2));
    pg_add_text(&served, hub->host);
    if (any && !find_orphans(k, &served, err))
        return false;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        pthread_mutex_lock(&hub->lock);
        bool serves = hub->partitions[p].session_count > 0;
        pthread_mutex_unlock(&hub->lock);
        if (serves && !look_for_losses(k, p, err))
            return false;
    }
    return pg_query(k->conn, &purge_hosts, NULL, clock_monotonic_us() + TIMEOUT_US, NULL, err);
}

static bool send_round(struct keeper *k, bool look, bool takes, pg_result **results, size_t *ret_count,
                       bool *ret_beats, error *err)
{
    pg_params served, limit;
    pg_params_init(&served, k->memory);
    pg_params_init(&limit, k->memory);
    *ret_beats = partitions_served(k->hub, pg_add_array(&served, PG_INT2));
    pg_add_text(&served, k->hub->host);
    pg_add_int8(&limit, EXPIRED_MAX);
    if ((*ret_beats && !pg_send(k->conn, &beat, &served, err)) ||
        (look && !pg_send(k->conn, &expired_alone, &limit, err)) ||
        (takes && !pg_send(k->conn, &expired_with_host, &limit, err)))
        return false;
    *ret_count = (size_t)*ret_beats + (size_t)look + (size_t)takes;
    return *ret_count == 0 ||
           pg_receive_all(k->conn, clock_monotonic_us() + TIMEOUT_US, results, *ret_count, err);
}

static bool run_round(struct keeper *k, error *err)
{
    pg_result *results[3] = {NULL};
    size_t count = 0;
    bool beats = false;
    int64_t now = clock_monotonic_us();
    bool look = atomic_load(&k->hub->expiring) == 0;
    bool takes = look && now - k->steady_since_us >= SETTLING_US;
    if (!connect(k, err) || !send_round(k, look, takes, results, &count, &beats, err))
        return false;
    bool good = !beats || take_beats(k, results[0], now, err);
    for (size_t i = beats ? 1 : 0; i < count; i++) {
        for (int row = 0; row < pg_rows(results[i]); row++)
            hub_expire(k->hub, pg_get_text(results[i], row, 0), pg_get_text(results[i], row, 1));
    }
    for (size_t i = 0; i < count; i++)
        pg_result_free(results[i]);
    if (!good || now - k->looked_us < LOOK_AROUND_EVERY_US)
        return good;
    k->looked_us = now;
    return look_around(k, err);
}

/* Those that could not be handed in when their streams ended. */
static void detach_again(struct case_sessions *hub)
{
    pthread_mutex_lock(&hub->lock);
    struct session *session = hub->detaching;
    hub->detaching = NULL;
    while (session) {
        struct session *next = session->next_detach;
        session->detach_due = false;
        session_detach(session);
        session_unref(session);
        session = next;
    }
    pthread_mutex_unlock(&hub->lock);
}

/*
 * Clients that do not read. One that is told that its stream ends and does not take that is let go all the
 * same: else it would keep its locks for as long as its connection lasts.
 */
static void look_after_streams(struct case_sessions *hub)
{
    pthread_mutex_lock(&hub->lock);
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        for (struct session *session = hub->partitions[p].sessions, *next; session; session = next) {
            next = session->next;
            if (!session->failed && rpc_call_write_waiting_us(session->call) >= hub->patience_us)
                session_fail_slow(session);
            if (session->failed)
                session_stream_over(session);
        }
    }
    hub->some_failed = false;
    pthread_mutex_unlock(&hub->lock);
}

static bool streams_due(struct keeper *k)
{
    pthread_mutex_lock(&k->hub->lock);
    bool some_failed = k->hub->some_failed;
    pthread_mutex_unlock(&k->hub->lock);
    if (!some_failed && k->last_us - k->streams_us < LOOK_AT_STREAMS_EVERY_US)
        return false;
    k->streams_us = k->last_us;
    return true;
}

static bool wait_for_next(struct case_sessions *hub, int64_t until_us)
{
    pthread_mutex_lock(&hub->lock);
    bool in_time = true;
    while (!hub->stopping && in_time)
        in_time = condition_wait_until(&hub->wake, &hub->lock, until_us);
    bool stopping = hub->stopping;
    pthread_mutex_unlock(&hub->lock);
    return !stopping;
}

static void *keep(void *argument)
{
    struct keeper k = {.hub = argument, .memory = arena_new(MEMORY_MAX)};
    k.last_us = k.steady_since_us = clock_monotonic_us();
    pthread_setname_np(pthread_self(), "sessions");
    while (k.memory && wait_for_next(k.hub, k.last_us + SESSION_BEAT_US)) {
        error err;
        int64_t now = clock_monotonic_us();
        bool was_away = now - k.last_us > SESSION_HOST_LEASE_US;
        k.last_us = now;
        arena_clear(k.memory);
        bool good = run_round(&k, &err);
        if (!good && !k.failing)
            log_warn("sessions cannot be kept", LOG_TEXT("error", err.message),
                     LOG_TEXT("detail", err.detail));
        if (!good || was_away)
            k.steady_since_us = clock_monotonic_us();
        k.failing = !good;
        detach_again(k.hub);
        if (streams_due(&k))
            look_after_streams(k.hub);
    }
    pg_conn_close(k.conn);
    arena_free(k.memory);
    return NULL;
}

bool hub_start_keeper(struct case_sessions *hub, error *err)
{
    if (pthread_create(&hub->keeper, NULL, keep, hub) != 0)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for sessions");
    hub->keeping = true;
    return true;
}

void hub_stop_keeper(struct case_sessions *hub)
{
    pthread_mutex_lock(&hub->lock);
    hub->stopping = true;
    pthread_cond_signal(&hub->wake);
    pthread_mutex_unlock(&hub->lock);
    if (hub->keeping)
        pthread_join(hub->keeper, NULL);
    hub->keeping = false;
}
