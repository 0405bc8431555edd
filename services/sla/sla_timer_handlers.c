#include "base/clock.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/name.h"
#include "rpc/page.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_handlers.h"
#include "sla/sla_history.h"
#include "sla/sla_target_list.h"
#include "sla/sla_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MOST_US (60 * CLOCK_SECOND)

typedef Casework__Sla__V1__Timer wire_timer;

/* A read that may first have to wait for the feed. Lives in the call's arena. */
struct lookup {
    rpc_call *call;
    arena *memory;
    struct sla_service *service;
    const ProtobufCMessage *request;
    const char *account; /* "" for all */
    int64_t case_id;
    void (*run)(struct lookup *lookup);
    error err;
};

/* --- waiting -------------------------------------------------------------------------------------- */

static void run_task(void *argument)
{
    struct lookup *lookup = argument;
    lookup->run(lookup);
}

static void wake(void *argument, bool reached)
{
    struct lookup *lookup = argument;
    if (reached && rpc_server_run(lookup->service->server, run_task, lookup))
        return;
    if (reached)
        error_set(&lookup->err, STATUS_RESOURCE_EXHAUSTED, "OVERLOADED", "too many requests at once");
    else if (clock_monotonic_us() >= rpc_call_deadline_us(lookup->call))
        error_set(&lookup->err, STATUS_DEADLINE_EXCEEDED, "",
                  "the timers have not come to the position in time");
    else
        error_set(&lookup->err, STATUS_UNAVAILABLE, "DEPENDENCY_DOWN",
                  "the timers have not come to the position");
    rpc_call_fail(lookup->call, &lookup->err);
}

static void run_from(struct lookup *lookup, int64_t min_position)
{
    if (min_position < 0) {
        error_bad_field(&lookup->err, "min_position", "must not be negative");
        rpc_call_fail(lookup->call, &lookup->err);
        return;
    }
    int64_t deadline_us = rpc_call_deadline_us(lookup->call);
    int64_t most_us = clock_monotonic_us() + WAIT_MOST_US;
    if (min_position == 0) {
        lookup->run(lookup);
        return;
    }
    if (!feed_consumer_await(sla_feed_consumer(lookup->service->feed), feed_partition(lookup->account),
                             min_position, deadline_us < most_us ? deadline_us : most_us, wake, lookup,
                             &lookup->err))
        rpc_call_fail(lookup->call, &lookup->err);
}

static struct lookup *new_lookup(rpc_call *call, const ProtobufCMessage *request, void *context,
                                 void (*run)(struct lookup *lookup))
{
    arena *memory = rpc_call_arena(call);
    struct lookup *lookup = arena_calloc(memory, 1, sizeof *lookup);
    if (!lookup) {
        rpc_call_fail_memory(call);
        return NULL;
    }
    lookup->call = call;
    lookup->memory = memory;
    lookup->service = context;
    lookup->request = request;
    lookup->run = run;
    return lookup;
}

static int64_t position_of(const struct lookup *lookup)
{
    if (!*lookup->account)
        return 0;
    return feed_consumer_position(sla_feed_consumer(lookup->service->feed), feed_partition(lookup->account));
}

/* --- the timers of a case ------------------------------------------------------------------------- */

static bool check_case(struct lookup *lookup)
{
    bool exists;
    if (!sla_cases_case_exists(lookup->service->parts.cases, lookup->account, lookup->case_id,
                               rpc_call_deadline_us(lookup->call), &exists, &lookup->err))
        return false;
    return exists ||
           error_set(&lookup->err, STATUS_NOT_FOUND, "NOT_FOUND",
                     "accounts/%s/cases/%" PRId64 " does not exist", lookup->account, lookup->case_id);
}

