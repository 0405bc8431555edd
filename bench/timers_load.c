/*
 * Load for bench/timers.sh: the schedule alone, as the feed changes it.
 *
 *     timers_load URL COUNT ROUNDS      arms COUNT timers, then resets and cancels them, ROUNDS times; prints
 *                                       "arm N", "reset N", "cancel N" per second for each round
 *     timers_load URL COUNT memory      arms COUNT timers; prints "bytes N" a timer
 */

#include "base/clock.h"
#include "feed/partition.h"
#include "redis/client.h"
#include "sla/timer_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One response of the feed has up to so many events, and accounts of any partition. */
enum { RESPONSE_EVENTS = 500, ACCOUNTS = 1000 };

#define DUE_FIRST_US (INT64_C(4000000000) * CLOCK_SECOND)

enum what { ARM, RESET, CANCEL, WHATS };
static const char *const names[WHATS] = {"arm", "reset", "cancel"};

static char accounts[ACCOUNTS][TIMER_ACCOUNT_SIZE];
static int partitions[ACCOUNTS];
static int64_t positions[TIMER_BUCKETS];

static _Noreturn void give_up(const error *err)
{
    fprintf(stderr, "timers_load: %s %s\n", err->message, err->detail);
    exit(1);
}

static void make_whole(timer_store *store)
{
    uint64_t begun;
    error err;
    if (!timer_store_rebuild_begin(store, UINT64_MAX, "bench", &begun, &err))
        give_up(&err);
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        enum timer_outcome outcome;
        if (!timer_store_rebuild_finish(store, b, "bench", "epoch", 0, NULL, 0, &outcome, &err))
            give_up(&err);
        positions[b] = 0;
    }
}

static void name_accounts(void)
{
    for (int a = 0; a < ACCOUNTS; a++) {
        snprintf(accounts[a], sizeof accounts[a], "company-%d", a);
        partitions[a] = feed_partition(accounts[a]);
    }
}

static struct timer_change change_of(int number, enum what what)
{
    struct timer_change change = {.armed = what != CANCEL, .policy_version = 0};
    int account = number % ACCOUNTS;
    memcpy(change.timer.account, accounts[account], sizeof change.timer.account);
    change.timer.case_id = number / ACCOUNTS + 1;
    change.timer.rule = SLA_RULE_RESOLVED;
    change.timer.version = 2 + what;
    change.timer.due_us = DUE_FIRST_US + (int64_t)number * 1000 + what;
    return change;
}

/* What one response of the feed does: the changes of each partition together, one after the other. */
static void apply_response(timer_store *store, int first, int count, enum what what)
{
    static struct timer_change changes[TIMER_BUCKETS][RESPONSE_EVENTS];
    struct timer_apply applies[TIMER_BUCKETS];
    size_t used[TIMER_BUCKETS] = {0};
    size_t apply_count = 0;
    error err;
    for (int i = first; i < first + count; i++) {
        int bucket = partitions[i % ACCOUNTS];
        struct timer_change *change = &changes[bucket][used[bucket]++];
        *change = change_of(i, what);
        change->position = positions[bucket] + (int64_t)used[bucket];
    }
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (used[b] == 0)
            continue;
        applies[apply_count++] = (struct timer_apply){
            .bucket = b,
            .from = positions[b],
            .to = positions[b] + (int64_t)used[b],
            .changes = changes[b],
            .change_count = used[b],
        };
        positions[b] += (int64_t)used[b];
    }
    if (!timer_store_apply(store, applies, apply_count, &err))
        give_up(&err);
    for (size_t i = 0; i < apply_count; i++)
        if (applies[i].outcome != TIMER_APPLIED) {
            fprintf(stderr, "timers_load: bucket %d was not changed\n", applies[i].bucket);
            exit(1);
        }
}

static double run(timer_store *store, int count, enum what what)
{
    int64_t start_us = clock_monotonic_us();
    for (int i = 0; i < count; i += RESPONSE_EVENTS)
        apply_response(store, i, count - i < RESPONSE_EVENTS ? count - i : RESPONSE_EVENTS, what);
    return (double)count * CLOCK_SECOND / (double)(clock_monotonic_us() - start_us);
}

/* used_memory of INFO. */
static int64_t used_memory(const char *url)
{
    const struct redis_options options = {.url = url};
    redis_batch *batch = redis_batch_new();
    redis_client *client;
    error err;
    if (!batch || !redis_client_new(&options, &client, &err))
        give_up(&err);
    redis_batch_command(batch, "INFO");
    redis_batch_text(batch, "memory");
    if (!redis_client_run(client, batch, &err))
        give_up(&err);
    const char *found = strstr(redis_reply_text(redis_batch_reply(batch, 0)), "used_memory:");
    int64_t used = found ? strtoll(found + strlen("used_memory:"), NULL, 10) : 0;
    redis_batch_free(batch);
    redis_client_free(client);
    return used;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: timers_load URL COUNT ROUNDS|memory\n");
        return 2;
    }
    const struct redis_options options = {.url = argv[1], .command_timeout_us = 30 * CLOCK_SECOND};
    int count = (int)strtol(argv[2], NULL, 10);
    timer_store *store;
    error err;
    if (!timer_store_new(&options, &store, &err))
        give_up(&err);
    name_accounts();
    make_whole(store);
    if (strcmp(argv[3], "memory") == 0) {
        int64_t before = used_memory(argv[1]);
        (void)run(store, count, ARM);
        printf("bytes %.1f\n", (double)(used_memory(argv[1]) - before) / count);
    }
    for (long round = strtol(argv[3], NULL, 10); round > 0; round--) {
        for (enum what what = ARM; what < WHATS; what++)
            printf("%s %.0f\n", names[what], run(store, count, what));
        make_whole(store);
    }
    timer_store_free(store);
    return 0;
}
