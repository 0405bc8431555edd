/*
 * Many agents over three replicas that are stopped and killed: what they were told of locks, and what became
 * of their writes, fits into one order. CASEWORK_LOCK_SECONDS says how long, CASEWORK_MODEL_SEED how.
 */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/case_script.h"
#include "tests/support/lock_client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)
#define GRACE CLOCK_SECOND
#define NOT_LONGER_THAN CLOCK_MINUTE /* whatever is waited for */

enum { REPLICAS = 3, CLIENTS = 12, USUALLY_SECONDS = 8, RUNS_MAX = 10 };

static struct case_replicas replicas;
static struct lock_bench bench;
static struct lock_client clients[CLIENTS];
static struct lock_history history;
static uint64_t random_state;
static int frozen = -1;            /* the replica that is stopped or dead */
static int spared = -1;            /* the case whose lock no admin breaks for now */
static size_t stops, kills, taken; /* from holders on a replica that stood still, as others saw */

static void setup(void)
{
    case_replicas_start(&replicas, REPLICAS, true);
    case_replicas_account(&replicas, "acme", GRACE, "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 Boss");
    bench.replicas = &replicas;
    bench.account = "acme";
    bench.grace_us = GRACE;
    for (int i = 0; i < LOCK_CASES; i++)
        bench.cases[i] = case_replicas_case(&replicas, "acme");
}

static void teardown(void)
{
    lock_history_release(&history);
    case_replicas_stop(&replicas);
}

TestSuite(lock_history, .init = setup, .fini = teardown, .timeout = 7200);

/* --- faults -----------------------------------------------------------------------------------------------
 */

static unsigned healthy(void)
{
    unsigned replica = script_pick(&random_state, REPLICAS);
    return (int)replica == frozen ? (replica + 1) % REPLICAS : replica;
}

/* Whoever holds one of the cases. */
static void break_a_lock(void)
{
    Casework__Cases__V1__BreakCaseLockRequest request = CASEWORK__CASES__V1__BREAK_CASE_LOCK_REQUEST__INIT;
    void *response;
    error err = {0};
    int case_index = (int)script_pick(&random_state, LOCK_CASES);
    request.name = (char *)(uintptr_t)bench.cases[case_index];
    if (case_index == spared)
        return;
    if (!case_replicas_try(&replicas, healthy(), CASES, "BreakCaseLock", &request, "boss", NULL, &response,
                           &err))
        cr_assert(err.code == STATUS_UNAVAILABLE, "BreakCaseLock: %s %s", err.reason, err.message);
}

static void linger(int64_t duration_us)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000000};
    for (int64_t until = clock_monotonic_us() + duration_us; clock_monotonic_us() < until;) {
        nanosleep(&pause, NULL);
        if (script_pick(&random_state, 100) < 15)
            break_a_lock();
    }
}

/* Whose session holds the case; NULL: nobody's, or it cannot be told. */
static struct lock_client *find_holder(int case_index)
{
    Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    void *answer;
    error err;
    request.name = (char *)(uintptr_t)bench.cases[case_index];
    if (!case_replicas_try(&replicas, healthy(), CASES, "GetCase", &request, NULL, NULL, &answer, &err))
        return NULL;
    const Casework__Cases__V1__Case *subject = ((Casework__Cases__V1__GetCaseResponse *)answer)->case_;
    const char *slash = subject->lock ? strrchr(subject->lock->agent, '/') : NULL;
    for (int i = 0; slash && i < CLIENTS; i++) {
        if (strcmp(clients[i].agent, slash + 1) == 0)
            return &clients[i];
    }
    return NULL;
}

static int replica_of(struct lock_client *c)
{
    pthread_mutex_lock(&c->lock);
    int replica = c->replica;
    pthread_mutex_unlock(&c->lock);
    return replica;
}

/* Somebody who holds a case, and will not leave before it is told to be calm no more. */
static struct lock_client *choose_victim(int *ret_case, int *ret_replica)
{
    for (int64_t until = clock_monotonic_us() + NOT_LONGER_THAN; clock_monotonic_us() < until;) {
        int i = (int)script_pick(&random_state, LOCK_CASES);
        struct lock_client *victim = find_holder(i);
        if (!victim)
            continue;
        spared = i;
        victim->calm = true;
        linger(GRACE / 10); /* it may just be leaving */
        *ret_case = i;
        *ret_replica = replica_of(victim);
        if (*ret_replica >= 0 && find_holder(i) == victim)
            return victim;
        victim->calm = false;
    }
    fprintf(stderr, "nobody holds a case\n");
    abort();
}

