/*
 * Three replicas of the search service, each with a third of the accounts: whoever is asked answers the same.
 */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "embedded/port.h"
#include "feed/partition.h"
#include "grpc/health/v1/health.pb-c.h"
#include "tests/support/case_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)
#define WAIT_US (30 * CLOCK_SECOND)

enum { SHARDS = 3, ACCOUNTS = 9 };

typedef Casework__Search__V1__SearchCasesResponse search_response;
typedef Casework__Search__V1__GetIndexStatusResponse status_response;

static struct case_server server;
static process *programs[SHARDS];
static rpc_channel *channels[SHARDS];
static char account_ids[ACCOUNTS][16];
static int on_shard[SHARDS]; /* how many accounts are there */
static char addresses[SHARDS][32], targets[SHARDS * 32];

/* `target`: the case service; `shard`: SEARCH_SHARD, and who is named as all of them. */
static process *run_program(const char *target, const char *shard, const char *all, const char *address,
                            const char *output)
{
    char program[256], listen[64], cases[64], setting[64], names[160];
    const char *bin = getenv("CASEWORK_BIN");
    process *started;
    error err;
    snprintf(program, sizeof program, "%s/casework-search", bin ? bin : "build/test/bin");
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=%s", address);
    snprintf(cases, sizeof cases, "CASE_TARGET=%s", target);
    snprintf(setting, sizeof setting, "SEARCH_SHARD=%s", shard);
    snprintf(names, sizeof names, "SEARCH_SHARD_TARGETS=%s", all);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = output,
        .settings = (const char *const[]){listen, cases, setting, names, "METRICS_ADDRESS=", NULL},
    };
    cr_assert(process_start(&options, &started, &err), "%s", err.message);
    return started;
}

static void start_shard(int index)
{
    char shard[32];
    snprintf(shard, sizeof shard, "%d/%d", index, SHARDS);
    programs[index] = run_program(server.address, shard, targets, addresses[index], "/dev/null");
}

/* Once. */
static bool try_at(int shard, const char *method, const void *request, int64_t timeout_us, void *ret_response,
                   error *ret_err)
{
    const struct rpc_client_options options = {.timeout_us = timeout_us, .no_retry = true};
    ProtobufCMessage *response = NULL;
    bool done = rpc_client_call(channels[shard], SEARCH, method, request, &options, server.memory, &response,
                                ret_err);
    *(void **)ret_response = response;
    return done;
}

static void *call_at(int shard, const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *response;
    error err = {0};
    cr_assert(
        rpc_client_call(channels[shard], SEARCH, method, request, &options, server.memory, &response, &err),
        "%s at shard %d: %s", method, shard, err.message);
    return response;
}

/* All of it is read: so says every shard. */
static void await_complete(int64_t cases)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int64_t until = clock_monotonic_us() + WAIT_US;
    status_response *response = NULL;
    error err = {0};
    request.parent = (char *)"accounts/-";
    for (;;) {
        if (try_at(0, "GetIndexStatus", &request, WAIT_US, &response, &err) &&
            response->total_cases == cases && response->lag_events == 0)
            return;
        cr_assert_lt(clock_monotonic_us(), until, "%s", err.message);
        nanosleep(&pause, NULL);
    }
}

static void setup(void)
{
    case_server_start(&server);
    for (int i = 0; i < ACCOUNTS; i++) {
        Casework__Cases__V1__ImportConversationsRequest *items[2];
        snprintf(account_ids[i], sizeof account_ids[i], "shop-%d", i);
        case_server_account(&server, account_ids[i]);
        items[0] = case_server_conversation(&server, account_ids[i], "a", "parcel lost", "c",
                                            CASE_SERVER_START_US - CLOCK_HOUR);
        items[1] = case_server_conversation(&server, account_ids[i], "b", "parcel found", "ca",
                                            CASE_SERVER_START_US - CLOCK_HOUR);
        cr_assert_eq(case_server_import(&server, items, 2)->conversations_imported, 2);
        on_shard[feed_partition(account_ids[i]) % SHARDS]++;
    }
    for (int i = 0; i < SHARDS; i++)
        snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", port_reserve());
    snprintf(targets, sizeof targets, "%s %s %s", addresses[0], addresses[1], addresses[2]);
    for (int i = 0; i < SHARDS; i++) {
        const struct rpc_channel_options to = {.target = addresses[i]};
        error err;
        start_shard(i);
        cr_assert(rpc_channel_new(&to, &channels[i], &err), "%s", err.message);
    }
    await_complete((int64_t)ACCOUNTS * 2);
}

