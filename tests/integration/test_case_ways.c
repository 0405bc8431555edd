/*
 * Where a customer's message goes when the same batch has changed that just before: what the database says
 * when the batch begins is no longer true when the message's turn comes.
 */

#include "base/clock.h"
#include "pg/pg.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 3 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_ways, .init = setup, .fini = teardown, .timeout = 60);

/* --- several calls that become one batch -------------------------------------------------------------------
 */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int under_way;
    char routed[64]; /* the case that the message went to */
    int64_t routed_at, changed_at;
} calls = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static pg_conn *hold_partitions(void)
{
    static const struct pg_statement hold = {.name = "hold", .sql = "SELECT head FROM partitions FOR UPDATE"};
    const struct pg_options options = {.url = embedded_pg_url(server.pg)};
    pg_conn *conn = NULL;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err) && pg_begin(conn, 0, &err) &&
                  pg_query(conn, &hold, NULL, 0, NULL, &err),
              "%s", err.detail);
    return conn;
}

static void land(void *argument, const ProtobufCMessage *response, const error *err)
{
    pthread_mutex_lock(&calls.lock);
    if (!response)
        fprintf(stderr, "%s %s\n", err->reason, err->message);
    else if (strcmp(argument, "ReceiveMessage") == 0) {
        const Casework__Cases__V1__ReceiveMessageResponse *answer = (const void *)response;
        snprintf(calls.routed, sizeof calls.routed, "%s", answer->case_->name);
        calls.routed_at = answer->position;
    } else if (strcmp(argument, "UnmergeCases") == 0) {
        calls.changed_at =
            ((const Casework__Cases__V1__UnmergeCasesResponse *)(const void *)response)->position;
    } else if (strcmp(argument, "OpenCase") != 0) { /* DeleteCase and UndeleteCase are answered alike */
        calls.changed_at =
            ((const Casework__Cases__V1__DeleteCaseResponse *)(const void *)response)->position;
    }
    calls.under_way--;
    pthread_cond_signal(&calls.changed);
    pthread_mutex_unlock(&calls.lock);
}

static void start(const char *agent, const ProtobufCServiceDescriptor *service, const char *method,
                  const void *request)
{
    const struct timespec pause = {.tv_nsec = 30 * 1000000}; /* so that they come in this order */
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .agent = agent};
    pthread_mutex_lock(&calls.lock);
    calls.under_way++;
    pthread_mutex_unlock(&calls.lock);
    rpc_client_call_async(server.channel, service, method, request, &options, land, desk_text(method));
    nanosleep(&pause, NULL);
}

/* The call, and right behind it the sender's message; where that went. NULL: they came the other way round.
 */
static const char *route_behind(const char *method, const void *request, const char *sender,
                                const char *other)
{
    Casework__Cases__V1__ReceiveMessageRequest message = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__OpenCaseRequest ahead = CASEWORK__CASES__V1__OPEN_CASE_REQUEST__INIT;
    static int number;
    message.parent = desk_text("accounts/acme/channels/desk");
    message.sender_address = desk_text(sender);
    message.external_id = arena_printf(server.memory, "behind-%d", ++number);
    message.body = desk_text("behind");
    ahead.name = desk_text(other); /* waits for the partition, so that the others wait for it, together */
    calls.routed[0] = '\0';
    calls.routed_at = calls.changed_at = 0;
    pg_conn *holder = hold_partitions();
    start("anna", DESK_CASES, "OpenCase", &ahead);
    start("anna", DESK_CASES, method, request);
    start(NULL, DESK_CONNECTORS, "ReceiveMessage", &message);
    pg_rollback(holder);
    pg_conn_close(holder);
    pthread_mutex_lock(&calls.lock);
    while (calls.under_way > 0)
        pthread_cond_wait(&calls.changed, &calls.lock);
    pthread_mutex_unlock(&calls.lock);
    return calls.changed_at < calls.routed_at ? calls.routed : NULL;
}

/* --- cases -------------------------------------------------------------------------------------------------
 */

static const char *receive(const char *sender)
{
    static int number;
    const char *id = arena_printf(server.memory, "m%d", ++number);
    return desk_receive(&server, "desk", sender, id, id)->case_->name;
}

/* One more case of the sender, who has others that live. */
static const char *another_case(const char *sender, const char *before)
{
    desk_step(&server, "anna", "DeleteCase", before);
    const char *name = receive(sender);
    desk_step(&server, "anna", "UndeleteCase", before);
    return name;
}

static void merge(const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    desk_call(&server, "anna", DESK_CASES, "MergeCases", &request);
}

static const char *of_round(const char *who, int round)
{
    return arena_printf(server.memory, "%s-%d", who, round);
}

Test(case_ways, behind_a_deletion_the_next_newest_case_takes_the_message)
{
    int behind = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round);
        const char *first = receive(carl), *second = another_case(carl, first);
        Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        delete.name = desk_text(second);
        const char *routed = route_behind("DeleteCase", &delete, carl, receive(of_round("dora", round)));
        if (routed)
            cr_assert_str_eq(routed, first);
        behind += routed != NULL;
    }
    cr_assert_gt(behind, 0);
}

Test(case_ways, behind_the_deletion_of_what_all_newer_ones_were_merged_into)
{
    int behind = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *target = receive(of_round("emil", round));
        const char *first = receive(carl), *second = another_case(carl, first);
        desk_step(&server, "anna", "DeleteCase", first);
        const char *third = another_case(carl, second);
        desk_step(&server, "anna", "UndeleteCase", first);
        merge(second, target);
        merge(third, target);
        Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        delete.name = desk_text(target);
        const char *routed = route_behind("DeleteCase", &delete, carl, receive(of_round("dora", round)));
        if (routed)
            cr_assert_str_eq(routed, first);
        behind += routed != NULL;
    }
    cr_assert_gt(behind, 0);
}

Test(case_ways, behind_an_undeletion_a_merged_case_leads_to_its_target_again)
{
    int behind = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *target = receive(of_round("emil", round));
        const char *first = receive(carl), *second = another_case(carl, first);
        merge(second, target);
        desk_step(&server, "anna", "DeleteCase", target);
        Casework__Cases__V1__UndeleteCaseRequest undelete = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
        undelete.name = desk_text(target);
        const char *routed = route_behind("UndeleteCase", &undelete, carl, receive(of_round("dora", round)));
        if (routed)
            cr_assert_str_eq(routed, target);
        behind += routed != NULL;
    }
    cr_assert_gt(behind, 0);
}

Test(case_ways, behind_the_undoing_of_a_merge_the_chain_ends_where_it_was_cut)
{
    int behind = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const char *carl = of_round("carl", round), *own = receive(carl);
        const char *between = receive(of_round("fred", round)), *middle = receive(of_round("gina", round)),
                   *end = receive(of_round("emil", round));
        merge(own, between);
        merge(between, middle);
        merge(middle, end);
        Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
        undo.name = desk_text(middle);
        const char *routed = route_behind("UnmergeCases", &undo, carl, receive(of_round("dora", round)));
        if (routed)
            cr_assert_str_eq(routed, middle);
        behind += routed != NULL;
    }
    cr_assert_gt(behind, 0);
}
