/*
 * Generated merges, undoings, messages and deletions against a plain model: lists of messages, written from
 * the behaviour and not from the service. CASEWORK_SEED gives the seed that a failed run has printed.
 */

#include "base/clock.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 4, CASES_MAX = 64, MESSAGES_MAX = 512, STEPS = 150 };

struct plain_message {
    int number, kind, time; /* kinds and order of time as they are told by the service */
    int from;               /* case; 0: written here */
    char body[16];
};

struct plain_case {
    int person, merged_into;
    bool deleted;
    struct plain_message messages[MESSAGES_MAX];
    size_t count;
};

struct model {
    struct plain_case cases[CASES_MAX + 1]; /* by number, from 1 */
    int case_count;
    int time; /* of the latest message */
    uint64_t random;
};

static struct case_server server;
static struct model *model;

static void setup(void)
{
    desk_start(&server);
    model = arena_calloc(server.memory, 1, sizeof *model);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_merge_model, .init = setup, .fini = teardown, .timeout = 180);

static int dice(int sides)
{
    model->random = model->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((model->random >> 33) % (uint64_t)sides);
}

static char *name_of(int number)
{
    return arena_printf(server.memory, "accounts/acme/cases/%d", number);
}

/* --- the model --------------------------------------------------------------------------------------------
 */

static struct plain_case *end_of(int number)
{
    while (model->cases[number].merged_into != 0)
        number = model->cases[number].merged_into;
    return &model->cases[number];
}

static void put(struct plain_case *to, int kind, int from, int time, const char *body)
{
    int last = to->count == 0 ? 0 : to->messages[to->count - 1].number;
    struct plain_message *message = &to->messages[to->count++];
    *message = (struct plain_message){.number = last + 1, .kind = kind, .time = time, .from = from};
    snprintf(message->body, sizeof message->body, "%s", body);
}

/* "": it is done. */
static const char *plain_merge(int source, int target)
{
    struct plain_case *from = &model->cases[source], *to = &model->cases[target];
    if (from->merged_into == target)
        return "";
    if (from->merged_into != 0)
        return "CASE_MERGED";
    if (from->deleted)
        return "CASE_DELETED";
    if (to->merged_into != 0)
        return "CASE_MERGED";
    if (to->deleted)
        return "CASE_DELETED";
    for (size_t i = 0; i < from->count; i++)
        put(to, from->messages[i].kind, source, from->messages[i].time, from->messages[i].body);
    from->merged_into = target;
    return "";
}

static const char *plain_unmerge(int source)
{
    struct plain_case *from = &model->cases[source], *to = &model->cases[from->merged_into];
    if (from->merged_into == 0)
        return "NOT_MERGED";
    if (to->merged_into != 0)
        return "CASE_MERGED";
    if (to->deleted)
        return "CASE_DELETED";
    size_t kept = 0;
    for (size_t i = 0; i < to->count; i++) {
        if (to->messages[i].from != source)
            to->messages[kept++] = to->messages[i];
    }
    to->count = kept;
    from->merged_into = 0;
    return "";
}

/* Where what the person writes goes: the newest case whose conversation is not deleted; else a new one. */
static struct plain_case *plain_route(int person)
{
    for (int number = model->case_count; number > 0; number--) {
        if (model->cases[number].person == person && !end_of(number)->deleted)
            return end_of(number);
    }
    struct plain_case *made = &model->cases[++model->case_count];
    made->person = person;
    return made;
}

static int compare_times(const void *a, const void *b)
{
    const struct plain_message *x = a, *y = b;
    return x->time != y->time ? x->time - y->time : x->number - y->number;
}

static bool reads_by_time(int number)
{
    for (int other = 1; other <= model->case_count; other++) {
        if (model->cases[other].merged_into == number)
            return true;
    }
    return false;
}

/* --- comparing --------------------------------------------------------------------------------------------
 */

static void compare_case(int number)
{
    const struct plain_case *plain = &model->cases[number];
    const Casework__Cases__V1__Case *real = desk_case(&server, name_of(number));
    struct plain_message *order = arena_calloc(server.memory, plain->count + 1, sizeof *order);
    bool need_reply = false;
    memcpy(order, plain->messages, plain->count * sizeof *order);
    if (reads_by_time(number))
        qsort(order, plain->count, sizeof *order, compare_times);
    const Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, name_of(number), 1);
    cr_assert_eq(list->n_messages, plain->count, "case %d", number);
    for (size_t i = 0; i < plain->count; i++) {
        const Casework__Cases__V1__Message *message = list->messages[i];
        cr_assert_eq(message->number, order[i].number, "case %d, place %zu", number, i);
        cr_assert_str_eq(message->body, order[i].body);
        cr_assert_str_eq(message->merged_from, order[i].from == 0 ? "" : name_of(order[i].from));
        if (order[i].kind != 3)
            need_reply = order[i].kind == 1;
    }
    cr_assert_eq(real->message_count, (int)plain->count);
    cr_assert_eq(real->need_reply, need_reply, "case %d", number);
    cr_assert_str_eq(real->merged_into, plain->merged_into == 0 ? "" : name_of(plain->merged_into));
    cr_assert_eq((int)real->status == 6, plain->deleted);
}