static void teardown(void)
{
    for (int i = 0; i < SHARDS; i++) {
        int status = -1;
        rpc_channel_free(channels[i]);
        process_signal(programs[i], SIGTERM);
        cr_expect(process_wait(programs[i], clock_monotonic_us() + WAIT_US, &status) && status == 0);
        process_free(programs[i]);
    }
    case_server_stop(&server);
}

TestSuite(search_shards, .init = setup, .fini = teardown, .timeout = 120);

static const char *account_name(int index)
{
    return arena_printf(server.memory, "accounts/%s", account_ids[index]);
}

static search_response *search_at(int shard, const char *account, const char *query)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)query;
    return call_at(shard, "SearchCases", &request);
}

static void find_in_each_account(void)
{
    for (int shard = 0; shard < SHARDS; shard++)
        for (int i = 0; i < ACCOUNTS; i++) {
            const char *account = account_name(i);
            cr_assert_eq(search_at(shard, account, "parcel")->total_size, 2);
            const search_response *one = search_at(shard, account, "lost");
            cr_assert_eq(one->total_size, 1);
            cr_assert_eq(strncmp(one->results[0]->case_, account, strlen(account)), 0);
        }
}

/* What a shard holds shows when it is asked as its siblings ask it. */
static void expect_each_to_hold_its_part(void)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = WAIT_US, .forwarded = true};
    request.parent = (char *)"accounts/-";
    for (int i = 0; i < SHARDS; i++) {
        ProtobufCMessage *response;
        error err;
        cr_assert(rpc_client_call(channels[i], SEARCH, "GetIndexStatus", &request.base, &options,
                                  server.memory, &response, &err));
        cr_assert_eq(((const status_response *)response)->total_cases, 2 * on_shard[i]);
    }
}

static void expect_status_to_be_paged_over_all(void)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    int seen = 0;
    request.parent = (char *)"accounts/-";
    request.page_size = 4;
    do {
        const status_response *response = call_at(seen % SHARDS, "GetIndexStatus", &request);
        cr_assert_eq(response->total_cases, 2 * ACCOUNTS);
        for (size_t i = 0; i < response->n_accounts; i++) {
            char expected[128];
            snprintf(expected, sizeof expected, "accounts/%s", account_ids[seen++]);
            cr_assert_str_eq(response->accounts[i]->account, expected);
            cr_assert_eq(response->accounts[i]->cases, 2);
        }
        request.page_token = response->next_page_token;
    } while (*request.page_token);
    cr_assert_eq(seen, ACCOUNTS);
}

/* Reads a stream to its end; the last message. */
static void *last_message(int shard, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    rpc_stream *stream;
    ProtobufCMessage *message, *last = NULL;
    error err;
    cr_assert(rpc_stream_open(channels[shard], SEARCH, method, &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, WAIT_US, server.memory, &message, &err)) == RPC_READ_MESSAGE)
        last = message;
    cr_assert_eq(read, RPC_READ_END, "%s: %s", method, err.message);
    rpc_stream_free(stream);
    return last;
}

static void expect_rebuild_and_check_to_reach_all(void)
{
    for (int shard = 0; shard < SHARDS; shard++) {
        Casework__Search__V1__RebuildIndexRequest rebuild = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
        Casework__Search__V1__CheckIndexRequest check = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
        rebuild.parent = check.parent = (char *)"accounts/-";
        const Casework__Search__V1__RebuildIndexResponse *built =
            last_message(shard, "RebuildIndex", &rebuild.base);
        cr_assert(built->done);
        cr_assert_eq(built->cases_done, 2 * ACCOUNTS);
        const Casework__Search__V1__CheckIndexResponse *checked =
            last_message(shard, "CheckIndex", &check.base);
        cr_assert_eq(checked->item_case, CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY);
        cr_assert_eq(checked->summary->cases_checked, 2 * ACCOUNTS);
        cr_assert_eq(checked->summary->cases_different, 0);
        rebuild.parent = (char *)"accounts/shop-0";
        built = last_message(shard, "RebuildIndex", &rebuild.base);
        cr_assert(built->done && built->cases_done == 2 && built->indexed_position > 0);
    }
}

