#include "tests/support/case_server.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/testing/v1/clock_service.pb-c.h"
#include "embedded/port.h"
#include "grpc/health/v1/health.pb-c.h"
#include "pg/pg.h"
#include "rpc/wire.h"
#include "tests/support/metrics_page.h"
#include "tests/support/pg_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALL_TIMEOUT_US CLOCK_MINUTE /* with sanitizers and company */
#define START_TIMEOUT_US (30 * CLOCK_SECOND)

enum { MEMORY_MAX = 512 << 20 };

static void give_up(const char *what, const error *err)
{
    fprintf(stderr, "%s: %s: %s (%s)\n", what, status_code_name(err->code), err->message, err->detail);
    abort();
}

static bool is_serving(struct case_server *server, rpc_channel *channel)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    return rpc_client_call(channel, &grpc__health__v1__health__descriptor, "Check", &request.base, &options,
                           server->memory, &response, &err) &&
           ((Grpc__Health__V1__HealthCheckResponse *)response)->status ==
               GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

static void await_serving(struct case_server *server, process *program, rpc_channel *channel)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT_US;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    while (!is_serving(server, channel)) {
        if (clock_monotonic_us() > until || !process_running(program)) {
            error err;
            error_set(&err, STATUS_UNAVAILABLE, "", "it does not serve");
            give_up("casework-case", &err);
        }
        nanosleep(&pause, NULL);
    }
}

static const char *log_file(char ret_path[64])
{
    snprintf(ret_path, 64, "build/test-case.%d.log", (int)getpid());
    return ret_path;
}

void case_server_start_replica(struct case_server *server, process **ret_process, rpc_channel **ret_channel)
{
    char address[32], program[256], listen[64], metrics[64], url[512], log[64], peer[128];
    const char *bin = getenv("CASEWORK_BIN"), *search = getenv("CASE_SERVER_PEER");
    uint16_t metrics_port = port_reserve();
    snprintf(address, sizeof address, "127.0.0.1:%u", port_reserve());
    snprintf(program, sizeof program, "%s/casework-case", bin ? bin : "build/test/bin");
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=%s", address);
    snprintf(metrics, sizeof metrics, "METRICS_ADDRESS=127.0.0.1:%u", metrics_port);
    snprintf(url, sizeof url, "DATABASE_URL=%s", embedded_pg_url(server->pg));
    snprintf(peer, sizeof peer, "SEARCH_TARGET=%s", search ? search : "");
    log_file(log);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = log,
        .settings = (const char *const[]){listen, url, metrics, "CLOCK=manual=2026-03-02T09:00:00Z", peer,
                                          "SLA_TARGET=", "REPORT_TARGET=", "LOG_LEVEL=warn", NULL},
    };
    const struct rpc_channel_options to = {.target = address};
    error err;
    if (!process_start(&options, ret_process, &err) || !rpc_channel_new(&to, ret_channel, &err))
        give_up(program, &err);
    await_serving(server, *ret_process, *ret_channel);
    if (server->address[0] == '\0') {
        memcpy(server->address, address, sizeof address);
        server->metrics_port = metrics_port;
    }
}

void case_server_start(struct case_server *server)
{
    *server = (struct case_server){.memory = arena_new(MEMORY_MAX)};
    server->pg = pg_server_start(false, NULL);
    pg_server_migrate(server->pg, "case");
    case_server_start_replica(server, &server->process, &server->channel);
}

void case_server_start_other(struct case_server *server)
{
    case_server_start_replica(server, &server->other, &server->other_channel);
}

void case_server_start_hearing(struct case_server *server)
{
    setenv("CASEWORK_INJECT", "case_feed.poll=drop", 1);
    case_server_start_other(server);
    unsetenv("CASEWORK_INJECT");
}

void case_server_stop_replica(process *program, rpc_channel *channel)
{
    int status = -1;
    if (!program)
        return;
    rpc_channel_free(channel);
    process_signal(program, SIGTERM);
    if (!process_wait(program, clock_monotonic_us() + START_TIMEOUT_US, &status) || status != 0) {
        fprintf(stderr, "the case service ended with status %d\n", status);
        abort();
    }
    process_free(program);
}

void case_server_stop(struct case_server *server)
{
    char log[64];
    case_server_stop_replica(server->process, server->channel);
    case_server_stop_replica(server->other, server->other_channel);
    unlink(log_file(log)); /* of use only when the test has failed */
    embedded_pg_free(server->pg);
    arena_free(server->memory);
}

void case_server_await_slow_reader(const struct case_server *server, const char *service, const char *method)
{
    char name[192];
    double found;
    error err;
    snprintf(name, sizeof name, "rpc_server_slow_readers_total{rpc_service=\"%s\",rpc_method=\"%s\"}",
             service, method);
    if (metrics_page_await(server->metrics_port, name, 1, CALL_TIMEOUT_US, &found))
        return;
    error_set(&err, STATUS_DEADLINE_EXCEEDED, "", "a reader that takes nothing keeps its stream");
    give_up(method, &err);
}

bool case_server_try(struct case_server *server, const ProtobufCServiceDescriptor *service,
                     const char *method, const void *request, void *ret_response, error *ret_err)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT_US};
    ProtobufCMessage *response;
    if (!rpc_client_call(server->channel, service, method, request, &options, server->memory, &response,
                         ret_err))
        return false;
    *(void **)ret_response = response;
    return true;
}

void *case_server_call(struct case_server *server, const ProtobufCServiceDescriptor *service,
                       const char *method, const void *request)
{
    void *response;
    error err;
    if (!case_server_try(server, service, method, request, &response, &err))
        give_up(method, &err);
    return response;
}