/* The timers of its targets, behind the `count` there are; at most three. */
static bool add_target_timers(struct lookup *lookup, wire_timer *timers[1 + SLA_TARGET_KINDS], size_t *count)
{
    const struct sla_parts *parts = &lookup->service->parts;
    struct sla_case_timers derived = {.count = 0};
    struct sla_case_page page;
    int64_t now_us = suite_clock_now_us(parts->clock);
    sla_terms *terms = sla_policies_terms(parts->policies, lookup->account);
    if (!terms)
        return true;
    bool ok = sla_history_named(parts->cases, lookup->account, &lookup->case_id, 1,
                                rpc_call_deadline_us(lookup->call), &page, &lookup->err);
    if (ok) {
        if (page.count == 1)
            sla_targets_derive(sla_terms_targets(terms), &page.cases[0].history, now_us, &derived);
        sla_case_page_release(&page);
    }
    sla_terms_release(terms);
    for (size_t i = 0; ok && i < derived.count; i++) {
        wire_timer *wire =
            sla_wire_case_timer(lookup->memory, lookup->account, lookup->case_id, &derived.timers[i], now_us);
        ok = wire || error_set(&lookup->err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        timers[(*count)++] = wire;
    }
    return ok;
}

static void run_case_timers(struct lookup *lookup)
{
    Casework__Sla__V1__ListCaseTimersResponse response = CASEWORK__SLA__V1__LIST_CASE_TIMERS_RESPONSE__INIT;
    wire_timer *timers[1 + SLA_TARGET_KINDS];
    struct timer timer;
    bool found;
    size_t count = 0;
    response.position = position_of(lookup);
    if (!timer_store_get(lookup->service->parts.timers, lookup->account, lookup->case_id, &timer, &found,
                         &lookup->err)) {
        rpc_call_fail(lookup->call, &lookup->err);
        return;
    }
    if (found)
        timers[count++] = sla_wire_timer(lookup->memory, &lookup->service->parts, &timer);
    if (found && !timers[0]) {
        rpc_call_fail_memory(lookup->call);
    } else if (!add_target_timers(lookup, timers, &count) || (count == 0 && !check_case(lookup))) {
        rpc_call_fail(lookup->call, &lookup->err);
    } else {
        response.timers = timers;
        response.n_timers = count;
        rpc_call_reply(lookup->call, &response.base);
    }
}

static void list_case_timers(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Sla__V1__ListCaseTimersRequest *request = (const void *)message;
    struct lookup *lookup = new_lookup(call, message, context, run_case_timers);
    if (!lookup)
        return;
    if (rpc_name_case(lookup->memory, request->parent, "parent", &lookup->account, &lookup->case_id,
                      &lookup->err))
        run_from(lookup, request->min_position);
    else
        rpc_call_fail(call, &lookup->err);
}

/* --- timers by deadline --------------------------------------------------------------------------- */

/* A page over one bucket or all of them. */
struct listing {
    struct timer *timers;      /* of SLA_RULE_TARGETS: with the kind as version */
    struct sla_timer *targets; /* those of them, at the same places */
    int64_t *scores;
    size_t count;
    bool more;
};

static bool listing_new(arena *memory, size_t size, struct listing *listing, error *err)
{
    *listing = (struct listing){
        .timers = arena_calloc(memory, size + 1, sizeof *listing->timers),
        .targets = arena_calloc(memory, size + 1, sizeof *listing->targets),
        .scores = arena_calloc(memory, size + 1, sizeof *listing->scores),
    };
    return (listing->timers && listing->targets && listing->scores) ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the page is too large");
}

enum { MEMBER_SIZE = TIMER_ACCOUNT_SIZE + 48 };

/* As the buckets name it, so that one page token serves them all. */
static void member_of(const struct timer *timer, char member[MEMBER_SIZE])
{
    static const char codes[] = {'?', 'r', 'i', 't'};
    snprintf(member, MEMBER_SIZE, "%s/%" PRId64 "/%c%" PRId64, timer->account, timer->case_id,
             codes[timer->rule], timer->version);
}

/* By deadline, ties as the buckets have them: by member. */
static bool comes_first(const struct listing *a, size_t i, const struct listing *b, size_t j)
{
    char first[MEMBER_SIZE];
    char second[MEMBER_SIZE];
    if (a->scores[i] != b->scores[j])
        return a->scores[i] < b->scores[j];
    member_of(&a->timers[i], first);
    member_of(&b->timers[j], second);
    return strcmp(first, second) < 0;
}

/* The first `size` of two listings. */
static bool merge(arena *memory, const struct listing *a, const struct listing *b, size_t size,
                  struct listing *ret_merged, error *err)
{
    struct listing merged;
    size_t i = 0;
    size_t j = 0;
    if (!listing_new(memory, size, &merged, err))
        return false;
    /* Behind the end of a part that has more there may be others in between. */
    while (merged.count < size && (i < a->count || (j < b->count && !a->more)) &&
           (j < b->count || !b->more)) {
        bool first = j == b->count || (i < a->count && comes_first(a, i, b, j));
        merged.timers[merged.count] = first ? a->timers[i] : b->timers[j];
        merged.targets[merged.count] = first ? a->targets[i] : b->targets[j];
        merged.scores[merged.count++] = first ? a->scores[i++] : b->scores[j++];
    }
    merged.more = a->more || b->more || i < a->count || j < b->count;
    *ret_merged = merged;
    return true;
}

struct listing_bounds {
    int64_t start_us, until_us; /* both inclusive */
    struct rpc_page page;
};

/* Takes out what only says when to look at a case's targets. */
static void drop_looks(struct listing *listing)
{
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->timers[i].rule == SLA_RULE_TARGETS)
            continue;
        listing->timers[count] = listing->timers[i];
        listing->scores[count++] = listing->scores[i];
    }
    listing->count = count;
}

