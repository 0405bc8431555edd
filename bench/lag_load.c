/*
 * Load for bench/lag.sh: MessageService.AddMessage at a fixed rate, whatever comes of it (open loop), and for
 * some of the answered writes a read of another service that waits for the write's position: from the answer
 * of the write to that of the read is the lag.
 *
 *     lag_load CASE SEARCH REPORT SLA KEYS ACCOUNTS CASES-EACH RATE SECONDS
 *         prints for the writes and for each service "name count p50-us p99-us max-us"
 */

#include "base/clock.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "rpc/client.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WRITE, SEARCH, REPORT, SLA, KINDS, SAMPLES_MAX = 1000000, READ_EVERY = 10 };

#define CALL_TIMEOUT (10 * CLOCK_SECOND)
#define WARM_UP (2 * CLOCK_SECOND)

static const char *const names[KINDS] = {"write", "search", "report", "timer"};

static struct {
    rpc_channel *channels[KINDS];
    int64_t count_from;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t idle;
    int in_flight, failed;
    int32_t *samples[KINDS];
    int counts[KINDS];
    char first_error[256];
} load = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

struct call {
    int kind, number, account, case_number;
    int64_t due, begun; /* a write counts from when it was due */
};

static void call_ends(struct call *call, const error *err)
{
    int64_t now = clock_monotonic_us();
    pthread_mutex_lock(&load.lock);
    if (err) {
        if (load.failed++ == 0)
            snprintf(load.first_error, sizeof load.first_error, "%s: %s %s", names[call->kind],
                     status_code_name(err->code), err->message);
    } else if (call->due >= load.count_from && load.counts[call->kind] < SAMPLES_MAX) {
        load.samples[call->kind][load.counts[call->kind]++] = (int32_t)(now - call->begun);
    }
    if (--load.in_flight == 0)
        pthread_cond_signal(&load.idle);
    pthread_mutex_unlock(&load.lock);
    free(call);
}

static void read_done(void *argument, const ProtobufCMessage *response, const error *err)
{
    call_ends(argument, response ? NULL : err);
}

static void start_read(const struct call *write, int64_t position)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT, .no_retry = true};
    struct call *call = malloc(sizeof *call);
    char account[64], name[96];
    if (!call)
        return;
    *call = *write;
    call->kind = SEARCH + write->number / READ_EVERY % (KINDS - SEARCH);
    snprintf(account, sizeof account, "accounts/company-%d", call->account);
    snprintf(name, sizeof name, "%s/cases/%d", account, call->case_number);
    pthread_mutex_lock(&load.lock);
    load.in_flight++;
    pthread_mutex_unlock(&load.lock);
    call->begun = clock_monotonic_us();
    if (call->kind == SEARCH) {
        Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
        request.parent = account;
        request.query = (char *)(uintptr_t) "tray";
        request.page_size = 10;
        request.min_position = position;
        rpc_client_call_async(load.channels[SEARCH], &casework__search__v1__search_service__descriptor,
                              "SearchCases", &request.base, &options, read_done, call);
    } else if (call->kind == REPORT) {
        Casework__Report__V1__GetCaseActivityRequest request =
            CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
        request.parent = account;
        request.min_position = position;
        rpc_client_call_async(load.channels[REPORT], &casework__report__v1__report_service__descriptor,
                              "GetCaseActivity", &request.base, &options, read_done, call);
    } else {
        Casework__Sla__V1__ListCaseTimersRequest request = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
        request.parent = name;
        request.min_position = position;
        rpc_client_call_async(load.channels[SLA], &casework__sla__v1__sla_service__descriptor,
                              "ListCaseTimers", &request.base, &options, read_done, call);
    }
}

static void write_done(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct call *call = argument;
    if (response && call->number % READ_EVERY == 0)
        start_read(call, ((const Casework__Cases__V1__AddMessageResponse *)response)->position);
    call_ends(call, response ? NULL : err);
}

static void start_write(int number, int64_t due, int accounts, int cases_each)
{
    struct call *call = malloc(sizeof *call);
    char parent[96], request_id[32];
    if (!call)
        return;
    *call = (struct call){.kind = WRITE, .number = number, .due = due, .begun = due};
    call->account = 1 + number % accounts;
    call->case_number = 1 + number / accounts * 7 % cases_each;
    snprintf(parent, sizeof parent, "accounts/company-%d/cases/%d", call->account, call->case_number);
    snprintf(request_id, sizeof request_id, "lag-%d", number);
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    message.body = (char *)(uintptr_t) "Thank you. Please take out the second tray and put it back in.";
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    request.parent = parent;
    request.message = &message;
    request.request_id = request_id;
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT, .agent = "ann", .no_retry = true};
    pthread_mutex_lock(&load.lock);
    load.in_flight++;
    pthread_mutex_unlock(&load.lock);
    rpc_client_call_async(load.channels[WRITE], &casework__cases__v1__message_service__descriptor,
                          "AddMessage", &request.base, &options, write_done, call);
}

static void sleep_until(int64_t time_us)
{
    const struct timespec until = {.tv_sec = time_us / CLOCK_SECOND,
                                   .tv_nsec = time_us % CLOCK_SECOND * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        ;
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int report(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int32_t *list = load.samples[kind];
        int count = load.counts[kind];
        if (count == 0)
            return 1;
        qsort(list, (size_t)count, sizeof *list, compare);
        printf("%s %d %d %d %d\n", names[kind], count, list[count / 2], list[(int)((double)count * 0.99)],
               list[count - 1]);
    }
    if (load.failed)
        fprintf(stderr, "lag_load: %d calls failed, the first with %s\n", load.failed, load.first_error);
    return load.failed ? 1 : 0;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: see the head of bench/lag_load.c\n");
        return 2;
    }
    error err = {.code = STATUS_OK};
    int accounts = number(argv[6]), cases_each = number(argv[7]), rate = number(argv[8]);
    for (int kind = 0; kind < KINDS; kind++) {
        const struct rpc_channel_options options = {
            .target = argv[1 + kind], .key_directory = argv[5], .subject = "bench"};
        load.samples[kind] = calloc(SAMPLES_MAX, sizeof(int32_t));
        if (!load.samples[kind] || !rpc_channel_new(&options, &load.channels[kind], &err)) {
            fprintf(stderr, "lag_load: %s\n", err.message);
            return 1;
        }
    }
    int64_t start = clock_monotonic_us(), length = WARM_UP + number(argv[9]) * CLOCK_SECOND;
    load.count_from = start + WARM_UP;
    for (int i = 0; i * CLOCK_SECOND / rate < length; i++) {
        int64_t due = start + i * CLOCK_SECOND / rate;
        sleep_until(due);
        start_write(i, due, accounts, cases_each);
    }
    pthread_mutex_lock(&load.lock);
    while (load.in_flight)
        pthread_cond_wait(&load.idle, &load.lock);
    pthread_mutex_unlock(&load.lock);
    for (int kind = 0; kind < KINDS; kind++)
        rpc_channel_free(load.channels[kind]);
    int code = report();
    for (int kind = 0; kind < KINDS; kind++)
        free(load.samples[kind]);
    return code;
}
