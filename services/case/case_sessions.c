#include "base/condition.h"
#include "case/case_session_hub.h"

#include "base/clock.h"
#include "base/log.h"
#include "case/case_store_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

/* --- sessions ---------------------------------------------------------------------------------------------
 */

void session_ref(struct session *session)
{
    atomic_fetch_add(&session->references, 1);
}

static void drop_outgoing(struct session *session)
{
    for (struct outgoing *next; session->outgoing; session->outgoing = next) {
        next = session->outgoing->next;
        free(session->outgoing);
    }
    session->last_outgoing = &session->outgoing;
    session->outgoing_count = session->outgoing_bytes = 0;
}

void session_unref(struct session *session)
{
    if (atomic_fetch_sub(&session->references, 1) > 1)
        return;
    drop_outgoing(session);
    rpc_call_unref(session->call);
    free(session);
}

struct session *hub_find_session(struct case_sessions *hub, int partition, const char *account,
                                 const char *id)
{
    struct session *session = hub->partitions[partition].sessions;
    while (session && (strcmp(session->id, id) != 0 || strcmp(session->account, account) != 0))
        session = session->next;
    return session;
}

void hub_register(struct session *session)
{
    struct hub_partition *partition = &session->hub->partitions[session->partition];
    session->previous = NULL;
    session->next = partition->sessions;
    if (session->next)
        session->next->previous = session;
    partition->sessions = session;
    partition->session_count++;
    session->registered = true;
    metrics_gauge_add(session->hub->attached, 1);
    session->registered_us = clock_monotonic_us();
    /* The feed is followed while there is somebody to tell, so never once the server has drained. */
    if (session->hub->session_count++ == 0)
        case_feed_attach(session->hub->feed, &session->hub->reader);
}

void hub_unregister(struct session *session)
{
    struct hub_partition *partition = &session->hub->partitions[session->partition];
    if (!session->registered)
        return;
    for (struct session_tab *tab = session->tabs, *next; tab; tab = next) {
        next = tab->next_of_session;
        hub_close_tab(tab);
    }
    if (session->previous)
        session->previous->next = session->next;
    else
        partition->sessions = session->next;
    if (session->next)
        session->next->previous = session->previous;
    partition->session_count--;
    session->registered = false;
    metrics_gauge_add(session->hub->attached, -1);
    if (--session->hub->session_count == 0)
        case_feed_detach(&session->hub->reader);
}

/* --- cases and tabs ---------------------------------------------------------------------------------------
 */

static struct watched_case **case_slot(struct case_sessions *hub, int partition, const char *account,
                                       int64_t id)
{
    size_t hash = (size_t)XXH64(account, strlen(account), (uint64_t)id);
    struct watched_case **slot = &hub->partitions[partition].cases[hash % CASE_SLOTS];
    while (*slot && ((*slot)->id != id || strcmp((*slot)->account, account) != 0))
        slot = &(*slot)->next;
    return slot;
}

struct watched_case *hub_find_case(struct case_sessions *hub, int partition, const char *account, int64_t id)
{
    return *case_slot(hub, partition, account, id);
}

static struct watched_case *watch_case(const struct session *session, int64_t id)
{
    struct case_sessions *hub = session->hub;
    struct watched_case **slot = case_slot(hub, session->partition, session->account, id);
    struct watched_case *watched = *slot;
    if (watched)
        return watched;
    watched = calloc(1, sizeof *watched);
    if (!watched)
        return NULL;
    watched->partition = session->partition;
    watched->id = id;
    snprintf(watched->account, sizeof watched->account, "%s", session->account);
    *slot = watched;
    hub->partitions[session->partition].case_count++;
    return watched;
}

static void forget_case(struct case_sessions *hub, struct watched_case *watched)
{
    struct watched_case **slot = case_slot(hub, watched->partition, watched->account, watched->id);
    *slot = watched->next;
    hub->partitions[watched->partition].case_count--;
    free(watched->viewers);
    free(watched);
}

struct session_tab *hub_find_tab(struct session *session, int64_t case_id)
{
    struct session_tab *tab = session->tabs;
    while (tab && tab->of->id != case_id)
        tab = tab->next_of_session;
    return tab;
}