static bool read_bucket(const struct lookup *lookup, int bucket, const struct listing_bounds *bounds,
                        struct listing *ret_listing, error *err)
{
    struct timer_cursor cursor = {.score_us = bounds->start_us};
    size_t size = (size_t)bounds->page.size;
    bool end = false;
    if (bounds->page.after) {
        cursor.score_us = bounds->page.key.first;
        strncpy(cursor.member, bounds->page.key.text, sizeof cursor.member - 1);
    }
    if (!listing_new(lookup->memory, size, ret_listing, err))
        return false;
    while (ret_listing->count == 0 && !end) {
        if (!timer_store_page(lookup->service->parts.timers, bucket,
                              *lookup->account ? lookup->account : NULL, bounds->until_us, &cursor,
                              ret_listing->timers, ret_listing->scores, size, &ret_listing->count, &end, err))
            return false;
        drop_looks(ret_listing);
    }
    ret_listing->more = !end;
    return true;
}

/* --- and those of targets ------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct target_timer *first = a;
    const struct target_timer *second = b;
    char one[MEMBER_SIZE];
    char other[MEMBER_SIZE];
    struct timer left = {
        .case_id = first->case_id, .rule = SLA_RULE_TARGETS, .version = (int)first->timer.kind};
    struct timer right = {
        .case_id = second->case_id, .rule = SLA_RULE_TARGETS, .version = (int)second->timer.kind};
    if (first->score_us != second->score_us)
        return first->score_us < second->score_us ? -1 : 1;
    memcpy(left.account, first->account, sizeof left.account);
    memcpy(right.account, second->account, sizeof right.account);
    member_of(&left, one);
    member_of(&right, other);
    return strcmp(one, other);
}

/* The page's part of a list in order. */
static bool cut_page(const struct lookup *lookup, const struct target_list *list,
                     const struct listing_bounds *bounds, struct listing *ret_listing, error *err)
{
    size_t size = (size_t)bounds->page.size;
    if (!listing_new(lookup->memory, size, ret_listing, err))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const struct target_timer *one = &list->items[i];
        struct timer *timer = &ret_listing->timers[ret_listing->count];
        char member[MEMBER_SIZE];
        *timer = (struct timer){
            .case_id = one->case_id, .rule = SLA_RULE_TARGETS, .version = (int)one->timer.kind};
        memcpy(timer->account, one->account, sizeof timer->account);
        member_of(timer, member);
        if (bounds->page.after &&
            (one->score_us < bounds->page.key.first ||
             (one->score_us == bounds->page.key.first && strcmp(member, bounds->page.key.text) <= 0)))
            continue;
        if (ret_listing->count == size) {
            ret_listing->more = true;
            break;
        }
        ret_listing->targets[ret_listing->count] = one->timer;
        ret_listing->scores[ret_listing->count++] = one->score_us;
    }
    return true;
}

