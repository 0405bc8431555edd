#include "search/search_backlog.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/injection.h"
#include "base/log.h"
#include "search/search_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Of all accounts together; what goes beyond holds up the feed. */
enum { CASES_MAX = 4 << 20, EVENTS_MAX = 10000 };

enum { SLICE = 200, SLICE_BYTES_MAX = 1 << 20 };

#define RETRY_AFTER (CLOCK_SECOND / 2)

/* What one event left to do. */
struct item {
    struct item *next;
    int64_t position;
    size_t done, count;
    int64_t numbers[];
};

/* An account's items, oldest first. */
struct pile {
    struct pile *next;
    char account[64];
    uint64_t id; /* never given twice: a slice finds its pile again, or finds that it was forgotten */
    struct item *first, *last;
};

struct search_backlog {
    rpc_channel *cases;
    search_index *index;
    void (*progress)(void *context);
    void *context;
    pthread_mutex_t lock; /* held while a slice is filed: what is forgotten is not filed */
    pthread_cond_t changed;
    pthread_t thread;
    struct pile *first, *last; /* whose turn it is, and so on */
    uint64_t last_id;
    size_t events, waiting;
    bool stopping, joined;
};

/* A piece of an item, being read. */
struct slice {
    search_backlog *backlog;
    uint64_t pile;
    char account[64];
    int64_t position;
    size_t count;
    int64_t numbers[SLICE];
};

/* --- the piles, with the lock held -------------------------------------------------------------------- */

static struct pile *find_pile(search_backlog *backlog, const char *account)
{
    struct pile *pile = backlog->first;
    while (pile && strcmp(pile->account, account) != 0)
        pile = pile->next;
    return pile;
}

static struct pile *find_id(search_backlog *backlog, uint64_t id)
{
    struct pile *pile = backlog->first;
    while (pile && pile->id != id)
        pile = pile->next;
    return pile;
}

static void append_pile(search_backlog *backlog, struct pile *pile)
{
    pile->next = NULL;
    if (backlog->last)
        backlog->last->next = pile;
    else
        backlog->first = pile;
    backlog->last = pile;
}

static void remove_pile(search_backlog *backlog, const struct pile *pile)
{
    struct pile **link = &backlog->first, *before = NULL;
    while (*link != pile) {
        before = *link;
        link = &before->next;
    }
    *link = pile->next;
    if (backlog->last == pile)
        backlog->last = before;
}

static void free_first_item(search_backlog *backlog, struct pile *pile)
{
    struct item *item = pile->first;
    pile->first = item->next;
    backlog->events--;
    backlog->waiting -= item->count - item->done;
    free(item);
}

static void free_pile(search_backlog *backlog, struct pile *pile)
{
    remove_pile(backlog, pile);
    while (pile->first)
        free_first_item(backlog, pile);
    free(pile);
}

static struct pile *new_pile(search_backlog *backlog, const char *account, int64_t position)
{
    size_t size = strlen(account) + 1;
    struct pile *pile = size <= sizeof pile->account ? calloc(1, sizeof *pile) : NULL;
    if (!pile || !search_index_hold(backlog->index, account, position)) {
        free(pile);
        return NULL;
    }
    memcpy(pile->account, account, size);
    pile->id = ++backlog->last_id;
    append_pile(backlog, pile);
    return pile;
}

static struct item *new_item(int64_t position, const int64_t *numbers, size_t count)
{
    struct item *item = malloc(sizeof *item + count * sizeof *numbers);
    if (!item)
        return NULL;
    *item = (struct item){.position = position, .count = count};
    memcpy(item->numbers, numbers, count * sizeof *numbers);
    return item;
}

static bool has_item(const struct pile *pile, int64_t position)
{
    for (const struct item *item = pile->first; item; item = item->next)
        if (item->position == position)
            return true;
    return false;
}

/* --- working ------------------------------------------------------------------------------------------ */

static bool file(void *context, const char *account, const struct search_change *changes, size_t count,
                 error *err)
{
    const struct slice *slice = context;
    search_backlog *backlog = slice->backlog;
    pthread_mutex_lock(&backlog->lock);
    bool done =
        !find_id(backlog, slice->pile) || search_index_apply(backlog->index, account, changes, count, err);
    pthread_mutex_unlock(&backlog->lock);
    injection_point("search_backlog.filed");
    return done;
}

/* Those that were read meanwhile for another reason need not be read again. */
static bool read_slice(const struct slice *slice, error *err)
{
    search_backlog *backlog = slice->backlog;
    struct search_list list = {0};
    arena *memory = arena_new(SLICE_BYTES_MAX);
    bool done =
        memory || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a list of cases");
    for (size_t i = 0; done && i < slice->count; i++)
        if (search_index_case_position(backlog->index, slice->account, slice->numbers[i]) < slice->position)
            done = search_list_add(&list, slice->account, slice->numbers[i], memory, err);
    done = done && search_reader_read(backlog->cases, list.cases, list.count, SEARCH_READER_ONCE, memory,
                                      file, (void *)slice, err);
    arena_free(memory);
    return done;
}

static void cut_slice(search_backlog *backlog, struct slice *slice)
{
    const struct pile *pile = backlog->first;
    const struct item *item = pile->first;
    size_t left = item->count - item->done;
    slice->pile = pile->id;
    slice->position = item->position;
    slice->count = left < SLICE ? left : SLICE;
    memcpy(slice->account, pile->account, sizeof slice->account);
    memcpy(slice->numbers, item->numbers + item->done, slice->count * sizeof *slice->numbers);
}

