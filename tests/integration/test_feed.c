/* The feed from nothing equals the history of every case; a snapshot equals the cases; documents are what
 * search needs. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "feed/partition.h"
#include "pg/pg.h"
#include "tests/support/case_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)

enum { ACCOUNTS = 5, CASES_EACH = 30, EVENTS_MAX = 40000 };

static struct case_server server;

static void setup(void)
{
    Casework__Cases__V1__ImportConversationsRequest *items[ACCOUNTS * CASES_EACH];
    case_server_start(&server);
    for (int i = 0; i < ACCOUNTS * CASES_EACH; i++) {
        char account[32], id[32];
        snprintf(account, sizeof account, "company%d", i % ACCOUNTS);
        snprintf(id, sizeof id, "c%d", i);
        items[i] = case_server_conversation(&server, account, id, "subject", i % 2 ? "cac" : "canta",
                                            CASE_SERVER_START_US - CLOCK_DAY);
        if (i % 3 == 0)
            items[i]->conversation->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED;
    }
    Casework__Cases__V1__ImportConversationsResponse *done =
        case_server_import(&server, items, ACCOUNTS * CASES_EACH);
    cr_assert_eq(done->conversations_imported, ACCOUNTS * CASES_EACH);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(feed, .init = setup, .fini = teardown, .timeout = 120);

struct tape {
    Casework__Cases__V1__Event *events[EVENTS_MAX];
    size_t count;
    int64_t at[FEED_PARTITIONS];
    char epoch[64];
    size_t responses;
};

static rpc_stream *open_stream_at(rpc_channel *channel, const ProtobufCMessage *request, const char *method)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(channel, EVENTS, method, &options, &stream, &err), "%s", err.message);
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    return stream;
}

static rpc_stream *open_stream(const ProtobufCMessage *request, const char *method)
{
    return open_stream_at(server.channel, request, method);
}

/* Takes what comes until the reader is up to date. */
static void play(rpc_stream *stream, struct tape *tape)
{
    for (;;) {
        ProtobufCMessage *message;
        error err;
        cr_assert_eq(rpc_stream_read(stream, 10 * CLOCK_SECOND, server.memory, &message, &err),
                     RPC_READ_MESSAGE);
        const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
        for (size_t i = 0; i < response->n_events; i++) {
            Casework__Cases__V1__Event *event = response->events[i];
            cr_assert_eq(event->position, ++tape->at[event->partition], "positions are dense");
            cr_assert_lt(tape->count, EVENTS_MAX);
            tape->events[tape->count++] = event;
        }
        for (size_t i = 0; i < response->n_heads; i++)
            cr_assert_eq(response->heads[i]->position, tape->at[response->heads[i]->partition]);
        cr_assert(tape->responses++ > 0 || response->n_heads == FEED_PARTITIONS, "the first names all heads");
        snprintf(tape->epoch, sizeof tape->epoch, "%s", response->epoch);
        if (response->caught_up)
            return;
    }
}

static bool same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    size_t length = protobuf_c_message_get_packed_size(a);
    if (length != protobuf_c_message_get_packed_size(b))
        return false;
    uint8_t *left = malloc(length + 1), *right = malloc(length + 1);
    protobuf_c_message_pack(a, left);
    protobuf_c_message_pack(b, right);
    bool equal = memcmp(left, right, length) == 0;
    free(left);
    free(right);
    return equal;
}

static size_t check_history(const struct tape *tape, const char *name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)name;
    request.page_size = 3;
    size_t next = 0, found = 0;
    do {
        Casework__Cases__V1__ListCaseEventsResponse *page =
            case_server_call(&server, CASES, "ListCaseEvents", &request);
        for (size_t i = 0; i < page->n_events; i++, found++) {
            while (next < tape->count && strcmp(tape->events[next]->case_, name) != 0)
                next++;
            cr_assert_lt(next, tape->count, "%s: the history has more than the feed", name);
            cr_assert(same(&page->events[i]->base, &tape->events[next++]->base), "%s: event %zu", name, i);
        }
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    return found;
}

static struct tape *read_all(rpc_stream **ret_stream)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    struct tape *tape = arena_calloc(server.memory, 1, sizeof *tape);
    *ret_stream = open_stream(&request.base, "StreamEvents");
    play(*ret_stream, tape);
    return tape;
}

