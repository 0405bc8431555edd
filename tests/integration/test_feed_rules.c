/*
 * The rules of the feed while two replicas write at the same time, to readers at both that come and go: every
 * change once and in each case's order, nothing ever below a position that was read, a snapshot to begin
 * with, no customers' text.
 */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/case_server.h"
#include "tests/support/churn.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)

/* Accounts in different partitions, so that both replicas write in all of them. */
enum { ACCOUNTS = 3, CASES_MAX = 4000, READERS = 4, CHANGES = 1500 };

static struct case_server server;

static const char *account_name(int i)
{
    static const char *const names[ACCOUNTS] = {"acme", "beta", "gamma"};
    return names[i];
}

static void setup(void)
{
    case_server_start(&server);
    case_server_start_other(&server);
    for (int i = 0; i < ACCOUNTS; i++) {
        static const char *const agents[] = {"anna", "bert"};
        case_server_account(&server, account_name(i));
        for (int a = 0; a < 2; a++) {
            Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
            Casework__Cases__V1__Agent agent = CASEWORK__CASES__V1__AGENT__INIT;
            agent.role = CASEWORK__CASES__V1__AGENT_ROLE__AGENT_ROLE_AGENT;
            request.parent = arena_printf(server.memory, "accounts/%s", account_name(i));
            request.agent_id = (char *)(uintptr_t)agents[a];
            request.agent = &agent;
            case_server_call(&server, &casework__cases__v1__agent_service__descriptor, "CreateAgent",
                             &request);
        }
    }
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(feed_rules, .init = setup, .fini = teardown, .timeout = 300);

/* --- a reader: where it is, and the last version of each case that it has heard of --- */

struct reader {
    rpc_channel *channels[2];
    pthread_t thread;
    uint64_t random;
    bool from_snapshot;
    int64_t at[FEED_PARTITIONS];
    int64_t versions[ACCOUNTS][CASES_MAX];
    int64_t events, snapshot_cases, connections;
    char failure[1024];
};

static _Atomic bool all_done;
static int64_t heads[FEED_PARTITIONS]; /* once all is done */

static bool wrong(struct reader *r, const char *what, const char *name)
{
    snprintf(r->failure, sizeof r->failure, "%s: %s", what, name);
    return false;
}

/* The place of a case's version; NULL: it is none of ours. */
static int64_t *version_of(struct reader *r, const char *name)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        char prefix[64];
        int length = snprintf(prefix, sizeof prefix, "accounts/%s/cases/", account_name(i));
        long number = strncmp(name, prefix, (size_t)length) == 0 ? strtol(name + length, NULL, 10) : 0;
        if (number > 0 && number < CASES_MAX)
            return &r->versions[i][number];
    }
    return NULL;
}

static bool has_text(const ProtobufCMessage *message)
{
    static const char text[] = CHURN_TEXT;
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(length + 1);
    protobuf_c_message_pack(message, packed);
    bool found = memmem(packed, length, text, sizeof text - 1) != NULL;
    free(packed);
    return found;
}

static bool take_event(struct reader *r, const Casework__Cases__V1__Event *event)
{
    if (event->position != ++r->at[event->partition])
        return wrong(r, "not the next position", event->case_);
    if (has_text(&event->base))
        return wrong(r, "customers' text", event->case_);
    r->events++;
    if (!*event->case_)
        return true;
    int64_t *version = version_of(r, event->case_);
    if (!version || event->case_facts->version != *version + 1)
        return wrong(r, "not the next version", event->case_);
    *version = event->case_facts->version;
    return true;
}

static bool take_response(struct reader *r, const Casework__Cases__V1__StreamEventsResponse *response)
{
    for (size_t i = 0; i < response->n_events; i++) {
        if (!take_event(r, response->events[i]))
            return false;
    }
    for (size_t i = 0; i < response->n_heads; i++) {
        if (response->heads[i]->position != r->at[response->heads[i]->partition])
            return wrong(r, "a head that was not reached", "");
    }
    return true;
}

static rpc_stream *open_stream(struct reader *r, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    error err;
    r->connections++;
    if (!rpc_stream_open(r->channels[churn_random(&r->random) % 2], EVENTS, method, &options, &stream, &err))
        abort();
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    return stream;
}

/* Reads a few responses from where it is. */
static bool follow(struct reader *r, arena *memory)
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__PartitionPosition after[FEED_PARTITIONS], *list[FEED_PARTITIONS];
    for (int p = 0; p < FEED_PARTITIONS; p++) {
        list[p] = &after[p];
        casework__cases__v1__partition_position__init(list[p]);
        after[p].partition = p;
        after[p].position = r->at[p];
    }
    request.after = list;
    request.n_after = FEED_PARTITIONS;
    rpc_stream *stream = open_stream(r, "StreamEvents", &request.base);
    uint64_t most = 1 + churn_random(&r->random) % 20;
    bool good = true;
    for (uint64_t i = 0; i < most && good; i++) {
        ProtobufCMessage *message;
        error err;
        arena_clear(memory);
        enum rpc_read read = rpc_stream_read(stream, 50000, memory, &message, &err);
        if (read == RPC_READ_TIMEOUT)
            break;
        good = read == RPC_READ_MESSAGE ? take_response(r, (const void *)message)
                                        : wrong(r, err.reason, err.message);
    }
    rpc_stream_free(stream);
    return good;
}

