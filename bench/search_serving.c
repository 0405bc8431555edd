/*
 * How soon the search service serves again from its files, and what it takes of memory:
 *
 *     search_serving PROGRAM DIRECTORY [CASES]
 *
 * Files CASES cases (a million unless told) of the search corpus into an index in the directory, which must
 * not be there, and starts PROGRAM, casework-search, on it several times, against a feed in which nothing
 * happens. Prints one JSON object: from the start until its health is SERVING, what loading took of that by
 * its own log, until the first answer; resident memory when it serves, and when it has been asked queries of
 * each class; and how long it takes to stop. Milliseconds and kilobytes.
 */

#include "base/clock.h"
#include "base/log.h"
#include "bench/support/quiet_feed.h"
#include "bench/support/stored_index.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "embedded/port.h"
#include "embedded/process.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/client.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, MEMORY = 64 << 20, LOG_SIZE = 1 << 16 };

#define WAIT_US CLOCK_MINUTE

struct bench {
    const char *program;
    struct stored_index stored;
    quiet_feed *feed;
    char log[256];
    uint16_t port;
    process *process;
    rpc_channel *channel;
    arena *memory;
};

static void fail(const char *what)
{
    fprintf(stderr, "search_serving: %s\n", what);
    exit(EXIT_FAILURE);
}

static double since_ms(int64_t begun_us)
{
    return (double)(clock_monotonic_us() - begun_us) / 1000;
}

static void pause_briefly(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 500000}, NULL);
}

/* --- the service -------------------------------------------------------------------------------------- */

static void start(struct bench *bench)
{
    char listen[64], cases[64], directory[512];
    error err = {0};
    bench->port = port_reserve();
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=127.0.0.1:%u", bench->port);
    snprintf(cases, sizeof cases, "CASE_TARGET=%s", quiet_feed_target(bench->feed));
    snprintf(directory, sizeof directory, "SEARCH_DATA_DIRECTORY=%s", bench->stored.options.directory);
    remove(bench->log);
    const struct process_options options = {
        .argv = (const char *const[]){bench->program, NULL},
        .output_file = bench->log,
        .settings = (const char *const[]){listen, cases, directory, "METRICS_ADDRESS=", NULL}};
    if (!process_start(&options, &bench->process, &err))
        fail(err.message);
}

/* Looked at without a channel first: one that was refused comes back in its own time. */
static void await_port(struct bench *bench)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (!port_answers(bench->port)) {
        if (clock_monotonic_us() > until || !process_running(bench->process))
            fail("the service does not listen");
        pause_briefly();
    }
}

static ProtobufCMessage *call(struct bench *bench, const ProtobufCServiceDescriptor *service,
                              const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *response;
    error err = {0};
    arena_clear(bench->memory);
    if (!rpc_client_call(bench->channel, service, method, request, &options, bench->memory, &response, &err))
        fail(err.message);
    return response;
}

static void await_serving(struct bench *bench)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    int64_t until = clock_monotonic_us() + WAIT_US;
    for (;;) {
        const Grpc__Health__V1__HealthCheckResponse *response =
            (const void *)call(bench, &grpc__health__v1__health__descriptor, "Check", &request.base);
        if (response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
            return;
        if (clock_monotonic_us() > until)
            fail("the service does not serve");
        pause_briefly();
    }
}

static void ask(struct bench *bench, enum search_corpus_class class, unsigned turn)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    char text[SEARCH_CORPUS_QUERY_SIZE];
    search_corpus_query(bench->stored.corpus, class, turn, bench->stored.cases, text);
    request.parent = (char *)"accounts/" SEARCH_CORPUS_BIG_ACCOUNT;
    request.query = text;
    (void)call(bench, &casework__search__v1__search_service__descriptor, "SearchCases", &request.base);
}

/* --- what it says of itself --------------------------------------------------------------------------- */

/* A line of /proc/PID/status, in kilobytes. */
static long long memory_kb(const struct bench *bench, const char *name)
{
    char path[64], line[256];
    long long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process_pid(bench->process));
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtoll(line + strlen(name) + 1, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

static void print_memory(const struct bench *bench, const char *when)
{
    printf(", \"%s\": {\"resident_kb\": %lld, \"anonymous_kb\": %lld, \"of_files_kb\": %lld}", when,
           memory_kb(bench, "VmRSS"), memory_kb(bench, "RssAnon"), memory_kb(bench, "RssFile"));
}

/* By the beginning of its log, which is whole when it has ended. */
static double loading_ms(const struct bench *bench)
{
    static char log[LOG_SIZE];
    FILE *file = fopen(bench->log, "re");
    log[file ? fread(log, 1, sizeof log - 1, file) : 0] = '\0';
    if (file)
        fclose(file);
    const char *line = strstr(log, "index loaded");
    const char *duration = line ? strstr(line, "\"duration_us\":") : NULL;
    return duration ? strtod(duration + strlen("\"duration_us\":"), NULL) / 1000 : -1;
}

static void go_round(struct bench *bench, int round)
{
    error err;
    int64_t begun_us = clock_monotonic_us();
    start(bench);
    await_port(bench);
    double listening_ms = since_ms(begun_us);
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%u", bench->port);
    const struct rpc_channel_options to = {.target = target};
    if (!rpc_channel_new(&to, &bench->channel, &err))
        fail(err.message);
    await_serving(bench);
    double serving_ms = since_ms(begun_us);
    ask(bench, SEARCH_CORPUS_FREQUENT_FREQUENT, 0);
    printf("%s{\"listening_ms\": %.1f, \"serving_ms\": %.1f, \"first_answer_ms\": %.1f", round ? ", " : "",
           listening_ms, serving_ms, since_ms(begun_us));
    print_memory(bench, "serving");
    for (unsigned turn = 0; turn < SEARCH_CORPUS_ROTATION; turn++)
        for (int class = 0; class < SEARCH_CORPUS_CLASSES; class ++)
            ask(bench, (enum search_corpus_class) class, turn);
    print_memory(bench, "asked");
    rpc_channel_free(bench->channel);
    begun_us = clock_monotonic_us();
    process_signal(bench->process, SIGTERM);
    if (!process_wait(bench->process, begun_us + WAIT_US, NULL))
        fail("the service does not end");
    printf(", \"stop_ms\": %.1f, \"loading_ms\": %.1f}", since_ms(begun_us), loading_ms(bench));
    process_free(bench->process);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (argc < 3)
        return EXIT_FAILURE;
    log_init("bench", LOG_LEVEL_OFF); /* the service has its own */
    bench.program = argv[1];
    bench.memory = arena_new(MEMORY);
    snprintf(bench.log, sizeof bench.log, "%s.log", argv[2]);
    stored_index_init(&bench.stored, argv[2], argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000);
    stored_index_open(&bench.stored);
    stored_index_file(&bench.stored, 0, bench.stored.cases);
    search_index_settle(bench.stored.index);
    (void)stored_index_checkpoint(&bench.stored);
    stored_index_close(&bench.stored);
    bench.feed = quiet_feed_new(&bench.stored.positions);
    printf("{\"cases\": %" PRIu64 ", \"rounds\": [", bench.stored.cases);
    for (int round = 0; round < ROUNDS; round++)
        go_round(&bench, round);
    printf("]}\n");
    quiet_feed_free(bench.feed);
    search_corpus_free(bench.stored.corpus);
    arena_free(bench.memory);
    remove(bench.log);
    process_remove_tree(argv[2]);
    return EXIT_SUCCESS;
}
