/* Two replicas of each service at once answer alike, whichever of them was written to. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/answers.h"
#include "tests/support/conversations.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES &casework__cases__v1__case_service__descriptor

enum { REPLICAS = 2, ROUNDS = 60, WRITERS = 4, MEMORY = 16 * 1024 * 1024 };

struct writer {
    suite *s;
    const char *account;
    unsigned replica;
    int number;
    int failed;
};

/* Creates a case, answers it and resolves it, always at the same replica; the cases of all writers share an
 * account. */
static void write_case(struct writer *w, int round, arena *memory)
{
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__CreateCaseRequest create = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    ProtobufCMessage *response;
    error err;
    the_case.subject = arena_printf(memory, "Writer %d round %d", w->number, round);
    the_case.channel = arena_printf(memory, "%s/channels/desk", w->account);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = arena_printf(memory, "together %d", w->number);
    create.parent = (char *)w->account;
    create.case_ = &the_case;
    create.first_message = &message;
    if (!suite_try_at(w->s, w->replica, CASES, "CreateCase", &create.base, memory, &response, &err)) {
        w->failed++;
        return;
    }
    resolve.name = ((Casework__Cases__V1__CreateCaseResponse *)response)->case_->name;
    /* The other replica is told at once of what this one did: there is one truth. */
    if (round % 3 == 0 &&
        !suite_try_at(w->s, 1 - w->replica, CASES, "ResolveCase", &resolve.base, memory, &response, &err))
        w->failed++;
}

static void *write_cases(void *argument)
{
    struct writer *w = argument;
    for (int round = 0; round < ROUNDS; round++) {
        arena *memory = arena_new(MEMORY);
        write_case(w, round, memory);
        arena_free(memory);
    }
    return NULL;
}

static void write_at_both(suite *s, const char *account)
{
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] =
            (struct writer){.s = s, .account = account, .replica = (unsigned)i % REPLICAS, .number = i};
        cr_assert_eq(pthread_create(&threads[i], NULL, write_cases, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(writers[i].failed, 0, "writer %d: %d of its commands failed", i, writers[i].failed);
    }
}

/* Numbered without holes, each there once, the same at both. */
static void expect_all_cases(suite *s, const char *account, arena *memory)
{
    for (unsigned replica = 0; replica < REPLICAS; replica++) {
        static bool seen[WRITERS * ROUNDS + 1];
        Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
        memset(seen, 0, sizeof seen);
        request.parent = (char *)account;
        request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_ALL;
        request.page_size = 1000;
        const Casework__Cases__V1__ListCasesResponse *response =
            suite_call_at(s, replica, CASES, "ListCases", &request, memory);
        cr_expect_eq(response->n_cases, WRITERS * ROUNDS);
        for (size_t i = 0; i < response->n_cases; i++) {
            long number = strtol(strrchr(response->cases[i]->name, '/') + 1, NULL, 10);
            cr_assert(number >= 1 && number <= WRITERS * ROUNDS && !seen[number]);
            seen[number] = true;
        }
    }
}

static void expect_same_answers(suite *s, const char *account, size_t cases, size_t timers, size_t resolved)
{
    static const char *const words[] = {"together", "writer", "round", "absent"};
    struct answers answers[REPLICAS];
    size_t found, armed, counted;
    for (unsigned replica = 0; replica < REPLICAS; replica++)
        answers_collect(s, replica, &account, 1, words, 4, &answers[replica]);
    cr_expect_eq(answers_compare(&answers[0], &answers[1]), 0);
    answers_weigh(&answers[0], &found, &armed, &counted);
    cr_expect_eq(found, 3 * cases);
    cr_expect_eq(armed, timers);
    cr_expect_eq(counted, resolved);
    for (unsigned replica = 0; replica < REPLICAS; replica++)
        answers_release(&answers[replica]);
}

/* How often the system has closed the case, by its history. */
static int closings(suite *s, const char *name, arena *memory)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    int count = 0;
    request.parent = (char *)name;
    const Casework__Cases__V1__ListCaseEventsResponse *response =
        suite_call(s, CASES, "ListCaseEvents", &request, memory);
    for (size_t i = 0; i < response->n_events; i++)
        count += response->events[i]->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_CLOSED;
    return count;
}

static void expect_closed_once(suite *s, const char *account, size_t cases, arena *memory)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_CLOSED;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCasesResponse *response =
        suite_call(s, CASES, "ListCases", &request, memory);
    cr_expect_eq(response->n_cases, cases);
    for (size_t i = 0; i < response->n_cases; i++)
        cr_expect_eq(closings(s, response->cases[i]->name, memory), 1, "%s", response->cases[i]->name);
}

Test(suite_replicas, two_of_each_give_the_same_results, .timeout = 240)
{
    enum { RESOLVED = WRITERS * (ROUNDS / 3) };
    suite *s = suite_start(&(struct suite_options){.replicas = REPLICAS});
    arena *memory = arena_new(MEMORY);
    const char *account = suite_create_account(s, "acme", "Europe/Amsterdam", memory);
    for (unsigned replica = 0; replica < REPLICAS; replica++)
        for (enum suite_service service = SUITE_CASE; service < SUITE_SERVICES; service++)
            suite_channel(s, service, replica); /* made here, used by the threads */
    write_at_both(s, account);
    expect_all_cases(s, account, memory);
    expect_same_answers(s, account, WRITERS * ROUNDS, RESOLVED, RESOLVED);
    suite_advance(s, 72 * CLOCK_HOUR);
    expect_closed_once(s, account, RESOLVED, memory);
    expect_same_answers(s, account, WRITERS * ROUNDS, 0, RESOLVED);
    arena_free(memory);
    suite_stop(s);
}

Test(suite_replicas, an_import_is_seen_alike_by_both, .timeout = 240)
{
    static const char *const words[] = {"help", "account", "thanks", "refund", "the"};
    const char *path = suite_conversations();
    static const char *const accounts[] = {"accounts/spotifycares", "accounts/google",
                                           "accounts/rockstarsupport"};
    struct conversations conversations;
    struct answers answers[REPLICAS];
    size_t found, timers, resolved;
    suite *s = suite_start(&(struct suite_options){.replicas = REPLICAS});
    const char *const import[] = {"import", path, NULL};
    json_decref(suite_run_json(s, import));
    conversations_read(path, &conversations);
    for (unsigned replica = 0; replica < REPLICAS; replica++) {
        cr_expect_eq(conversations_compare(&conversations, s, replica, ""), 0);
        answers_collect(s, replica, accounts, 3, words, 5, &answers[replica]);
    }
    cr_expect_eq(answers_compare(&answers[0], &answers[1]), 0);
    answers_weigh(&answers[0], &found, &timers, &resolved);
    cr_expect_gt(found, 0);
    for (unsigned replica = 0; replica < REPLICAS; replica++)
        answers_release(&answers[replica]);
    conversations_release(&conversations);
    suite_stop(s);
}
