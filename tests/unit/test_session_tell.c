/*
 * What a tab is told when the lane's answer and the feed meet: the answer to opening it once more may come
 * before or after what the feed tells, and the client hears of locks in one order all the same.
 */

#include "case/case_session_hub.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASE_ID = 7 };

static arena *memory;
static struct case_sessions *hub;
static struct session *anna;
static struct case_record record;
static struct outgoing full; /* stands for what the stream has no room for: so all that is told waits here */
static char heard[1024];

static void setup(void)
{
    memory = arena_new(1 << 20);
    hub = calloc(1, sizeof *hub);
    anna = calloc(1, sizeof *anna);
    cr_assert(memory && hub && anna);
    pthread_mutex_init(&hub->lock, NULL);
    snprintf(anna->account, sizeof anna->account, "acme");
    snprintf(anna->agent, sizeof anna->agent, "anna");
    snprintf(anna->id, sizeof anna->id, "A");
    anna->hub = hub;
    anna->last_tab = &anna->tabs;
    anna->attached_us = clock_monotonic_us();
    anna->grace_us = 3600 * CLOCK_SECOND;
    anna->outgoing = &full;
    anna->last_outgoing = &full.next;
    record = (struct case_record){.account = "acme", .id = CASE_ID, .status = CASE_STATUS_OPEN};
}

static void teardown(void)
{
    while (anna->tabs)
        hub_close_tab(anna->tabs);
    for (struct outgoing *next; full.next; full.next = next) {
        next = full.next->next;
        free(full.next);
    }
    free(anna);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
    arena_free(memory);
}

TestSuite(session_tell, .init = setup, .fini = teardown);

/* The lane's answer: at that place, that session holds the case ("": nobody). */
static void answer(int64_t position, const char *session, int64_t token)
{
    record.lock_session = session;
    record.lock_agent = *session ? (*session == 'A' ? "anna" : "bert") : "";
    record.lock_token = token;
    struct case_tab viewers[] = {{.session = "A", .agent = "anna"}, {.session = "B", .agent = "bert"}};
    const struct tab_answer tab = {&record, viewers, 2};
    session_take_tab(anna, &tab, position, memory);
}

static void event(int64_t position, int kind, const char *session, int64_t token)
{
    Casework__Cases__V1__Event message = CASEWORK__CASES__V1__EVENT__INIT;
    Casework__Cases__V1__CaseFacts facts = CASEWORK__CASES__V1__CASE_FACTS__INIT;
    Casework__Cases__V1__LockFacts lock = CASEWORK__CASES__V1__LOCK_FACTS__INIT;
    message.position = position;
    message.kind = (Casework__Cases__V1__EventKind)kind;
    facts.status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN;
    message.case_facts = &facts;
    lock.agent =
        (char *)(uintptr_t)(*session == 'A' ? "accounts/acme/agents/anna" : "accounts/acme/agents/bert");
    lock.session = (char *)(uintptr_t)session;
    lock.token = token;
    message.lock_facts = &lock;
    session_tell_event(hub_find_tab(anna, CASE_ID), &message);
}

#define GRANTED CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_GRANTED
#define BROKEN CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_LOCK_BROKEN

static void tell(const attach_response *news, char *text, size_t size)
{
    const Casework__Cases__V1__Lock *lock;
    switch (news->response_case) {
    case CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_TAB_OPENED:
        lock = news->tab_opened->lock;
        snprintf(text, size, "opened at %lld by %s %lld", (long long)news->tab_opened->position,
                 lock ? strrchr(lock->agent, '/') + 1 : "nobody", lock ? (long long)lock->token : 0);
        break;
    case CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_GRANTED:
        snprintf(text, size, "granted %lld", (long long)news->lock_granted->token);
        break;
    case CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_LOST:
        snprintf(text, size, "lost");
        break;
    case CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_LOCK_HELD:
        snprintf(text, size, "held %s", *news->lock_held->agent ? "by bert" : "by nobody");
        break;
    default:
        snprintf(text, size, "?");
    }
}

/* All that was told, such as "opened at 10 by anna 1, granted 1". */
static const char *told(void)
{
    heard[0] = '\0';
    for (const struct outgoing *message = full.next; message; message = message->next) {
        size_t length = strlen(heard);
        attach_response *news =
            casework__cases__v1__attach_response__unpack(NULL, message->length, message->data);
        cr_assert(news);
        if (news->response_case != CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_ACTIVITY) {
            length += (size_t)snprintf(heard + length, sizeof heard - length, "%s", length ? ", " : "");
            tell(news, heard + length, sizeof heard - length);
        }
        casework__cases__v1__attach_response__free_unpacked(news, NULL);
    }
    return heard;
}

Test(session_tell, a_tab_is_answered_as_the_lane_has_opened_it)
{
    answer(10, "A", 1);
    cr_assert_str_eq(told(), "opened at 10 by anna 1, granted 1");
}

Test(session_tell, an_answer_that_the_feed_has_overtaken_grants_no_lock_that_is_lost)
{
    answer(10, "A", 1);
    event(12, BROKEN, "A", 1);
    event(13, GRANTED, "B", 2);
    answer(11, "A", 1);
    cr_assert_str_eq(told(), "opened at 10 by anna 1, granted 1, lost, held by bert, opened at 13 by bert 2");
}

Test(session_tell, an_answer_that_the_feed_has_overtaken_takes_no_lock_away)
{
    answer(10, "", 1);
    event(12, GRANTED, "A", 2);
    answer(11, "", 1);
    cr_assert_str_eq(told(), "opened at 10 by nobody 0, granted 2, opened at 12 by anna 2, granted 2");
}

Test(session_tell, what_an_answer_tells_first_the_feed_does_not_tell_again)
{
    answer(10, "A", 1);
    answer(13, "A", 2);
    event(11, BROKEN, "A", 1);
    event(12, GRANTED, "A", 2);
    cr_assert_str_eq(told(), "opened at 10 by anna 1, granted 1, opened at 13 by anna 2, granted 2");
}

Test(session_tell, a_lock_that_an_answer_tells_to_be_anothers_is_lost_first)
{
    answer(10, "A", 1);
    answer(13, "B", 2);
    event(11, BROKEN, "A", 1);
    event(12, GRANTED, "B", 2);
    cr_assert_str_eq(told(), "opened at 10 by anna 1, granted 1, lost, opened at 13 by bert 2");
}