/* True: the account is held back less than before. */
static bool end_slice(search_backlog *backlog, const struct slice *slice, bool done)
{
    struct pile *pile = find_id(backlog, slice->pile);
    if (!pile)
        return false;
    remove_pile(backlog, pile);
    append_pile(backlog, pile); /* the next account's turn */
    if (!done)
        return false;
    pile->first->done += slice->count;
    backlog->waiting -= slice->count;
    if (pile->first->done < pile->first->count)
        return false;
    free_first_item(backlog, pile);
    int64_t position = pile->first ? pile->first->position : INT64_MAX;
    (void)search_index_hold(backlog->index, pile->account, position); /* has its place */
    if (!pile->first)
        free_pile(backlog, pile);
    return true;
}

/* With the lock held. */
static void pause_work(search_backlog *backlog)
{
    int64_t until = clock_monotonic_us() + RETRY_AFTER;
    while (!backlog->stopping && condition_wait_until(&backlog->changed, &backlog->lock, until))
        continue;
}

static void *work(void *argument)
{
    search_backlog *backlog = argument;
    struct slice slice = {.backlog = backlog};
    pthread_mutex_lock(&backlog->lock);
    while (!backlog->stopping) {
        if (!backlog->first) {
            pthread_cond_wait(&backlog->changed, &backlog->lock);
            continue;
        }
        error err = {0};
        cut_slice(backlog, &slice);
        pthread_mutex_unlock(&backlog->lock);
        bool done = read_slice(&slice, &err);
        pthread_mutex_lock(&backlog->lock);
        if (!done && !backlog->stopping)
            log_warn("cases wait to be read", LOG_TEXT("casework.account", slice.account),
                     LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
        if (end_slice(backlog, &slice, done)) {
            pthread_mutex_unlock(&backlog->lock);
            backlog->progress(backlog->context);
            pthread_mutex_lock(&backlog->lock);
        }
        if (!done)
            pause_work(backlog);
    }
    pthread_mutex_unlock(&backlog->lock);
    return NULL;
}

/* --- the interface ------------------------------------------------------------------------------------ */

bool search_backlog_new(rpc_channel *cases, search_index *index, void (*progress)(void *context),
                        void *context, search_backlog **ret_backlog, error *err)
{
    search_backlog *backlog = calloc(1, sizeof *backlog);
    if (!backlog)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to follow the feed");
    backlog->cases = cases;
    backlog->index = index;
    backlog->progress = progress;
    backlog->context = context;
    condition_init(&backlog->changed);
    pthread_mutex_init(&backlog->lock, NULL);
    if (pthread_create(&backlog->thread, NULL, work, backlog) == 0) {
        *ret_backlog = backlog;
        return true;
    }
    pthread_cond_destroy(&backlog->changed);
    pthread_mutex_destroy(&backlog->lock);
    free(backlog);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for the backlog");
}

void search_backlog_quit(search_backlog *backlog)
{
    pthread_mutex_lock(&backlog->lock);
    backlog->stopping = true;
    pthread_cond_signal(&backlog->changed);
    pthread_mutex_unlock(&backlog->lock);
}

void search_backlog_stop(search_backlog *backlog)
{
    search_backlog_quit(backlog);
    pthread_mutex_lock(&backlog->lock);
    bool first = !backlog->joined;
    backlog->joined = true;
    pthread_mutex_unlock(&backlog->lock);
    if (first)
        pthread_join(backlog->thread, NULL);
}

void search_backlog_free(search_backlog *backlog)
{
    if (!backlog)
        return;
    search_backlog_stop(backlog);
    while (backlog->first)
        free_pile(backlog, backlog->first);
    pthread_cond_destroy(&backlog->changed);
    pthread_mutex_destroy(&backlog->lock);
    free(backlog);
}

bool search_backlog_add(search_backlog *backlog, const char *account, int64_t position,
                        const int64_t *numbers, size_t count)
{
    pthread_mutex_lock(&backlog->lock);
    struct pile *pile = find_pile(backlog, account);
    bool known = pile && has_item(pile, position);
    bool room = backlog->events < EVENTS_MAX && count <= CASES_MAX - backlog->waiting;
    struct item *item = !known && room ? new_item(position, numbers, count) : NULL;
    if (item && (pile || (pile = new_pile(backlog, account, position)))) {
        if (pile->first)
            pile->last->next = item;
        else
            pile->first = item;
        pile->last = item;
        backlog->events++;
        backlog->waiting += count;
        known = true;
        pthread_cond_signal(&backlog->changed);
    } else {
        free(item);
    }
    pthread_mutex_unlock(&backlog->lock);
    return known;
}

/* Whose accounts are held no longer needs not be told: they are gone. */
void search_backlog_forget(search_backlog *backlog, const char *account)
{
    pthread_mutex_lock(&backlog->lock);
    for (struct pile *pile = backlog->first, *next; pile; pile = next) {
        next = pile->next;
        if (account && strcmp(account, pile->account) != 0)
            continue;
        (void)search_index_hold(backlog->index, pile->account, INT64_MAX);
        free_pile(backlog, pile);
    }
    pthread_mutex_unlock(&backlog->lock);
}

size_t search_backlog_cases(search_backlog *backlog)
{
    pthread_mutex_lock(&backlog->lock);
    size_t waiting = backlog->waiting;
    pthread_mutex_unlock(&backlog->lock);
    return waiting;
}
