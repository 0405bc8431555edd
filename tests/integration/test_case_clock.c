/* The mover of the manual clock, beside a peer that never comes to rest, and on a database that goes away. */

#include "base/clock.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "pg/pg.h"
#include "rpc/server.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK (&casework__testing__v1__clock_service__descriptor)

static struct case_server server;
static struct rpc_loopback peer;
static _Atomic int settled;
static _Atomic int writes_left; /* how many more messages the peer writes, one each time it settles */
static _Atomic int cut_left;    /* when it has settled as often, the mover's connection is lost */
static char *_Atomic busy_case; /* set last: what the peer reads besides is there then */

/* One statement in a database of the server's. Answers its first value. */
static int64_t tell_database(const char *database, const struct pg_statement *statement)
{
    char url[512];
    const struct pg_options options = {.url = url};
    const char *rest = strchr(embedded_pg_url(server.pg), '?');
    pg_conn *conn;
    pg_result *result;
    error err;
    snprintf(url, sizeof url, "postgresql:///%s%s", database, rest ? rest : "");
    cr_assert(pg_conn_open(&options, &conn, &err) && pg_query(conn, statement, NULL, 0, &result, &err), "%s",
              err.detail);
    int64_t value = pg_get_int(result, 0, 0);
    pg_result_free(result);
    pg_conn_close(conn);
    return value;
}

static void cut_mover(void)
{
    static const struct pg_statement cut = {
        .name = "cut",
        .sql = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_locks WHERE locktype = 'advisory' AND "
               "granted AND (classid::int8 << 32 | objid::int8) = 28006000712213355"};
    cr_assert_eq(tell_database("postgres", &cut), 1);
}

static void settle(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request, (void)context;
    Casework__Testing__V1__SettleResponse response = CASEWORK__TESTING__V1__SETTLE_RESPONSE__INIT;
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND};
    Casework__Cases__V1__AddMessageRequest add = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    ProtobufCMessage *added;
    error err;
    add.parent = busy_case;
    add.message = &message;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_SYSTEM;
    message.body = desk_text("busy");
    atomic_fetch_add(&settled, 1);
    if (atomic_fetch_sub(&cut_left, 1) == 1)
        cut_mover();
    if (atomic_fetch_sub(&writes_left, 1) > 0)
        cr_assert(rpc_client_call(server.channel, DESK_MESSAGES, "AddMessage", &add.base, &options,
                                  rpc_call_arena(call), &added, &err),
                  "%s", err.message);
    rpc_call_reply(call, &response.base);
}

static const struct rpc_method methods[] = {
    {.service = CLOCK, .name = "Settle", .run = RPC_RUN_WORKER, .roles = RPC_ROLE_SERVICE, .unary = settle},
    {0},
};

static void setup(void)
{
    rpc_loopback_start(&peer, methods, NULL, NULL, NULL);
    setenv("CASE_SERVER_PEER", peer.target, 1);
    desk_start(&server);
    busy_case = desk_receive(&server, "desk", "jo", "e1", "hello")->case_->name;
}

static void teardown(void)
{
    unsetenv("CASE_SERVER_PEER");
    case_server_stop(&server);
    rpc_loopback_stop(&peer);
}

TestSuite(case_clock, .init = setup, .fini = teardown, .timeout = 120);

static bool advance_with(const struct rpc_client_options *options, int writes, error *err)
{
    Casework__Testing__V1__AdvanceTimeRequest request = CASEWORK__TESTING__V1__ADVANCE_TIME_REQUEST__INIT;
    ProtobufCMessage *response;
    request.duration = wire_duration(server.memory, CLOCK_HOUR);
    atomic_store(&settled, 0);
    atomic_store(&writes_left, writes);
    *err = (error){0};
    return rpc_client_call(server.channel, CLOCK, "AdvanceTime", &request.base, options, server.memory,
                           &response, err);
}

static bool advance(int writes, error *err)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .no_retry = true};
    return advance_with(&options, writes, err);
}

static int64_t now(void)
{
    Casework__Testing__V1__GetTimeRequest request = CASEWORK__TESTING__V1__GET_TIME_REQUEST__INIT;
    Casework__Testing__V1__GetTimeResponse *response = desk_call(&server, "", CLOCK, "GetTime", &request);
    return response->time->seconds;
}

Test(case_clock, what_the_peers_do_is_waited_for)
{
    int64_t before = now();
    error err;
    cr_assert(advance(20, &err), "%s", err.message);
    cr_expect_eq(now(), before + 3600);
    cr_expect_eq(desk_case(&server, busy_case)->message_count, 21);
    cr_expect_geq(atomic_load(&settled), 22, "once more than it wrote, and at the new time");
}

Test(case_clock, who_writes_without_end_is_not_waited_for_without_end)
{
    int64_t before = now();
    error err;
    cr_assert_not(advance(1000000, &err));
    cr_expect_eq(err.code, STATUS_ABORTED);
    cr_expect_str_eq(err.reason, "NOT_SETTLED");
    cr_expect_eq(atomic_load(&settled), 1000);
    cr_expect_eq(now(), before, "the clock has not moved");
    cr_assert(advance(0, &err), "%s", err.message);
    cr_expect_eq(now(), before + 3600, "and moves when there is peace");
}

Test(case_clock, a_database_that_takes_no_new_connections_does_not_stop_it)
{
    static const struct pg_statement refuse = {.name = "refuse",
                                               .sql = "ALTER DATABASE postgres ALLOW_CONNECTIONS false"};
    int64_t before = now();
    error err;
    cr_assert(advance(0, &err), "%s", err.message);
    tell_database("template1", &refuse);
    cr_assert(advance(0, &err), "%s (%s)", err.message, err.detail);
    cr_expect_eq(now(), before + 7200);
}

Test(case_clock, a_lost_connection_is_replaced)
{
    int64_t before = now();
    error err;
    atomic_store(&cut_left, 1);
    cr_assert_not(advance(0, &err));
    cr_expect_eq(err.code, STATUS_UNAVAILABLE, "nothing has been moved: a client may ask again");
    cr_expect_eq(now(), before);
    cr_assert(advance(0, &err), "%s (%s)", err.message, err.detail);
    cr_expect_eq(now(), before + 3600);
}

Test(case_clock, what_was_lost_on_the_way_is_not_gone_twice)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    int64_t before = now();
    error err;
    atomic_store(&cut_left, 2);
    cr_assert_not(advance_with(&options, 0, &err));
    cr_expect_eq(err.code, STATUS_ABORTED);
    cr_expect_str_eq(err.reason, "NOT_SETTLED");
    cr_expect_eq(now(), before + 3600, "a client that asks again what is UNAVAILABLE has not");
    cr_assert(advance(0, &err), "%s (%s)", err.message, err.detail);
    cr_expect_eq(now(), before + 7200);
}
