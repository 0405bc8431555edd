/* Shelves: what happens in a partition, read once for all its watches. */

#include "case/case_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "case/case_watch_private.h"
#include "casework/cases/v1/case_service.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum {
    WATCHES_MAX = 50000,       /* on one replica */
    POSITIONS_A_READ = 20000,  /* looked through at a time for those of few accounts */
    POSITIONS_A_TOKEN = 10000, /* an idle watch gets a new token after as many */
    MEMORY_MAX = 64 * 1024 * 1024,
    ROUNDS_A_RUN = 32, /* then others get the worker */
};

#define LOOK_US (1 * CLOCK_SECOND)

static struct watch_shelf *shelf_of(struct case_feed_reader *reader)
{
    return (struct watch_shelf *)reader;
}

/* --- coming and going; the shelf is locked --- */

static struct watch_group *group_find(struct watch_shelf *shelf, const char *account)
{
    struct watch_group *group = shelf->groups;
    while (group && strcmp(group->account, account) != 0)
        group = group->next;
    return group;
}

static struct watch_group *group_take(struct watch_shelf *shelf, const char *account)
{
    struct watch_group *group = group_find(shelf, account);
    if (group)
        return group;
    group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    strncpy(group->account, account, sizeof group->account - 1);
    group->next_due = INT64_MAX;
    group->next = shelf->groups;
    if (group->next)
        group->next->previous = group;
    shelf->groups = group;
    return group;
}

static void group_drop(struct watch_shelf *shelf, struct watch_group *group)
{
    if (group->previous)
        group->previous->next = group->next;
    else
        shelf->groups = group->next;
    if (group->next)
        group->next->previous = group->previous;
    free(group);
}

static bool place(struct watch_shelf *shelf, struct watch *watch)
{
    struct watch_group *group = group_take(shelf, watch->query.account);
    if (!group)
        return false;
    watch->group = group;
    watch->state = WATCH_CATCHING_UP;
    watch->next = group->watches;
    if (watch->next)
        watch->next->previous = watch;
    group->watches = watch;
    group->count++;
    group->recent += watch_is_of_recent(watch);
    atomic_fetch_add(&shelf->recent, watch_is_of_recent(watch));
    atomic_fetch_add(&shelf->waiting, 1);
    if (atomic_fetch_add(&shelf->count, 1) == 0) {
        atomic_store(&shelf->position, case_feed_head(shelf->watches->feed, shelf->partition));
        case_feed_attach(shelf->watches->feed, &shelf->reader);
    }
    return true;
}

bool watch_shelf_add(struct watch_shelf *shelf, struct watch *watch, error *err)
{
    if (atomic_fetch_add(&shelf->watches->count, 1) >= WATCHES_MAX) {
        atomic_fetch_sub(&shelf->watches->count, 1);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES", "at most %d at a time",
                         WATCHES_MAX);
    }
    watch->shelf = shelf;
    pthread_mutex_lock(&shelf->lock);
    bool placed = place(shelf, watch);
    pthread_mutex_unlock(&shelf->lock);
    if (placed)
        return true;
    atomic_fetch_sub(&shelf->watches->count, 1);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the watch");
}

void watch_shelf_remove(struct watch *watch)
{
    struct watch_shelf *shelf = watch->shelf;
    struct watch_group *group = watch->group;
    pthread_mutex_lock(&shelf->lock);
    if (watch->state != WATCH_LIVE)
        atomic_fetch_sub(&shelf->waiting, 1);
    watch->state = WATCH_OVER;
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        group->watches = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    group->recent -= watch_is_of_recent(watch);
    atomic_fetch_sub(&shelf->recent, watch_is_of_recent(watch));
    if (--group->count == 0)
        group_drop(shelf, group);
    if (atomic_fetch_sub(&shelf->count, 1) == 1)
        case_feed_detach(&shelf->reader);
    pthread_mutex_unlock(&shelf->lock);
    atomic_fetch_sub(&shelf->watches->count, 1);
}

/* --- states --- */

/* With the shelf locked. */
static void set_state(struct watch *watch, enum watch_state state)
{
    if (watch->state == WATCH_OVER)
        return;
    bool waited = watch->state != WATCH_LIVE, waits = state != WATCH_LIVE;
    watch->state = state;
    if (waits && !waited)
        atomic_fetch_add(&watch->shelf->waiting, 1);
    else if (waited && !waits)
        atomic_fetch_sub(&watch->shelf->waiting, 1);
}