/* --- steps ------------------------------------------------------------------------------------------------
 */

static void step_receive(int step)
{
    int person = dice(PEOPLE);
    char *sender = arena_printf(server.memory, "person-%d", person);
    char *body = arena_printf(server.memory, "c%d", step);
    struct plain_case *to = plain_route(person);
    const Casework__Cases__V1__ReceiveMessageResponse *answer =
        desk_receive(&server, "desk", sender, body, body);
    cr_assert_str_eq(answer->case_->name, name_of((int)(to - model->cases)), "where %s went", body);
    put(to, 1, 0, ++model->time, body);
    cr_assert_eq(answer->message->number, to->messages[to->count - 1].number);
}

/* By an agent: a reply, or a note. */
static void step_write(int step)
{
    int number = 1 + dice(model->case_count), kind = 2 + dice(2);
    struct plain_case *to = &model->cases[number];
    char *body = arena_printf(server.memory, "a%d", step);
    Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name_of(number), kind, body);
    if (to->merged_into != 0 || to->deleted) {
        cr_assert_str_eq(desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", request).reason,
                         to->merged_into != 0 ? "CASE_MERGED" : "CASE_DELETED");
        return;
    }
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    put(to, kind, 0, ++model->time, body);
}

static void expect(const char *reason, const char *method, const void *request)
{
    if (*reason)
        cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, method, request).reason, reason, "%s",
                         method);
    else
        desk_call(&server, "anna", DESK_CASES, method, request);
}

static int merges;

static void step_merge(void)
{
    int source = 1 + dice(model->case_count), target = 1 + dice(model->case_count);
    if (source == target || model->cases[source].count + end_of(target)->count > MESSAGES_MAX / 2)
        return;
    const char *reason = plain_merge(source, target);
    merges += !*reason;
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = name_of(source);
    request.target = name_of(target);
    expect(reason, "MergeCases", &request);
}

static void step_unmerge(void)
{
    int source = 1 + dice(model->case_count);
    for (int tries = 0; tries < 3 && model->cases[source].merged_into == 0; tries++)
        source = 1 + dice(model->case_count);
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    request.name = name_of(source);
    expect(plain_unmerge(source), "UnmergeCases", &request);
}

static void step_delete(void)
{
    int number = 1 + dice(model->case_count);
    struct plain_case *plain = &model->cases[number];
    Casework__Cases__V1__DeleteCaseRequest remove = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    Casework__Cases__V1__UndeleteCaseRequest restore = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
    remove.name = restore.name = name_of(number);
    const char *reason = plain->merged_into != 0 ? "CASE_MERGED" : "";
    expect(reason, plain->deleted ? "UndeleteCase" : "DeleteCase",
           plain->deleted ? (const void *)&restore : (const void *)&remove);
    if (plain->merged_into == 0)
        plain->deleted = !plain->deleted;
}

static void take_step(int step)
{
    case_server_advance(&server, CLOCK_SECOND);
    int what = model->case_count < 2 ? 0 : dice(12);
    if (what < 4)
        step_receive(step);
    else if (what < 6)
        step_write(step);
    else if (what < 9)
        step_merge();
    else if (what < 11)
        step_unmerge();
    else
        step_delete();
}

Test(case_merge_model, any_sequence_agrees_with_the_model)
{
    const char *given = getenv("CASEWORK_SEED");
    model->random = given ? strtoull(given, NULL, 10) : (uint64_t)clock_monotonic_us();
    fprintf(stderr, "CASEWORK_SEED=%" PRIu64 "\n", model->random);
    for (int step = 0; step < STEPS || (merges == 0 && step < 10 * STEPS); step++) {
        take_step(step);
        compare_case(1 + dice(model->case_count));
        if (step % 25 != 24)
            continue;
        for (int number = 1; number <= model->case_count; number++)
            compare_case(number);
    }
    cr_assert_gt(merges, 0, "something was merged at all");
    cr_assert_lt(model->case_count, CASES_MAX);
}

/* --- many at once -----------------------------------------------------------------------------------------
 */

enum { FLIGHTS = 48, ROUNDS = 600, AT_ONCE_CASES = 6 };

