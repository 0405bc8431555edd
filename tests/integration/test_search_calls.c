/* What the search service answers to whom and when: rights, a start without the case service, checks amid
 * writes. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case.pb-c.h"
#include "casework/cases/v1/message.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "embedded/port.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)
#define WAIT_US (30 * CLOCK_SECOND)

TestSuite(search_calls, .timeout = 120);

/* --- rights ------------------------------------------------------------------------------------------- */

static void create_agent(suite *s, const char *account, const char *id, Casework__Cases__V1__AgentRole role,
                         bool disabled, arena *memory)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
    agent.display_name = (char *)(uintptr_t)id;
    agent.role = role;
    agent.disabled = disabled;
    request.parent = (char *)(uintptr_t)account;
    request.agent_id = (char *)(uintptr_t)id;
    request.agent = &agent;
    suite_call(s, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request, memory);
}

/* Reads a call's stream to its end. */
static error run_job(rpc_channel *search, const char *method, const ProtobufCMessage *request,
                     const char *agent, arena *memory, const ProtobufCMessage **ret_last, size_t *ret_count)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .agent = agent};
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err = {0};
    cr_assert(rpc_stream_open(search, SEARCH, method, &options, &stream, &err), "%s", err.message);
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    enum rpc_read read;
    for (*ret_count = 0;
         (read = rpc_stream_read(stream, CLOCK_MINUTE, memory, &message, &err)) == RPC_READ_MESSAGE;
         ++*ret_count)
        *ret_last = message;
    if (read == RPC_READ_END)
        err.code = STATUS_OK;
    rpc_stream_free(stream);
    return err;
}

/* RebuildIndex, CheckIndex and GetIndexStatus of one account, or all, for an agent: the reason, "" of
 * success. */
static void expect(rpc_channel *search, const char *agent, const char *parent, const char *method,
                   const char *reason)
{
    Casework__Search__V1__RebuildIndexRequest rebuild = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    Casework__Search__V1__CheckIndexRequest check = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    Casework__Search__V1__GetIndexStatusRequest status = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = WAIT_US, .agent = agent};
    arena *memory = arena_new((size_t)16 << 20);
    const ProtobufCMessage *last;
    ProtobufCMessage *response;
    size_t count;
    error err = {0};
    rebuild.parent = check.parent = status.parent = (char *)(uintptr_t)parent;
    if (strcmp(method, "RebuildIndex") == 0)
        err = run_job(search, method, &rebuild.base, agent, memory, &last, &count);
    else if (strcmp(method, "CheckIndex") == 0)
        err = run_job(search, method, &check.base, agent, memory, &last, &count);
    else if (rpc_client_call(search, SEARCH, method, &status.base, &options, memory, &response, &err))
        err.code = STATUS_OK;
    cr_assert_eq(err.code, *reason ? STATUS_PERMISSION_DENIED : STATUS_OK, "%s of %s for %s: %s", method,
                 parent, agent ? agent : "nobody", err.message);
    if (*reason)
        cr_assert_str_eq(err.reason, reason);
    arena_free(memory);
}

Test(search_calls, a_service_that_acts_for_an_agent_has_the_rights_of_that_agent)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new((size_t)16 << 20);
    const char *acme = suite_create_account(s, "acme", "UTC", memory);
    const char *other = suite_create_account(s, "other", "UTC", memory);
    create_agent(s, acme, "boss", CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN, false, memory);
    create_agent(s, acme, "gone", CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_ADMIN, true, memory);
    create_agent(s, acme, "anna", CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT, false, memory);
    rpc_channel *search = suite_channel(s, SUITE_SEARCH, 0);
    static const char *const jobs[] = {"RebuildIndex", "CheckIndex"};
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        expect(search, "boss", acme, jobs[i], "");
        expect(search, "gone", acme, jobs[i], "NOT_AN_ADMIN");
        expect(search, "anna", acme, jobs[i], "NOT_AN_ADMIN");
        expect(search, "nemo", acme, jobs[i], "NOT_AN_ADMIN");
        expect(search, "boss", other, jobs[i], "NOT_AN_ADMIN");
        expect(search, "boss", "accounts/-", jobs[i], "ACTING_FOR_AN_AGENT");
        expect(search, NULL, "accounts/-", jobs[i], "");
    }
    expect(search, "anna", acme, "GetIndexStatus", "");
    expect(search, "boss", "accounts/-", "GetIndexStatus", "ACTING_FOR_AN_AGENT");
    expect(search, NULL, "accounts/-", "GetIndexStatus", "");
    arena_free(memory);
    suite_stop(s);
}

/* --- orders -------------------------------------------------------------------------------------------- */

static const char *first_found(suite *s, const char *account, const char *order, arena *memory)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)account;
    request.query = (char *)"parcel";
    request.order_by = (char *)(uintptr_t)order;
    request.min_position = suite_position(s, account);
    const Casework__Search__V1__SearchCasesResponse *found =
        suite_call(s, SEARCH, "SearchCases", &request, memory);
    cr_assert_eq(found->n_results, 2, "%s", order);
    return found->results[0]->case_;
}

