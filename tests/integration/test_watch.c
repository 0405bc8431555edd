/* What a watch says: snapshot and changes, tokens, Recent, other replicas, another epoch, slow readers. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "pg/pg.h"
#include "tests/support/case_server.h"
#include "tests/support/watcher.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define AGENTS (&casework__cases__v1__agent_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define SOON (30 * CLOCK_SECOND) /* with sanitizers and company */

typedef Casework__Cases__V1__WatchCasesRequest watch_request;
typedef Casework__Cases__V1__WatchCasesResponse watch_item;

#define SNAPSHOT CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT
#define ENTER CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_ENTER
#define CHANGE CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_CHANGE
#define LEAVE CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_LEAVE
#define HEARTBEAT CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM__NOT_SET

static struct case_server server;

static void create_agent(const char *id)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.agent_id = (char *)(uintptr_t)id;
    request.agent = &agent;
    case_server_call(&server, AGENTS, "CreateAgent", &request);
}

static void setup(void)
{
    case_server_start(&server);
    case_server_account(&server, "acme");
    create_agent("anna");
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(watch, .init = setup, .fini = teardown, .timeout = 120);

/* --- changes --- */

static char *create_case(const char *label)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case new_case = CASEWORK__CASES__V1__CASE__INIT;
    char *labels[] = {(char *)(uintptr_t)label};
    new_case.subject = (char *)(uintptr_t) "printer on fire";
    new_case.channel = (char *)(uintptr_t) "accounts/acme/channels/desk";
    new_case.labels = labels;
    new_case.n_labels = label ? 1 : 0;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.case_ = &new_case;
    Casework__Cases__V1__CreateCaseResponse *done = case_server_call(&server, CASES, "CreateCase", &request);
    return done->case_->name;
}

/* A method that takes a name, on behalf of an agent; answers the position. */
static int64_t step_as(const char *method, char *name, const char *agent)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(CASES, method);
    const struct rpc_client_options options = {.timeout_us = 10 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *request = arena_alloc(server.memory, descriptor->input->sizeof_message), *response;
    error err;
    protobuf_c_message_init(descriptor->input, request);
    size_t offset = protobuf_c_message_descriptor_get_field_by_name(descriptor->input, "name")->offset;
    memcpy((char *)request + offset, &name, sizeof name);
    cr_assert(
        rpc_client_call(server.channel, CASES, method, request, &options, server.memory, &response, &err),
        "%s: %s", method, err.message);
    offset = protobuf_c_message_descriptor_get_field_by_name(descriptor->output, "position")->offset;
    return *(const int64_t *)(const void *)((const char *)response + offset);
}

static int64_t step(const char *method, char *name)
{
    return step_as(method, name, NULL);
}

static void run_sql(const char *sql)
{
    const struct pg_options options = {.url = embedded_pg_url(server.pg)};
    pg_conn *conn;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.message);
    cr_assert(pg_run_script(conn, sql, 0, &err), "%s %s", err.message, err.detail);
    pg_conn_close(conn);
}

/* --- watching --- */

static watch_request folder_request(Casework__Cases__V1__Folder folder)
{
    watch_request request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = folder;
    return request;
}

static watch_request case_request(char *name)
{
    watch_request request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_CASE;
    request.case_ = name;
    return request;
}

static struct watcher *watch_at(watch_request request, rpc_channel *channel)
{
    struct watcher *w = watcher_new(&request);
    watcher_open(w, channel);
    return w;
}

static const watch_item *next(struct watcher *w)
{
    const watch_item *item = NULL;
    error err;
    cr_assert_eq(watcher_read(w, SOON, &item, &err), RPC_READ_MESSAGE, "%s: %s", err.reason, err.message);
    return item;
}

/* The next item must be this one, about this case. */
static const watch_item *expect(struct watcher *w, int kind, const char *name)
{
    const watch_item *item = next(w);
    cr_assert_eq(item->item_case, kind, "item %d instead of %d", (int)item->item_case, kind);
    const char *its = kind == ENTER    ? item->enter->name
                      : kind == CHANGE ? item->change->name
                      : kind == LEAVE  ? item->leave
                                       : "";
    cr_assert_str_eq(its, name);
    return item;
}

