/*
 * Load for bench/write.sh: MessageService.AddMessage on the case service, so many calls in flight all the
 * time.
 *
 *     write_load accounts N                    prints "ord account partition" of N accounts, for the
 * preparation write_load keys DIRECTORY                makes a key for tokens write_load run TARGET KEYS
 * ACCOUNTS CASES IN_FLIGHT SECONDS one line of JSON: calls per second, latencies in microseconds
 */

#include "base/clock.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/client.h"
#include "rpc/token.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 4000000, IN_FLIGHT_MAX = 4096 };

#define CALL_TIMEOUT (20 * CLOCK_SECOND)
#define WARM_UP (CLOCK_SECOND / 2)

struct load {
    rpc_channel *channel;
    int accounts, cases_each;
    int64_t start, count_from, end; /* monotonic */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    int in_flight;
    int64_t calls, failed; /* within the time that counts */
    int32_t *latencies;    /* of those calls */
    char first_error[256];
};

struct slot {
    struct load *load;
    uint64_t random; /* state of xorshift64* */
    int64_t sent;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void account_name(char *name, size_t size, int ord)
{
    snprintf(name, size, "company-%d", ord);
}

/* --- calls --- */

static void call_done(void *argument, const ProtobufCMessage *response, const error *err);

static void call(struct slot *slot)
{
    struct load *load = slot->load;
    char account[32], parent[96], request_id[40];
    account_name(account, sizeof account, 1 + (int)(next_random(&slot->random) % (uint64_t)load->accounts));
    snprintf(parent, sizeof parent, "accounts/%s/cases/%" PRIu64, account,
             1 + next_random(&slot->random) % (uint64_t)load->cases_each);
    snprintf(request_id, sizeof request_id, "%016" PRIx64 "%016" PRIx64, next_random(&slot->random),
             next_random(&slot->random));
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    message.body = (char *)"Thank you. Please take out the second tray and put it back in.";
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    request.parent = parent;
    request.message = &message;
    request.request_id = request_id;
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT, .agent = "ann", .no_retry = true};
    slot->sent = clock_monotonic_us();
    rpc_client_call_async(load->channel, &casework__cases__v1__message_service__descriptor, "AddMessage",
                          &request.base, &options, call_done, slot);
}

static void call_done(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct slot *slot = argument;
    struct load *load = slot->load;
    int64_t now = clock_monotonic_us();
    pthread_mutex_lock(&load->lock);
    if (!response) {
        load->failed++;
        if (!load->first_error[0])
            snprintf(load->first_error, sizeof load->first_error, "%s %s", status_code_name(err->code),
                     err->message);
    } else if (slot->sent >= load->count_from && now <= load->end && load->calls < SAMPLES_MAX) {
        load->latencies[load->calls++] = (int32_t)(now - slot->sent);
    }
    bool over = now >= load->end || load->failed > 1000;
    if (over && --load->in_flight == 0)
        pthread_cond_signal(&load->idle);
    pthread_mutex_unlock(&load->lock);
    if (!over)
        call(slot);
}

/* --- results --- */

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t percentile(const struct load *load, int percent)
{
    return load->calls ? load->latencies[(load->calls - 1) * percent / 100] : 0;
}

static int report(struct load *load)
{
    double seconds = (double)(load->end - load->count_from) / (double)CLOCK_SECOND;
    qsort(load->latencies, (size_t)load->calls, sizeof *load->latencies, compare);
    printf("{\"per_second\": %.1f, \"p50_us\": %d, \"p99_us\": %d, \"calls\": %" PRId64
           ", \"failed\": %" PRId64 "}\n",
           (double)load->calls / seconds, percentile(load, 50), percentile(load, 99), load->calls,
           load->failed);
    if (load->failed)
        fprintf(stderr, "write_load: %" PRId64 " calls failed, the first with %s\n", load->failed,
                load->first_error);
    return load->failed ? 1 : 0;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static int run(char **argv)
{
    static struct slot slots[IN_FLIGHT_MAX];
    struct load load = {.accounts = number(argv[2]), .in_flight = number(argv[4])};
    error err = {.code = STATUS_OK};
    const struct rpc_channel_options channel = {
        .target = argv[0], .key_directory = *argv[1] ? argv[1] : NULL, .subject = "bench"};
    int in_flight = load.in_flight;
    load.cases_each = load.accounts ? number(argv[3]) / load.accounts : 0;
    if (load.cases_each < 1 || in_flight < 1 || in_flight > IN_FLIGHT_MAX)
        return 2;
    if (!rpc_channel_new(&channel, &load.channel, &err)) {
        fprintf(stderr, "write_load: %s\n", err.message);
        return 1;
    }
    load.latencies = calloc(SAMPLES_MAX, sizeof *load.latencies);
    if (!load.latencies) {
        rpc_channel_free(load.channel);
        return 1;
    }
    pthread_mutex_init(&load.lock, NULL);
    pthread_cond_init(&load.idle, NULL);
    load.start = clock_monotonic_us();
    load.count_from = load.start + WARM_UP;
    load.end = load.count_from + number(argv[5]) * CLOCK_SECOND;
    for (int i = 0; i < in_flight; i++) {
        slots[i] =
            (struct slot){.load = &load, .random = (uint64_t)load.start * 2654435761u + (uint64_t)i + 1};
        call(&slots[i]);
    }
    pthread_mutex_lock(&load.lock);
    while (load.in_flight)
        pthread_cond_wait(&load.idle, &load.lock);
    pthread_mutex_unlock(&load.lock);
    rpc_channel_free(load.channel);
    int code = report(&load);
    free(load.latencies);
    return code;
}

static int print_accounts(int count)
{
    for (int i = 1; i <= count; i++) {
        char name[32];
        account_name(name, sizeof name, i);
        printf("%d\t%s\t%d\n", i, name, feed_partition(name));
    }
    return 0;
}

static int make_keys(const char *directory)
{
    error err = {.code = STATUS_OK};
    if (rpc_keys_generate(directory, &err))
        return 0;
    fprintf(stderr, "write_load: %s\n", err.message);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "accounts") == 0)
        return print_accounts(number(argv[2]));
    if (argc == 3 && strcmp(argv[1], "keys") == 0)
        return make_keys(argv[2]);
    if (argc == 8 && strcmp(argv[1], "run") == 0)
        return run(argv + 2);
    fprintf(stderr, "usage: see the head of bench/write_load.c\n");
    return 2;
}