Test(feed, from_nothing_it_is_the_history_of_every_case)
{
    rpc_stream *stream;
    struct tape *tape = read_all(&stream);
    size_t with_case = 0, in_histories = 0;
    for (size_t i = 0; i < tape->count; i++)
        with_case += *tape->events[i]->case_ != '\0';
    for (int account = 0; account < ACCOUNTS; account++) {
        for (int number = 1; number <= CASES_EACH; number++) {
            char name[64];
            snprintf(name, sizeof name, "accounts/company%d/cases/%d", account, number);
            in_histories += check_history(tape, name);
        }
    }
    cr_assert_eq(with_case, in_histories);
    cr_assert_gt(with_case, ACCOUNTS * CASES_EACH * 3);
    rpc_stream_free(stream);
}

Test(feed, what_happens_then_comes)
{
    rpc_stream *stream;
    struct tape *tape = read_all(&stream);
    size_t before = tape->count;
    Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    request.name = (char *)(uintptr_t) "accounts/company1/cases/7";
    Casework__Cases__V1__DeleteCaseResponse *deleted =
        case_server_call(&server, CASES, "DeleteCase", &request);
    play(stream, tape);
    cr_assert_eq(tape->count, before + 1);
    const Casework__Cases__V1__Event *event = tape->events[before];
    cr_assert_eq(event->kind, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_DELETED);
    cr_assert_eq(event->position, deleted->position);
    cr_assert_eq(event->case_facts->version, deleted->case_->version);
    cr_assert_eq(event->case_facts->status, deleted->case_->status);
    rpc_stream_free(stream);
}

/* A commit of one replica reaches the readers of another by a hint, and its own without any. */
Test(feed, what_any_replica_writes_comes_without_a_look)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    struct tape *tape = arena_calloc(server.memory, 1, sizeof *tape);
    case_server_start_hearing(&server);
    rpc_stream *stream = open_stream_at(server.other_channel, &request.base, "StreamEvents");
    rpc_channel *writers[] = {server.channel, server.other_channel};
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    play(stream, tape);
    for (int number = 1; number <= 10; number++) {
        size_t before = tape->count;
        Casework__Cases__V1__DeleteCaseRequest delete = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
        delete.name = arena_printf(server.memory, "accounts/company3/cases/%d", number);
        ProtobufCMessage *response;
        error err;
        cr_assert(rpc_client_call(writers[number % 2], CASES, "DeleteCase", &delete.base, &options,
                                  server.memory, &response, &err),
                  "%s", err.message);
        while (tape->count == before)
            play(stream, tape);
        cr_assert_eq(tape->count, before + 1);
    }
    rpc_stream_free(stream);
}

/* It reads nothing while far more comes than fits into any queue; then everything is there, in order. */
Test(feed, a_reader_that_stops_misses_nothing)
{
    enum { MORE = 1500 };
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    rpc_stream *stream = open_stream(&request.base, "StreamEvents");
    Casework__Cases__V1__ImportConversationsRequest **items =
        arena_calloc(server.memory, MORE, sizeof(void *));
    for (int i = 0; i < MORE; i++) {
        char account[32], id[32];
        snprintf(account, sizeof account, "company%d", i % ACCOUNTS);
        snprintf(id, sizeof id, "more%d", i);
        items[i] = case_server_conversation(&server, account, id, "subject", "cacacacaca",
                                            CASE_SERVER_START_US - CLOCK_DAY);
    }
    cr_assert_eq(case_server_import(&server, items, MORE)->conversations_imported, MORE);
    struct tape *tape = arena_calloc(server.memory, 1, sizeof *tape);
    size_t expected = 0;
    Casework__Cases__V1__GetPositionRequest where = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    where.parent = (char *)(uintptr_t) "accounts/-";
    Casework__Cases__V1__GetPositionResponse *heads =
        case_server_call(&server, EVENTS, "GetPosition", &where);
    for (size_t i = 0; i < heads->n_positions; i++)
        expected += (size_t)heads->positions[i]->position;
    cr_assert_gt(expected, MORE * 10);
    while (tape->count < expected)
        play(stream, tape);
    cr_assert_eq(tape->count, expected);
    rpc_stream_free(stream);
}

static void restore_database(void)
{
    static const char sql[] = "UPDATE suite SET epoch = 'after the restoring'";
    const struct pg_options options = {.url = embedded_pg_url(server.pg)};
    pg_conn *conn;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.message);
    cr_assert(pg_run_script(conn, sql, 0, &err), "%s", err.message);
    pg_conn_close(conn);
}