static void expect_snapshot(struct watcher *w, size_t count)
{
    const watch_item *item = next(w);
    cr_assert_eq(item->item_case, SNAPSHOT);
    cr_assert_eq(item->snapshot->n_cases, count, "%zu cases", item->snapshot->n_cases);
    cr_assert(item->snapshot->complete);
}

static void cut_and_resume(struct watcher *w)
{
    watcher_cut(w);
    watcher_open(w, server.channel);
}

/* How a watch is refused or ends: its code, and its reason. */
static enum status_code ending(struct watcher *w, char reason[40])
{
    const watch_item *item;
    error err;
    enum rpc_read read;
    do {
        read = watcher_read(w, SOON, &item, &err);
    } while (read == RPC_READ_MESSAGE);
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_str_empty(w->failure, "%s", w->failure);
    snprintf(reason, 40, "%s", err.reason);
    return err.code;
}

static enum status_code refusal(watch_request request, const char *token, const char *agent, char reason[40])
{
    struct watcher *w = watcher_new(&request);
    w->agent = agent;
    snprintf(w->token, sizeof w->token, "%s", token);
    watcher_open(w, server.channel);
    enum status_code code = ending(w, reason);
    watcher_free(w);
    return code;
}

Test(watch, a_folder_from_its_snapshot_on)
{
    char *first = create_case(NULL);
    struct watcher *w = watch_at(folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_NEW), server.channel);
    expect_snapshot(w, 1);
    char *second = create_case(NULL);
    const watch_item *item = expect(w, ENTER, second);
    cr_assert_str_eq(item->enter->subject, "printer on fire");
    cr_assert_str_eq(item->enter->etag, "1");
    cr_assert_eq(item->enter->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
    int64_t position = step_as("OpenCase", first, "anna");
    cr_assert_eq(expect(w, LEAVE, first)->position, position);
    step("DeleteCase", second);
    expect(w, LEAVE, second);
    step("UndeleteCase", second);
    expect(w, ENTER, second);
    watcher_free(w);
}

/* An item is what its change made of the case, whatever has happened since. */
Test(watch, items_are_as_their_change_left_the_case)
{
    char *name = create_case(NULL);
    struct watcher *w = watch_at(case_request(name), server.channel);
    expect_snapshot(w, 1);
    watcher_cut(w);
    step_as("OpenCase", name, "anna");
    step("MarkCasePending", name);
    step("DeleteCase", name);
    watcher_open(w, server.channel);
    static const int statuses[] = {2, 3, 6};
    for (int i = 0; i < 3; i++) {
        const watch_item *item = expect(w, CHANGE, name);
        cr_assert_eq((int)item->change->status, statuses[i]);
        cr_assert_eq(item->change->version, i + 2);
        cr_assert_str_eq(item->change->owner, "accounts/acme/agents/anna");
        cr_assert_eq(item->change->delete_time != NULL, i == 2);
    }
    watcher_free(w);
}

Test(watch, filters_and_agents_folders)
{
    char *label = (char *)(uintptr_t) "Contract Needed";
    watch_request request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    request.labels = &label;
    request.n_labels = 1;
    struct watcher *labelled = watch_at(request, server.channel);
    request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_MY_CASES);
    struct watcher *mine = watcher_new(&request);
    mine->agent = "anna"; /* the caller's folder */
    watcher_open(mine, server.channel);
    expect_snapshot(labelled, 0);
    expect_snapshot(mine, 0);
    create_case(NULL);
    char *with = create_case(label);
    expect(labelled, ENTER, with);
    step_as("OpenCase", with, "anna");
    expect(labelled, CHANGE, with);
    expect(mine, ENTER, with);
    watcher_free(labelled);
    watcher_free(mine);
}

Test(watch, resuming_says_where_it_stands)
{
    struct watcher *w = watch_at(folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL), server.channel);
    expect_snapshot(w, 0);
    cut_and_resume(w);
    expect(w, HEARTBEAT, "");
    char *name = create_case(NULL);
    expect(w, ENTER, name);
    cut_and_resume(w);
    expect(w, HEARTBEAT, "");
    watcher_free(w);
}

