/* Many watches in which nothing happens: what they cost in memory and time, and that they are all alive. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/case_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CASES (&casework__cases__v1__case_service__descriptor)

/* As many as one connection takes, with room to spare. */
enum { WATCHES = 900, BYTES_EACH_MAX = 40 * 1024, OTHERS_CHANGES = 200 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_instrumented = true;
#else
static const bool is_instrumented = false;
#endif

static struct case_server server;

static void setup(void)
{
    case_server_start(&server);
    case_server_account(&server, "acme");
    case_server_account(&server, "busy");
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(watch_idle, .init = setup, .fini = teardown, .timeout = 120);

static void create_case(const char *account)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case new_case = CASEWORK__CASES__V1__CASE__INIT;
    new_case.channel = arena_printf(server.memory, "accounts/%s/channels/desk", account);
    request.parent = arena_printf(server.memory, "accounts/%s", account);
    request.case_ = &new_case;
    case_server_call(&server, CASES, "CreateCase", &request);
}

static long resident_bytes(void)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process_pid(server.process));
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_not_null(fgets(line, sizeof line, file));
    fclose(file);
    const char *resident = strchr(line, ' '); /* the second number */
    cr_assert_not_null(resident);
    return strtol(resident, NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* Of all its threads, in microseconds. */
static int64_t processor_time(void)
{
    clockid_t clock;
    struct timespec time;
    cr_assert_eq(clock_getcpuclockid(process_pid(server.process), &clock), 0);
    cr_assert_eq(clock_gettime(clock, &time), 0);
    return time.tv_sec * CLOCK_SECOND + time.tv_nsec / 1000;
}

static rpc_stream *watch(void)
{
    Casework__Cases__V1__WatchCasesRequest request = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    error err;
    request.parent = (char *)(uintptr_t) "accounts/acme";
    request.target_case = CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER;
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_NEW;
    cr_assert(rpc_stream_open(server.channel, CASES, "WatchCases", &options, &stream, &err), "%s",
              err.message);
    cr_assert(rpc_stream_write(stream, &request.base));
    return stream;
}

static void expect(rpc_stream *stream, int kind)
{
    ProtobufCMessage *message;
    error err;
    cr_assert_eq(rpc_stream_read(stream, 20 * CLOCK_SECOND, server.memory, &message, &err), RPC_READ_MESSAGE,
                 "%s", err.message);
    cr_assert_eq((int)((const Casework__Cases__V1__WatchCasesResponse *)message)->item_case, kind);
    arena_clear(server.memory);
}

Test(watch_idle, costs_little)
{
    rpc_stream *streams[WATCHES];
    streams[0] = watch(); /* what the first one brings along counts once */
    expect(streams[0], CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT);
    long before = resident_bytes();
    for (int i = 1; i < WATCHES; i++)
        streams[i] = watch();
    for (int i = 1; i < WATCHES; i++)
        expect(streams[i], CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT);
    long each = (resident_bytes() - before) / (WATCHES - 1);
    const struct timespec pause = {.tv_sec = 2};
    int64_t begun = processor_time();
    nanosleep(&pause, NULL);
    int64_t idle = processor_time() - begun;
    for (int i = 0; i < OTHERS_CHANGES; i++)
        create_case("busy");
    fprintf(stderr, "a watch takes %ld bytes; %d of them take %lld us in two seconds\n", each, WATCHES,
            (long long)idle);
    cr_assert(is_instrumented || each <= BYTES_EACH_MAX, "a watch takes %ld bytes", each);
    cr_assert(is_instrumented || idle < CLOCK_SECOND / 10, "%lld us in two seconds", (long long)idle);
    create_case("acme");
    for (int i = 0; i < WATCHES; i++)
        expect(streams[i], CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_ENTER);
    for (int i = 0; i < WATCHES; i++)
        rpc_stream_free(streams[i]);
}