void case_server_advance(struct case_server *server, int64_t duration_us)
{
    Casework__Testing__V1__AdvanceTimeRequest request = CASEWORK__TESTING__V1__ADVANCE_TIME_REQUEST__INIT;
    request.duration = wire_duration(server->memory, duration_us);
    case_server_call(server, &casework__testing__v1__clock_service__descriptor, "AdvanceTime", &request);
}

void case_server_account(struct case_server *server, const char *id)
{
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__CreateAccountRequest create = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    create.account_id = (char *)(uintptr_t)id;
    create.account = &account;
    case_server_call(server, &casework__cases__v1__account_service__descriptor, "CreateAccount", &create);
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest desk = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = (char *)(uintptr_t) "chat";
    channel.address = (char *)(uintptr_t) "desk";
    desk.parent = arena_printf(server->memory, "accounts/%s", id);
    desk.channel_id = (char *)(uintptr_t) "desk";
    desk.channel = &channel;
    case_server_call(server, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &desk);
}

static Casework__Cases__V1__ConversationMessage *message_of(struct case_server *server, char kind,
                                                            size_t number, int64_t time_us)
{
    Casework__Cases__V1__ConversationMessage *message = arena_alloc(server->memory, sizeof *message);
    casework__cases__v1__conversation_message__init(message);
    message->kind = kind == 'a'   ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT
                    : kind == 'n' ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE
                    : kind == 't' ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_FROM_THIRD_PARTY
                                  : CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message->author_name = (char *)(uintptr_t)(kind == 'a' || kind == 'n' ? "Anna"
                                               : kind == 't'              ? "lab@example.net"
                                                                          : "Carl");
    message->send_time = wire_timestamp(server->memory, time_us);
    message->body = arena_printf(server->memory, "message %zu", number);
    return message;
}

Casework__Cases__V1__ImportConversationsRequest *case_server_conversation(
    struct case_server *server, const char *account, const char *external_id, const char *subject,
    const char *messages, int64_t start_us)
{
    arena *memory = server->memory;
    Casework__Cases__V1__ImportConversationsRequest *request = arena_alloc(memory, sizeof *request);
    Casework__Cases__V1__Conversation *conversation = arena_alloc(memory, sizeof *conversation);
    Casework__Cases__V1__Contact *contact = arena_alloc(memory, sizeof *contact);
    casework__cases__v1__import_conversations_request__init(request);
    casework__cases__v1__conversation__init(conversation);
    casework__cases__v1__contact__init(contact);
    contact->display_name = (char *)(uintptr_t) "Carl";
    conversation->external_id = arena_strdup(memory, external_id);
    conversation->network = (char *)(uintptr_t) "chat";
    conversation->subject = arena_strdup(memory, subject);
    conversation->contact = contact;
    conversation->messages = arena_calloc(memory, strlen(messages) + 1, sizeof(void *));
    for (const char *kind = messages; *kind; kind++) {
        size_t number = conversation->n_messages;
        conversation->messages[conversation->n_messages++] =
            message_of(server, *kind, number + 1, start_us + (int64_t)number * CLOCK_MINUTE);
    }
    request->parent = arena_printf(memory, "accounts/%s", account);
    request->conversation = conversation;
    return request;
}

Casework__Cases__V1__ImportConversationsResponse *case_server_import(
    struct case_server *server, Casework__Cases__V1__ImportConversationsRequest *const *items, size_t count)
{
    return case_server_import_for(server, NULL, items, count);
}

Casework__Cases__V1__ImportConversationsResponse *case_server_import_for(
    struct case_server *server, const char *agent,
    Casework__Cases__V1__ImportConversationsRequest *const *items, size_t count)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT_US, .agent = agent};
    rpc_stream *stream;
    ProtobufCMessage *response = NULL;
    error err;
    if (!rpc_stream_open(server->channel, &casework__cases__v1__import_service__descriptor,
                         "ImportConversations", &options, &stream, &err))
        give_up("ImportConversations", &err);
    for (size_t i = 0; i < count && rpc_stream_write(stream, &items[i]->base); i++) {
    }
    rpc_stream_close_send(stream);
    if (rpc_stream_read(stream, CALL_TIMEOUT_US, server->memory, &response, &err) != RPC_READ_MESSAGE)
        give_up("ImportConversations", &err);
    rpc_stream_free(stream);
    return (Casework__Cases__V1__ImportConversationsResponse *)response;
}

int64_t case_server_check_involved(const struct case_server *server)
{
    static const struct pg_statement compare = {
        .name = "compare_involved",
        .sql = "SELECT count(*), count(*) FILTER (WHERE i.status IS DISTINCT FROM c.status"
               " OR i.update_time IS DISTINCT FROM c.update_time) FROM cases c CROSS JOIN unnest(c.involved) "
               "AS a"
               " LEFT JOIN involved_cases i ON i.partition = c.partition AND i.account = c.account"
               " AND i.agent = a AND i.case_id = c.id",
    };
    const struct pg_options options = {.url = embedded_pg_url(server->pg)};
    pg_conn *conn = NULL;
    pg_result *result = NULL;
    error err;
    if (!pg_conn_open(&options, &conn, &err) || !pg_query(conn, &compare, NULL, 0, &result, &err))
        give_up("involved", &err);
    int64_t count = pg_get_int(result, 0, 0), wrong = pg_get_int(result, 0, 1);
    pg_result_free(result);
    pg_conn_close(conn);
    if (wrong > 0) {
        error_set(&err, STATUS_DATA_LOSS, "", "%d of %d rows are not as their cases", (int)wrong, (int)count);
        give_up("involved", &err);
    }
    return count;
}