bool watch_shelf_join(struct watch *watch)
{
    struct watch_shelf *shelf = watch->shelf;
    pthread_mutex_lock(&shelf->lock);
    bool joined = watch->state != WATCH_OVER && watch->cursor.position >= atomic_load(&shelf->position);
    if (joined) {
        set_state(watch, WATCH_LIVE);
        if (watch_is_of_recent(watch))
            watch->group->next_due = 0; /* its cut may be older than that of the others */
    }
    pthread_mutex_unlock(&shelf->lock);
    return joined;
}

int64_t watch_shelf_goal(struct watch *watch)
{
    const struct watch_shelf *shelf = watch->shelf;
    int64_t head = case_feed_head(shelf->watches->feed, shelf->partition);
    int64_t standing = atomic_load(&shelf->position);
    int64_t goal = head > standing ? head : standing;
    /* A case's changes have an index of their own; an account's have to be looked for. */
    int64_t most = watch->filter.case_id ? INT64_MAX : watch->cursor.position + POSITIONS_A_READ;
    return goal < most ? goal : most;
}

void watch_shelf_unblock(struct watch *watch)
{
    pthread_mutex_lock(&watch->shelf->lock);
    if (watch->state == WATCH_BLOCKED)
        set_state(watch, WATCH_CATCHING_UP);
    pthread_mutex_unlock(&watch->shelf->lock);
    case_feed_wake(&watch->reader);
}

void watch_shelf_block(struct watch *watch)
{
    pthread_mutex_lock(&watch->shelf->lock);
    set_state(watch, WATCH_BLOCKED);
    pthread_mutex_unlock(&watch->shelf->lock);
}

/* --- what a shelf does for all its watches; it is locked --- */

static void for_each(struct watch_group *group, void (*visit)(struct watch *watch, const void *argument),
                     const void *argument)
{
    for (struct watch *watch = group->watches; watch; watch = watch->next)
        visit(watch, argument);
}

static void for_all(struct watch_shelf *shelf, void (*visit)(struct watch *watch, const void *argument),
                    const void *argument)
{
    for (struct watch_group *group = shelf->groups; group; group = group->next)
        for_each(group, visit, argument);
}

/* A live watch stands at its cursor or where the shelf stands, whichever is further. */
static void stand_at(struct watch *watch, int64_t position)
{
    if (watch->cursor.position < position)
        watch->cursor.position = position;
}

/* It could not take what comes behind `position`, and goes on by itself when there is room. */
static void fall_behind(struct watch *watch, int64_t position)
{
    stand_at(watch, position);
    set_state(watch, WATCH_BLOCKED);
}

static void take_change(struct watch *watch, const void *argument)
{
    const struct watch_change *change = argument;
    if (watch->state == WATCH_LIVE && watch->cursor.position < change->position &&
        !watch_tell_change(watch, change))
        fall_behind(watch, change->position - 1);
}

static void hand_over(struct watch_group *group, const struct watch_change *change)
{
    int64_t opened = change->after ? watch_open_time(change->after) : 0;
    if (group->recent > 0 && opened && opened + CLOCK_DAY < group->next_due)
        group->next_due = opened + CLOCK_DAY + 1;
    for_each(group, take_change, change);
}

/* It came up while the shelf was reading, for others: it has to read for itself once more. */
static void read_again(struct watch *watch, const void *argument)
{
    const int64_t *position = argument;
    if (watch->state != WATCH_LIVE || watch->cursor.position >= *position)
        return;
    set_state(watch, WATCH_CATCHING_UP);
    case_feed_wake(&watch->reader);
}

static void renew_token(struct watch *watch, const void *argument)
{
    const int64_t *position = argument;
    if (watch->state != WATCH_LIVE)
        return;
    stand_at(watch, *position);
    (void)watch_tell_place(watch);
}

static void hand_out(struct watch_shelf *shelf, const struct watch_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct watch_group *group = group_find(shelf, changes->list[i].account);
        if (group)
            hand_over(group, &changes->list[i]);
    }
    int64_t position = changes->upto;
    bool renew = atomic_load(&shelf->position) / POSITIONS_A_TOKEN != position / POSITIONS_A_TOKEN;
    atomic_store(&shelf->position, position);
    for (struct watch_group *group = shelf->groups; group; group = group->next) {
        if (group->round != shelf->round)
            for_each(group, read_again, &position);
    }
    if (renew)
        for_all(shelf, renew_token, &position);
}

