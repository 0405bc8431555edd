#include "search/search_follower.h"

#include "base/injection.h"
#include "base/log.h"
#include "rpc/name.h"
#include "search/search_backlog.h"
#include "search/search_list.h"
#include "search/search_reader.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_BYTES_MAX = 512 << 20 };

/* An event that concerns more cases than this is worked off beside the feed. */
enum { AT_ONCE_MAX = 300 };

struct search_follower {
    rpc_channel *cases;
    search_index *index;
    void (*caught_up)(void *context);
    void *context;
    arena *memory; /* of one response's events */
    search_backlog *backlog;
    _Atomic(feed_consumer *) consumer;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to follow the feed");
}

static bool note_case(search_follower *follower, struct search_list *changes,
                      const Casework__Cases__V1__Event *event, error *err)
{
    const char *account;
    int64_t number;
    if (!rpc_name_case(follower->memory, event->case_, "case", &account, &number, err))
        return false;
    if (search_index_case_position(follower->index, account, number) >= event->position)
        return true;
    return search_list_add(changes, account, number, follower->memory, err);
}

/* What is known of a contact stands in all its cases. Those that are not in the index yet have events of
 * their own. */
static bool note_contact(search_follower *follower, struct search_list *changes,
                         const Casework__Cases__V1__Event *event, error *err)
{
    const char *account, *contact;
    int64_t *numbers;
    size_t count;
    if (!rpc_name_member(follower->memory, "contacts", event->resource, "resource", &account, &contact,
                         err) ||
        !search_index_contact_cases(follower->index, account, contact, event->position, follower->memory,
                                    &numbers, &count, err))
        return false;
    if (count > AT_ONCE_MAX &&
        search_backlog_add(follower->backlog, account, event->position, numbers, count))
        return true;
    bool done = true;
    for (size_t i = 0; done && i < count; i++)
        done = search_list_add(changes, account, numbers[i], follower->memory, err);
    return done;
}

static bool note_account_deleted(search_follower *follower, struct search_list *changes,
                                 const Casework__Cases__V1__Event *event, error *err)
{
    const char *account;
    if (!rpc_name_account(follower->memory, event->account, "account", &account, err))
        return false;
    search_backlog_forget(follower->backlog, account);
    search_index_drop(follower->index, account);
    search_list_remove_account(changes, account);
    return true;
}

static bool note(search_follower *follower, struct search_list *changes,
                 const Casework__Cases__V1__Event *event, error *err)
{
    switch (event->kind) {
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED:
        return note_account_deleted(follower, changes, event, err);
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_UPDATED:
    case CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_ERASED:
        if (*event->case_) /* one of its cases, afterwards */
            return note_case(follower, changes, event, err);
        return note_contact(follower, changes, event, err);
    default:
        return !*event->case_ || note_case(follower, changes, event, err);
    }
}

/* Once what took the place of erased words is filed. */
static void note_erasures(search_follower *follower, Casework__Cases__V1__Event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *account;
        error err;
        if ((events[i]->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED ||
             events[i]->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_ERASED) &&
            rpc_name_account(follower->memory, events[i]->account, "account", &account, &err))
            search_index_mark_erased(follower->index, account);
    }
}

static bool apply(void *context, Casework__Cases__V1__Event *const *events, size_t count,
                  const struct feed_positions *heads, error *err)
{
    search_follower *follower = context;
    struct search_list changes = {0};
    arena_clear(follower->memory);
    bool done = true;
    for (size_t i = 0; done && i < count; i++)
        done = note(follower, &changes, events[i], err);
    search_list_sort(&changes); /* a case that several events concern is read once */
    if (!done || !search_reader_refresh(follower->cases, follower->index, changes.cases, changes.count,
                                        SEARCH_READER_ONCE, follower->memory, err))
        return false;
    note_erasures(follower, events, count);
    if (injection_point("search_follower.filed"))
        return error_set(err, STATUS_ABORTED, "", "everything is told again");
    search_index_set_positions(follower->index, heads);
    return true;
}

/* What a snapshot names is read as it is then, which is later: what the feed tells of it meanwhile is known.
 */