/*
 * The feed is followed for cases that are watched. A case that was not watched when the followers passed its
 * place, or while they were reading beyond it, has to be read apart.
 */
static void place_tab(struct session_tab *tab, int64_t position, bool first_of_partition)
{
    struct case_sessions *hub = tab->session->hub;
    struct hub_partition *partition = &hub->partitions[tab->session->partition];
    tab->told_to = position;
    if (first_of_partition && partition->reading_to <= partition->cursor) {
        partition->cursor = position;
        return;
    }
    int64_t passed = partition->reading_to > partition->cursor ? partition->reading_to : partition->cursor;
    if (passed <= position)
        return;
    if (tab->behind_to == 0)
        hub->behind++;
    tab->behind_to = passed;
    case_feed_wake(&hub->reader);
}

struct session_tab *hub_open_tab(struct session *session, int64_t case_id, int64_t position)
{
    struct session_tab *tab = hub_find_tab(session, case_id);
    if (tab)
        return tab;
    bool first = session->hub->partitions[session->partition].case_count == 0;
    tab = calloc(1, sizeof *tab);
    struct watched_case *watched = tab ? watch_case(session, case_id) : NULL;
    if (!watched) {
        free(tab);
        return NULL;
    }
    tab->session = session;
    tab->of = watched;
    tab->next_of_case = watched->tabs;
    watched->tabs = tab;
    *session->last_tab = tab;
    session->last_tab = &tab->next_of_session;
    place_tab(tab, position, first);
    return tab;
}

void hub_close_tab(struct session_tab *tab)
{
    struct session *session = tab->session;
    struct session_tab **at = &session->tabs;
    while (*at != tab)
        at = &(*at)->next_of_session;
    *at = tab->next_of_session;
    if (session->last_tab == &tab->next_of_session)
        session->last_tab = at;
    for (at = &tab->of->tabs; *at != tab;)
        at = &(*at)->next_of_case;
    *at = tab->next_of_case;
    if (tab->behind_to)
        session->hub->behind--;
    if (!tab->of->tabs)
        forget_case(session->hub, tab->of);
    free(tab);
}

/* --- what is told -----------------------------------------------------------------------------------------
 */

char *session_case_name(const struct session *session, int64_t case_id, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "accounts/%s/cases/%lld", session->account, (long long)case_id);
    return name;
}

char *session_agent_name(const struct session *session, const char *agent, char name[NAME_SIZE])
{
    name[0] = '\0';
    if (agent[0])
        snprintf(name, NAME_SIZE, "accounts/%s/agents/%s", session->account, agent);
    return name;
}

void session_count_end(struct session *session, const char *reason)
{
    char label[64];
    if (session->counted || session->id[0] == '\0')
        return;
    session->counted = true;
    snprintf(label, sizeof label, "reason=\"%s\"", reason);
    metrics_add(metrics_counter_get("casework_case_session_streams_ended_total",
                                    "Streams of sessions that have ended, by why.", label),
                1);
    log_info("a session's stream has ended", LOG_TEXT("account", session->account),
             LOG_TEXT("agent", session->agent), LOG_TEXT("session", session->id), LOG_TEXT("reason", reason));
}

void session_fail_slow(struct session *session)
{
    session_fail(session, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
                 "the client reads too slowly; it may resume");
}

void session_fail(struct session *session, enum status_code code, const char *reason, const char *message)
{
    error err;
    error_set(&err, code, reason, "%s", message);
    session_end_stream(session, &err);
}

void session_end_stream(struct session *session, const error *err)
{
    drop_outgoing(session);
    session_count_end(session, err ? err->reason : "LOGGED_OUT");
    session->failed = true;
    if (session->registered)
        session->hub->some_failed = true;
    if (err)
        rpc_call_fail(session->call, err);
    else
        rpc_call_finish(session->call);
}

static bool queue_outgoing(struct session *session, const attach_response *response)
{
    size_t length = protobuf_c_message_get_packed_size(&response->base);
    if (session->outgoing_count == OUTGOING_MAX || session->outgoing_bytes + length > OUTGOING_BYTES)
        return false;
    struct outgoing *message = malloc(sizeof *message + length);
    if (!message)
        return false;
    message->next = NULL;
    message->length = length;
    protobuf_c_message_pack(&response->base, message->data);
    *session->last_outgoing = message;
    session->last_outgoing = &message->next;
    session->outgoing_count++;
    session->outgoing_bytes += length;
    return true;
}