Test(watch, a_token_is_good_for_its_arguments_only)
{
    char reason[40], edited[WATCHER_TOKEN_MAX];
    char *name = create_case(NULL);
    watch_request all = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    struct watcher *w = watch_at(all, server.channel);
    expect_snapshot(w, 1);
    for (size_t i = 0; i < strlen(w->token); i += 7) {
        snprintf(edited, sizeof edited, "%s", w->token);
        edited[i] = edited[i] == 'A' ? 'B' : 'A';
        cr_assert_eq(refusal(all, edited, NULL, reason), STATUS_INVALID_ARGUMENT);
        cr_assert_str_eq(reason, "INVALID_RESUME_TOKEN");
    }
    cr_assert_eq(refusal(all, "x", NULL, reason), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(refusal(all, w->token, "anna", reason), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(refusal(folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_OPEN), w->token, NULL, reason),
                 STATUS_INVALID_ARGUMENT);
    cr_assert_eq(refusal(case_request(name), w->token, NULL, reason), STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(reason, "INVALID_RESUME_TOKEN");
    watcher_free(w);
}

Test(watch, bad_requests)
{
    char reason[40];
    watch_request request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT, "no target");
    request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_MY_CASES);
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT, "whose");
    request = folder_request((Casework__Cases__V1__Folder)99);
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT, "no folder");
    request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_UNASSIGNED);
    request.owner = (char *)(uintptr_t) "accounts/acme/agents/anna";
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT, "a contradiction");
    request = case_request((char *)(uintptr_t) "accounts/acme/cases/x");
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(reason, "NOT_A_NUMBER");
    request = case_request((char *)(uintptr_t) "accounts/other/cases/1");
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_NOT_FOUND);
    request = case_request((char *)(uintptr_t) "accounts/acme/cases/77");
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_NOT_FOUND);
    request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    request.parent = (char *)(uintptr_t) "accounts/nobody";
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_NOT_FOUND);
    request.parent = (char *)(uintptr_t) "accounts/-";
    cr_assert_eq(refusal(request, "", NULL, reason), STATUS_INVALID_ARGUMENT);
}

Test(watch, a_case_leaves_recent_when_a_day_has_gone_by)
{
    char *early = create_case(NULL), *late = create_case(NULL), *never = create_case(NULL);
    struct watcher *w = watch_at(folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_RECENT), server.channel);
    expect_snapshot(w, 0);
    step_as("OpenCase", early, "anna");
    expect(w, ENTER, early);
    case_server_advance(&server, CLOCK_HOUR);
    step_as("OpenCase", late, "anna");
    expect(w, ENTER, late);
    case_server_advance(&server, 23 * CLOCK_HOUR); /* to the microsecond: still in */
    step("MarkCasePending", early);
    expect(w, CHANGE, early);
    case_server_advance(&server, 1);
    expect(w, LEAVE, early);
    watcher_cut(w);
    case_server_advance(&server, CLOCK_DAY); /* nobody watches meanwhile */
    step("MarkCasePending", early);
    watcher_open(w, server.channel);
    expect(w, HEARTBEAT, "");
    expect(w, LEAVE, late);
    step_as("OpenCase", never, "anna");
    expect(w, ENTER, never);
    watcher_free(w);
}

Test(watch, what_another_replica_writes_comes_without_a_look)
{
    case_server_start_hearing(&server);
    struct watcher *w =
        watch_at(folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL), server.other_channel);
    expect_snapshot(w, 0);
    for (int i = 0; i < 10; i++)
        expect(w, ENTER, create_case(NULL));
    watcher_free(w);
}

