/*
 * What the tabs are told of their cases and locks: it comes from the feed, so that it is true, in order, and
 * the same on all replicas. A run reads what lies between the cursor of each partition and its head, of the
 * cases that are open here only.
 */

#include "base/clock.h"
#include "base/log.h"
#include "case/case_session_hub.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POSITIONS_MAX = 2000 /* of one partition, read at once */, MEMORY_MAX = 64 << 20, ROUNDS_MAX = 16 };

#define READ_TIMEOUT_US (10 * CLOCK_SECOND)

/*
 * $1 to $3: partitions and the places to read from (exclusive) and to; $4, $5: the cases. 19: an account was
 * deleted.
 */
static const struct pg_statement session_news = {
    .name = "session_news",
    .sql = "SELECT e.partition, e.account, e.case_id, e.position, e.data"
           " FROM unnest($1::int2[], $2::int8[], $3::int8[]) AS r(partition, after, upto)"
           " CROSS JOIN LATERAL (SELECT * FROM events WHERE events.partition = r.partition"
           " AND position > r.after AND position <= r.upto AND (case_id <> 0"
           " AND (account, case_id) IN (SELECT * FROM unnest($4::text[], $5::int8[]))"
           " OR case_id = 0 AND kind = 19)"
           " ORDER BY position OFFSET 0) e ORDER BY e.partition, e.position",
};

/* $1 to $5: cases and the places to read from and to. */
static const struct pg_statement case_news = {
    .name = "session_case_news",
    .sql = "SELECT e.partition, e.account, e.case_id, e.position, e.data"
           " FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int8[], $5::int8[])"
           " AS r(partition, account, case_id, after, upto)"
           " CROSS JOIN LATERAL (SELECT * FROM events WHERE events.partition = r.partition"
           " AND events.account = r.account AND events.case_id = r.case_id"
           " AND position > r.after AND position <= r.upto ORDER BY position OFFSET 0) e"
           " ORDER BY e.partition, e.position",
};

/* --- locks ------------------------------------------------------------------------------------------------
 */

void session_tell_granted(struct session_tab *tab, int64_t token)
{
    char name[NAME_SIZE];
    if (!session_lease_holds(tab->session))
        return;
    tab->holds = token;
    Casework__Cases__V1__AttachResponse__LockGranted granted =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__LOCK_GRANTED__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    granted.case_ = session_case_name(tab->session, tab->of->id, name);
    granted.token = token;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_GRANTED;
    response.lock_granted = &granted;
    session_tell(tab->session, &response);
}

void session_tell_lost(struct session_tab *tab, Casework__Cases__V1__LockLostReason reason)
{
    char name[NAME_SIZE];
    tab->holds = 0;
    Casework__Cases__V1__AttachResponse__LockLost lost =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__LOCK_LOST__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    lost.case_ = session_case_name(tab->session, tab->of->id, name);
    lost.reason = reason;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_LOST;
    response.lock_lost = &lost;
    session_tell(tab->session, &response);
}