/* The accounts to read for, and the round that this is. */
static const char **accounts_of(struct watch_shelf *shelf, arena *memory, size_t *ret_count)
{
    size_t count = 0;
    for (const struct watch_group *group = shelf->groups; group; group = group->next)
        count++;
    const char **accounts = arena_calloc(memory, count + 1, sizeof *accounts);
    if (!accounts)
        return NULL;
    shelf->round++;
    *ret_count = 0;
    for (struct watch_group *group = shelf->groups; group; group = group->next) {
        const char *account = arena_strdup(memory, group->account);
        if (!account)
            return NULL;
        group->round = shelf->round;
        accounts[(*ret_count)++] = account;
    }
    return accounts;
}

/* --- reading, without the lock --- */

static bool failed_to_read(const char *what, const error *err)
{
    log_warn("watches cannot go on", LOG_TEXT("reading", what), LOG_TEXT("error", err->message),
             LOG_TEXT("detail", err->detail));
    return false; /* the feed comes by again */
}

/* One read up to `goal` at the most. False: it failed, or there is nothing to read. */
static bool read_on(struct watch_shelf *shelf, int64_t goal, arena *memory)
{
    struct watch_range range = {.partition = shelf->partition};
    pthread_mutex_lock(&shelf->lock);
    range.after = atomic_load(&shelf->position);
    range.upto = goal < range.after + POSITIONS_A_READ ? goal : range.after + POSITIONS_A_READ;
    bool any = atomic_load(&shelf->count) > 0 && range.upto > range.after;
    if (any)
        range.accounts = accounts_of(shelf, memory, &range.account_count);
    pthread_mutex_unlock(&shelf->lock);
    if (!any || !range.accounts)
        return false;
    struct watch_changes changes = {0};
    error err;
    if (!watch_read_changes(case_feed_pool(shelf->watches->feed), &range, memory, &changes, &err))
        return failed_to_read("changes", &err);
    pthread_mutex_lock(&shelf->lock);
    if (atomic_load(&shelf->position) == range.after)
        hand_out(shelf, &changes);
    pthread_mutex_unlock(&shelf->lock);
    watch_changes_release(&changes);
    return true;
}

/* --- Recent --- */

static bool is_behind(const struct watch_cut *a, const struct watch_cut *b)
{
    return a->open_time < b->open_time || (a->open_time == b->open_time && a->case_id < b->case_id);
}

/* Of the watches of Recent in an account that is due: the oldest cut. False: none is due. */
static bool find_due(struct watch_shelf *shelf, char ret_account[64], struct watch_cut *ret_cut)
{
    int64_t now = case_feed_time(shelf->watches->feed);
    bool found = false;
    pthread_mutex_lock(&shelf->lock);
    for (const struct watch_group *group = shelf->groups; group && !found; group = group->next) {
        if (group->recent == 0 || group->next_due > now)
            continue;
        for (const struct watch *watch = group->watches; watch; watch = watch->next) {
            if (watch->state != WATCH_LIVE || !watch_is_of_recent(watch))
                continue;
            if (!found || is_behind(&watch->cursor.cut, ret_cut))
                *ret_cut = watch->cursor.cut;
            found = true;
        }
        memcpy(ret_account, group->account, sizeof group->account);
    }
    pthread_mutex_unlock(&shelf->lock);
    return found;
}

static void expire(struct watch *watch, const struct watch_expiries *expiries)
{
    stand_at(watch, expiries->position);
    for (size_t i = 0; i < expiries->count; i++) {
        if (!watch_tell_expiry(watch, &expiries->list[i])) {
            fall_behind(watch, expiries->position);
            return;
        }
    }
    if (is_behind(&watch->cursor.cut, &expiries->cut))
        watch->cursor.cut = expiries->cut;
}

/*
 * What was read is true to one position, and begins behind the oldest cut there was: only watches that stand
 * exactly there, and not before that cut, may hear of it.
 */
static void hand_out_expiries(struct watch_shelf *shelf, const char *account,
                              const struct watch_expiries *expiries)
{
    struct watch_group *group = group_find(shelf, account);
    if (!group || atomic_load(&shelf->position) != expiries->position)
        return;
    group->next_due = expiries->next_due;
    for (struct watch *watch = group->watches; watch; watch = watch->next) {
        if (watch->state != WATCH_LIVE || !watch_is_of_recent(watch))
            continue;
        if (watch->cursor.position <= expiries->position && !is_behind(&watch->cursor.cut, &expiries->from))
            expire(watch, expiries);
        else
            group->next_due = 0; /* it came after the reading: once more, for it */
    }
}