static bool take_part(struct reader *r, const Casework__Cases__V1__StreamSnapshotResponse *part)
{
    r->at[part->partition] = part->position;
    for (size_t i = 0; i < part->n_cases; i++) {
        int64_t *version = version_of(r, part->cases[i]->name);
        if (!version || *version)
            return wrong(r, "a case that came twice", part->cases[i]->name);
        *version = part->cases[i]->facts->version;
        r->snapshot_cases++;
    }
    return !has_text(&part->base) || wrong(r, "customers' text", "in the snapshot");
}

static bool begin(struct reader *r, arena *memory)
{
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    if (!r->from_snapshot)
        return true;
    rpc_stream *stream = open_stream(r, "StreamSnapshot", &request.base);
    ProtobufCMessage *message;
    error err;
    enum rpc_read read;
    bool good = true;
    do {
        arena_clear(memory);
        read = rpc_stream_read(stream, 20 * CLOCK_SECOND, memory, &message, &err);
        if (read == RPC_READ_MESSAGE)
            good = take_part(r, (const void *)message);
    } while (good && read == RPC_READ_MESSAGE);
    rpc_stream_free(stream);
    return good && (read == RPC_READ_END || wrong(r, err.reason, err.message));
}

static void *work(void *argument)
{
    struct reader *r = argument;
    arena *memory = arena_new(64 << 20);
    int64_t deadline = clock_monotonic_us() + 2 * CLOCK_MINUTE;
    bool good = begin(r, memory), ended = false;
    while (good && !ended) {
        bool done = atomic_load(&all_done);
        good = follow(r, memory) && (clock_monotonic_us() < deadline || wrong(r, "it takes too long", ""));
        ended = done && r->connections > 2 && memcmp(r->at, heads, sizeof heads) == 0;
    }
    arena_free(memory);
    return NULL;
}

/* --- the test --- */

static struct reader *start_reader(int index, bool from_snapshot)
{
    struct reader *r = calloc(1, sizeof *r);
    r->channels[0] = server.channel;
    r->channels[1] = server.other_channel;
    r->random = (uint64_t)index;
    r->from_snapshot = from_snapshot;
    cr_assert_eq(pthread_create(&r->thread, NULL, work, r), 0);
    return r;
}

static churn *start_churn(int index)
{
    const struct churn_options options = {.channels = {server.channel, server.other_channel},
                                          .account = account_name(index),
                                          .first_case = 1,
                                          .creates = true,
                                          .in_flight = 4,
                                          .a_second = 300,
                                          .seed = (uint64_t)index + 1};
    return churn_start(&options);
}

static void read_heads(void)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)(uintptr_t) "accounts/-";
    Casework__Cases__V1__GetPositionResponse *answer =
        case_server_call(&server, EVENTS, "GetPosition", &request);
    for (size_t i = 0; i < answer->n_positions; i++)
        heads[answer->positions[i]->partition] = answer->positions[i]->position;
}

/* What it has heard last of every case is how the case is. */
static void check_truth(const struct reader *r)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        for (int number = 1; number < CASES_MAX; number++) {
            Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
            Casework__Cases__V1__GetCaseResponse *got;
            error err;
            request.name = arena_printf(server.memory, "accounts/%s/cases/%d", account_name(i), number);
            if (!case_server_try(&server, CASES, "GetCase", &request, &got, &err))
                break;
            cr_assert_eq(got->case_->version, r->versions[i][number], "%s: %lld instead of %lld",
                         request.name, (long long)r->versions[i][number], (long long)got->case_->version);
        }
    }
}

static int64_t changes_so_far(churn *const *churns)
{
    int64_t count = 0;
    for (int i = 0; i < ACCOUNTS; i++)
        count += churn_count(churns[i]);
    return count;
}

Test(feed_rules, hold_while_two_replicas_write)
{
    struct reader *readers[READERS];
    churn *churns[ACCOUNTS];
    for (int i = 0; i < ACCOUNTS; i++)
        churns[i] = start_churn(i);
    readers[0] = start_reader(0, false); /* from the beginning, from now on */
    const struct timespec pause = {.tv_nsec = 10 * 1000000};
    while (changes_so_far(churns) < CHANGES / 2)
        nanosleep(&pause, NULL);
    readers[1] = start_reader(1, false); /* from the beginning, long after */
    readers[2] = start_reader(2, true);  /* with a snapshot, in the midst of it all */
    readers[3] = start_reader(3, true);
    while (changes_so_far(churns) < CHANGES)
        nanosleep(&pause, NULL);
    for (int i = 0; i < ACCOUNTS; i++)
        churn_stop(churns[i]);
    read_heads();
    atomic_store(&all_done, true);
    int64_t all = 0;
    for (int p = 0; p < FEED_PARTITIONS; p++)
        all += heads[p];
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i]->thread, NULL);
        cr_assert_str_empty(readers[i]->failure, "reader %d: %s", i, readers[i]->failure);
        cr_assert_eq(readers[i]->events == all, !readers[i]->from_snapshot, "all events, or those since");
        cr_assert_eq(readers[i]->snapshot_cases > 0, readers[i]->from_snapshot);
        check_truth(readers[i]);
        free(readers[i]);
    }
}
