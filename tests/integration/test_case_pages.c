/* Answers that end early because they would get too large: documents, histories, parts of a snapshot. */

#include "base/clock.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

#define EVENTS (&casework__cases__v1__event_service__descriptor)

enum { ANSWER_MAX = 4 << 20 }; /* what a client takes unless told otherwise */

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_pages, .init = setup, .fini = teardown, .timeout = 120);

static char *body_of(size_t length)
{
    char *body = arena_alloc(server.memory, length + 1);
    memset(body, 'x', length);
    body[length] = '\0';
    return body;
}

static size_t size_of(const void *message)
{
    return protobuf_c_message_get_packed_size(message);
}

Test(case_pages, documents_that_find_no_room_are_named)
{
    enum { COUNT = 7 };
    char *names[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char *id = arena_printf(server.memory, "large-%d", i);
        names[i] = desk_receive(&server, "desk", id, id, body_of(900 * 1024))->case_->name;
    }
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    request.parent = desk_text("accounts/-");
    request.names = names;
    request.n_names = COUNT;
    size_t read = 0, calls = 0;
    while (request.n_names > 0) {
        const Casework__Cases__V1__BatchGetDocumentsResponse *answer =
            desk_call(&server, "", EVENTS, "BatchGetDocuments", &request);
        cr_assert_gt(answer->n_documents, 0);
        cr_assert_lt(size_of(answer), ANSWER_MAX);
        for (size_t i = 0; i < answer->n_documents; i++) {
            cr_assert_str_eq(answer->documents[i]->case_, names[read++]);
            cr_assert_eq(strlen(answer->documents[i]->messages[0]->body), 900 * 1024);
        }
        request.names = answer->unread_names;
        request.n_names = answer->n_unread_names;
        calls++;
    }
    cr_assert_eq(read, COUNT);
    cr_assert_eq(calls, 3, "three of them fit");
}

Test(case_pages, one_document_that_is_too_large_alone_is_answered_alone)
{
    char *name = desk_receive(&server, "desk", "jo", "m0", body_of(1024 * 1024))->case_->name;
    for (int i = 1; i < 3; i++)
        desk_receive(&server, "desk", "jo", arena_printf(server.memory, "m%d", i), body_of(1024 * 1024 - 9));
    char *small = desk_receive(&server, "desk", "flo", "s", "small")->case_->name;
    char *names[] = {small, name, small};
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    request.parent = desk_text("accounts/acme");
    request.names = names;
    request.n_names = 3;
    const Casework__Cases__V1__BatchGetDocumentsResponse *answer =
        desk_call(&server, "", EVENTS, "BatchGetDocuments", &request);
    cr_assert_eq(answer->n_documents, 1);
    cr_assert_eq(answer->n_unread_names, 2);
    cr_assert_str_eq(answer->unread_names[0], name);
    request.names = answer->unread_names;
    request.n_names = 2;
    answer = desk_call(&server, "", EVENTS, "BatchGetDocuments", &request);
    cr_assert_eq(answer->n_documents, 1);
    cr_assert_eq(answer->documents[0]->n_messages, 3);
    cr_assert_str_eq(answer->unread_names[0], small);
}

/* Labels that make every event of the case from now on that large. */
static void label(const char *name, size_t count, int which)
{
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case wire = CASEWORK__CASES__V1__CASE__INIT;
    char *labels[100];
    for (size_t i = 0; i < count; i++)
        labels[i] = arena_printf(server.memory, "%0250d", (int)i + which * 100);
    wire.name = desk_text(name);
    wire.labels = labels;
    wire.n_labels = count;
    request.case_ = &wire;
    desk_call(&server, "anna", DESK_CASES, "UpdateCase", &request);
}