void session_tell(struct session *session, const attach_response *response)
{
    if (session->over || session->failed)
        return;
    if (!session->outgoing && rpc_call_write(session->call, &response->base) != RPC_WRITE_FULL)
        return;
    if (!queue_outgoing(session, response))
        session_fail_slow(session);
}

void session_flush(struct session *session)
{
    while (session->outgoing) {
        struct outgoing *message = session->outgoing;
        if (rpc_call_write_packed(session->call, message->data, message->length) == RPC_WRITE_FULL)
            return;
        session->outgoing = message->next;
        session->outgoing_count--;
        session->outgoing_bytes -= message->length;
        free(message);
    }
    session->last_outgoing = &session->outgoing;
}

void session_end_with_account(struct session *session)
{
    session->released = true;
    hub_unregister(session);
    session_fail(session, STATUS_NOT_FOUND, "NOT_FOUND", "the account was deleted");
}

void hub_end_account(struct case_sessions *hub, int partition, const char *account, int64_t position)
{
    for (struct session *session = hub->partitions[partition].sessions, *next; session; session = next) {
        next = session->next;
        if (session->begun < position && strcmp(session->account, account) == 0)
            session_end_with_account(session);
    }
}

bool session_lease_holds(struct session *session)
{
    const struct hub_partition *partition = &session->hub->partitions[session->partition];
    int64_t since = session->attached_us > partition->beat_us ? session->attached_us : partition->beat_us;
    if (clock_monotonic_us() < since + SESSION_HOST_LEASE_US + session->grace_us)
        return true;
    session_fail(session, STATUS_UNAVAILABLE, "LEASE_LOST",
                 "the session may have passed to somebody else meanwhile; it can be resumed");
    return false;
}

/* --- the hub ----------------------------------------------------------------------------------------------
 */

static void reference(struct case_feed_reader *reader)
{
    (void)reader; /* the hub lives longer than the workers */
}

static bool name_host(char host[SESSION_ID_SIZE], error *err)
{
    unsigned char random[8];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set(err, STATUS_INTERNAL, "NO_RANDOM", "no random numbers");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(host + 2 * i, 3, "%02x", random[i]);
    return true;
}

static bool start(struct case_sessions *hub, const struct case_sessions_options *options, error *err)
{
    if (!name_host(hub->host, err))
        return false;
    if (options->redis_url[0] &&
        !case_presence_new(options->redis_url, hub->host, hub_hear_presence, hub, &hub->presence, err))
        return false;
    hub->reader.run = hub_run_news;
    hub->reader.ref = hub->reader.unref = reference;
    return hub_start_keeper(hub, err);
}

bool case_sessions_new(const struct case_sessions_options *options, case_sessions **ret_sessions, error *err)
{
    struct case_sessions *hub = calloc(1, sizeof *hub);
    if (!hub)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for sessions");
    hub->lanes = options->lanes;
    hub->feed = options->feed;
    hub->patience_us = options->patience_us;
    hub->attached = metrics_gauge_get("casework_case_sessions", "Sessions that have their stream here.", "");
    hub->connection = options->connection;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_mutex_init(&hub->run_lock, NULL);
    condition_init(&hub->wake);
    if (!start(hub, options, err)) {
        case_sessions_stop(hub);
        case_sessions_free(hub);
        return false;
    }
    *ret_sessions = hub;
    return true;
}

void case_sessions_stop(case_sessions *hub)
{
    if (!hub)
        return;
    hub_stop_keeper(hub);
    pthread_mutex_lock(&hub->lock);
    case_presence *presence = hub->presence;
    hub->presence = NULL;
    pthread_mutex_unlock(&hub->lock);
    case_presence_free(presence);
}

void case_sessions_free(case_sessions *hub)
{
    if (!hub)
        return;
    while (hub->detaching) {
        struct session *session = hub->detaching;
        hub->detaching = session->next_detach;
        session_unref(session);
    }
    pthread_cond_destroy(&hub->wake);
    pthread_mutex_destroy(&hub->run_lock);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}