Test(watch, another_epoch_ends_it)
{
    char reason[40];
    watch_request request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    struct watcher *w = watch_at(request, server.channel);
    expect_snapshot(w, 0);
    run_sql("UPDATE suite SET epoch = 'after the restoring'");
    cr_assert_eq(ending(w, reason), STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(reason, "EPOCH_CHANGED");
    cr_assert_eq(refusal(request, w->token, NULL, reason), STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(reason, "EPOCH_CHANGED");
    watcher_free(w);
    w = watch_at(request, server.channel);
    expect_snapshot(w, 0);
    watcher_free(w);
}

/* The last event of an account that is deleted is the only one that is kept. */
Test(watch, a_deleted_account_ends_it)
{
    char reason[40];
    watch_request request = folder_request(CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    struct watcher *w = watch_at(request, server.channel);
    expect_snapshot(w, 0);
    Casework__Cases__V1__DeleteAccountRequest delete = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    delete.name = (char *)(uintptr_t) "accounts/acme";
    case_server_call(&server, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &delete);
    cr_assert_eq(ending(w, reason), STATUS_NOT_FOUND);
    cr_assert_eq(refusal(request, w->token, NULL, reason), STATUS_NOT_FOUND);
    case_server_account(&server, "acme"); /* at the same time by the clock */
    cr_assert_eq(refusal(request, w->token, NULL, reason), STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(reason, "EPOCH_CHANGED");
    watcher_free(w);
}

/* --- slow readers: with a patience of a second --- */

static void setup_impatient(void)
{
    setenv("STREAM_PATIENCE_SECONDS", "1", 1);
    setup();
    unsetenv("STREAM_PATIENCE_SECONDS");
}

TestSuite(watch_slow, .init = setup_impatient, .fini = teardown, .timeout = 120);

/* Attributes make items large: a few hundred fill every queue on the way. */
static void change_much(char *name, char letter)
{
    enum { SIZE = 1000, ATTRIBUTES = 60 };
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case changed = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Case__AttributesEntry entries[ATTRIBUTES], *list[ATTRIBUTES];
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = (char *)(uintptr_t) "attributes", value[SIZE + 1];
    memset(value, letter, SIZE);
    value[SIZE] = '\0';
    for (int i = 0; i < ATTRIBUTES; i++) {
        list[i] = &entries[i];
        casework__cases__v1__case__attributes_entry__init(list[i]);
        entries[i].key = arena_printf(server.memory, "key%02d", i);
        entries[i].value = value;
    }
    changed.name = name;
    changed.attributes = list;
    changed.n_attributes = ATTRIBUTES;
    request.case_ = &changed;
    request.update_mask = &mask;
    mask.paths = &path;
    mask.n_paths = 1;
    case_server_call(&server, CASES, "UpdateCase", &request);
}

/* It takes nothing, is ended behind what was queued, and goes on from there: nothing is missing. */
Test(watch_slow, a_reader_that_takes_nothing_is_ended_and_may_go_on)
{
    char reason[40];
    char *name = create_case(NULL);
    struct watcher *slow = watch_at(case_request(name), server.channel);
    struct watcher *other = watch_at(case_request(name), server.channel);
    expect_snapshot(slow, 1);
    expect_snapshot(other, 1);
    enum { CHANGES = 200 };
    for (int i = 0; i < CHANGES; i++) {
        change_much(name, (char)('a' + i % 26));
        expect(other, CHANGE, name); /* whoever reads is not held up */
    }
    case_server_await_slow_reader(&server, CASES->name, "WatchCases");
    cr_assert_eq(ending(slow, reason), STATUS_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(reason, "SLOW_READER");
    cr_assert_lt(slow->items, CHANGES);
    cut_and_resume(slow);
    while (slow->versions[1] < CHANGES + 1)
        next(slow);
    cr_assert_eq(slow->items, CHANGES + 1);
    watcher_free(slow);
    watcher_free(other);
}

/* The same for the feed: what was queued, then the end, and on from there. */
Test(watch_slow, a_consumer_that_takes_nothing_is_ended)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    ProtobufCMessage *message;
    error err;
    char *labels[100], *name = create_case(NULL);
    for (int i = 0; i < 100; i++) {
        labels[i] = arena_alloc(server.memory, 251);
        memset(labels[i], 'a', 250);
        snprintf(labels[i] + 245, 6, "%05d", i);
    }
    Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case changed = CASEWORK__CASES__V1__CASE__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = (char *)(uintptr_t) "labels";
    changed.name = name;
    changed.labels = labels;
    update.case_ = &changed;
    update.update_mask = &mask;
    mask.paths = &path;
    mask.n_paths = 1;
    cr_assert(rpc_stream_open(server.channel, EVENTS, "StreamEvents", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    for (size_t i = 0; i < 400; i++) { /* ten megabytes */
        changed.n_labels = 99 + i % 2;
        case_server_call(&server, CASES, "UpdateCase", &update);
    }
    case_server_await_slow_reader(&server, EVENTS->name, "StreamEvents");
    enum rpc_read read;
    do {
        read = rpc_stream_read(stream, SOON, server.memory, &message, &err);
    } while (read == RPC_READ_MESSAGE);
    cr_assert_eq(read, RPC_READ_FAILED);
    cr_assert_str_eq(err.reason, "SLOW_READER");
    rpc_stream_free(stream);
}