/* Calls under way. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int under_way, done, refused, failed;
} flights = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void landed(void *argument, const ProtobufCMessage *response, const error *err)
{
    (void)argument;
    pthread_mutex_lock(&flights.lock);
    flights.under_way--;
    flights.done += response != NULL;
    flights.refused += response == NULL && err->code == STATUS_FAILED_PRECONDITION;
    if (response == NULL && err->code != STATUS_FAILED_PRECONDITION) {
        flights.failed++;
        fprintf(stderr, "%d %s %s\n", (int)err->code, err->reason, err->message);
    }
    pthread_cond_signal(&flights.changed);
    pthread_mutex_unlock(&flights.lock);
}

static void wait_for(int at_most)
{
    pthread_mutex_lock(&flights.lock);
    while (flights.under_way > at_most)
        pthread_cond_wait(&flights.changed, &flights.lock);
    pthread_mutex_unlock(&flights.lock);
}

static void start(const ProtobufCServiceDescriptor *service, const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .agent = "anna"};
    const struct rpc_client_options by_service = {.timeout_us = 20 * CLOCK_SECOND};
    wait_for(FLIGHTS - 1);
    pthread_mutex_lock(&flights.lock);
    flights.under_way++;
    pthread_mutex_unlock(&flights.lock);
    rpc_client_call_async(server.channel, service, method, request,
                          service == DESK_CONNECTORS ? &by_service : &options, landed, NULL);
}

static void start_receive(int round)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    request.parent = desk_text("accounts/acme/channels/desk");
    request.sender_address = arena_printf(server.memory, "person-%d", dice(AT_ONCE_CASES));
    request.external_id = arena_printf(server.memory, "r%d", round);
    request.body = request.external_id;
    start(DESK_CONNECTORS, "ReceiveMessage", &request);
}

static void start_one(int round)
{
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    int one = 1 + dice(AT_ONCE_CASES), other = 1 + dice(AT_ONCE_CASES - 1);
    merge.source = undo.name = resolve.name = name_of(one);
    merge.target = name_of(other >= one ? other + 1 : other);
    switch (dice(6)) {
    case 0:
        start(DESK_CASES, "MergeCases", &merge);
        break;
    case 1:
    case 2:
        start(DESK_CASES, "UnmergeCases", &undo);
        break;
    case 3:
        start(DESK_MESSAGES, "AddMessage", desk_message(&server, name_of(one), 2, "reply"));
        break;
    case 4:
        start(DESK_CASES, "ResolveCase", &resolve);
        break;
    default:
        start_receive(round);
    }
}

/* How many messages of the case came from the other one; all of them in the other's words. */
static size_t copies_of(const Casework__Cases__V1__ListMessagesResponse *list, const char *source,
                        const Casework__Cases__V1__ListMessagesResponse *of_source)
{
    size_t count = 0;
    for (size_t i = 0; i < list->n_messages; i++) {
        if (strcmp(list->messages[i]->merged_from, source) != 0)
            continue;
        bool known = false;
        for (size_t k = 0; k < of_source->n_messages; k++)
            known = known || strcmp(of_source->messages[k]->body, list->messages[i]->body) == 0;
        cr_assert(known, "%s", list->messages[i]->body);
        count++;
    }
    return count;
}

static void check_history(const char *name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *events =
        desk_call(&server, "", DESK_CASES, "ListCaseEvents", &request);
    cr_assert_gt(events->n_events, 0);
    for (size_t i = 0; i < events->n_events; i++)
        cr_assert_eq(events->events[i]->case_facts->version, (int64_t)i + 1, "%s", name);
}

static void check_case(int number, int count)
{
    const char *name = name_of(number);
    const Casework__Cases__V1__Case *real = desk_case(&server, name);
    const Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, name, 1);
    size_t open = 0;
    cr_assert_eq(real->message_count, (int)list->n_messages);
    for (size_t i = 0; i < list->n_messages; i++)
        open += list->messages[i]->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER &&
                list->messages[i]->state != CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_CLOSED;
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *events =
        desk_call(&server, "", DESK_CASES, "ListCaseEvents", &request);
    const Casework__Cases__V1__CaseFacts *facts = events->events[events->n_events - 1]->case_facts;
    cr_assert_eq(facts->all_customer_messages_closed, open == 0, "%s", name);
    cr_assert_eq(facts->message_count, (int)list->n_messages);
    for (int other = 1; other <= count; other++) {
        const Casework__Cases__V1__Case *source = desk_case(&server, name_of(other));
        const Casework__Cases__V1__ListMessagesResponse *of_source = desk_list(&server, name_of(other), 1);
        size_t expected = strcmp(source->merged_into, name) == 0 ? of_source->n_messages : 0;
        cr_assert_eq(copies_of(list, name_of(other), of_source), expected, "of %d in %d", other, number);
    }
    check_history(name);
}

Test(case_merge_model, many_at_once_leave_every_case_whole)
{
    const char *given = getenv("CASEWORK_SEED");
    model->random = given ? strtoull(given, NULL, 10) : (uint64_t)clock_monotonic_us();
    fprintf(stderr, "CASEWORK_SEED=%" PRIu64 "\n", model->random);
    for (int i = 0; i < AT_ONCE_CASES; i++) {
        char *sender = arena_printf(server.memory, "person-%d", i);
        desk_receive(&server, "desk", sender, sender, sender);
    }
    for (int round = 0; round < ROUNDS; round++)
        start_one(round);
    wait_for(0);
    cr_assert_eq(flights.failed, 0);
    cr_assert_gt(flights.done, ROUNDS / 4);
    cr_assert_gt(flights.refused, 0);
    for (int number = 1; number <= AT_ONCE_CASES; number++)
        check_case(number, AT_ONCE_CASES);
}