Test(case_pages, a_page_of_history_ends_early_and_the_next_goes_on)
{
    enum { CHANGES = 170 };
    char *name = desk_receive(&server, "desk", "jo", "m", "hello")->case_->name;
    for (int i = 0; i < CHANGES; i++)
        label(name, 100, i);
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = name;
    request.page_size = 1000;
    size_t events = 0, pages = 0;
    int64_t last = 0;
    do {
        const Casework__Cases__V1__ListCaseEventsResponse *page =
            desk_call(&server, "anna", DESK_CASES, "ListCaseEvents", &request);
        cr_assert_gt(page->n_events, 0);
        cr_assert_lt(size_of(page), ANSWER_MAX);
        for (size_t i = 0; i < page->n_events; i++) {
            cr_assert_gt(page->events[i]->position, last);
            last = page->events[i]->position;
        }
        events += page->n_events;
        request.page_token = page->next_page_token;
        pages++;
    } while (*request.page_token);
    cr_assert_eq(events, CHANGES + 3, "created, written, opened, and the changes");
    cr_assert_gt(pages, 1);
}

Test(case_pages, as_many_messages_as_one_event_tells_of_are_merged)
{
    enum { MOST = 4000 };
    char *kinds = arena_alloc(server.memory, MOST + 2);
    memset(kinds, 'c', MOST + 1);
    kinds[MOST + 1] = '\0';
    Casework__Cases__V1__ImportConversationsRequest *items[2];
    items[0] = case_server_conversation(&server, "acme", "too-many", "Long", kinds,
                                        CASE_SERVER_START_US - 30 * CLOCK_DAY);
    kinds[MOST] = '\0';
    items[1] = case_server_conversation(&server, "acme", "most", "Long", kinds,
                                        CASE_SERVER_START_US - 30 * CLOCK_DAY);
    cr_assert_eq(case_server_import(&server, items, 2)->conversations_imported, 2);
    char *target = desk_receive(&server, "desk", "jo", "m", "hello")->case_->name;
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    merge.target = target;
    int refused = 0;
    for (int i = 1; i <= 2; i++) {
        merge.source = arena_printf(server.memory, "accounts/acme/cases/%d", i);
        if (desk_case(&server, merge.source)->message_count > MOST) {
            cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "MergeCases", &merge).reason,
                             "CASE_TOO_LARGE");
            refused++;
            continue;
        }
        desk_call(&server, "anna", DESK_CASES, "MergeCases", &merge);
        cr_assert_eq(desk_last_event(&server, target, 15)->n_moved_messages, MOST);
        cr_assert_eq(desk_case(&server, target)->message_count, MOST + 1);
        Casework__Cases__V1__UnmergeCasesRequest undo = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
        undo.name = merge.source;
        desk_call(&server, "anna", DESK_CASES, "UnmergeCases", &undo);
        cr_assert_eq(desk_case(&server, target)->message_count, 1);
    }
    cr_assert_eq(refused, 1);
}

Test(case_pages, parts_of_a_snapshot_stay_small_and_leave_nothing_out)
{
    enum { COUNT = 260 };
    Casework__Cases__V1__ImportConversationsRequest *items[COUNT];
    for (int i = 0; i < COUNT; i++) {
        items[i] = case_server_conversation(&server, "acme", arena_printf(server.memory, "s%d", i), "Large",
                                            "c", CASE_SERVER_START_US - CLOCK_DAY);
        items[i]->conversation->n_labels = 80;
        items[i]->conversation->labels = arena_calloc(server.memory, 80, sizeof(char *));
        for (int k = 0; k < 80; k++)
            items[i]->conversation->labels[k] = arena_printf(server.memory, "%0250d", k);
    }
    cr_assert_eq(case_server_import(&server, items, COUNT)->conversations_imported, COUNT);
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    request.parent = desk_text("accounts/acme");
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND};
    error err = {0};
    rpc_stream *stream = NULL;
    cr_assert(rpc_stream_open(server.channel, EVENTS, "StreamSnapshot", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    size_t cases = 0, parts = 0;
    bool done = false;
    ProtobufCMessage *message;
    while (!done) {
        cr_assert_eq(rpc_stream_read(stream, options.timeout_us, server.memory, &message, &err),
                     RPC_READ_MESSAGE);
        const Casework__Cases__V1__StreamSnapshotResponse *part = (const void *)message;
        cr_assert_lt(size_of(part), ANSWER_MAX);
        cases += part->n_cases;
        parts++;
        done = part->done;
    }
    rpc_stream_free(stream);
    cr_assert_eq(cases, COUNT);
    cr_assert_gt(parts, 2);
}