Test(feed, a_restored_database_ends_the_streams)
{
    rpc_stream *stream;
    struct tape *tape = read_all(&stream);
    restore_database();
    ProtobufCMessage *message;
    error err;
    enum rpc_read read;
    do {
        read = rpc_stream_read(stream, 10 * CLOCK_SECOND, server.memory, &message, &err);
    } while (read == RPC_READ_MESSAGE);
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_str_eq(err.reason, "EPOCH_CHANGED");
    rpc_stream_free(stream);
    struct tape *again = read_all(&stream);
    cr_assert_str_eq(again->epoch, "after the restoring");
    cr_assert_eq(again->count, tape->count);
    rpc_stream_free(stream);
}

Test(feed, goes_on_behind_a_position_and_for_one_account)
{
    rpc_stream *stream;
    struct tape *all = read_all(&stream);
    rpc_stream_free(stream);
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition after = CASEWORK__CASES__V1__PARTITION_POSITION__INIT,
                                           *list = &after;
    int partition = feed_partition("company2");
    after.partition = partition;
    after.position = all->at[partition] - 5;
    request.parent = (char *)(uintptr_t) "accounts/company2";
    request.after = &list;
    request.n_after = 1;
    request.epoch = all->epoch;
    stream = open_stream(&request.base, "StreamEvents");
    struct tape *rest = arena_calloc(server.memory, 1, sizeof *rest);
    rest->at[partition] = after.position;
    rest->responses = 1; /* the heads of one partition only */
    play(stream, rest);
    cr_assert_eq(rest->count, 5);
    rpc_stream_free(stream);
}

static enum status_code refusal(const Casework__Cases__V1__StreamEventsRequest *request, char reason[40])
{
    rpc_stream *stream = open_stream(&request->base, "StreamEvents");
    ProtobufCMessage *message;
    error err;
    cr_assert_eq(rpc_stream_read(stream, 10 * CLOCK_SECOND, server.memory, &message, &err), RPC_READ_FAILED);
    rpc_stream_free(stream);
    snprintf(reason, 40, "%s", err.reason);
    return err.code;
}

Test(feed, another_history_is_told)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition after = CASEWORK__CASES__V1__PARTITION_POSITION__INIT;
    Casework__Cases__V1__PartitionPosition *list[] = {&after, &after};
    char reason[40];
    request.epoch = (char *)(uintptr_t) "another";
    cr_assert_eq(refusal(&request, reason), STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(reason, "EPOCH_CHANGED");
    request.epoch = (char *)(uintptr_t) "";
    request.after = list;
    request.n_after = 1;
    after.position = 1000000;
    cr_assert_eq(refusal(&request, reason), STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(reason, "EPOCH_CHANGED");
    request.n_after = 2;
    cr_assert_eq(refusal(&request, reason), STATUS_INVALID_ARGUMENT);
}

/* Every case of the snapshot has the facts of its last event, and the positions are the feed's. */
Test(feed, a_snapshot_is_where_the_feed_has_come_to)
{
    rpc_stream *stream;
    struct tape *tape = read_all(&stream);
    rpc_stream_free(stream);
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    stream = open_stream(&request.base, "StreamSnapshot");
    size_t accounts = 0, cases = 0, done = 0;
    ProtobufCMessage *message;
    error err;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, 10 * CLOCK_SECOND, server.memory, &message, &err)) ==
           RPC_READ_MESSAGE) {
        const Casework__Cases__V1__StreamSnapshotResponse *part = (const void *)message;
        cr_assert_eq(part->position, tape->at[part->partition]);
        cr_assert_str_eq(part->epoch, tape->epoch);
        accounts += part->n_accounts;
        done += part->done ? 1 : 0;
        for (size_t i = 0; i < part->n_cases; i++, cases++) {
            const Casework__Cases__V1__Event *last = NULL;
            for (size_t e = 0; e < tape->count; e++) {
                if (strcmp(tape->events[e]->case_, part->cases[i]->name) == 0)
                    last = tape->events[e];
            }
            cr_assert_not_null(last);
            cr_assert(same(&part->cases[i]->facts->base, &last->case_facts->base), "%s",
                      part->cases[i]->name);
        }
    }
    cr_assert_eq(read, RPC_READ_END, "%s", err.message);
    cr_assert_eq(accounts, ACCOUNTS);
    cr_assert_eq(cases, ACCOUNTS * CASES_EACH);
    cr_assert_eq(done, FEED_PARTITIONS);
    rpc_stream_free(stream);
}