/* False: nothing was due, or it failed. */
static bool let_go(struct watch_shelf *shelf, arena *memory)
{
    char account[64];
    struct watch_cut cut;
    struct watch_expiries expiries;
    error err;
    if (atomic_load(&shelf->recent) == 0 || !find_due(shelf, account, &cut))
        return false;
    if (!watch_read_expiries(case_feed_pool(shelf->watches->feed), shelf->partition, account, &cut, memory,
                             &expiries, &err))
        return failed_to_read("what leaves Recent", &err);
    while (atomic_load(&shelf->position) < expiries.position) {
        if (!read_on(shelf, expiries.position, memory))
            return false;
    }
    pthread_mutex_lock(&shelf->lock);
    hand_out_expiries(shelf, account, &expiries);
    pthread_mutex_unlock(&shelf->lock);
    return true;
}

/* --- once a second --- */

static void look_after(struct watch *watch, const void *argument)
{
    const int64_t *now = argument;
    error err;
    if (watch->state == WATCH_CATCHING_UP) {
        case_feed_wake(&watch->reader); /* its last run may have found no worker, or no database */
    } else if (watch->state == WATCH_BLOCKED &&
               *now - atomic_load(&watch->written_us) > watch->shelf->watches->patience_us) {
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "SLOW_READER",
                  "the watch was not read in time: go on from its last resume token");
        watch_end(watch, &err);
    }
}

static void check_generation(struct watch *watch, const void *argument)
{
    const case_feed *feed = argument;
    error err;
    if (!case_feed_check_generation(feed, watch->generation, &err))
        watch_end(watch, &err);
}

static void look(struct watch_shelf *shelf)
{
    const case_feed *feed = shelf->watches->feed;
    int64_t now = clock_monotonic_us();
    unsigned generation = case_feed_generation(feed);
    pthread_mutex_lock(&shelf->lock);
    if (atomic_load(&shelf->generation) != generation) {
        atomic_store(&shelf->generation, generation);
        atomic_store(&shelf->position, case_feed_head(feed, shelf->partition));
        for_all(shelf, check_generation, feed);
    }
    if (now - atomic_load(&shelf->looked_us) >= LOOK_US) {
        atomic_store(&shelf->looked_us, now);
        if (atomic_load(&shelf->waiting) > 0)
            for_all(shelf, look_after, &now);
    }
    pthread_mutex_unlock(&shelf->lock);
}

/* Nobody waits and nothing happened in the partition: the shelf costs nothing. */
static bool is_due(struct case_feed_reader *reader)
{
    const struct watch_shelf *shelf = shelf_of(reader);
    const case_feed *feed = shelf->watches->feed;
    return case_feed_head(feed, shelf->partition) > atomic_load(&shelf->position) ||
           case_feed_generation(feed) != atomic_load(&shelf->generation) ||
           (atomic_load(&shelf->waiting) + atomic_load(&shelf->recent) > 0 &&
            clock_monotonic_us() - atomic_load(&shelf->looked_us) >= LOOK_US);
}

static void run(struct case_feed_reader *reader)
{
    struct watch_shelf *shelf = shelf_of(reader);
    arena *memory = arena_new(MEMORY_MAX);
    int rounds = 0;
    look(shelf);
    while (memory && rounds < ROUNDS_A_RUN &&
           (let_go(shelf, memory) ||
            read_on(shelf, case_feed_head(shelf->watches->feed, shelf->partition), memory))) {
        rounds++;
        arena_clear(memory);
    }
    arena_free(memory);
    if (rounds == ROUNDS_A_RUN)
        case_feed_wake(reader);
}

/* --- all shelves --- */

/* They live as long as the service. */
static void no_reference(struct case_feed_reader *reader)
{
    (void)reader;
}

bool case_watches_new(case_feed *feed, const struct case_reader *reader, int64_t patience_us,
                      case_watches **ret_watches, error *err)
{
    case_watches *watches = calloc(1, sizeof *watches);
    if (!watches)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for watches");
    watches->feed = feed;
    watches->reader = reader;
    watches->patience_us = patience_us;
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        struct watch_shelf *shelf = &watches->shelves[p];
        shelf->watches = watches;
        shelf->partition = p;
        shelf->generation = case_feed_generation(feed);
        shelf->reader =
            (struct case_feed_reader){.due = is_due, .run = run, .ref = no_reference, .unref = no_reference};
        pthread_mutex_init(&shelf->lock, NULL);
    }
    *ret_watches = watches;
    return true;
}

void case_watches_free(case_watches *watches)
{
    if (!watches)
        return;
    for (int p = 0; p < FEED_PARTITIONS; p++)
        pthread_mutex_destroy(&watches->shelves[p].lock);
    free(watches);
}

const struct rpc_method case_watch_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "WatchCases",
     .run = RPC_RUN_WORKER,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .endless = true,
     .stream = &case_watch_handlers},
    {0},
};
