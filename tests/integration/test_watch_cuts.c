/*
 * A watch that is cut and resumed at random, at one replica or the other, under a stream of changes and with
 * time going by, adds up to exactly what is there in the end, with no gap and no duplicate.
 *
 * CASEWORK_WATCH_CUTS: how often each watch is cut (1,000 for the full run). CASEWORK_SEED: the random
 * choices.
 */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "tests/support/case_server.h"
#include "tests/support/churn.h"
#include "tests/support/watcher.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)

/* More than one part of a snapshot holds. */
enum { FIRST_CASES = 700, FOLDERS = 12, TARGETS = FOLDERS + 2, CUTS = 25, CHANGES = 1500 };

static struct case_server server;

struct target {
    struct watcher *watcher;
    rpc_channel *channels[2];
    pthread_t thread;
    uint64_t random;
    uint64_t window_ms; /* for which it reads at most before a cut */
    int cuts;
    _Atomic int64_t told; /* items so far */
    _Atomic bool cut_enough;
};

static _Atomic int64_t final_position; /* 0: changes still come */

static long setting(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

static void create_agent(const char *id)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent_id = (char *)(uintptr_t)id;
    request.agent = &agent;
    case_server_call(&server, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request);
}

static void setup(void)
{
    static const char *const messages[] = {"c", "ca", "cac", "cacn"};
    Casework__Cases__V1__ImportConversationsRequest *items[FIRST_CASES];
    case_server_start(&server);
    case_server_start_other(&server);
    case_server_account(&server, "acme");
    create_agent("bert");
    create_agent("anna");
    for (int i = 0; i < FIRST_CASES; i++) {
        char id[32];
        snprintf(id, sizeof id, "c%d", i);
        items[i] = case_server_conversation(&server, "acme", id, "subject", messages[i % 4],
                                            CASE_SERVER_START_US - 20 * CLOCK_HOUR);
    }
    cr_assert_eq(case_server_import(&server, items, FIRST_CASES)->conversations_imported, FIRST_CASES);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(watch_cuts, .init = setup, .fini = teardown, .timeout = 600);

/* --- a client that loses its connection all the time --- */

/* A server that so many connections keep busy may say so: then it is asked again. */
static bool may_go_on(struct watcher *w, const error *err)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000000};
    if (strcmp(err->reason, "SERVER_BUSY") != 0)
        return snprintf(w->failure, sizeof w->failure, "%s: %s", err->reason, err->message) < 0;
    nanosleep(&pause, NULL);
    return true;
}

/*
 * Reads for a random number of items; false when something was wrong. Where the server is too slow to tell
 * anything in that time, there is more of it the next time.
 */
static bool read_some(struct target *target)
{
    struct watcher *w = target->watcher;
    const Casework__Cases__V1__WatchCasesResponse *item;
    error err;
    uint64_t most = churn_random(&target->random) % 60;
    int64_t until =
        clock_monotonic_us() + (int64_t)(churn_random(&target->random) % target->window_ms) * 1000;
    int64_t before = w->items;
    for (uint64_t i = 0; i < most && clock_monotonic_us() < until; i++) {
        enum rpc_read read = watcher_read(w, 10000, &item, &err);
        if (read == RPC_READ_FAILED)
            return may_go_on(w, &err);
        if (read == RPC_READ_END)
            return snprintf(w->failure, sizeof w->failure, "it ended") < 0;
    }
    if (!w->complete && w->items == before && target->window_ms < 2000)
        target->window_ms *= 2;
    if (churn_random(&target->random) % 8 == 0) { /* and sometimes it does not read what has come */
        const struct timespec pause = {.tv_nsec = 20 * 1000000};
        nanosleep(&pause, NULL);
    }
    return true;
}

/*
 * Whatever has come by the end is read when the first item says so: one that resumes is told where it stands.
 * Where that takes long because the server is slow, it is waited for longer the next time.
 */
