#include "tests/support/case_replicas.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "embedded/port.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/pg_server.h"
#include "tests/support/redis_server.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALL_TIMEOUT_US CLOCK_MINUTE
#define START_TIMEOUT_US (30 * CLOCK_SECOND)

enum { MEMORY_MAX = 512 << 20 };

static void give_up(const char *what, const error *err)
{
    fprintf(stderr, "%s: %s: %s (%s)\n", what, status_code_name(err->code), err->message, err->detail);
    abort();
}

static char *writable(const char *text)
{
    return (char *)(uintptr_t)text;
}

static bool is_serving(struct case_replicas *r, unsigned replica)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    return rpc_client_call(r->channels[replica], &grpc__health__v1__health__descriptor, "Check",
                           &request.base, &options, r->memory, &response, &err) &&
           ((Grpc__Health__V1__HealthCheckResponse *)response)->status ==
               GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

static void await_serving(struct case_replicas *r, unsigned replica)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT_US;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    while (!is_serving(r, replica)) {
        if (clock_monotonic_us() > until || !process_running(r->processes[replica])) {
            error err;
            error_set(&err, STATUS_UNAVAILABLE, "", "it does not serve");
            give_up("casework-case", &err);
        }
        nanosleep(&pause, NULL);
    }
}

static const char *log_file(char ret_path[64])
{
    snprintf(ret_path, 64, "build/test-replicas.%d.log", (int)getpid());
    return ret_path;
}

/* At its address. Nothing is called before all have been started. */
static void start_program(struct case_replicas *r, unsigned replica)
{
    char program[256], listen[160], url[512], redis[512], metrics[64], log[64];
    const char *bin = getenv("CASEWORK_BIN");
    snprintf(program, sizeof program, "%s/casework-case", bin ? bin : "build/test/bin");
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=%s", r->addresses[replica]);
    snprintf(url, sizeof url, "DATABASE_URL=%s", embedded_pg_url(r->pg));
    snprintf(redis, sizeof redis, "REDIS_URL=%s", r->redis ? embedded_redis_url(r->redis) : "");
    snprintf(metrics, sizeof metrics, "METRICS_ADDRESS=127.0.0.1:%u", r->metrics_ports[replica]);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = log_file(log),
        .settings =
            (const char *const[]){listen, url, redis, metrics, "CLOCK=manual=2026-03-02T09:00:00Z",
                                  "SEARCH_TARGET=", "SLA_TARGET=", "REPORT_TARGET=", "LOG_LEVEL=warn", NULL},
    };
    error err;
    if (!process_start(&options, &r->processes[replica], &err))
        give_up(program, &err);
}

void case_replicas_start(struct case_replicas *r, unsigned count, bool with_redis)
{
    *r = (struct case_replicas){.count = count, .memory = arena_new(MEMORY_MAX)};
    r->pg = pg_server_start(false, NULL);
    pg_server_migrate(r->pg, "case");
    r->redis = with_redis ? redis_server_start(false, NULL) : NULL;
    for (unsigned i = 0; i < count; i++) {
        snprintf(r->addresses[i], sizeof r->addresses[i], "127.0.0.1:%u", port_reserve());
        r->metrics_ports[i] = port_reserve();
        start_program(r, i);
    }
    for (unsigned i = 0; i < count; i++) {
        const struct rpc_channel_options to = {.target = r->addresses[i]};
        error err;
        if (!rpc_channel_new(&to, &r->channels[i], &err))
            give_up("channel", &err);
        await_serving(r, i);
    }
}

void case_replicas_restart(struct case_replicas *r, unsigned replica)
{
    process_free(r->processes[replica]);
    start_program(r, replica);
    await_serving(r, replica);
}