/* `agent`: its resource name; "": nobody. */
static void tell_held(struct session_tab *tab, const char *agent)
{
    char name[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__LockHeld held =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__LOCK_HELD__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    held.case_ = session_case_name(tab->session, tab->of->id, name);
    held.agent = (char *)(uintptr_t)agent;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_HELD;
    response.lock_held = &held;
    session_tell(tab->session, &response);
}

static Casework__Cases__V1__LockLostReason why_lost(const Casework__Cases__V1__Event *event)
{
    if (event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_BROKEN)
        return CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_BROKEN;
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    if (facts &&
        (facts->status == CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_DELETED || facts->merged_into[0]))
        return CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_CASE_GONE;
    return CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_EXPIRED;
}

/* What the client gives back itself, it has not lost: that the tab is closed says it all. */
static void tell_loss(struct session_tab *tab, Casework__Cases__V1__LockLostReason reason)
{
    int64_t giving_back = tab->session->giving_back;
    if (reason == CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_EXPIRED &&
        (giving_back == ALL_CASES || giving_back == tab->of->id))
        tab->holds = 0;
    else
        session_tell_lost(tab, reason);
}

static void tell_lock(struct session_tab *tab, const Casework__Cases__V1__Event *event)
{
    const Casework__Cases__V1__LockFacts *lock = event->lock_facts;
    bool own = strcmp(lock->session, tab->session->id) == 0;
    if (event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_GRANTED) {
        if (own)
            session_tell_granted(tab, lock->token);
        else
            tell_held(tab, lock->agent);
    } else if (own) {
        tell_loss(tab, why_lost(event));
    } else {
        tell_held(tab, "");
    }
}

/* --- changes ----------------------------------------------------------------------------------------------
 */

static void tell_change(struct session_tab *tab)
{
    char name[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__CaseChanged changed =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__CASE_CHANGED__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    changed.case_ = session_case_name(tab->session, tab->of->id, name);
    changed.position = tab->changed_at;
    changed.need_reply = tab->changed_need_reply;
    changed.status = (Casework__Cases__V1__CaseStatus)tab->changed_status;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_CASE_CHANGED;
    response.case_changed = &changed;
    tab->changed_at = 0;
    session_tell(tab->session, &response);
}

/* The id at the end of a resource name. */
static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static void see(struct tab_view *view, const Casework__Cases__V1__Event *event)
{
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    const Casework__Cases__V1__LockFacts *lock = event->lock_facts;
    if (facts)
        view->need_reply = facts->need_reply;
    if (!lock)
        return;
    bool granted = event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_GRANTED;
    view->token = lock->token;
    if (!wire_time_us(event->event_time, &view->lock_time))
        view->lock_time = 0;
    snprintf(view->agent, sizeof view->agent, "%s", granted ? last_part(lock->agent) : "");
    snprintf(view->session, sizeof view->session, "%s", granted ? lock->session : "");
}

void session_tell_event(struct session_tab *tab, const Casework__Cases__V1__Event *event)
{
    if (event->position <= tab->told_to)
        return;
    tab->told_to = event->position;
    see(&tab->view, event);
    if (event->lock_facts) {
        if (tab->changed_at)
            tell_change(tab);
        tell_lock(tab, event);
    } else if (event->case_facts) {
        tab->changed_at = event->position;
        tab->changed_status = (int)event->case_facts->status;
        tab->changed_need_reply = event->case_facts->need_reply;
    }
}

static struct watched_case *case_of_row(struct case_sessions *hub, const pg_result *news, int row)
{
    return hub_find_case(hub, (int)pg_get_int(news, row, 0), pg_get_text(news, row, 1),
                         pg_get_int(news, row, 2));
}

/* With the lock held. `behind`: to tabs that have asked for it, else to those that are not behind. */
static void tell_news(struct case_sessions *hub, const pg_result *news, bool behind, arena *memory)
{
    for (int row = 0; row < pg_rows(news); row++) {
        if (pg_get_int(news, row, 2) == 0)
            hub_end_account(hub, (int)pg_get_int(news, row, 0), pg_get_text(news, row, 1),
                            pg_get_int(news, row, 3));
        struct watched_case *watched = case_of_row(hub, news, row);
        size_t length;
        const void *data = pg_get_bytes(news, row, 4, &length);
        ProtobufCMessage *message;
        if (!watched || !data ||
            !wire_unpack(&casework__cases__v1__event__descriptor, data, length, memory, &message, NULL))
            continue;
        for (struct session_tab *tab = watched->tabs; tab; tab = tab->next_of_case) {
            if (behind ? tab->asked_to != 0 : tab->behind_to == 0)
                session_tell_event(tab, (const void *)message);
        }
    }
    for (int row = 0; row < pg_rows(news); row++) {
        struct watched_case *watched = case_of_row(hub, news, row);
        for (struct session_tab *tab = watched ? watched->tabs : NULL; tab; tab = tab->next_of_case) {
            if (tab->changed_at)
                tell_change(tab);
        }
    }
}

/* --- a run ------------------------------------------------------------------------------------------------
 */

/* With the lock held: what there is to read. False: nothing. */
static bool plan(struct case_sessions *hub, pg_params *params, bool *ret_more)
{
    pg_array *partitions = pg_add_array(params, PG_INT2), *after = pg_add_array(params, PG_INT8),
             *upto = pg_add_array(params, PG_INT8), *accounts = pg_add_array(params, PG_TEXT),
             *cases = pg_add_array(params, PG_INT8);
    bool any = false;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        struct hub_partition *partition = &hub->partitions[p];
        int64_t head = case_feed_head(hub->feed, p);
        if (partition->case_count == 0 || head <= partition->cursor)
            continue;
        int64_t most = partition->cursor + POSITIONS_MAX;
        *ret_more = *ret_more || head > most;
        partition->reading_to = head > most ? most : head;
        any = true;
        pg_put_int(partitions, p);
        pg_put_int(after, partition->cursor);
        pg_put_int(upto, partition->reading_to);
        for (size_t slot = 0; slot < CASE_SLOTS; slot++) {
            for (const struct watched_case *c = partition->cases[slot]; c; c = c->next) {
                pg_put_text(accounts, c->account);
                pg_put_int(cases, c->id);
            }
        }
    }
    return any;
}

static bool ask(struct case_sessions *hub, const struct pg_statement *statement, const pg_params *params,
                pg_result **ret_news)
{
    error err;
    if (pg_pool_query(case_feed_pool(hub->feed), statement, params, clock_monotonic_us() + READ_TIMEOUT_US,
                      ret_news, &err))
        return true;
    log_warn("tabs cannot be told what is new", LOG_TEXT("error", err.message),
             LOG_TEXT("detail", err.detail));
    return false;
}

/* Goes on with the feed. True: there is more. */
static bool follow(struct case_sessions *hub, arena *memory)
{
    pg_params params;
    pg_result *news = NULL;
    bool more = false;
    pg_params_init(&params, memory);
    pthread_mutex_lock(&hub->lock);
    bool any = plan(hub, &params, &more);
    pthread_mutex_unlock(&hub->lock);
    if (!any)
        return false;
    bool good = ask(hub, &session_news, &params, &news);
    pthread_mutex_lock(&hub->lock);
    if (good)
        tell_news(hub, news, false, memory);
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        struct hub_partition *partition = &hub->partitions[p];
        if (good && partition->reading_to > partition->cursor)
            partition->cursor = partition->reading_to;
        partition->reading_to = 0;
    }
    pthread_mutex_unlock(&hub->lock);
    pg_result_free(news);
    return good && more;
}