static bool reach_end(struct watcher *w, int64_t until, int64_t *patience_us)
{
    const Casework__Cases__V1__WatchCasesResponse *item;
    error err;
    while (w->position < until || !w->complete) {
        enum rpc_read read = watcher_read(w, *patience_us, &item, &err);
        if (read == RPC_READ_TIMEOUT) {
            *patience_us *= 2;
            return true; /* once more */
        }
        if (read != RPC_READ_MESSAGE)
            return may_go_on(w, &err);
    }
    return true;
}

static void *be_cut(void *argument)
{
    struct target *target = argument;
    struct watcher *w = target->watcher;
    int64_t deadline = clock_monotonic_us() + 10 * CLOCK_MINUTE, patience_us = CLOCK_SECOND / 5;
    bool good = true;
    for (bool ended = false; good && !ended && clock_monotonic_us() < deadline;) {
        int64_t until = atomic_load(&final_position);
        watcher_open(w, target->channels[churn_random(&target->random) % 2]);
        good = until ? reach_end(w, until, &patience_us) : read_some(target);
        watcher_cut(w);
        atomic_store(&target->told, w->items);
        ended = until && w->position >= until && w->complete;
        if (w->cuts >= target->cuts)
            atomic_store(&target->cut_enough, true);
    }
    atomic_store(&target->cut_enough, true);
    return NULL;
}

/* --- the truth --- */

static void check_case(const struct watcher *w, const Casework__Cases__V1__Case *found, const char *what)
{
    long number = strtol(strrchr(found->name, '/') + 1, NULL, 10);
    cr_assert_eq(w->versions[number], found->version, "%s: %s has version %lld, the watch %lld", what,
                 found->name, (long long)found->version, (long long)w->versions[number]);
}

/* How many cases the folder has, as counted. */
static size_t count_of(const struct watcher *w)
{
    Casework__Cases__V1__CountCasesRequest request = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    request.parent = w->request.parent;
    request.agent = w->request.agent;
    Casework__Cases__V1__CountCasesResponse *counts =
        case_server_call(&server, CASES, "CountCases", &request);
    for (size_t i = 0; i < counts->n_counts; i++) {
        if (counts->counts[i]->folder == w->request.folder)
            return (size_t)counts->counts[i]->count;
    }
    return 0;
}

static void check_folder(const struct watcher *w)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    char what[32];
    size_t count = 0;
    request.parent = w->request.parent;
    request.agent = w->request.agent;
    request.folder = w->request.folder;
    request.labels = w->request.labels;
    request.n_labels = w->request.n_labels;
    request.page_size = 1000;
    snprintf(what, sizeof what, "folder %d", (int)w->request.folder);
    do {
        Casework__Cases__V1__ListCasesResponse *page =
            case_server_call(&server, CASES, "ListCases", &request);
        for (size_t i = 0; i < page->n_cases; i++, count++)
            check_case(w, page->cases[i], what);
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    if (w->request.n_labels == 0)
        cr_assert_eq(count_of(w), count, "%s: counted %zu, listed %zu", what, count_of(w), count);
    cr_assert_eq(w->count, count, "%s: the watch has %zu, the list %zu", what, w->count, count);
}

static void check(const struct watcher *w)
{
    cr_assert_str_empty(w->failure, "%s", w->failure);
    cr_assert(w->complete);
    cr_assert_geq(w->position, atomic_load(&final_position));
    if (w->request.target_case == CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER) {
        check_folder(w);
        return;
    }
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    request.name = w->request.case_;
    Casework__Cases__V1__GetCaseResponse *got = case_server_call(&server, CASES, "GetCase", &request);
    check_case(w, got->case_, "one case");
}

/* --- the test --- */