void case_replicas_stop(struct case_replicas *r)
{
    char log[64];
    for (unsigned i = 0; i < r->count; i++) {
        int status = 0;
        rpc_channel_free(r->channels[i]);
        if (!process_running(r->processes[i])) {
            process_free(r->processes[i]);
            continue;
        }
        process_signal(r->processes[i], SIGTERM);
        if (!process_wait(r->processes[i], clock_monotonic_us() + START_TIMEOUT_US, &status) || status != 0) {
            fprintf(stderr, "replica %u of the case service ended with status %d\n", i, status);
            abort();
        }
        process_free(r->processes[i]);
    }
    unlink(log_file(log)); /* of use only when the test has failed */
    embedded_redis_free(r->redis);
    embedded_pg_free(r->pg);
    arena_free(r->memory);
}

void case_replicas_signal(struct case_replicas *r, unsigned replica, int signal_number)
{
    process_signal(r->processes[replica], signal_number);
    if (signal_number == SIGKILL)
        process_wait(r->processes[replica], clock_monotonic_us() + START_TIMEOUT_US, NULL);
}

bool case_replicas_try(struct case_replicas *r, unsigned replica, const ProtobufCServiceDescriptor *service,
                       const char *method, const void *request, const char *agent, const char *session,
                       void *ret_response, error *ret_err)
{
    const struct rpc_client_options options = {
        .timeout_us = CALL_TIMEOUT_US, .agent = agent, .session = session};
    ProtobufCMessage *response;
    if (!rpc_client_call(r->channels[replica], service, method, request, &options, r->memory, &response,
                         ret_err))
        return false;
    *(void **)ret_response = response;
    return true;
}

void *case_replicas_call(struct case_replicas *r, unsigned replica, const ProtobufCServiceDescriptor *service,
                         const char *method, const void *request, const char *agent)
{
    void *response;
    error err;
    if (!case_replicas_try(r, replica, service, method, request, agent, NULL, &response, &err))
        give_up(method, &err);
    return response;
}

static void create_agent(struct case_replicas *r, const char *account, const char *word)
{
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    char *id = arena_strdup(r->memory, word);
    agent.role = isupper((unsigned char)*id) ? CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN
                                             : CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
    *id = (char)tolower((unsigned char)*id);
    agent.display_name = id;
    request.parent = arena_printf(r->memory, "accounts/%s", account);
    request.agent_id = id;
    request.agent = &agent;
    case_replicas_call(r, 0, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request, NULL);
}

void case_replicas_account(struct case_replicas *r, const char *id, int64_t grace_us, const char *agents)
{
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__CreateAccountRequest create = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    account.session_grace_duration = wire_duration(r->memory, grace_us);
    create.account_id = writable(id);
    create.account = &account;
    case_replicas_call(r, 0, &casework__cases__v1__account_service__descriptor, "CreateAccount", &create,
                       NULL);
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest desk = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = writable("chat");
    channel.address = writable("desk");
    desk.parent = arena_printf(r->memory, "accounts/%s", id);
    desk.channel_id = writable("desk");
    desk.channel = &channel;
    case_replicas_call(r, 0, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &desk, NULL);
    char *rest = NULL, *words = arena_strdup(r->memory, agents);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        create_agent(r, id, word);
}

const char *case_replicas_case(struct case_replicas *r, const char *account)
{
    Casework__Cases__V1__Case subject = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    subject.subject = writable("a case");
    subject.channel = arena_printf(r->memory, "accounts/%s/channels/desk", account);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = writable("Hello");
    request.parent = arena_printf(r->memory, "accounts/%s", account);
    request.case_ = &subject;
    request.first_message = &message;
    const Casework__Cases__V1__CreateCaseResponse *response = case_replicas_call(
        r, 0, &casework__cases__v1__case_service__descriptor, "CreateCase", &request, NULL);
    return response->case_->name;
}

bool case_replicas_write(struct case_replicas *r, unsigned replica, const char *case_name, const char *agent,
                         const char *session, error *ret_err)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    void *response;
    message.kind = agent ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE
                         : CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = writable("a note");
    request.parent = writable(case_name);
    request.message = &message;
    return case_replicas_try(r, replica, &casework__cases__v1__message_service__descriptor, "AddMessage",
                             &request, agent, session, &response, ret_err);
}