static bool snapshot(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part,
                     const struct feed_positions *reached, error *err)
{
    search_follower *follower = context;
    struct search_list cases = {0};
    arena_clear(follower->memory);
    bool done = true;
    for (size_t i = 0; done && i < part->n_cases; i++) {
        const char *account;
        int64_t number;
        done = rpc_name_case(follower->memory, part->cases[i]->name, "case", &account, &number, err) &&
               search_list_add(&cases, account, number, follower->memory, err);
    }
    if (!done || !search_reader_refresh(follower->cases, follower->index, cases.cases, cases.count,
                                        SEARCH_READER_RETRY, follower->memory, err))
        return false;
    if (reached)
        search_index_set_positions(follower->index, reached);
    return true;
}

static bool load(void *context, struct feed_positions *ret_positions, error *err)
{
    (void)err;
    const search_follower *follower = context;
    search_index_fed(follower->index, ret_positions);
    /* A snapshot tells all: what another one has told before may have been erased meanwhile. */
    if (!*ret_positions->epoch)
        search_index_clear(follower->index);
    return true;
}

static bool reset(void *context, const char *epoch, error *err)
{
    (void)err;
    const search_follower *follower = context;
    log_info("index starts anew", LOG_TEXT("epoch", epoch));
    search_index_set_positions(follower->index, &(struct feed_positions){.epoch = ""});
    search_backlog_forget(follower->backlog, NULL);
    search_index_clear(follower->index);
    return true;
}

static void tell_caught_up(void *context)
{
    const search_follower *follower = context;
    follower->caught_up(follower->context);
}

static bool is_held(void *context, int partition, const char *account, int64_t position)
{
    const search_follower *follower = context;
    return search_index_is_held(follower->index, partition, account, position);
}

/* Before there is a consumer nobody waits. */
static void tell_progress(void *context)
{
    search_follower *follower = context;
    feed_consumer *consumer = atomic_load(&follower->consumer);
    if (consumer)
        feed_consumer_release(consumer);
}

static bool start(search_follower *follower, const struct feed_consumer_handlers *handlers, error *err)
{
    feed_consumer *consumer;
    if (!search_backlog_new(follower->cases, follower->index, tell_progress, follower, &follower->backlog,
                            err) ||
        !feed_consumer_new(follower->cases, handlers, follower, &consumer, err))
        return false;
    atomic_store(&follower->consumer, consumer);
    return true;
}

bool search_follower_new(rpc_channel *cases, search_index *index, uint64_t partitions,
                         void (*caught_up)(void *context), void *context, search_follower **ret_follower,
                         error *err)
{
    search_follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return out_of_memory(err);
    follower->cases = cases;
    follower->index = index;
    follower->caught_up = caught_up;
    follower->context = context;
    follower->memory = arena_new(EVENTS_BYTES_MAX);
    const struct feed_consumer_handlers handlers = {.load = load,
                                                    .apply = apply,
                                                    .snapshot = snapshot,
                                                    .reset = reset,
                                                    .caught_up = tell_caught_up,
                                                    .partitions = partitions,
                                                    .held = is_held};
    if ((follower->memory || out_of_memory(err)) && start(follower, &handlers, err)) {
        *ret_follower = follower;
        return true;
    }
    search_follower_free(follower);
    return false;
}

void search_follower_quit(search_follower *follower)
{
    feed_consumer_quit(atomic_load(&follower->consumer));
    search_backlog_quit(follower->backlog);
    rpc_channel_stop(follower->cases);
}

void search_follower_stop(search_follower *follower)
{
    feed_consumer *consumer = atomic_load(&follower->consumer);
    if (consumer)
        feed_consumer_stop(consumer);
    if (follower->backlog)
        search_backlog_stop(follower->backlog);
}

void search_follower_free(search_follower *follower)
{
    if (!follower)
        return;
    search_follower_stop(follower);
    search_backlog_free(follower->backlog);
    feed_consumer_free(atomic_load(&follower->consumer));
    arena_free(follower->memory);
    free(follower);
}

feed_consumer *search_follower_consumer(search_follower *follower)
{
    return atomic_load(&follower->consumer);
}

size_t search_follower_backlog(search_follower *follower)
{
    return search_backlog_cases(follower->backlog);
}