static void aim(struct target *target, int index, uint64_t seed)
{
    static char *labels[] = {(char *)(uintptr_t) "blue"};
    Casework__Cases__V1__WatchCasesRequest request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent = (char *)(uintptr_t) "accounts/acme/agents/anna";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = (Casework__Cases__V1__Folder)(index % FOLDERS + 1);
    if (index == FOLDERS) {
        request.labels = labels;
        request.n_labels = 1;
    } else if (index == FOLDERS + 1) {
        request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_CASE;
        request.case_ = (char *)(uintptr_t) "accounts/acme/cases/7";
    }
    target->watcher = watcher_new(&request);
    target->channels[0] = server.channel;
    target->channels[1] = server.other_channel;
    target->random = seed + (uint64_t)index;
    target->window_ms = 30;
    target->cuts = (int)setting("CASEWORK_WATCH_CUTS", CUTS);
}

static bool all_cut(struct target *targets)
{
    bool all = true;
    for (int i = 0; i < TARGETS; i++)
        all = all && atomic_load(&targets[i].cut_enough);
    return all;
}

static int64_t told(struct target *targets)
{
    int64_t items = 0;
    for (int i = 0; i < TARGETS; i++)
        items += atomic_load(&targets[i].told);
    return items;
}

/* Time goes by while cases come and go: those of Recent drop out. A slow server is given the time to tell
 * enough. */
static void await_cuts(struct target *targets, churn *changes)
{
    int64_t deadline = clock_monotonic_us() + 5 * CLOCK_MINUTE;
    while (!all_cut(targets) || churn_count(changes) < CHANGES || told(targets) < CHANGES) {
        cr_assert_lt(clock_monotonic_us(), deadline, "too little was told");
        const struct timespec pause = {.tv_nsec = 100 * 1000000};
        nanosleep(&pause, NULL);
        case_server_advance(&server, CLOCK_HOUR);
        arena_clear(server.memory);
    }
}

static int64_t position_now(void)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    Casework__Cases__V1__GetPositionResponse *answer =
        case_server_call(&server, &casework__cases__v1__event_service__descriptor, "GetPosition", &request);
    return answer->position;
}

/* What drops out of Recent as time goes by has no position: its watch is read until it holds as many as the
 * list. */
static void settle_recent(struct target *target)
{
    struct watcher *w = target->watcher;
    size_t expected = count_of(w);
    const Casework__Cases__V1__WatchCasesResponse *item;
    error err;
    int64_t deadline = clock_monotonic_us() + CLOCK_MINUTE;
    watcher_open(w, target->channels[0]);
    while (w->count != expected && clock_monotonic_us() < deadline)
        cr_assert_neq(watcher_read(w, CLOCK_SECOND, &item, &err), RPC_READ_FAILED, "%s", err.message);
    watcher_cut(w);
}

Test(watch_cuts, add_up_to_what_is_there)
{
    static struct target targets[TARGETS];
    uint64_t seed = (uint64_t)setting("CASEWORK_SEED", (long)(clock_monotonic_us() & 0xffffff));
    fprintf(stderr, "CASEWORK_SEED=%llu\n", (unsigned long long)seed);
    const struct churn_options options = {.channels = {server.channel, server.other_channel},
                                          .account = "acme",
                                          .first_case = 1,
                                          .last_case = FIRST_CASES,
                                          .creates = true,
                                          .in_flight = 4,
                                          .a_second = 400,
                                          .seed = seed};
    churn *changes = churn_start(&options);
    for (int i = 0; i < TARGETS; i++) {
        aim(&targets[i], i, seed);
        cr_assert_eq(pthread_create(&targets[i].thread, NULL, be_cut, &targets[i]), 0);
    }
    await_cuts(targets, changes);
    churn_stop(changes);
    atomic_store(&final_position, position_now());
    for (int i = 0; i < TARGETS; i++) {
        pthread_join(targets[i].thread, NULL);
        if (targets[i].watcher->request.folder == CASEWORK__CASES__V1__FOLDER__FOLDER_RECENT)
            settle_recent(&targets[i]);
        check(targets[i].watcher);
        watcher_free(targets[i].watcher);
    }
}