static void strike(int replica, int signal_number, enum lock_leaving leaving)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct lock_client *c = &clients[i];
        struct lock_note left = {.kind = LOCK_NOTE_LEFT, .case_index = -1, .leaving = leaving};
        pthread_mutex_lock(&c->lock);
        left.start_us = left.end_us = clock_monotonic_us();
        snprintf(left.session, sizeof left.session, "%s", c->session);
        if (c->replica == replica)
            lock_history_note(&history, &left);
        pthread_mutex_unlock(&c->lock);
    }
    frozen = replica;
    case_replicas_signal(&replicas, (unsigned)replica, signal_number);
}

/* Until the victim has lost the case, or not so long. */
static void stop_one(bool for_long)
{
    int case_index, replica;
    struct lock_client *victim = choose_victim(&case_index, &replica), *holder = victim;
    int64_t until = clock_monotonic_us() + NOT_LONGER_THAN;
    strike(replica, SIGSTOP, LOCK_LEFT_STOPPED);
    if (!for_long)
        linger(2 * script_pick(&random_state, (unsigned)GRACE));
    while (for_long && (!holder || holder == victim || replica_of(holder) == replica) &&
           clock_monotonic_us() < until) {
        linger(GRACE / 5);
        holder = find_holder(case_index);
    }
    taken += for_long && holder && holder != victim;
    linger(GRACE / 5); /* the next one hears of it */
    case_replicas_signal(&replicas, (unsigned)replica, SIGCONT);
    frozen = spared = -1;
    victim->calm = false;
    stops++;
}

static void kill_one(void)
{
    int case_index, replica;
    struct lock_client *victim = choose_victim(&case_index, &replica);
    strike(replica, SIGKILL, LOCK_LEFT_KILLED);
    linger(script_pick(&random_state, (unsigned)GRACE));
    case_replicas_restart(&replicas, (unsigned)replica);
    frozen = spared = -1;
    victim->calm = false;
    kills++;
}

static int64_t duration(void)
{
    const char *text = getenv("CASEWORK_LOCK_SECONDS");
    long seconds = text && *text ? strtol(text, NULL, 10) : USUALLY_SECONDS;
    return seconds * CLOCK_SECOND;
}

static void run(void)
{
    int64_t until = clock_monotonic_us() + duration();
    bench.over = false;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct lock_client){.bench = &bench, .random = script_random(&random_state)};
        snprintf(clients[i].agent, sizeof clients[i].agent, "a%d", i);
        lock_client_start(&clients[i]);
    }
    linger(GRACE / 2);
    for (int round = 0; round < 2 || clock_monotonic_us() < until; round++) {
        if (round % 2)
            kill_one();
        else
            stop_one(round % 4 == 0);
        linger(GRACE / 2);
    }
    bench.over = true;
    for (int i = 0; i < CLIENTS; i++)
        lock_client_join(&clients[i]);
}

/* --- what is then in the histories ------------------------------------------------------------------------
 */

/* Notes of all clients, behind those of earlier runs; by numbers of writes: their notes. To be freed. */
static size_t *gather_notes(void)
{
    size_t *places = calloc((size_t)bench.writes + 1, sizeof *places);
    cr_assert_not_null(places);
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert_str_eq(clients[i].strange, "", "%s: %s", clients[i].agent, clients[i].strange);
        for (size_t k = 0; k < clients[i].notes.note_count; k++)
            lock_history_note(&history, &clients[i].notes.notes[k]);
        lock_history_release(&clients[i].notes);
    }
    for (size_t i = 0; i < history.note_count; i++) {
        history.notes[i].position = 0;
        if (history.notes[i].kind == LOCK_NOTE_WRITE)
            places[history.notes[i].write] = i;
    }
    return places;
}

