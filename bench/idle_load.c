/*
 * For bench/idle.sh: streams in which nothing happens, and how long a service takes to start.
 *
 *     idle_load watches|sessions TARGET KEYS ACCOUNT COUNT
 *         opens so many, says "open" once each has had its first message, holds them until standard input
 *         ends, and then fails if one of them has ended; 40 sessions for each of the agents agent-0, agent-1,
 * … idle_load start HOST PORT PROGRAM ARGUMENT… prints the microseconds from the start of a service to its
 * SERVING; then ends it
 */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/session_service.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/client.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PER_CONNECTION = 900, /* a connection takes 1,000 */
    PER_AGENT = 40,       /* an agent's sessions */
    OPENING_MAX = 200,    /* opened, their first message not yet read */
    STREAMS_MAX = 1000000,
};

#define PATIENCE (30 * CLOCK_SECOND)

struct streams {
    bool are_sessions;
    const char *target, *keys, *account;
    int count;
    rpc_channel **channels;
    rpc_stream **list;
    arena *memory;
};

static int complain(const error *err)
{
    fprintf(stderr, "idle_load: %s %s\n", status_code_name(err->code), err->message);
    return 1;
}

static bool watch(struct streams *s, rpc_channel *channel, rpc_stream **ret_stream, error *err)
{
    Casework__Cases__V1__WatchCasesRequest request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    request.parent = arena_printf(s->memory, "accounts/%s", s->account);
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_NEW;
    return rpc_stream_open(channel, &casework__cases__v1__case_service__descriptor, "WatchCases", &options,
                           ret_stream, err) &&
           rpc_stream_write(*ret_stream, &request.base);
}

static bool attach(struct streams *s, int i, rpc_channel *channel, rpc_stream **ret_stream, error *err)
{
    const char *agent = arena_printf(s->memory, "agent-%d", i / PER_AGENT);
    Casework__Cases__V1__AttachRequest__Hello hello = CASEWORK__CASES__V1__ATTACH_REQUEST__HELLO__INIT;
    Casework__Cases__V1__AttachRequest request = CASEWORK__CASES__V1__ATTACH_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX, .agent = agent};
    hello.agent = arena_printf(s->memory, "accounts/%s/agents/%s", s->account, agent);
    request.request_case = CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_HELLO;
    request.hello = &hello;
    return rpc_stream_open(channel, &casework__cases__v1__session_service__descriptor, "Attach", &options,
                           ret_stream, err) &&
           rpc_stream_write(*ret_stream, &request.base);
}

static bool first_message(struct streams *s, int i, error *err)
{
    ProtobufCMessage *message;
    error_set(err, STATUS_DEADLINE_EXCEEDED, "", "stream %d: nothing came", i);
    enum rpc_read got = rpc_stream_read(s->list[i], PATIENCE, s->memory, &message, err);
    arena_clear(s->memory);
    return got == RPC_READ_MESSAGE;
}

static bool open_all(struct streams *s, error *err)
{
    const struct rpc_channel_options options = {
        .target = s->target, .key_directory = *s->keys ? s->keys : NULL, .subject = "bench"};
    for (int i = 0; i < s->count + OPENING_MAX; i++) {
        if (i < s->count) {
            rpc_channel **channel = &s->channels[i / PER_CONNECTION];
            if (!*channel && !rpc_channel_new(&options, channel, err))
                return false;
            bool opened = s->are_sessions ? attach(s, i, *channel, &s->list[i], err)
                                          : watch(s, *channel, &s->list[i], err);
            if (!opened)
                return false;
        }
        if (i >= OPENING_MAX && !first_message(s, i - OPENING_MAX, err))
            return false;
    }
    return true;
}

static bool are_alive(struct streams *s, error *err)
{
    ProtobufCMessage *message;
    for (int i = 0; i < s->count; i++) {
        enum rpc_read got = rpc_stream_read(s->list[i], 0, s->memory, &message, err);
        if (got == RPC_READ_FAILED || got == RPC_READ_END)
            return false;
    }
    return true;
}

static int hold_streams(struct streams *s)
{
    error err = {.code = STATUS_OK};
    char end;
    s->channels = calloc((size_t)s->count / PER_CONNECTION + 1, sizeof(rpc_channel *));
    s->list = calloc((size_t)s->count, sizeof(rpc_stream *));
    s->memory = arena_new(16u << 20);
    if (!s->channels || !s->list || !s->memory)
        return 1;
    bool good = open_all(s, &err);
    if (good) {
        printf("open\n");
        fflush(stdout);
        while (read(STDIN_FILENO, &end, 1) > 0)
            ;
        good = are_alive(s, &err);
    }
    for (int i = 0; i < s->count; i++)
        rpc_stream_free(s->list[i]);
    for (int i = 0; i <= s->count / PER_CONNECTION; i++)
        rpc_channel_free(s->channels[i]);
    arena_free(s->memory);
    free(s->list);
    free(s->channels);
    return good ? 0 : complain(&err);
}

/* --- start --- */

static bool accepts_connections(const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool accepted = sock >= 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1 &&
                    connect(sock, (struct sockaddr *)&address, sizeof address) == 0;
    if (sock >= 0)
        close(sock);
    return accepted;
}

static bool is_serving(rpc_channel *channel, arena *memory)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *answer;
    error err;
    return rpc_client_call(channel, &grpc__health__v1__health__descriptor, "Check", &request.base, &options,
                           memory, &answer, &err) &&
           ((Grpc__Health__V1__HealthCheckResponse *)answer)->status ==
               GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

static bool wait_serving(const char *host, int port, int64_t limit, int64_t *ret_at)
{
    const struct timespec pause = {.tv_nsec = 500000};
    char target[128];
    rpc_channel *channel;
    arena *memory = arena_new(1u << 20);
    error err;
    while (!accepts_connections(host, port)) {
        if (clock_monotonic_us() > limit)
            return false;
        nanosleep(&pause, NULL);
    }
    snprintf(target, sizeof target, "%s:%d", host, port);
    if (!memory || !rpc_channel_new(&(struct rpc_channel_options){.target = target}, &channel, &err))
        return false;
    bool serving;
    while (!(serving = is_serving(channel, memory)) && clock_monotonic_us() < limit) {
        nanosleep(&pause, NULL);
        arena_clear(memory);
    }
    *ret_at = clock_monotonic_us();
    rpc_channel_free(channel);
    arena_free(memory);
    return serving;
}

static int measure_start(const char *host, int port, char **program)
{
    int64_t begun = clock_monotonic_us(), at = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execv(program[0], program);
        _exit(127);
    }
    bool served = pid > 0 && wait_serving(host, port, begun + PATIENCE, &at);
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    if (!served) {
        fprintf(stderr, "idle_load: %s did not serve\n", program[0]);
        return 1;
    }
    printf("%" PRId64 "\n", at - begun);
    return 0;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "start") == 0)
        return measure_start(argv[2], number(argv[3]), argv + 4);
    bool are_sessions = argc == 6 && strcmp(argv[1], "sessions") == 0;
    struct streams streams = {.are_sessions = are_sessions};
    if (are_sessions || (argc == 6 && strcmp(argv[1], "watches") == 0)) {
        streams.target = argv[2];
        streams.keys = argv[3];
        streams.account = argv[4];
        streams.count = number(argv[5]);
        if (streams.count > 0 && streams.count <= STREAMS_MAX)
            return hold_streams(&streams);
    }
    fprintf(stderr, "usage: see the head of bench/idle_load.c\n");
    return 2;
}