Test(search_shards, whoever_is_asked_answers_the_same)
{
    for (int i = 0; i < SHARDS; i++)
        cr_assert_gt(on_shard[i], 0, "the accounts' names leave a shard without any");
    find_in_each_account();
    expect_each_to_hold_its_part();
    expect_status_to_be_paged_over_all();
    expect_rebuild_and_check_to_reach_all();
    find_in_each_account();
}

static bool ask_for_first(int shard, error *ret_err)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 2 * CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    request.parent = (char *)"accounts/shop-0";
    request.query = (char *)"parcel";
    return rpc_client_call(channels[shard], SEARCH, "SearchCases", &request.base, &options, server.memory,
                           &response, ret_err);
}

/* Whoever is asked for what another shard has, which stands still. */
Test(search_shards, a_shard_that_stands_still_is_said_so)
{
    int away = feed_partition(account_ids[0]) % SHARDS;
    for (int shard = 0; shard < SHARDS; shard++) {
        error err;
        if (shard == away)
            continue;
        int status;
        process_signal(programs[away], SIGSTOP);
        cr_assert_eq(waitpid(process_pid(programs[away]), &status, WUNTRACED), process_pid(programs[away]));
        cr_assert(WIFSTOPPED(status));
        bool done = ask_for_first(shard, &err);
        process_signal(programs[away], SIGCONT);
        cr_assert_not(done);
        cr_assert(err.code == STATUS_UNAVAILABLE || err.code == STATUS_DEADLINE_EXCEEDED);
        cr_assert(ask_for_first(shard, &err), "%s", err.message);
    }
}

/* Its accounts are UNAVAILABLE until it is back, and only those. */
Test(search_shards, a_shard_that_is_down_is_said_so)
{
    int away = feed_partition(account_ids[0]) % SHARDS, there = (away + 1) % SHARDS;
    error err;
    process_signal(programs[away], SIGKILL);
    cr_assert(process_wait(programs[away], clock_monotonic_us() + WAIT_US, NULL));
    process_free(programs[away]);
    cr_assert_not(ask_for_first(there, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s: %s", status_code_name(err.code), err.message);
    cr_assert_neq(*err.message, '\0');
    Casework__Search__V1__GetIndexStatusRequest status = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    status_response *response;
    status.parent = (char *)"accounts/-";
    cr_assert_not(try_at(there, "GetIndexStatus", &status, 2 * CLOCK_SECOND, &response, &err),
                  "a sum without a shard");
    for (int i = 0; i < ACCOUNTS; i++) {
        const char *account = account_name(i);
        if (feed_partition(account_ids[i]) % SHARDS != away)
            cr_assert_eq(search_at(there, account, "parcel")->total_size, 2);
    }
    start_shard(away);
    await_complete((int64_t)ACCOUNTS * 2);
    find_in_each_account();
}

/* A setting that would make it hold the wrong accounts, or ask the wrong ones for theirs. All at once: each
 * is refused before it does anything. */
Test(search_shards_program, wrong_ones_are_refused_at_the_start, .timeout = 120)
{
    static const char *const wrong[][2] = {{"3/3", "a:1 b:1 c:1"},
                                           {"-1/3", "a:1 b:1 c:1"},
                                           {"1/3", "a:1 b:1"},
                                           {"0/2", ""},
                                           {"1", ""},
                                           {"0/65", ""}};
    enum { WRONG = sizeof wrong / sizeof *wrong };
    char directory[] = "/tmp/casework-shards-XXXXXX", logs[WRONG][64], said[4000];
    process *refused[WRONG];
    cr_assert_not_null(mkdtemp(directory));
    for (size_t i = 0; i < WRONG; i++) {
        snprintf(logs[i], sizeof logs[i], "%s/log%zu", directory, i);
        refused[i] = run_program("127.0.0.1:1", wrong[i][0], wrong[i][1], "127.0.0.1:0", logs[i]);
    }
    for (size_t i = 0; i < WRONG; i++) {
        int status = 0;
        cr_assert(process_wait(refused[i], clock_monotonic_us() + WAIT_US, &status), "%s runs", wrong[i][0]);
        cr_assert_neq(status, 0);
        process_free(refused[i]);
        process_log_tail(logs[i], said, sizeof said);
        cr_assert_not_null(strstr(said, "SEARCH_SHARD"), "%s", said);
    }
    process_remove_tree(directory);
}