/* By the numbers of the case's messages: which write each is. */
static int *read_messages(int case_index)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    int *writes = calloc((size_t)bench.writes + 2, sizeof *writes);
    cr_assert_not_null(writes);
    request.parent = (char *)(uintptr_t)bench.cases[case_index];
    request.page_size = 1000;
    do {
        const Casework__Cases__V1__ListMessagesResponse *page =
            case_replicas_call(&replicas, 0, MESSAGES, "ListMessages", &request, NULL);
        for (size_t i = 0; i < page->n_messages; i++)
            writes[page->messages[i]->number] = (int)strtol(page->messages[i]->body, NULL, 10);
        request.page_token = page->next_page_token;
    } while (request.page_token[0]);
    return writes;
}

static void take_lock(int case_index, const Casework__Cases__V1__Event *event,
                      const Casework__Cases__V1__LockFacts *lock)
{
    if (event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_GRANTED)
        lock_history_granted(&history, case_index, event->position, lock->session,
                             strrchr(lock->agent, '/') + 1, lock->token);
    else
        lock_history_ended(&history, case_index, event->position, lock->session, lock->token,
                           event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_BROKEN);
}

static void take_event(int case_index, const Casework__Cases__V1__Event *event, const int *writes,
                       const size_t *places)
{
    if (event->lock_facts)
        take_lock(case_index, event, event->lock_facts);
    if (event->kind != CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_ADDED ||
        writes[event->message->number] == 0)
        return; /* also the customer's message, which the case began with */
    struct lock_note *note = &history.notes[places[writes[event->message->number]]];
    cr_assert(note->case_index == case_index && note->position == 0, "write %d is there twice", note->write);
    note->position = event->position;
}

static void gather_events(int case_index, const size_t *places)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    int *writes = read_messages(case_index);
    request.parent = (char *)(uintptr_t)bench.cases[case_index];
    request.page_size = 1000;
    do {
        const Casework__Cases__V1__ListCaseEventsResponse *page =
            case_replicas_call(&replicas, 0, CASES, "ListCaseEvents", &request, NULL);
        for (size_t i = 0; i < page->n_events; i++)
            take_event(case_index, page->events[i], writes, places);
        request.page_token = page->next_page_token;
    } while (request.page_token[0]);
    free(writes);
}

static void print_counts(const struct lock_counts *counts)
{
    const size_t *passed_on = counts->passed_on;
    fprintf(stderr,
            "%zu stops, %zu kills; %zu grants, %zu broken; passed on after: close %zu, log-out %zu, cut %zu,"
            " stop %zu, kill %zu; told: %zu granted, %zu lost, %zu seen; writes: %zu done, %zu refused,"
            " %zu unknown, of which %zu were done\n",
            stops, kills, counts->tenures, counts->broken, passed_on[LOCK_LEFT_TAB],
            passed_on[LOCK_LEFT_LOG_OUT], passed_on[LOCK_LEFT_CUT], passed_on[LOCK_LEFT_STOPPED],
            passed_on[LOCK_LEFT_KILLED], counts->granted, counts->lost, counts->seen, counts->done,
            counts->refused, counts->unknown, counts->unknown_done);
}

/* What the verdict is to mean something for. */
static bool has_seen_all(const struct lock_counts *counts)
{
    return stops > 0 && kills > 0 && taken > 0 && counts->broken > 0 && counts->done > 0 &&
           counts->refused > 0 && counts->unknown > 0 && counts->passed_on[LOCK_LEFT_CUT] > 0;
}

static struct lock_counts judge(uint64_t seed)
{
    size_t *places = gather_notes();
    history.tenure_count = 0; /* the events are read from their beginning */
    for (int i = 0; i < LOCK_CASES; i++)
        gather_events(i, places);
    free(places);
    const char *complaint = lock_history_check(&history);
    cr_assert_null(complaint, "CASEWORK_MODEL_SEED=%llu: %s", (unsigned long long)seed, complaint);
    const struct lock_counts counts = lock_history_count(&history);
    print_counts(&counts);
    return counts;
}

/* Once more, within limits, where chance has not brought about everything yet. */
Test(lock_history, is_linearizable_over_replicas_that_are_stopped_and_killed)
{
    uint64_t seed = script_seed();
    fprintf(stderr, "lock_history: CASEWORK_MODEL_SEED=%llu\n", (unsigned long long)seed);
    random_state = seed;
    for (int runs = 0; runs < RUNS_MAX; runs++) {
        run();
        const struct lock_counts counts = judge(seed);
        if (has_seen_all(&counts))
            return;
    }
    cr_assert_fail("not all that is to be checked has happened");
}