/* Those of the account, or of all that have any. */
static bool list_targets(const struct lookup *lookup, const struct listing_bounds *bounds,
                         struct target_list *list, error *err)
{
    const struct sla_parts *parts = &lookup->service->parts;
    const Casework__Sla__V1__ListTimersRequest *request = (const void *)lookup->request;
    int64_t deadline_us = rpc_call_deadline_us(lookup->call);
    struct sla_policy_row *rows;
    size_t count;
    if (*lookup->account)
        return target_list_add(list, parts, lookup->account, request, bounds->start_us, bounds->until_us,
                               deadline_us, err);
    if (!sla_policies_all(parts->policies, &rows, &count, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = !rows[i].policy.has_targets ||
             target_list_add(list, parts, rows[i].account, request, bounds->start_us, bounds->until_us,
                             deadline_us, err);
    free(rows);
    return ok;
}

static bool read_targets(const struct lookup *lookup, const struct listing_bounds *bounds,
                         struct listing *ret_listing, error *err)
{
    struct target_list list = {0};
    bool ok = list_targets(lookup, bounds, &list, err);
    if (ok && list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, by_place);
    ok = ok && cut_page(lookup, &list, bounds, ret_listing, err);
    target_list_release(&list);
    return ok;
}

static bool read_all(const struct lookup *lookup, const struct listing_bounds *bounds,
                     struct listing *ret_listing, error *err)
{
    struct listing all;
    if (*lookup->account)
        return read_bucket(lookup, feed_partition(lookup->account), bounds, ret_listing, err);
    if (!listing_new(lookup->memory, 0, &all, err))
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        struct listing one;
        if (!read_bucket(lookup, b, bounds, &one, err) ||
            !merge(lookup->memory, &all, &one, (size_t)bounds->page.size, &all, err))
            return false;
    }
    *ret_listing = all;
    return true;
}

static bool read_wanted(const struct lookup *lookup, const struct listing_bounds *bounds,
                        struct listing *ret_listing, error *err)
{
    struct listing closing;
    struct listing targets;
    if (!listing_new(lookup->memory, 0, &closing, err) || !read_targets(lookup, bounds, &targets, err) ||
        (target_list_wants((const void *)lookup->request, SLA_KIND_CLOSE, SLA_STATE_ARMED) &&
         !read_all(lookup, bounds, &closing, err)))
        return false;
    return merge(lookup->memory, &closing, &targets, (size_t)bounds->page.size, ret_listing, err);
}

static bool read_bounds(const struct lookup *lookup, struct listing_bounds *ret_bounds, error *err)
{
    const Casework__Sla__V1__ListTimersRequest *request = (const void *)lookup->request;
    int64_t start_us, end_us;
    if (!wire_bound_us(request->start_time, &start_us))
        return error_bad_field(err, "start_time", "is no time");
    if (!wire_bound_us(request->end_time, &end_us))
        return error_bad_field(err, "end_time", "is no time");
    ret_bounds->start_us = start_us > 0 ? start_us : 0;
    ret_bounds->until_us = request->end_time ? end_us - 1 : INT64_MAX;
    return rpc_page_open(lookup->memory, lookup->request, NULL, &rpc_page_sizes_usual, &ret_bounds->page,
                         err);
}

static wire_timer *wire_of(const struct lookup *lookup, const struct listing *listing, size_t index)
{
    const struct timer *timer = &listing->timers[index];
    if (timer->rule != SLA_RULE_TARGETS)
        return sla_wire_timer(lookup->memory, &lookup->service->parts, timer);
    return sla_wire_case_timer(lookup->memory, timer->account, timer->case_id, &listing->targets[index],
                               suite_clock_now_us(lookup->service->parts.clock));
}

static bool fill(struct lookup *lookup, const struct listing *listing,
                 Casework__Sla__V1__ListTimersResponse *response)
{
    response->timers = arena_calloc(lookup->memory, listing->count + 1, sizeof(wire_timer *));
    if (!response->timers)
        return false;
    for (size_t i = 0; i < listing->count; i++)
        if (!(response->timers[i] = wire_of(lookup, listing, i)))
            return false;
    response->n_timers = listing->count;
    if (!listing->more || listing->count == 0)
        return true;
    size_t last = listing->count - 1;
    char member[MEMBER_SIZE];
    member_of(&listing->timers[last], member);
    struct rpc_page_key key = {.first = listing->scores[last], .text = member};
    char *token = rpc_page_seal(lookup->memory, lookup->request, NULL, &key);
    if (token)
        response->next_page_token = token;
    return token != NULL;
}

/* Nothing listed: is there such an account at all? */
static bool check_account(struct lookup *lookup)
{
    bool exists = true;
    if (*lookup->account &&
        !sla_cases_account_exists(lookup->service->parts.cases, lookup->account,
                                  rpc_call_deadline_us(lookup->call), &exists, &lookup->err))
        return false;
    return exists || error_set(&lookup->err, STATUS_NOT_FOUND, "NOT_FOUND", "accounts/%s does not exist",
                               lookup->account);
}

static void run_timers(struct lookup *lookup)
{
    Casework__Sla__V1__ListTimersResponse response = CASEWORK__SLA__V1__LIST_TIMERS_RESPONSE__INIT;
    struct listing_bounds bounds;
    struct listing listing = {0};
    response.position = position_of(lookup);
    if (!read_bounds(lookup, &bounds, &lookup->err) ||
        !read_wanted(lookup, &bounds, &listing, &lookup->err) ||
        (listing.count == 0 && !check_account(lookup)))
        rpc_call_fail(lookup->call, &lookup->err);
    else if (!fill(lookup, &listing, &response))
        rpc_call_fail_memory(lookup->call);
    else
        rpc_call_reply(lookup->call, &response.base);
}

static bool check_filters(const Casework__Sla__V1__ListTimersRequest *request, error *err)
{
    for (size_t i = 0; i < request->n_kinds; i++)
        if (request->kinds[i] < CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_CLOSE ||
            request->kinds[i] > CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_RESOLUTION)
            return error_bad_field(err, "kinds", "is no kind of timer");
    for (size_t i = 0; i < request->n_states; i++)
        if (request->states[i] < CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_ARMED ||
            request->states[i] > CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_BREACHED)
            return error_bad_field(err, "states", "is no state of a timer");
    return true;
}

static void list_timers(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Sla__V1__ListTimersRequest *request = (const void *)message;
    struct lookup *lookup = new_lookup(call, message, context, run_timers);
    if (!lookup)
        return;
    if (!rpc_name_accounts(lookup->memory, request->parent, "parent", &lookup->account, &lookup->err) ||
        !check_filters(request, &lookup->err)) {
        rpc_call_fail(call, &lookup->err);
    } else if (!*lookup->account && request->min_position > 0) {
        error_bad_field(&lookup->err, "min_position", "must be 0 with accounts/-");
        rpc_call_fail(call, &lookup->err);
    } else {
        run_from(lookup, request->min_position);
    }
}

const struct rpc_method sla_timer_methods[] = {
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "ListCaseTimers",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = list_case_timers},
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "ListTimers",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = list_timers},
    {.service = NULL},
};