/* As lists of cases take it. */
Test(search_calls, an_order_may_be_called_ascending)
{
    static const char *const orders[] = {"update_time", "subject", "status"};
    suite *s = suite_start(NULL);
    arena *memory = arena_new((size_t)16 << 20);
    const char *acme = suite_create_account(s, "acme", "UTC", memory);
    suite_create_case(s, acme, "Parcel A", "Where?", memory, NULL);
    suite_create_case(s, acme, "Parcel B", "Where?", memory, NULL);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        const char *ascending = arena_printf(memory, "%s asc", orders[i]);
        cr_assert_str_eq(first_found(s, acme, ascending, memory), "accounts/acme/cases/1");
        cr_assert_str_eq(first_found(s, acme, orders[i], memory), "accounts/acme/cases/1");
        const char *spaced = arena_printf(memory, "  %s   asc ", orders[i]);
        cr_assert_str_eq(first_found(s, acme, spaced, memory), "accounts/acme/cases/1");
        const char *descending = arena_printf(memory, "%s desc", orders[i]);
        cr_assert_str_eq(first_found(s, acme, descending, memory), "accounts/acme/cases/2");
    }
    arena_free(memory);
    suite_stop(s);
}

/* --- times -------------------------------------------------------------------------------------------- */

static int32_t found_between(suite *s, Google__Protobuf__Timestamp *start, Google__Protobuf__Timestamp *end,
                             arena *memory)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    request.query = (char *)"parcel";
    request.start_time = start;
    request.end_time = end;
    request.min_position = suite_position(s, request.parent);
    const Casework__Search__V1__SearchCasesResponse *found =
        suite_call(s, SEARCH, "SearchCases", &request, memory);
    return found->total_size;
}

Test(search_calls, a_bound_counts_to_the_nanosecond)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new((size_t)16 << 20);
    const char *acme = suite_create_account(s, "acme", "UTC", memory);
    const char *name = suite_create_case(s, acme, "Parcel", "Where?", memory, NULL);
    Google__Protobuf__Timestamp at = *suite_case(s, name, memory)->update_time, after = at;
    after.nanos++;
    cr_assert_eq(found_between(s, &at, NULL, memory), 1);
    cr_assert_eq(found_between(s, NULL, &at, memory), 0);
    cr_assert_eq(found_between(s, &after, NULL, memory), 0, "it was before");
    cr_assert_eq(found_between(s, NULL, &after, memory), 1, "it was before");
    arena_free(memory);
    suite_stop(s);
}

/* --- a start without the case service ----------------------------------------------------------------- */

/* Where nothing is read yet, finding nothing is no answer. */
Test(search_calls, nothing_is_said_to_be_found_before_the_index_is_read)
{
    char program[256], listen[64], cases[64];
    const char *bin = getenv("CASEWORK_BIN");
    process *started;
    error err = {0};
    uint16_t port = port_reserve();
    snprintf(program, sizeof program, "%s/casework-search", bin ? bin : "build/test/bin");
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=127.0.0.1:%u", port);
    snprintf(cases, sizeof cases, "CASE_TARGET=127.0.0.1:%u", port_reserve()); /* nobody is there */
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = "/dev/null",
        .settings = (const char *const[]){listen, cases, "METRICS_ADDRESS=", NULL},
    };
    cr_assert(process_start(&options, &started, &err), "%s", err.message);
    const struct rpc_channel_options to = {.target = strchr(listen, '=') + 1};
    rpc_channel *channel;
    cr_assert(rpc_channel_new(&to, &channel, &err), "%s", err.message);

    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    request.query = (char *)"parcel";
    arena *memory = arena_new((size_t)1 << 20);
    int64_t until = clock_monotonic_us() + WAIT_US;
    do { /* until it listens */
        const struct rpc_client_options call = {.timeout_us = WAIT_US, .no_retry = true};
        ProtobufCMessage *response;
        cr_assert_not(
            rpc_client_call(channel, SEARCH, "SearchCases", &request.base, &call, memory, &response, &err));
        cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s", err.message);
        cr_assert_lt(clock_monotonic_us(), until, "%s", err.message);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    } while (strcmp(err.reason, "INDEX_BEHIND") != 0);

    int status = -1;
    rpc_channel_free(channel);
    process_signal(started, SIGTERM);
    cr_expect(process_wait(started, clock_monotonic_us() + WAIT_US, &status) && status == 0);
    process_free(started);
    arena_free(memory);
}

/* --- a check amid writes ------------------------------------------------------------------------------ */

enum { WRITES = 1500 };

struct writer {
    suite *suite;
    const char *case_name;
    atomic_bool checking; /* the first check is about to begin */
    atomic_int writes;
};

static void *keep_writing(void *argument)
{
    struct writer *writer = argument;
    char body[64];
    for (int i = 0; i < WRITES; i++) {
        snprintf(body, sizeof body, "parcel word%d", i);
        suite_write(writer->suite, writer->case_name,
                    CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER, NULL, body);
        atomic_fetch_add(&writer->writes, 1);
        while (!atomic_load(&writer->checking))
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

/* Each time the index has it as of a later moment than the check: that is no difference. */
Test(search_calls, a_case_that_is_written_in_all_the_time_is_no_difference)
{
    const struct suite_options options = {.clock = "real"};
    suite *s = suite_start(&options);
    arena *memory = arena_new((size_t)64 << 20);
    const char *acme = suite_create_account(s, "acme", "UTC", memory);
    struct writer writer = {.suite = s};
    writer.case_name = suite_create_case(s, acme, "Parcel", "Where?", memory, NULL);
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)acme;
    arena *read = arena_new((size_t)16 << 20);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    atomic_store(&writer.checking, true);
    do {
        const ProtobufCMessage *last = NULL;
        size_t count;
        arena_clear(read);
        error err = run_job(suite_channel(s, SUITE_SEARCH, 0), "CheckIndex", &request.base, NULL, read, &last,
                            &count);
        cr_assert_eq(err.code, STATUS_OK, "%s", err.message);
        cr_assert_eq(count, 1, "differences amid %d writes", atomic_load(&writer.writes));
    } while (atomic_load(&writer.writes) < WRITES);
    pthread_join(thread, NULL);
    arena_free(read);
    arena_free(memory);
    suite_stop(s);
}