Test(feed, positions_are_told)
{
    rpc_stream *stream;
    struct tape *tape = read_all(&stream);
    rpc_stream_free(stream);
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/-";
    Casework__Cases__V1__GetPositionResponse *all =
        case_server_call(&server, EVENTS, "GetPosition", &request);
    cr_assert_eq(all->n_positions, FEED_PARTITIONS);
    for (size_t i = 0; i < all->n_positions; i++)
        cr_assert_eq(all->positions[i]->position, tape->at[all->positions[i]->partition]);
    request.parent = (char *)(uintptr_t) "accounts/company3";
    Casework__Cases__V1__GetPositionResponse *one =
        case_server_call(&server, EVENTS, "GetPosition", &request);
    cr_assert_eq(one->position, tape->at[feed_partition("company3")]);
    cr_assert_str_eq(one->epoch, tape->epoch);
}

Test(feed, documents_have_the_first_thirty_messages)
{
    Casework__Cases__V1__ImportConversationsRequest *item =
        case_server_conversation(&server, "company0", "long", "A long one",
                                 "cacacacacacacacacacacacacacacacacacac", CASE_SERVER_START_US - CLOCK_DAY);
    char *label = (char *)(uintptr_t) "Contract Needed";
    item->conversation->labels = &label;
    item->conversation->n_labels = 1;
    case_server_import(&server, &item, 1);
    char *names[] = {arena_printf(server.memory, "accounts/company0/cases/%d", CASES_EACH + 1),
                     (char *)(uintptr_t) "accounts/company4/cases/777",
                     (char *)(uintptr_t) "accounts/company1/cases/1"};
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/-";
    request.names = names;
    request.n_names = 3;
    Casework__Cases__V1__BatchGetDocumentsResponse *answer =
        case_server_call(&server, EVENTS, "BatchGetDocuments", &request);
    cr_assert_eq(answer->n_documents, 3);
    cr_assert_eq(answer->n_unread_names, 0);
    const Casework__Cases__V1__Document *first = answer->documents[0];
    cr_assert_eq(first->state, CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE);
    cr_assert_str_eq(first->subject, "A long one");
    cr_assert_str_eq(first->labels[0], "Contract Needed");
    cr_assert_str_eq(first->contact_display_name, "Carl");
    cr_assert_eq(first->n_messages, 30);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(first->messages[i]->number, i + 1);
    cr_assert_str_eq(first->messages[29]->body, "message 30");
    cr_assert_eq(answer->documents[1]->state, CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_MISSING);
    cr_assert_str_eq(answer->documents[2]->account, "accounts/company1");
}

/* Three bodies of a megabyte each do not fit beside a fourth: what finds no room is named, and asked for
 * again. */
Test(feed, documents_end_before_they_get_too_large)
{
    enum { LARGE = 6 };
    Casework__Cases__V1__ImportConversationsRequest *items[LARGE];
    char *body = malloc((1 << 20) + 1), *names[LARGE];
    memset(body, 'x', 1 << 20);
    body[1 << 20] = '\0';
    for (int i = 0; i < LARGE; i++) {
        char id[32];
        snprintf(id, sizeof id, "large%d", i);
        items[i] =
            case_server_conversation(&server, "company0", id, "large", "c", CASE_SERVER_START_US - CLOCK_DAY);
        items[i]->conversation->messages[0]->body = body;
        names[i] = arena_printf(server.memory, "accounts/company0/cases/%d", CASES_EACH + 1 + i);
    }
    cr_assert_eq(case_server_import(&server, items, LARGE)->conversations_imported, LARGE);
    free(body);
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/company0";
    request.names = names;
    request.n_names = LARGE;
    size_t rounds = 0, read = 0;
    while (request.n_names > 0) {
        Casework__Cases__V1__BatchGetDocumentsResponse *answer =
            case_server_call(&server, EVENTS, "BatchGetDocuments", &request);
        cr_assert_gt(answer->n_documents, 0);
        cr_assert_eq(answer->n_documents + answer->n_unread_names, request.n_names);
        read += answer->n_documents;
        rounds++;
        request.names = answer->unread_names;
        request.n_names = answer->n_unread_names;
    }
    cr_assert_eq(read, LARGE);
    cr_assert_gt(rounds, 1);
}
