/* lib/redis with Sentinel and with a Redis Cluster, against real servers. */

#include "base/clock.h"
#include "redis/client.h"
#include "redis/slot.h"
#include "redis/url.h"
#include "tests/support/redis_group.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static redis_client *client_of(const char *url)
{
    const struct redis_options options = {
        .url = url, .connect_timeout_us = 300000, .command_timeout_us = 2 * CLOCK_SECOND};
    redis_client *client;
    error err;
    cr_assert(redis_client_new(&options, &client, &err), "%s", err.message);
    return client;
}

static void add(redis_batch *batch, const char *name, const char *first, const char *second)
{
    redis_batch_command(batch, name);
    if (first)
        redis_batch_text(batch, first);
    if (second)
        redis_batch_text(batch, second);
}

/* One command that must go through within the time, however often it takes. */
static void run_within(redis_client *client, redis_batch *batch, int64_t within_us)
{
    int64_t until_us = clock_monotonic_us() + within_us;
    error err = {0};
    bool ok;
    while (!(ok = redis_client_run(client, batch, &err)) && clock_monotonic_us() < until_us) {
        cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s %s", err.message, err.detail);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    cr_assert(ok, "%s %s", err.message, err.detail);
}

Test(redis_group, addresses_with_several_hosts)
{
    struct redis_address address;
    error err;
    cr_assert(redis_url_parse("redis+sentinel://me:s%40x@a,b:7,[::1]:9/timers/2", &address, &err));
    cr_assert_eq(address.kind, REDIS_SENTINEL);
    cr_assert_eq(address.seed_count, 3);
    cr_assert_str_eq(address.seeds[0].host, "a");
    cr_assert_eq(address.seeds[0].port, 26379);
    cr_assert_eq(address.seeds[1].port, 7);
    cr_assert_str_eq(address.seeds[2].host, "::1");
    cr_assert_eq(address.seeds[2].port, 9);
    cr_assert_str_eq(address.master, "timers");
    cr_assert_str_eq(address.password, "s@x");
    cr_assert_eq(address.db, 2);
    cr_assert(redis_url_parse("redis+cluster://a,b:7000", &address, &err));
    cr_assert_eq(address.kind, REDIS_CLUSTER);
    cr_assert_eq(address.seeds[0].port, 6379);
    static const char *const wrong[] = {
        "redis+sentinel://a",    "redis+sentinel://a/",
        "redis+sentinel://a,/m", "redis+sentinel://a/m/x",
        "redis+cluster://a/1",   "redis+cluster://",
        "redis+cluster://a,,b",  "redis+cluster://a,b,c,d,e,f,g,h,i",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(redis_url_parse(wrong[i], &address, &err), "%s", wrong[i]);
}

/* As CLUSTER KEYSLOT of Redis 7.0 tells them. */
Test(redis_group, keys_go_to_their_slots)
{
    static const struct {
        const char *key;
        int slot;
    } rows[] = {{"123456789", 12739}, {"foo", 12182},          {"{foo}.bar", 12182},
                {"foo{}{bar}", 8363}, {"foo{{bar}}zap", 4015}, {"", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(redis_slot(rows[i].key, strlen(rows[i].key)), rows[i].slot, "%s: %d", rows[i].key,
                     redis_slot(rows[i].key, strlen(rows[i].key)));
}

Test(redis_group, follows_the_sentinels_master, .timeout = 60)
{
    redis_watched *watched = redis_watched_start();
    redis_client *client = client_of(redis_watched_url(watched));
    redis_batch *batch = redis_batch_new();
    int first = redis_watched_master(watched);
    add(batch, "SET", "k", "1");
    run_within(client, batch, 5 * CLOCK_SECOND);
    redis_batch_clear(batch);
    add(batch, "INCR", "k", NULL);

    redis_watched_switch(watched);
    cr_assert_neq(redis_watched_master(watched), first);
    run_within(client, batch, 10 * CLOCK_SECOND);
    cr_assert_eq(redis_reply_number(redis_batch_reply(batch, 0)), 2);

    embedded_redis *second = redis_watched_server(watched, !first);
    int64_t before_us = clock_monotonic_us();
    redis_watched_kill_master(watched);
    cr_assert_not(embedded_redis_running(second), "the master is gone");
    run_within(client, batch, 10 * CLOCK_SECOND);
    cr_assert_lt(clock_monotonic_us() - before_us, 20 * CLOCK_SECOND);
    cr_assert_geq(redis_reply_number(redis_batch_reply(batch, 0)), 2);
    redis_batch_free(batch);
    redis_client_free(client);
    redis_watched_free(watched);
}

Test(redis_group, an_unknown_master_is_unavailable, .timeout = 60)
{
    redis_watched *watched = redis_watched_start();
    char url[200];
    error err;
    int hosts = (int)(strstr(redis_watched_url(watched), "/timers") - redis_watched_url(watched));
    snprintf(url, sizeof url, "%.*s/others", hosts, redis_watched_url(watched));
    redis_client *client = client_of(url);
    redis_batch *batch = redis_batch_new();
    add(batch, "PING", NULL, NULL);
    cr_assert_not(redis_client_run(client, batch, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    redis_batch_free(batch);
    redis_client_free(client);
    redis_watched_free(watched);
}

/* --- cluster -------------------------------------------------------------------------------------- */

enum { KEYS = 60 };

static struct redis_script append_script = {
    .source = "redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('APPEND', KEYS[2], ARGV[1])"};

/* Appends a letter to two keys of one slot each, for many slots. */
static void append_everywhere(redis_client *client, redis_batch *batch)
{
    redis_batch_clear(batch);
    for (int i = 0; i < KEYS; i++) {
        char first[32], second[32];
        snprintf(first, sizeof first, "a{%d}", i);
        snprintf(second, sizeof second, "b{%d}", i);
        redis_batch_script(batch, &append_script, 2);
        redis_batch_text(batch, first);
        redis_batch_text(batch, second);
        redis_batch_text(batch, "x");
    }
    run_within(client, batch, 10 * CLOCK_SECOND);
}

static void expect_lengths(const redis_batch *batch, int64_t length)
{
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_eq(redis_reply_number(redis_batch_reply(batch, i)), length, "key %zu", i);
}

struct half {
    redis_client *client;
    redis_batch *batch;
    bool called;
};

/* One of the slot's keys is here, the other there. */
static void look_halfway(void *context)
{
    struct half *half = context;
    error err;
    redis_batch_clear(half->batch);
    add(half->batch, "STRLEN", "a{7}", NULL);
    add(half->batch, "STRLEN", "b{7}", NULL);
    cr_assert(redis_client_run(half->client, half->batch, &err), "%s", err.detail);
    cr_assert_eq(redis_reply_number(redis_batch_reply(half->batch, 0)), 2);
    cr_assert_eq(redis_reply_number(redis_batch_reply(half->batch, 1)), 2);
    redis_batch_clear(half->batch);
    redis_batch_script(half->batch, &append_script, 2);
    redis_batch_text(half->batch, "a{7}");
    redis_batch_text(half->batch, "b{7}");
    redis_batch_text(half->batch, "y");
    cr_assert_not(redis_client_run(half->client, half->batch, &err), "both keys are nowhere at once");
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    half->called = true;
}

Test(redis_group, a_batch_is_split_over_a_cluster_and_follows_its_slots, .timeout = 60)
{
    redis_cluster_group *group = redis_cluster_start();
    redis_client *client = client_of(redis_cluster_url(group));
    redis_batch *batch = redis_batch_new();
    int slot = redis_slot("7", 1);
    int nodes = 0;
    error err;
    redis_script_init(&append_script);
    append_everywhere(client, batch);
    expect_lengths(batch, 1);
    append_everywhere(client, batch);
    expect_lengths(batch, 2);
    cr_assert(redis_client_nodes(client, &nodes, &err));
    cr_assert_eq(nodes, REDIS_CLUSTER_NODES);

    int from = redis_cluster_owner(group, slot);
    int to = (from + 1) % REDIS_CLUSTER_NODES;
    struct half half = {.client = client, .batch = batch};
    cr_assert_eq(redis_cluster_move(group, slot, to, look_halfway, &half), 2);
    cr_assert(half.called);
    cr_assert_eq(redis_cluster_owner(group, slot), to, "the slot has moved");
    append_everywhere(client, batch);
    expect_lengths(batch, 3);

    int64_t found = 0;
    for (int node = 0; node < nodes; node++) {
        redis_batch_clear(batch);
        add(batch, "DBSIZE", NULL, NULL);
        cr_assert(redis_client_run_at(client, node, batch, &err), "%s", err.detail);
        int64_t here = redis_reply_number(redis_batch_reply(batch, 0));
        cr_assert_gt(here, 0);
        found += here;
    }
    cr_assert_eq(found, 2 * KEYS);
    redis_batch_free(batch);
    redis_client_free(client);
    redis_cluster_group_free(group);
}

Test(redis_group, a_lost_node_is_unavailable_and_found_again, .timeout = 60)
{
    redis_cluster_group *group = redis_cluster_start();
    redis_client *client = client_of(redis_cluster_url(group));
    redis_batch *batch = redis_batch_new();
    error err;
    redis_script_init(&append_script);
    append_everywhere(client, batch);
    embedded_redis_stop(redis_cluster_server(group, 1), true);
    cr_assert_not(redis_client_run(client, batch, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    cr_assert(embedded_redis_restart(redis_cluster_server(group, 1), &err), "%s", err.message);
    append_everywhere(client, batch);
    redis_batch_free(batch);
    redis_client_free(client);
    redis_cluster_group_free(group);
}