typedef void each_behind(struct session_tab *tab, void *argument);

static void for_each_behind(struct case_sessions *hub, each_behind *run, void *argument)
{
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        for (struct session *session = hub->partitions[p].sessions; session; session = session->next) {
            for (struct session_tab *tab = session->tabs; tab; tab = tab->next_of_session) {
                if (tab->behind_to)
                    run(tab, argument);
            }
        }
    }
}

static void put_behind(struct session_tab *tab, void *argument)
{
    pg_array *const *columns = argument;
    pg_put_int(columns[0], tab->of->partition);
    pg_put_text(columns[1], tab->of->account);
    pg_put_int(columns[2], tab->of->id);
    pg_put_int(columns[3], tab->told_to);
    pg_put_int(columns[4], tab->behind_to);
    tab->asked_to = tab->behind_to;
}

/* Whoever is told up to where the followers are goes on with them. */
static void catch_up(struct session_tab *tab, void *argument)
{
    (void)argument;
    struct case_sessions *hub = tab->session->hub;
    int64_t cursor = hub->partitions[tab->of->partition].cursor;
    if (tab->asked_to == 0)
        return;
    if (tab->told_to < tab->asked_to)
        tab->told_to = tab->asked_to;
    tab->asked_to = 0;
    if (cursor > tab->behind_to) {
        tab->behind_to = cursor;
        return;
    }
    tab->behind_to = 0;
    hub->behind--;
}

/*
 * Tabs that were opened when the followers had passed. It is this thread only that moves cursors: what is
 * read here ends where the followers stand, or a further round follows.
 */
static void help_those_behind(struct case_sessions *hub, arena *memory)
{
    pg_params params;
    pg_result *news;
    pg_params_init(&params, memory);
    pg_array *columns[5] = {pg_add_array(&params, PG_INT2), pg_add_array(&params, PG_TEXT),
                            pg_add_array(&params, PG_INT8), pg_add_array(&params, PG_INT8),
                            pg_add_array(&params, PG_INT8)};
    pthread_mutex_lock(&hub->lock);
    bool any = hub->behind > 0;
    if (any)
        for_each_behind(hub, put_behind, columns);
    pthread_mutex_unlock(&hub->lock);
    if (!any || !ask(hub, &case_news, &params, &news))
        return;
    pthread_mutex_lock(&hub->lock);
    tell_news(hub, news, true, memory);
    for_each_behind(hub, catch_up, NULL);
    pthread_mutex_unlock(&hub->lock);
    pg_result_free(news);
}

void hub_run_news(struct case_feed_reader *reader)
{
    struct case_sessions *hub = (struct case_sessions *)reader;
    arena *memory = arena_new(MEMORY_MAX);
    bool more = memory != NULL;
    pthread_mutex_lock(&hub->run_lock);
    for (int round = 0; more && round < ROUNDS_MAX; round++) {
        help_those_behind(hub, memory);
        arena_clear(memory);
        more = follow(hub, memory);
        arena_clear(memory);
    }
    arena_free(memory);
    pthread_mutex_unlock(&hub->run_lock);
    if (more)
        case_feed_wake(reader);
}
